"""Experiments with a model that is given as a function: how far back it looks, and which inputs it needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.validate.metrics import scores

Array = NDArray[np.float32]
Predict = Callable[[Array, Array], Array]
"""x_d [day, sample, dynamic], x_s [sample, static] in physical units -> [layer, member, sample] on the last day."""

KEPT = 0.95
"""Share of the skill at which a model is said to have looked back far enough."""

LEAST_SAMPLES = 10
"""Sampled days of a cell, below which it has no score of its own."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Days with a measurement, each with the forcing of the `lookback` days that end on it.

    Attributes
    ----------
    layers, dynamic, static : names along the first axis of y and the last of x_d and x_s
    x_d : [lookback, sample, dynamic]
    x_s : [sample, static]
    y : [layer, sample] m3 m-3, NaN where a layer was not measured
    cell : [sample] number that tells cells apart
    """

    layers: tuple[str, ...]
    dynamic: tuple[str, ...]
    static: tuple[str, ...]
    x_d: Array
    x_s: Array
    y: Array
    cell: NDArray[np.int64]


def intact_days(lookback: int) -> list[int]:
    """Numbers of days left intact, about evenly spaced on a logarithmic axis from 1 to `lookback`."""
    return sorted({int(n) for n in np.round(np.geomspace(1, lookback, 16))})


def shuffled_history(x_d: Array, intact: int, generator: np.random.Generator) -> Array:
    """Forcing whose last `intact` days are unchanged and whose earlier days are in random order.

    All variables of a day move together; every sample has its own order.

    Parameters
    ----------
    x_d : [day, sample, dynamic]
    """
    changed = x_d.copy()
    earlier = len(x_d) - intact
    order = generator.permuted(np.tile(np.arange(earlier)[:, None], x_d.shape[1]), axis=0)
    changed[:earlier] = np.take_along_axis(x_d[:earlier], order[:, :, None], axis=0)
    return changed


def predict_with_history(samples: Samples, predict: Predict, intact: int, seed: int) -> Array:
    """[layer, member, sample] prediction with all but the last `intact` days in random order."""
    return predict(shuffled_history(samples.x_d, intact, np.random.default_rng([seed, intact])), samples.x_s)


def memory_table(samples: Samples, predictions: Mapping[int, Array]) -> pd.DataFrame:
    """Skill left by the number of days left intact: layer, member, intact_days, pearson_r, nse, their ratios, cells, n.

    Scores are medians over cells of each cell's own samples; `pearson_r_relative` and `nse_relative` divide them by
    those of the run with all days intact (the largest key), where that and its median over members are above 0.1.
    """
    rows = []
    for intact, y_hat in sorted(predictions.items()):
        for k, layer in enumerate(samples.layers):
            for member in range(y_hat.shape[1]):
                skill = _cell_median(samples, k, y_hat[k, member])
                rows.append({"layer": layer, "member": member, "intact_days": intact, **skill})
    table = pd.DataFrame(rows)
    all_intact = table[table["intact_days"] == max(predictions)].set_index(["layer", "member"])
    at = pd.MultiIndex.from_frame(table[["layer", "member"]])
    for metric in ("pearson_r", "nse"):
        # Relative to next to no skill any number comes out, so there is no ratio; nor is there one of a lucky member
        # where the median of them has no skill.
        usual = all_intact.groupby("layer")[metric].transform("median")
        has_skill = (all_intact[metric] > 0.1) & (usual > 0.1)
        reference = all_intact[metric].where(has_skill).reindex(at).to_numpy()
        table[f"{metric}_relative"] = table[metric].to_numpy() / reference
    return table


def memory_days(table: pd.DataFrame, kept: float = KEPT) -> dict[str, float]:
    """Days that must be intact for the median over members of the relative r to reach `kept`, by layer.

    Interpolated on the logarithmic axis between the two numbers of days around it.
    """
    days_by_layer = {}
    for layer, group in table.groupby("layer", sort=True):
        curve = group.groupby("intact_days")["pearson_r_relative"].median().dropna()
        days_by_layer[str(layer)] = _first_reach(curve, kept)
    return days_by_layer


def _first_reach(curve: pd.Series, wanted_share: float) -> float:
    days, share = np.log(curve.index.to_numpy(np.float64)), curve.to_numpy()
    reached = np.flatnonzero(share >= wanted_share)
    if len(reached) == 0:
        return float("nan")
    i = int(reached[0])
    if i == 0:
        return float(curve.index[0])
    fraction = (wanted_share - share[i - 1]) / (share[i] - share[i - 1])
    return float(np.exp(days[i - 1] + fraction * (days[i] - days[i - 1])))


def _cell_median(samples: Samples, layer: int, y_hat: Array) -> dict[str, float]:
    y = samples.y[layer]
    measured = np.isfinite(y)
    by_cell = [
        scores(y[chosen], y_hat[chosen], ("pearson_r", "nse"))
        for cell in np.unique(samples.cell[measured])
        if (chosen := measured & (samples.cell == cell)).sum() >= LEAST_SAMPLES
    ]
    frame = pd.DataFrame(by_cell, columns=["pearson_r", "nse", "n"])
    return {
        "pearson_r": float(frame["pearson_r"].median()),
        "nse": float(frame["nse"].median()),
        "cells": len(frame),
        "n": int(frame["n"].sum()),
    }


def inputs(samples: Samples) -> Iterator[str]:
    """Names of all inputs, dynamic ones first."""
    yield from samples.dynamic
    yield from samples.static


def predict_without(samples: Samples, predict: Predict, name: str, seed: int) -> Array:
    """[layer, member, sample] prediction with one input taken from another sample drawn at random.

    A dynamic input is exchanged as a whole series, so that its own course stays possible.
    """
    order = np.random.default_rng([seed, list(inputs(samples)).index(name)]).permutation(len(samples.cell))
    x_d, x_s = samples.x_d.copy(), samples.x_s.copy()
    if name in samples.dynamic:
        k = samples.dynamic.index(name)
        x_d[:, :, k] = x_d[:, order, k]
    else:
        k = samples.static.index(name)
        x_s[:, k] = x_s[order, k]
    return predict(x_d, x_s)


def importance_table(samples: Samples, whole: Array, without: Mapping[tuple[str, int], Array]) -> pd.DataFrame:
    """What the loss of one input costs: layer, member, input, seed, r_drop, rmsd_rise, pearson_r, rmsd, n.

    Scores are over all samples together, between cells as well as over time.

    Parameters
    ----------
    whole : [layer, member, sample] prediction with all inputs
    without : (input, seed) -> prediction with that input exchanged
    """
    rows = []
    for k, layer in enumerate(samples.layers):
        for member in range(whole.shape[1]):
            with_input = scores(samples.y[k], whole[k, member], ("pearson_r", "rmsd"))
            for (name, seed), y_hat in without.items():
                without_input = scores(samples.y[k], y_hat[k, member], ("pearson_r", "rmsd"))
                change = {
                    "r_drop": with_input["pearson_r"] - without_input["pearson_r"],
                    "rmsd_rise": without_input["rmsd"] - with_input["rmsd"],
                }
                rows.append({"layer": layer, "member": member, "input": name, "seed": seed, **change, **without_input})
    return pd.DataFrame(rows)


def choose(known: NDArray[np.bool_], most_cells: int, most_samples: int, seed: int) -> NDArray[np.int64]:
    """[sample, 2] (day, cell) drawn from known [day, cell]: up to `most_cells` cells, equally many days of each.

    Days of a cell are spread over its known days, with a random start.
    """
    generator = np.random.default_rng(seed)
    cells = np.flatnonzero(known.any(0))
    cells = np.sort(generator.permutation(cells)[:most_cells])
    per_cell = max(most_samples // max(len(cells), 1), 1)
    chosen: list[Sequence[int]] = []
    for cell in cells:
        days = np.flatnonzero(known[:, cell])
        picked = np.unique((np.arange(per_cell) + generator.random()) * len(days) / per_cell).astype(int)
        chosen += [(int(days[i]), int(cell)) for i in np.unique(picked)]
    return np.array(chosen, np.int64).reshape(-1, 2)
