"""Missing days interpolated between the days around them."""

import numpy as np
from numpy.typing import NDArray


class LongGapError(ValueError):
    """Missing days of a cell that are more than may be filled, or have no value on one side.

    Attributes
    ----------
    row, column : of the cell
    first, last : numbers of the missing days
    at_end : whether there is no value on one side of them
    """

    def __init__(self, row: int, column: int, first: int, last: int, at_end: bool) -> None:
        super().__init__(f"days {first}..{last} are missing at row {row}, column {column}")
        self.row, self.column, self.first, self.last, self.at_end = row, column, first, last, at_end


def interpolate(values: NDArray[np.floating], max_gap_days: int, days: slice) -> NDArray[np.float32]:
    """[day, row, column] of some days, with gaps of at most `max_gap_days` filled linearly in time.

    A cell without any value is taken for sea and stays missing.

    Parameters
    ----------
    values : [day, row, column], with `max_gap_days` more days than `days` on either side where the source has them, so
        that the result does not depend on where the days were cut
    days : which of the days to return

    Raises
    ------
    LongGapError
        for the first gap within `days` that is longer, or has a value on one side only
    """
    missing = np.isnan(values)
    wanted = values[days]
    if not missing[days].any():
        return wanted.astype(np.float32, copy=False)
    number = np.arange(len(values)).reshape(-1, 1, 1)
    last_value = np.maximum.accumulate(np.where(missing, -1, number), axis=0)[days]
    next_value = np.minimum.accumulate(np.where(missing, len(values), number)[::-1], axis=0)[::-1][days]
    width = next_value - last_value
    one_sided = (last_value < 0) | (next_value == len(values))
    too_long = missing[days] & ~missing.all(axis=0) & (one_sided | (width - 1 > max_gap_days))
    if too_long.any():
        day, row, column = (int(i) for i in np.argwhere(too_long)[0])
        first, stop = int(last_value[day, row, column]) + 1, int(next_value[day, row, column])
        raise LongGapError(row, column, first, stop - 1, bool(one_sided[day, row, column]))
    fillable = missing[days] & ~one_sided
    low = np.take_along_axis(values, np.clip(last_value, 0, None), axis=0).astype("float64")
    high = np.take_along_axis(values, np.clip(next_value, None, len(values) - 1), axis=0).astype("float64")
    share = (number[days] - last_value) / np.maximum(width, 1)
    return np.where(fillable, low + share * (high - low), wanted).astype(np.float32)
