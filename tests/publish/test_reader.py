"""The cell that a place is read from."""

import numpy as np
import pytest
import xarray as xr

from somo.core.grid import Grid
from somo.publish.reader import bucket, cell_at
from somo.storage.patience import StorageError


@pytest.fixture
def maps() -> xr.Dataset:
    """Three rows of irregular spacing, cells of at most 1.4 degrees; the middle one has no values in its first cell."""
    grid = Grid(np.array([40.0, 38.6, 37.3, 33.0]), np.array([-100.0, -98.5]), 1.4)
    lat_bounds, lon_bounds = grid.bounds()
    values = np.ones((2, 1, 4, 2))
    values[:, :, 1, 0] = np.nan
    values[0, 0, 3, 0] = np.nan
    return xr.Dataset(
        {"soil_moisture": (("depth", "time", "lat", "lon"), values)},
        {
            "lat": grid.lat,
            "lon": grid.lon,
            "lat_bnds": (("lat", "bnds"), lat_bounds),
            "lon_bnds": (("lon", "bnds"), lon_bounds),
        },
    )


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ((40.69, -100.69), (0, 0)),
        ((37.94, -98.5), (2, 1)),
        ((37.96, -98.5), (1, 1)),
        ((39.30, -100.0), (0, 0)),
        ((37.95, -100.0), (2, 0)),
        ((33.69, -100.0), (3, 0)),
    ],
    ids=["at a corner", "below halfway", "above halfway", "border to no values", "from no values", "one layer only"],
)
def test_a_place_is_read_from_the_cell_that_holds_it(
    maps: xr.Dataset, place: tuple[float, float], cell: tuple[int, int]
) -> None:
    assert cell_at(maps, *place) == cell


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ((38.5, -99.9), r"38\.5 N -99\.9 E lies in a cell without values .* is 38\.6 -98\.5, 122 km away"),
        ((36.0, -100.0), r"lies outside the grid; the nearest cell with values is 37\.3 -100, 145 km away"),
        ((40.0, -99.25), r"lies outside the grid; the nearest cell with values is 40 -100, 64 km"),
        ((np.nan, 3.0), "outside the grid; choose a place inside it"),
    ],
    ids=["no values", "gap between rows", "gap between columns", "not a number"],
)
def test_a_place_without_values_is_refused_and_the_nearest_with_values_named(
    maps: xr.Dataset, place: tuple[float, float], told: str
) -> None:
    with pytest.raises(StorageError, match=told):
        cell_at(maps, *place)


def test_a_folder_that_is_not_there_is_said(tmp_path) -> None:
    assert bucket(str(tmp_path)) == bucket(f"file://{tmp_path}")
    with pytest.raises(StorageError, match="absent: there is no such folder"):
        bucket(str(tmp_path / "absent"))
