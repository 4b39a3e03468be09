"""Checks of a reference set's numbers against its declaration, and the marker that keeps their result."""

import json
from functools import lru_cache
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

from somo.core.variables import FORCING, Quantity
from somo.forcing.daily import DailyArray
from somo.forcing.days.plan import Accumulation, accumulation_missing, to_daily
from somo.forcing.days.stamps import DAY_SECONDS
from somo.forcing.meaning import Cells, is_accumulated, placing_of, plan_of, stamps_of
from somo.forcing.plausible import ENOUGH_STEPS, Changes, changes_of, unlikely_units
from somo.forcing.references.chunks import open_references
from somo.forcing.regridding.placing import SourceWindow
from somo.forcing.sources import ForcingError
from somo.forcing.steps import read_steps
from somo.forcing.units import conversion, parse_units, per_day, units_of_values
from somo.product.declaration import content_hash
from somo.product.inputs import Source
from somo.storage.objects import exists, put, read_bytes

SAMPLE_CELLS = 24
"""Rows and columns of the cells that are looked at."""
# Windows of time from all over the source: where no rain falls, a sum neither rises nor falls and shows nothing.
SAMPLES, SAMPLE_DAYS, SAMPLE_STEPS = 4, 12, 100
# Where a day has one value, a few dry days show nothing yet.
SAMPLE_DAYS_OF_ONE_STEP = 25
# Fewer days say nothing of a climate.
LEAST_DAYS = 10

RAIN = "precipitation"
# Rises for each fall from day to day: of rain 0.7 to 1.5 in samples of single cells, of sums since January 6 and more.
FEWER_FALLS = 5
EXTREMES = ("maximum", "minimum")
# Days that ended with a sum of some size, of which none began anew: by chance it rains more in the hour that follows.
ENOUGH_DAYS = 3
Sums = Literal["running", "endless", "falling", "undecided"]


class Findings(TypedDict):
    """What the marker of a checked source keeps."""

    accumulation: Accumulation | None


def marker_url(source: Source, references: str) -> str:
    """URL of the marker that the numbers of a reference set were checked against this declaration."""
    return f"{references.removesuffix('.parquet')}.{content_hash(source)}.checked.json"


def is_checked(source: Source, references: str) -> bool:
    """Whether the numbers of a reference set have been checked against this declaration."""
    return exists(marker_url(source, references))


@lru_cache(maxsize=64)
def _findings(url: str) -> Findings:
    findings: Findings = json.loads(read_bytes(url))
    return findings


def accumulation_of(source: Source, references: str) -> Accumulation | None:
    """Whether sums run since 00 UTC ("day"), as their numbers show where the declaration does not say; else None."""
    if source.accumulation is not None or source.frequency == "daily" or not is_checked(source, references):
        return None
    return _findings(marker_url(source, references))["accumulation"]


def check_numbers(name: str, quantity: Quantity, source: Source, references: str, cells: Cells) -> None:
    """Check a sample of a source's numbers against its declaration, and write the marker with the result.

    Parameters
    ----------
    name : of the source, for messages
    references : URL of its reference set
    cells : the product's cells, on which the source is read

    Raises
    ------
    ForcingError
        where steps make no whole days, where sums are not what is declared, where extremes are taken for means, or
        where values have other units than are declared or than the file says
    """
    _require_no_extreme(name, source, references)
    accumulation = _checked_sums(name, source, references, cells)
    if quantity.name == RAIN and _is_once_a_day(references):
        _require_sums_of_one_day(name, source, references, cells)
    # Steps that make no whole days are refused here too, before anything is computed.
    plan_of(name, source, references, accumulation)
    _check_units(DailyArray(name, quantity, source, references, 0, 0, cells, accumulation))
    findings: Findings = {"accumulation": accumulation}
    put(marker_url(source, references), json.dumps(findings).encode())


def _require_no_extreme(name: str, source: Source, references: str) -> None:
    """Refuse a day's highest or lowest value as the variable itself, unless `kind` says that it is wanted.

    Terms with names of their own, as of the mean of both, are what they are called.
    """
    stamps = stamps_of(open_references(references))
    variable, *continuing = name.split(".then.")
    if stamps.method not in EXTREMES or source.kind is not None or variable not in FORCING:
        return
    # A source that continues another one cannot be computed from two.
    remedy = (
        "name a source of means"
        if continuing
        else f"declare minimum and maximum by names of their own and write forcing.{variable} = {{ mean_of = [...] }}"
    )
    raise ForcingError(
        f"{stamps.where}: {source.variable} is the {stamps.method} of each step by its own attributes (cell_methods "
        f"{stamps.cell_methods!r}), no mean: {remedy}, or write "
        f'forcing.{name}.kind = "mean" to take these values as they are'
    )


def _checked_sums(name: str, source: Source, references: str, cells: Cells) -> Accumulation | None:
    """Whether sub-daily sums are since 00 UTC, which the declaration must agree with."""
    # A single value a day has none before it in its day that it could be compared with.
    if source.frequency == "daily" or _is_once_a_day(references) or not is_accumulated(name, source, references):
        return None
    sums, where, restarts = _sums(name, source, references, cells)
    _require_restart_as_declared(name, source, where, restarts)
    if sums == "falling" and source.accumulation in (None, "day"):
        taken = 'is declared as "day"' if source.accumulation else 'does not say "step"'
        raise ForcingError(
            f"{where}: {source.variable} falls within a day, so it is no sum since 00 UTC, but forcing.{name}."
            f'accumulation {taken}; write accumulation = "step" if each value is the sum of its own step (ERA5)'
        )
    if sums == "endless":
        raise ForcingError(
            f"{where}: {source.variable} only rises and never begins anew, as a sum since the start of a run does "
            "(WRF's RAINNC), which is neither of a day nor of one step: write files with the difference of "
            f'neighbouring steps and declare forcing.{name}.accumulation = "step"'
        )
    if sums == "running" and source.accumulation == "step":
        raise ForcingError(
            f"{where}: {source.variable} only rises through each day, as a sum since 00 UTC does (ERA5-Land), but "
            f'forcing.{name}.accumulation is "step"; write accumulation = "day"'
        )
    if source.accumulation is None and sums != "running":
        raise ForcingError(accumulation_missing(name, where))
    return source.accumulation or "day"


def _is_once_a_day(references: str) -> bool:
    times = open_references(references).times
    return len(np.unique(times // DAY_SECONDS)) == len(times)


def _require_sums_of_one_day(name: str, source: Source, references: str, cells: Cells) -> None:
    """Refuse daily totals that run on through the year, of which each would pass for the rain of its day.

    They begin anew once a year, on 1 January or with the water year, or never.
    """
    if len(open_references(references).times) <= ENOUGH_STEPS:
        return
    changes, where = _changes(name, source, references, cells)
    falls, rises, stands = (int(of_hours.sum()) for of_hours in (changes.falls, changes.rises, changes.stands))
    # A year may begin in some of the samples. Rain of single days falls about as often as it rises.
    if min(rises, stands) >= ENOUGH_STEPS and FEWER_FALLS * falls <= rises:
        raise ForcingError(
            f"{where}: {source.variable} only rises from day to day, as a sum since the beginning of the year does, "
            f"and forcing.{name} takes each value for the rain of its day; write files with the difference of "
            "neighbouring days"
        )


def _require_restart_as_declared(name: str, source: Source, where: str, restarts: list[int]) -> None:
    """Running sums that begin anew at other hours than declared are neither sums of the day nor of their step."""
    begin = _restart_hour(source)
    if not restarts or restarts == [begin]:
        return
    if len(restarts) == 1:
        # Of the two offsets the nearer one: days that begin in the evening in UTC are those of a clock ahead of it.
        offset = restarts[0] - 24 * (restarts[0] > 12)
        raise ForcingError(
            f"{where}: {source.variable} rises through 24 hours and begins anew at {restarts[0]:02d} UTC, as a sum "
            f'since then does: write forcing.{name}.accumulation = "day" and day_offset_hours = {offset}, which '
            "accepts days that begin at that hour"
        )
    *hours, last_hour = (f"{hour:02d}" for hour in restarts)
    raise ForcingError(
        f"{where}: {source.variable} begins anew at {', '.join(hours)} and {last_hour} UTC and rises between, as "
        "sums since the start of a forecast do, which are neither of a day nor of one step: write files with the "
        f'difference of neighbouring steps and declare forcing.{name}.accumulation = "step"'
    )


def _restart_hour(source: Source) -> int:
    """Hour of UTC at which sums of a day begin anew."""
    return round(source.day_offset_hours) % 24


def _sums(name: str, source: Source, references: str, cells: Cells) -> tuple[Sums, str, list[int]]:
    """Whether sums run through days or for ever or fall, a file that shows it, and when running ones begin anew."""
    begin = _restart_hour(source)
    changes, where = _changes(name, source, references, cells, begin)
    if changes.falls_but_at(begin):
        return "falling", where, changes.restarts
    runs = changes.rises.sum() - changes.rises[begin] >= ENOUGH_STEPS
    # A sum of the day falls at its beginning wherever it stood, one of the year once.
    if runs and changes.stands[begin] >= ENOUGH_DAYS and 2 * changes.falls[begin] < changes.stands[begin]:
        return "endless", where, changes.restarts
    return ("running" if runs else "undecided"), where, changes.restarts


def _changes(name: str, source: Source, references: str, cells: Cells, begin: int | None = None) -> tuple[Changes, str]:
    """When sums of a sample rise and fall, and the first file in which one falls at another hour than `begin`."""
    store = open_references(references)
    per_day = max(1, round(DAY_SECONDS / np.median(np.diff(store.times))))
    length = max(2, min(SAMPLE_STEPS, SAMPLE_DAYS * per_day if per_day > 1 else SAMPLE_DAYS_OF_ONE_STEP))
    starts = np.unique(np.linspace(0, max(0, len(store.times) - length), SAMPLES).astype(int))
    changes, where = Changes(), ""
    for start in starts:
        numbers = np.arange(start, min(start + length, len(store.times)))
        for window in _windows(name, source, references, cells):
            # In any units: whether a sum rises is judged by the share of its largest value.
            values = read_steps(store, numbers, window, source.missing, [(1.0, 0.0)] * len(store.units))
            changes += (added := changes_of(values, store.times[numbers]))
            if begin is not None and added.falls_but_at(begin) and not where:
                where = str(store.index["files"][store.file_of_step[start]][0])
    return changes, where or store.index["files"][0][0]


def _windows(name: str, source: Source, references: str, cells: Cells) -> list[SourceWindow]:
    """Windows of the source for a few cells in the middle of the product's grid and near two of its corners."""
    placing = placing_of(name, source.regrid, references, cells)
    shape = len(cells[0]), len(cells[1])
    windows = []
    for fraction in (0.5, 0.2, 0.8):
        starts = [max(0, min(round(fraction * n) - SAMPLE_CELLS // 2, n - SAMPLE_CELLS)) for n in shape]
        rows, columns = (slice(a, min(a + SAMPLE_CELLS, n)) for a, n in zip(starts, shape, strict=True))
        windows.append((rows, columns))
    # On a grid of few cells the three windows are one and the same, which is looked at once.
    return [placing.window(*window) for number, window in enumerate(windows) if window not in windows[:number]]


def _check_units(array: DailyArray) -> None:
    """Refuse values whose mean is that of no climate, where only the declaration says their units, or contradicts."""
    for units in dict.fromkeys(open_references(array.url).units):
        of_file, declared = (
            units_of_values(array.source, named, array.accumulated, array.quantity) for named in (units, None)
        )
        if units is None or parse_units(units) is None:
            _check_declared_units(array, units, declared)
        elif of_file[0] != declared[0]:
            _check_units_of_file(array, units, of_file, declared)


def _check_declared_units(array: DailyArray, units: str | None, declared: tuple[str, bool]) -> None:
    sample = _sample(array, units)
    unlikely = None if sample is None else unlikely_units(array.quantity, *declared, sample[0])
    if sample is not None and unlikely is not None:
        mean, better = unlikely
        named = "has no units" if units is None else f"has units {units!r}, which are not understood"
        raise ForcingError(
            f"{sample[1]}: {array.source.variable} {named}, and in the declared {declared[0]!r} its mean is {mean:.3g} "
            f"{array.quantity.units}, which is the {array.quantity.long_name} of no climate: the numbers look like "
            f"{better!r}; correct forcing.{array.name}.units, or give the variable its units attribute"
        )


def _check_units_of_file(array: DailyArray, units: str, of_file: tuple[str, bool], declared: tuple[str, bool]) -> None:
    """Refuse units of a file in which its numbers are of no climate, where in the declared ones they are of one."""
    origin, other = (conversion(per_day(*named), array.quantity.units) for named in (of_file, declared))
    if origin is None or other is None or np.allclose(origin, other):
        return
    sample = _sample(array, units)
    unlikely = None if sample is None else unlikely_units(array.quantity, *of_file, sample[0])
    if sample is None or unlikely is None:
        return
    mean = unlikely[0]
    in_declared = (mean - origin[1]) / origin[0] * other[0] + other[1]
    if array.quantity.climate_min <= in_declared <= array.quantity.climate_max:
        raise ForcingError(
            f"{sample[1]}: {array.source.variable} has units {units!r}, in which its mean is {mean:.3g} "
            f"{array.quantity.units}, the {array.quantity.long_name} of no climate, and in the declared "
            f"{declared[0]!r} it is {in_declared:.3g}: correct the units in the file, as with ncatted, or write "
            f"forcing.{array.name}.units = {units!r} where they are right"
        )


def _sample(array: DailyArray, units: str | None) -> tuple[NDArray[np.float32], str] | None:
    """Daily values from all over the files of these units, and one of the files; None where they have few days."""
    store, plan = open_references(array.url), array.plan
    of_units = [group for group, named in enumerate(store.units) if named == units]
    # Chosen among the days of these files alone, which may be a month of decades.
    is_whole = (plan.steps >= 0).all(axis=1)
    days = np.flatnonzero(is_whole & np.isin(store.group_of_step[plan.steps[:, 0]], of_units))
    if len(days) < LEAST_DAYS:
        return None
    steps = plan.steps[days[np.unique(np.linspace(0, len(days) - 1, SAMPLES * SAMPLE_DAYS).astype(int))]]
    samples = [_daily(array, steps, window) for window in _windows(array.name, array.source, array.url, array.cells)]
    return np.concatenate([s.ravel() for s in samples]), str(store.index["files"][store.file_of_step[steps[0, 0]]][0])


def _daily(array: DailyArray, steps: NDArray[np.int64], window: SourceWindow) -> NDArray[np.float32]:
    store = open_references(array.url)
    return to_daily(
        steps,
        array.plan.total,
        lambda numbers: read_steps(store, numbers, window, array.source.missing, array.conversions),
    )
