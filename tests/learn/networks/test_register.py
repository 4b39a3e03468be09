"""A network from outside the package goes through every door that the shipped ones go through."""

from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from somo.learn import LearnError
from somo.learn.checkpoint import read_checkpoint, read_ensemble, write_checkpoint, write_ensemble
from somo.learn.exchange import to_state_dict
from somo.learn.fit import Run, fit
from somo.learn.networks.architecture import Architecture
from somo.learn.networks.register import ARCHITECTURES
from somo.learn.trained import member_stem
from somo.predict.infer import infer, load_runner
from somo.product.network import NETWORK_KINDS, Ealstm, Lstm, NetworkKind, network_of, register_network_kind
from tests.learn import made


class MovingMean(NetworkKind):
    """A dense network over the mean of the last days' forcing."""

    kind: Literal["moving-mean"] = "moving-mean"
    window_days: int = 7


class MovingMeanNetwork(torch.nn.Module):
    def __init__(self, inputs: int, settings: MovingMean) -> None:
        super().__init__()
        self.window_days = settings.window_days
        self.dense = torch.nn.Sequential(
            torch.nn.Linear(inputs, settings.hidden), torch.nn.ReLU(), torch.nn.Linear(settings.hidden, 1)
        )

    def forward(self, x_d: torch.Tensor, x_s: torch.Tensor, last_n: int | None = None) -> torch.Tensor:
        total = torch.cumsum(x_d, dim=0)
        mean = (total - torch.cat([torch.zeros_like(total[: self.window_days]), total[: -self.window_days]])) / (
            self.window_days
        )
        y = self.dense(torch.cat([mean, x_s.expand(len(x_d), -1, -1)], dim=2)).squeeze(-1)
        return y if last_n is None else y[-last_n:]


@pytest.fixture
def moving_mean(monkeypatch):
    monkeypatch.setitem(NETWORK_KINDS, "moving-mean", MovingMean)
    monkeypatch.setitem(
        ARCHITECTURES,
        "moving-mean",
        Architecture(lambda n_dynamic, n_static, settings: MovingMeanNetwork(n_dynamic + n_static, settings)),
    )
    assert register_network_kind(MovingMean) is MovingMean
    return network_of({"kind": "moving-mean", "hidden": 6, "dropout": 0.0})


@pytest.mark.parametrize("kind", ["moving-mean", "lstm"])
def test_a_network_is_trained_kept_and_run(moving_mean, kind, tmp_path):
    """From a declaration's table through training and checkpoint files to the means and spread of production."""
    settings = moving_mean if kind == "moving-mean" else Lstm(hidden=6, dropout=0.0)
    data, url = made.training_set(), str(tmp_path)
    training = made.TRAINING.model_copy(update={"epochs": 2})
    for k in range(2):
        run = Run("layer1", k, k, np.arange(9))
        trained = fit(data, run, settings, made.SEQUENCE, training, torch.device("cpu"))
        write_checkpoint(member_stem(url, "layer1", k), trained)
    write_ensemble(url, ("layer1",), 2, {})
    ensemble = read_ensemble(url)
    assert ensemble.layers["layer1"][0].network == settings
    x_d, x_s = data.x_d.numpy()[:70], data.x_s.numpy()
    mean, std = infer(load_runner(ensemble), x_d, x_s, 50, made.SEQUENCE)
    assert mean.shape == (1, 50, 12)
    assert np.isfinite(mean).all() and (std > 0).any()
    with pytest.raises(LearnError, match="not those of an EA-LSTM"):
        to_state_dict(ensemble.layers["layer1"][0].weights, "neuralhydrology")


def test_weights_of_another_shape_are_refused(moving_mean, tmp_path):
    data = made.training_set()
    training = made.TRAINING.model_copy(update={"epochs": 1})
    trained = fit(data, Run("layer1", 0, 0, np.arange(9)), moving_mean, made.SEQUENCE, training, torch.device("cpu"))
    stem = str(tmp_path / "member0")
    write_checkpoint(stem, trained)
    described = (tmp_path / "member0.json").read_text()
    (tmp_path / "member0.json").write_text(described.replace('"hidden": 6', '"hidden": 5'))
    with pytest.raises(LearnError, match=r"weight dense\.0\.weight has shape \(6, 4\), .* make \(5, 4\)"):
        read_checkpoint(stem)


def test_an_unknown_kind_or_a_key_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'gru' is unknown; allowed are ealstm, lstm"):
        network_of({"kind": "gru"})
    with pytest.raises(ValidationError, match="head_layers"):
        network_of({"kind": "lstm", "head_layers": 2})
    assert network_of({"hidden": 4}) == Ealstm(hidden=4)
