"""Properties of a source that each process works out once: its days, its units, and how its nodes come onto cells."""

from functools import lru_cache

import numpy as np

from somo.core.grid import Grid
from somo.core.variables import Quantity
from somo.forcing.cells import place
from somo.forcing.days.plan import Accumulation, DayPlan, plan_days
from somo.forcing.days.stamps import Stamps, meaning
from somo.forcing.references.chunks import ReferenceSet, open_references
from somo.forcing.regridding.placing import Placing
from somo.forcing.units import to_canonical, units_of_values
from somo.product.inputs import Source

Cells = tuple[tuple[float, ...], tuple[float, ...], float]
"""Latitudes, longitudes and width in degrees of the product's cells; hashable, unlike `Grid`."""


def cells_of(grid: Grid) -> Cells:
    """A grid as a value that can be a key."""
    return tuple(grid.lat.tolist()), tuple(grid.lon.tolist()), grid.step_deg


def grid_of(cells: Cells) -> Grid:
    """The grid that `cells_of` was given."""
    return Grid(np.array(cells[0]), np.array(cells[1]), cells[2])


def stamps_of(store: ReferenceSet) -> Stamps:
    """The time axis of a reference set."""
    files = tuple(file[0] for file in store.index["files"])
    return Stamps(files, store.times, store.time_bounds, store.cell_methods, store.calendar, store.file_of_step)


@lru_cache(maxsize=64)
def plan_of(name: str, source: Source, url: str, accumulation: Accumulation | None) -> DayPlan:
    """Which steps of a reference set make which day."""
    return plan_days(name, source, stamps_of(open_references(url)), accumulation)


@lru_cache(maxsize=64)
def is_accumulated(name: str, source: Source, url: str) -> bool:
    """Whether the values of a reference set are amounts, by its declaration or its files."""
    return meaning(name, source, stamps_of(open_references(url))).kind == "accumulated"


@lru_cache(maxsize=64)
def placing_of(name: str, regrid: str | None, url: str, cells: Cells) -> Placing:
    """How the nodes of a reference set come onto cells."""
    store = open_references(url)
    return place(f"forcing.{name}", store.index["files"][0][0], store.grid, regrid, grid_of(cells))


@lru_cache(maxsize=64)
def conversions_of(name: str, quantity: Quantity, source: Source, url: str) -> tuple[tuple[float, float], ...]:
    """Factor and offset of every group of files, from its units to ours."""
    accumulated = is_accumulated(name, source, url)
    return tuple(
        to_canonical(name, quantity, *units_of_values(source, units, accumulated, quantity))
        for units in open_references(url).units
    )
