"""One writer at a time: a lease in the store, which every write of visible metadata asks for.

A lease is an object that its holder renews. Who finds one watches it: if it does not change for `LEASE_SECONDS` of the
watcher's own clock, its holder is gone, and a conditional write takes it over. No clock is compared with another one,
so that clocks which jump or differ change nothing.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import uuid4

from somo.storage.conditional import ChangedError, put_version, read_version, remove_version
from somo.storage.objects import exists, put, read_bytes
from somo.storage.patience import StorageError, UnreachableError, no_longer_than
from somo.storage.processes import start_of

# Longer than the patience of a request, so that a holder whose store is silent for a while keeps its lease.
LEASE_SECONDS = 120.0
RENEW_SECONDS = 15.0
WATCH_SECONDS = 2.0
# A holder stops writing well before a watcher takes its lease over.
SAFE_SHARE = 0.5
_held: ContextVar["Lease | None"] = ContextVar("lease", default=None)


class LeaseError(StorageError):
    """A place that another run writes to, or a lease that was lost."""


def put_visible(url: str, data: bytes) -> None:
    """Write metadata that readers see; a run that has lost its lease does not.

    Raises
    ------
    LeaseError
        if another run has taken over meanwhile; nothing is written
    """
    lease = _held.get()
    if lease is None:
        put(url, data)
        return
    lease.require()
    try:
        # A put that is repeated beyond the lease's end would arrive after a successor's.
        with no_longer_than(lease.seconds_left()):
            put(url, data)
    except UnreachableError:
        # Only a lease that is confirmed anew shows that nobody else has begun to write during the outage.
        lease.renew()
        with no_longer_than(lease.seconds_left()):
            put(url, data)


def put_changed(url: str, data: bytes) -> None:
    """Write metadata that readers see, unless these are its bytes already: caches and checksums of others stay true.

    Raises
    ------
    LeaseError
        if another run has taken over meanwhile; nothing is written
    """
    if not exists(url) or read_bytes(url) != data:
        put_visible(url, data)


def require_lease() -> None:
    """Require that this run still has its lease; work that never took one, as in a notebook, may go on.

    Raises
    ------
    LeaseError
        if another run has taken over meanwhile
    """
    if (lease := _held.get()) is not None:
        lease.require()


def stop_if_lost() -> None:
    """Stop work for a root once it is known that another run has taken over; the store is not asked.

    Raises
    ------
    LeaseError
        if this run has lost its lease
    """
    if (lease := _held.get()) is not None:
        lease.stop_if_lost()


def steady_seconds() -> float:
    """Seconds of a clock that goes on while the machine sleeps and that nobody sets."""
    # CLOCK_MONOTONIC stops on Linux while a laptop sleeps: its holder would think the lease fresh when it wakes.
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Lease:
    """A lease that this process holds."""

    def __init__(self, url: str, purpose: str) -> None:
        self.url = url
        self._content = {**_this_process(), "purpose": purpose, "owner": uuid4().hex, "renewed": 0}
        self._version = ""
        self._confirmed = 0.0
        self._lost = ""
        self._lock = threading.Lock()

    def take(self, former: str) -> None:
        """Write this lease where there is none, or over the version `former` of one whose holder is gone."""
        # The time before the request counts: how long its answer took nobody else knows.
        began, written = steady_seconds(), self._data()
        put_version(self.url, written, former)
        content, version = read_version(self.url)
        # A process that was stopped between the two requests finds its successor's lease, which is not its own.
        if content != written:
            raise ChangedError(f"{self.url}: was written by another one meanwhile")
        self._version, self._confirmed = version, began

    def renew(self) -> None:
        """Show that the holder lives.

        Raises
        ------
        LeaseError
            if the lease is another's now
        """
        with self._lock:
            if self._lost:
                raise LeaseError(self._lost)
            self._content["renewed"] += 1
            try:
                self._take_again()
            except ChangedError as error:
                other, _ = read_version(self.url)
                who = f"{described(read_content(other))} writes there now" if other else "it was removed"
                self._lost = (
                    f"{self.url}: this run has lost its lease, {who}; it stops writing. What it has finished is kept, "
                    "and the other run goes on from it"
                )
                raise LeaseError(self._lost) from error

    def stop_if_lost(self) -> None:
        """Raise the reason for which the lease was lost, if it was."""
        if self._lost:
            raise LeaseError(self._lost)

    def _take_again(self) -> None:
        """Write the lease over the version that this holder wrote last."""
        try:
            self.take(self._version)
        except ChangedError:
            # A renewal may have arrived although its answer was lost in an outage: then the lease is still this one.
            content, version = read_version(self.url)
            if content is None or read_content(content).get("owner") != self._content["owner"]:
                raise
            self.take(version)

    def require(self) -> None:
        """Renew at once unless that was done a short while ago."""
        if self._lost or steady_seconds() - self._confirmed > SAFE_SHARE * LEASE_SECONDS:
            self.renew()

    def seconds_left(self) -> float:
        """How long what is written now may still be on its way, before somebody else may have taken over."""
        return LEASE_SECONDS - (steady_seconds() - self._confirmed)

    def give_up(self, reason: str) -> None:
        """Write nothing more for a reason, and let another one in."""
        with self._lock:
            self._lost = reason
        self.give_back()

    def give_back(self) -> None:
        """Remove the lease unless it is another's."""
        if self._version:
            with suppress(ChangedError):
                remove_version(self.url, self._version)

    def _data(self) -> bytes:
        return json.dumps(self._content).encode()


def never() -> str:
    """No reason to give a lease up."""
    return ""


@contextmanager
def leased(url: str, purpose: str, must_stop: Callable[[], str] = never) -> Iterator[None]:
    """Be the one that writes, for as long as the context lasts.

    Parameters
    ----------
    url : object that is the lease
    purpose : what is done meanwhile, for whoever finds it
    must_stop : asked before each renewal, in a thread of its own: why this run may write no more; empty if it may

    Raises
    ------
    LeaseError
        if another run holds it and lives
    """
    lease = Lease(url, purpose)
    _acquire(lease)
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEW_SECONDS):
            try:
                if reason := must_stop():
                    lease.give_up(reason)
                    return
                lease.renew()
            except LeaseError:
                return
            # The store is silent now, or says what nobody has foreseen: a keeper that ended by it would let the lease
            # run out under work that lives. The next write of visible metadata asks again.
            except Exception:
                continue

    # A daemon: a process that ends in any way must not be kept alive by its lease.
    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    token = _held.set(lease)
    try:
        yield
    finally:
        _held.reset(token)
        ended.set()
        keeper.join()
        # Where the store is silent now, the lease runs out by itself.
        with suppress(OSError):
            lease.give_back()


def _acquire(lease: Lease) -> None:
    former_content, former_version = read_version(lease.url)
    since = steady_seconds()
    while True:
        try:
            gone = former_content is None or _is_gone(read_content(former_content))
            if gone or steady_seconds() - since > LEASE_SECONDS:
                lease.take(former_version)
                return
        except ChangedError:
            # Another one that waited was faster.
            pass
        time.sleep(WATCH_SECONDS)
        content, version = read_version(lease.url)
        if content is not None and content != former_content:
            who = described(read_content(content))
            raise LeaseError(
                f"{lease.url}: {who} writes there; wait for its end or stop it, two at once would overwrite each other"
            )
        former_content, former_version = content, version


def read_content(data: bytes) -> dict[str, Any]:
    """What a lease says of its holder; nothing where it is damaged, as by a machine that lost its power."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def described(content: dict[str, Any]) -> str:
    """Who holds a lease, for people."""
    if not {"purpose", "process", "host", "since"} <= content.keys():
        return "somebody whose lease cannot be read"
    return f"{content['purpose']} (process {content['process']} on {content['host']}, since {content['since']})"


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "process": os.getpid(),
        "start": start_of(os.getpid()),
        "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _boot() -> str:
    """Name of this start of this machine and of this container; empty where the system has no `/proc`."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {namespace}"
    except OSError:
        return ""


def _is_gone(content: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that has ended: nothing has to be waited for then."""
    # Numbers of processes mean something on one machine alone, since its last start and in one container.
    if not content.get("boot") or content["boot"] != _boot():
        return False
    # A number of a process may be given anew: only one that began at the same moment is the holder. A lease of a
    # former SoMo, which told the moment by the clock, is watched like one from another machine.
    return "start" in content and start_of(content["process"]) != content["start"]
