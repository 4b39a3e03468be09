"""What reading forcing tile by tile costs, and the pass that lays it out by tile where that costs too much."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from somo.forcing.by_tile.cube import SHARD, Cube, Slab, open_cube, slab_edges, slab_exists, write_slab
from somo.forcing.daily import DailyArray, Window
from somo.forcing.days.plan import DayPlan
from somo.forcing.references.chunks import ReferenceSet, file_name, open_references
from somo.forcing.steps import read_raw
from somo.product.declaration import content_hash, without_places
from somo.product.layout import Layout
from somo.storage.listing import listing
from somo.storage.objects import join

# Part of every name: raised by one where the same files give other slabs.
FORMAT = 2


@dataclass(frozen=True)
class Touched:
    """Stored chunks that a reading touches; neighbours in a file come with one request.

    Attributes
    ----------
    bytes : decoded size of these chunks
    """

    chunks: int
    bytes: int

    def __add__(self, other: "Touched") -> "Touched":
        return Touched(self.chunks + other.chunks, self.bytes + other.bytes)


NOTHING = Touched(0, 0)


@dataclass(frozen=True)
class ReadCost:
    """Reading all days of every tile of one variable from its source files.

    Attributes
    ----------
    own_bytes : decoded bytes of the tiles themselves
    """

    own_bytes: int
    touched: Touched

    @property
    def factor(self) -> float:
        """How many times its own bytes a tile costs."""
        return self.touched.bytes / self.own_bytes


def read_cost(array: DailyArray, layout: Layout) -> ReadCost:
    """Cost of reading a variable tile by tile through its references."""
    store = open_references(array.url)
    tiles = [layout.cells(tile) for tile in layout.tiles()]
    steps = array.plan.of(array.first_day, array.first_day + array.n_days)
    placing, itemsize = array.placing, store.array(0).dtype.itemsize
    own_bytes = sum(placing.window(*tile).size for tile in tiles) * steps.size * itemsize
    return ReadCost(own_bytes, touched_in_references(array, slice(0, array.n_days), tiles))


def touched(array: DailyArray, readings: Iterable[tuple[slice, Sequence[Window]]]) -> Touched:
    """The stored chunks that reading some days of some tiles touches, in the cube if there is one.

    Parameters
    ----------
    readings : days, numbered from the array's first one, and the tiles that are read of them
    """
    cube = open_cube(array.cube_url)
    total = NOTHING
    for days, windows in readings:
        first, stop = _with_margin(array, days)
        if first >= stop:
            continue
        if cube is not None and cube.covers(first, stop):
            total += _touched_in_cube(array, cube, first, stop, windows)
        else:
            total += touched_in_references(array, days, windows)
    return total


def _with_margin(array: DailyArray, days: slice) -> tuple[int, int]:
    """Days since 1970-01-01 that are read for some days of an array, with those that fill gaps."""
    (begin, end), margin = array.days_read, array.source.max_gap_days
    return max(begin, array.first_day + days.start - margin), min(end, array.first_day + days.stop + margin)


def _touched_in_cube(array: DailyArray, cube: Cube, first: int, stop: int, windows: Sequence[Window]) -> Touched:
    cells = sum(math.prod(axis_slice.stop - axis_slice.start for axis_slice in window) for window in windows)
    slabs = [slab for slab in cube.slabs if slab.first_day < stop and slab.first_day + slab.n_days > first]
    store = open_references(array.url)
    size = sum(slab.n_days * (store.array(slab.group).dtype.itemsize if slab.group >= 0 else 4) for slab in slabs)
    return Touched(len(slabs) * len(windows), size * cells)


def touched_in_references(array: DailyArray, days: slice, windows: Sequence[Window]) -> Touched:
    """The stored chunks that reading some days of some tiles touches in the source files.

    Parameters
    ----------
    days : numbered from the array's first one
    windows : rows and columns of the tiles on the product's grid
    """
    store = open_references(array.url)
    numbers = array.plan.of(*_with_margin(array, days))
    numbers = np.unique(numbers[numbers >= 0])
    source_windows = [array.placing.window(*window) for window in windows]
    total = NOTHING
    groups, places = store.group_of_step[numbers], store.place_of_step[numbers]
    for group in np.unique(groups):
        inside = places[groups == group]
        stored = store.array(int(group))
        across = sum(
            _chunks_across(window.rows, stored.chunks[1])
            * sum(_chunks_across(run, stored.chunks[2]) for run in window.columns)
            for window in source_windows
        )
        chunks = len(np.unique(inside // stored.chunks[0])) * across
        total += Touched(chunks, chunks * math.prod(stored.chunks) * stored.dtype.itemsize)
    return total


def _chunks_across(nodes: slice, chunk: int) -> int:
    first: int = nodes.start // chunk
    last: int = (nodes.stop - 1) // chunk
    return last - first + 1


def plan_slabs(array: DailyArray) -> tuple[Slab, ...]:
    """The slabs of a variable's cube, whether they exist or not."""
    store = open_references(array.url)
    # A day that is one stored number stays as its file has it, mostly in two bytes instead of four.
    packed = array.as_stored
    first_day, stop_day = array.days_read
    spans = _spans_of_days(array, store) if packed else [(-1, first_day, stop_day)]
    cells = len(array.cells[0]) * len(array.cells[1])
    itemsize = store.array(0).dtype.itemsize if packed else 4
    slabs = []
    for span, first, stop in slab_edges([span[1:] for span in spans], cells * itemsize):
        group = spans[span][0]
        attrs = store.index["decoding"][group] if group >= 0 else {}
        files = files_of(store, array.plan, array.source.max_gap_days, first, stop)
        key = content_hash(
            FORMAT, array.name, array.quantity.units, without_places(array.source), array.accumulation, array.cells,
            first, stop, files, span, sorted(attrs.items()), store.units[max(group, 0)],
        )  # fmt: skip
        url = join(array.url.rsplit("/", 1)[0], "slabs", f"{key}.zarr")
        slabs.append(Slab(url, first, stop - first, attrs, group))
    return tuple(slabs)


def _spans_of_days(array: DailyArray, store: ReferenceSet) -> list[tuple[int, int, int]]:
    """Group of files, and first day and end since 1970-01-01, of the days that are read of this array."""
    first, stop = array.days_read
    groups = store.group_of_step[array.plan.of(first, stop)[:, 0]]
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(groups)]
    return [(int(groups[a]), first + int(a), first + int(b)) for a, b in pairwise(edges)]


def files_of(store: ReferenceSet, plan: DayPlan, margin: int, first_day: int, stop_day: int) -> list[tuple[str, str]]:
    """Name and content of the files that the days `first_day`..`stop_day` (excluded, since 1970) are made from.

    Neither says where the files lie, so slabs of files that were moved are not made again. `margin` days on either side
    are included, since gaps are filled from them.
    """
    steps = plan.of(max(plan.first_day, first_day - margin), max(plan.first_day, min(plan.stop_day, stop_day + margin)))
    numbers = np.unique(store.file_of_step[np.unique(steps[steps >= 0])])
    files = (store.index["files"][number] for number in numbers.tolist())
    return [(file_name(url), content) for url, _fingerprint, content in files]


def missing_slabs(slabs: Sequence[Slab]) -> list[Slab]:
    """The slabs that have not been written yet. All slabs lie in one folder, which is listed once."""
    if not slabs:
        return []
    folder = slabs[0].url.rsplit("/", 1)[0]
    written = {key.removesuffix(SHARD) for key in listing(folder) if key.endswith(SHARD)}
    return [slab for slab in slabs if slab.url.rsplit("/", 1)[1] not in written]


def make_slab(array: DailyArray, slab: Slab, tile: tuple[int, int]) -> None:
    """Write one slab from the source files unless it exists."""
    if slab_exists(slab):
        return
    everything = slice(0, array.shape[1]), slice(0, array.shape[2])
    first, stop = slab.first_day, slab.first_day + slab.n_days
    if slab.group < 0:
        write_slab(slab, array.from_references(first, stop, everything), tile)
        return
    window = array.placing.window(*everything)
    numbers = array.plan.of(first, stop)[:, 0]
    ((_, raw),) = read_raw(open_references(array.url), numbers, window)
    write_slab(slab, array.placing.apply(raw, *everything), tile)
