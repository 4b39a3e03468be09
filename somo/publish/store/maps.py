"""The published Zarr store: packing, shards, and metadata that appears whole.

Format 3, sharded, zstd with checksums, consolidated. The shards of a region are encoded in memory and put one by one,
each whole; no reader sees them until the root's `zarr.json`, written last by one put, names the days that they hold.
Objects that readers see are not written over (`somo.product.layout`), save one kind: small arrays over time (`time`,
`time_bnds`, `status`) are one chunk of fixed length of which the root's shape shows the beginning, and days are only
added to it.
"""

import datetime as dt
import json
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from somo.core.grid import Grid
from somo.core.variables import SOIL_MOISTURE
from somo.product.declaration import Product
from somo.product.layout import FROZEN, SEPARATORS, Layout, Tile, is_shard_of, shard_key
from somo.product.level import level_sentence
from somo.publish import attributes
from somo.publish.attributes import frozen_attrs
from somo.publish.store.packing import FILL as FILL
from somo.publish.store.packing import NO_FLAG as NO_FLAG
from somo.publish.store.packing import STEP as STEP
from somo.publish.store.packing import UNCERTAINTY_STEP as UNCERTAINTY_STEP
from somo.publish.store.packing import Packed as Packed
from somo.publish.store.packing import empty_shard, flag_storage
from somo.publish.store.packing import encode_shard as encode_shard
from somo.publish.store.packing import fill_of as fill_of
from somo.publish.store.packing import pack as pack
from somo.publish.store.packing import packed_encoding as packed_encoding
from somo.storage.client import filesystem, zarr_store
from somo.storage.lease import put_visible, require_lease
from somo.storage.listing import listing
from somo.storage.objects import exists, join, put, read_bytes

STORE = "soil_moisture.zarr"
FIELDS = ("soil_moisture", "soil_moisture_std")
# Imported models know the spread of their members alone, so that their versions lack the uncertainty.
UNCERTAIN_FIELDS = (*FIELDS, attributes.UNCERTAINTY)
DAILY = (*UNCERTAIN_FIELDS, FROZEN)
"""All daily fields; whether the ground is frozen is told where the product declares it."""
# 44 years of days in one chunk of a fixed length: days are added to it, and no further object is needed.
TIME_CHUNK = 16384
EPOCH = "days since 1970-01-01"
ROOT = "zarr.json"
DIMS = ("depth", "time", "lat", "lon")


@dataclass(frozen=True)
class Visible:
    """What readers of a store see now.

    Attributes
    ----------
    status : [day] int8, `FINAL` or `PROVISIONAL` (`somo.core.status`), of every visible day
    side : namespace of the shards (`somo.product.layout`)
    method : hash of the models and settings that all days were made with
    """

    status: NDArray[np.int8]
    side: int = 0
    method: str = ""

    @property
    def days(self) -> int:
        """Number of visible days."""
        return len(self.status)


def store_url(root: str, version: str) -> str:
    """URL of a version's store."""
    return join(root, f"v{version}", STORE)


def fields_of(url: str) -> tuple[str, ...]:
    """Names of the packed daily fields that the visible store has."""
    arrays = json.loads(read_bytes(join(url, ROOT)))["consolidated_metadata"]["metadata"]
    return tuple(name for name in DAILY if name in arrays)


def shard_shape(url: str, field: str) -> tuple[int, ...]:
    """Layers, days or windows, rows and columns of the shards of a field as readers see it."""
    arrays = json.loads(read_bytes(join(url, ROOT)))["consolidated_metadata"]["metadata"]
    return tuple(arrays[field]["chunk_grid"]["configuration"]["chunk_shape"])


def clear_side(url: str, side: int) -> None:
    """Remove the shards of the side that readers do not see, before it is written with shards of another shape.

    Where every value of a shard is missing, none is put, and one of the former shape would stand for it.
    """
    require_lease()
    fs, path = filesystem(url)
    for key in listing(url):
        if is_shard_of(key, side):
            fs.rm_file(f"{path}/{key}")


def fill_empty(url: str, layout: Layout, fields: Iterable[str], days: int, side: int) -> None:
    """Put an empty shard wherever there is none: a store that nobody may list answers 403 for a missing object."""
    stored_keys = listing(url).keys()
    for field in fields:
        wanted = {
            shard_key(field, side, block, tile) for block in range(layout.blocks(days)) for tile in layout.tiles()
        }
        if missing := sorted(wanted - stored_keys):
            empty = empty_shard(layout, field)
            for key in missing:
                put(join(url, key), empty)


def write_region(
    url: str, layout: Layout, block: int, tile: Tile, fields: Mapping[str, Packed], side: int = 0
) -> dict[str, bytes]:
    """Put the shards of one region; returns the bytes written, by field.

    Parameters
    ----------
    fields : packed [layer, day, row, column] by name; a flag [day, row, column]
    """
    written = {}
    for name, packed in fields.items():
        data = encode_shard(layout, packed)
        if data is not None:
            put(join(url, shard_key(name, side, block, tile)), data)
            written[name] = data
    return written


def read_visible(url: str) -> Visible | None:
    """What readers of the store see; None if they see nothing yet."""
    if not exists(join(url, ROOT)):
        return None
    root = json.loads(read_bytes(join(url, ROOT)))
    encoding = root["consolidated_metadata"]["metadata"]["status"]["chunk_key_encoding"]
    side = SEPARATORS.index(encoding["configuration"]["separator"])
    status = np.asarray(_array(url, "status")[:], np.int8)
    return Visible(status, side, root["attributes"].get("method", ""))


def read_packed(url: str, field: str, days: slice, cells: tuple[slice, slice]) -> NDArray[Any]:
    """Packed values of visible days, as readers see them: [layer, day, row, column], of a flag [day, row, column]."""
    return np.asarray(_array(url, field)[..., days, cells[0], cells[1]], fill_of(field).dtype)


def read_packed_days(url: str, field: str, days: NDArray[np.intp], cells: tuple[slice, slice]) -> NDArray[Any]:
    """Packed values of single days, in ascending order, as `read_packed` gives those of a span."""
    array = _array(url, field)
    # Span by span: zarr's own choice of single days takes ten times as long.
    spans = np.split(days, np.flatnonzero(np.diff(days) > 1) + 1)
    read = [array[..., int(span[0]) : int(span[-1]) + 1, cells[0], cells[1]] for span in spans]
    return np.concatenate(read, axis=-3, dtype=fill_of(field).dtype)


def _array(url: str, name: str) -> zarr.Array[Any]:
    # Without the format zarr looks for metadata of version 2 as well, which are six requests more.
    array = zarr.open_group(zarr_store(url), mode="r", use_consolidated=True, zarr_format=3)[name]
    assert isinstance(array, zarr.Array)
    return array


def template(
    product: Product,
    grid: Grid,
    status: NDArray[np.int8],
    applicability: NDArray[np.int8],
    method: str = "",
    dissimilarity: NDArray[np.float32] | None = None,
) -> xr.Dataset:
    """The whole store as its readers will see it, with nothing but NaN in the large arrays.

    Parameters
    ----------
    status : [day] of every day from the product's first
    applicability : [layer, row, column], 1 inside the area of applicability
    method : hash of models and settings that all days were made with
    dissimilarity : [layer, row, column] index of models that know their uncertainty, which is then published; else None
    """
    layout = Layout.of(product, grid.shape)
    times = pd.date_range(product.period.start, periods=len(status), unit="ns")
    shape = (layout.layers, len(times), *grid.shape)
    empty = dask.array.full(shape, np.nan, "float32", chunks=layout.shard)
    lat_bounds, lon_bounds = grid.bounds()
    depth_bounds = np.array([[layer.top_m, layer.bottom_m] for layer in product.layers])
    return xr.Dataset(
        {
            "soil_moisture": (DIMS, empty, _mean_attrs(product, dissimilarity is not None)),
            **({} if dissimilarity is None else _uncertain(product, empty, dissimilarity)),
            "soil_moisture_std": (DIMS, empty, _std_attrs()),
            **_frozen(product, empty),
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
        {**attributes.file_attrs(product, grid, times, product.layers), "method": method},
    )


def publish(url: str, ds: xr.Dataset, layout: Layout, side: int = 0) -> None:
    """Make the days of a `template` visible: small arrays first, then the root's metadata in one put.

    Raises
    ------
    StorageError
        if the store cannot be written; readers then still see the former state
    """
    publish_group(url, ds, _encoding(ds, layout, side))


def publish_group(url: str, ds: xr.Dataset, encoding: Mapping[str, Mapping[str, object]]) -> None:
    """Put the small arrays and metadata of a Dataset that have changed, the root's last, and no lazy array."""
    memory = MemoryStore()
    # zarr warns that its format does not specify consolidated metadata; readers over plain HTTP cannot do without.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata", ZarrUserWarning)
        # zarr leaves out a chunk of nothing but fill values, as `status` is where all days are final; readers would
        # take it for missing.
        ds.to_zarr(memory, zarr_format=3, consolidated=True, compute=False, encoding=encoding, write_empty_chunks=True)
    objects = {key: buffer.to_bytes() for key, buffer in memory._store_dict.items()}
    sizes = {key: info.size for key, info in listing(url).items()}
    for key in sorted(objects, key=lambda key: (key == ROOT, key.endswith(ROOT), key)):
        if sizes.get(key) != len(objects[key]) or read_bytes(join(url, key)) != objects[key]:
            put_visible(join(url, key), objects[key])


def _encoding(ds: xr.Dataset, layout: Layout, side: int) -> dict[str, dict[str, object]]:
    packed = packed_encoding(layout, STEP)
    time = {"units": EPOCH, "calendar": "proleptic_gregorian", "dtype": "int32"}
    encoding_of: dict[str, dict[str, object]] = {
        **dict.fromkeys(FIELDS, packed),
        attributes.UNCERTAINTY: packed_encoding(layout, UNCERTAINTY_STEP),
        FROZEN: {**flag_storage(layout), "_FillValue": NO_FLAG},
        "time": {**time, "chunks": (TIME_CHUNK,)},
        "time_bnds": {**time, "chunks": (TIME_CHUNK, 2)},
        "status": {"chunks": (TIME_CHUNK,)},
        "applicability": {"chunks": (layout.layers, *layout.shape)},
        attributes.DISSIMILARITY: {"chunks": (layout.layers, *layout.shape)},
    }
    keys = {"name": "default", "separator": SEPARATORS[side]}
    names = [str(name) for name in ds.variables]
    return {name: {"_FillValue": None, "chunk_key_encoding": keys, **encoding_of.get(name, {})} for name in names}


def _uncertain(
    product: Product, empty: dask.array.Array, dissimilarity: NDArray[np.float32]
) -> dict[str, tuple[object, ...]]:
    """What only models that know their uncertainty publish."""
    index = np.asarray(dissimilarity, np.float32)
    return {
        attributes.UNCERTAINTY: (DIMS, empty, attributes.store_uncertainty_attrs(product)),
        attributes.DISSIMILARITY: (
            ("depth", "lat", "lon"),
            index,
            {**attributes.DISSIMILARITY_ATTRS, "grid_mapping": "crs"},
        ),
    }


def _frozen(product: Product, empty: dask.array.Array) -> dict[str, tuple[object, ...]]:
    """The flag of frozen ground, where the product declares one."""
    if product.frozen is None:
        return {}
    return {FROZEN: (DIMS[1:], dask.array.full_like(empty[0], NO_FLAG, dtype="int8"), frozen_attrs(product.frozen))}


def _mean_attrs(product: Product, uncertain: bool) -> dict[str, object]:
    ancillary = f"{attributes.UNCERTAINTY} {attributes.DISSIMILARITY} " if uncertain else ""
    frozen = "" if product.frozen is None else f" {FROZEN}"
    return {
        **SOIL_MOISTURE.attrs(),
        "cell_methods": "time: mean depth: mean area: mean",
        "grid_mapping": "crs",
        "ancillary_variables": f"{ancillary}soil_moisture_std status applicability{frozen}",
        "valid_range": list(attributes.VALID),
        "comment": level_sentence(product),
    }


def _std_attrs() -> dict[str, object]:
    return {
        **SOIL_MOISTURE.attrs(),
        # CF's modifier keeps the plain standard name for soil moisture alone, so that it is found by that name.
        "standard_name": f"{SOIL_MOISTURE.standard_name} standard_error",
        "long_name": "spread: standard deviation of soil moisture over the ensemble's members",
        "cell_methods": "time: mean depth: mean area: mean realization: standard_deviation",
        "grid_mapping": "crs",
    }
