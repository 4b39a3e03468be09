"""A small training set whose soil water follows rain and warmth, for tests of learning."""

import numpy as np
import torch

from somo.learn.samples import TrainingSet
from somo.product.method import Sequence, Training
from somo.product.network import Ealstm

NETWORK = Ealstm(hidden=8, dropout=0.1, forget_bias=1.0)
SEQUENCE = Sequence(lookback=21, predict_last_n=30)
TRAINING = Training(epochs=3, batch_size=16, learning_rate=1e-2, members=2, held_back=0.0)


def training_set(n_cells: int = 12, n_days: int = 200, missing: float = 0.3, seed: int = 0) -> TrainingSet:
    """Two layers of a bucket that fills with rain and dries in warmth; `missing` of the targets are absent."""
    g = torch.Generator().manual_seed(seed)
    rain = (torch.randn(n_days, n_cells, generator=g) * 6 - 2).clamp(min=0)
    warmth = 283 + 8 * torch.sin(torch.arange(n_days) / 30)[:, None] + torch.randn(n_days, n_cells, generator=g)
    static = torch.randn(n_cells, 2, generator=g)
    loss = 0.06 * torch.exp((warmth - 283) / 20) * (1 + 0.3 * torch.tanh(static[:, 0]))
    water, deep = torch.full((n_cells,), 40.0), torch.full((n_cells,), 0.25)
    layers = torch.empty(2, n_days, n_cells)
    for day in range(n_days):
        water = (water + rain[day] - loss[day] * water).clamp(0, 100)
        layers[0, day] = 0.1 + water / 250
        deep = deep + 0.05 * (layers[0, day] - deep)
        layers[1, day] = deep
    layers[torch.rand(layers.shape, generator=g) < missing] = torch.nan
    return TrainingSet(
        first_day=np.datetime64("2019-12-01"),
        dynamic=("precipitation", "air_temperature"),
        static=("sand", "elevation"),
        layers=("layer1", "layer2"),
        domain=("home",) * n_cells,
        cell=np.arange(n_cells),
        lat=np.linspace(40.0, 60.0, n_cells),
        lon=np.linspace(0.0, 20.0, n_cells),
        x_d=torch.stack([rain, warmth], dim=-1),
        x_s=static,
        y=layers,
    )
