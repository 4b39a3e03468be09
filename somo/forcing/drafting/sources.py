"""The fields of the files at given places, with their URL patterns and the days that they cover."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from somo.forcing.drafting.content import DAY_SECONDS, Field, content_of
from somo.forcing.drafting.names import NamePattern, patterns_in
from somo.product.patterns import Pattern

ONE_DAY = dt.timedelta(days=1)
MONTH_DAYS, YEAR_DAYS = 31, 366


@dataclass(frozen=True)
class DraftSource:
    """A field of a group of files.

    Attributes
    ----------
    url : URL pattern of the files
    files : how many there are; 1 where nobody can list them
    field : what the first of them holds
    last : what the last of them holds; the same as `field` of a single file
    """

    url: str
    files: int
    field: Field
    last: Field

    @property
    def days(self) -> tuple[dt.date, dt.date] | None:
        """First and last whole day of values; None where neither the files nor their names give days."""
        if not self.field.has_time:
            first, last = (Pattern(self.url).day_of(f.file.url, "home") for f in (self.field, self.last))
            return None if first is None or last is None else (first, last)
        if self.field.scan is None or self.last.scan is None:
            return None
        begin, end = int(self.field.scan.times[0]), int(self.last.scan.times[-1])
        first_day, last_day = (dt.date(1970, 1, 1) + stamp // DAY_SECONDS * ONE_DAY for stamp in (begin, end))
        if self.field.is_daily:
            return first_day, last_day
        step = int(np.median(np.diff(self.field.scan.times)))
        # A whole day begins with a value at 00 UTC, or one step later where stamps are the ends of intervals.
        if begin % DAY_SECONDS > step:
            first_day += ONE_DAY
        # A sum is complete with the value at 00 UTC of the day after, another day with its last step.
        sums = self.field.kind in (None, "accumulated")
        if sums or end % DAY_SECONDS < DAY_SECONDS - step:
            last_day -= ONE_DAY
        return first_day, last_day


def fields_at(place: str) -> Iterator[DraftSource]:
    """Every field of the files at a place.

    Raises
    ------
    ForcingError
        where there is no file, or one that holds no data
    """
    for pattern in patterns_in(place):
        first = content_of(pattern.first)
        last = first if pattern.files == 1 else content_of(pattern.last)
        for field in first.fields:
            same = next((f for f in last.fields if f.name == field.name), field)
            url = _holding(pattern, field)
            yield DraftSource(url, pattern.files, replace(field, url=url), replace(same, url=url))


def _holding(pattern: NamePattern, field: Field) -> str:
    """The pattern, in which dates become `*` where a file holds other days than its name says."""
    fields = Pattern(pattern.url).fields
    if not field.has_time or field.scan is None or "year" not in fields:
        return pattern.url
    days = (int(field.scan.times[-1]) - int(field.scan.times[0])) / DAY_SECONDS
    longest = 1 if fields & {"day", "doy"} else MONTH_DAYS if "month" in fields else YEAR_DAYS
    return pattern.url if days <= longest else pattern.with_wildcards()


def common_days(sources: Iterable[DraftSource]) -> tuple[dt.date, dt.date] | None:
    """First and last day that all sources cover; None where no source gives its days."""
    covered = [source.days for source in sources]
    known_days = [days for days in covered if days is not None]
    if not known_days:
        return None
    return max(first for first, _ in known_days), min(last for _, last in known_days)
