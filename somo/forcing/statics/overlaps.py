"""Which cells the nodes of a finer file lie in, along one axis: a node on a border lies in both, half in each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.forcing.regridding.axes import repeated

# Part of a node's width that is nothing: 32-bit coordinates are off by this much of a second of arc.
ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Overlap:
    """One cell for every node: the first, second, ... that the node lies in.

    Attributes
    ----------
    cell : [node] number of the cell, -1 where there is none
    share : [node] part of the node's own width that lies in it
    """

    cell: NDArray[np.int64]
    share: NDArray[np.float64]


def overlaps(
    nodes: NDArray[np.float64], edges: NDArray[np.float64], period: float | None = None
) -> tuple[list[Overlap], float]:
    """The first, second, ... cell that each node overlaps, and the nodes' usual width in degrees.

    Parameters
    ----------
    nodes : coordinates in stored order
    edges : [cell, 2] borders of the cells, which do not overlap
    period : 360 of longitudes, None of latitudes
    """
    lower_half, upper_half = _halves(nodes, period)
    order = np.argsort(edges.min(axis=1))
    low, high = edges.min(axis=1)[order], edges.max(axis=1)[order]
    start, stop = nodes - lower_half, nodes + upper_half
    widths = stop - start
    # ETOPO1 has 180 W and 180 E, one meridian, whose nodes would count twice.
    is_counted = ~repeated(nodes, period)
    cells_by_rank: list[Overlap] = []
    for shift in (0.0,) if period is None else (0.0, period):
        # a node across the grid's first border has its other half a whole turn further east
        begin = start if period is None else low[0] + (start - low[0] + widths) % period - widths + shift
        end = begin + widths
        first = np.searchsorted(high, begin + ROUNDING * widths, side="right")
        for step in range(len(low)):
            number = np.minimum(first + step, len(low) - 1)
            shared_width = np.minimum(end, high[number]) - np.maximum(begin, low[number])
            share = shared_width / widths
            inside = is_counted & (first + step < len(low)) & (share > ROUNDING)
            if not inside.any():
                break
            share = np.where(share > 1 - ROUNDING, 1.0, share)
            cells_by_rank.append(Overlap(np.where(inside, order[number], -1), np.where(inside, share, 0.0)))
    return cells_by_rank, float(np.median(widths))


def _halves(nodes: NDArray[np.float64], period: float | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance from each node to the lower and upper border of its own width, halfway to its neighbours."""
    if len(nodes) < 2:
        return np.full(1, 0.5), np.full(1, 0.5)
    steps = np.diff(nodes)
    if period is not None:
        steps = (steps + period / 2) % period - period / 2
    usual = float(np.median(np.abs(steps)))
    # a hole in the coordinates belongs to no node
    gaps = np.minimum(np.abs(steps), 1.5 * usual)
    previous, following = np.concatenate([[usual], gaps]) / 2, np.concatenate([gaps, [usual]]) / 2
    return (previous, following) if np.median(steps) > 0 else (following, previous)


def window(cells_by_rank: list[Overlap]) -> NDArray[np.int64]:
    """Numbers of the nodes that lie in any cell, ascending."""
    if not cells_by_rank:
        return np.empty(0, "int64")
    return np.flatnonzero(np.logical_or.reduce([overlap.cell >= 0 for overlap in cells_by_rank]))
