"""What the numbers alone can tell."""

import numpy as np
import pytest

from somo.core.variables import FORCING
from somo.forcing.plausible import ENOUGH_STEPS, fill_value, rises_and_falls, unlikely_units

RNG = np.random.default_rng(0)
HOURS = np.arange(1, 73) * 3600
RAIN = FORCING["precipitation"]


def hourly_rain() -> np.ndarray:
    return RNG.gamma(0.5, 0.001, (72, 3, 3))


def test_sums_since_00_utc_only_rise():
    running = np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    rises, falls = rises_and_falls(running, HOURS)
    assert rises >= ENOUGH_STEPS
    assert falls == 0


def test_packing_does_not_make_a_sum_fall():
    running = np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    step = running.max() / 65_534
    assert rises_and_falls(running + RNG.uniform(-step, step, running.shape), HOURS)[1] == 0


def test_sums_per_hour_fall():
    assert rises_and_falls(hourly_rain(), HOURS)[1] > 0


def test_upward_sums_are_judged_by_their_size():
    running = -np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    assert rises_and_falls(running, HOURS)[1] == 0


@pytest.mark.parametrize("values", [np.zeros((72, 3, 3)), RNG.normal(size=(72, 3, 3))])
def test_nothing_and_both_signs_say_nothing(values):
    assert rises_and_falls(values, HOURS) == (0, 0)


def test_metres_taken_for_millimetres_are_named():
    metres = RNG.gamma(0.5, 0.01, (60, 3, 3))
    mean, better = unlikely_units(RAIN, "mm", True, metres)
    assert better == "m"
    assert mean == pytest.approx(0.005, rel=0.1)
    assert unlikely_units(RAIN, "m", True, metres * 1000) is None
    assert unlikely_units(RAIN, "mm", True, np.zeros((60, 3, 3))) is None


@pytest.mark.parametrize(("number", "fill"), [(-9999.0, -9999.0), (9.96921e36, 9.969209968386869e36), (1e20, 1e20)])
def test_usual_fill_values_are_known(number, fill):
    assert fill_value(np.float32(number)) == fill
    assert fill_value(283.15) is None
