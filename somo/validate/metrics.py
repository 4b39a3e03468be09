"""Agreement of a predicted series y_hat with a measured series y: metrics, their intervals, never without n.

Every metric takes [..., n] arrays without gaps and reduces the last axis; `score` and `scores` take 1-D series
with gaps. A metric that has no meaning for a series (too short, constant) is NaN, and n says why.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Metric = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Score:
    """A metric, the number of pairs behind it and the bounds of its bootstrap confidence interval."""

    value: float
    n: int
    low: float = np.nan
    high: float = np.nan


def bias(y: Array, y_hat: Array) -> Array:
    """Mean of y_hat minus mean of y, in the units of y; NaN for no pair."""
    return _mean(y_hat) - _mean(y)


def rmsd(y: Array, y_hat: Array) -> Array:
    """Root of the mean squared difference, in the units of y; NaN for no pair."""
    return np.sqrt(_mean((y_hat - y) ** 2))


def ubrmsd(y: Array, y_hat: Array) -> Array:
    """Root mean squared difference after both means are taken away (Entekhabi et al. 2010); NaN for no pair."""
    return rmsd(_centred(y), _centred(y_hat))


def pearson_r(y: Array, y_hat: Array) -> Array:
    """Pearson correlation; NaN for fewer than two pairs or where one series is constant."""
    a, b = _centred(y), _centred(y_hat)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    # Rounding may lift a perfect correlation just above 1.
    return np.where(_varies(y) & _varies(y_hat), np.clip(r, -1, 1), np.nan)


def spearman(y: Array, y_hat: Array) -> Array:
    """Pearson correlation of the ranks (ties share the mean rank); NaN as for `pearson_r`."""
    return pearson_r(_ranks(y), _ranks(y_hat))


def _ranks(values: Array) -> Array:
    """Rank of every value among those of its row, from 1; ties share the mean rank."""
    rows = pd.DataFrame(np.atleast_2d(values))
    return rows.rank(axis=1).to_numpy().reshape(values.shape)


def nse(y: Array, y_hat: Array) -> Array:
    """Nash-Sutcliffe efficiency 1 - sum (y_hat - y)^2 / sum (y - mean y)^2; NaN where y is constant."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = 1 - ((y_hat - y) ** 2).sum(-1) / (_centred(y) ** 2).sum(-1)
    return np.where(_varies(y), value, np.nan)


def kge(y: Array, y_hat: Array) -> Array:
    """Kling-Gupta efficiency (Gupta et al. 2009): 1 - |(r - 1, std_hat / std - 1, mean_hat / mean - 1)|.

    NaN where r is, or where the mean of y is zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((_centred(y_hat) ** 2).sum(-1) / (_centred(y) ** 2).sum(-1))
        level = _mean(y_hat) / _mean(y)
        value = 1 - np.sqrt((pearson_r(y, y_hat) - 1) ** 2 + (spread - 1) ** 2 + (level - 1) ** 2)
    return np.where(np.isfinite(value), value, np.nan)


METRICS: dict[str, Metric] = {
    "pearson_r": pearson_r,
    "spearman": spearman,
    "nse": nse,
    "kge": kge,
    "bias": bias,
    "rmsd": rmsd,
    "ubrmsd": ubrmsd,
}


def paired(y: ArrayLike, y_hat: ArrayLike) -> tuple[Array, Array]:
    """The pairs of two 1-D series in which both values are finite.

    Raises
    ------
    ValueError
        if the series differ in length
    """
    a, b = np.asarray(y, np.float64), np.asarray(y_hat, np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"series of shapes {a.shape} and {b.shape} cannot be paired; match them by time first")
    both = np.isfinite(a) & np.isfinite(b)
    return a[both], b[both]


def scores(y: ArrayLike, y_hat: ArrayLike, metrics: Iterable[str] = tuple(METRICS)) -> dict[str, float]:
    """Named metrics of two series with gaps, and `n`, the number of pairs."""
    a, b = paired(y, y_hat)
    return {**{name: float(METRICS[name](a, b)) for name in metrics}, "n": len(a)}


def score(
    y: ArrayLike, y_hat: ArrayLike, metric: str, block_days: int = 30, replicates: int = 200, seed: int = 0
) -> Score:
    """One metric of two series with gaps, with the 95 % interval of a moving-block bootstrap over the pairs.

    Blocks of `block_days` neighbouring pairs are drawn from the circle of pairs (Politis & Romano 1992), so
    that the interval is not made too narrow by the memory of the soil.
    """
    a, b = paired(y, y_hat)
    if len(a) < 2:
        return Score(float(METRICS[metric](a, b)), len(a))
    draws = block_draws(len(a), min(block_days, len(a)), replicates, np.random.default_rng(seed))
    low, high = interval(METRICS[metric](a[draws], b[draws]))
    return Score(float(METRICS[metric](a, b)), len(a), low, high)


def median_score(values: ArrayLike, replicates: int = 500, seed: int = 0) -> Score:
    """Median of one value per cell, with the 95 % interval of a bootstrap over cells; NaN values are left out."""
    v = np.asarray(values, np.float64)
    v = v[np.isfinite(v)]
    if len(v) == 0:
        return Score(np.nan, 0)
    draws = block_draws(len(v), 1, replicates, np.random.default_rng(seed))
    return Score(float(np.median(v)), len(v), *interval(np.median(v[draws], axis=-1)))


def block_draws(n: int, block: int, replicates: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """[replicates, n] positions: blocks of neighbours drawn with replacement from a circle of n."""
    starts = generator.integers(0, n, (replicates, -(-n // block), 1))
    return ((starts + np.arange(block)) % n).reshape(replicates, -1)[:, :n]


def interval(replicates: Array) -> tuple[float, float]:
    """Bounds of the central 95 % of bootstrap replicates; NaN replicates are left out."""
    finite = replicates[np.isfinite(replicates)]
    if len(finite) == 0:
        return np.nan, np.nan
    low, high = np.quantile(finite, (0.025, 0.975))
    return float(low), float(high)


def _mean(x: Array) -> Array:
    return x.mean(-1) if x.shape[-1] else np.full(x.shape[:-1], np.nan)


def _centred(x: Array) -> Array:
    return x - _mean(x)[..., None] if x.shape[-1] else x


def _varies(x: Array) -> NDArray[np.bool_]:
    return np.ptp(x, axis=-1) > 0 if x.shape[-1] else np.zeros(x.shape[:-1], bool)
