"""The one policy of trying again: a request is repeated while its store is out of reach, and nothing else is.

Every request goes through here, each with the patience of the store that it asks. An answer that trying again cannot
change (no such object, not permitted, a full disk) is raised at once and unchanged.
"""

import asyncio
import errno
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

import aiohttp
import botocore.exceptions
import botocore.parsers

T = TypeVar("T")
# A rolling restart of an object store takes about a minute; what lasts longer needs a person.
PATIENCE_S = 90.0
# A connection that breaks off is mended at once, so the first pause is short; a busy server gets longer ones.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0
NETWORK_ERRORS = (
    TimeoutError,
    ConnectionError,
    aiohttp.ClientConnectionError,
    aiohttp.ClientPayloadError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.parsers.ResponseParserError,
)
# What s3fs makes of the answers SlowDown, ServiceUnavailable, InternalError and of a connection that breaks off.
PASSING_ERRNOS = {errno.EBUSY, errno.EREMOTEIO, errno.EIO}
# Request timeout, too early, too many requests, and what servers and the proxies before them say while they restart.
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


# By `time.monotonic`: when patience ends at the latest, whatever a store deserves.
_latest_end: ContextVar[float] = ContextVar("latest_end", default=float("inf"))
# Requests of this process that were asked again; a lock, since many threads ask at once.
_repeats, _counting = [0], threading.Lock()


def repeated_requests() -> int:
    """How many requests of this process were asked again so far."""
    return _repeats[0]


def _count_repeat() -> None:
    with _counting:
        _repeats[0] += 1


class StorageError(OSError):
    """A place that cannot be read or written; the text names the URL and the remedy."""


class UnreachableError(StorageError):
    """A store that stayed out of reach for as long as its patience lasts; says nothing about the object asked for."""


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Begin no request of this thread any more once so many seconds have gone by."""
    token = _latest_end.set(min(time.monotonic() + seconds, _latest_end.get()))
    try:
        yield
    finally:
        _latest_end.reset(token)


def is_passing(error: BaseException) -> bool:
    """Whether a failure comes from the network or a busy server, so that the same request may succeed later."""
    # Raised where patience has ended, or for a reason that stays: a caller further out must not begin again.
    if isinstance(error, StorageError):
        return False
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status in PASSING_STATUS
    return isinstance(error, NETWORK_ERRORS) or getattr(error, "errno", None) in PASSING_ERRNOS


def patiently(url: str, request: Callable[[], T], patience_s: float | None = None) -> T:
    """Result of a request, repeated while it fails for a passing reason.

    Parameters
    ----------
    url : what is asked for, for the message
    patience_s : seconds after which it is given up; 90 if not given

    Raises
    ------
    UnreachableError
        naming the URL and the last failure
    """
    for pause_s in _pauses(patience_s):
        try:
            return request()
        except Exception as error:
            if not is_passing(error):
                raise
            last = error
        _count_repeat()
        time.sleep(pause_s)
    raise unreachable(url, last) from last


async def patiently_async(url: str, request: Callable[[], Awaitable[T]], patience_s: float | None = None) -> T:
    """As `patiently`, without holding up the event loop."""
    for pause_s in _pauses(patience_s):
        try:
            return await request()
        except Exception as error:
            if not is_passing(error):
                raise
            last = error
        _count_repeat()
        await asyncio.sleep(pause_s)
    raise unreachable(url, last) from last


def _pauses(patience_s: float | None) -> Iterator[float]:
    """Seconds to wait after each failed attempt, as long as the patience lasts; one attempt at the least."""
    give_up = min(time.monotonic() + (PATIENCE_S if patience_s is None else patience_s), _latest_end.get())
    pause_s = FIRST_PAUSE_S
    while True:
        last_attempt = time.monotonic() + pause_s > give_up
        yield 0.0 if last_attempt else pause_s
        if last_attempt:
            return
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def unreachable(url: str, error: Exception | str) -> UnreachableError:
    """The error of a request that is given up; `error` is the last failure, or its text."""
    reason = str(error).strip() or type(error).__name__
    if isinstance(error, Exception) and _has_answered(error):
        # A server whose disk is full, or that has lost a part of its own, is reached and says so in an answer.
        return UnreachableError(
            f"{url}: its server answers, but cannot do what it is asked ({reason}); look at that server's log and at "
            "its free disk"
        )
    return UnreachableError(f"{url}: cannot be reached ({reason}); check the network and the AWS_* settings")


def _has_answered(error: Exception) -> bool:
    """Whether a failure is an answer of the server, and not the lack of one."""
    if isinstance(error, aiohttp.ClientResponseError):
        return True
    answer = getattr(error, "response", None) or getattr(getattr(error, "__cause__", None), "response", None)
    return isinstance(answer, dict) and "Error" in answer
