"""How much a model needs each feature: how its error grows when the feature is taken from another cell."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from somo.learn.fit import predict_blocks
from somo.learn.networks.forward import Forward
from somo.learn.samples import TrainingSet
from somo.product.method import Sequence as SequenceSettings

# With few cells an error rests on few exchanges: each cell is then used several times, with different donors.
LEAST_EXCHANGES = 12


def permutation_importance(
    layers: Sequence[list[Forward]],
    data: TrainingSet,
    cells: NDArray[np.int64],
    donors: NDArray[np.int64],
    sequence: SequenceSettings,
    first: int,
    seed: int = 0,
) -> NDArray[np.float64]:
    """[layer, feature] increase of the mean squared error when a feature's values come from another cell.

    Features are the forcing variables, whose whole series are taken, followed by the static features. Layers that
    lack targets at these cells get zeros. Donors are drawn in random order, each as often as the others.

    Parameters
    ----------
    cells : indices of cells that the networks have not seen
    donors : indices of other cells, those that the networks have learnt from
    first : first day of the product among the days of the forcing
    """
    cells = np.tile(cells, -(-LEAST_EXCHANGES // len(cells)))
    origin = np.resize(np.random.default_rng(seed).permutation(donors), len(cells))
    recipients = replace(data, x_d=data.x_d[:, cells], x_s=data.x_s[cells], y=data.y[:, :, cells])
    every_recipient = np.arange(len(cells))
    undisturbed_errors = _errors(predict_blocks(layers, recipients, every_recipient, sequence, first), recipients.y)
    increases = [
        _errors(predict_blocks(layers, changed, every_recipient, sequence, first), recipients.y) - undisturbed_errors
        for changed in _exchanged(recipients, data, origin)
    ]
    # A feature that happens to predict better when it is wrong counts as unimportant, and a layer without targets too.
    return np.nan_to_num(np.clip(np.stack(increases, axis=1), 0, None))


def _exchanged(recipients: TrainingSet, data: TrainingSet, origin: NDArray[np.int64]) -> Iterator[TrainingSet]:
    """The recipients with one feature at a time taken from cells of all data."""
    for i in range(len(recipients.dynamic)):
        x_d = recipients.x_d.clone()
        x_d[:, :, i] = data.x_d[:, origin, i]
        yield replace(recipients, x_d=x_d)
    for i in range(len(recipients.static)):
        x_s = recipients.x_s.clone()
        x_s[:, i] = data.x_s[origin, i]
        yield replace(recipients, x_s=x_s)


def _errors(y_hat: Tensor, y: Tensor) -> NDArray[np.float64]:
    """[layer] mean squared error over days and cells with both; NaN without any."""
    return torch.nanmean((y_hat - y).double().square(), dim=(1, 2)).numpy()


def cell_features(data: TrainingSet, days: slice) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and values [cell, feature] by which cells differ: mean and std of each forcing variable, static features.

    Parameters
    ----------
    days : of the climatology, as positions among the days of the forcing
    """
    x_d = data.x_d[days].double()
    columns = [x_d.mean(0), x_d.std(0), data.x_s.double()]
    return feature_names(data.dynamic, data.static), torch.cat(columns, dim=1).numpy()


def feature_names(dynamic: tuple[str, ...], static: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a cell's features: the forcing's climatology first."""
    return (*(f"mean of {name}" for name in dynamic), *(f"std of {name}" for name in dynamic), *static)


def spread_importance(importance: NDArray[np.float64], n_dynamic: int) -> NDArray[np.float64]:
    """[layer, cell feature] of [layer, input feature]: a forcing variable's counts for its mean and for its std."""
    return np.concatenate([importance[:, :n_dynamic], importance], axis=1)
