"""How a source's nodes come onto the product's cells: the nodes that are read for some cells, and their weights."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from somo.forcing.regridding.axes import AxisWeights, weigh

# Columns that are read although nobody needs them cost less than a second request.
FAR_COLUMNS = 8


@dataclass(frozen=True, eq=False)
class SourceWindow:
    """What is read of a source for some cells.

    Attributes
    ----------
    rows : rows of the source
    columns : runs of its columns, in order; two where the cells lie on both sides of the file's edge
    """

    rows: slice
    columns: tuple[slice, ...]

    @property
    def size(self) -> int:
        """Number of nodes."""
        height: int = self.rows.stop - self.rows.start
        return height * self.width

    @property
    def width(self) -> int:
        """Number of columns."""
        return sum(run.stop - run.start for run in self.columns)

    def column(self, number: int) -> int:
        """Column of the source that is the `number`th of those read."""
        for run in self.columns:
            first, width = int(run.start), int(run.stop - run.start)
            if number < width:
                return first + number
            number -= width
        raise IndexError(number)


class Placing(Protocol):
    """Weights from the nodes of a source [row, column] to the cells of a grid [row, column]."""

    @property
    def picks(self) -> bool:
        """Whether every cell takes the value of one node unchanged."""

    def window(self, rows: slice, columns: slice) -> SourceWindow:
        """What must be read for some cells."""

    def apply(self, values: NDArray[np.floating], rows: slice, columns: slice) -> NDArray[np.floating]:
        """[..., row, column] of some cells, from the values [..., lat, lon] of their window."""


@dataclass(frozen=True, eq=False)
class Rectilinear:
    """Nodes on rows of one latitude and columns of one longitude."""

    rows: AxisWeights
    columns: AxisWeights

    @property
    def picks(self) -> bool:
        return self.rows.picks and self.columns.picks

    def window(self, rows: slice, columns: slice) -> SourceWindow:
        nodes = self.rows.part(rows).nodes()
        return SourceWindow(slice(int(nodes[0]), int(nodes[-1]) + 1), runs_of(self.columns.part(columns).nodes()))

    def apply(self, values: NDArray[np.floating], rows: slice, columns: slice) -> NDArray[np.floating]:
        window = self.window(rows, columns)
        row_nodes = np.arange(window.rows.start, window.rows.stop)
        column_nodes = np.concatenate([np.arange(run.start, run.stop) for run in window.columns])
        return weigh(values, self.rows.part(rows).moved(row_nodes), self.columns.part(columns).moved(column_nodes))


@dataclass(frozen=True, eq=False)
class Scattered:
    """Nodes of a rotated or projected source, whose rows and columns follow no latitude and longitude.

    Attributes
    ----------
    index : [row, column, k] flat numbers of the nodes that make a cell
    weight : [row, column, k] their shares; 0 where a cell has fewer than k nodes
    width : columns of the source
    """

    index: NDArray[np.int64]
    weight: NDArray[np.float64]
    width: int

    @property
    def picks(self) -> bool:
        nodes_per_cell: int = self.index.shape[2]
        return nodes_per_cell == 1

    def window(self, rows: slice, columns: slice) -> SourceWindow:
        nodes = self.index[rows, columns][self.weight[rows, columns] > 0]
        row, column = np.divmod(nodes, self.width)
        return SourceWindow(
            slice(int(row.min()), int(row.max()) + 1), (slice(int(column.min()), int(column.max()) + 1),)
        )

    def apply(self, values: NDArray[np.floating], rows: slice, columns: slice) -> NDArray[np.floating]:
        window = self.window(rows, columns)
        row, column = np.divmod(self.index[rows, columns], self.width)
        # nodes of no weight may lie outside the window: any node inside does for them
        row = np.clip(row - window.rows.start, 0, values.shape[-2] - 1)
        column = np.clip(column - window.columns[0].start, 0, values.shape[-1] - 1)
        if self.picks:
            return values[..., row[..., 0], column[..., 0]]
        total = np.zeros((*values.shape[:-2], *row.shape[:2]))
        share = np.zeros_like(total)
        for k in range(row.shape[2]):
            weight = self.weight[rows, columns, k]
            node = values[..., row[..., k], column[..., k]]
            has_value = np.isfinite(node)
            total += np.where(has_value, node, 0) * weight
            share += has_value * weight
        # Rounded as on rectilinear sources, so that a cell with all its nodes gets the same bits whether or not
        # another lacks one.
        share = np.round(share, 9)
        valued = share > 0
        return np.where(valued, total / np.where(valued, share, 1.0), np.nan).astype(np.float32)


def runs_of(nodes: NDArray[np.int64]) -> tuple[slice, ...]:
    """One run of numbers that holds all of them, or two where a gap is wider than everything else together."""
    gaps = np.diff(nodes)
    first, last = int(nodes[0]), int(nodes[-1])
    if len(gaps) and 2 * gaps.max() > last - first + 1:
        at = int(gaps.argmax())
        if gaps[at] > FAR_COLUMNS:
            return slice(first, int(nodes[at]) + 1), slice(int(nodes[at + 1]), last + 1)
    return (slice(first, last + 1),)
