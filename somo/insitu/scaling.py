"""Series of sensors -> the level and spread of a reference model, or of their layer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.core.variables import SOIL_MOISTURE
from somo.insitu.errors import InsituError
from somo.insitu.rules import Key, Series
from somo.product.inputs import Layer

FEW_COMMON = "too few days in common with the reference"
CONSTANT = "constant series cannot be scaled"
FEW_LEFT = "too few valid days after scaling"
TOLERANCE_M = 1e-6
# A constant series has a standard deviation of rounding, by which it must not be divided.
LEAST_STD = 1e-9


def overlap_weights(layer: Layer, reference: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Share of each reference layer (top_m, bottom_m) in a layer: overlapping thickness over their sum.

    Raises
    ------
    InsituError
        if no reference layer overlaps
    """
    thickness = [max(0.0, min(layer.bottom_m, bottom) - max(layer.top_m, top)) for top, bottom in reference]
    # Layers that only touch overlap by the rounding of their depths.
    if not sum(thickness) > TOLERANCE_M:
        raise InsituError(
            f"{layer.name} ({layer.top_m}-{layer.bottom_m} m): none of the reference layers {list(reference)} "
            "overlaps; add the missing depth under [[targets.reference]]"
        )
    return np.array(thickness) / sum(thickness)


def mean_over(values: Sequence[NDArray[np.floating]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[day] weighted mean of the reference layers; a layer of weight 0 may be missing."""
    layers = [w * np.asarray(v, np.float64) for v, w in zip(values, weights, strict=True) if w > 0]
    mean: NDArray[np.float64] = np.sum(layers, axis=0)
    return mean


def scale_to_reference(series: Series, reference: pd.Series, min_days: int) -> Series:
    """Give a series the mean and standard deviation (ddof 1) of the reference over the days that both have.

    x' = mean_ref + (x - mean_x) std_ref / std_x for every day of the series; results below 0 or above 1
    are no volumetric soil moisture and are left out.
    """
    both = pd.concat([series.daily, reference], axis=1, join="inner").dropna().to_numpy()
    if len(both) < min_days:
        return replace(series, reason=f"{FEW_COMMON}: {len(both)}, {min_days} needed")
    mean, std = both.mean(axis=0), both.std(axis=0, ddof=1)
    return _rescaled(series, (mean[0], std[0]), (mean[1], std[1]), min_days)


def scale_pooled(group: Sequence[Series], min_days: int) -> list[Series]:
    """Give every series of a layer the same mean and standard deviation: the means of the series' own (ddof 1).

    The spread between sensors' levels takes no part in the common standard deviation, so typical dynamics are kept.
    """
    sensor_moments = [(float(s.daily.mean()), float(s.daily.std(ddof=1))) for s in group]
    varying = np.array([moments for moments in sensor_moments if moments[1] > LEAST_STD]).reshape(-1, 2)
    mean, std = varying.mean(axis=0) if len(varying) else (0.0, 0.0)
    return [_rescaled(s, moments, (mean, std), min_days) for s, moments in zip(group, sensor_moments, strict=True)]


def _rescaled(series: Series, moments: tuple[float, float], target: tuple[float, float], min_days: int) -> Series:
    # Written so that the NaN of a single day counts as constant too.
    if not moments[1] > LEAST_STD:
        return replace(series, reason=CONSTANT)
    daily = target[0] + (series.daily - moments[0]) * target[1] / moments[1]
    daily = daily[(daily >= SOIL_MOISTURE.valid_min) & (daily <= SOIL_MOISTURE.valid_max)]
    reason = "" if len(daily) >= min_days else f"{FEW_LEFT}: {len(daily)} of {len(series.daily)}, {min_days} needed"
    return replace(series, daily=daily, reason=reason)


def scale(
    series: Iterable[Series],
    scaling: Literal["reference", "pooled", "none"],
    reference: Mapping[Key, pd.Series],
    min_days: int,
) -> list[Series]:
    """Scale the series that no rule has dropped; the others pass through.

    Parameters
    ----------
    reference : the reference model's daily series (m3 m-3) by domain, cell and layer; needed for "reference" alone
    min_days : valid days that a series needs, in common with the reference and again once it is scaled
    """
    ordered = sorted(series, key=in_order)
    if scaling == "none":
        return ordered
    usable = [s for s in ordered if not s.reason]
    dropped = [s for s in ordered if s.reason]
    if scaling == "pooled":
        groups = groupby(sorted(usable, key=lambda s: s.layer), key=lambda s: s.layer)
        scaled = [s for _, group in groups for s in scale_pooled(list(group), min_days)]
    else:
        nothing = pd.Series([], index=pd.DatetimeIndex([]), dtype=np.float64)
        scaled = [scale_to_reference(s, reference.get(s.key, nothing), min_days) for s in usable]
    return sorted(scaled + dropped, key=in_order)


def in_order(series: Series) -> tuple[str, str, str, float, float, str]:
    """By archive, network, station and depth."""
    return (
        *(series.archive, series.network, series.station),
        *(np.nan_to_num(series.depth_from_m, nan=-1), np.nan_to_num(series.depth_to_m, nan=-1)),
        series.sensor,
    )
