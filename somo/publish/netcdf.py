"""Yearly NetCDF-4 files, one per layer: what most users download (CF-1.11, ACDD-1.3).

Whatever differs between layers is named by its layer, so that files of several layers and years open as one Dataset.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.inputs import Layer, Period
from somo.product.layout import FROZEN
from somo.publish import attributes
from somo.publish.slabs import EPOCH, lazily, write_slabs
from somo.storage.client import zarr_store
from somo.storage.objects import join, put_file, scratch_folder

# Two chunks of days.
SLAB_DAYS = 64
FOLDER = "netcdf"


def file_url(version_url: str, product_name: str, layer: str, year: int) -> str:
    """URL of the file of one layer and year."""
    return join(version_url, FOLDER, f"{product_name}_{layer}_{year}.nc")


def complete_years(times: pd.DatetimeIndex, final: np.ndarray, period: Period) -> list[int]:
    """Years of which the store holds every day of the period, all of them final.

    Parameters
    ----------
    times : the store's days
    final : [day] whether a day's values will never change
    period : of the product; without an end a year is complete with its last day
    """
    have = times[np.asarray(final, bool)]
    years = []
    for year in sorted({int(y) for y in times.year}):
        first = max(pd.Timestamp(year, 1, 1), pd.Timestamp(period.start))
        last = pd.Timestamp(year, 12, 31)
        if period.end is not None:
            last = min(last, pd.Timestamp(period.end))
        if pd.date_range(first, last).isin(have).all():
            years.append(year)
    return years


def year_dataset(store: xr.Dataset, product: Product, layer: Layer, year: int) -> xr.Dataset:
    """The published file of one layer and year; its daily fields are as lazy as the store's.

    Parameters
    ----------
    store : soil_moisture and soil_moisture_std [depth, time, lat, lon] in m3 m-3, status [time],
        applicability [depth, lat, lon]

    Returns
    -------
    `<layer>`, `<layer>_std` and, where the store has them, `<layer>_uncertainty` [time, lat, lon] float32 in m3 m-3 and
    the flag `<layer>_frozen`, status [time], `<layer>_applicability` and `<layer>_dissimilarity` [lat, lon]
    """
    days = pd.DatetimeIndex(store["time"].to_index())
    year_fields = store.isel(depth=product.layers.index(layer), time=days_of_year(days, year))
    grid = Grid(year_fields["lat"].values, year_fields["lon"].values, product.grid.step_deg)
    times = pd.DatetimeIndex(year_fields["time"].to_index())
    variables = {
        **_fields(product, year_fields, layer),
        "status": ("time", year_fields["status"].data.astype("int8"), attributes.STATUS),
        **_cells(year_fields, layer),
        "crs": ((), np.int32(0), attributes.CRS),
        **_bounds(grid, times, layer),
    }
    depth = f"{layer.name}_depth"
    coordinates = {
        "time": ("time", times, attributes.TIME),
        "lat": ("lat", grid.lat, attributes.LATITUDE),
        "lon": ("lon", grid.lon, attributes.LONGITUDE),
        depth: ((), layer.depth_m, {**attributes.DEPTH, "bounds": f"{depth}_bnds"}),
    }
    return xr.Dataset(variables, coordinates, attributes.file_attrs(product, grid, times, (layer,)))


def days_of_year(times: pd.DatetimeIndex, year: int) -> slice:
    """Where the times of a year stand among ascending ones.

    A slice, since zarr reads by a list of positions with several times the memory and time.
    """
    positions = np.flatnonzero(times.year == year)
    return slice(int(positions[0]), int(positions[-1]) + 1) if len(positions) else slice(0, 0)


def _fields(product: Product, year_fields: xr.Dataset, layer: Layer) -> dict[str, xr.Variable]:
    """Daily fields of a layer under the names of its files."""
    described: dict[str, tuple[str, dict[str, Any]]] = {
        "soil_moisture": (layer.name, attributes.mean_attrs(product, layer)),
        "soil_moisture_std": (f"{layer.name}_std", attributes.std_attrs(layer)),
        attributes.UNCERTAINTY: (f"{layer.name}_uncertainty", attributes.uncertainty_attrs(product, layer)),
    }
    fields = {
        name: lazily(year_fields[field], attrs) for field, (name, attrs) in described.items() if field in year_fields
    }
    about = fields[layer.name].attrs
    if f"{layer.name}_uncertainty" in fields:
        about["ancillary_variables"] = f"{layer.name}_uncertainty {about['ancillary_variables']}"
    if attributes.DISSIMILARITY in year_fields:
        about["ancillary_variables"] = f"{about['ancillary_variables']} {layer.name}_{attributes.DISSIMILARITY}"
    if FROZEN in year_fields:
        # Of the store's attributes JSON has made wider integers than CF allows beside the flag's own bytes.
        flags = {**year_fields[FROZEN].attrs, "flag_values": np.array(year_fields[FROZEN].attrs["flag_values"], "int8")}
        fields[f"{layer.name}_{FROZEN}"] = lazily(year_fields[FROZEN], flags)
        about["ancillary_variables"] = f"{about['ancillary_variables']} {layer.name}_{FROZEN}"
    return fields


def _cells(year_fields: xr.Dataset, layer: Layer) -> dict[str, tuple[object, ...]]:
    """What is known of each cell of a layer, whatever the day."""
    inside = year_fields["applicability"].fillna(0).astype("int8").data
    cells: dict[str, tuple[object, ...]] = {
        f"{layer.name}_applicability": (("lat", "lon"), inside, {**attributes.APPLICABILITY, "grid_mapping": "crs"})
    }
    if attributes.DISSIMILARITY in year_fields:
        distance = year_fields[attributes.DISSIMILARITY]
        described = {**distance.attrs, "coverage_content_type": "qualityInformation"}
        cells[f"{layer.name}_{attributes.DISSIMILARITY}"] = (("lat", "lon"), distance.astype("float32").data, described)
    return cells


def write_netcdf(ds: xr.Dataset, path: Path, layer: str) -> None:
    """Write one file, slab of days by slab of days; equal Datasets give equal bytes."""
    fields = [str(name) for name in ds.data_vars if ds[name].dims == ("time", "lat", "lon")]
    depth = f"{layer}_depth"
    ds = ds.reset_coords(depth)
    for name in fields:
        ds[name].attrs["coordinates"] = depth
    write_slabs(ds, fields, path, _encoding(ds.drop_vars(fields)), SLAB_DAYS)


def publish_year(version_url: str, product: Product, layer: Layer, year: int) -> str:
    """Make one yearly file from the version's Zarr store and put it whole; returns its URL.

    Memory is bounded by one slab of days over the whole grid.
    """
    url = file_url(version_url, product.name, layer.name, year)
    with xr.open_zarr(zarr_store(join(version_url, "soil_moisture.zarr")), consolidated=True, chunks=None) as store:
        ds = year_dataset(store, product, layer, year)
        with scratch_folder() as folder:
            local = folder / Path(url).name
            write_netcdf(ds, local, layer.name)
            put_file(local, url)
    return url


def _bounds(grid: Grid, times: pd.DatetimeIndex, layer: Layer) -> dict[str, tuple[object, ...]]:
    lat_bounds, lon_bounds = grid.bounds()
    days = np.stack([times.values, (times + pd.Timedelta(days=1)).values], axis=1)
    return {
        "time_bnds": (("time", "bnds"), days),
        "lat_bnds": (("lat", "bnds"), lat_bounds),
        "lon_bnds": (("lon", "bnds"), lon_bounds),
        f"{layer.name}_depth_bnds": (("bnds",), np.array([layer.top_m, layer.bottom_m])),
    }


def _encoding(small: xr.Dataset) -> dict[str, dict[str, object]]:
    days = small.sizes["time"]
    time = {"units": EPOCH, "calendar": "proleptic_gregorian", "dtype": "float64"}
    encoding_of: dict[str, dict[str, object]] = {
        "time": {**time, "chunksizes": (days,)},
        "time_bnds": {**time, "chunksizes": (days, 2)},
        "status": {"chunksizes": (days,)},
        **{str(name): {"zlib": True} for name in small.variables if small[name].dims == ("lat", "lon")},
    }
    return {str(name): {"_FillValue": None, **encoding_of.get(str(name), {})} for name in small.variables}
