"""Rotated, projected and curvilinear grids: known points, and each method beside a plain search."""

import numpy as np
import pyproj
import pytest

from somo.core.grid import Grid
from somo.forcing.regridding.scattered import scattered
from somo.forcing.sources import ForcingError

POLE = {
    "grid_mapping_name": "rotated_latitude_longitude",
    "grid_north_pole_latitude": [39.25],
    "grid_north_pole_longitude": -162.0,
}
GRID = Grid.regular(9.7, 10.1, 48.0, 48.3, 0.1)


def true_degrees(rlat, rlon):
    """Spherical trigonometry of a pole at 39.25 N, 162 W."""
    y, x, pole = np.radians(rlat), np.radians(rlon), np.radians(39.25)
    lat = np.arcsin(np.sin(y) * np.sin(pole) + np.cos(y) * np.cos(x) * np.cos(pole))
    east = np.arctan2(np.cos(y) * np.sin(x), np.sin(pole) * np.cos(y) * np.cos(x) - np.cos(pole) * np.sin(y))
    return np.degrees(lat), np.degrees(east) + 18.0


def rotated():
    y, x = np.arange(-3.2, -1.4, 0.05), np.arange(-6.2, -4.4, 0.05)
    lat, lon = true_degrees(*np.meshgrid(y, x, indexing="ij"))
    return {"kind": "rotated", "y": y.tolist(), "x": x.tolist(), "grid_mapping": POLE}, lat, lon


def everything(placing, field):
    window = placing.window(slice(0, 3), slice(0, 4))
    return placing.apply(field[window.rows, window.columns[0]], slice(0, 3), slice(0, 4))


def test_a_known_node_of_euro_cordex():
    lat, lon = true_degrees(-2.255, -5.375)
    assert (lat, lon) == (pytest.approx(48.20167401, abs=1e-7), pytest.approx(9.92698667, abs=1e-7))


@pytest.mark.parametrize(("how", "close"), [("bilinear", 2e-4), ("nearest", 0.1), ("mean", 0.05)])
def test_a_smooth_field_comes_out_where_it_is(how, close):
    coordinates, lat, lon = rotated()
    values = everything(scattered("forcing.t", "f.nc", coordinates, how, GRID), (lat + 2 * lon).astype("float32"))
    np.testing.assert_allclose(values, GRID.lat[:, None] + 2 * GRID.lon[None, :], atol=close)


def test_nearest_and_mean_equal_a_plain_search():
    coordinates, lat, lon = rotated()
    field = np.random.default_rng(0).normal(size=lat.shape).astype("float32")
    nearest = everything(scattered("forcing.t", "f.nc", coordinates, "nearest", GRID), field)
    means = everything(scattered("forcing.t", "f.nc", coordinates, "mean", GRID), field)
    y = np.meshgrid(coordinates["y"], coordinates["x"], indexing="ij")[0]
    for row, column in np.ndindex(3, 4):
        north, east = GRID.lat[row], GRID.lon[column]
        apart = np.cos(np.radians(north)) ** 2 * (lon - east) ** 2 + (lat - north) ** 2
        assert nearest[row, column] == field.ravel()[apart.argmin()]
        inside = (np.abs(lat - north) < 0.05) & (np.abs(lon - east) < 0.05)
        plain = np.average(field[inside].astype("f8"), weights=np.cos(np.radians(y[inside])))
        assert means[row, column] == pytest.approx(plain, rel=1e-5)


def test_sea_takes_no_part():
    coordinates, lat, _ = rotated()
    field = np.full(lat.shape, 280.0, "float32")
    field[::2] = np.nan
    for how in ("bilinear", "mean"):
        values = everything(scattered("forcing.t", "f.nc", coordinates, how, GRID), field)
        np.testing.assert_allclose(values, 280.0, rtol=1e-6)


def test_kilometres_of_a_projection_are_not_metres():
    mapping = {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": [35.0, 65.0],
        "latitude_of_projection_origin": 48.15,
        "longitude_of_central_meridian": 9.9,
    }
    km = np.arange(-40.0, 41.0, 2.0)
    coordinates = {
        "kind": "projected", "y": km.tolist(), "x": km.tolist(), "y_units": "km", "x_units": "km",
        "grid_mapping": mapping,
    }  # fmt: skip
    northing = np.broadcast_to(km[:, None], (41, 41)).astype("float32")
    values = everything(scattered("forcing.t", "f.nc", coordinates, "bilinear", GRID), northing)
    # 0.1 degrees of latitude are 11.1 km, and this projection stretches by 3 % at most
    np.testing.assert_allclose(values[:, 2], (GRID.lat - 48.15) * 111.2, rtol=0.04, atol=0.2)


def test_points_without_a_projection_serve_nearest_and_mean_alone():
    coordinates, lat, lon = rotated()
    plane = {**coordinates, "kind": "projected", "grid_mapping": {}, "lat2d": lat.tolist(), "lon2d": lon.tolist()}
    field = lat.astype("float32")
    known = everything(scattered("forcing.t", "f.nc", coordinates, "nearest", GRID), field)
    np.testing.assert_array_equal(everything(scattered("forcing.t", "f.nc", plane, "nearest", GRID), field), known)
    everything(scattered("forcing.t", "f.nc", plane, "mean", GRID), field)
    with pytest.raises(ForcingError, match=r'no CF grid_mapping.*write forcing\.t\.regrid = "nearest" or "mean"'):
        scattered("forcing.t", "f.nc", plane, "bilinear", GRID)


def test_what_is_not_declared_or_not_covered_is_refused():
    coordinates, _, _ = rotated()
    with pytest.raises(ForcingError, match=r"f\.nc: forcing\.t lies on a rotated grid.*write forcing\.t\.regrid"):
        scattered("forcing.t", "f.nc", coordinates, None, GRID)
    with pytest.raises(ForcingError, match="does not describe its projection"):
        scattered("forcing.t", "f.nc", {**coordinates, "kind": "projected", "grid_mapping": {}}, "nearest", GRID)
    far = Grid.regular(20, 20.4, 48, 48.3, 0.1)
    for how in ("nearest", "bilinear", "mean"):
        with pytest.raises(ForcingError, match=r"no node (near|within the cell) 48\.25 N, 20\.05 E"):
            scattered("forcing.t", "f.nc", coordinates, how, far)


def test_nearest_reaches_across_steps_that_differ_by_direction():
    """Rows 0.09 degrees apart and columns 0.02: a cell between two rows is further away than a column's step."""
    lat, lon = np.meshgrid(np.arange(47.9, 48.5, 0.09), np.arange(9.6, 10.2, 0.02), indexing="ij")
    plane = {
        "kind": "projected", "y": list(range(lat.shape[0])), "x": list(range(lat.shape[1])), "grid_mapping": {},
        "lat2d": lat.tolist(), "lon2d": lon.tolist(),
    }  # fmt: skip
    values = everything(scattered("forcing.t", "f.nc", plane, "nearest", GRID), lat.astype("float32"))
    np.testing.assert_allclose(values, np.broadcast_to(GRID.lat[:, None], (3, 4)), atol=0.045 + 1e-6)


def test_angles_of_a_satellite_are_metres_after_its_height():
    """GOES writes its rows and columns in radians, PROJ has metres."""
    mapping = {
        "grid_mapping_name": "geostationary", "perspective_point_height": 35_786_023.0,
        "longitude_of_projection_origin": 0.0, "sweep_angle_axis": "x", "semi_major_axis": 6_378_137.0,
        "semi_minor_axis": 6_356_752.31414,
    }  # fmt: skip
    y, x = np.arange(4.0e6, 4.9e6, 3000.0), np.arange(3.0e5, 9.0e5, 3000.0)
    metres = {"kind": "projected", "y": y.tolist(), "x": x.tolist(), "y_units": "m", "x_units": "m"}
    angles = {
        **metres, "y": (y / 35_786_023.0).tolist(), "x": (x / 35_786_023.0).tolist(), "y_units": "rad", "x_units": "rad"
    }  # fmt: skip
    northing = np.broadcast_to(y[:, None], (len(y), len(x))).astype("float32")
    placed = [
        everything(scattered("forcing.t", "f.nc", {**grid, "grid_mapping": mapping}, "bilinear", GRID), northing)
        for grid in (metres, angles)
    ]
    np.testing.assert_allclose(placed[1], placed[0], rtol=1e-6)


@pytest.mark.parametrize("unit", ["m", "km"])
def test_a_projection_may_count_in_kilometres_itself(unit):
    """Coordinates in kilometres, whatever the unit of the WKT: those of its own are not taken a thousand times."""
    projection = pyproj.CRS(f"+proj=laea +lat_0=48.15 +lon_0=9.9 +ellps=WGS84 +units={unit}")
    km = np.arange(-40.0, 41.0, 2.0)
    coordinates = {
        "kind": "projected", "y": km.tolist(), "x": km.tolist(), "y_units": "km", "x_units": "km",
        "grid_mapping": {"crs_wkt": projection.to_wkt()},
    }  # fmt: skip
    northing = np.broadcast_to(km[:, None], (41, 41)).astype("float32")
    values = everything(scattered("forcing.t", "f.nc", coordinates, "bilinear", GRID), northing)
    np.testing.assert_allclose(values[:, 1], (GRID.lat - 48.15) * 111.2, atol=0.1)
