"""What reading forcing tile by tile costs, and the pass that lays it out by tile where that costs too much."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from somo.forcing.by_tile.cube import Cube, Slab, open_cube, slab_edges, slab_exists, write_slab
from somo.forcing.daily import DailyArray, Window, read_raw
from somo.forcing.features import DAY_SECONDS, daily_steps
from somo.forcing.references.chunks import ReferenceSet, open_references
from somo.forcing.references.combining import even_step
from somo.product.declaration import content_hash
from somo.product.inputs import Source
from somo.product.layout import Layout
from somo.storage.objects import join

FORMAT = 1


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
    steps = daily_steps(array.source, even_step(store.times))
    own = math.prod(array.shape) * store.array(0).dtype.itemsize * steps.count
    return ReadCost(own, touched_in_references(array, slice(0, array.n_days), tiles))


def touched(array: DailyArray, readings: Iterable[tuple[slice, Sequence[Window]]]) -> Touched:
    """What reading some days of some tiles touches, in the cube if there is one."""
    cube = open_cube(array.cube_url)
    total = NOTHING
    for days, windows in readings:
        first, stop = array.first_day + days.start, array.first_day + days.stop
        if cube is not None and cube.covers(first, stop):
            total += _touched_in_cube(array, cube, first, stop, windows)
        else:
            total += touched_in_references(array, days, windows)
    return total


def _touched_in_cube(array: DailyArray, cube: Cube, first: int, stop: int, windows: Sequence[Window]) -> Touched:
    cells = sum(math.prod(part.stop - part.start for part in window) for window in windows)
    slabs = [slab for slab in cube.slabs if slab.first_day < stop and slab.first_day + slab.n_days > first]
    store = open_references(array.url)
    as_stored = daily_steps(array.source, even_step(store.times)).count == 1
    size = sum(slab.n_days for slab in slabs) * (store.array(0).dtype.itemsize if as_stored else 4)
    return Touched(len(slabs) * len(windows), size * cells)


def touched_in_references(array: DailyArray, days: slice, windows: Sequence[Window]) -> Touched:
    """What reading some days of some tiles from the source files touches."""
    store = open_references(array.url)
    wanted = array.steps(store, daily_steps(array.source, even_step(store.times)), days.start, days.stop)
    numbers = np.arange(wanted.start, wanted.stop, wanted.step)
    total = NOTHING
    groups, places = store.group_of_step[numbers], store.place_of_step[numbers]
    for group in np.unique(groups):
        inside = places[groups == group]
        stored = store.array(int(group))
        across = sum(
            math.prod(
                _chunks_across(indices[part], chunk)
                for indices, part, chunk in zip((array.rows, array.columns), window, stored.chunks[1:], strict=True)
            )
            for window in windows
        )
        chunks = len(np.unique(inside // stored.chunks[0])) * across
        total += Touched(chunks, chunks * math.prod(stored.chunks) * stored.dtype.itemsize)
    return total


def _chunks_across(indices: Sequence[int], chunk: int) -> int:
    return max(indices) // chunk - min(indices) // chunk + 1


def plan_slabs(array: DailyArray) -> tuple[Slab, ...]:
    """The slabs of a variable's cube, whether they exist or not."""
    store = open_references(array.url)
    stored = store.array(0)
    steps = daily_steps(array.source, even_step(store.times))
    packed = steps.count == 1
    spans = _spans_of_days(array, store) if packed else [(array.first_day, array.first_day + array.n_days)]
    cells = len(array.rows) * len(array.columns)
    slabs = []
    for span, first, stop in slab_edges(spans, cells * (stored.dtype.itemsize if packed else 4)):
        attrs = store.index["decoding"][_group_of(array, store, first)] if packed else {}
        key = content_hash(
            FORMAT, array.name, array.source.variable, array.source.frequency, array.source.kind,
            array.source.accumulation, files_of(array.source, store, first, stop), span, sorted(attrs.items()),
            array.rows, array.columns, first, stop,
        )  # fmt: skip
        url = join(array.url.rsplit("/", 1)[0], "slabs", f"{key}.zarr")
        slabs.append(Slab(url, first, stop - first, attrs))
    return tuple(slabs)


def _spans_of_days(array: DailyArray, store: ReferenceSet) -> list[tuple[int, int]]:
    """Days since 1970-01-01 of this array whose step lies in each group."""
    wanted = array.steps(store, daily_steps(array.source, even_step(store.times)), 0, array.n_days)
    groups = store.group_of_step[wanted]
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(groups)]
    return [(array.first_day + int(a), array.first_day + int(b)) for a, b in pairwise(edges)]


def _group_of(array: DailyArray, store: ReferenceSet, day: int) -> int:
    local = day - array.first_day
    step = array.steps(store, daily_steps(array.source, even_step(store.times)), local, local + 1).start
    return int(store.group_of_step[step])


def files_of(source: Source, store: ReferenceSet, first_day: int, stop_day: int) -> list[tuple[str, str]]:
    """URL and fingerprint of the files that the days `first_day`..`stop_day` (excluded) are made from.

    Where a source accumulates, the 00 UTC that follows the last day counts too, as it completes that day.
    """
    end = stop_day * DAY_SECONDS + (1 if daily_steps(source, even_step(store.times)).first else 0)
    steps = slice(*np.searchsorted(store.times, (first_day * DAY_SECONDS, end)))
    return [tuple(store.index["files"][number]) for number in dict.fromkeys(store.file_of_step[steps].tolist())]


def make_slab(array: DailyArray, slab: Slab, tile: tuple[int, int]) -> None:
    """Write one slab from the source files unless it exists."""
    if slab_exists(slab):
        return
    store = open_references(array.url)
    rows, columns = np.array(array.rows), np.array(array.columns)
    window = slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
    start = slab.first_day - array.first_day
    if slab.attrs or daily_steps(array.source, even_step(store.times)).count == 1:
        steps = array.steps(store, daily_steps(array.source, even_step(store.times)), start, start + slab.n_days)
        ((values, _),) = read_raw(store, steps, window)
    else:
        values = array.unconverted(start, start + slab.n_days, window)
    write_slab(slab, values[:, rows - window[0].start][:, :, columns - window[1].start], tile)
