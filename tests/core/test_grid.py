"""Cells: centres, ids, the nearest cell, bounds, areas and distances."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.core.grid import EARTH_RADIUS_KM, Grid, distance_km

EUROPE = Grid.regular(-12, 45, 36, 71.5, 0.1)


def test_the_european_grid() -> None:
    assert EUROPE.shape == (355, 570) and EUROPE.size == 202_350
    assert (EUROPE.lat[0], EUROPE.lat[-1]) == (71.45, 36.05)
    assert (EUROPE.lon[0], EUROPE.lon[-1]) == (-11.95, 44.95)


@given(st.integers(0, EUROPE.size - 1), st.floats(-0.049, 0.049), st.floats(-0.049, 0.049))
def test_a_point_inside_a_cell_belongs_to_it(cell: int, d_lat: float, d_lon: float) -> None:
    lat, lon = EUROPE.centres(cell)
    assert EUROPE.nearest(lat + d_lat, lon + d_lon)[0] == cell
    assert EUROPE.nearest(lat + d_lat, lon + d_lon + 360)[0] == cell


def test_points_outside_and_on_borders() -> None:
    grid = Grid.regular(0, 1, 50, 51, 0.5)
    assert grid.nearest([49.9, 51.1, 50.5, np.nan], [0.5, 0.5, 1.6, 0.5]).tolist() == [-1, -1, -1, -1]
    assert grid.nearest([50.5, 51.0], [0.5, 0.0]).tolist() == [0, 0]


def test_of_cells_that_share_a_border_the_preferred_one_holds_a_point_on_it() -> None:
    grid = Grid(np.array([45.55, 45.45]), np.array([-103.35, -103.25]), 0.1)
    land = np.array([[False, True], [True, True]])
    side, top, corner = (45.52, -103.30), (45.50, -103.32), (45.50, -103.30)
    assert [int(grid.nearest(*place)[0]) for place in (side, top, corner)] == [0, 0, 0]
    assert [int(grid.nearest(*place, land)[0]) for place in (side, top, corner)] == [1, 2, 1]
    assert [int(grid.nearest(*place, ~land | land)[0]) for place in (side, top, corner)] == [0, 0, 0]
    assert [int(grid.nearest(*place, land & False)[0]) for place in (side, top, corner)] == [0, 0, 0]
    assert grid.nearest([45.52, 45.52, 40.0], [-103.3001, -103.2999, -103.3], land).tolist() == [0, 1, -1]


def test_gaps_of_an_irregular_grid_belong_to_no_cell() -> None:
    grid = Grid(np.array([40.0, 41.4]), np.array([-100.0, -98.6]), 0.1)
    assert grid.nearest([40.04, 40.7, 41.38], [-100.0, -100.0, -98.62]).tolist() == [0, -1, 3]


def test_bounds_follow_the_axis() -> None:
    lat, lon = Grid.regular(0, 1, 50, 51, 0.5).bounds()
    assert lat.tolist() == [[51.0, 50.5], [50.5, 50.0]] and lon.tolist() == [[0.0, 0.5], [0.5, 1.0]]
    assert Grid(np.array([40.0]), np.array([3.0]), 0.5).bounds()[0].tolist() == [[39.75, 40.25]]


def test_cells_end_halfway_to_a_neighbour_that_is_closer_than_their_width() -> None:
    grid = Grid(np.array([40.0, 38.6, 37.3, 35.0]), np.array([-100.0, -98.5]), 1.4)
    lat, lon = grid.bounds()
    assert lat.tolist() == [[40.7, 39.3], [39.3, 37.95], [37.95, 36.6], [35.7, 34.3]]
    assert lon.tolist() == [[-100.7, -99.3], [-99.2, -97.8]]
    assert grid.nearest([37.96, 37.94, 36.5, 40.69], [-100.0] * 4).tolist() == [2, 4, -1, 0]
    again = Grid.bounded(grid.lat, grid.lon, lat, lon)
    assert again.step_deg == 1.4 and again.bounds()[0].tolist() == lat.tolist()


def test_coordinates_that_are_rounded_leave_no_gap() -> None:
    lat = Grid.regular(0, 1, 50, 51, 1 / 12).bounds()[0]
    assert (lat[1:, 0] == lat[:-1, 1]).all() and lat[0, 0] == pytest.approx(51, abs=1e-6)


def test_area_weights_of_the_whole_globe_add_up_to_a_sphere() -> None:
    assert Grid.regular(-180, 180, -90, 90, 1.0).area_weights().sum() == pytest.approx(2.0)


def test_distances() -> None:
    assert distance_km(0, 0, 0, 90) == pytest.approx(EARTH_RADIUS_KM * np.pi / 2)
    assert distance_km(10, 20, 10, 20) == 0
    assert distance_km([50, 50], [0, 0], 51, 0) == pytest.approx([111.19, 111.19], abs=0.01)


def test_latitude_does_not_run_in_circles():
    grid = Grid.regular(5, 6, 49, 51, 0.5)
    assert grid.nearest([410.0, -310.0, 49.6], [5.2, 5.2, 365.2]).tolist() == [-1, -1, 4]


@pytest.mark.parametrize(
    ("west", "east", "signed"),
    [
        (-12, 45, (-12, 45)),
        (170, 180, (170, 180)),
        (170, 190, (170, -170)),
        (-190, -170, (170, -170)),
        (190, 200, (-170, -160)),
        (0, 360, (-180, 180)),
        (-180, 180, (-180, 180)),
    ],
)
def test_edges_as_catalogues_write_them(west, east, signed):
    box = Grid.regular(west, east, -1, 1, 1.0).signed_box()
    assert box == (signed[0], -1, signed[1], 1)
