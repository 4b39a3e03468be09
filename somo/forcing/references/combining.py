"""Scans of many files -> the steps of one variable in order of time and the arrays that hold them, strictly checked."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.scan import Scan, compact, expand
from somo.forcing.sources import ForcingError
from somo.product.inputs import Source

DAY_SECONDS = 86_400
COORDINATE_TOLERANCE_DEG = 1e-4


@dataclass(frozen=True)
class Combined:
    """The steps of one variable over all its files.

    Attributes
    ----------
    groups : scans whose chunks form one array each, in the order of that array
    scans : every scan, in order of its first time
    runs : [scan, group, first, step, count]: the places along the group's time axis of the steps, in order of time
    """

    groups: list[list[Scan]]
    scans: list[Scan]
    runs: list[list[int]]

    @property
    def times(self) -> NDArray[np.int64]:
        """[step] time stamps in seconds since 1970-01-01, ascending."""
        return np.sort(np.concatenate([scan.times for scan in self.scans]))


def combine(scans: Sequence[Scan], source: Source) -> Combined:
    """Order the steps of all scans in time and group the scans whose chunks form one array.

    Raises
    ------
    ForcingError
        naming both files that cannot be true together: other grid, overlap or gap in time, other time step
    """
    scans = sorted(scans, key=lambda s: int(s.times[0]))
    for scan in scans[1:]:
        _require_same_grid(scans[0], scan)
    _require_even_steps(scans, source)
    groups: list[list[Scan]] = []
    offsets = []
    for scan in scans:
        if groups and _continues(groups[-1][-1], scan):
            offsets.append((len(groups) - 1, sum(s.array["shape"][0] for s in groups[-1])))
            groups[-1].append(scan)
        else:
            groups.append([scan])
            offsets.append((len(groups) - 1, 0))
    return Combined(groups, scans, _runs(scans, offsets))


def _runs(scans: Sequence[Scan], offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Where every step lies, cut where file or direction changes."""
    times = np.concatenate([scan.times for scan in scans])
    owner = np.repeat(np.arange(len(scans)), [len(scan.times) for scan in scans])
    place = np.concatenate([expand(scan.positions) + offset for scan, (_, offset) in zip(scans, offsets, strict=True)])
    order = np.argsort(times, kind="stable")
    owner, place = owner[order], place[order]
    edges = [0, *(np.flatnonzero(np.diff(owner)) + 1), len(owner)]
    return [
        [int(owner[start]), offsets[owner[start]][0], *run]
        for start, stop in itertools.pairwise(edges)
        for run in compact(place[start:stop])
    ]


def even_step(times: NDArray[np.int64]) -> int:
    """Seconds between evenly spaced times; a day for a single one, 0 if they are uneven."""
    steps = np.unique(np.diff(times))
    return DAY_SECONDS if len(steps) == 0 else int(steps[0]) if len(steps) == 1 else 0


def _require_even_steps(scans: Sequence[Scan], source: Source) -> None:
    """All files share one time step, which the declared frequency allows, and follow each other without gap."""
    step = 0
    for scan in scans:
        own = even_step(scan.times)
        if own == 0:
            steps = np.diff(scan.times)
            at = int(np.argmax(steps != np.median(steps)))
            raise ForcingError(
                f"{scan.url}: times {_stamp(scan.times[at])} and {_stamp(scan.times[at + 1])} are not "
                f"{int(np.median(steps))} s apart as the others are; provide a file without gap or repetition"
            )
        if len(scan.times) > 1 and step and own != step:
            raise ForcingError(
                f"{scan.url}: a time every {own} s, but {scans[0].url} has one every {step} s; "
                "provide files with one time step"
            )
        step = step or (own if len(scan.times) > 1 else 0)
    step = step or DAY_SECONDS
    if (source.frequency == "daily" and step != DAY_SECONDS) or step > DAY_SECONDS or DAY_SECONDS % step:
        raise ForcingError(
            f"{scans[0].url}: a time every {step} s, but it is declared {source.frequency!r}; correct frequency "
            "or provide steps that divide a day"
        )
    for before, after in itertools.pairwise(scans):
        _require_next(before, after, step)


def _stamp(seconds: int) -> np.datetime64:
    return np.datetime64(int(seconds), "s")


def _require_next(before: Scan, after: Scan, step: int) -> None:
    last, first = int(before.times[-1]), int(after.times[0])
    end, start = last + step, first
    if step == DAY_SECONDS:
        end, start = end // DAY_SECONDS, start // DAY_SECONDS
    if start != end:
        how = "overlaps with" if start < end else "leaves a gap after"
        raise ForcingError(
            f"{after.url}: begins at {_stamp(first)} and {how} {before.url}, which ends at {_stamp(last)}; "
            "provide files that follow each other in time"
        )


def _require_same_grid(first: Scan, other: Scan) -> None:
    if first.grid["kind"] != other.grid["kind"]:
        raise ForcingError(
            f"{other.url}: has a {other.grid['kind']} grid, but {first.url} has a {first.grid['kind']} one; "
            "all files of a variable must share one grid"
        )
    for axis in ("lat", "lon") if first.grid["kind"] == "regular" else ("y", "x"):
        a, b = np.array(first.grid[axis]), np.array(other.grid[axis])
        if a.shape != b.shape or np.abs(a - b).max() > COORDINATE_TOLERANCE_DEG:
            raise ForcingError(
                f"{other.url}: {axis} has {len(b)} values {b[0]:g}..{b[-1]:g}, but {first.url} has {len(a)} values "
                f"{a[0]:g}..{a[-1]:g}; all files of a variable must share one grid"
            )


def _continues(before: Scan, after: Scan) -> bool:
    """Whether the chunks of `after` may follow those of `before` in one array."""
    return before.array["shape"][0] % before.array["chunks"][0] == 0 and _encoding(before) == _encoding(after)


def _encoding(scan: Scan) -> str:
    array = {key: value for key, value in scan.array.items() if key != "shape"}
    return json.dumps([array, scan.attrs, scan.units, scan.dims], sort_keys=True)
