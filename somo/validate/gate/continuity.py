"""Steps that a field in space or time should not have: at the edges of tiles, between one day and the next."""

import numpy as np
from numpy.typing import NDArray

SHARED = 0.9
"""Share of the land that must take part in a jump of a whole block."""
# So many cells, spread over the map, tell what the land shares; all of a continent's would only cost time.
LOOKED_AT = 20_000
# With fewer pairs of cells across its edges a tile has too little land to be judged.
LEAST_PAIRS = 8


def tile_steps(field: NDArray[np.float64], tile: tuple[int, int]) -> list[tuple[float, tuple[int, int]]]:
    """Steps between the inside and the outside of each tile's edges that stand out of the field's roughness.

    A pair of neighbours a | b steps by b - a less the mean of the slopes beside it; a tile steps by the median over
    the pairs on its edges, outside to inside. Returned are steps beyond three standard errors of that median, which
    the steps of pairs inside tiles give.

    Parameters
    ----------
    field : [lat, lon], NaN where there is no land
    """
    down, right = _second_steps(field, 0), _second_steps(field, 1)
    rows, columns = (np.arange(1, n) % t == 0 for n, t in zip(field.shape, tile, strict=True))
    ordinary = np.concatenate([down[~rows].ravel(), right[:, ~columns].ravel()])
    ordinary = ordinary[np.isfinite(ordinary)]
    if len(ordinary) == 0:
        return []
    # 1.4826 median absolute deviations are one standard deviation of normal errors; outliers barely move it.
    spread = 1.4826 * np.median(np.abs(ordinary - np.median(ordinary)))
    outstanding = []
    for row in range(-(-field.shape[0] // tile[0])):
        for column in range(-(-field.shape[1] // tile[1])):
            pairs = _edge_pairs(down, right, tile, (row, column))
            # The standard error of a median is 1.2533, the root of pi / 2, times that of a mean.
            if len(pairs) >= LEAST_PAIRS and abs(step := float(np.median(pairs))) > 3 * 1.2533 * spread / np.sqrt(
                len(pairs)
            ):
                outstanding.append((step, (row, column)))
    return outstanding


def _edge_pairs(
    down: NDArray[np.float64], right: NDArray[np.float64], tile: tuple[int, int], at: tuple[int, int]
) -> NDArray[np.float64]:
    """Steps from outside to inside over the pairs on the four edges of a tile, without NaN."""
    top, left = at[0] * tile[0], at[1] * tile[1]
    rows, columns = slice(top, top + tile[0]), slice(left, left + tile[1])
    edges = [down[top - 1 : top, columns] if top else down[:0], -down[top + tile[0] - 1 : top + tile[0], columns]]
    edges += [right[rows, left - 1 : left] if left else right[:, :0], -right[rows, left + tile[1] - 1 : left + tile[1]]]
    pairs = np.concatenate([edge.ravel() for edge in edges])
    finite: NDArray[np.float64] = pairs[np.isfinite(pairs)]
    return finite


def _second_steps(field: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Difference of every pair of neighbours along an axis less the mean of the differences beside it."""
    steps = np.diff(field, axis=axis)
    pad = [(1, 1) if a == axis else (0, 0) for a in range(field.ndim)]
    around = np.pad(steps, pad, constant_values=np.nan)
    step_before, step_after = (np.take(around, np.arange(k, k + steps.shape[axis]), axis) for k in (0, 2))
    return steps - (step_before + step_after) / 2


def nan_mean(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the first axis without NaN values; NaN where there are no others."""
    count = np.isfinite(blocks).sum(0)
    return np.where(count > 0, np.nansum(blocks, 0) / np.maximum(count, 1), np.nan)


def shared_jumps(field: NDArray[np.float32]) -> NDArray[np.float64]:
    """[depth, day] jump into each day that 90 % of the land share, 0 where they do not agree on a direction.

    The jump into day t is x(t) - x(t-1); NaN for the first day, and where no cell has both days.

    Parameters
    ----------
    field : [depth, day, lat, lon]; of large maps every so many cells are looked at, `LOOKED_AT` in all
    """
    every = int(np.ceil(np.sqrt(max(field.shape[2] * field.shape[3] / LOOKED_AT, 1))))
    sampled = field[:, :, ::every, ::every]
    land = np.isfinite(sampled).any((0, 1))
    jump = np.diff(sampled[:, :, land].astype(np.float64), axis=1)
    missing = ~np.isfinite(jump)
    # `lower` and `higher` err towards the smaller jump, so that at least 90 % of the land share it.
    low = np.quantile(np.where(missing, np.inf, jump), 1 - SHARED, axis=-1, method="lower") if land.any() else 0.0
    high = np.quantile(np.where(missing, -np.inf, jump), SHARED, axis=-1, method="higher") if land.any() else 0.0
    shared = np.where(low > 0, low, np.where(high < 0, high, 0.0))
    jumps = np.full(field.shape[:2], np.nan)
    jumps[:, 1:] = np.where(missing.all(-1), np.nan, shared)
    return jumps
