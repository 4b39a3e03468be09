"""Cells of a domain in the coordinates of the forcing files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.sources import ForcingError
from somo.product.declaration import Product
from somo.product.inputs import ForcingGrid, RegularGrid

GRID_TOLERANCE_DEG = 1e-4


def domain_grid(product: Product, domain: str, coordinates: dict[str, Any]) -> Grid:
    """The cells of a domain, as declared or from the coordinates of a reference set."""
    declared = product.grids()[domain]
    if isinstance(declared, RegularGrid):
        return Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    return forcing_grid(declared, np.array(coordinates["lat"], "float64"), np.array(coordinates["lon"], "float64"))


def forcing_grid(declared: ForcingGrid, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Grid:
    """Grid at the files' coordinates, longitudes in -180..180 and, where the files cross 180, sorted again."""
    west_east = np.round((lon + 180) % 360 - 180, 6)
    if np.all(np.diff(lon) > 0) and np.any(np.diff(west_east) < 0):
        west_east = np.sort(west_east)
    return Grid(np.round(lat, 6), west_east, declared.step_deg)


def match_grid(where: str, grid: Grid, coordinates: dict[str, Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column in the files of each row and column of a grid."""
    rows = match_axis(where, "lat", grid.lat, np.array(coordinates["lat"]))
    return rows, match_axis(where, "lon", grid.lon, np.array(coordinates["lon"]))


def match_axis(where: str, axis: str, wanted: NDArray[np.floating], stored: NDArray[np.floating]) -> NDArray[np.int64]:
    """Index in `stored` of each wanted coordinate in degrees; longitudes may run 0..360.

    Raises
    ------
    ForcingError
        naming both sides where a cell has no exact centre in the file
    """
    apart = np.abs(wanted[:, None] - stored[None, :].astype("float64"))
    if axis == "lon":
        apart = np.abs((apart + 180) % 360 - 180)
    nearest = apart.argmin(axis=1)
    off = apart[np.arange(len(wanted)), nearest]
    if off.max() > GRID_TOLERANCE_DEG:
        i = int(off.argmax())
        raise ForcingError(
            f"{where}: no {axis} {wanted[i]:g}; its {axis} has {len(stored)} values {stored[0]:g}..{stored[-1]:g}, the "
            f"nearest is {stored[nearest[i]]:g}: the grid needs the centres of the file's cells, correct [grid]"
        )
    return nearest
