"""Files that store one grid in different directions or from other meridians: axes that must be turned."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.scan import Scan
from somo.forcing.sources import ForcingError

# Files of one grid may differ in precision: single precision resolves 1.5e-5 degrees at 180 degrees.
COORDINATE_TOLERANCE_DEG = 1e-4
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True)
class Turned:
    """How the axes of a file lie beside those of the set's grid.

    Attributes
    ----------
    rows, columns : whether they run the other way
    first_column : the file's column, counted in the set's direction, that is the set's first: not 0 where one file
        begins at Greenwich and the other at the antimeridian
    """

    rows: bool = False
    columns: bool = False
    first_column: int = 0

    @property
    def is_needed(self) -> bool:
        """Whether anything has to be turned at all."""
        return self != Turned()

    def windows(self, rows: slice, columns: slice, shape: Sequence[int]) -> tuple[slice, list[slice]]:
        """Rows of the file, and runs of its columns, that hold a window of the set's grid, in the set's order.

        Parameters
        ----------
        shape : rows and columns of the grid
        """
        height, width = shape
        first, stop, _ = columns.indices(width)
        # A window that crosses the file's own edge lies in its last columns and in its first ones.
        begin = (first + self.first_column) % width
        end = begin + stop - first
        runs = [slice(begin, min(end, width)), *([slice(0, end - width)] if end > width else [])]
        return (
            against(rows, height) if self.rows else rows,
            [against(run, width) for run in runs] if self.columns else runs,
        )

    def reverse(self, values: NDArray[Number]) -> NDArray[Number]:
        """Values [step, row, column] of one run of columns in the set's directions."""
        return values[:, :: -1 if self.rows else 1, :: -1 if self.columns else 1]

    def turn(self, values: NDArray[Number]) -> NDArray[Number]:
        """Values [step, row, column] of all the file's rows and columns as the set has them."""
        return np.roll(self.reverse(values), -self.first_column, axis=2)


def turned(first: Scan, other: Scan) -> Turned:
    """How the rows and columns of `other` lie beside those of `first`.

    Raises
    ------
    ForcingError
        naming both files where they have other coordinates
    """
    axes = ("lat", "lon") if first.grid["kind"] == "regular" else ("y", "x")
    (rows_against, _), (columns_against, first_column) = (_lies(axis, first, other) for axis in axes)
    return Turned(rows_against, columns_against, first_column)


def _lies(axis: str, first: Scan, other: Scan) -> tuple[bool, int]:
    """Whether an axis of `other` runs against that of `first`, and which of its places is the first one's first."""
    ours, theirs = np.array(first.grid[axis], "float64"), np.array(other.grid[axis], "float64")
    if ours.shape == theirs.shape:
        for runs_against in (False, True):
            same_way = theirs[::-1] if runs_against else theirs
            if _apart(axis, ours, same_way) <= COORDINATE_TOLERANCE_DEG:
                return runs_against, 0
            begin = _first_place(ours, same_way) if axis == "lon" else 0
            if begin and _apart(axis, ours, np.roll(same_way, -begin)) <= COORDINATE_TOLERANCE_DEG:
                return runs_against, begin
    raise ForcingError(
        f"{other.url}: {axis} has {len(theirs)} values {theirs[0]:g}..{theirs[-1]:g}, but {first.url} has "
        f"{len(ours)} values {ours[0]:g}..{ours[-1]:g}; all files of a variable must share one grid"
    )


def _first_place(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> int:
    """Where the meridian of our first column stands among theirs."""
    apart = np.abs(theirs - ours[0]) % 360
    return int(np.minimum(apart, 360 - apart).argmin())


def _apart(axis: str, a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The largest distance; longitudes may be counted from another meridian, a whole turn away."""
    apart = np.abs(a - b)
    if axis == "lon":
        apart = np.minimum(apart % 360, 360 - apart % 360)
    return float(apart.max(initial=0.0))


def against(part: slice, length: int) -> slice:
    """A window along an axis that runs the other way."""
    first, stop, _ = part.indices(length)
    return slice(length - stop, length - first)
