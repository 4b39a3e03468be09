"""Checks of the intervals that a source's values stand for, so that days can be made from them."""

import numpy as np
from numpy.typing import NDArray

from somo.forcing.days.stamps import DAY_SECONDS, Stamps, as_text
from somo.forcing.sources import ForcingError
from somo.product.inputs import Source

# Bounds of a daily value that end with the day's last hour, as some producers write them, still mean the day.
SHORTEST_DAY_SECONDS = 82_800
# `cdo daymean` writes a day's first and last step as its bounds: four values 6 hours apart are from 00 to 18 UTC. From
# 00 to 12 UTC may as well be half a day, as sums of a forecast are.
STEPS_WITHIN_BOUNDS = tuple(hours * 3600 for hours in (2, 3, 4, 6))


def require_sums_of_days(name: str, stamps: Stamps, complete: NDArray[np.int64]) -> None:
    """Refuse sums since 00 UTC whose own intervals, where files give them, are not a day long.

    Parameters
    ----------
    complete : numbers of the steps at 00 UTC, at which a day's sum is complete

    Raises
    ------
    ForcingError
        naming the file, the time and the interval
    """
    if stamps.bounds is None:
        return
    widths = np.diff(stamps.bounds[complete], axis=1)[:, 0]
    short = (widths > 0) & (widths != DAY_SECONDS)
    if short.any():
        at = int(complete[np.argmax(short)])
        raise ForcingError(
            f"{stamps.file(at)}: the sum at {as_text(stamps.times[at])} has run since "
            f"{as_text(stamps.bounds[at, 0])} by its own interval and not since 00 UTC of the day before; correct "
            f"forcing.{name}.accumulation"
        )


def require_apart(
    name: str, source: Source, stamps: Stamps, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> None:
    """Refuse sub-daily intervals that overlap, as those of sums since the start of a forecast do.

    Parameters
    ----------
    starts, ends : [step] seconds since 1970-01-01

    Raises
    ------
    ForcingError
        naming the file and the interval
    """
    # a minute: bounds are often rounded
    within = starts[1:] < ends[:-1] - 60
    if source.frequency == "sub-daily" and within.any():
        at = int(np.argmax(within)) + 1
        begin = "since 00 UTC write" if starts[at] % DAY_SECONDS == 0 else "since 00 UTC, which these are not, write"
        raise ForcingError(
            f"{stamps.file(at)}: the value stamped {as_text(stamps.times[at])} stands for {as_text(starts[at])} to "
            f"{as_text(ends[at])} and so contains part of the one before it, as sums since the start of a forecast do; "
            f'for sums {begin} forcing.{name}.accumulation = "day", for others take the difference of '
            'neighbouring steps and write accumulation = "step"'
        )


def whole_days(
    name: str, source: Source, stamps: Stamps, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of the daily values that stand for whole days; parts of days between others are refused.

    The first and the last value may be of a part, as where hours that begin or end within a day became daily means, or
    of the instant at which a model began.

    Parameters
    ----------
    starts, ends : [step] seconds since 1970-01-01

    Raises
    ------
    ForcingError
        naming the file, the time and the interval
    """
    widths = ends - starts
    is_part = _are_no_days(source, starts, widths) & widths.any()
    if is_part[1:-1].any() or (is_part.any() and len(is_part) < 3):
        at = int(np.argmax(is_part))
        raise ForcingError(
            f"{stamps.file(at)}: the value stamped {as_text(stamps.times[at])} stands for {as_text(starts[at])} to "
            f"{as_text(ends[at])} by the bounds of its time, which is not a day; provide values of whole days, or "
            f"correct forcing.{name}.frequency"
        )
    return np.flatnonzero(~is_part)


def _are_no_days(source: Source, starts: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[step] whether a daily value stands for less or more than a day."""
    is_day = (widths >= SHORTEST_DAY_SECONDS) & (widths <= DAY_SECONDS)
    # Most bounds show what all of them mean: 21 hours of one day among others of 23 are a part of it.
    usual = int(np.median(widths))
    if DAY_SECONDS - usual in STEPS_WITHIN_BOUNDS:
        from_start = (starts - round(3600 * source.day_offset_hours)) % DAY_SECONDS == 0
        is_day = from_start & (widths == usual)
    return ~is_day


def require_one_a_day(name: str, stamps: Stamps, numbers: NDArray[np.int64], days: NDArray[np.int64]) -> None:
    """Refuse several daily values of one day.

    Parameters
    ----------
    numbers, days : of the values: of their steps, and days since 1970-01-01

    Raises
    ------
    ForcingError
        naming the file and the day
    """
    counts = np.bincount(days - days[0])
    if (counts > 1).any():
        day = int(days[0]) + int(np.argmax(counts > 1))
        step = int(numbers[np.flatnonzero(days == day)[-1]])
        raise ForcingError(
            f"{stamps.file(step)}: {int(counts.max())} values on {np.datetime64(day, 'D')}, a time every {stamps.step} "
            f's, but forcing.{name} is declared "daily"; write frequency = "sub-daily", or provide one value a day'
        )


def require_one_step(name: str, stamps: Stamps, counts: NDArray[np.int64], per_day: int, first: int) -> None:
    """Refuse files whose first or last days have another number of steps than the others, as after a new release.

    A single day at either end may be cut off; two or more with one other number are whole days of another step.

    Parameters
    ----------
    counts : [day] numbers of values
    per_day : usual number of them
    first : day since 1970-01-01 of the first count

    Raises
    ------
    ForcingError
        naming the file and the day from which on, or until which, the step is another one
    """
    for ends_with, of_day in (("from", counts[::-1]), ("until", counts)):
        same = of_day == of_day[min(1, len(of_day) - 1)]
        # The outermost day may be cut off and have fewer values than the day beside it.
        length = int(np.argmin(same[1:])) + 1 if not same[1:].all() else len(of_day)
        number = int(of_day[min(1, len(of_day) - 1)])
        if length < 3 or number in (0, per_day) or 24 % number:
            continue
        day = first + (len(counts) - length if ends_with == "from" else length - 1)
        step, on = int(np.cumsum(counts)[day - first]) - 1, " on" if ends_with == "from" else ""
        raise ForcingError(
            f"{stamps.file(step)}: has {number} values a day {ends_with} {np.datetime64(day, 'D')}{on}, and the other "
            f"days of forcing.{name} have {per_day}; declare files of one step, or continue with others by "
            f"[[forcing.{name}.then]]"
        )
