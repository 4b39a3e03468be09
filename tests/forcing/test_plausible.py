"""What the numbers alone can tell."""

import numpy as np
import pytest

from somo.core.variables import FORCING, SOIL_MOISTURE
from somo.forcing.plausible import ENOUGH_STEPS, changes_of, fill_value, unlikely_units

RNG = np.random.default_rng(0)
HOURS = np.arange(1, 73) * 3600
RAIN = FORCING["precipitation"]


def hourly_rain() -> np.ndarray:
    return RNG.gamma(0.5, 0.001, (72, 3, 3))


def test_sums_since_00_utc_only_rise():
    running = np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    changes = changes_of(running, HOURS)
    assert changes.rises.sum() >= ENOUGH_STEPS
    assert changes.falls_but_at(0) == 0


def test_packing_does_not_make_a_sum_fall():
    running = np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    step = running.max() / 65_534
    assert changes_of(running + RNG.uniform(-step, step, running.shape), HOURS).falls_but_at(0) == 0


def test_sums_per_hour_fall():
    changes = changes_of(hourly_rain(), HOURS)
    assert changes.falls_but_at(0) > 0
    assert changes.restarts == []


def test_upward_sums_are_judged_by_their_size():
    running = -np.cumsum(hourly_rain().reshape(3, 24, 3, 3), axis=1).reshape(72, 3, 3)
    assert changes_of(running, HOURS).falls_but_at(0) == 0


@pytest.mark.parametrize(("hours", "restarts"), [(24, [6]), (12, [6, 18]), (6, [0, 6, 12, 18])])
def test_sums_that_begin_anew_at_other_hours_are_told(hours, restarts):
    """Days from 06 UTC, forecasts started at 06 and 18 UTC, as ERA5's, and NCEP's buckets of six hours."""
    rain = RNG.gamma(0.5, 0.001, (144, 3, 3)) + 1e-4
    running = np.cumsum(rain.reshape(-1, hours, 3, 3), axis=1).reshape(144, 3, 3)
    ends = (6 + np.arange(1, 145)) * 3600
    assert changes_of(running, ends).restarts == restarts


def test_buckets_of_six_hours_given_every_three_hours_are_running_sums():
    """Given every three hours they rise at one step and fall at the next, as sums of steps might by chance."""
    rain = RNG.gamma(0.5, 0.001, (64, 3, 3)) + 1e-4
    ends = (3 + np.arange(64) * 3) * 3600
    running = np.cumsum(rain.reshape(-1, 2, 3, 3), axis=1).reshape(64, 3, 3)
    assert changes_of(running, ends).restarts == [0, 6, 12, 18]
    assert changes_of(rain, ends).restarts == []


def test_sums_per_hour_of_sunshine_are_no_running_sums():
    """They rise and fall at hours of their own, on every day alike."""
    sun = np.maximum(0.0, np.sin((np.arange(240) % 24 - 6) / 24 * 2 * np.pi))[:, None, None] * np.ones((1, 3, 3))
    for step in (1, 3, 6):
        ends = np.arange(step, 241, step) * 3600
        assert changes_of(sun.reshape(-1, step, 3, 3).sum(axis=1), ends).restarts == []


@pytest.mark.parametrize("values", [np.zeros((72, 3, 3)), RNG.normal(size=(72, 3, 3))])
def test_nothing_and_both_signs_say_nothing(values):
    changes = changes_of(values, HOURS)
    assert not changes.rises.any() and not changes.falls.any()


def test_metres_taken_for_millimetres_are_named():
    metres = RNG.gamma(0.5, 0.01, (60, 3, 3))
    mean, better = unlikely_units(RAIN, "mm", True, metres)
    assert better == "m"
    assert mean == pytest.approx(0.005, rel=0.1)
    assert unlikely_units(RAIN, "m", True, metres * 1000) is None
    assert unlikely_units(RAIN, "mm", True, np.zeros((60, 3, 3))) is None
    # Percent, and not grams in a kilogram, of which they would be a tenth.
    assert unlikely_units(SOIL_MOISTURE, "m3 m-3", False, np.full((60, 3, 3), 27.2)) == (pytest.approx(27.2), "%")


@pytest.mark.parametrize(("number", "fill"), [(-9999.0, -9999.0), (9.96921e36, 9.969209968386869e36), (1e20, 1e20)])
def test_usual_fill_values_are_known(number, fill):
    assert fill_value(np.float32(number)) == fill
    assert fill_value(283.15) is None
