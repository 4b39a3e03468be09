"""The Zarr group `latest.zarr`: the latest day alone, one chunk a layer, for readers who want to see it at once.

The store for maps holds some days together in each of its many chunks, so that a first look at one day costs several
times its bytes and dozens of requests. Here it is one request.
"""

import numpy as np
import pandas as pd
import xarray as xr
from zarr.codecs import ZstdCodec

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.layout import SEPARATORS
from somo.publish import attributes
from somo.publish.store import maps as zarr
from somo.storage.client import zarr_store
from somo.storage.objects import join

STORE = "latest.zarr"
STEPS = {"soil_moisture": zarr.STEP, attributes.UNCERTAINTY: zarr.UNCERTAINTY_STEP}
SMALL = ("status", "time_bnds", "lat_bnds", "lon_bnds", "depth_bnds", "crs")


def publish_latest(product: Product, version_url: str) -> None:
    """Make the group show the latest day of the store for maps, unless it does already."""
    source, url = join(version_url, zarr.STORE), join(version_url, STORE)
    with xr.open_zarr(zarr_store(source), consolidated=True, chunks=None) as store:
        fields = [name for name in STEPS if name in store]
        ds = store[[*fields, *SMALL]].isel(time=[-1]).load().drop_encoding()
    for name in fields:
        # The group holds some of what the store for maps names beside soil moisture, and may name no more than it has.
        beside = str(ds[name].attrs.get("ancillary_variables", "")).split()
        if beside:
            ds[name].attrs["ancillary_variables"] = " ".join(other for other in beside if other in ds)
    shown = zarr.read_visible(url)
    if shown is not None and _shows(url, ds):
        return
    times = pd.DatetimeIndex(ds["time"].to_index())
    grid = Grid(ds["lat"].values, ds["lon"].values, product.grid.step_deg)
    ds.attrs = {
        **attributes.file_attrs(product, grid, times, product.layers),
        "title": f"{product.name}: the latest day",
    }
    days = {"units": zarr.EPOCH, "calendar": "proleptic_gregorian", "dtype": "int32"}
    encoding_of = {name: _packed(grid.shape, STEPS[name]) for name in fields} | {"time": days, "time_bnds": days}
    keys = {"name": "default", "separator": SEPARATORS[0 if shown is None else 1 - shown.side]}
    encoding = {
        str(n): {"_FillValue": None, "chunk_key_encoding": keys, **encoding_of.get(str(n), {})} for n in ds.variables
    }
    zarr.publish_group(url, ds, encoding)


def _shows(url: str, ds: xr.Dataset) -> bool:
    """Whether readers of the group see these values already."""
    with xr.open_zarr(zarr_store(url), consolidated=True, chunks=None) as former:
        same = (
            name in former and np.array_equal(former[name], ds[name], equal_nan=True) for name in STEPS if name in ds
        )
        return bool(former["time"].equals(ds["time"]) and former["status"].equals(ds["status"]) and all(same))


def _packed(shape: tuple[int, int], step: float) -> dict[str, object]:
    return {
        "chunks": (1, 1, *shape),
        "compressors": [ZstdCodec(level=3, checksum=True)],
        "dtype": "int16",
        "fill_value": zarr.FILL,
        "scale_factor": step,
        "_FillValue": zarr.FILL,
    }
