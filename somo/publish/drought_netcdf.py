"""Yearly NetCDF-4 files of drought, all layers in one, for programs that cannot read shards."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from somo.product.declaration import Product
from somo.publish.attributes import coverage_of
from somo.publish.netcdf import FOLDER, days_of_year
from somo.publish.slabs import EPOCH, lazily, write_slabs
from somo.publish.store.drought import STORE
from somo.publish.store.drought_fields import BY_WINDOW, PROBABILITIES
from somo.storage.client import zarr_store
from somo.storage.objects import join, put_file, scratch_folder

# One chunk of windows: with all layers and probabilities 200 MB of Europe.
SLAB_WINDOWS = 32
FIELDS = (*BY_WINDOW, *PROBABILITIES)


def drought_url(version_url: str, product_name: str, year: int) -> str:
    """URL of the file of one year."""
    return join(version_url, FOLDER, f"{product_name}_drought_{year}.nc")


def year_of_drought(drought: xr.Dataset, year: int) -> xr.Dataset:
    """The windows that end in a year.

    Parameters
    ----------
    drought : the drought store: anomaly, percentile, drought_class and, where the uncertainty is known, the
        probabilities of the classes [depth, time, lat, lon]

    Returns
    -------
    the same [depth, time, lat, lon], as lazy as the store's
    """
    ends = pd.DatetimeIndex(drought["time"].to_index())
    seasonal = [name for name in drought.variables if "season" in drought[name].dims]
    windows = drought.drop_vars(seasonal).isel(time=days_of_year(ends, year))
    for name, array in windows.variables.items():
        attrs = dict(array.attrs)
        # JSON has made wider integers of them than CF allows beside the flags' own bytes.
        if "flag_values" in attrs:
            attrs["flag_values"] = np.array(attrs["flag_values"], "int8")
        # The variables bring the store's encoding along: steps, shards and compression of Zarr.
        windows[name] = lazily(windows[name], attrs)
    resolution = windows.attrs["time_coverage_resolution"]
    return windows.assign_attrs(coverage_of(windows["time_bnds"].values, resolution))


def publish_drought_year(version_url: str, product: Product, year: int) -> str:
    """Make one yearly file from the drought store and put it whole; returns its URL."""
    url = drought_url(version_url, product.name, year)
    with (
        xr.open_zarr(zarr_store(join(version_url, STORE)), consolidated=True, chunks=None) as drought,
        scratch_folder() as folder,
    ):
        windows = year_of_drought(drought, year)
        local = folder / Path(url).name
        write_slabs(windows, [name for name in FIELDS if name in windows], local, _encoding(windows), SLAB_WINDOWS)
        put_file(local, url)
    return url


def _encoding(windows: xr.Dataset) -> dict[str, dict[str, object]]:
    windows_in_year = windows.sizes["time"]
    days = {"units": EPOCH, "calendar": "proleptic_gregorian", "dtype": "float64"}
    encoding_of: dict[str, dict[str, object]] = {
        "time": {**days, "chunksizes": (windows_in_year,)},
        "time_bnds": {**days, "chunksizes": (windows_in_year, 2)},
        "status": {"chunksizes": (windows_in_year,)},
    }
    others = [str(name) for name in windows.variables if name not in FIELDS]
    return {name: {"_FillValue": None, **encoding_of.get(name, {})} for name in others}
