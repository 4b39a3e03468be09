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

import psutil

from somo.storage.client import filesystem
from somo.storage.conditional import ChangedError, put_version, read_version
from somo.storage.objects import exists, put, read_bytes
from somo.storage.patience import StorageError

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
    require_lease()
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
        began = steady_seconds()
        put_version(self.url, self._data(), former)
        self._version, self._confirmed = read_version(self.url)[1], began

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
                who = f"{described(json.loads(other))} writes there now" if other else "it was removed"
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
            if content is None or json.loads(content)["owner"] != self._content["owner"]:
                raise
            self.take(version)

    def require(self) -> None:
        """Renew at once unless that was done a short while ago."""
        if self._lost or steady_seconds() - self._confirmed > SAFE_SHARE * LEASE_SECONDS:
            self.renew()

    def give_up(self, reason: str) -> None:
        """Write nothing more for a reason, and let another one in."""
        with self._lock:
            self._lost = reason
        self.give_back()

    def give_back(self) -> None:
        """Remove the lease unless it is another's."""
        data, version = read_version(self.url)
        if data is not None and version == self._version:
            fs, path = filesystem(self.url)
            fs.rm_file(path)

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
            except OSError:
                # The store is silent now; the next write of visible metadata asks again.
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
            gone = former_content is None or _is_gone(json.loads(former_content))
            if gone or steady_seconds() - since > LEASE_SECONDS:
                lease.take(former_version)
                return
        except ChangedError:
            # Another one that waited was faster.
            pass
        time.sleep(WATCH_SECONDS)
        content, version = read_version(lease.url)
        if content is not None and content != former_content:
            raise LeaseError(
                f"{lease.url}: {described(json.loads(content))} writes there; wait for its end or stop it, two at once "
                "would overwrite each other"
            )
        former_content, former_version = content, version


def described(content: dict[str, Any]) -> str:
    """Who holds a lease, for people."""
    return f"{content['purpose']} (process {content['process']} on {content['host']}, since {content['since']})"


def _this_process() -> dict[str, Any]:
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "process": os.getpid(),
        "started": psutil.Process().create_time(),
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
    if not content["boot"] or content["boot"] != _boot():
        return False
    try:
        # A number of a process may be given anew: only one that began at the same time, to rounding, is the holder.
        return bool(abs(psutil.Process(content["process"]).create_time() - content["started"]) > 1)
    except psutil.NoSuchProcess:
        return True
