"""References -> one lazy Dataset of daily forcing in our names, units and grid."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.variables import FORCING
from somo.forcing.by_tile.tiling import files_of
from somo.forcing.cells import domain_grid, match_grid
from somo.forcing.daily import DailyArray
from somo.forcing.features import DAY_SECONDS, daily_steps
from somo.forcing.references.chunks import ReferenceSet, open_references
from somo.forcing.references.combining import even_step
from somo.forcing.sources import ForcingError, declares, needed_days
from somo.product.declaration import Product
from somo.product.inputs import Source

BLOCK_DAYS = 61
BLOCK_BYTES = 2**24
EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class Inputs:
    """What the ingest stage hands on for one domain: variable -> reference set, and the static file."""

    references: dict[str, str]
    static: str


def open_forcing(
    product: Product,
    domain: str,
    references: Mapping[str, str],
    by_tile: bool = False,
    days: tuple[dt.date, dt.date | None] | None = None,
) -> xr.Dataset:
    """One lazy Dataset of all declared forcing over the days that the product needs and every variable covers.

    Parameters
    ----------
    references : variable read from files -> URL of its reference set
    by_tile : for who takes many days of few cells: all days are one block, so that no stored chunk is read twice
    days : first and last day instead of those that the product needs; without a last day as far as the files reach

    Returns
    -------
    Dataset (time, lat, lon), float32, variables named as declared, units of `somo.core.variables`, `time` at 00:00 of
    each UTC day, chunked in blocks of days; NaN where a source has no value. Precipitation is in mm d-1.
    """
    arrays = daily_arrays(product, domain, references, days)
    grid = open_grid(product, domain, references)
    lazy = {name: _lazy(array, by_tile) for name, array in arrays.items()}
    for name, forcing in product.forcing.items():
        if forcing.sum_of:
            lazy[name] = sum((lazy[part] for part in forcing.sum_of[1:]), start=lazy[forcing.sum_of[0]])
    first = next(iter(arrays.values()))
    time = np.arange(first.first_day, first.first_day + first.n_days).astype("datetime64[D]")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), lazy[name], FORCING[name].attrs()) for name in product.forcing},
        {"time": time.astype("datetime64[ns]"), "lat": grid.lat, "lon": grid.lon},
    )


def daily_arrays(
    product: Product,
    domain: str,
    references: Mapping[str, str],
    days: tuple[dt.date, dt.date | None] | None = None,
) -> dict[str, DailyArray]:
    """The variables read from files, on the cells of a domain and the days they all cover."""
    stores = {name: open_references(references[name]) for name in product.sources}
    for name, store in stores.items():
        _require_declared(name, product.sources[name], domain, store)
    first, last = covered_days(product, stores, days)
    grid = open_grid(product, domain, references)
    arrays = {}
    for name, store in stores.items():
        rows, columns = match_grid(f"forcing.{name} ({store.index['files'][0][0]})", grid, store.grid)
        source = product.sources[name]
        arrays[name] = DailyArray(
            name, source, store.url, first, last - first + 1, tuple(rows.tolist()), tuple(columns.tolist())
        )
    return arrays


def open_grid(product: Product, domain: str, references: Mapping[str, str]) -> Grid:
    """The cells of a domain, as declared or from the coordinates of its first forcing variable."""
    return domain_grid(product, domain, open_references(references[next(iter(product.sources))]).grid)


def block_days(cells: int) -> int:
    """Days of one block of so many cells: 61, and more on small grids."""
    return max(BLOCK_DAYS, BLOCK_BYTES // (4 * cells))


def _lazy(array: DailyArray, by_tile: bool) -> da.Array:
    days = array.n_days if by_tile else block_days(array.shape[1] * array.shape[2])
    chunks = (days, *array.shape[1:])
    return da.from_array(array, chunks=chunks, name=f"forcing-{array.token}", inline_array=True, meta=_EMPTY)


_EMPTY: NDArray[np.float32] = np.empty((0, 0, 0), "float32")


def _require_declared(name: str, source: Source, domain: str, store: ReferenceSet) -> None:
    for url in store.fingerprints:
        if not declares(source, domain, url):
            raise ForcingError(
                f"{store.url}: points to {url}, which forcing.{name}.url {source.url!r} does not declare; "
                "remove this reference set and run the ingest stage again"
            )


def covered_days(
    product: Product, stores: Mapping[str, ReferenceSet], days: tuple[dt.date, dt.date | None] | None = None
) -> tuple[int, int]:
    """First and last day, counted from 1970-01-01, that a product needs (or `days` asks) and every variable has.

    Raises
    ------
    ForcingError
        naming the variable that begins too late or ends too early
    """
    first_date, last_date = days or needed_days(product)
    first, last = (first_date - EPOCH).days, None if last_date is None else (last_date - EPOCH).days
    ends = []
    for name, store in stores.items():
        has_first, has_last = whole_days(product.sources[name], store)
        if has_first > first:
            raise ForcingError(_begins_late(name, product, has_first, first))
        if last is not None and has_last < last:
            raise ForcingError(
                f"forcing.{name}: the last whole day is {_day(has_last)}, but the product needs {_day(last)}; provide "
                f"later files or end the period earlier{_hint_00(product.sources[name])}"
            )
        ends.append(has_last)
    return first, min(ends) if last is None else last


def _begins_late(name: str, product: Product, has: int, needs: int) -> str:
    spinup = product.sequence.spinup_days
    return (
        f"forcing.{name}: begins on {_day(has)}, but the product needs it from {_day(needs)} (period.start "
        f"{product.period.start} less {spinup} days of spin-up): provide earlier files, start the period on "
        f"{_day(has + spinup)} or later, or shorten sequence.lookback"
    )


def _hint_00(source: Source) -> str:
    accumulated = source.frequency == "sub-daily" and source.kind == "accumulated"
    return " (an accumulation is complete with the value at 00 UTC of the next day)" if accumulated else ""


def _day(number: int) -> np.datetime64:
    return np.datetime64(int(number), "D")


def whole_days(source: Source, store: ReferenceSet) -> tuple[int, int]:
    """First and last day, counted from 1970-01-01, whose steps are all there."""
    step = even_step(store.times)
    start, end = int(store.times[0]), int(store.times[-1])
    if source.frequency == "daily":
        return start // DAY_SECONDS, end // DAY_SECONDS
    steps = daily_steps(source, step)
    reach = (steps.first + (steps.count - 1) * steps.stride) * step
    return -(-(start - steps.first * step) // DAY_SECONDS), (end - reach) // DAY_SECONDS


def source_files(
    product: Product, references: Mapping[str, str], first: dt.date, last: dt.date
) -> list[tuple[str, str]]:
    """URL and fingerprint of every source file that the forcing of the days `first`..`last` is made from."""
    days = (first - EPOCH).days, (last - EPOCH).days + 1
    return sorted(
        {
            f
            for name, source in product.sources.items()
            for f in files_of(source, open_references(references[name]), *days)
        }
    )


def provisional_days(product: Product, references: Mapping[str, str]) -> NDArray[np.datetime64]:
    """[n] days, ascending, on which a source is provisional, as it declares.

    By age: the last `provisional_days` days a source has, which its producer still revises. By `expver`: days with a
    step that the file itself marks so.
    """
    found: set[int] = set()
    for name, source in product.sources.items():
        store = open_references(references[name])
        first, last = whole_days(source, store)
        recent = range(last + 1 - (source.provisional_days or 0), last + 1)
        marked = (_days_of(source, store.times[step : step + n]) for step, n in store.index["provisional"])
        found |= {day for days in (recent, *marked) for day in days if first <= day <= last}
    return np.array(sorted(found), "int64").astype("datetime64[D]")


def _days_of(source: Source, times: NDArray[np.int64]) -> range:
    """Days that consecutive steps belong to; an accumulation's 00 UTC belongs to the day before."""
    shift = 1 if daily_steps(source, DAY_SECONDS // 2).first else 0
    first, last = (int(seconds - shift) // DAY_SECONDS for seconds in times[[0, -1]])
    return range(first, last + 1)


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
    land : [lat, lon] of the whole grid, where a missing value is an error; default: where there is any value

    Raises
    ------
    ForcingError
        naming variable, day and cell of a missing value
    """
    time = ds.indexes["time"].slice_indexer(_stamp(start), _stamp(stop))
    tile = ds[list(variables)].isel(time=time, lat=rows, lon=columns).compute(scheduler="synchronous")
    values = np.stack([tile[v].values for v in variables], axis=-1)
    values = values.reshape(tile.sizes["time"], -1, len(variables))
    present = ~np.isnan(values).all(axis=(0, 2))
    require_complete(values, variables, tile, present if land is None else land[rows, columns].ravel().astype(bool))
    return values


def _stamp(day: Any) -> np.datetime64:
    return np.datetime64(day, "D").astype("datetime64[ns]")


def require_complete(
    values: NDArray[np.float32], variables: Sequence[str], tile: xr.Dataset, land: NDArray[np.bool_]
) -> None:
    """Refuse a missing value [time, cell, variable] at a land cell.

    Raises
    ------
    ForcingError
        naming variable, day and cell
    """
    missing = np.isnan(values) & land[None, :, None]
    if not missing.any():
        return
    day, cell, variable = (int(i) for i in np.argwhere(missing)[0])
    row, column = divmod(cell, tile.sizes["lon"])
    raise ForcingError(
        f"forcing.{variables[variable]}: missing on {tile['time'].values[day].astype('datetime64[D]')} at the land "
        f"cell {tile['lat'].values[row]:g} N, {tile['lon'].values[column]:g} E; provide complete forcing there"
    )
