"""Pairs of series: scores per cell, their summary, anomalies from the season. Tables are tidy and long."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from somo.validate.metrics import METRICS, median_score, scores

KEYS = ("domain", "cell", "layer")
# Two days correlate perfectly whatever they hold, and a median over cells counts such a cell as much as one of years.
LEAST_DAYS = 10


def cell_scores(
    pairs: pd.DataFrame,
    by: Sequence[str] = KEYS,
    prediction: str = "y_hat",
    metrics: Sequence[str] = tuple(METRICS),
    min_days: int = LEAST_DAYS,
) -> pd.DataFrame:
    """Metrics of every series: columns `by`, `metrics`, `n` (days with both values).

    Series with fewer than `min_days` pairs are left out.
    """
    rows = []
    for key, group in pairs.groupby(list(by), observed=True, sort=True):
        row = scores(group["y"].to_numpy(), group[prediction].to_numpy(), metrics)
        if row["n"] >= min_days:
            rows.append({**dict(zip(by, key, strict=True)), **row})
    return pd.DataFrame(rows, columns=[*by, *metrics, "n"])


def layer_skill(
    pairs: pd.DataFrame, prediction: str = "y_hat", metrics: Sequence[str] = ("pearson_r",)
) -> pd.DataFrame:
    """Median over cells of the metrics of their series, by layer: columns `metrics`; `cells` have the first.

    Cells with fewer than `LEAST_DAYS` pairs do not count.
    """
    cells = cell_scores(pairs, prediction=prediction, metrics=metrics)
    layers = cells.groupby("layer", observed=True)
    return layers[list(metrics)].median().assign(cells=layers[metrics[0]].count())


def summarise(table: pd.DataFrame, by: Sequence[str], metrics: Sequence[str] = tuple(METRICS)) -> pd.DataFrame:
    """Median over cells with its interval: columns `by`, metric, value, low, high, cells, days."""
    rows = []
    for key, group in table.groupby(list(by), observed=True, sort=True):
        for metric in metrics:
            s = median_score(group[metric].to_numpy())
            median = {"metric": metric, "value": s.value, "low": s.low, "high": s.high, "cells": s.n}
            rows.append({**dict(zip(by, key, strict=True)), **median, "days": int(group["n"].sum())})
    return pd.DataFrame(rows, columns=[*by, "metric", "value", "low", "high", "cells", "days"])


def anomalies(
    pairs: pd.DataFrame,
    columns: Sequence[str],
    by: Sequence[str] = KEYS,
    window_days: int = 31,
    min_days: int = 7,
) -> pd.DataFrame:
    """The table with `columns` replaced by their difference from a centred moving mean over calendar days.

    A day belongs to the window of t where it lies within (window_days - 1) / 2 days of t; a mean of fewer than
    `min_days` values is missing. Give only days on which every column has a value, so that the means agree.
    """
    ordered = pairs.sort_values([*by, "time"], ignore_index=True)
    indexed = ordered.set_index("time").groupby(list(by), observed=True, sort=True)[list(columns)]
    mean = indexed.rolling(f"{window_days}D", center=True, min_periods=min_days).mean()
    # Both tables are in the order of `by` and time, so values meet their means without an index.
    ordered[list(columns)] = ordered[list(columns)].to_numpy() - mean.to_numpy()
    return ordered.dropna(subset=list(columns), ignore_index=True)


def cell_means(pairs: pd.DataFrame, columns: Sequence[str], by: Sequence[str] = KEYS) -> pd.DataFrame:
    """Mean of every series over the days on which all `columns` have a value, with their number `n`."""
    complete = pairs.dropna(subset=list(columns))
    groups = complete.groupby(list(by), observed=True, sort=True)
    return groups[list(columns)].mean().assign(n=groups.size()).reset_index()


def wide_to_models(pairs: pd.DataFrame, models: dict[str, str]) -> pd.DataFrame:
    """One row per pair and model: `models` maps the name shown to the column that holds its prediction."""
    shared = [c for c in pairs.columns if c not in models.values()]
    tables = [
        pairs[shared].assign(model=name, y_hat=pairs[column].to_numpy(np.float64)) for name, column in models.items()
    ]
    return pd.concat(tables, ignore_index=True)
