"""The day that work belongs to: fixed when it begins, so that midnight in the middle of it changes nothing."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_day: ContextVar[dt.date | None] = ContextVar("day", default=None)


def today() -> dt.date:
    """The day (UTC) of the work that is going on, or of the clock where none is."""
    return _day.get() or by_the_clock()


def by_the_clock() -> dt.date:
    """The day (UTC) that the clock shows."""
    return dt.datetime.now(dt.UTC).date()


@contextmanager
def on_day(day: dt.date | None = None) -> Iterator[None]:
    """Do work as of one day, today by the clock if none is given, however long it takes."""
    token = _day.set(day or today())
    try:
        yield
    finally:
        _day.reset(token)
