import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.validate.gate.continuity import shared_jumps, tile_steps


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
    assert shared_jumps(soil)[0] == pytest.approx([np.nan, 0, 0, -0.05, 0, 0], nan_ok=True)


def test_missing_days_and_the_sea_have_no_jump():
    soil = np.full((1, 4, 2, 2), np.nan)
    assert np.isnan(shared_jumps(soil)).all()
    soil[0, :, 0] = np.array([0.1, 0.2, np.nan, 0.2])[:, None]
    soil[0, 2, 0, 0] = 0.25
    # Of the last two days one cell alone has both.
    assert shared_jumps(soil)[0] == pytest.approx([np.nan, 0.1, 0.05, -0.05], nan_ok=True)
