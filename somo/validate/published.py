"""A published version as its readers find it: the store and the tables that were published beside it."""

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from somo.core.grid import Grid
from somo.storage.client import zarr_store
from somo.storage.objects import exists, join, read_bytes

CROSSVAL = ("domain", "cell", "layer", "time", "y", "y_hat", "y_ridge", "fold")
TARGETS = ("domain", "cell", "layer", "time", "value", "count")
SENSORS = ("archive", "network", "station", "sensor", "latitude", "longitude", "layer", "domain", "cell", "kept")
# Values of one field in one task: 80 MB of float32.
BLOCK_VALUES = 20_000_000


class ValidationError(ValueError):
    """Published or compared data that cannot be judged; the text names what, both sides and the remedy."""


@dataclass(frozen=True)
class Published:
    """One version, judged from what anyone can read.

    Attributes
    ----------
    url : the version's folder
    layers : names of the layers, in the order of `depth`
    soil : lazy Dataset with `soil_moisture`, `soil_moisture_std` [depth, time, lat, lon] in m3 m-3
    crossval : out-of-fold predictions [domain, cell, layer, time, y, y_hat, y_ridge, fold]
    targets : measured series that the networks learnt from [domain, cell, layer, time, value, count]
    sensors : one row per sensor, kept or dropped
    points : the same fields laid out for series, read where few cells are wanted; None where there is no such store
    """

    url: str
    layers: tuple[str, ...]
    soil: xr.Dataset
    crossval: pd.DataFrame
    targets: pd.DataFrame
    sensors: pd.DataFrame
    points: xr.Dataset | None = None

    @property
    def grid(self) -> Grid:
        """The cells, with a step in degrees from their bounds or else from the nearest centres."""
        lat, lon = (self.soil[axis].values.astype(np.float64) for axis in ("lat", "lon"))
        steps = [np.abs(np.diff(centres)) for centres in (lat, lon) if len(centres) > 1]
        # A grid may hold rows and columns that do not touch: then centres lie further apart than a cell is wide.
        bounds = self.soil["lat_bnds"].values if "lat_bnds" in self.soil else None
        if bounds is not None:
            step = float(abs(bounds[0, 1] - bounds[0, 0]))
        else:
            step = float(np.concatenate(steps).min()) if steps else 1.0
        return Grid(lat, lon, round(step, 6))

    @property
    def period(self) -> str:
        """First and last day, for captions."""
        days = pd.DatetimeIndex(self.soil["time"].values)
        return f"{days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}"

    def at_cells(self, cells: np.ndarray, layer: str) -> xr.DataArray:
        """[cell, time] published soil moisture of flat cell ids in one layer, m3 m-3."""
        depth = self.layers.index(layer)
        if self.points is None:
            return at_cells(self.soil["soil_moisture"].isel(depth=depth), self.grid, cells)
        field = self.points["soil_moisture"].isel(depth=depth).sel(time=self.soil["time"].values)
        rows, columns = np.divmod(np.asarray(cells, np.int64), len(self.grid.lon))
        # One cell after another: each lies in one chunk of every block of years.
        series = [field.isel(lat=row, lon=column).values for row, column in zip(rows, columns, strict=True)]
        return xr.DataArray(np.stack(series), {"cell": cells, "time": field["time"].values}, ("cell", "time"))


def at_cells(field: xr.DataArray, grid: Grid, cells: np.ndarray) -> xr.DataArray:
    """[cell, time] values of a field [time, lat, lon] on `grid` at flat cell ids, computed."""
    rows, columns = np.divmod(np.asarray(cells, np.int64), len(grid.lon))
    picked = field.isel(lat=xr.DataArray(rows, dims="cell"), lon=xr.DataArray(columns, dims="cell"))
    picked = picked.drop_vars(["lat", "lon", "depth"], errors="ignore").assign_coords(cell=cells)
    return picked.transpose("cell", "time").compute()


def open_published(version_url: str, layers: tuple[str, ...]) -> Published:
    """Open a version lazily and read its tables.

    Raises
    ------
    ValidationError
        if a variable or column is missing, naming what was found
    StorageError
        if an object is missing
    """
    soil = open_soil(version_url, layers)
    crossval, targets, sensors = (
        read_table(join(version_url, "validation", f"{name}.parquet"), columns)
        for name, columns in (("crossval", CROSSVAL), ("targets", TARGETS), ("sensors", SENSORS))
    )
    return Published(version_url, layers, soil, crossval, targets, sensors, _open_points(version_url, soil))


def _open_points(version_url: str, soil: xr.Dataset) -> xr.Dataset | None:
    """The store for series, if it shows the days that the store for maps shows."""
    store = join(version_url, "soil_moisture_series.zarr")
    if not exists(join(store, "zarr.json")):
        return None
    points = xr.open_zarr(zarr_store(store), chunks=None, consolidated=True)
    return points if points.sizes["time"] == soil.sizes["time"] else None


def open_soil(version_url: str, layers: tuple[str, ...]) -> xr.Dataset:
    """The store of a version, lazily; errors as of `open_published`."""
    store = join(version_url, "soil_moisture.zarr")
    # A missing store is a StorageError here, which names it, before zarr raises an error of its own.
    read_bytes(join(store, "zarr.json"))
    soil = _in_blocks(xr.open_zarr(zarr_store(store), chunks=None, consolidated=True))
    for name in ("soil_moisture", "soil_moisture_std"):
        if name not in soil:
            raise ValidationError(f"{store}: has no {name}, found {sorted(map(str, soil.data_vars))}; publish it again")
    if soil.sizes["depth"] != len(layers):
        raise ValidationError(f"{store}: {soil.sizes['depth']} depths, the product declares layers {list(layers)}")
    return soil


def _in_blocks(ds: xr.Dataset) -> xr.Dataset:
    """Dask arrays of whole maps: as many stored blocks of days together as make a task worth its while."""
    field = ds["soil_moisture"]
    stored = field.encoding.get("chunks") or field.shape
    days = stored[field.get_axis_num("time")]
    per_block = days * field[:, 0].size if field.sizes["time"] else 1
    return ds.chunk(depth=-1, time=days * max(1, BLOCK_VALUES // per_block), lat=-1, lon=-1)


def read_table(url: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read a Parquet table and require its columns."""
    table = pd.read_parquet(io.BytesIO(read_bytes(url)))
    if missing := [c for c in columns if c not in table]:
        raise ValidationError(
            f"{url}: columns {missing} are missing, found {list(table.columns)}; build the stage again"
        )
    for name in ("domain", "layer"):
        table[name] = table[name].astype("category")
    return table
