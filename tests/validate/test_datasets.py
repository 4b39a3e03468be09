"""Products in the layouts their producers use, written small and by hand."""

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from flows.environment import read_providers
from somo.core.grid import Grid
from somo.forcing.fields import find_fields
from somo.product.inputs import Layer
from somo.product.method import Compared, ComparedLayer
from somo.product.providers import table_of
from somo.storage.objects import put_file
from somo.validate.datasets import compared_files, layer_weights, open_compared, try_compared
from somo.validate.published import ValidationError
from tests.forcing.formats.test_grib import message

GRID = Grid.regular(-1, 2, 50, 52, 0.5)
DAYS = pd.date_range("2010-02-20", "2010-03-10", freq="D")
LAYERS = (
    Layer(name="layer1", top_m=0, bottom_m=0.1),
    Layer(name="layer2", top_m=0.1, bottom_m=0.3),
    Layer(name="layer3", top_m=0.3, bottom_m=0.5),
)


def plane(lat, lon):
    return 0.1 + 0.01 * (lat - 50) + 0.02 * lon


def write(path, variables=("sm",), lon=None, descending=False, time=None, units="m3 m-3", dims=None, scale=1.0):
    lat, lon = np.arange(48.5, 54, 1.0), np.arange(-3.5, 5, 1.0) if lon is None else lon
    time = DAYS if time is None else time
    signed = (lon + 180) % 360 - 180
    field = np.broadcast_to(plane(lat[:, None], signed[None, :]), (len(time), len(lat), len(lon))) * scale
    made = {
        v: (("time", "lat", "lon"), (field + 0.1 * k).astype("f8"), {"units": units}) for k, v in enumerate(variables)
    }
    ds = xr.Dataset(made, {"time": time, "lat": lat, "lon": lon})
    if descending:
        ds = ds.isel(lat=slice(None, None, -1))
    if dims:
        ds = ds.transpose(*dims)
    ds.to_netcdf(path, engine="h5netcdf")
    return str(path)


def other(url="x", like="essmra"):
    """A product to compare with, as a declaration takes it from the providers' table."""
    return Compared.model_validate({**table_of(like, read_providers()), "name": "Other", "url": url})


def opened(url, like="essmra", days=DAYS):
    return open_compared(other(url, like), LAYERS, GRID, days, find_fields)


def expected():
    return plane(GRID.lat[:, None], GRID.lon[None, :])


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"descending": True},
        {"lon": np.r_[0.5:5:1, 355.5:360:1]},
        {"dims": ("time", "lon", "lat")},
        {"units": "%", "scale": 100.0},
        {"time": xr.date_range("2010-02-20", "2010-03-10", calendar="noleap", use_cftime=True)},
        {"time": pd.date_range("2010-02-20 12:00", "2010-03-10 12:00", freq="D")},
    ],
    ids=["plain", "descending", "0..360", "lon before lat", "percent", "noleap", "noon"],
)
def test_layouts_of_producers_give_one_answer(tmp_path, layout):
    field = opened(write(tmp_path / "a.nc", **layout))["layer1"]
    assert field.shape == (len(DAYS), *GRID.shape)
    np.testing.assert_allclose(field.values[3], expected(), atol=1e-6)
    assert set(opened(write(tmp_path / "b.nc", **layout))) == {"layer1"}


@pytest.mark.parametrize(("west", "east"), [(0, 360), (177, 183), (-183, -177)])
@pytest.mark.parametrize("lon", [np.arange(-179.5, 180), np.arange(0.5, 360)])
def test_grids_from_0_to_360_and_across_the_date_line_have_values_everywhere(tmp_path, west, east, lon):
    path = write(tmp_path / "globe.nc", lon=lon, scale=0.1)
    grid = Grid.regular(west, east, 50, 52, 1.0)
    field = open_compared(other(path), LAYERS, grid, DAYS, find_fields)["layer1"].isel(time=0).values
    signed = (grid.lon + 180) % 360 - 180
    np.testing.assert_allclose(field, 0.1 * plane(grid.lat[:, None], signed[None, :]), atol=1e-6)


def test_hours_become_daily_means(tmp_path):
    hours = pd.date_range("2010-02-20", "2010-03-10 23:00", freq="6h")
    field = opened(write(tmp_path / "a.nc", time=hours))["layer1"]
    np.testing.assert_allclose(field.values[-1], expected(), atol=1e-6)


def test_days_that_a_product_lacks_are_missing(tmp_path):
    field = opened(write(tmp_path / "a.nc", time=DAYS[5:]))["layer1"]
    assert np.isnan(field.values[:5]).all()
    assert np.isfinite(field.values[5:]).all()


def test_files_by_year_and_variable(tmp_path):
    for layer in ("layer1", "layer2", "layer3"):
        write(tmp_path / f"v1_{layer}_2010.nc", (layer,))
    found = opened(str(tmp_path / "v1_{variable}_{year}.nc"), "somo-v1")
    assert set(found) == {"layer1", "layer2", "layer3"}


def test_layers_are_weighted_by_overlap(tmp_path):
    found = opened(write(tmp_path / "era_2010.nc", ("swvl1", "swvl2", "swvl3", "swvl4")), "era5-land-soil-moisture")
    np.testing.assert_allclose(found["layer1"].values[0], expected() + 0.3 * 0.1, atol=1e-6)
    np.testing.assert_allclose(found["layer2"].values[0], expected() + 0.9 * 0.1 + 0.1 * 0.2, atol=1e-6)
    assert layer_weights(other(like="gleam-v3"), LAYERS[2]) == {"SMroot": 1.0}
    assert layer_weights(other(like="esa-cci-sm"), LAYERS[0]) == {"sm": 1.0}
    assert layer_weights(other(like="esa-cci-sm"), LAYERS[1]) == {}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"variables": ("soil",)}, r"Other: .*a.nc: no variable 'sm'; it has soil, .*: correct its variable"),
        ({"units": "kg m-2"}, r"Other: .*a.nc: sm is in 'kg m-2', expected m3 m-3 or %"),
        (
            {"time": pd.date_range("1999-01-01", periods=3)},
            "1999-01-01 to 1999-01-03, none of the published days 2010-02-20",
        ),
        ({"lon": np.arange(100.5, 110)}, "lies nowhere near the product's cells"),
        ({"time": xr.date_range("2010-02-20", "2010-02-28", calendar="360_day", use_cftime=True)}, "years of 360 days"),
    ],
    ids=["variable", "units", "time", "place", "calendar"],
)
def test_what_cannot_be_compared_is_refused_by_name(tmp_path, damage, told):
    with pytest.raises(ValidationError, match=told):
        opened(write(tmp_path / "a.nc", **damage))


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(ValidationError, match=r"Other: no file .*x_{year}.nc for sm in 2010..2010"):
        opened(str(tmp_path / "x_{year}.nc"))
    (tmp_path / "broken.nc").write_bytes(b"CDF\x01 not NetCDF-4")
    with pytest.raises(ValidationError, match=r"broken.nc: has a damaged or truncated NetCDF-3 header"):
        opened(str(tmp_path / "broken.nc"))


def test_curvilinear_grids_are_refused(tmp_path):
    places = {
        "lat": (("y", "x"), np.array([[50.0, 50.2], [51.0, 51.2]]), {"units": "degrees_north"}),
        "lon": (("y", "x"), np.array([[0.0, 1.0], [0.2, 1.2]]), {"units": "degrees_east"}),
    }
    made = {"sm": (("time", "y", "x"), np.zeros((len(DAYS), 2, 2)))}
    xr.Dataset(made, {"time": DAYS}).to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    xr.Dataset(made, {"time": DAYS, **places}).to_netcdf(tmp_path / "curved.nc", engine="h5netcdf")
    with pytest.raises(ValidationError, match=r"bare.nc: .* latitude and longitude cannot be told"):
        opened(str(tmp_path / "bare.nc"))
    with pytest.raises(ValidationError, match=r"curved.nc: .* regrid it to latitude and longitude"):
        opened(str(tmp_path / "curved.nc"))


@pytest.mark.s3
def test_files_on_s3_are_read_by_other_processes_too(tmp_path, s3_root):
    """A lazy product is sent to workers: its file opens again there, and in this process through obstore."""
    write(tmp_path / "a_2010.nc")
    put_file(tmp_path / "a_2010.nc", f"{s3_root}/a_2010.nc")
    lazy = opened(f"{s3_root}/a_{{year}}.nc")["layer1"]
    sent = pickle.loads(cloudpickle.dumps(lazy))
    np.testing.assert_allclose(sent.values[3], expected(), atol=1e-6)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        there = pool.submit(np.asarray, lazy).result()
    np.testing.assert_allclose(there[3], expected(), atol=1e-6)


def test_files_that_would_be_read_are_told_with_their_fingerprints(tmp_path):
    url = str(tmp_path / "era_{year}.nc")
    compared = other(url, "esa-cci-sm")
    assert compared_files(compared, LAYERS, DAYS, find_fields) == []
    path = tmp_path / "era_2010.nc"
    write(path)
    (tmp_path / "era_2011.nc").write_bytes(b"another year")
    [file] = compared_files(compared, LAYERS, DAYS, find_fields)
    assert file.url.endswith("era_2010.nc")
    write(path, scale=1.1)
    os.utime(path, (0, 0))
    assert compared_files(compared, LAYERS, DAYS, find_fields)[0].fingerprint != file.fingerprint


def _as_netcdf_3(ds, folder):
    ds.to_netcdf(folder / "sm_2010", engine="netcdf4", format="NETCDF3_64BIT_DATA")


def _as_zarr(version):
    return lambda ds, folder: ds.to_zarr(folder / "sm_2010", zarr_format=version, consolidated=version == 2)


def _as_grib(ds, folder):
    """One message a day at noon, rows from north to south."""
    grid = {
        "latitudeOfFirstGridPointInDegrees": float(ds["lat"][-1]), "iDirectionIncrementInDegrees": 1.0,
        "latitudeOfLastGridPointInDegrees": float(ds["lat"][0]), "jDirectionIncrementInDegrees": 1.0,
        "longitudeOfFirstGridPointInDegrees": float(ds["lon"][0]) + 360,
        "longitudeOfLastGridPointInDegrees": float(ds["lon"][-1]), "bitsPerValue": 24, "shortName": "swvl1",
    }  # fmt: skip
    dates = [int(np.datetime_as_string(day, "D").replace("-", "")) for day in ds["time"].values]
    fields = ds["sm"].values[:, ::-1]
    messages = [message(field, date=date, hour=12, **grid) for field, date in zip(fields, dates, strict=True)]
    (folder / "sm_2010").write_bytes(b"".join(messages))


def _as_geotiff(ds, folder):
    """A file a day, which has no time of its own."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "height": 6, "width": 9}
    for day in ds["time"].values:
        name = np.datetime_as_string(day, "D").replace("-", "")
        with rasterio.open(folder / f"sm_{name}", "w", **profile, transform=from_origin(-4, 54, 1, 1)) as raster:
            raster.write(ds["sm"].sel(time=day).values[::-1].astype("float32"), 1)


@pytest.mark.filterwarnings("ignore:Use `@` matmul")
@pytest.mark.parametrize(
    ("store", "name", "variable"),
    [
        (_as_netcdf_3, "sm_{year}", "sm"),
        (_as_zarr(2), "sm_{year}", "sm"),
        (_as_zarr(3), "sm_{year}", "sm"),
        (_as_grib, "sm_{year}", "swvl1"),
        (_as_geotiff, "sm_{year}{month}{day}", "1"),
    ],
    ids=["NetCDF-3, 64-bit data", "Zarr 2", "Zarr 3", "GRIB", "GeoTIFF by day"],
)
def test_every_format_of_forcing_gives_the_values_of_netcdf_4(tmp_path, store, name, variable):
    with xr.open_dataset(write(tmp_path / "plain_2010.nc")) as ds:
        store(ds.load(), tmp_path)
    compared = other(f"{tmp_path}/{name}").model_copy(
        update={"layers": (ComparedLayer(variable=variable, top_m=0.0, bottom_m=0.1),)}
    )
    lazy = open_compared(compared, LAYERS, GRID, DAYS, find_fields)
    # As in a task on another worker.
    computed = pickle.loads(cloudpickle.dumps(lazy)).compute(scheduler="synchronous")
    plain = opened(f"{tmp_path}/plain_{{year}}.nc").compute(scheduler="synchronous")
    xr.testing.assert_allclose(computed, plain, atol=1e-6, rtol=0)


def test_a_mean_stamped_with_its_end_belongs_to_the_day_of_its_bounds(tmp_path):
    with xr.open_dataset(write(tmp_path / "a_2010.nc")) as ds:
        late = ds.load().assign_coords(time=DAYS + pd.Timedelta(days=1))
    late["time_bnds"] = (("time", "nv"), np.stack([DAYS, DAYS + pd.Timedelta(days=1)], axis=1))
    late["time"].attrs["bounds"] = "time_bnds"
    # xarray asks for units where bounds are beside a time.
    late["time"].encoding["units"] = "days since 2000-01-01"
    late["sm"][0] = 0.7
    late.to_netcdf(tmp_path / "b_2010.nc", engine="h5netcdf")
    np.testing.assert_allclose(opened(f"{tmp_path}/b_{{year}}.nc")["layer1"].values[0], 0.7, atol=1e-6)
    late["time_bnds"][:, 0] -= np.timedelta64(9, "D")
    late.to_netcdf(tmp_path / "c_2010.nc", engine="h5netcdf")
    with pytest.raises(ValidationError, match=r"c_2010\.nc: sm has values of 10 days"):
        opened(f"{tmp_path}/c_{{year}}.nc")


def test_a_time_that_two_files_share_counts_once(tmp_path):
    hours = pd.date_range("2010-03-01", "2010-03-02 18:00", freq="6h")
    with xr.open_dataset(write(tmp_path / "whole.nc", time=hours)) as ds:
        rising = (ds.load() + 0.1 * xr.DataArray(np.arange(len(hours)), dims="time")).assign_coords(time=hours)
    rising["sm"].attrs["units"] = "m3 m-3"
    rising.isel(time=slice(0, 5)).to_netcdf(tmp_path / "part_a.nc", engine="h5netcdf")
    rising.isel(time=slice(4, None)).to_netcdf(tmp_path / "part_b.nc", engine="h5netcdf")
    days = DAYS[DAYS >= "2010-03-01"]
    field = open_compared(other(f"{tmp_path}/part_*.nc"), LAYERS, GRID, days, find_fields)["layer1"]
    np.testing.assert_allclose(field.values[:2], expected() + np.array([0.15, 0.55])[:, None, None], atol=1e-6)


def test_two_releases_that_one_pattern_fits_are_both_named(tmp_path):
    """Whichever comes first by name would be taken, and nobody would know."""
    write(tmp_path / "sm_v1.nc", time=DAYS[:9])
    write(tmp_path / "sm_v2.nc", time=DAYS[8:], scale=1.01)
    with pytest.raises(ValidationError, match=r"sm_v2\.nc has other values at 2010-02-28 00:00 than .*sm_v1\.nc; give"):
        opened(f"{tmp_path}/sm_v*.nc")
    write(tmp_path / "sm_v2.nc", time=DAYS[8:])
    assert np.isfinite(opened(f"{tmp_path}/sm_v*.nc")["layer1"].values).all()


def test_values_a_month_apart_are_no_days(tmp_path):
    months = pd.DatetimeIndex(["2010-01-15", "2010-02-20", "2010-03-15"])
    with pytest.raises(ValidationError, match=r"Other: sm has a value every 29\.5 days, from 2010-01-15 on"):
        opened(write(tmp_path / "a.nc", time=months))


def test_depths_of_one_variable_are_layers(tmp_path):
    with xr.open_dataset(write(tmp_path / "a_2010.nc")) as ds:
        deep = xr.concat([ds.load(), ds + 0.2], pd.Index([0.05, 0.2], name="depth"))
    deep["sm"].attrs["units"] = "m3 m-3"
    deep.to_netcdf(tmp_path / "b_2010.nc", engine="h5netcdf")
    depths = (
        ComparedLayer(variable="sm", top_m=0.0, bottom_m=0.1, select={"depth": 0.05}),
        ComparedLayer(variable="sm", top_m=0.1, bottom_m=0.3, select={"depth": 0.2}),
    )
    compared = other(f"{tmp_path}/b_{{year}}.nc")
    field = open_compared(compared.model_copy(update={"layers": depths}), LAYERS, GRID, DAYS, find_fields)
    np.testing.assert_allclose((field["layer2"] - field["layer1"]).values, 0.2, atol=1e-6)
    with pytest.raises(ValidationError, match=r"b_2010\.nc: has the further dimension depth .* select = \{ depth"):
        open_compared(compared, LAYERS, GRID, DAYS, find_fields)


@pytest.mark.parametrize(
    ("scale", "words"), [(100.0, 'write units = "%"'), (-9999.0, "must be the variable's _FillValue")]
)
def test_numbers_that_are_no_soil_moisture_are_refused(tmp_path, scale, words):
    compared, url = other(str(tmp_path / "a_{year}.nc")), write(tmp_path / "a_2010.nc", units="", scale=scale)
    with pytest.raises(ValidationError, match=rf"Other: {url}: sm is .* which no soil moisture is; .*{words}"):
        open_compared(compared, LAYERS, GRID, DAYS, find_fields).compute(scheduler="synchronous")
    with pytest.raises(ValidationError, match=words):
        try_compared(compared, LAYERS, GRID, DAYS, find_fields)


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"\x1f\x8b\x08", "is compressed with gzip; unpack it"),
        (b"<html>", "is an HTML page, .*login or an error"),
        (b"\x0e\x03\x13\x01", "is an HDF4 file"),
    ],
)
def test_what_is_no_gridded_file_is_named(tmp_path, head, words):
    (tmp_path / "sm_2010.nc").write_bytes(head + bytes(64))
    with pytest.raises(ValidationError, match=rf"Other: .*sm_2010\.nc: {words}"):
        opened(f"{tmp_path}/sm_{{year}}.nc")
