"""How much a model needs each feature: the error after the feature was exchanged between cells."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from somo.core.product import Sequence as SequenceSettings
from somo.learn.ealstm import Forward
from somo.learn.fit import predict_blocks
from somo.learn.samples import TrainingSet


def permutation_importance(
    layers: Sequence[list[Forward]],
    data: TrainingSet,
    cells: NDArray[np.int64],
    sequence: SequenceSettings,
    first: int,
    seed: int = 0,
) -> NDArray[np.float64]:
    """[layer, feature] increase of the mean squared error when a feature's values change places between cells.

    Features are the forcing variables, whose whole series change places, followed by the static features. Layers that
    lack targets at these cells get zeros. The permutation moves every cell.

    Parameters
    ----------
    cells : indices of cells that the networks have not seen
    first : first day of the product among the days of the forcing
    """
    part = replace(data, x_d=data.x_d[:, cells], x_s=data.x_s[cells], y=data.y[:, :, cells])
    here = np.arange(len(cells))
    before = _errors(predict_blocks(layers, part, here, sequence, first), part.y)
    moved = np.roll(np.random.default_rng(seed).permutation(here), 1)
    origin = np.empty_like(here)
    origin[np.roll(moved, -1)] = moved
    increases = [
        _errors(predict_blocks(layers, changed, here, sequence, first), part.y) - before
        for changed in _exchanged(part, origin)
    ]
    return np.nan_to_num(np.clip(np.stack(increases, axis=1), 0, None))


def _exchanged(part: TrainingSet, origin: NDArray[np.int64]) -> list[TrainingSet]:
    """The data with one feature at a time taken from other cells."""
    changed = []
    for i in range(len(part.dynamic)):
        x_d = part.x_d.clone()
        x_d[:, :, i] = part.x_d[:, origin, i]
        changed.append(replace(part, x_d=x_d))
    for i in range(len(part.static)):
        x_s = part.x_s.clone()
        x_s[:, i] = part.x_s[origin, i]
        changed.append(replace(part, x_s=x_s))
    return changed


def _errors(y_hat: Tensor, y: Tensor) -> NDArray[np.float64]:
    """[layer] mean squared error over days and cells with both; NaN without any."""
    return torch.nanmean((y_hat - y).double().square(), dim=(1, 2)).numpy()


def cell_features(data: TrainingSet) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Names and [cell, feature] of what tells cells apart: mean and std of each forcing variable, static features."""
    x_d = data.x_d.double()
    columns = [x_d.mean(0), x_d.std(0), data.x_s.double()]
    return feature_names(data.dynamic, data.static), torch.cat(columns, dim=1).numpy()


def feature_names(dynamic: tuple[str, ...], static: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a cell's features: the forcing's climatology first."""
    return (*(f"mean of {name}" for name in dynamic), *(f"std of {name}" for name in dynamic), *static)


def spread_importance(importance: NDArray[np.float64], n_dynamic: int) -> NDArray[np.float64]:
    """[layer, cell feature] of [layer, input feature]: a forcing variable's counts for its mean and for its std."""
    return np.concatenate([importance[:, :n_dynamic], importance], axis=1)
