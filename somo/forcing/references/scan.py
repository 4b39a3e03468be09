"""Description of one variable in one source file: where its values lie, its time stamps and its grid."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Runs = list[list[int]]


@dataclass(frozen=True)
class Scan:
    """Description of one variable in one source file; all values can be written as JSON.

    The stored array is described as (time, y, x), independent of the order of the file's own dimensions.

    Attributes
    ----------
    array : Zarr version 2 metadata of the variable as (time, y, x)
    attrs : its CF decoding attributes as {name: [value, dtype]}
    units : the variable's units as the file spells them; None if it says nothing
    chunks : {"i.j.k": [offset, size] or [offset, size, mask of the filters left out]} in the file
    stamps : runs [first, step, count] of the time stamps in seconds since 1970-01-01, ascending
    bounds : runs [start, end, count] of each step's interval, in seconds from its stamp; None if the file has none
    calendar : CF name of the calendar; stamps are dates of that calendar
    cell_methods : the variable's CF attribute; None if it has none
    positions : runs [first, step, count] of the place of each step along the stored time axis
    grid : {"kind": "regular", "lat", "lon"}: coordinates in degrees, in stored order; or {"kind": "rotated" |
        "projected", "y", "x", "grid_mapping"} with the CF attributes of the mapping, and "lat2d", "lon2d" where the
        file has them
    dims : names of the variable's dimensions that are time, y and x
    provisional : runs [first, count] of steps that the file itself marks as provisional
    reader : for formats whose library reads values itself: the `format`, and which of the file's dimensions are (time,
        y, x): `axes` and `at`, as in `View`
    content : name of the file's bytes and of the day that its name stands for, the same wherever the file lies
    """

    url: str
    fingerprint: str
    variable: str
    array: dict[str, Any]
    attrs: dict[str, list[Any]]
    units: str | None
    chunks: dict[str, list[int]]
    stamps: Runs
    bounds: Runs | None
    calendar: str
    cell_methods: str | None
    positions: Runs
    grid: dict[str, Any]
    dims: list[str]
    provisional: Runs = field(default_factory=list)
    reader: dict[str, Any] | None = None
    content: str = ""

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """[step] time stamps in seconds since 1970-01-01, ascending."""
        return expand(self.stamps)

    @cached_property
    def time_bounds(self) -> NDArray[np.int64] | None:
        """[step, 2] start and end of each step's interval in seconds since 1970-01-01, if the file has bounds."""
        return None if self.bounds is None else bounds_of(self.times, self.bounds)


def expand(runs: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """Numbers of runs [first, step, count]."""
    expanded_runs = [first + step * np.arange(count, dtype="int64") for first, step, count in runs]
    return np.concatenate(expanded_runs) if expanded_runs else np.empty(0, "int64")


def compact(values: NDArray[np.int64]) -> Runs:
    """Runs [first, step, count] of whole numbers, the inverse of `expand`."""
    runs: Runs = []
    start = 0
    steps = np.diff(values)
    while start < len(values):
        if start == len(values) - 1:
            runs.append([int(values[start]), 1, 1])
            break
        changed = np.flatnonzero(steps[start:] != steps[start])
        stop = start + 1 + (int(changed[0]) if len(changed) else len(values) - 1 - start)
        runs.append([int(values[start]), int(steps[start]), stop - start])
        start = stop
    return runs


def bounds_of(times: NDArray[np.int64], runs: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """[step, 2] intervals of stamps from runs [start, end, count] counted from each stamp."""
    offsets = [np.tile([[start, end]], (count, 1)) for start, end, count in runs]
    return times[:, None] + np.concatenate(offsets).astype(np.int64)


def compact_bounds(times: NDArray[np.int64], bounds: NDArray[np.int64]) -> Runs:
    """Runs [start, end, count] of intervals [step, 2], counted from each stamp."""
    offsets = bounds - times[:, None]
    edges = [0, *(np.flatnonzero((np.diff(offsets, axis=0) != 0).any(axis=1)) + 1), len(offsets)]
    return [[*offsets[first].tolist(), int(stop - first)] for first, stop in itertools.pairwise(edges) if stop > first]


def flag_runs(flags: Iterable[bool]) -> Runs:
    """[first, count] of every run of true flags."""
    padded = np.concatenate([[False], np.fromiter(flags, bool), [False]]).astype("int8")
    edges = np.flatnonzero(np.diff(padded))
    return [[int(first), int(stop - first)] for first, stop in edges.reshape(-1, 2)]
