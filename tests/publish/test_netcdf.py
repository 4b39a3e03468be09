import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.product.inputs import Period
from somo.publish import netcdf, slabs
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
        np.testing.assert_array_equal(ds["layer2_frozen"], expected["frozen"])
        assert int((ds["layer2_frozen"] == 1).any(("lat", "lon")).sum()) == 31
        assert ds["layer2_frozen"].encoding["dtype"] == np.int8


def test_bounds_meet_at_leap_days_and_at_the_edges(leap_year):
    with xr.open_dataset(leap_year) as ds:
        assert ds.sizes["time"] == 366
        assert ds["time"][59] == np.datetime64("2016-02-29")
        assert list(ds["time_bnds"].values[59]) == [np.datetime64("2016-02-29"), np.datetime64("2016-03-01")]
        assert (ds["time_bnds"].values[1:, 0] == ds["time_bnds"].values[:-1, 1]).all()
        assert (ds["lat_bnds"].values[0, 0], ds["lat_bnds"].values[-1, 1]) == (45.6, 45.0)
        assert (ds["lon_bnds"].values[0, 0], ds["lon_bnds"].values[-1, 1]) == (5.0, 5.8)
        assert ds["layer2_depth"] == 0.2
        assert list(ds["layer2_depth_bnds"].values) == [0.1, 0.3]


def test_the_coverage_ends_with_the_last_day(leap_year):
    with xr.open_dataset(leap_year) as ds:
        assert ds.attrs["time_coverage_start"] == "2016-01-01T00:00:00Z"
        assert ds.attrs["time_coverage_end"] == "2017-01-01T00:00:00Z"
        assert ds.attrs["time_coverage_duration"] == "P366D"
        assert ds["time_bnds"].values[-1, 1] == np.datetime64("2017-01-01")


def test_values_lie_in_the_declared_range(leap_year):
    with xr.open_dataset(leap_year) as ds:
        low, high = ds["layer2"].attrs["valid_range"]
        assert (low, high, ds["layer2"].attrs["valid_range"].dtype) == (0, 1, np.float32)
        assert low <= ds["layer2"].min() and ds["layer2"].max() <= high


def test_rewriting_gives_the_same_bytes(declared, version_url, leap_year, tmp_path):
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        ds = netcdf.year_dataset(store.chunk({"time": 50}), declared, declared.layers[1], 2016)
        netcdf.write_netcdf(ds, tmp_path / "again.nc", "layer2")
    assert (tmp_path / "again.nc").read_bytes() == Path(leap_year).read_bytes()


def test_no_daily_field_is_read_before_its_slab_is_written(declared, version_url):
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        ds = netcdf.year_dataset(store, declared, declared.layers[1], 2016)
        fields = [name for name in ds.data_vars if ds[name].dims == ("time", "lat", "lon")]
        assert {"layer2", "layer2_std", "layer2_frozen"} <= set(fields)
        assert not any(ds[name].variable._in_memory for name in fields)


def test_compliance_checker_finds_no_error(leap_year, tmp_path):
    report = tmp_path / "report.json"
    checker = Path(sys.executable).with_name("compliance-checker")
    command = [checker, "-t", "cf:1.11", "-t", "acdd:1.3", "-f", "json_new", "-o", report, leap_year]
    subprocess.run(command, check=False, capture_output=True, cwd=tmp_path)
    found = next(iter(json.loads(report.read_text()).values()))
    assert [r["msgs"] for r in found["cf:1.11"]["high_priorities"] if r["value"][0] < r["value"][1]] == []
    acdd = found["acdd:1.3"] if "acdd:1.3" in found else found["acdd"]
    assert acdd["scored_points"] / acdd["possible_points"] >= 0.95
    assert [r["msgs"] for r in acdd["high_priorities"] if r["value"][0] < r["value"][1]] == []


def test_what_is_known_of_cells_says_which_kind_of_content_it_is(declared, version_url):
    """ACDD asks it of every field; CF has no standard name for the dissimilarity, so that ACDD alone names its kind."""
    with xr.open_zarr(f"{version_url}/soil_moisture.zarr", chunks=None) as store:
        distance = xr.zeros_like(store["applicability"], "float32").assign_attrs(long_name="dissimilarity", units="1")
        ds = netcdf.year_dataset(store.assign(dissimilarity=distance), declared, declared.layers[1], 2016)
    assert ds["layer2_dissimilarity"].attrs["coverage_content_type"] == "qualityInformation"
    about = {"layer2_std", "layer2_frozen", "layer2_applicability", "layer2_dissimilarity", "status"}
    assert set(ds["layer2"].attrs["ancillary_variables"].split()) == about


@pytest.mark.skipif(shutil.which("cdo") is None, reason="no CDO; apt-get install cdo")
def test_cdo_reads_grid_and_days(leap_year):
    told = subprocess.run(["cdo", "-s", "griddes", leap_year], check=True, capture_output=True, text=True).stdout
    assert "gridtype  = lonlat" in told
    assert "xfirst    = 5.05" in told
    days = subprocess.run(["cdo", "-s", "showdate", leap_year], check=True, capture_output=True, text=True).stdout
    assert (len(days.split()), days.split()[59]) == (366, "2016-02-29")


@pytest.mark.skipif(shutil.which("ncks") is None, reason="no NCO; apt-get install nco")
def test_nco_cuts_and_joins(leap_year, tmp_path):
    parts, whole = [tmp_path / "a.nc", tmp_path / "b.nc"], tmp_path / "whole.nc"
    for part, days in zip(parts, ("time,0,9", "time,10,19"), strict=True):
        done = subprocess.run(["ncks", "-d", days, leap_year, part], check=True, capture_output=True, text=True)
        assert "WARNING" not in done.stderr
    done = subprocess.run(["ncrcat", *parts, whole], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with xr.open_dataset(whole) as ds:
        assert ds.sizes["time"] == 20


@pytest.mark.skipif(shutil.which("gdalinfo") is None, reason="no GDAL; apt-get install gdal-bin")
def test_gdalinfo_knows_place_reference_and_unit(leap_year):
    told = subprocess.run(
        ["gdalinfo", "-json", f"NETCDF:{leap_year}:layer2"], check=True, capture_output=True, text=True
    )
    found = json.loads(told.stdout)
    assert found["size"] == [8, 6]
    corners = found["cornerCoordinates"]
    assert (corners["upperLeft"], corners["lowerRight"]) == ([5.0, 45.6], [5.8, 45.0])
    assert 'ID["EPSG",4326]' in found["coordinateSystem"]["wkt"]
    band = found["bands"][59]
    assert (len(found["bands"]), band["unit"], band["noDataValue"]) == (366, "m3 m-3", slabs.FILL)
    assert "error" not in told.stderr.lower()


@pytest.mark.skipif(shutil.which("gdallocationinfo") is None, reason="no GDAL; apt-get install gdal-bin")
def test_gdal_finds_a_value_by_its_place(leap_year):
    file, place = f"NETCDF:{leap_year}:layer2", ("5.45", "45.25")
    command = ["gdallocationinfo", "-b", "60", "-wgs84", "-valonly", file, *place]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with xr.open_dataset(leap_year) as ds:
        assert float(told) == pytest.approx(float(ds["layer2"][59, 3, 4]), abs=1e-7)


def test_gdal_places_the_cells(leap_year):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(f"netcdf:{leap_year}:layer2") as raster:
        assert raster.count == 366
        assert tuple(round(v, 6) for v in raster.bounds) == (5.0, 45.0, 5.8, 45.6)
        assert raster.nodata == slabs.FILL
        assert raster.crs.is_geographic
