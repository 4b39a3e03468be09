"""What reading forcing tile by tile costs, and the pass that lays it out by tile where that costs too much."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from somo.core.inputs import Source
from somo.core.layout import Layout
from somo.core.product import content_hash
from somo.core.storage import join
from somo.forcing.cube import Slab, slab_edges, slab_exists, write_slab
from somo.forcing.daily import DailyArray, read_raw
from somo.forcing.features import DAY_SECONDS, daily_steps
from somo.forcing.store import ReferenceStore, open_store

FORMAT = 1


@dataclass(frozen=True)
class ReadCost:
    """Reading all days of every tile of one variable from its source files.

    Attributes
    ----------
    own_bytes : decoded bytes of the tiles themselves
    read_bytes : decoded bytes of the chunks they touch
    requests : chunks they touch
    """

    name: str
    own_bytes: int
    read_bytes: int
    requests: int

    @property
    def factor(self) -> float:
        """How many times its own bytes a tile costs."""
        return self.read_bytes / self.own_bytes


def read_cost(array: DailyArray, layout: Layout) -> ReadCost:
    """Cost of reading a variable tile by tile through its references."""
    store = open_store(array.url)
    steps = daily_steps(array.source, store.index["step"])
    read_bytes = requests = 0
    for group, touched in enumerate(_touched_times(array, store)):
        stored = store.array(group)
        for tile in layout.tiles():
            rows, columns = layout.cells(tile)
            across = _chunks_across(array.rows[rows], stored.chunks[1]) * _chunks_across(
                array.columns[columns], stored.chunks[2]
            )
            requests += touched * across
            read_bytes += touched * across * math.prod(stored.chunks) * stored.dtype.itemsize
    own = math.prod(array.shape) * store.array(0).dtype.itemsize * steps.count
    return ReadCost(array.name, own, read_bytes, requests)


def _touched_times(array: DailyArray, store: ReferenceStore) -> list[int]:
    """Chunks along time, per group, that hold a step of the array's days."""
    wanted = array.steps(store, daily_steps(array.source, store.index["step"]), 0, array.n_days)
    numbers = np.arange(wanted.start, wanted.stop, wanted.step)
    counts = []
    for group, (before, after) in enumerate(store.spans):
        inside = numbers[(numbers >= before) & (numbers < after)] - before
        counts.append(len(np.unique(inside // store.array(group).chunks[0])))
    return counts


def _chunks_across(indices: Sequence[int], chunk: int) -> int:
    return max(indices) // chunk - min(indices) // chunk + 1


def plan_slabs(array: DailyArray) -> tuple[Slab, ...]:
    """The slabs of a variable's cube, whether they exist or not."""
    store = open_store(array.url)
    stored = store.array(0)
    steps = daily_steps(array.source, store.index["step"])
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


def _spans_of_days(array: DailyArray, store: ReferenceStore) -> list[tuple[int, int]]:
    """Days since 1970-01-01 of this array whose step lies in each group."""
    wanted = array.steps(store, daily_steps(array.source, store.index["step"]), 0, array.n_days)
    spans = []
    for before, after in store.spans:
        first, stop = (min(max(-(-(edge - wanted.start) // wanted.step), 0), array.n_days) for edge in (before, after))
        if first < stop:
            spans.append((array.first_day + first, array.first_day + stop))
    return spans


def _group_of(array: DailyArray, store: ReferenceStore, day: int) -> int:
    local = day - array.first_day
    step = array.steps(store, daily_steps(array.source, store.index["step"]), local, local + 1).start
    return next(group for group, (before, after) in enumerate(store.spans) if before <= step < after)


def files_of(source: Source, store: ReferenceStore, first_day: int, stop_day: int) -> list[tuple[str, str]]:
    """URL and fingerprint of the files that the days `first_day`..`stop_day` (excluded) are made from.

    Where a source accumulates, the 00 UTC that follows the last day counts too, as it completes that day.
    """
    step = store.index["step"]
    end = stop_day * DAY_SECONDS + (1 if daily_steps(source, step).first else 0)
    return [
        (url, mark)
        for url, mark, _, first, count in store.index["files"]
        if first < end and first + count * step > first_day * DAY_SECONDS
    ]


def make_slab(array: DailyArray, slab: Slab, tile: tuple[int, int]) -> None:
    """Write one slab from the source files unless it exists."""
    if slab_exists(slab):
        return
    store = open_store(array.url)
    rows, columns = np.array(array.rows), np.array(array.columns)
    window = slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1)
    start = slab.first_day - array.first_day
    if slab.attrs or daily_steps(array.source, store.index["step"]).count == 1:
        steps = array.steps(store, daily_steps(array.source, store.index["step"]), start, start + slab.n_days)
        ((values, _),) = read_raw(store, steps, window)
    else:
        values = array.unconverted(start, start + slab.n_days, window)
    write_slab(slab, values[:, rows - window[0].start][:, :, columns - window[1].start], tile)
