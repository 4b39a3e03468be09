import numpy as np
import torch

from somo.learn.ealstm import load
from somo.learn.importance import cell_features, permutation_importance, spread_importance
from tests.learn import made
from tests.learn.test_ealstm import checkpoint


def test_a_feature_that_the_network_ignores_is_not_important():
    data = made.training_set(6, 80)
    known = checkpoint("layer1", ("precipitation", "air_temperature"), 0, clip=None)
    known.weights["weight_ih"][1] = 0
    known.weights["weight_sh"][0] = 0
    forward = load(known)
    perfect = forward(data.x_d, data.x_s)
    y = torch.stack([perfect, torch.full_like(perfect, torch.nan)])
    data = type(data)(**{**data.__dict__, "y": y})
    found = permutation_importance([[forward]], data, np.arange(6), made.SEQUENCE, 20)
    rain, warmth, sand, elevation = found[0]
    assert rain > 0
    assert elevation > 0
    assert warmth == 0
    assert sand == 0


def test_features_of_cells():
    data = made.training_set(3, 40)
    names, values = cell_features(data)
    assert names[:3] == ("mean of precipitation", "mean of air_temperature", "std of precipitation")
    np.testing.assert_allclose(values[:, 1], data.x_d[..., 1].mean(0), rtol=1e-5)
    assert spread_importance(np.array([[1.0, 2.0, 3.0, 4.0]]), 2).tolist() == [[1.0, 2.0, 1.0, 2.0, 3.0, 4.0]]
