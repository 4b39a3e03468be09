"""What the network would see in the cell that holds a place, read in this process."""

import datetime as dt

import numpy as np
import pandas as pd

from flows.console import console
from flows.today import today
from somo.core.grid import Grid
from somo.forcing.dataset import open_forcing, open_grid, read_forcing
from somo.forcing.references.in_process import reference_in_process
from somo.forcing.sources import needed_days
from somo.forcing.statics.place import static_at
from somo.product.declaration import Product, ProductError


def daily_table(
    product: Product,
    domain: str,
    root: str,
    place: tuple[float, float],
    asked_days: tuple[dt.date | None, dt.date | None],
) -> pd.DataFrame:
    """Column `time`, then one a declared forcing variable, of the cell that holds a place.

    Parameters
    ----------
    root : where references go
    place : degrees north and east
    asked_days : first and last day; those that the product needs where None

    Raises
    ------
    ProductError, ForcingError
        naming a place outside the domain, days without forcing, or what is wrong with a source
    """
    needed = needed_days(product)
    first, last = asked_days[0] or needed[0], asked_days[1] or needed[1]
    if last is not None and last < first:
        raise ProductError(f"the last day {last} comes before the first {first}; correct --start and --end")
    references = reference_in_process(product, domain, root, first, last, today())
    row, column = cell_at(open_grid(product, domain, references), product, domain, place)
    ds = open_forcing(product, domain, references, by_tile=True, days=(first, last))
    names = list(product.forcing)
    values = read_forcing(ds, names, first, ds["time"].values[-1], row, column)
    days = pd.DatetimeIndex(ds["time"].values).strftime("%Y-%m-%d")
    return pd.DataFrame({"time": days} | {name: values[:, 0, i] for i, name in enumerate(names)})


def static_table(product: Product, domain: str, root: str, place: tuple[float, float]) -> pd.DataFrame:
    """Rows `feature,value` of the cell that holds a place."""
    features = static_at(product, domain, root, today(), lambda grid: cell_at(grid, product, domain, place))
    return pd.DataFrame({"feature": list(features), "value": np.array(list(features.values()), np.float32)})


def cell_at(grid: Grid, product: Product, domain: str, place: tuple[float, float]) -> tuple[slice, slice]:
    """Row and column of the cell that holds a place, as slices of one cell.

    Raises
    ------
    ProductError
        if no cell of the domain holds the place
    """
    cell = int(grid.nearest(*place)[0])
    if cell < 0:
        raise ProductError(
            f"{place[0]:g} N, {place[1]:g} E lies outside the {grid.size} cells of domain {domain!r} of {product.name} "
            f"({grid.lat.min():g}..{grid.lat.max():g} N, {grid.lon.min():g}..{grid.lon.max():g} E)"
        )
    row, column = divmod(cell, len(grid.lon))
    console.print(f"cell {grid.lat[row]:g} N, {grid.lon[column]:g} E")
    return slice(row, row + 1), slice(column, column + 1)
