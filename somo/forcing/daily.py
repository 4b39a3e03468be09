"""Daily values of one variable, read from the reference set or the cube when sliced."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from somo.core.variables import Quantity
from somo.forcing.by_tile.cube import Cube, cube_url, open_cube
from somo.forcing.days.gaps import LongGapError, interpolate
from somo.forcing.days.plan import Accumulation, DayPlan, to_daily
from somo.forcing.meaning import Cells, conversions_of, is_accumulated, placing_of, plan_of
from somo.forcing.references.chunks import open_references
from somo.forcing.references.decoding import decode
from somo.forcing.regridding.placing import Placing
from somo.forcing.sources import ForcingError
from somo.forcing.steps import convert, read_steps
from somo.forcing.valid import require_valid, step_limits
from somo.product.declaration import content_hash
from somo.product.inputs import Source

# Bytes of single-precision values that are read at once: longer periods are read in blocks of days, so that memory
# does not grow with them.
READ_BYTES = 2**28
Window = tuple[slice, slice]


@dataclass(frozen=True)
class DailyArray:
    """[day, lat, lon] float32 in our units, read when sliced; pickles small.

    Attributes
    ----------
    name : of the source in the product
    quantity : what it is physically
    url : its reference set
    first_day : days since 1970-01-01 of the first day
    n_days : number of days
    cells : latitudes, longitudes and width of the product's cells
    accumulation : of sub-daily sums, where the declaration leaves it to the numbers
    """

    name: str
    quantity: Quantity
    source: Source
    url: str
    first_day: int
    n_days: int
    cells: Cells
    accumulation: Accumulation | None = None

    dtype = np.dtype("float32")
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of days, rows and columns."""
        return self.n_days, len(self.cells[0]), len(self.cells[1])

    @cached_property
    def token(self) -> str:
        """Hash of everything that decides over its values, by which Dask names it."""
        return content_hash(self)

    @cached_property
    def cube_url(self) -> str:
        """URL of the cube of these cells, which exists once they have been laid out by tile."""
        return cube_url(self.url, content_hash(self.name, self.source, self.cells, self.accumulation))

    @property
    def plan(self) -> DayPlan:
        """Which steps make which day."""
        return plan_of(self.name, self.source, self.url, self.accumulation)

    @property
    def placing(self) -> Placing:
        """How the source's nodes come onto the cells."""
        return placing_of(self.name, self.source.regrid, self.url, self.cells)

    @property
    def conversions(self) -> tuple[tuple[float, float], ...]:
        """Factor and offset of every group of files, from its units to ours."""
        return conversions_of(self.name, self.quantity, self.source, self.url)

    @property
    def as_stored(self) -> bool:
        """Whether a day is one stored number of one node, which a cube can keep as the file has it."""
        plan = self.plan
        return plan.steps.shape[1] == 1 and self.placing.picks and bool((plan.steps >= 0).all())

    @property
    def days_read(self) -> tuple[int, int]:
        """First day and day after the last, since 1970-01-01, that are read, those that only fill gaps included."""
        plan, margin = self.plan, self.source.max_gap_days
        return (
            max(plan.first_day, self.first_day - margin),
            min(plan.stop_day, self.first_day + self.n_days + margin),
        )

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        (start, stop), rows, columns = (_bounds(k, n) for k, n in zip(key, self.shape, strict=True))
        if start >= stop or rows[0] >= rows[1] or columns[0] >= columns[1]:
            return np.empty([len(range(*k.indices(n))) for k, n in zip(key, self.shape, strict=True)], "float32")
        window = slice(*rows), slice(*columns)
        values = self._without_gaps(self.first_day + start, self.first_day + stop, window)
        return values[tuple(slice(None, None, k.step) for k in key)]

    def _without_gaps(self, first: int, stop: int, window: Window) -> NDArray[np.float32]:
        """Days since 1970-01-01 of some cells, gaps filled as declared."""
        margin, (begin, end) = self.source.max_gap_days, self.days_read
        low, high = max(begin, first - margin), min(end, stop + margin)
        values = self._read(low, high, window)
        if not margin:
            return values
        try:
            return interpolate(values, margin, slice(first - low, stop - low))
        except LongGapError as gap:
            lat, lon = self.cells[0][window[0].start + gap.row], self.cells[1][window[1].start + gap.column]
            days = " to ".join(str(np.datetime64(low + day, "D")) for day in (gap.first, gap.last))
            # Where a source ends (or what was read of it does), a longer gap would not be filled either.
            at_end = gap.at_end and (low + gap.first == begin or low + gap.last == end - 1)
            remedy = (
                "at an end of its source, where a value is on one side only and nothing is filled, not from a source "
                "that continues it either; provide these days, or leave them out of the source's files"
                if at_end
                else f"more than max_gap_days {margin}; raise forcing.{self.name}.max_gap_days or provide these days"
            )
            raise ForcingError(
                f"{self.file_of(low + gap.first)}: {self.name} has no value on {days} at the cell {lat:g} N, {lon:g} "
                f"E, {remedy}"
            ) from gap

    def _read(self, first: int, stop: int, window: Window) -> NDArray[np.float32]:
        cube = open_cube(self.cube_url)
        if cube is not None and cube.covers(first, stop):
            return self._from_cube(cube, first, stop, window)
        return self.from_references(first, stop, window)

    def _from_cube(self, cube: Cube, first: int, stop: int, window: Window) -> NDArray[np.float32]:
        values = np.concatenate(
            [
                convert(decode(raw, slab.attrs), self.conversions[slab.group]) if slab.group >= 0 else raw
                for raw, slab in cube.read(first, stop, window)
            ]
        )
        require_valid(self, values, first, window)
        return values

    def from_references(self, first: int, stop: int, window: Window) -> NDArray[np.float32]:
        """[day, lat, lon] float32 in our units, from the source files, in bounded memory.

        Parameters
        ----------
        first, stop : days since 1970-01-01, the second excluded
        window : slices of the product's rows and columns

        Raises
        ------
        ForcingError
            naming the file that was replaced or cannot be read, or a value that no weather has
        """
        source_window = self.placing.window(*window)
        steps = self.plan.steps.shape[1]
        days = max(1, READ_BYTES // (4 * source_window.size * steps))
        blocks_of_days = [self._block(day, min(day + days, stop), window) for day in range(first, stop, days)]
        return blocks_of_days[0] if len(blocks_of_days) == 1 else np.concatenate(blocks_of_days)

    def _block(self, first: int, stop: int, window: Window) -> NDArray[np.float32]:
        store, plan, placing = open_references(self.url), self.plan, self.placing
        steps = plan.of(first, stop)
        # A block within a gap, which is filled from the blocks around it, has nothing to read.
        if (steps < 0).all():
            return np.full((stop - first, *(axis.stop - axis.start for axis in window)), np.nan, "float32")
        source_window = placing.window(*window)
        # A step of an amount is only a part of its day: the valid range is that of the whole day, so the total alone
        # is judged.
        limits = step_limits(self) if plan.steps.shape[1] > 1 and not plan.total else None

        def read(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
            values = read_steps(store, numbers, source_window, self.source.missing, self.conversions)
            if limits is not None:
                require_valid(self, values, first, window, source_window, (numbers, limits))
            return values

        values = to_daily(steps, plan.total, read)
        if placing.picks:
            values = placing.apply(values, *window)
            require_valid(self, values, first, window)
            return values
        # before regridding: a fill value that nobody declared would hide in a mean
        require_valid(self, values, first, window, source_window)
        return placing.apply(values, *window).astype(np.float32, copy=False)

    @property
    def accumulated(self) -> bool:
        """Whether the source's values are amounts."""
        return is_accumulated(self.name, self.source, self.url)

    def file_of(self, day: int) -> str:
        """URL of the file that holds a day since 1970-01-01."""
        store = open_references(self.url)
        steps = self.plan.of(day, day + 1)
        # A day that was filled has no steps of its own (-1): an error then names the first file.
        step = int(steps.max()) if steps.size and steps.max() >= 0 else 0
        return str(store.index["files"][store.file_of_step[step]][0])


def _bounds(key: slice, n: int) -> tuple[int, int]:
    start, stop, step = key.indices(n)
    if step < 1:
        raise IndexError(f"step {step}: a backward slice cannot be read")
    return start, stop
