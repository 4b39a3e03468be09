"""Drought against the product's own climatology: standardised anomalies, percentiles, classes D0-D4.

Soil moisture is averaged over windows of `window_days` days that end every `every_days` days of the year, so that each
window returns every year. The climatology of a window is that of the base period.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

CLASS_PERCENT = (30.0, 20.0, 10.0, 5.0, 2.0)

Floats = NDArray[np.float32]


def window_ends(times: pd.DatetimeIndex, window_days: int, every_days: int) -> pd.DatetimeIndex:
    """Last days of the windows that lie wholly in `times`; day `every_days`, `2 every_days`... of each year."""
    last = times.day_of_year.to_numpy()
    # Day 366 exists in leap years alone, too few for a climatology of its own.
    regular = (last % every_days == 0) & (last <= 365)
    regular[: window_days - 1] = False
    ends: pd.DatetimeIndex = times[regular]
    return ends


def seasons(ends: pd.DatetimeIndex, every_days: int) -> NDArray[np.intp]:
    """[window] number of each window within its year, from 0."""
    return ends.day_of_year.to_numpy() // every_days - 1


def window_means(packed: NDArray[np.int16], fill: int, last: NDArray[np.intp], window_days: int) -> Floats:
    """Means over windows of packed values, in packed units; NaN where a day is missing.

    Parameters
    ----------
    packed : [day, cell]
    last : index of each window's last day

    Returns
    -------
    [window, cell]
    """
    missing = packed == fill
    # int32 is half the memory of int64, and holds the sum of the largest packed values over 179 years.
    total = np.cumsum(np.where(missing, 0, packed), axis=0, dtype=np.int32)
    gaps = np.cumsum(missing, axis=0, dtype=np.int32)
    day_before = last - window_days
    sums, holes = total[last], gaps[last]
    sums[day_before >= 0] -= total[day_before[day_before >= 0]]
    holes[day_before >= 0] -= gaps[day_before[day_before >= 0]]
    return np.where(holes == 0, sums / np.float32(window_days), np.nan).astype(np.float32)


def climatology(means: Floats, season: NDArray[np.intp], base: NDArray[np.bool_], n: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation (ddof 1) of each of `n` seasons over the base years.

    Parameters
    ----------
    means : [window, cell]
    season : [window] number of the window within its year
    base : [window] whether it belongs to the base period

    Returns
    -------
    two arrays [season, cell]; NaN for cells without values
    """
    mean = np.full((n, means.shape[1]), np.nan, np.float32)
    std = mean.copy()
    for s in range(n):
        years = means[base & (season == s)].astype(np.float64)
        if len(years):
            mean[s] = years.mean(0)
        # The spread of a single year is zero by zero, of which numpy warns: it stays missing without that.
        if len(years) > 1:
            std[s] = years.std(0, ddof=1)
    return mean, std


def standardised(means: Floats, season: NDArray[np.intp], mean: Floats, std: Floats) -> Floats:
    """(window - climatological mean) / climatological standard deviation, [window, cell]; NaN where nothing varies.

    Parameters
    ----------
    means : [window, cell]
    season : [window] number of the window within its year
    mean, std : [season, cell] as `climatology` gives them, in the units of `means`
    """
    spread = np.where(std > 0, std, np.nan)
    return ((means - mean[season]) / spread[season]).astype(np.float32)


def percentiles(
    means: Floats,
    season: NDArray[np.intp],
    base: NDArray[np.bool_],
    n: int,
    judged: NDArray[np.bool_] | None = None,
) -> Floats:
    """Rank of each window among the base period's windows of the same and the neighbouring seasons, in percent.

    Weibull's plotting position 100 r / (N + 1) with mid-ranks r for ties; a value below all N, not itself among them,
    has r = 1/2. The neighbours triple the sample, so that 18 years can tell 2 percent.

    Parameters
    ----------
    means : [window, cell]
    n : seasons in a year; the last and the first are neighbours
    judged : [window] whether its rank is asked for, by default of all

    Returns
    -------
    [window, cell]; NaN where it is not asked for
    """
    ranks = np.full(means.shape, np.nan, np.float32)
    asked = np.ones(len(season), bool) if judged is None else judged
    for s in np.unique(season[asked]):
        season_windows = np.flatnonzero(asked & (season == s))
        near = np.isin(season, [(s - 1) % n, s, (s + 1) % n]) & base
        sample = means[near]
        size = np.isfinite(sample).sum(0)
        for window in season_windows:
            value = means[window]
            below, equal = (sample < value).sum(0), (sample == value).sum(0)
            rank = 100 * (below + (equal + 1) / 2) / (size + 1)
            ranks[window] = np.where(np.isfinite(value) & (size > 0), rank, np.nan)
    return ranks


def classes(percentile: Floats) -> Floats:
    """[window, cell] drought class of a percentile, NaN where that is missing.

    0 is none, 1 = D0 (at most 30 percent), 2 = D1 (20), 3 = D2 (10), 4 = D3 (5), 5 = D4 (2).
    """
    class_number = sum((percentile <= limit).astype(np.float32) for limit in CLASS_PERCENT)
    return np.where(np.isnan(percentile), np.nan, class_number).astype(np.float32)


def class_probabilities(
    means: Floats,
    sigma: Floats,
    season: NDArray[np.intp],
    base: NDArray[np.bool_],
    n: int,
    judged: NDArray[np.bool_] | None = None,
) -> list[Floats]:
    """Probability of being in each class or a drier one, D0 to D4, for normal errors of the windows' anomalies.

    The border of a class is the value whose rank among the base period's windows, counted as in `percentiles`, is the
    class's percentage; a window that lies on it is in the class with probability 1/2.

    Parameters
    ----------
    means : [window, cell]
    sigma : [window, cell] standard uncertainty of a window's deviation from its climatology, in the units of `means`
    n : seasons in a year; the last and the first are neighbours
    judged : [window] whether its probability is asked for, by default of all

    Returns
    -------
    one [window, cell] a class, 0 to 1; NaN where it is not asked for
    """
    probabilities = [np.full(means.shape, np.nan, np.float32) for _ in CLASS_PERCENT]
    asked = np.ones(len(season), bool) if judged is None else judged
    for s in np.unique(season[asked]):
        near = np.isin(season, [(s - 1) % n, s, (s + 1) % n]) & base
        ordered = np.sort(means[near].astype(np.float64), axis=0)
        if not len(ordered):
            continue
        windows = asked & (season == s)
        for probability, percent in zip(probabilities, CLASS_PERCENT, strict=True):
            border = _border(ordered, percent)
            with np.errstate(divide="ignore", invalid="ignore"):
                probability[windows] = ndtr((border - means[windows]) / sigma[windows])
    return probabilities


def _border(ordered: NDArray[np.float64], percent: float) -> NDArray[np.float64]:
    """[cell] value whose plotting position 100 r / (N + 1) is `percent`, at least the lowest; missing values last.

    Minus infinity where that position is none: below all N, r is 1/2, so that fewer than 24 never tell 2 percent.
    """
    size = np.isfinite(ordered).sum(0)
    rank = np.clip(percent / 100 * (size + 1) - 1, 0, np.maximum(size - 1, 0))
    low = np.floor(rank).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(size - 1, 0))
    below, above = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in (low, high))
    out_of_reach = (size > 0) & (100 * 0.5 / (size + 1) > percent)
    return np.where(out_of_reach, -np.inf, below + (rank - low) * (above - below))
