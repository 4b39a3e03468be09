"""Coordinates in the forms that producers write, which are latitudes and longitudes all the same."""

import h5py
import numpy as np
import pytest
import xarray as xr

from somo.forcing.sources import ForcingError
from tests.forcing.formats.reading import scan

LAT, LON = np.array([50.85, 50.75]), np.array([11.05, 11.15, 11.25])
DAYS = np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("datetime64[ns]")


def _of_every_point(path, units, noise=0.0, **how):
    """Latitudes and longitudes [row, column] of a regular grid, as WRF and many others write them."""
    lat, lon = np.meshgrid(LAT, LON, indexing="ij")
    lat = (lat + noise * np.arange(6).reshape(2, 3)).astype("f4")
    ds = xr.Dataset(
        {"T2": (("time", "sn", "we"), np.full((3, 2, 3), 280.0, "f4"), {"units": "K", "coordinates": "XLAT XLONG"})},
        {"time": DAYS},
    )
    ds["XLAT"] = (("sn", "we"), lat, {"units": units})
    ds["XLONG"] = (("sn", "we"), lon.astype("f4"), {"units": units.replace("north", "east").replace("N", "E")})
    ds.to_netcdf(path, **how)
    return path


@pytest.mark.parametrize("units", ["degrees_north", "degree_north", "degrees_N"])
def test_a_regular_grid_may_give_the_latitude_of_every_point(tmp_path, units):
    grid = scan(_of_every_point(tmp_path / "t.nc", units, noise=1e-6, engine="scipy"), "T2").grid
    assert grid["kind"] == "regular"
    np.testing.assert_allclose(grid["lat"], LAT, atol=1e-5)
    np.testing.assert_allclose(grid["lon"], LON, atol=1e-5)


def test_an_unstructured_grid_is_named_as_what_it_is(tmp_path):
    places = {"lat": ("cell", LON, {"units": "degrees_north"}), "lon": ("cell", LON, {"units": "degrees_east"})}
    ds = xr.Dataset({"T2": (("time", "cell"), np.full((3, 3), 280.0), {"units": "K"})}, {"time": DAYS, **places})
    ds.to_netcdf(tmp_path / "icon.nc", engine="h5netcdf")
    with pytest.raises(ForcingError, match=r"icon\.nc: lies on an unstructured grid: .* both run along cell; .*remapc"):
        scan(tmp_path / "icon.nc", "T2")


def test_hdf5_and_zarr_know_the_singular_of_degrees_too(tmp_path):
    assert scan(_of_every_point(tmp_path / "t.nc", "degree_north", engine="h5netcdf"), "T2").grid["kind"] == "regular"


def test_packed_coordinates_are_unpacked(tmp_path):
    degrees = {"units": "degrees_north"}, {"units": "degrees_east"}
    ds = xr.Dataset(
        {"T2": (("time", "lat", "lon"), np.full((3, 2, 3), 280.0, "f4"), {"units": "K"})},
        {"time": DAYS, "lat": ("lat", LAT, degrees[0]), "lon": ("lon", LON, degrees[1])},
    )
    packed = {"dtype": "int32", "scale_factor": 0.01, "add_offset": 0.0}
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf", encoding={"lat": packed, "lon": packed})
    np.testing.assert_allclose(scan(tmp_path / "t.nc", "T2").grid["lat"], LAT, rtol=1e-12)


@pytest.mark.parametrize(("offset", "shift"), [(0.0, 0.0), (-0.05, 0.05), (0.05, -0.05), (0.02, 0.0)])
def test_coordinates_of_corners_by_their_own_bounds_are_moved_to_the_middle(tmp_path, offset, shift):
    """Coordinates elsewhere within their cells, as of stations or nodes, stay what they are."""
    edges = {name: np.stack([centres - 0.05, centres + 0.05], axis=1) for name, centres in (("lat", LAT), ("lon", LON))}
    ds = xr.Dataset({"T2": (("time", "lat", "lon"), np.full((3, 2, 3), 280.0, "f4"), {"units": "K"})}, {"time": DAYS})
    for name, centres, units in (("lat", LAT, "degrees_north"), ("lon", LON, "degrees_east")):
        ds[name] = (name, centres + offset, {"units": units, "bounds": f"{name}_bnds"})
        ds[f"{name}_bnds"] = ((name, "bnds"), edges[name])
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    grid = scan(tmp_path / "t.nc", "T2").grid
    np.testing.assert_allclose(grid["lat"], LAT + offset + shift, rtol=1e-12)
    np.testing.assert_allclose(grid["lon"], LON + offset + shift, rtol=1e-12)


def test_dates_in_single_letters_are_times(tmp_path):
    letters = np.array([list(str(day)) for day in DAYS.astype("datetime64[D]")], "S1")
    with h5py.File(tmp_path / "t.nc", "w") as file:
        field = file.create_dataset("T2", data=np.full((3, 2, 3), 280.0, "f4"))
        for number, (name, coordinate) in enumerate({"time": letters, "lat": LAT, "lon": LON}.items()):
            file.create_dataset(name, data=coordinate).make_scale(name)
            file[name].attrs.update({"units": f"degrees_{'north' if name == 'lat' else 'east'}"} if number else {})
            field.dims[number].attach_scale(file[name])
    assert (scan(tmp_path / "t.nc", "T2").times.astype("datetime64[s]") == DAYS).all()


def test_latitudes_for_every_time_are_named_as_such(tmp_path):
    lat, lon = (np.broadcast_to(axis, (3, 2, 3)) for axis in np.meshgrid(LAT, LON, indexing="ij"))
    ds = xr.Dataset({"T2": (("Time", "sn", "we"), np.full((3, 2, 3), 280.0), {"units": "K"})}, {"Time": DAYS})
    ds["XLAT"] = ("Time", "sn", "we"), lat, {"units": "degree_north"}
    ds["XLONG"] = ("Time", "sn", "we"), lon, {"units": "degree_east"}
    ds.to_netcdf(tmp_path / "wrfout.nc", engine="h5netcdf")
    with pytest.raises(ForcingError, match=r"latitudes XLAT \(Time, sn, we\) for every time, as WRF's; leave those"):
        scan(tmp_path / "wrfout.nc", "T2")


def test_methods_along_time_whatever_that_dimension_is_called(tmp_path):
    ds = xr.Dataset(
        {"T2": (("Time", "lat", "lon"), np.full((3, 2, 3), 280.0), {"cell_methods": "Time: mean lat: point"})},
        {"Time": DAYS, "lat": ("lat", LAT, {"units": "degrees_north"}), "lon": ("lon", LON, {"units": "degrees_east"})},
    )
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    assert scan(tmp_path / "t.nc", "T2").cell_methods == "time: mean lat: point"


def _plain(path, days=DAYS, lat=LAT):
    degrees = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", LON, {"units": "degrees_east"})}
    xr.Dataset({"t": (("time", "lat", "lon"), np.full((3, 2, 3), 280.0))}, {"time": days, **degrees}).to_netcdf(path)
    return path


@pytest.mark.parametrize("number", [np.nan, -9999.0, 9.969209968386869e36])
def test_numbers_that_are_no_latitudes_are_named(tmp_path, number):
    with pytest.raises(ForcingError, match=r"t\.nc: has numbers in lat and lon that are no latitudes and longitudes"):
        scan(_plain(tmp_path / "t.nc", lat=np.array([50.85, number])), "t")


def test_times_that_were_never_written_are_named(tmp_path):
    stamps = "time", np.array([0, 24, -2147483647], "i4"), {"units": "hours since 2020-01-01"}
    with pytest.raises(ForcingError, match=r"t\.nc: has stamps without a value in time; .* cut these steps off"):
        scan(_plain(tmp_path / "t.nc", days=stamps), "t")


def test_the_level_that_a_refusal_proposes_is_read(tmp_path):
    levels = np.array([-3.64346569404006, -7.594819646328688])
    ds = xr.Dataset(
        {"T2": (("time", "lev", "lat", "lon"), np.full((3, 2, 2, 3), 280.0, "f4"), {"units": "K"})},
        {
            "time": DAYS,
            "lev": levels,
            "lat": ("lat", LAT, {"units": "degrees_north"}),
            "lon": ("lon", LON, {"units": "degrees_east"}),
        },
    )
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    with pytest.raises(ForcingError, match=r"choose one: select = \{ lev = (-3\.643466) \}"):
        scan(tmp_path / "t.nc", "T2")
    assert len(scan(tmp_path / "t.nc", "T2", select={"lev": -3.643466}).times) == len(DAYS)
