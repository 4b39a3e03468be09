"""The invented land: coast, mountains and soil within bounds, the same on every call."""

import numpy as np
import pytest

from somo.core.grid import Grid
from somo.synthetic.land import FEATURES, make_land

GRID = Grid.regular(4, 14, 44, 54, 0.5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_features_are_physical(seed: int) -> None:
    land = make_land(GRID, "home", seed)
    assert land.land.mean() == pytest.approx(0.8, abs=0.01)
    assert (land.elevation >= 0).all() and (land.elevation_std > 0).all()
    for name in ("forest", "short_vegetation", "sand_surface", "clay_surface", "sand_deep", "clay_deep"):
        assert ((getattr(land, name) >= 0) & (getattr(land, name) <= 1)).all(), name
    assert (land.forest + land.short_vegetation <= 1).all()
    assert (land.sand_surface + land.clay_surface <= 0.95 + 1e-9).all()


def test_the_sea_is_in_the_west_and_mountains_are_rough() -> None:
    land = make_land(GRID, "home", 0)
    assert land.land[:, -5:].mean() > land.land[:, :5].mean()
    assert np.corrcoef(land.elevation.ravel(), land.elevation_std.ravel())[0, 1] > 0.5


def test_domains_and_seeds_differ_and_calls_agree() -> None:
    first, again = make_land(GRID, "home", 0), make_land(GRID, "home", 0)
    for name in FEATURES:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.elevation, make_land(GRID, "home", 1).elevation)
    assert not np.array_equal(first.elevation, make_land(GRID, "us", 0).elevation)
