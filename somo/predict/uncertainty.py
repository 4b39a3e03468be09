"""The uncertainty of packed predictions by lookup: the same bytes however the cells are cut, at next to no cost.

The exponential is taken once for every packed step of the mean and once a cell; what is left for every day is a lookup,
a product, a sum and a root, which IEEE 754 rounds the same way for one cell as for a million.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.learn.uncertainty import Uncertainty

Packed = NDArray[np.int16]
Singles = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class PackedUncertainty:
    """Uncertainty of every layer for packed means, and of the cells of one domain.

    Attributes
    ----------
    first : per layer, the packed mean of the first entry of its table
    tables : per layer, the part of the uncertainty that the mean decides, m3 m-3
    by_cell : [layer, row, column] factor that the cell's dissimilarity decides
    unknown : [layer, row, column] variance beyond all dissimilarity of the folds, (m3 m-3)2
    step : of the packed uncertainty, m3 m-3
    fill : packed value that says missing
    """

    first: tuple[int, ...]
    tables: tuple[Singles, ...]
    by_cell: Singles
    unknown: Singles
    step: float
    fill: np.int16

    @classmethod
    def of(
        cls,
        uncertainties: Sequence[Uncertainty],
        dissimilarity: NDArray[np.floating],
        mean_step: float,
        step: float,
        fill: np.int16,
    ) -> "PackedUncertainty":
        """Tables of every layer's uncertainty.

        Parameters
        ----------
        dissimilarity : [layer, row, column] index of every cell
        mean_step, step : of the packed means and of the packed uncertainty, m3 m-3
        """
        first = tuple(int(np.floor(layer.low / mean_step)) for layer in uncertainties)
        last = (int(np.ceil(layer.high / mean_step)) for layer in uncertainties)
        tables = tuple(
            layer.of_means(np.arange(start, stop + 1) * mean_step).astype(np.float32)
            for layer, start, stop in zip(uncertainties, first, last, strict=True)
        )
        cells = [layer.of_cells(index) for layer, index in zip(uncertainties, dissimilarity, strict=True)]
        by_cell, unknown = (np.stack(of_layers).astype(np.float32) for of_layers in zip(*cells, strict=True))
        return cls(first, tables, by_cell, unknown, step, fill)

    def packed(self, mean: Packed, rows: slice, columns: slice, land: NDArray[np.bool_]) -> Packed:
        """Packed uncertainty [layer, day, land cell] of packed means, which are missing where those are.

        Parameters
        ----------
        mean : [layer, day, land cell] packed
        rows, columns : of the region on the grid
        land : [row, column] of the region, cells that `mean` holds
        """
        result = np.empty_like(mean)
        inverse = np.float32(1 / self.step)
        for layer, table in enumerate(self.tables):
            factor, unknown = (by_layer[layer, rows, columns][land] for by_layer in (self.by_cell, self.unknown))
            # Means outside of the table are as uncertain as those at its ends, as in `Uncertainty.of_means`.
            sigma = table.take(mean[layer].astype(np.int32) - self.first[layer], mode="clip")
            sigma *= factor
            np.square(sigma, out=sigma)
            sigma += unknown
            np.sqrt(sigma, out=sigma)
            sigma *= inverse
            result[layer] = np.rint(sigma, out=sigma)
        result[mean == self.fill] = self.fill
        return result
