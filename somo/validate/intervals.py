"""How true stated uncertainties are: coverage, interval score and CRPS of normal intervals; tables tidy and long.

Errors are those at cells that the networks had not seen. They are compared with two yardsticks: one constant width per
layer, learnt like the uncertainty without the fold that it is judged on, and the spread of the ensemble's members.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Of SciPy's distributions the functions alone: `scipy.stats` takes every process a second to import.
from scipy.special import ndtr, ndtri

from somo.validate.metrics import block_draws, interval

LEVELS = (0.5, 0.8, 0.9, 0.95)
JUDGED = 0.9
REPLICATES = 300
SEASONS = {12: "DJF", 1: "DJF", 2: "DJF", 3: "MAM", 4: "MAM", 5: "MAM", 6: "JJA", 7: "JJA", 8: "JJA"}
WIDTHS = {"uncertainty": "uncertainty", "constant width": "constant", "spread": "spread"}
"""Name shown -> column of the standard deviation that is stated."""

Floats = NDArray[np.float64]


def half_width(level: float) -> float:
    """Standard deviations from the middle to the end of the central interval of a normal distribution."""
    return float(ndtri((1 + level) / 2))


def interval_score(error: Floats, sigma: Floats, level: float = JUDGED) -> Floats:
    """Width of the interval, and 2 / (1 - level) times what an error lies outside (Gneiting & Raftery 2007, eq. 43)."""
    half = half_width(level) * sigma
    return 2 * half + 2 / (1 - level) * np.maximum(np.abs(error) - half, 0)


def normal_crps(error: Floats, sigma: Floats) -> Floats:
    """Continuous ranked probability score of normal distributions; the absolute error where they have no width."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = error / sigma
        density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        score = sigma * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi))
    return np.where(sigma > 0, score, np.abs(error))


def coverage(pairs: pd.DataFrame, level: float = JUDGED) -> dict[str, float]:
    """Share of the measurements that the stated intervals hold, by layer; layers without an uncertainty are left out.

    Parameters
    ----------
    pairs : columns layer, y, y_hat and, where the models know it, uncertainty (m3 m-3)
    """
    if "uncertainty" not in pairs:
        return {}
    stated = pairs.dropna(subset=["y", "y_hat", "uncertainty"])
    inside = (stated["y"] - stated["y_hat"]).abs() <= half_width(level) * stated["uncertainty"]
    return {str(layer): float(share) for layer, share in inside.groupby(stated["layer"], observed=True).mean().items()}


def with_constant_width(pairs: pd.DataFrame) -> pd.DataFrame:
    """The table with `constant`: per layer, what makes one width hold 90 % of the errors of the other folds, m3 m-3.

    NaN where no other fold has an error.
    """
    error = (pairs["y"] - pairs["y_hat"]).abs()
    constant = pd.Series(np.nan, pairs.index)
    for _, layer in pairs.groupby("layer", observed=True):
        for fold, judged in layer.groupby("fold").groups.items():
            others = error[layer.index[layer["fold"] != fold]]
            if len(others):
                constant.loc[judged] = float(others.quantile(JUDGED)) / half_width(JUDGED)
    return pairs.assign(constant=constant)


def with_groups(pairs: pd.DataFrame, networks: pd.DataFrame) -> dict[str, pd.Series]:
    """Label of every row by what it may be grouped by: wetness, season, dissimilarity (thirds), network.

    The target of a cell may be the mean of sensors of several networks: its rows count for each of them, under an index
    that repeats.

    Parameters
    ----------
    networks : domain, cell, layer, network
    """
    month = pd.DatetimeIndex(pairs["time"]).month
    keys = ["domain", "cell", "layer"]
    # A network may have several sensors in a cell and layer.
    networks = networks[[*keys, "network"]].drop_duplicates()
    of_row = pairs[keys].assign(row=pairs.index).merge(networks, on=keys, how="left").set_index("row")["network"]
    return {
        "wetness": _thirds(pairs, "y_hat", ("dry", "middle", "wet")),
        "season": pd.Series([SEASONS.get(m, "SON") for m in month], pairs.index),
        "dissimilarity": _thirds(pairs, "dissimilarity", ("alike", "middling", "unlike")),
        "network": of_row,
    }


def judge(pairs: pd.DataFrame, groups: dict[str, pd.Series]) -> pd.DataFrame:
    """Scores of every stated width, by layer and group.

    Parameters
    ----------
    pairs : domain, cell, layer, y, y_hat and the columns of `WIDTHS`; rows without a stated width are left out of it
    groups : labels by what the rows are grouped by; a row that has several counts for each

    Returns
    -------
    columns width, layer, by, group, metric, value, low, high, cells, days; the 95 % interval of a coverage is that of a
    bootstrap over cells
    """
    rows = []
    labels = {"all": pd.Series("all", pairs.index), **groups}
    for width, column in WIDTHS.items():
        stated = pairs[pairs[column].notna()] if column in pairs else pairs.iloc[:0]
        for by, label in labels.items():
            of_stated = label[label.index.isin(stated.index)]
            rows_of_label = stated.loc[of_stated.index]
            for (layer, group), group_pairs in rows_of_label.groupby(["layer", of_stated], observed=True):
                about = {"width": width, "layer": str(layer), "by": by, "group": str(group)}
                counts = {
                    "cells": group_pairs.groupby(["domain", "cell"], observed=True).ngroups,
                    "days": len(group_pairs),
                }
                rows += [{**about, **score, **counts} for score in scores_of(group_pairs, column)]
    columns = ["width", "layer", "by", "group", "metric", "value", "low", "high", "cells", "days"]
    return pd.DataFrame(rows, columns=columns)


def scores_of(part: pd.DataFrame, column: str) -> list[dict[str, float | str]]:
    """Coverage at every level, interval score and CRPS of one stated width."""
    error, sigma = (part["y"] - part["y_hat"]).to_numpy(float), part[column].to_numpy(float)
    cell = part.groupby(["domain", "cell"], observed=True).ngroup().to_numpy()
    scores: list[dict[str, float | str]] = []
    for level in LEVELS:
        inside = np.abs(error) <= half_width(level) * sigma
        low, high = coverage_interval(inside, cell)
        scores.append({"metric": f"coverage_{100 * level:g}", "value": float(inside.mean()), "low": low, "high": high})
    for name, values in (("interval_score", interval_score(error, sigma)), ("crps", normal_crps(error, sigma))):
        scores.append({"metric": name, "value": float(values.mean()), "low": np.nan, "high": np.nan})
    return scores


def coverage_interval(inside: NDArray[np.bool_], cell: NDArray[np.integer], seed: int = 0) -> tuple[float, float]:
    """95 % interval of a share by a bootstrap over cells, whose days are no independent draws."""
    held, count = np.bincount(cell, inside), np.bincount(cell)
    draws = block_draws(len(count), 1, REPLICATES, np.random.default_rng(seed))
    return interval(held[draws].sum(1) / count[draws].sum(1))


def _thirds(pairs: pd.DataFrame, column: str, names: Sequence[str]) -> pd.Series:
    """Which third of its layer's rows a row lies in; no label where the column is missing."""
    label = pd.Series(None, pairs.index, object)
    if column in pairs:
        for _, layer in pairs.groupby("layer", observed=True):
            values = layer[column].dropna()
            # Equal values are parted by their order, so that the thirds are of one size.
            rank = values.rank(method="first").to_numpy()
            label[values.index] = np.array(names, object)[np.minimum((3 * (rank - 1) / len(rank)).astype(int), 2)]
    return label
