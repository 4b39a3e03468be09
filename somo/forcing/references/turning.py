"""Files that store one grid in different directions, as latitudes from south to north: axes that must be turned."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.scan import Scan
from somo.forcing.sources import ForcingError

# Files of one grid may differ in precision: single precision resolves 1.5e-5 degrees at 180 degrees.
COORDINATE_TOLERANCE_DEG = 1e-4
Turned = list[bool]
Number = TypeVar("Number", bound=np.generic)


def turned(first: Scan, other: Scan) -> Turned:
    """Whether rows and columns of `other` run against those of `first`.

    Raises
    ------
    ForcingError
        naming both files where they have other coordinates
    """
    axes = ("lat", "lon") if first.grid["kind"] == "regular" else ("y", "x")
    return [_runs_against(axis, first, other) for axis in axes]


def _runs_against(axis: str, first: Scan, other: Scan) -> bool:
    ours, theirs = np.array(first.grid[axis], "float64"), np.array(other.grid[axis], "float64")
    if ours.shape == theirs.shape:
        if _apart(axis, ours, theirs) <= COORDINATE_TOLERANCE_DEG:
            return False
        if _apart(axis, ours, theirs[::-1]) <= COORDINATE_TOLERANCE_DEG:
            return True
    raise ForcingError(
        f"{other.url}: {axis} has {len(theirs)} values {theirs[0]:g}..{theirs[-1]:g}, but {first.url} has "
        f"{len(ours)} values {ours[0]:g}..{ours[-1]:g}; all files of a variable must share one grid"
    )


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


def turn(values: NDArray[Number], turned_axes: Turned) -> NDArray[Number]:
    """Values [step, row, column] with the axes that run the other way turned."""
    rows, columns = (slice(None, None, -1) if against_ours else slice(None) for against_ours in turned_axes)
    return values[:, rows, columns]
