"""Yearly NetCDF-4 files of drought, all layers in one, for programs that cannot read shards."""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from somo.product.declaration import Product
from somo.publish.netcdf import EPOCH, FILL, FOLDER
from somo.publish.store.drought import STORE
from somo.publish.store.drought_fields import BY_WINDOW, PROBABILITIES
from somo.storage.client import zarr_store
from somo.storage.objects import join, put_file, scratch_folder

NO_CLASS = np.int8(-1)


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
    the same [time, depth, lat, lon]: float32, and int8 with -1 for no class
    """
    ends = pd.DatetimeIndex(drought["time"].to_index())
    seasonal = [name for name in drought.variables if "season" in drought[name].dims]
    windows = drought.drop_vars(seasonal).isel(time=np.flatnonzero(ends.year == year))
    # The variables bring the store's encoding along: steps, shards and compression of Zarr.
    windows = windows.drop_encoding().transpose("time", "depth", "lat", "lon", ...)
    for array in windows.variables.values():
        # JSON has made wider integers of them than CF allows beside the flags' own bytes.
        if "flag_values" in array.attrs:
            array.attrs["flag_values"] = np.array(array.attrs["flag_values"], "int8")
    windows.attrs["time_coverage_start"] = f"{pd.Timestamp(windows['time_bnds'].values[0, 0]):%Y-%m-%dT%H:%M:%SZ}"
    windows.attrs["time_coverage_end"] = f"{pd.Timestamp(windows['time_bnds'].values[-1, 1]):%Y-%m-%dT%H:%M:%SZ}"
    return windows


def publish_drought_year(version_url: str, product: Product, year: int) -> str:
    """Make one yearly file from the drought store and put it whole; returns its URL."""
    url = drought_url(version_url, product.name, year)
    with (
        xr.open_zarr(zarr_store(join(version_url, STORE)), consolidated=True, chunks=None) as drought,
        scratch_folder() as folder,
    ):
        windows = year_of_drought(drought, year)
        local = folder / Path(url).name
        windows.to_netcdf(local, engine="h5netcdf", encoding=_encoding(windows), unlimited_dims=["time"])
        put_file(local, url)
    return url


def _encoding(windows: xr.Dataset) -> dict[str, dict[str, object]]:
    packed = {"zlib": True, "complevel": 4, "shuffle": True}
    days: dict[str, object] = {
        "units": EPOCH,
        "calendar": "proleptic_gregorian",
        "dtype": "float64",
        "_FillValue": None,
    }
    encoding_of: dict[str, dict[str, object]] = {"time": days, "time_bnds": days}
    for name in (*BY_WINDOW, *PROBABILITIES):
        encoding_of[name] = {"dtype": "float32", "_FillValue": FILL, **packed}
    encoding_of["drought_class"] = {"dtype": "int8", "_FillValue": NO_CLASS, **packed}
    return {str(name): encoding_of.get(str(name), {"_FillValue": None}) for name in windows.variables}
