"""Products in the layouts their producers use, written small and by hand."""

import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flows.environment import read_providers
from somo.core.grid import Grid
from somo.product.inputs import Layer
from somo.product.method import Compared
from somo.product.providers import table_of
from somo.storage.objects import put_file
from somo.validate.datasets import compared_files, layer_weights, open_compared
from somo.validate.published import ValidationError

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
    return open_compared(other(url, like), LAYERS, GRID, days)


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
        ({"variables": ("soil",)}, r"Other: .*a.nc has no sm, found \['soil'\]; correct its variable"),
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
    with pytest.raises(ValidationError, match=r"broken.nc cannot be read as NetCDF-4"):
        opened(str(tmp_path / "broken.nc"))


def test_curvilinear_grids_are_refused(tmp_path):
    made = {"sm": (("time", "y", "x"), np.zeros((len(DAYS), 3, 3)))}
    xr.Dataset(made, {"time": DAYS}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    with pytest.raises(ValidationError, match="regrid it to latitude and longitude"):
        opened(str(tmp_path / "a.nc"))


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
    assert compared_files(compared, LAYERS, DAYS) == []
    path = tmp_path / "era_2010.nc"
    write(path)
    (tmp_path / "era_2011.nc").write_bytes(b"another year")
    [(found, first)] = compared_files(compared, LAYERS, DAYS)
    assert found.endswith("era_2010.nc")
    write(path, scale=1.1)
    os.utime(path, (0, 0))
    assert compared_files(compared, LAYERS, DAYS)[0][1] != first


def test_netcdf_3_is_read_as_netcdf_4_is(tmp_path):
    with xr.open_dataset(write(tmp_path / "sm_2010.nc")) as ds:
        ds.load().to_netcdf(tmp_path / "old_2010.nc", engine="scipy")
    old = opened(f"{tmp_path}/old_{{year}}.nc")
    # As in a task on another worker.
    got = pickle.loads(cloudpickle.dumps(old)).compute(scheduler="synchronous")
    xr.testing.assert_equal(got, opened(f"{tmp_path}/sm_{{year}}.nc").compute(scheduler="synchronous"))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GRIB\0\0\0\2", "is GRIB, .*cdo -f nc4 copy"),
        (b"\x1f\x8b\x08", "is compressed with gzip, .*gunzip"),
        (b"<html>", "is a page or a text, .*login or an error"),
        (b"CDF\x05", "is NetCDF-3, .*nccopy -k nc4"),
    ],
)
def test_other_formats_are_named(tmp_path, head, words):
    (tmp_path / "sm_2010.nc").write_bytes(head + bytes(64))
    with pytest.raises(ValidationError, match=rf"sm_2010\.nc {words}"):
        opened(f"{tmp_path}/sm_{{year}}.nc")
