import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

from somo.validate.regrid import Axis, bilinear

LAT, LON = np.arange(40.0, 46), np.arange(-5.0, 3)


def regridded(field, lat, lon):
    return bilinear(field, Axis.between(LAT, lat), Axis.between(LON, lon))


@given(st.integers(0, 1000))
def test_equals_scipy_where_all_is_land(seed):
    generator = np.random.default_rng(seed)
    field = generator.uniform(0, 1, (2, len(LAT), len(LON)))
    lat, lon = generator.uniform(40, 45, 7), generator.uniform(-5, 2, 9)
    points = np.stack(np.meshgrid(lat, lon, indexing="ij"), -1)
    for day in range(2):
        wanted = RegularGridInterpolator((LAT, LON), field[day])(points)
        np.testing.assert_allclose(regridded(field, lat, lon)[day], wanted, atol=1e-6)


@given(st.integers(0, 1000))
def test_sea_takes_no_part(seed):
    generator = np.random.default_rng(seed)
    field = np.where(generator.random((len(LAT), len(LON))) < 0.6, 0.3, np.nan)
    found = regridded(field, generator.uniform(39.6, 45.4, 20), generator.uniform(-5.4, 2.4, 20))
    assert found[np.isfinite(found)] == pytest.approx(0.3, abs=1e-6)


def test_coast_by_hand():
    field = np.full((len(LAT), len(LON)), np.nan)
    field[0, 0], field[1, 0] = 0.2, 0.4
    assert regridded(field, np.array([40.25]), np.array([-4.75])) == pytest.approx(0.25)
    assert np.isnan(regridded(field, np.array([40.25]), np.array([-4.25])))


def test_half_of_the_weight_is_enough_and_less_is_not():
    field = np.full((len(LAT), len(LON)), np.nan)
    field[:, 0] = 0.2
    assert regridded(field, np.array([41.0]), np.array([-4.5])) == pytest.approx(0.2)
    assert np.isnan(regridded(field, np.array([41.0]), np.array([-4.45])))


def test_cells_on_the_edge_reach_half_a_cell_outside():
    field = np.full((len(LAT), len(LON)), 0.3)
    assert regridded(field, np.array([39.6]), np.array([2.4])) == pytest.approx(0.3)
    assert np.isnan(regridded(field, np.array([39.4]), np.array([0.0])))
