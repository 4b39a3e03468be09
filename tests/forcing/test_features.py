"""Dryness, static features: hand-computed numbers and properties."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.forcing.features import aridity, fill_gaps, static_features
from somo.forcing.sources import ForcingError
from somo.forcing.statics.static_file import Moments
from somo.product.static import Static


def test_aridity_by_hand():
    """86.4 W m-2 evaporate 86.4 * 86400 / 2.45e6 = 3.046922 mm d-1; over 2 mm d-1 of rain: 1.523461."""
    assert aridity(np.array([86.4]), np.array([2.0]))[0] == pytest.approx(1.523461, abs=1e-6)
    assert np.isfinite(aridity(np.array([100.0]), np.array([0.0]))[0])


def test_gaps_take_the_mean_of_land():
    values = np.array([[1.0, np.nan, 3.0, 100.0]])
    land = np.array([[True, True, True, False]])
    assert fill_gaps(values, land).tolist() == [[1.0, 2.0, 3.0, 100.0]]


def test_a_missing_class_gets_the_shares_of_the_others():
    static = Static(url="x", variable="v", categories=(1, 2), gaps="mean")
    got = static_features("k", static, np.array([[1.0, 2.0, 2.0, np.nan]]), np.ones((1, 4), bool))
    assert got["k_1"][0, 3] == pytest.approx(1 / 3)
    assert got["k_2"][0, 3] == pytest.approx(2 / 3)


def test_an_undeclared_class_on_land_is_refused():
    static = Static(url="file.nc", variable="v", categories=(1,))
    with pytest.raises(ForcingError, match=r"static\.k: class 5 occurs in file\.nc"):
        static_features("k", static, np.array([[1.0, 5.0]]), np.ones((1, 2), bool))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 99))
def test_moments_of_parts_add_up_to_those_of_the_whole(lengths, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(280, 5, (sum(lengths), 2, 2)).astype("float32")
    values[rng.random(values.shape) < 0.2] = np.nan
    edges = np.concatenate([[0], np.cumsum(lengths)])
    parts = [Moments.of(values[a:b], 100 + a) for a, b in pairwise(edges)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    known = np.isfinite(values)
    assert total.count.tolist() == known.sum(0).tolist()
    mean = np.where(known.any(0), np.nansum(values, 0, dtype="f8") / np.maximum(known.sum(0), 1), np.nan)
    np.testing.assert_allclose(total.mean, mean, rtol=1e-6)
    for row, column in np.ndindex(2, 2):
        series = values[:, row, column].astype("f8")
        series = series[np.isfinite(series)]
        if len(series) > 1:
            np.testing.assert_allclose(total.std[row, column], series.std(ddof=1), rtol=1e-3, atol=1e-2)
        gaps = np.flatnonzero(~known[:, row, column])
        assert total.gap[row, column] == (100 + gaps[0] if len(gaps) else np.iinfo("int32").max)
