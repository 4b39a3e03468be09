"""Scans of many files -> the steps of one variable in order of time and the arrays that hold them, strictly checked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from somo.forcing.days.stamps import time_method
from somo.forcing.references.scan import Scan, compact, expand
from somo.forcing.references.scan_reader import ScanReader
from somo.forcing.references.turning import Number, Turned, turned
from somo.forcing.sources import ForcingError
from somo.forcing.units import conversion, require_declared_units
from somo.product.inputs import Source


@dataclass(frozen=True)
class Combined:
    """The steps of one variable over all its files.

    Attributes
    ----------
    groups : scans whose chunks form one array each, in the order of that array
    scans : every scan, in order of its first time
    owner : [step] number of the scan that holds it
    own_step : [step] its number within that scan
    turned : for each group, how its rows and columns lie beside those of the first scan
    """

    groups: list[list[Scan]]
    scans: list[Scan]
    owner: NDArray[np.int64]
    own_step: NDArray[np.int64]
    turned: list[Turned]

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """[step] time stamps in seconds since 1970-01-01, ascending."""
        return self.of_steps([scan.times for scan in self.scans])

    def of_steps(self, of_scans: Sequence[NDArray[Number]]) -> NDArray[Number]:
        """[step, ...] in order of time, from one array [step of the scan, ...] for every scan."""
        starts = np.cumsum([0, *(len(scan.times) for scan in self.scans)])[:-1]
        return np.concatenate(of_scans)[starts[self.owner] + self.own_step]

    def runs(self) -> list[list[int]]:
        """[scan, group, first, step, count]: places along the group's time axis of the steps, in order of time."""
        # By identity: scans hold dictionaries and have no hash.
        group_of, places = {}, {}
        for number, group in enumerate(self.groups):
            length = 0
            for scan in group:
                group_of[id(scan)], places[id(scan)] = number, expand(scan.positions) + length
                length += scan.array["shape"][0]
        place = self.of_steps([places[id(scan)] for scan in self.scans])
        edges = [0, *(np.flatnonzero(np.diff(self.owner)) + 1), len(self.owner)]
        return [
            [int(self.owner[start]), group_of[id(self.scans[self.owner[start]])], *run]
            for start, stop in pairwise(edges)
            for run in compact(place[start:stop])
        ]


def combine(name: str, scans: Sequence[Scan], source: Source) -> Combined:
    """Order the steps of all scans in time and group the scans whose chunks form one array.

    Where two files have the same step, it is taken from the file that begins first; both must have the same values.

    Parameters
    ----------
    name : of the declared variable, for messages

    Raises
    ------
    ForcingError
        naming two files that contradict each other: other grid or calendar, or other values at one time
    """
    scans = sorted((scan for scan in scans if len(scan.times)), key=lambda scan: int(scan.times[0]))
    for scan in scans:
        _require_same_place(scans[0], scan)
        _require_same_method(scans, scan)
        if scan.units:
            require_declared_units(scan.url, name, source, scan.units)
    turns = [turned(scans[0], scan) for scan in scans]
    groups: list[list[Scan]] = []
    turned_groups: list[Turned] = []
    for scan, axes in zip(scans, turns, strict=True):
        if groups and turned_groups[-1] == axes and _continues(groups[-1][-1], scan):
            groups[-1].append(scan)
        else:
            groups.append([scan])
            turned_groups.append(axes)
    return Combined(groups, scans, *_steps(scans, turns, source.units), turned_groups)


def _steps(
    scans: Sequence[Scan], turns: Sequence[Turned], declared_units: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """[step] scan and number within it, in order of time; of equal times only the first."""
    times = np.concatenate([scan.times for scan in scans])
    owner = np.repeat(np.arange(len(scans)), [len(scan.times) for scan in scans])
    own_step = np.concatenate([np.arange(len(scan.times)) for scan in scans])
    # Stable, so that of equal times the one in the file that begins first stays in front.
    order = np.argsort(times, kind="stable")
    times, owner, own_step = times[order], owner[order], own_step[order]
    first = np.append(True, np.diff(times) != 0)
    original = np.maximum.accumulate(np.where(first, np.arange(len(times)), 0))
    for step in np.flatnonzero(~first).tolist():
        values = [turns[owner[n]].turn(_whole(scans[owner[n]], int(own_step[n]))) for n in (int(original[step]), step)]
        _require_equal(scans[owner[original[step]]], scans[owner[step]], int(times[step]), values, declared_units)
    return owner[first], own_step[first]


def _whole(scan: Scan, step: int) -> NDArray[np.float32]:
    """All values of one step."""
    return ScanReader(scan).decoded(np.array([step]), (slice(None), slice(None)))


def _require_equal(
    scan: Scan, other: Scan, seconds: int, values: Sequence[NDArray[np.float32]], declared_units: str
) -> None:
    """Two steps of one time must have the same values."""
    units = [one.units or declared_units for one in (scan, other)]
    factor, offset = (1.0, 0.0) if units[0] == units[1] else conversion(units[1], units[0]) or (np.nan, 0.0)
    # Two packings of one value differ by half a step of either: ERA5's files of neighbouring months at 00 UTC.
    most = (_step(scan) + abs(factor) * _step(other)) / 2
    # The same value in other units has been rounded to single precision twice, beside 273 if it is a temperature.
    rounding = 1e-6 * bool(most or units[0] != units[1])
    most += float(np.finfo("float32").eps) * abs(offset)
    if np.allclose(values[0], values[1] * factor + offset, rtol=rounding, atol=most, equal_nan=True):
        return
    time = np.datetime64(seconds, "s")
    if scan.url == other.url:
        raise ForcingError(f"{scan.url}: has the time {time} twice, with different values; get the file again")
    raise ForcingError(
        f"{other.url}: has other values at {time} than {scan.url}; declare only one of these files for that time"
    )


def _step(scan: Scan) -> float:
    """Distance of neighbouring packed values, in the file's units; 0 of values that are not packed."""
    is_packed = np.dtype(scan.array["dtype"]).kind in "iu" and "scale_factor" in scan.attrs
    return abs(float(scan.attrs["scale_factor"][0])) if is_packed else 0.0


def _require_same_place(first: Scan, other: Scan) -> None:
    """All files have one grid and one calendar."""
    for word, a, b in (
        ("grid", first.grid["kind"], other.grid["kind"]),
        ("calendar", _calendar(first), _calendar(other)),
    ):
        if a != b:
            raise ForcingError(
                f"{other.url}: has a {b} {word}, but {first.url} has a {a} one; all files of a variable must share one "
                f"{word}"
            )


def _require_same_method(scans: Sequence[Scan], other: Scan) -> None:
    """Refuse means, sums and extremes among the files of one variable."""
    method = time_method(other.cell_methods)
    first = next((scan for scan in scans if time_method(scan.cell_methods) is not None), None)
    if method is not None and first is not None and time_method(first.cell_methods) != method:
        raise ForcingError(
            f"{other.url}: {other.variable} is a {method} over time by its own attributes ({other.cell_methods}), but "
            f"in {first.url} it is a {time_method(first.cell_methods)}; declare files of one kind"
        )


def _calendar(scan: Scan) -> str:
    alike = ("gregorian", "proleptic_gregorian", "none")
    return "standard" if scan.calendar.lower() in alike else scan.calendar.lower()


def _continues(before: Scan, after: Scan) -> bool:
    """Whether the chunks of `after` may follow those of `before` in one array."""
    # Chunks of one array are equally long. Where a file's last chunk is not full, as with chunks of 73 days in a leap
    # year, the next file's steps would be looked for in it.
    return before.array["shape"][0] % before.array["chunks"][0] == 0 and _encoding(before) == _encoding(after)


def _encoding(scan: Scan) -> str:
    # Everything that decodes the numbers: files of one array share one scale and offset. Where kerchunk combined files
    # of different ones, temperatures came out 18 K off without an error.
    array = {key: value for key, value in scan.array.items() if key != "shape"}
    return json.dumps([array, scan.attrs, scan.units, scan.dims, scan.reader], sort_keys=True)
