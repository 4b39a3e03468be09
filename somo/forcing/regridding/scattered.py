"""Nodes of rotated and projected grids, through the grid's own coordinates."""

from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.regridding.axes import OutsideSourceError, bilinear_weights, nearest_weights
from somo.forcing.regridding.placing import Scattered
from somo.forcing.sources import ForcingError


def scattered(what: str, where: str, coordinates: dict[str, Any], regrid: str | None, grid: Grid) -> Scattered:
    """How the nodes of a rotated or projected grid come onto the cells of a grid of latitudes and longitudes.

    Parameters
    ----------
    coordinates : "kind", "y", "x" in degrees or metres, "grid_mapping" with its CF attributes
    regrid : as declared by `what`

    Raises
    ------
    ForcingError
        naming the file where nothing is declared, the projection is not described, or a cell lies outside
    """
    if regrid is None:
        raise ForcingError(
            f"{where}: {what} lies on a {coordinates['kind']} grid, whose rows and columns are no latitudes and "
            f'longitudes; write {what}.regrid = "bilinear", "nearest" or "mean" to bring it onto the cells'
        )
    transformer = transformer_of(what, where, coordinates)
    y, x = np.array(coordinates["y"], "float64"), np.array(coordinates["x"], "float64")
    if regrid == "mean":
        return _mean(what, where, y, x, transformer, grid)
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    to_x, to_y = transformer.transform(lon.ravel(), lat.ravel())
    period = 360.0 if coordinates["kind"] == "rotated" else None
    weigh_axis = nearest_weights if regrid == "nearest" else bilinear_weights
    try:
        rows = weigh_axis(y, np.asarray(to_y), None)
        columns = weigh_axis(x, np.asarray(to_x), period)
    except OutsideSourceError as error:
        raise ForcingError(
            f"{where}: {what} has no node near {lat.ravel()[error.index]:g} N, {lon.ravel()[error.index]:g} E; provide "
            "files that cover the grid, or make [grid] smaller"
        ) from error
    index = rows.index[:, :, None] * len(x) + columns.index[:, None, :]
    weight = rows.weight[:, :, None] * columns.weight[:, None, :]
    return Scattered(index.reshape(*grid.shape, -1), weight.reshape(*grid.shape, -1), len(x))


def _mean(
    what: str, where: str, y: NDArray[np.float64], x: NDArray[np.float64], transformer: pyproj.Transformer, grid: Grid
) -> Scattered:
    """The nodes whose centres lie in a cell; those of a rotated grid weighted by the cosine of their own latitude."""
    all_x, all_y = np.meshgrid(x, y)
    lon, lat = transformer.transform(all_x.ravel(), all_y.ravel(), direction="INVERSE")
    cell = grid.nearest(np.asarray(lat), (np.asarray(lon) + 180) % 360 - 180)
    inside = np.flatnonzero(cell >= 0)
    order = inside[np.argsort(cell[inside], kind="stable")]
    counts = np.bincount(cell[order], minlength=grid.size)
    if (counts == 0).any():
        row, column = divmod(int(np.argmin(counts)), len(grid.lon))
        raise ForcingError(
            f"{where}: {what} has no node within the cell {grid.lat[row]:g} N, {grid.lon[column]:g} E; write "
            f'{what}.regrid = "bilinear", or provide files that cover the grid'
        )
    index, weight = np.zeros((grid.size, counts.max()), "int64"), np.zeros((grid.size, counts.max()))
    position = np.arange(len(order)) - np.concatenate([[0], np.cumsum(counts)])[cell[order]]
    index[cell[order], position] = order
    is_degrees = np.abs(y).max() <= 90 and np.abs(x).max() <= 360
    weight[cell[order], position] = np.cos(np.radians(all_y.ravel()[order])) if is_degrees else 1.0
    weight /= weight.sum(axis=1, keepdims=True)
    return Scattered(index.reshape(*grid.shape, -1), weight.reshape(*grid.shape, -1), len(x))


def transformer_of(what: str, where: str, coordinates: dict[str, Any]) -> pyproj.Transformer:
    """From longitude and latitude to the grid's own coordinates."""
    attributes = coordinates.get("grid_mapping") or {}
    try:
        own = pyproj.CRS.from_cf(attributes)
    except (pyproj.exceptions.CRSError, KeyError) as error:
        raise ForcingError(
            f"{where}: {what} lies on a {coordinates['kind']} grid whose projection the file does not describe "
            f"({str(error) or 'no grid_mapping'}); provide a file with a CF grid_mapping, or one on latitudes and "
            "longitudes"
        ) from error
    return pyproj.Transformer.from_crs(own.geodetic_crs or "EPSG:4326", own, always_xy=True)
