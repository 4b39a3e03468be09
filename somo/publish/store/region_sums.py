"""Sums over the cells of each country, part by part of the grid: what `regions.zarr` is made from.

Sums run over the cells whose centre lies in the country and that have a value, weighted by their area in whole
hectares: exact in float64, and so the same for any cut into tasks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.publish.store import maps as zarr
from somo.publish.store.countries import HECTARES_PER_KM2, NO_COUNTRY, cell_hectares, country_of_cells
from somo.publish.store.drought_index import CLASS_PERCENT

MEAN = "soil_moisture"
CLASSES = ("none", *(f"D{number}" for number in range(len(CLASS_PERCENT))))
SHARE_STEP = 1e-4
Cells = tuple[slice, slice]


@dataclass(frozen=True)
class Countries:
    """The countries of a grid.

    Attributes
    ----------
    codes : [country] ISO 3166-1 numeric, ascending
    of_cell : [row, column] code, 0 outside all countries
    hectares : [row] area of a cell, whole numbers
    """

    codes: NDArray[np.int16]
    of_cell: NDArray[np.int16]
    hectares: NDArray[np.float64]

    @classmethod
    def of(cls, grid: Grid, filled: NDArray[np.bool_]) -> "Countries":
        """Countries with at least one cell that has values.

        Parameters
        ----------
        filled : [row, column] whether a cell has values
        """
        of_cell = np.where(filled, country_of_cells(grid), NO_COUNTRY).astype(np.int16)
        codes = np.unique(of_cell)
        return cls(codes[codes != NO_COUNTRY], of_cell, cell_hectares(grid))

    def part(self, cells: Cells) -> "Countries":
        """The same countries on a part of the grid, small enough to be sent with a task."""
        return Countries(self.codes, self.of_cell[cells], self.hectares[cells[0]])

    @property
    def weights(self) -> NDArray[np.float64]:
        """[cell, country] hectares of each cell in the country that holds it, else 0."""
        lies_in_country = self.of_cell.ravel()[:, None] == self.codes[None]
        area = np.repeat(self.hectares, self.of_cell.shape[1])
        return np.where(lies_in_country, area[:, None], 0.0)

    @property
    def km2(self) -> NDArray[np.float64]:
        """[country] area of the cells with values."""
        area: NDArray[np.float64] = self.weights.sum(0) / HECTARES_PER_KM2
        return area


@dataclass(frozen=True)
class Sums:
    """Sums over a part of the grid, for the days or windows that `span` counts.

    Attributes
    ----------
    sums : [layer, day, country, 2] packed soil moisture times hectares, and hectares with values; or
        [layer, window, country, class] hectares in each drought class
    """

    span: slice
    sums: NDArray[np.float64]


def mean_sums(store_url: str, days: slice, cells: Cells, countries: Countries) -> Sums:
    """What a part of the grid adds to the means of some days.

    Parameters
    ----------
    countries : on this part of the grid
    """
    packed = zarr.read_packed(store_url, MEAN, days, cells)
    flat, weights = packed.reshape(*packed.shape[:2], -1), countries.weights
    filled = flat != zarr.FILL
    total = np.where(filled, flat, 0).astype(np.float64) @ weights
    return Sums(days, np.stack([total, filled.astype(np.float64) @ weights], axis=-1))


def class_sums(store_url: str, windows: slice, cells: Cells, countries: Countries) -> Sums:
    """What a part of the grid adds to the area in each drought class, `none` first.

    Parameters
    ----------
    countries : on this part of the grid
    """
    packed = zarr.read_packed(store_url, "drought_class", windows, cells)
    flat, weights = packed.reshape(*packed.shape[:2], -1), countries.weights
    classes = [(flat == number).astype(np.float64) @ weights for number in range(len(CLASSES))]
    return Sums(windows, np.stack(classes, axis=-1))


def add_up(parts: Iterable[Sums], days: int, layers: int, countries: int, columns: int) -> NDArray[np.float64]:
    """[layer, day, country, column] sums over the whole grid; 0 on days that are in no part."""
    total = np.zeros((layers, days, countries, columns))
    for partial in parts:
        total[:, partial.span] += partial.sums
    return total


def means_of(sums: NDArray[np.float64]) -> NDArray[np.int16]:
    """[country, layer, day] packed mean of `add_up`'s sums, the fill value where no cell has a value."""
    by_country = np.moveaxis(sums, 2, 0)
    return _ratio(by_country[..., 0], by_country[..., 1], 1.0)


def shares_of(hectares: NDArray[np.float64]) -> NDArray[np.int16]:
    """[country, layer, window, class] packed share of the area that has a class."""
    by_country = np.moveaxis(hectares, 2, 0)
    return _ratio(by_country, by_country.sum(-1, keepdims=True), 1 / SHARE_STEP)


def _ratio(numerator: NDArray[np.float64], area: NDArray[np.float64], factor: float) -> NDArray[np.int16]:
    # Where no cell has a value this is zero by zero: the NaN becomes the fill value below.
    with np.errstate(invalid="ignore"):
        steps = np.rint(factor * numerator / area)
    return np.where(np.isnan(steps), zarr.FILL, steps).astype(np.int16)


def changed(status: NDArray[np.int8], shown: NDArray[np.int8]) -> NDArray[np.bool_]:
    """[day] whether readers do not see a day yet, or it was or is provisional."""
    different = np.ones(len(status), bool)
    n = min(len(status), len(shown))
    different[:n] = (shown[:n] != FINAL) | (status[:n] != FINAL)
    return different


def runs(days: NDArray[np.bool_], block: int) -> Iterable[slice]:
    """Stretches of marked days, none of which reaches over the end of a block of days."""
    marked = np.flatnonzero(days)
    if not len(marked):
        return []
    cuts = np.flatnonzero((np.diff(marked) > 1) | (np.diff(marked // block) > 0)) + 1
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(marked, cuts)]
