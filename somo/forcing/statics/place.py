"""Static features of one cell, without computing those of the whole domain."""

import datetime as dt
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.dataset import open_forcing, open_grid
from somo.forcing.features import static_features
from somo.forcing.references.in_process import reference_in_process
from somo.forcing.statics.field import read_static, read_static_at
from somo.forcing.statics.static_file import Moments, climate_period, computed_feature
from somo.product.declaration import Product

Window = tuple[slice, slice]


def static_at(
    product: Product, domain: str, root: str, today: dt.date, cell_of: Callable[[Grid], Window]
) -> dict[str, float]:
    """Static features of one cell by name, as `build_static` would compute them.

    Parameters
    ----------
    root : where references go
    cell_of : the grid of the domain -> row and column of the cell, as slices of one cell

    Raises
    ------
    ForcingError
        naming the file, feature or forcing that cannot be used
    """
    first, last = climate_period(product)
    references = reference_in_process(product, domain, root, first, last, today)
    grid = open_grid(product, domain, references)
    cell = cell_of(grid)
    moments = _moments_at(product, domain, references, (first, last), cell)
    features: dict[str, float] = {}
    land: NDArray[np.bool_] | None = None
    for name, static in product.static.items():
        if static.url is None:
            features |= _at(static_features(name, static, computed_feature(static, moments), np.ones((1, 1), bool)))
            continue
        # Only gaps that are filled with the mean over land need the whole domain.
        if static.gaps == "error":
            values = read_static_at(name, static, domain, grid, cell)
            features |= _at(static_features(name, static, values, np.ones((1, 1), bool)))
            continue
        values = read_static(name, static, domain, grid)
        if land is None:
            land = _land_on(product, domain, references, first)
        features |= {name: float(v[cell][0, 0]) for name, v in static_features(name, static, values, land).items()}
    return features


def _at(features: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
    return {name: float(values[0, 0]) for name, values in features.items()}


def _moments_at(
    product: Product, domain: str, references: Mapping[str, str], days: tuple[dt.date, dt.date], cell: Window
) -> dict[str, Moments]:
    """Statistics of the forcing variables that features are computed from, in one cell."""
    computed = [static for static in product.static.values() if static.computed is not None]
    names = {name for static in computed for name in ([static.of] if static.of else ["net_radiation", "precipitation"])}
    if not names:
        return {}
    ds = open_forcing(product, domain, references, by_tile=True, days=days).isel(lat=cell[0], lon=cell[1])
    first = (days[0] - dt.date(1970, 1, 1)).days
    return {name: Moments.of(ds[name].compute(scheduler="synchronous").values, first) for name in sorted(names)}


def _land_on(product: Product, domain: str, references: Mapping[str, str], day: dt.date) -> NDArray[np.bool_]:
    """[lat, lon] cells where every variable has a value on a day: the land over which gaps are filled."""
    ds = open_forcing(product, domain, references, days=(day, day)).compute(scheduler="synchronous")
    has_values: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(ds[name].values[0]) for name in product.forcing])
    return has_values
