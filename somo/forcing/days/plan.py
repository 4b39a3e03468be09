"""Which steps of a source make which UTC day."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from somo.forcing.days.intervals import (
    require_apart,
    require_one_a_day,
    require_one_step,
    require_sums_of_days,
    whole_days,
)
from somo.forcing.days.stamps import DAY_SECONDS, Meaning, Stamps, as_text, have_intervals, meaning
from somo.forcing.sources import ForcingError
from somo.product.inputs import Source

Accumulation = Literal["day", "step"]
NO_LEAP_YEARS = ("noleap", "365_day", "360_day")


@dataclass(frozen=True, eq=False)
class DayPlan:
    """The steps that make each day.

    Attributes
    ----------
    first_day : days since 1970-01-01 of the first whole day
    steps : [day, k] numbers of the steps, -1 where a day has none
    total : whether a day is the sum of its steps and not their mean
    """

    first_day: int
    steps: NDArray[np.int64]
    total: bool

    @property
    def stop_day(self) -> int:
        """Day after the last one."""
        return self.first_day + len(self.steps)

    def of(self, first_day: int, stop_day: int) -> NDArray[np.int64]:
        """[day, k] steps of some days since 1970-01-01."""
        return self.steps[first_day - self.first_day : stop_day - self.first_day]


def plan_days(name: str, source: Source, stamps: Stamps, accumulation: Accumulation | None = None) -> DayPlan:
    """Which steps make which day, from the first to the last whole one.

    Parameters
    ----------
    name : of the variable, for messages
    accumulation : what sub-daily sums are, as their numbers show where the declaration does not say

    Raises
    ------
    ForcingError
        naming the file and the time: intervals that do not lie within a UTC day, steps that do not cover a day, days
        missing between others, more or fewer values a day than declared
    """
    if stamps.calendar.lower() in NO_LEAP_YEARS and source.calendar_gap is None:
        raise ForcingError(
            f"{stamps.where}: its times are in the {stamps.calendar!r} calendar, which lacks days that forcing.{name} "
            f'needs: fill them with the day before by forcing.{name}.calendar_gap = "repeat", or provide files in the '
            "standard calendar"
        )
    stamp_meaning = meaning(name, source, stamps)
    if source.frequency == "sub-daily" and stamp_meaning.kind == "accumulated":
        accumulation = source.accumulation or accumulation
        if accumulation is None and not _once_a_day(stamps.times):
            raise ForcingError(accumulation_missing(name, stamps.where))
        if accumulation != "step":
            return _sums_of_the_day(name, source, stamps)
    days, starts, ends = _day_of_step(name, source, stamps, stamp_meaning)
    if stamp_meaning.kind != "instantaneous":
        require_apart(name, source, stamps, starts, ends)
    numbers = np.arange(len(days))
    if source.frequency == "daily":
        numbers = whole_days(name, source, stamps, starts, ends)
        days = days[numbers]
        require_one_a_day(name, stamps, numbers, days)
    first, stop = int(days[0]), int(days[-1]) + 1
    counts = np.bincount(days - first, minlength=stop - first)
    per_day = 1 if source.frequency == "daily" else _steps_per_day(name, source, stamps, counts)
    if source.frequency != "daily":
        require_one_step(name, stamps, counts, per_day, first)
    position = np.arange(len(days)) - np.concatenate([[0], np.cumsum(counts)])[days - first]
    steps = np.full((stop - first, per_day), -1, "int64")
    inside = position < per_day
    steps[days[inside] - first, position[inside]] = numbers[inside]
    # A day that lacks a step is missing: the mean of the others would lean towards the hours that are there.
    steps[counts != per_day] = -1
    total = stamp_meaning.kind == "accumulated" and per_day > 1
    return _finished(name, source, stamps, first, steps, total)


def accumulation_missing(name: str, where: str) -> str:
    """Text of the error where neither declaration nor numbers say since when sub-daily sums run."""
    return (
        f"{where}: forcing.{name} sums several times a day, and nothing says since when: write "
        f'forcing.{name}.accumulation = "day" if the sums begin anew at 00 UTC (ERA5-Land), or "step" if each is of '
        "its own step (ERA5)"
    )


def _once_a_day(times: NDArray[np.int64]) -> bool:
    return len(np.unique(times // DAY_SECONDS)) == len(times)


def _offset(source: Source) -> int:
    return round(3600 * source.day_offset_hours)


def _sums_of_the_day(name: str, source: Source, stamps: Stamps) -> DayPlan:
    """Sums since 00 UTC: the value at the next 00 UTC is that of the day, and other steps are not needed."""
    shifted = stamps.times - _offset(source)
    complete = np.flatnonzero(shifted % DAY_SECONDS == 0)
    if not len(complete):
        raise ForcingError(
            f"{stamps.where}: sums since 00 UTC are complete at 00 UTC of the next day, but no time is at 00 UTC (they "
            f"begin {as_text(stamps.times[0])}): add 00 UTC to the download, or correct forcing.{name}.accumulation"
        )
    require_sums_of_days(name, stamps, complete)
    days = shifted[complete] // DAY_SECONDS - 1
    steps = np.full((int(days[-1] - days[0]) + 1, 1), -1, "int64")
    steps[days - days[0], 0] = complete
    return _finished(name, source, stamps, int(days[0]), steps, False)


def _day_of_step(
    name: str, source: Source, stamps: Stamps, stamp_meaning: Meaning
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """[step] day since 1970-01-01 of each step, and its interval."""
    starts, ends = _intervals(source, stamps, stamp_meaning)
    offset = _offset(source)
    # The last second counts: what ends at 00 UTC lies in the day before. An instant is its own last second.
    first, last = (starts - offset) // DAY_SECONDS, np.maximum(ends - 1 - offset, starts - offset) // DAY_SECONDS
    if (first != last).any():
        at = int(np.argmax(first != last))
        hours = starts[at] % DAY_SECONDS / 3600
        if ends[at] - starts[at] == DAY_SECONDS:
            # days that begin in the evening are those of a clock ahead of UTC, and have the next date
            hours -= 24 * (hours > 12)
            remedy = f"accept these days with forcing.{name}.day_offset_hours = {hours:g}"
        else:
            remedy = f"correct forcing.{name}.stamp or frequency"
        raise ForcingError(
            f"{stamps.file(at)}: the value stamped {as_text(stamps.times[at])} stands for {as_text(starts[at])} to "
            f"{as_text(ends[at])}, which is not within one UTC day: {remedy}"
        )
    return first, starts, ends


def _intervals(source: Source, stamps: Stamps, stamp_meaning: Meaning) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[step] start and end of what each step stands for; an instant ends where it starts."""
    times = stamps.times
    bounds = stamps.bounds if stamp_meaning.kind != "instantaneous" and stamp_meaning.stamp is None else None
    if bounds is not None and have_intervals(source, stamps).all():
        return bounds[:, 0], bounds[:, 1]
    if stamp_meaning.stamp is None:
        return times, times
    step = DAY_SECONDS if source.frequency == "daily" else stamps.step
    seconds_before_stamp = {"start": 0, "middle": step // 2, "end": step}[stamp_meaning.stamp]
    starts = times - seconds_before_stamp
    if source.frequency == "daily":
        # days stamped 23:59:59, or 11:30 as the mean of 24 hours' stamps; no time zone is less than an hour from UTC
        offset = _offset(source)
        day_start = np.round((starts - offset) / DAY_SECONDS).astype("int64") * DAY_SECONDS + offset
        starts = np.where(np.abs(starts - day_start) < 3600, day_start, starts)
    return starts, starts + step


def _steps_per_day(name: str, source: Source, stamps: Stamps, counts: NDArray[np.int64]) -> int:
    """Steps of a whole day, which must be evenly spaced over it."""
    step = stamps.step
    if step >= DAY_SECONDS or DAY_SECONDS % step:
        raise ForcingError(
            f"{stamps.where}: a time every {step} s, but it is declared {source.frequency!r}; correct frequency "
            "or provide steps that divide a day"
        )
    per_day = DAY_SECONDS // step
    if (counts > per_day).any() or not (counts == per_day).any():
        raise ForcingError(
            f"{stamps.where}: {int(counts.max())} values a day, {step} s apart, do not cover the day evenly; provide "
            f"all steps of forcing.{name}"
        )
    return per_day


def _finished(name: str, source: Source, stamps: Stamps, first: int, steps: NDArray[np.int64], total: bool) -> DayPlan:
    """Whole days from first to last; days missing between them are refused unless the declaration fills them."""
    complete_days = np.flatnonzero((steps >= 0).all(axis=1))
    if not len(complete_days):
        raise ForcingError(f"{stamps.where}: no day of forcing.{name} has all its steps; provide whole days")
    steps = steps[complete_days[0] : complete_days[-1] + 1]
    first += int(complete_days[0])
    missing: NDArray[np.bool_] = np.asarray((steps < 0).any(axis=1))
    if source.calendar_gap == "repeat":
        steps, missing = _repeated(first, stamps.calendar, steps, missing)
    longest = source.max_gap_days if source.gaps == "interpolate" else 0
    for start, length in _runs(missing):
        if length > longest:
            around = int(steps[start - 1].max()), int(steps[start + length].max())
            raise ForcingError(_missing_days(name, stamps, first + start, length, longest, around))
    return DayPlan(first, np.where(missing[:, None], -1, steps), total)


def _missing_days(name: str, stamps: Stamps, day: int, length: int, longest: int, around: tuple[int, int]) -> str:
    """Text of the error on missing days; `around` holds a step before and one after them."""
    files = " and ".join(dict.fromkeys(stamps.file(step) for step in around))
    days = f"{np.datetime64(day, 'D')}"
    days += f" to {np.datetime64(day + length - 1, 'D')}" if length > 1 else ""
    limit = f", more than max_gap_days {longest}" if longest else ""
    calendar = (
        f'fill days that a calendar of 365 days lacks with forcing.{name}.calendar_gap = "repeat", '
        if length == 1 and _is_left_out(day, stamps.calendar) and day not in stamps.times // DAY_SECONDS
        else ""
    )
    return (
        f"forcing.{name}: {days} is missing or has not all its steps{limit} between the others of {files}; provide "
        f'it, {calendar}or fill gaps with forcing.{name}.gaps = "interpolate" and max_gap_days'
    )


def _repeated(
    first: int, calendar: str, steps: NDArray[np.int64], missing: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days that calendars of 365 or 360 days do not have get the steps of the day before."""
    steps, missing = steps.copy(), missing.copy()
    for index in np.flatnonzero(missing):
        if _is_left_out(first + int(index), calendar):
            steps[index], missing[index] = steps[index - 1], missing[index - 1]
    return steps, missing


def _is_left_out(day: int, calendar: str) -> bool:
    """Whether a day since 1970-01-01 is one that years of 365 (or 360) days leave out."""
    date: dt.date = np.datetime64(day, "D").astype(object)
    if calendar.lower() == "360_day":
        return date.day == 31
    # years of 365 days in the standard calendar, as Daymet's, lack the last day of leap years
    is_leap = (date + dt.timedelta(days=1)).month == 1 and date.timetuple().tm_yday == 366
    return (date.month, date.day) == (2, 29) or is_leap


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, length) of every run of true flags."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype("int8"), [0]])))
    return [(int(a), int(b - a)) for a, b in edges.reshape(-1, 2)]


def to_daily(
    steps: NDArray[np.integer], total: bool, read: Callable[[NDArray[np.int64]], NDArray[np.floating]]
) -> NDArray[np.float32]:
    """[day, ...] mean or total of the steps of each day; a missing step makes the day missing.

    Parameters
    ----------
    steps : [day, k] numbers of steps, -1 where a day has none
    read : ascending step numbers -> values [step, ...]
    """
    wanted = np.unique(steps[steps >= 0])
    values = read(wanted)
    # A missing step (-1) borrows the first one that was read; its day becomes NaN below.
    place = np.searchsorted(wanted, np.maximum(steps, wanted[0]))
    if steps.shape[1] == 1:
        picked = values if len(wanted) == len(steps) else values[place[:, 0]]
    else:
        by_day = values[place.ravel()] if place.size != len(wanted) else values
        by_day = by_day.reshape(*steps.shape, *values.shape[1:])
        reduced = by_day.sum(axis=1, dtype="float64") if total else by_day.mean(axis=1, dtype="float64")
        picked = reduced.astype(np.float32)
    empty = (steps < 0).any(axis=1)
    if empty.any():
        picked = np.where(empty.reshape(-1, *[1] * (picked.ndim - 1)), np.nan, picked)
    return picked.astype(np.float32, copy=False)
