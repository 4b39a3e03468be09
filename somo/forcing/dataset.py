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
from somo.forcing.by_tile.tiling import files_of
from somo.forcing.cells import domain_grid
from somo.forcing.checked import accumulation_of
from somo.forcing.daily import DailyArray
from somo.forcing.days.covered import EPOCH, Days, covered_days, source_spans
from somo.forcing.derived import mean, signed_sum
from somo.forcing.meaning import cells_of, plan_of
from somo.forcing.references.chunks import ReferenceSet, open_references
from somo.forcing.sources import ForcingError, declares
from somo.product.declaration import Product, content_hash, without_places
from somo.product.inputs import Source

# Dask gets whole blocks of days: with one task for every stored chunk it reads only about fifty of them a second.
BLOCK_DAYS = 61
BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class Inputs:
    """What the ingest stage made for one domain.

    Attributes
    ----------
    references : source -> URL of its reference set
    static : URL of the static file
    """

    references: dict[str, str]
    static: str


def open_forcing(
    product: Product,
    domain: str,
    references: Mapping[str, str],
    by_tile: bool = False,
    days: Days | None = None,
    cells: Grid | None = None,
) -> xr.Dataset:
    """One lazy Dataset of all declared forcing over the days that the product needs and every variable covers.

    Parameters
    ----------
    references : source read from files -> URL of its reference set
    by_tile : whether many days of few cells will be read: then all days are one block, so no stored chunk is read twice
    days : first and last day to open instead of those that the product needs; a last day of None opens all files' days
    cells : the grid to read on instead of the domain's own

    Returns
    -------
    Dataset (time, lat, lon), float32, variables named as declared, units of `somo.core.variables`, `time` at 00:00 of
    each UTC day, chunked in blocks of days; NaN where a source has no value. Precipitation is in mm d-1.
    """
    product = product.in_domain(domain)
    grid = cells or open_grid(product, domain, references)
    arrays = daily_arrays(product, domain, references, days, grid)
    lazy: dict[str, da.Array] = {}
    for name, forcing in product.forcing.items():
        if forcing.source is not None:
            lazy[name] = da.concatenate([_lazy(array, by_tile) for array in _chain(arrays, name)])
    for name, forcing in product.forcing.items():
        if forcing.sum_of:
            lazy[name] = signed_sum(forcing.sum_of, lazy)
        elif forcing.mean_of:
            lazy[name] = mean(forcing.mean_of, lazy)
    any_name = next(iter(product.sources))
    first, n_days = arrays[any_name].first_day, sum(array.n_days for array in _chain(arrays, any_name))
    time = np.arange(first, first + n_days).astype("datetime64[D]").astype("datetime64[ns]")
    return xr.Dataset(
        {name: (("time", "lat", "lon"), lazy[name], product.quantity(name).attrs()) for name in product.forcing},
        {"time": time, "lat": grid.lat, "lon": grid.lon},
    )


def _chain(arrays: Mapping[str, DailyArray], name: str) -> list[DailyArray]:
    """The arrays of a variable's sources in order of time."""
    return [array for key, array in arrays.items() if key.split(".then.")[0] == name]


def daily_arrays(
    product: Product,
    domain: str,
    references: Mapping[str, str],
    days: Days | None = None,
    grid: Grid | None = None,
) -> dict[str, DailyArray]:
    """The daily values of every source on the cells of a domain and the days that all variables cover, by source.

    A source that continues another has the days after that one's last; a source without any of the days is left out.

    Raises
    ------
    ForcingError
        where references point to files that are not declared, days are missing, or the cells are not the source's
    """
    product = product.in_domain(domain)
    stores = {name: open_references(references[name]) for name in product.sources if name in references}
    for name, store in stores.items():
        _require_declared(name, product.sources[name], domain, store)
    spans = source_spans(product, plans_of(product, references))
    first, last = covered_days(product, spans, days)
    cells = cells_of(grid or open_grid(product, domain, references))
    arrays = {}
    for name, store in stores.items():
        source, (begin, end) = product.sources[name], spans[name]
        begin, end = max(begin, first), min(end, last)
        if begin <= end:
            arrays[name] = DailyArray(
                name, product.quantity(name), source, store.url, begin, end - begin + 1, cells,
                accumulation_of(source, store.url),
            )  # fmt: skip
            # where the cells are not the source's, this says so before anything is read
            _ = arrays[name].placing
    return arrays


def plans_of(product: Product, references: Mapping[str, str]) -> dict[str, Any]:
    """Which steps make which day, by source."""
    return {
        name: plan_of(name, source, references[name], accumulation_of(source, references[name]))
        for name, source in product.sources.items()
        if name in references
    }


def open_grid(product: Product, domain: str, references: Mapping[str, str]) -> Grid:
    """The cells of a domain, as declared or from the coordinates of its first forcing variable."""
    return domain_grid(product, domain, open_references(references[next(iter(product.sources))]).grid)


def block_days(cells: int) -> int:
    """Days of one Dask block of a grid with this number of cells: 61, and more on small grids."""
    return max(BLOCK_DAYS, BLOCK_BYTES // (4 * cells))


def _lazy(array: DailyArray, by_tile: bool) -> da.Array:
    days = array.n_days if by_tile else block_days(array.shape[1] * array.shape[2])
    chunks = (days, *array.shape[1:])
    # The array pickles to a URL and a few numbers, so every task carries it. `meta` says that slices are plain NumPy
    # arrays: without it Dask takes the array itself for what a slice is.
    lazy: da.Array = da.from_array(array, chunks=chunks, name=f"forcing-{array.token}", inline_array=True, meta=_EMPTY)
    return lazy


_EMPTY: NDArray[np.float32] = np.empty((0, 0, 0), "float32")


def _require_declared(name: str, source: Source, domain: str, store: ReferenceSet) -> None:
    for url in store.fingerprints:
        if not declares(source, domain, url):
            raise ForcingError(
                f"{store.url}: points to {url}, which forcing.{name}.url {source.url!r} does not declare; "
                "remove this reference set and run the ingest stage again"
            )


def source_files(
    product: Product, references: Mapping[str, str], first: dt.date, last: dt.date
) -> list[tuple[str, str]]:
    """What the forcing of the days `first`..`last` is made from: every source file, and how its source is declared.

    Returns
    -------
    name and content of each file, and name and hash of the declaration of each source that has one of them. A file's
    name consists of the source and its name in its folder, as in "air_temperature/t2m_2003.nc". Exchanging the files of
    two sources therefore changes the list; moving files to another folder does not.
    """
    days = (first - EPOCH).days, (last - EPOCH).days + 1
    plans = plans_of(product, references)
    spans = source_spans(product, plans)
    files: set[tuple[str, str]] = set()
    for name, source in product.sources.items():
        if name not in references:
            continue
        begin, end = max(days[0], spans[name][0]), min(days[1], spans[name][1] + 1)
        if begin < end:
            listed = files_of(open_references(references[name]), plans[name], source.max_gap_days, begin, end)
            files |= {(f"{name}/{file}", content) for file, content in listed}
            # The same files declared otherwise, as in other units, give other values.
            files.add((name, content_hash(without_places(source))))
    return sorted(files)


def provisional_days(product: Product, references: Mapping[str, str]) -> NDArray[np.datetime64]:
    """[n] days, ascending, on which any source is provisional.

    These are the last `provisional_days` days of a source, which its producer still revises; days with a step that the
    file marks as preliminary (`expver`); and all days of a source that continues another.
    """
    plans = plans_of(product, references)
    spans = source_spans(product, plans)
    days: set[int] = set()
    for name, source in product.sources.items():
        if name not in references:
            continue
        plan, (first, last) = plans[name], spans[name]
        recent = range(last + 1 - (source.provisional_days or 0), last + 1)
        marked = {
            plan.first_day + int(day)
            for start, count in open_references(references[name]).index["provisional"]
            for day in np.flatnonzero(((plan.steps >= start) & (plan.steps < start + count)).any(axis=1))
        }
        continued = range(first, last + 1) if ".then." in name else range(0)
        days |= {day for day in (*recent, *marked, *continued) if first <= day <= last}
    return np.array(sorted(days), "int64").astype("datetime64[D]")


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
    # In the caller's own thread: regions run side by side already, each as one task of a worker.
    tile = ds[list(variables)].isel(time=time, lat=rows, lon=columns).compute(scheduler="synchronous")
    values = np.stack([tile[v].values for v in variables], axis=-1)
    values = values.reshape(tile.sizes["time"], -1, len(variables))
    present = ~np.isnan(values).all(axis=(0, 2))
    require_complete(values, variables, tile, present if land is None else land[rows, columns].ravel().astype(bool))
    return values


def _stamp(day: Any) -> np.datetime64:
    stamp: np.datetime64 = np.datetime64(day, "D").astype("datetime64[ns]")
    return stamp


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
        f"cell {tile['lat'].values[row]:g} N, {tile['lon'].values[column]:g} E; provide complete forcing there, or "
        f'fill gaps with forcing.{variables[variable]}.gaps = "interpolate" and max_gap_days'
    )
