import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from somo.learn.baseline import exponential_filter, ridge_predict
from tests.learn import made


def test_filter_by_hand():
    """a = 1/2: 4, then (4 + 0) / 2, then (2 + 8) / 2."""
    days = -1 / math.log(0.5)
    assert exponential_filter(np.array([[4.0], [0.0], [8.0]]), days).flatten().tolist() == pytest.approx([4, 2, 5])


def test_filter_equals_its_recurrence():
    x = np.random.default_rng(0).normal(size=(50, 3))
    q, a = x[0], math.exp(-1 / 7)
    for day in range(1, 50):
        q = a * q + (1 - a) * x[day]
    np.testing.assert_allclose(exponential_filter(x, 7)[-1], q)


def test_units_of_a_feature_do_not_matter():
    """A second feature of 1e-12 times its numbers changes no prediction; one that is the same everywhere is no harm."""
    data = made.training_set(12, 200)
    learnt, judged = np.arange(8), np.arange(8, 12)
    in_units = replace(data, x_s=data.x_s.double() * torch.tensor([1.0, 1e-12], dtype=torch.float64))
    alone = [ridge_predict(each, "layer1", learnt, judged, 20) for each in (data, in_units)]
    np.testing.assert_allclose(*alone, rtol=1e-5)
    constant = replace(data, x_s=torch.stack([data.x_s[:, 0], torch.full((12,), 7e-13)], dim=1))
    assert np.isfinite(ridge_predict(constant, "layer1", learnt, judged, 20)).all()


def test_ridge_finds_the_course_at_other_cells():
    data = made.training_set(20, 300)
    y_hat = ridge_predict(data, "layer1", np.arange(16), np.arange(16, 20), 20)
    y = data.y[0][:, 16].numpy()
    known = np.isfinite(y)
    known[:60] = False
    assert np.corrcoef(y[known], y_hat[known, 0])[0, 1] > 0.8
