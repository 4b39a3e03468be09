import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from somo.validate.gate.continuity import common_jumps, tile_steps


@given(st.integers(0, 10_000), st.floats(0.02, 0.1), st.sampled_from([-1, 1]), st.integers(0, 1), st.integers(0, 2))
def test_shifted_tile_stands_out_of_a_smooth_field(seed, size, sign, row, column):
    generator = np.random.default_rng(seed)
    lat, lon = np.mgrid[:16, :30]
    field = 0.2 + 0.005 * lat - 0.003 * lon + generator.normal(0, 0.004, lat.shape)
    field[row * 8 : row * 8 + 8, column * 10 : column * 10 + 10] += sign * size
    steps = tile_steps(field, (8, 10))
    step, tile = max(steps, key=lambda found: abs(found[0]))
    assert tile == (row, column)
    assert step == pytest.approx(sign * size, abs=0.015)


def test_smooth_field_has_no_step_above_its_roughness():
    lat, lon = np.mgrid[:40, :40]
    field = 0.2 + 0.1 * np.sin(lat / 7) * np.cos(lon / 5)
    assert all(abs(step) < 0.002 for step, _ in tile_steps(field, (8, 8)))


def test_all_sea_has_no_step():
    assert tile_steps(np.full((8, 8), np.nan), (4, 4)) == []


def test_jump_that_ninety_percent_share():
    soil = np.full((1, 6, 5, 4), 0.2)
    soil[0, 3:] -= 0.05
    soil[0, 3, 0, 0] = 0.4
    soil[0, 5, :4] += 0.1
    found = common_jumps(xr.DataArray(soil, dims=("depth", "time", "lat", "lon")).chunk(time=2))
    assert found[0] == pytest.approx([np.nan, 0, 0, -0.05, 0, 0], nan_ok=True)
