"""References -> one lazy Dataset of daily forcing in our names, units and grid."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.product import ForcingGrid, Product, RegularGrid, Source, content_hash
from somo.core.variables import FORCING
from somo.forcing.features import DAY_SECONDS, daily_steps, to_daily
from somo.forcing.sources import ForcingError, declares, needed_days
from somo.forcing.store import ReferenceStore, open_store
from somo.forcing.units import suggest_units, to_canonical

BLOCK_DAYS = 61
GRID_TOLERANCE_DEG = 1e-4


@dataclass(frozen=True)
class Inputs:
    """What the ingest stage hands on for one domain: variable -> reference set, and the static file."""

    references: dict[str, str]
    static: str


@dataclass(frozen=True)
class DailyArray:
    """Daily values of one variable on the product's cells, read when sliced: [day, lat, lon] float32 in our units.

    Attributes
    ----------
    url : its reference set
    first_day : days since 1970-01-01 of the first day
    n_days : number of days
    rows, columns : index of each product row and column in the files
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

    def __dask_tokenize__(self) -> str:
        return self.token

    def __getitem__(self, key: Any) -> NDArray[np.float32]:
        days, rows, columns = (_bounds(k, n) for k, n in zip(key, self.shape, strict=True))
        row, column = np.array(self.rows[slice(*rows)]), np.array(self.columns[slice(*columns)])
        window = slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1)
        values = self._read_days(*days, window)[:, row - window[0].start][:, :, column - window[1].start]
        self._require_valid(values, days[0])
        return values

    def _read_days(self, start: int, stop: int, window: tuple[slice, slice]) -> NDArray[np.float32]:
        store = open_store(self.url)
        steps = daily_steps(self.source, store.index["step"])
        per_day = DAY_SECONDS // store.index["step"]
        origin = _step_of(store, self.first_day * DAY_SECONDS)
        first = origin + start * per_day + steps.first
        last = origin + (stop - 1) * per_day + steps.first + (steps.count - 1) * steps.stride
        values = to_daily(read_steps(store, slice(first, last + 1, steps.stride), window), steps)
        factor, offset = to_canonical(self.name, self.source)
        if (factor, offset) != (1.0, 0.0):
            values = values * factor + offset
        return values.astype("float32", copy=False)

    def _require_valid(self, values: NDArray[np.float32], start: int) -> None:
        quantity = FORCING[self.name]
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        if np.isnan(low) or (quantity.valid_min <= low and high <= quantity.valid_max):
            return
        bad = (values < quantity.valid_min) | (values > quantity.valid_max)
        day, row, column = (int(i[0]) for i in np.nonzero(bad))
        better = suggest_units(self.name, self.source, float(low), float(high))
        remedy = f"is its unit {better!r}?" if better else "correct its units or replace the file"
        raise ForcingError(
            f"forcing.{self.name}: {values[day, row, column]:g} {quantity.units} on {_day(self.first_day + start + day)} "
            f"in row {row}, column {column} of the block read lies outside {quantity.valid_min:g}..{quantity.valid_max:g}; "
            f"{self.source.url} is declared in {self.source.units!r}: {remedy}"
        )


def _bounds(key: Any, n: int) -> tuple[int, int]:
    start, stop, step = key.indices(n)
    if step != 1:
        raise IndexError("only contiguous slices can be read")
    return start, stop


def _day(number: int) -> str:
    return str(np.datetime64(number, "D"))


def _step_of(store: ReferenceStore, seconds: int) -> int:
    """Number of the step at a time; daily sources may be stamped at any hour of their day."""
    start, step = store.index["files"][0][3], store.index["step"]
    if step == DAY_SECONDS:
        start = start // DAY_SECONDS * DAY_SECONDS
    return (seconds - start) // step


def read_steps(store: ReferenceStore, steps: slice, window: tuple[slice, slice]) -> NDArray[np.floating]:
    """Decoded steps [step, row, column] of a reference set, joined over its groups."""
    parts, before = [], 0
    for group, decoding in enumerate(store.index["decoding"]):
        count = sum(f[4] for f in store.index["files"] if f[2] == str(group))
        first = max(steps.start, steps.start + -(-(before - steps.start) // steps.step) * steps.step)
        stop = min(steps.stop, before + count)
        if first < stop:
            raw = store.array(group)[(slice(first - before, stop - before, steps.step), *window)]
            parts.append(decode(np.asarray(raw), decoding))
        before += count
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def decode(raw: NDArray[Any], attrs: Mapping[str, Sequence[Any]]) -> NDArray[np.float32]:
    """Stored numbers -> float32 with NaN, by the CF attributes of the file."""
    typed = {k: v if kind == "str" else np.dtype(kind).type(v) for k, (v, kind) in attrs.items() if k != "units"}
    variable = xr.conventions.decode_cf_variable("x", xr.Variable(("t", "y", "x"), raw, typed), decode_times=False)
    return np.asarray(variable.values, "float32")


def open_forcing(product: Product, domain: str, references: Mapping[str, str]) -> xr.Dataset:
    """One lazy Dataset of all declared forcing over the days that every variable covers.

    Parameters
    ----------
    references : variable read from files -> URL of its reference set

    Returns
    -------
    Dataset (time, lat, lon), float32, variables named as declared, units of `somo.core.variables`, `time` at 00:00 of each
    UTC day, chunked in blocks of days; NaN where a source has no value
    """
    stores = {name: open_store(references[name]) for name in product.sources}
    for name, store in stores.items():
        _require_declared(name, product.sources[name], domain, store)
    first, last = covered_days(product, stores)
    grid = open_grid(product, domain, references)
    arrays = {
        name: _lazy(
            DailyArray(name, product.sources[name], store.url, first, last - first + 1, *_cells(name, grid, store))
        )
        for name, store in stores.items()
    }
    for name, forcing in product.forcing.items():
        if forcing.sum_of:
            arrays[name] = sum((arrays[part] for part in forcing.sum_of[1:]), start=arrays[forcing.sum_of[0]])
    time = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[ns]")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), arrays[name], FORCING[name].attrs()) for name in product.forcing},
        {"time": time, "lat": grid.lat, "lon": grid.lon},
    )


def _lazy(array: DailyArray) -> da.Array:
    chunks = (BLOCK_DAYS, *array.shape[1:])
    return da.from_array(array, chunks=chunks, name=f"forcing-{array.token}", inline_array=True, asarray=False)


def _require_declared(name: str, source: Source, domain: str, store: ReferenceStore) -> None:
    for url in store.fingerprints:
        if not declares(source, domain, url):
            raise ForcingError(
                f"{store.url}: points to {url}, which forcing.{name}.url {source.url!r} does not declare; run ingest again"
            )


def covered_days(product: Product, stores: Mapping[str, ReferenceStore]) -> tuple[int, int]:
    """First and last day, as days since 1970-01-01, that a product needs and every variable has.

    Raises
    ------
    ForcingError
        naming the variable that begins too late or ends too early
    """
    need_first, need_last = (None if d is None else (d - dt.date(1970, 1, 1)).days for d in needed_days(product))
    assert need_first is not None
    last = need_last
    for name, store in stores.items():
        has_first, has_last = _whole_days(product.sources[name], store)
        if has_first > need_first:
            raise ForcingError(
                f"forcing.{name}: begins on {_day(has_first)}, but the product needs it from {_day(need_first)} (period.start "
                f"{product.period.start} less {product.sequence.spinup_days} days of spin-up): provide earlier files, start "
                f"the period on {_day(has_first + product.sequence.spinup_days)} or later, or shorten sequence.lookback"
            )
        if need_last is not None and has_last < need_last:
            raise ForcingError(
                f"forcing.{name}: ends on {_day(has_last)}, but the product needs it to {_day(need_last)}: provide later files "
                "or end the period earlier"
            )
        last = min(last if last is not None else has_last, has_last)
    assert last is not None
    return need_first, last


def _whole_days(source: Source, store: ReferenceStore) -> tuple[int, int]:
    """First and last day whose steps are all there."""
    step, files = store.index["step"], store.index["files"]
    start, end = files[0][3], files[-1][3] + (files[-1][4] - 1) * step
    if source.frequency == "daily":
        return start // DAY_SECONDS, end // DAY_SECONDS
    steps = daily_steps(source, step)
    reach = (steps.first + (steps.count - 1) * steps.stride) * step
    return -(-(start - steps.first * step) // DAY_SECONDS), (end - reach) // DAY_SECONDS


def open_grid(product: Product, domain: str, references: Mapping[str, str]) -> Grid:
    """The cells of a domain, as declared or from the coordinates of its first forcing variable."""
    declared = product.grids()[domain]
    if isinstance(declared, RegularGrid):
        return Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    return _forcing_grid(declared, open_store(references[next(iter(product.sources))]))


def _forcing_grid(declared: ForcingGrid, store: ReferenceStore) -> Grid:
    lon = (np.array(store.index["lon"], "float64") + 180) % 360 - 180
    lon = np.sort(lon) if np.any(np.diff(lon) <= 0) and np.all(np.diff(store.index["lon"]) > 0) else lon
    return Grid(np.array(store.index["lat"], "float64"), np.round(lon, 6), declared.step_deg)


def _cells(name: str, grid: Grid, store: ReferenceStore) -> tuple[tuple[int, ...], tuple[int, ...]]:
    where = f"forcing.{name} ({store.index['files'][0][0]})"
    rows = match_axis(where, "lat", grid.lat, np.array(store.index["lat"]))
    return tuple(rows.tolist()), tuple(match_axis(where, "lon", grid.lon, np.array(store.index["lon"])).tolist())


def match_axis(where: str, axis: str, wanted: NDArray[np.floating], stored: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index in `stored` of each wanted coordinate in degrees; longitudes may run 0..360.

    Raises
    ------
    ForcingError
        naming both sides where a cell has no exact centre in the file
    """
    apart = np.abs(wanted[:, None] - stored[None, :].astype("float64"))
    if axis == "lon":
        apart = np.abs((apart + 180) % 360 - 180)
    nearest = apart.argmin(axis=1)
    off = apart[np.arange(len(wanted)), nearest]
    if off.max() > GRID_TOLERANCE_DEG:
        i = int(off.argmax())
        raise ForcingError(
            f"{where}: no {axis} {wanted[i]:g} (its {axis} has {len(stored)} values {stored[0]:g}..{stored[-1]:g}, nearest "
            f"{stored[nearest[i]]:g}); the product's grid must have the centres of the file's cells: correct [grid]"
        )
    return nearest


def read_forcing(
    ds: xr.Dataset,
    variables: Sequence[str],
    start: np.datetime64 | dt.date | str,
    stop: np.datetime64 | dt.date | str,
    rows: slice,
    columns: slice,
    land: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Forcing of a tile as the network reads it: [time, cell, variable], cells in row-major order of the tile.

    Parameters
    ----------
    start, stop : first and last day, both included
    rows, columns : slices of the grid
    land : [lat, lon] of the whole grid; a missing value at such a cell is an error (default: at a cell that has any value)

    Raises
    ------
    ForcingError
        naming variable, day and cell of a missing value
    """
    tile = ds[list(variables)].sel(time=slice(_stamp(start), _stamp(stop))).isel(lat=rows, lon=columns)
    loaded = tile.compute(scheduler="synchronous")
    values = np.stack([loaded[v].values for v in variables], axis=-1)
    values = values.reshape(len(loaded["time"]), -1, len(variables))
    expected = None if land is None else np.asarray(land, bool)[rows, columns].ravel()
    require_complete(values, variables, loaded, expected)
    return values


def _stamp(day: np.datetime64 | dt.date | str) -> np.datetime64:
    return np.datetime64(day, "D").astype("datetime64[ns]")


def require_complete(
    values: NDArray[np.float32], variables: Sequence[str], tile: xr.Dataset, land: NDArray[np.bool_] | None
) -> None:
    """Refuse a missing value [time, cell, variable] at a land cell."""
    missing = np.isnan(values)
    if land is None:
        land = ~missing.all(axis=(0, 2))
    if not missing[:, land].any():
        return
    day, cell, variable = (int(i[0]) for i in np.nonzero(missing & land[None, :, None]))
    row, column = divmod(cell, tile.sizes["lon"])
    raise ForcingError(
        f"forcing.{variables[variable]}: missing on {tile['time'].values[day].astype('datetime64[D]')} at the land cell "
        f"{tile['lat'].values[row]:g} N, {tile['lon'].values[column]:g} E; provide complete forcing or leave the cell out"
    )
