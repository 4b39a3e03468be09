from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.core.product import Period
from somo.publish import netcdf
from tests.publish import made


@pytest.fixture(scope="module")
def declared():
    return made.product()


@pytest.fixture(scope="module")
def version_url(declared, tmp_path_factory):
    return made.write_store(declared, str(tmp_path_factory.mktemp("bucket")))


@pytest.fixture(scope="module")
def leap_year(declared, version_url):
    return netcdf.publish_year(version_url, declared, declared.layers[1], 2016)


def test_a_year_of_a_closed_product_covers_the_period(declared):
    times = pd.date_range("2015-12-20", "2017-01-10")
    final = np.ones(len(times), bool)
    assert netcdf.complete_years(times, final, declared.period) == [2015, 2016, 2017]
    assert netcdf.complete_years(times[:-1], final[:-1], declared.period) == [2015, 2016]


def test_an_open_product_has_no_file_of_the_present_year():
    times = pd.date_range("2015-12-20", "2017-01-10")
    final = np.ones(len(times), bool)
    period = Period(start="2015-12-20")
    assert netcdf.complete_years(times, final, period) == [2015, 2016]
    final[times == "2016-12-31"] = False
    assert netcdf.complete_years(times, final, period) == [2015]


def test_file_agrees_with_the_store_value_for_value(declared, version_url, leap_year):
    assert leap_year.endswith("/netcdf/Made_layer2_2016.nc")
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store, xr.open_dataset(leap_year) as ds:
        expected = store.isel(depth=1).sel(time="2016")
        assert ds["layer2"].dtype == np.float32
        np.testing.assert_array_equal(ds["layer2"], expected["soil_moisture"].astype("float32"))
        np.testing.assert_array_equal(ds["layer2_std"], expected["soil_moisture_std"].astype("float32"))
        assert ds["layer2"].isel(lat=0, lon=0).isnull().all()


def test_bounds_meet_at_leap_days_and_at_the_edges(leap_year):
    with xr.open_dataset(leap_year) as ds:
        assert ds.sizes["time"] == 366
        assert ds["time"][59] == np.datetime64("2016-02-29")
        assert list(ds["time_bnds"].values[59]) == [np.datetime64("2016-02-29"), np.datetime64("2016-03-01")]
        assert (ds["time_bnds"].values[1:, 0] == ds["time_bnds"].values[:-1, 1]).all()
        assert (ds["lat_bnds"].values[0, 0], ds["lat_bnds"].values[-1, 1]) == (45.6, 45.0)
        assert (ds["lon_bnds"].values[0, 0], ds["lon_bnds"].values[-1, 1]) == (5.0, 5.8)
        assert ds["depth"] == 0.2
        assert list(ds["depth_bnds"].values) == [0.1, 0.3]


def test_rewriting_gives_the_same_bytes(declared, version_url, leap_year, tmp_path):
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        ds = netcdf.year_dataset(store.chunk({"time": 50}), declared, declared.layers[1], 2016)
        netcdf.write_netcdf(ds, tmp_path / "again.nc", "layer2")
    assert (tmp_path / "again.nc").read_bytes() == Path(leap_year).read_bytes()
