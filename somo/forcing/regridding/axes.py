"""Weights along one axis, and the values of a rectilinear source on the cells of a grid.

Latitude and longitude are weighted one after the other. Sums always run over the nodes of a cell in the same order, so
the values of a cell do not depend on which other cells are computed with it, to the last bit.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Coordinates closer than this are the same: a 32-bit float resolves 1.5e-5 degrees at 180 degrees.
ROUNDING_DEG = 2e-5
# How far outside the outermost nodes a cell may lie, in source steps: still inside the outermost source cell.
EDGE = 0.5 + 1e-3
# Meridians closer than this are one: 32-bit floats resolve 3e-5 degrees at 360, and no file has finer columns.
SAME_MERIDIAN_DEG = 1e-4
# Neighbours further apart than so many of the steps beside them have a hole between them, which is nobody's.
HOLE = 1.5

# Nodes that are weighted together, half a megabyte of 64-bit numbers: two years of a tile between nodes took 63 ms in
# blocks of half that size, 47 in these and 43 in larger ones.
BLOCK_NODES = 2**16


class OutsideSourceError(ValueError):
    """A cell that no node of the source reaches.

    Attributes
    ----------
    index : number of the first such cell along the axis
    """

    def __init__(self, index: int) -> None:
        super().__init__(f"cell {index} lies outside the source")
        self.index = index


@dataclass(frozen=True, eq=False)
class AxisWeights:
    """The source nodes that each cell is made from, along one axis.

    Attributes
    ----------
    index : [cell, k] numbers of the source nodes
    weight : [cell, k] their shares, which sum to one; 0 where a cell has fewer than k nodes
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]

    @classmethod
    def picking(cls, index: NDArray[np.int64]) -> Self:
        """One whole node a cell."""
        return cls(index[:, None], np.ones((len(index), 1)))

    @property
    def picks(self) -> bool:
        """Whether every cell takes the value of one node unchanged."""
        nodes_per_cell: int = self.index.shape[1]
        return nodes_per_cell == 1

    def part(self, cells: slice) -> "AxisWeights":
        """The weights of some of the cells."""
        return AxisWeights(self.index[cells], self.weight[cells])

    def nodes(self) -> NDArray[np.int64]:
        """[n] numbers of all nodes that take part, ascending."""
        return np.unique(self.index[self.weight > 0])

    def moved(self, nodes: NDArray[np.int64]) -> "AxisWeights":
        """The same weights where only `nodes`, ascending, have been read."""
        # nodes of no weight may lie outside of what was read: any number that was read does for them
        place = np.minimum(np.searchsorted(nodes, self.index), len(nodes) - 1)
        return AxisWeights(place, self.weight)


def nearest_weights(nodes: NDArray[np.floating], cells: NDArray[np.floating], period: float | None) -> AxisWeights:
    """The node closest to each cell's centre; of two that are equally close, the northern or western one.

    Parameters
    ----------
    nodes, cells : coordinates in degrees
    period : 360 of longitudes, None of latitudes

    Raises
    ------
    OutsideSourceError
        if a cell lies further than half a step outside the nodes
    """
    apart = _apart(nodes, cells, period)
    close = np.round(np.abs(apart) / ROUNDING_DEG)
    # a tie goes to the north on latitudes and to the west on longitudes, as in `Grid.nearest`
    preferred = apart < 0 if period else apart > 0
    index = (2 * close - preferred).argmin(axis=1)
    _require_inside(np.abs(apart[np.arange(len(cells)), index]) <= EDGE * _steps(nodes, period)[index])
    return AxisWeights.picking(index)


def bilinear_weights(nodes: NDArray[np.floating], cells: NDArray[np.floating], period: float | None) -> AxisWeights:
    """The nodes on either side of each cell's centre, weighted by their distances; see `nearest_weights`.

    Outside the outermost node, by half a step at most, that node counts alone.
    """
    apart = _apart(nodes, cells, period)
    side = np.round(apart / ROUNDING_DEG)
    low = np.where(side <= 0, apart, -np.inf).argmax(axis=1)
    high = np.where(side >= 0, apart, np.inf).argmin(axis=1)
    each = np.arange(len(cells))
    has_low, has_high = (side <= 0).any(axis=1), (side >= 0).any(axis=1)
    to_low = np.where(has_low, np.maximum(-apart[each, low], 0), np.inf)
    to_high = np.where(has_high, np.maximum(apart[each, high], 0), np.inf)
    width, steps = to_low + to_high, _steps(nodes, period)
    # between the last node and the first one of a source that does not go round the globe lies nothing
    inner = (width <= HOLE * np.maximum(steps[low], steps[high])) & (low != high)
    _require_inside(
        inner | (np.minimum(to_low, to_high) <= EDGE * np.where(to_low <= to_high, steps[low], steps[high]))
    )
    share_of_high = np.where(to_low <= to_high, 0.0, 1.0)
    share_of_high[inner] = to_low[inner] / width[inner]
    return AxisWeights(np.stack([low, high], axis=1), np.stack([1 - share_of_high, share_of_high], axis=1))


def mean_weights(
    nodes: NDArray[np.floating], cells: NDArray[np.floating], edges: NDArray[np.floating], period: float | None
) -> AxisWeights:
    """The nodes whose own cells overlap each cell, weighted by the shared area: see `nearest_weights`.

    Parameters
    ----------
    cells : centres in degrees
    edges : [cell, 2] borders of the cells in degrees
    """
    near = _near(nodes, cells, period)
    half_before, half_after = _halves(nodes, period)
    position = cells[:, None] + _apart(nodes[near], cells, period)
    borders = np.sort(edges, axis=1)
    low = np.maximum(position - half_before[near], borders[:, :1])
    high = np.minimum(position + half_after[near], borders[:, 1:])
    overlap = np.where(high - low > ROUNDING_DEG, high - low, 0.0)
    # Some global files repeat their first meridian behind the last one, whose nodes would count twice.
    overlap[:, repeated(nodes[near], period)] = 0.0
    if period is None:
        # The area between two latitudes of a sphere grows with the difference of their sines.
        band = np.sin(np.radians(np.clip(high, -90, 90))) - np.sin(np.radians(np.clip(low, -90, 90)))
        overlap = np.where(overlap > 0, np.maximum(band, 0.0), 0.0)
    counts = (overlap > 0).sum(axis=1)
    _require_inside(counts > 0)
    order = np.argsort(overlap == 0, axis=1, kind="stable")[:, : counts.max()]
    weight = np.take_along_axis(overlap, order, axis=1)
    return AxisWeights(near[order], weight / weight.sum(axis=1, keepdims=True))


def _near(nodes: NDArray[np.floating], cells: NDArray[np.floating], period: float | None) -> NDArray[np.int64]:
    """Numbers of the nodes within the reach of the cells, so that a global source costs no more than a regional one."""
    middle = (cells.min() + cells.max()) / 2
    reach = (cells.max() - cells.min()) / 2 + (_step(cells, period) if len(cells) > 1 else 1.0) + _step(nodes, period)
    near = np.flatnonzero(np.abs(_apart(nodes, np.array([middle]), period)[0]) <= reach)
    return near if len(near) else np.arange(len(nodes))


def _halves(nodes: NDArray[np.floating], period: float | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Degrees from each node to the lower and the upper border of its own cell, halfway to its neighbours."""
    order = np.argsort(nodes)
    steps = _steps(nodes, period)[order]
    gaps = np.diff(nodes[order].astype(np.float64))
    # a hole in the coordinates belongs to no node
    gaps = np.minimum(gaps, HOLE * np.maximum(steps[:-1], steps[1:]))
    lower_half, upper_half = np.empty(len(nodes)), np.empty(len(nodes))
    lower_half[order] = np.concatenate([steps[:1], gaps]) / 2
    upper_half[order] = np.concatenate([gaps, steps[-1:]]) / 2
    return lower_half, upper_half


def repeated(nodes: NDArray[np.floating], period: float | None) -> NDArray[np.bool_]:
    """[node] whether an earlier node is the same meridian, a whole turn away; none along latitudes."""
    is_repeated = np.zeros(len(nodes), bool)
    if period is None:
        return is_repeated
    turned = nodes.astype(np.float64) % period
    order = np.argsort(turned, kind="stable")
    is_repeated[order[1:]] = np.diff(turned[order]) < SAME_MERIDIAN_DEG
    # 359.99999 and 0 are one meridian too.
    is_repeated[order[-1:]] |= np.ptp(turned) > period - SAME_MERIDIAN_DEG
    return is_repeated


def _apart(nodes: NDArray[np.floating], cells: NDArray[np.floating], period: float | None) -> NDArray[np.float64]:
    """[cell, node] degrees from each cell's centre to each node, the short way round."""
    apart = nodes.astype(np.float64)[None, :] - cells.astype(np.float64)[:, None]
    return apart if period is None else (apart + period / 2) % period - period / 2


def _step(nodes: NDArray[np.floating], period: float | None) -> float:
    """Usual distance of neighbours in degrees; a single node stands for the whole axis."""
    if len(nodes) < 2:
        return 360.0
    steps = np.diff(nodes.astype(np.float64))
    if period is not None:
        steps = (steps + period / 2) % period - period / 2
    return float(np.median(np.abs(steps)))


def _steps(nodes: NDArray[np.floating], period: float | None) -> NDArray[np.float64]:
    """[node] distance in degrees to the nearer of the neighbours in the file, so that a hole on one side is no step.

    Rows of equal area, as those of SMAP's EASE grid, lie 2.5 times as far apart at 71 N as at 36 N: no single step
    holds for all of them.
    """
    if len(nodes) < 2:
        return np.full(len(nodes), 360.0)
    gaps = np.diff(nodes.astype(np.float64))
    if period is not None:
        gaps = (gaps + period / 2) % period - period / 2
    gaps = np.abs(gaps)
    return np.minimum(np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:]))


def _require_inside(inside: NDArray[np.bool_]) -> None:
    if not inside.all():
        raise OutsideSourceError(int(np.argmin(inside)))


def weigh(values: NDArray[np.floating], rows: AxisWeights, columns: AxisWeights) -> NDArray[np.floating]:
    """[..., row, column] of the values [..., lat, lon] of a rectilinear source.

    Nodes without a value (sea, gaps) are left out, and the shares of the others are scaled to a sum of one. A cell
    whose nodes all lack a value is NaN. Where each cell picks one node, numbers of any type pass unchanged.
    """
    if rows.picks and columns.picks:
        return values[..., run_of(rows.index[:, 0]), :][..., run_of(columns.index[:, 0])]
    maps = values.reshape(-1, *values.shape[-2:])
    weighted = np.empty((len(maps), len(rows.index), len(columns.index)), np.float32)
    # a few maps at a time: what lies between stays in the processor's cache
    size = max(1, BLOCK_NODES // max(1, maps[0].size)) if len(maps) else 1
    coast: tuple[NDArray[np.bool_], NDArray[np.float64]] | None = None
    for start in range(0, len(maps), size):
        block = slice(start, start + size)
        coast = _weigh_block(maps[block], rows, columns, coast, weighted[block])
    return weighted.reshape(*values.shape[:-2], *weighted.shape[1:])


def _weigh_block(
    values: NDArray[np.floating],
    rows: AxisWeights,
    columns: AxisWeights,
    coast: tuple[NDArray[np.bool_], NDArray[np.float64]] | None,
    weighted: NDArray[np.float32],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]] | None:
    """Fill `weighted` [map, row, column] from some maps [map, lat, lon].

    Parameters
    ----------
    coast : nodes [lat, lon] that had a value in an earlier block, and their shares of the cells; returned for the next
    """
    has_value = np.isfinite(values)
    if has_value.all():
        weighted[:] = _sum_along(_sum_along(values.astype(np.float64), columns, -1), rows, -2)
        return coast
    total = _sum_along(_sum_along(np.where(has_value, values, np.float64(0)), columns, -1), rows, -2)
    if not (has_value == has_value[0]).all():
        np.divide(total, _share_of_values(has_value, rows, columns), out=weighted, casting="same_kind")
        return coast
    # The sea is the same on all days: its shares, which cost as much as the values, are computed once.
    if coast is None or not np.array_equal(coast[0], has_value[0]):
        coast = has_value[0], _share_of_values(has_value[:1], rows, columns)
    np.divide(total, coast[1], out=weighted, casting="same_kind")
    return coast


def _share_of_values(has_value: NDArray[np.bool_], rows: AxisWeights, columns: AxisWeights) -> NDArray[np.float64]:
    """[map, row, column] share of each cell whose nodes have a value; NaN where none has."""
    # rounded, so that a cell with all its nodes gets the same bits whether or not a neighbour lacks one
    share = np.round(_sum_along(_sum_along(has_value.astype(np.float64), columns, -1), rows, -2), 9)
    return np.where(share > 0, share, np.nan)


def _sum_along(values: NDArray[np.floating], weights: AxisWeights, axis: int) -> NDArray[np.float64]:
    """Weighted sums along the last axis but one (-2) or the last (-1), node by node."""
    total: NDArray[np.float64] | None = None
    for k in range(weights.index.shape[1]):
        nodes, share = run_of(weights.index[:, k]), weights.weight[:, k]
        node_values = values[..., nodes, :] if axis == -2 else values[..., nodes]
        shares = share[:, None] if axis == -2 else share
        if total is None:
            total = node_values * shares
            product = np.empty_like(total)
        else:
            total += np.multiply(node_values, shares, out=product)
    assert total is not None
    return total


def run_of(index: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Numbers as a slice, which copies nothing, where they follow one another."""
    first = int(index[0])
    return slice(first, first + len(index)) if (np.diff(index) == 1).all() else index
