from dataclasses import replace

import numpy as np
import pytest
import torch

from somo.learn.fit import predict_blocks
from somo.learn.importance import cell_features, permutation_importance, spread_importance
from somo.learn.networks.forward import load
from tests.learn import made
from tests.learn.networks.test_ealstm import checkpoint


def perfectly_known(n_cells):
    """A network without use for warmth and sand, and cells whose first layer it predicts without error."""
    data = made.training_set(n_cells, 80)
    known = checkpoint("layer1", ("precipitation", "air_temperature"), 0, clip=None)
    known.weights["weight_ih"][1] = 0
    known.weights["weight_sh"][0] = 0
    forward = load(known)
    perfect = forward(data.x_d, data.x_s)
    y = torch.stack([perfect, torch.full_like(perfect, torch.nan)])
    return [[forward]], replace(data, y=y)


@pytest.mark.parametrize("cells", [np.arange(3), np.array([4])], ids=["three cells", "a fold of one cell"])
def test_a_feature_that_the_network_ignores_is_not_important(cells):
    layers, data = perfectly_known(6)
    donors = np.setdiff1d(np.arange(6), cells)
    rain, warmth, sand, elevation = permutation_importance(layers, data, cells, donors, made.SEQUENCE, 20)[0]
    assert rain > 0
    assert elevation > 0
    assert warmth == 0
    assert sand == 0


def test_importance_of_one_cell_is_its_mean_error_with_the_features_of_each_donor():
    layers, data = perfectly_known(5)
    found = permutation_importance(layers, data, np.array([0]), np.arange(1, 5), made.SEQUENCE, 20)[0]
    whole = predict_blocks(layers, data, np.array([0]), made.SEQUENCE, 20)[0]
    errors = []
    for donor in range(1, 5):
        x_s = data.x_s.clone()
        x_s[0, 1] = data.x_s[donor, 1]
        other = predict_blocks(layers, replace(data, x_s=x_s), np.array([0]), made.SEQUENCE, 20)[0]
        errors.append(float((other - whole).nan_to_num().square().sum() / (~whole.isnan()).sum()))
    before = float(torch.nanmean((whole - data.y[0][:, :1]).square()))
    assert found[3] == pytest.approx(np.mean(errors), rel=1e-3)
    assert before == pytest.approx(0, abs=1e-9)


def test_a_feature_that_predicts_better_when_it_is_wrong_is_not_important():
    """Targets of a cell that are the predictions with another cell's elevation: the true one only does harm."""
    layers, data = perfectly_known(2)
    x_s = data.x_s.clone()
    x_s[0, 1] = data.x_s[1, 1]
    other = predict_blocks(layers, replace(data, x_s=x_s), np.array([0]), made.SEQUENCE, 20)[0]
    y = data.y.clone()
    y[0, :, 0] = other[:, 0]
    found = permutation_importance(layers, replace(data, y=y), np.array([0]), np.array([1]), made.SEQUENCE, 20)[0]
    assert found[3] == 0


def test_features_of_cells():
    data = made.training_set(3, 40)
    names, values = cell_features(data, slice(10, 31))
    assert names[:3] == ("mean of precipitation", "mean of air_temperature", "std of precipitation")
    np.testing.assert_allclose(values[:, 1], data.x_d[10:31, :, 1].mean(0), rtol=1e-5)
    np.testing.assert_allclose(values[:, 2], data.x_d[10:31, :, 0].std(0), rtol=1e-5)
    np.testing.assert_array_equal(values[:, 4:], data.x_s)
    assert spread_importance(np.array([[1.0, 2.0, 3.0, 4.0]]), 2).tolist() == [[1.0, 2.0, 1.0, 2.0, 3.0, 4.0]]
