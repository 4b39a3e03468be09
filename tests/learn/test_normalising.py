import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from somo.learn.normalising import Scaler, fit_scaler


def test_precipitation_enters_as_its_logarithm():
    """ln(1 + P) of 0, e - 1 is 0, 1: mean 0.5, std 0.5."""
    scaler = fit_scaler(("precipitation",), torch.tensor([[0.0], [math.e - 1]]))
    assert scaler.mean == pytest.approx((0.5,))
    assert scaler.std == pytest.approx((0.5,))
    assert scaler.apply(torch.tensor([[-0.1], [math.e - 1]])).flatten().tolist() == pytest.approx([-1.0, 1.0], abs=1e-6)


def test_missing_values_and_constants():
    x = torch.tensor([[1.0, 7.0], [float("nan"), 7.0], [3.0, 7.0]])
    scaler = fit_scaler(("a", "b"), x)
    assert scaler.mean == (2.0, 7.0)
    assert scaler.std == (1.0, 1.0)


def test_a_feature_in_large_units_varies_all_the_same():
    """Permeability of 1e-13 and 3e-13 m2: mean 2e-13, std 1e-13; a column of rounding alone stays a constant."""
    scaler = fit_scaler(("permeability", "rounding"), torch.tensor([[1e-13, 5.0], [3e-13, 5.000001]]))
    assert scaler.mean[0] == pytest.approx(2e-13, rel=1e-6)
    assert scaler.std == pytest.approx((1e-13, 1.0), rel=1e-6)


def test_values_beyond_the_limit_are_held():
    scaler = fit_scaler(("a",), torch.tensor([[1.0], [3.0]]), limit=2.0)
    assert scaler.apply(torch.tensor([[-9.0], [2.5], [9.0]])).flatten().tolist() == [-2.0, 0.5, 2.0]


@given(st.floats(-3, 3), st.floats(0.1, 9), st.sampled_from(["", "log1p"]), st.floats(0, 50))
def test_inverts(mean, std, transform, value):
    scaler = Scaler(("a",), (transform,), (mean,), (std,))
    x = torch.tensor([[value]], dtype=torch.float64)
    torch.testing.assert_close(scaler.invert(scaler.apply(x)), x, atol=1e-4, rtol=1e-4)
