"""Static features of one cell, without computing those of the whole domain."""

import datetime as dt
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.dataset import open_forcing, open_grid
from somo.forcing.features import static_features
from somo.forcing.references.in_process import reference_in_process
from somo.forcing.sources import ForcingError
from somo.forcing.statics.field import read_static, read_static_at, who_lacks
from somo.forcing.statics.static_file import Moments, climate_period, computed_feature
from somo.product.declaration import Product
from somo.product.static import Static

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
        naming the file, feature or forcing that cannot be used, or the feature that has no value in the cell and the
        files that lack it
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
            of_forcing = static_features(name, static, computed_feature(static, moments), np.ones((1, 1), bool))
            _require_value(of_forcing, _place_of(grid, cell), lambda: "its forcing has none there, as over the sea")
            features |= _at(of_forcing)
            continue
        # Only gaps that are filled with the mean over land need the whole domain.
        if static.gaps == "error":
            values = read_static_at(name, static, domain, grid, cell)
            of_files = static_features(name, static, values, np.ones((1, 1), bool))
            lat, lon = _place_of(grid, cell)
            _require_value(of_files, (lat, lon), partial(_lacking, name, static, domain, lat, lon))
            features |= _at(of_files)
            continue
        values = read_static(name, static, domain, grid)
        if land is None:
            land = _land_on(product, domain, references, first)
        features |= {name: float(v[cell][0, 0]) for name, v in static_features(name, static, values, land).items()}
    return features


def _place_of(grid: Grid, cell: Window) -> tuple[float, float]:
    return float(grid.lat[cell[0]][0]), float(grid.lon[cell[1]][0])


def _lacking(name: str, static: Static, domain: str, lat: float, lon: float) -> str:
    return f'{who_lacks(name, static, domain, lat, lon)}, or write static.{name}.gaps = "mean"'


def _require_value(
    features: Mapping[str, NDArray[np.float32]], place: tuple[float, float], reason: Callable[[], str]
) -> None:
    """Refuse a feature [1, 1] without a value, which no network can read."""
    for name, values in features.items():
        if not np.isfinite(values).all():
            raise ForcingError(f"static.{name}: has no value at {place[0]:g} N, {place[1]:g} E: {reason()}")


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
