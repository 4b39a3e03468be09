"""Daily values of one variable, read from the reference set or the cube when sliced."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.core.variables import FORCING
from somo.forcing.by_tile.cube import Cube, cube_url, open_cube
from somo.forcing.features import DAY_SECONDS, DailySteps, daily_steps, to_daily
from somo.forcing.references.chunks import ReferenceSet, open_references, steady
from somo.forcing.references.combining import even_step
from somo.forcing.sources import ForcingError
from somo.forcing.units import suggest_units, to_canonical
from somo.product.declaration import content_hash
from somo.product.inputs import Source

READ_BYTES = 2**28
Window = tuple[slice, slice]


@dataclass(frozen=True)
class DailyArray:
    """[day, lat, lon] float32 in our units, read when sliced; pickles small.

    Attributes
    ----------
    url : its reference set
    first_day : days since 1970-01-01 of the first day
    n_days : number of days
    rows, columns : index in the files of each row and column of the product
    """

    name: str
    source: Source
    url: str
    first_day: int
    n_days: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    dtype = np.dtype("float32")
    ndim = 3

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.n_days, len(self.rows), len(self.columns)

    @cached_property
    def token(self) -> str:
        return content_hash(self)

    @cached_property
    def cube_url(self) -> str:
        """Where these cells are listed if they have been laid out by tile."""
        return cube_url(self.url, self.rows, self.columns)

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: tuple[slice, slice, slice]) -> NDArray[np.float32]:
        (start, stop), rows, columns = (_bounds(k, n) for k, n in zip(key, self.shape, strict=True))
        if start >= stop or rows[0] >= rows[1] or columns[0] >= columns[1]:
            return np.empty([len(range(*k.indices(n))) for k, n in zip(key, self.shape, strict=True)], "float32")
        cube = open_cube(self.cube_url)
        if cube is not None and cube.covers(self.first_day + start, self.first_day + stop):
            values = self._from_cube(cube, start, stop, (slice(*rows), slice(*columns)))
        else:
            values = self._from_references(start, stop, rows, columns)
        values = self.convert(values)
        self._require_valid(values, start, rows[0], columns[0])
        return values[tuple(slice(None, None, k.step) for k in key)]

    def _from_cube(self, cube: Cube, start: int, stop: int, window: Window) -> NDArray[np.float32]:
        parts = cube.read(self.first_day + start, self.first_day + stop, window)
        return np.concatenate([decode(raw, attrs) for raw, attrs in parts])

    def _from_references(
        self, start: int, stop: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> NDArray[np.float32]:
        row, column = np.array(self.rows[slice(*rows)]), np.array(self.columns[slice(*columns)])
        window = slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1)
        values = self.unconverted(start, stop, window)
        return values[:, _steady(row - window[0].start)][:, :, _steady(column - window[1].start)]

    def unconverted(self, start: int, stop: int, window: Window) -> NDArray[np.float32]:
        """Decoded daily values in the source's units, in the files' rows and columns; memory stays bounded."""
        store = open_references(self.url)
        steps = daily_steps(self.source, even_step(store.times))
        cells = (window[0].stop - window[0].start) * (window[1].stop - window[1].start)
        days = max(1, READ_BYTES // (4 * cells * steps.count))
        parts = [
            to_daily(read_steps(store, self.steps(store, steps, day, min(day + days, stop)), window), steps)
            for day in range(start, stop, days)
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def steps(self, store: ReferenceSet, steps: DailySteps, start: int, stop: int) -> slice:
        """Numbers of the steps that make days `start`..`stop` of this array."""
        origin = step_of(store, self.first_day * DAY_SECONDS)
        per_day = DAY_SECONDS // even_step(store.times)
        first = origin + start * per_day + steps.first
        last = origin + (stop - 1) * per_day + steps.first + (steps.count - 1) * steps.stride
        return slice(first, last + 1, steps.stride)

    def convert(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Source's units -> ours."""
        factor, offset = to_canonical(self.name, self.source)
        if (factor, offset) == (1.0, 0.0):
            return values
        return (values * np.float64(factor) + offset).astype("float32")

    def _require_valid(self, values: NDArray[np.float32], start: int, row: int, column: int) -> None:
        quantity = FORCING[self.name]
        low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
        if np.isnan(low) or (quantity.valid_min <= low and high <= quantity.valid_max):
            return
        bad = np.argwhere((values < quantity.valid_min) | (values > quantity.valid_max))[0]
        better = suggest_units(self.name, self.source, low, high)
        remedy = f"are the file's units {better!r}?" if better else "correct the units or replace the file"
        store = open_references(self.url)
        lat, lon = store.grid["lat"][self.rows[row + bad[1]]], store.grid["lon"][self.columns[column + bad[2]]]
        day = np.datetime64(int(self.first_day + start + bad[0]), "D")
        raise ForcingError(
            f"{file_of(store, int(day.astype(int)))}: {self.name} is {values[tuple(bad)]:g} {quantity.units} on {day} "
            f"at {lat:g} N, {lon:g} E, outside {quantity.valid_min:g}..{quantity.valid_max:g}; forcing.{self.name} "
            f"declares {self.source.units!r}: {remedy}"
        )


def _steady(indices: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Indices as a slice, which copies nothing, where they follow one another."""
    first = int(indices[0])
    return slice(first, first + len(indices)) if (np.diff(indices) == 1).all() else indices


def _bounds(key: slice, n: int) -> tuple[int, int]:
    start, stop, step = key.indices(n)
    if step < 1:
        raise IndexError(f"step {step}: a backward slice cannot be read")
    return start, stop


def step_of(store: ReferenceSet, seconds: int) -> int:
    """Number of the step at a time; daily sources may be stamped at any hour of their day."""
    start, step = int(store.times[0]), even_step(store.times)
    if step == DAY_SECONDS:
        start = start // DAY_SECONDS * DAY_SECONDS
    return int((seconds - start) // step)


def file_of(store: ReferenceSet, day: int) -> str:
    """URL of the file that holds a day (since 1970-01-01)."""
    step = np.searchsorted(store.times // DAY_SECONDS, day, side="right") - 1
    return str(store.index["files"][store.file_of_step[step]][0])


def read_steps(store: ReferenceSet, steps: slice | NDArray[np.int64], window: Window) -> NDArray[np.float32]:
    """Decoded steps [step, row, column] of a reference set by their numbers, in the files' own units."""
    parts = [decode(raw, attrs) for raw, attrs in read_raw(store, steps, window)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def read_raw(
    store: ReferenceSet, steps: slice | NDArray[np.int64], window: Window
) -> list[tuple[NDArray[Any], dict[str, Any]]]:
    """Stored numbers and decoding attributes of steps, one part for every run of steps in one group of files."""
    numbers = np.arange(*steps.indices(len(store.times))) if isinstance(steps, slice) else steps
    groups, places = store.group_of_step[numbers], store.place_of_step[numbers]
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(numbers)]
    return [
        (store.read(group, (steady(places[first:stop]), *window)), store.index["decoding"][group])
        for first, stop in itertools.pairwise(edges)
        for group in [int(groups[first])]
    ]


def decode(raw: NDArray[Any], attrs: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
    """Stored numbers -> float32 with NaN, by the CF attributes of the file."""
    typed = {k: v if kind == "str" else np.dtype(kind).type(v) for k, (v, kind) in attrs.items()}
    variable = xr.conventions.decode_cf_variable("x", xr.Variable(("t", "y", "x"), raw, typed), decode_times=False)
    return np.asarray(variable.values, "float32")
