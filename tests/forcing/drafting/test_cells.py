"""A box becomes whole cells whose centres are nodes of the source, however it writes its coordinates."""

import numpy as np
import pytest

from somo.forcing.drafting.cells import draft_grid
from somo.forcing.sources import ForcingError


def nodes(lat, lon):
    return {"kind": "regular", "lat": list(lat), "lon": list(lon)}


TENTHS = nodes(np.arange(500, 540) / 10, np.arange(80, 130) / 10)


def test_centres_are_nodes_and_cover_the_box():
    grid = draft_grid(TENTHS, (9.0, 51.0, 10.0, 52.0), None)
    assert (grid.west, grid.east, grid.south, grid.north) == pytest.approx((8.95, 10.05, 50.95, 52.05))
    assert grid.shape == (11, 11) and grid.step_deg == 0.1
    assert grid.holds_nodes(TENTHS)


def test_single_precision_and_descending_latitudes_change_nothing():
    rounded = nodes(np.arange(500, 540)[::-1].astype("f4") / np.float32(10), TENTHS["lon"])
    assert draft_grid(rounded, (9.0, 51.0, 10.0, 52.0), None) == draft_grid(TENTHS, (9.0, 51.0, 10.0, 52.0), None)


def test_twelfths_stay_twelfths():
    twelfths = nodes(30 + np.arange(600) / 12, np.arange(600) / 12)
    grid = draft_grid(twelfths, None, None)
    assert grid.step_deg == pytest.approx(1 / 12, abs=1e-9) and grid.shape == (600, 600)
    assert grid.holds_nodes(twelfths)


def test_longitudes_of_either_kind_meet():
    east = nodes(TENTHS["lat"], np.arange(3500, 3600) / 10)
    grid = draft_grid(east, (-5.0, 51.0, -4.0, 52.0), None)
    assert (grid.west, grid.east) == pytest.approx((-5.05, -3.95))
    assert grid.holds_nodes(east)


def test_the_box_is_cut_to_what_the_source_covers():
    grid = draft_grid(TENTHS, (0.0, 53.0, 9.0, 70.0), None)
    assert (grid.west, grid.north) == pytest.approx((7.95, 53.95))
    with pytest.raises(ForcingError, match=r"lies outside the forcing, which covers 7\.95 49\.95 12\.95 53\.95"):
        draft_grid(TENTHS, (20.0, 53.0, 29.0, 70.0), None)


def test_finer_and_shifted_nodes_are_told_apart():
    grid = draft_grid(TENTHS, (9.0, 51.0, 10.0, 52.0), None)
    assert not grid.holds_nodes(nodes(np.arange(500, 540) / 10 + 0.05, TENTHS["lon"]))
    assert grid.is_finer(nodes(50 + np.arange(400) / 100, TENTHS["lon"])) and not grid.is_finer(TENTHS)


def test_another_projection_needs_box_and_width():
    rotated = {"kind": "rotated", "x": [0.0], "y": [0.0]}
    with pytest.raises(ForcingError, match="--bbox, --step"):
        draft_grid(rotated, None, None)
    assert draft_grid(rotated, (9.0, 51.0, 10.0, 52.0), 0.25).shape == (4, 4)
