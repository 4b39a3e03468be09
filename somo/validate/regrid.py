"""Bilinear interpolation between rectilinear grids whose coasts differ."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_WEIGHT = 0.5
"""Weight of land among the four neighbours below which a cell is left without a value."""


@dataclass(frozen=True, eq=False)
class Axis:
    """Neighbours of every target centre along one axis.

    Attributes
    ----------
    low, high : [target] index of the source centre on either side
    high_weight : [target] weight of the centre `high`; NaN where the target lies more than half a source cell outside
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    high_weight: NDArray[np.float64]

    @classmethod
    def between(cls, source: NDArray[np.float64], target: NDArray[np.float64]) -> "Axis":
        """Neighbours of target centres among ascending source centres."""
        high = np.clip(np.searchsorted(source, target), 1, max(len(source) - 1, 1))
        low = high - 1
        if len(source) == 1:
            return cls(low * 0, low * 0, np.zeros(len(target)))
        width = source[high] - source[low]
        high_weight = (target - source[low]) / width
        # Targets on the very edge, half a cell beyond the last centre, count as inside whatever their rounding.
        outside = (high_weight < -0.5 - 1e-9) | (high_weight > 1.5 + 1e-9)
        return cls(low, high, np.where(outside, np.nan, np.clip(high_weight, 0, 1)))


def bilinear(field: NDArray[np.floating], rows: Axis, columns: Axis) -> NDArray[np.float32]:
    """[..., row, column] of a field [..., lat, lon] at the targets of two axes.

    Source cells without a value (sea, gaps) take no part: the weights of the others are scaled to one. A target of
    whose weight less than half is left, or that lies outside the source, is NaN. No value of the sea ever leaks in.
    """
    total = np.zeros((*field.shape[:-2], len(rows.low), len(columns.low)))
    weight = np.zeros_like(total)
    for row, row_weight in ((rows.low, 1 - rows.high_weight), (rows.high, rows.high_weight)):
        for column, column_weight in ((columns.low, 1 - columns.high_weight), (columns.high, columns.high_weight)):
            values = field[..., row[:, None], column[None, :]].astype(np.float64)
            share = np.where(np.isfinite(values), row_weight[:, None] * column_weight[None, :], 0.0)
            total += share * np.where(np.isfinite(values), values, 0.0)
            weight += share
    has_value = weight >= LEAST_WEIGHT - 1e-9
    return np.where(has_value, total / np.where(has_value, weight, 1.0), np.nan).astype(np.float32)
