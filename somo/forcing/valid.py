"""Values that no weather has are refused; the error names file, day and place of the first one and the remedy."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.formats.stored import SCALING
from somo.forcing.plausible import fill_value
from somo.forcing.references.chunks import open_references
from somo.forcing.regridding.placing import SourceWindow
from somo.forcing.sources import ForcingError
from somo.forcing.units import suggest_units, units_of_values

if TYPE_CHECKING:
    from somo.forcing.daily import DailyArray

Window = tuple[slice, slice]


def step_limits(array: "DailyArray") -> tuple[float, float]:
    """Range of single steps, which swing further than their day's mean: as far again as the valid range is wide."""
    quantity = array.quantity
    width = quantity.valid_max - quantity.valid_min
    return quantity.valid_min - width, quantity.valid_max + width


def require_valid(
    array: "DailyArray",
    values: NDArray[np.float32],
    first: int,
    window: Window,
    source_window: SourceWindow | None = None,
    of_steps: tuple[NDArray[np.int64], tuple[float, float]] | None = None,
) -> None:
    """Refuse values outside the quantity's valid range.

    Parameters
    ----------
    values : [day, row, column] of `window`, or of the source's nodes where `source_window` is given
    first : day since 1970-01-01 of the first one
    of_steps : numbers of the steps and their range, where the values are steps and not days

    Raises
    ------
    ForcingError
        naming file, value, day, place and the remedy
    """
    quantity = array.quantity
    limits = of_steps[1] if of_steps else (quantity.valid_min, quantity.valid_max)
    if not values.size:
        return
    # fmin and fmax pass over NaN without a warning, also where all values are missing, as over the sea.
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    if np.isnan(low) or (limits[0] <= low and high <= limits[1]):
        return
    at = tuple(int(i) for i in np.argwhere((values < limits[0]) | (values > limits[1]))[0])
    store = open_references(array.url)
    seconds = int(store.times[of_steps[0][at[0]]]) if of_steps else (first + at[0]) * 86_400
    when = str(np.datetime64(seconds, "s")) if of_steps else str(np.datetime64(first + at[0], "D"))
    # A step that ends at 00 UTC is stamped with the next day, which may lie after the last day of the plan.
    day = min(max(seconds // 86_400, array.plan.first_day), array.plan.stop_day - 1)
    value = float(values[at])
    raise ForcingError(
        f"{array.file_of(day)}: {array.name} is {value:g} {quantity.units} on {when} at "
        f"{_where(array, at[1:], window, source_window)}, outside {limits[0]:g}..{limits[1]:g}; "
        f"{_remedy(array, value, (low, high), limits, day)}"
    )


def _where(array: "DailyArray", at: tuple[int, ...], window: Window, source_window: SourceWindow | None) -> str:
    if source_window is None:
        return f"{array.cells[0][window[0].start + at[0]]:g} N, {array.cells[1][window[1].start + at[1]]:g} E"
    grid = open_references(array.url).grid
    row, column = source_window.rows.start + at[0], source_window.column(at[1])
    if grid["kind"] == "regular":
        return f"{grid['lat'][row]:g} N, {grid['lon'][column]:g} E"
    return f"row {row}, column {column} of the file"


def _remedy(array: "DailyArray", value: float, span: tuple[float, float], limits: tuple[float, float], day: int) -> str:
    """What to write: a fill value that the file does not declare, or other units."""
    store = open_references(array.url)
    step = int(array.plan.of(day, day + 1).max(initial=0))
    group = int(store.group_of_step[max(step, 0)])
    factor, offset = array.conversions[group]
    in_file = (value - offset) / factor
    if (fill := fill_value(in_file)) is not None:
        return (
            f"{fill:g} is a usual number for no value that the file does not declare as such: write "
            f"forcing.{array.name}.missing = [{fill:g}], or correct its _FillValue"
        )
    if (packed := _packed_fill(in_file, store.index["decoding"][group])) is not None:
        return (
            f"it is stored as {packed:g}, a usual number for no value that the file does not declare as such: write "
            f"forcing.{array.name}.missing = [{in_file:.9g}], or correct its _FillValue"
        )
    units, accumulated = units_of_values(array.source, store.units[group], array.accumulated, array.quantity)
    better = suggest_units(array.quantity, units, accumulated, *span, limits)
    is_declared = units == array.source.units
    origin = f"forcing.{array.name} declares {units!r}" if is_declared else f"the file says {units!r}"
    return f"{origin}: " + (f"are the file's units {better!r}?" if better else "correct the units or replace the file")


def _packed_fill(value: float, attrs: Mapping[str, Sequence[Any]]) -> float | None:
    """The usual fill value that a packed number is, where the file scales numbers: -32768 times 0.02 is -655.36."""
    if not {"scale_factor", "add_offset"} & attrs.keys():
        return None
    scale, add = (float(attrs[name][0]) if name in attrs else usual for name, usual in SCALING.items())
    return fill_value((value - add) / scale)
