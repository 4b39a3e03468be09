"""The published Zarr store: packing, shards, and metadata that appears whole.

Format 3, sharded, zstd, consolidated. The shards of a region are encoded in memory and put one by one, each whole; no
reader can see them until the root's `zarr.json`, written last by one put, names the days that they hold. Small arrays
over time (`time`, `time_bnds`, `status`) are one chunk of fixed length, of which the root's shape shows the beginning:
rewriting that chunk with more days does not change what a reader of the former root sees.

Packing: int16 in steps of 1e-4 m3 m-3 (`scale_factor`, `_FillValue`), which errs by at most 5e-5. See `pack`.
"""

import datetime as dt
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from somo.core.grid import Grid
from somo.core.layout import Layout, Tile
from somo.core.product import Product
from somo.core.storage import exists, join, put, zarr_store
from somo.core.variables import SOIL_MOISTURE
from somo.publish import attributes

STORE = "soil_moisture.zarr"
FIELDS = ("soil_moisture", "soil_moisture_std")
STEP = 1e-4
FILL = np.int16(-32768)
TIME_CHUNK = 16384
EPOCH = "days since 1970-01-01"
ROOT = "zarr.json"
DIMS = ("depth", "time", "lat", "lon")


@dataclass(frozen=True)
class Visible:
    """What readers of a store see now.

    Attributes
    ----------
    status : [day] int8, `attributes.FINAL` or `attributes.PROVISIONAL`, of every visible day
    """

    status: NDArray[np.int8]

    @property
    def days(self) -> int:
        return len(self.status)


def store_url(root: str, version: str) -> str:
    """URL of a version's store."""
    return join(root, f"v{version}", STORE)


def pack(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Soil moisture in m3 m-3 -> int16 in steps of 1e-4; NaN becomes the fill value."""
    steps = np.rint(np.clip(values.astype(np.float64), -3.0, 3.0) / STEP)
    return np.where(np.isnan(values), FILL, steps).astype(np.int16)


def encode_shard(layout: Layout, packed: NDArray[np.int16]) -> bytes | None:
    """Bytes of one shard.

    Parameters
    ----------
    packed : [layer, day, row, column] of one region; what the shard holds beyond it is filled

    Returns
    -------
    None if nothing but fill values is in it
    """
    shard = (layout.layers, layout.days, *layout.tile)
    memory = MemoryStore()
    array = zarr.create_array(memory, shape=shard, **_storage(layout))
    array[tuple(slice(0, n) for n in packed.shape)] = packed
    encoded = memory._store_dict.get("c/0/0/0/0")
    return None if encoded is None else encoded.to_bytes()


def shard_key(field: str, block: int, tile: Tile) -> str:
    """Key of a shard inside the store."""
    return f"{field}/c/0/{block}/{tile[0]}/{tile[1]}"


def write_region(
    url: str, layout: Layout, block: int, tile: Tile, fields: Mapping[str, NDArray[np.int16]]
) -> dict[str, bytes]:
    """Put the shards of one region; returns the bytes written, by key.

    Parameters
    ----------
    fields : packed [layer, day, row, column] by name
    """
    written = {}
    for name, packed in fields.items():
        data = encode_shard(layout, packed)
        if data is not None:
            key = shard_key(name, block, tile)
            put(join(url, key), data)
            written[key] = data
    return written


def read_visible(url: str) -> Visible | None:
    """What readers of the store see; None if they see nothing yet."""
    if not exists(join(url, ROOT)):
        return None
    group = zarr.open_group(zarr_store(url), mode="r", use_consolidated=True)
    return Visible(np.asarray(group["status"][:], np.int8))


def read_packed(url: str, field: str, days: slice, cells: tuple[slice, slice]) -> NDArray[np.int16]:
    """Packed values [layer, day, row, column] of visible days, as readers see them."""
    group = zarr.open_group(zarr_store(url), mode="r", use_consolidated=True)
    return np.asarray(group[field][:, days, cells[0], cells[1]], np.int16)


def template(product: Product, grid: Grid, status: NDArray[np.int8], applicability: NDArray[np.int8]) -> xr.Dataset:
    """The whole store as its readers will see it, with nothing but NaN in the large arrays.

    Parameters
    ----------
    status : [day] of every day from the product's first
    applicability : [layer, row, column], 1 inside the area of applicability
    """
    layout = Layout.of(product, grid.shape)
    times = pd.date_range(product.period.start, periods=len(status), unit="ns")
    shape = (layout.layers, len(times), *grid.shape)
    empty = dask.array.full(shape, np.nan, "float32", chunks=(layout.layers, layout.days, *layout.tile))
    lat_bounds, lon_bounds = grid.bounds()
    depth_bounds = np.array([[layer.top_m, layer.bottom_m] for layer in product.layers])
    return xr.Dataset(
        {
            "soil_moisture": (DIMS, empty, _mean_attrs()),
            "soil_moisture_std": (DIMS, empty, _std_attrs()),
            "status": ("time", status, attributes.STATUS),
            "applicability": (
                ("depth", "lat", "lon"),
                applicability,
                {**attributes.APPLICABILITY, "grid_mapping": "crs"},
            ),
            "crs": ((), np.int32(0), attributes.CRS),
            "time_bnds": (("time", "bnds"), np.stack([times, times + dt.timedelta(days=1)], 1)),
            "lat_bnds": (("lat", "bnds"), lat_bounds),
            "lon_bnds": (("lon", "bnds"), lon_bounds),
            "depth_bnds": (("depth", "bnds"), depth_bounds),
        },
        {
            "time": ("time", times, attributes.TIME),
            "depth": ("depth", [layer.depth_m for layer in product.layers], attributes.DEPTH),
            "lat": ("lat", grid.lat, attributes.LATITUDE),
            "lon": ("lon", grid.lon, attributes.LONGITUDE),
        },
        attributes.file_attrs(product, grid, times, product.layers),
    )


def publish(url: str, ds: xr.Dataset, layout: Layout) -> None:
    """Make the days of a `template` visible: small arrays first, then the root's metadata in one put.

    Raises
    ------
    StorageError
        if the store cannot be written; readers then still see the former state
    """
    memory = MemoryStore()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        ds.to_zarr(memory, zarr_format=3, consolidated=True, compute=False, encoding=_encoding(layout))
    objects = {key: buffer.to_bytes() for key, buffer in memory._store_dict.items()}
    for key in sorted(objects, key=lambda key: (key == ROOT, key.endswith(ROOT), key)):
        put(join(url, key), objects[key])


def _storage(layout: Layout) -> dict[str, object]:
    return {
        "chunks": (1, *layout.chunk),
        "shards": (layout.layers, layout.days, *layout.tile),
        "compressors": [ZstdCodec(level=3)],
        "dtype": "int16",
        "fill_value": FILL,
    }


def _encoding(layout: Layout) -> dict[str, dict[str, object]]:
    packed = {**_storage(layout), "scale_factor": STEP, "_FillValue": FILL}
    time = {"units": EPOCH, "calendar": "proleptic_gregorian", "dtype": "int32", "_FillValue": None}
    return {
        **dict.fromkeys(FIELDS, packed),
        "time": {**time, "chunks": (TIME_CHUNK,)},
        "time_bnds": {**time, "chunks": (TIME_CHUNK, 2)},
        "status": {"chunks": (TIME_CHUNK,), "_FillValue": None},
        "applicability": {"chunks": (layout.layers, *layout.shape), "_FillValue": None},
        **{name: {"_FillValue": None} for name in ("depth", "lat", "lon", "lat_bnds", "lon_bnds", "depth_bnds")},
    }


def _mean_attrs() -> dict[str, object]:
    return {
        **SOIL_MOISTURE.attrs(),
        "cell_methods": "time: mean depth: mean area: mean",
        "grid_mapping": "crs",
        "ancillary_variables": "soil_moisture_std status applicability",
    }


def _std_attrs() -> dict[str, object]:
    return {
        **SOIL_MOISTURE.attrs(),
        "long_name": "standard deviation of soil moisture over the ensemble",
        "cell_methods": "time: mean depth: mean area: mean realization: standard_deviation",
        "grid_mapping": "crs",
    }
