"""Gaps filled in time: hand-computed, and the same whatever days are read together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.forcing.days.gaps import LongGapError, interpolate

NAN = np.nan


def cell(*values):
    return np.array(values, "float32").reshape(-1, 1, 1)


def test_a_gap_is_filled_linearly_by_hand():
    got = interpolate(cell(1, NAN, NAN, 4, 6), 2, slice(0, 5))
    assert got[:, 0, 0].tolist() == [1, 2, 3, 4, 6]


def test_a_longer_gap_is_named():
    with pytest.raises(LongGapError) as refusal:
        interpolate(cell(1, NAN, NAN, NAN, 4), 2, slice(1, 4))
    assert (refusal.value.first, refusal.value.last) == (1, 3)


def test_a_gap_at_the_end_has_nothing_to_be_filled_from():
    with pytest.raises(LongGapError):
        interpolate(cell(1, 2, NAN), 2, slice(0, 3))


def test_the_sea_stays_without_values():
    assert np.isnan(interpolate(cell(NAN, NAN, NAN), 2, slice(0, 3))).all()


@given(st.integers(0, 200), st.integers(1, 3), st.data())
def test_filling_does_not_depend_on_the_cut(seed, max_gap, data):
    rng = np.random.default_rng(seed)
    values = rng.normal(280, 5, (40, 2, 2)).astype("float32")
    for row, column in np.ndindex(2, 2):
        start = 1
        while start < 36:
            length = int(rng.integers(0, max_gap + 1))
            values[start : start + length, row, column] = np.nan
            start += length + int(rng.integers(1, 6))
    values[-1] = values[0]
    whole = interpolate(values, max_gap, slice(0, 40))
    assert np.isfinite(whole).all()
    first = data.draw(st.integers(0, 38))
    stop = data.draw(st.integers(first + 1, 40))
    low, high = max(0, first - max_gap), min(40, stop + max_gap)
    part = interpolate(values[low:high], max_gap, slice(first - low, stop - low))
    np.testing.assert_array_equal(part, whole[first:stop])
