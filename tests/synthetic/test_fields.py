"""Smooth random fields: their moments, their smoothness and how they travel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.synthetic.fields import Waves, generator

AXIS = np.arange(0, 200, 1.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 5.0))
def test_mean_zero_variance_one_and_correlated_over_the_length(seed: int, length: float) -> None:
    field = Waves.draw(generator(seed, "test"), length, modes=400).at(AXIS, AXIS)
    assert abs(field.mean()) < 0.2 and field.var() == pytest.approx(1, abs=0.25)
    lag = round(length)
    correlation = (field[lag:] * field[:-lag]).mean() / field.var()
    assert correlation == pytest.approx(np.exp(-0.5 * (lag / length) ** 2), abs=0.15)


def test_every_wave_travels_east() -> None:
    waves = Waves.draw(generator(0, "test"), 5.0, period_days=10.0)
    assert (waves.frequency * waves.east <= 0).all() and (waves.frequency != 0).all()


def test_random_numbers_depend_on_seed_and_purpose_alone() -> None:
    first = generator(1, "rain", 5).random()
    generator(1, "cloud").random(100)
    assert generator(1, "rain", 5).random() == first
    assert len({first, generator(2, "rain", 5).random(), generator(1, "rain", 6).random()}) == 3
