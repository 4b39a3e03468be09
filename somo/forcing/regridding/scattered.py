"""Nodes of rotated, projected and curvilinear grids, through the grid's own coordinates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from somo.core.grid import Grid
from somo.forcing.regridding.axes import EDGE, OutsideSourceError, bilinear_weights, nearest_weights
from somo.forcing.regridding.placing import Scattered
from somo.forcing.sources import ForcingError

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def scattered(what: str, where: str, coordinates: dict[str, Any], regrid: str | None, grid: Grid) -> Scattered:
    """How the nodes of a rotated or projected grid come onto the cells of a grid of latitudes and longitudes.

    Parameters
    ----------
    coordinates : "kind", "y", "x" in degrees or metres, "grid_mapping" with its CF attributes, "lat2d" and "lon2d"
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
    y, x = (own_coordinates(coordinates, axis) for axis in ("y", "x"))
    transformer = transformer_of(coordinates)
    if transformer is None and ("lat2d" not in coordinates or regrid == "bilinear"):
        remedy = f'; write {what}.regrid = "nearest" or "mean", which its' if "lat2d" in coordinates else ", nor has it"
        raise ForcingError(
            f"{where}: {what} lies on a {coordinates['kind']} grid, but the file does not describe its projection (no "
            f"CF grid_mapping){remedy} latitudes and longitudes of every point"
            + (" allow" if "lat2d" in coordinates else ": provide a file that has one of both")
        )
    is_rotated = coordinates["kind"] == "rotated"
    if regrid == "mean":
        # Equal steps of rotated longitude grow shorter towards the rotated pole.
        weight = np.cos(np.radians(np.meshgrid(x, y)[1])).ravel() if is_rotated else np.ones(len(y) * len(x))
        return _mean(what, where, _degrees(coordinates, y, x, transformer), weight, len(x), grid)
    if transformer is None:
        return _nearest(what, where, _degrees(coordinates, y, x, None), len(x), grid)
    return _between(what, where, (y, x), transformer, regrid, 360.0 if is_rotated else None, grid)


def own_coordinates(coordinates: Mapping[str, Any], axis: str) -> NDArray[np.float64]:
    """Coordinates along the axis "y" or "x" of a rotated or projected grid, in degrees or metres."""
    values: NDArray[np.float64] = np.array(coordinates[axis], "float64")
    units = str(coordinates.get(f"{axis}_units", "")).strip().lower()
    height = (coordinates.get("grid_mapping") or {}).get("perspective_point_height")
    # Satellites' own coordinates are angles as seen from there, which PROJ has times the satellite's height.
    if units in ("rad", "radian", "radians") and height is not None:
        return values * float(np.ravel(height)[0])
    if units not in ("km", "kilometer", "kilometers", "kilometre", "kilometres"):
        return values
    # A projection that is described by its WKT may count in kilometres itself.
    projection = _projection(coordinates)
    in_metres = 1.0 if projection is None else projection.axis_info[0].unit_conversion_factor
    return values * (1000 / in_metres)


def _between(
    what: str, where: str, own: Points, transformer: pyproj.Transformer, regrid: str, period: float | None, grid: Grid
) -> Scattered:
    """The nearest node, or the four around, of each cell's centre in the grid's own coordinates."""
    y, x = own
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    to_x, to_y = transformer.transform(lon.ravel(), lat.ravel())
    weigh_axis = nearest_weights if regrid == "nearest" else bilinear_weights
    try:
        rows = weigh_axis(y, np.asarray(to_y), None)
        columns = weigh_axis(x, np.asarray(to_x), period)
    except OutsideSourceError as error:
        raise ForcingError(_outside(what, where, lat.ravel()[error.index], lon.ravel()[error.index])) from error
    index = rows.index[:, :, None] * len(x) + columns.index[:, None, :]
    weight = rows.weight[:, :, None] * columns.weight[:, None, :]
    return Scattered(index.reshape(*grid.shape, -1), weight.reshape(*grid.shape, -1), len(x))


def _nearest(what: str, where: str, degrees: Points, width: int, grid: Grid) -> Scattered:
    """The node closest to each cell's centre on the sphere."""
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    # Straight distances between points of a sphere order them as great circles do, and know no seam at 180 degrees.
    nodes = _on_sphere(*degrees)
    distance, index = cKDTree(nodes).query(_on_sphere(lat.ravel(), lon.ravel()))
    # a cell may lie at the corner of four nodes: half the diagonal of a step along the file's rows and one along its
    # columns, which differ (0.1 degrees east are 6 km at 57 N, and north 11 km)
    plane = nodes.reshape(-1, width, 3)
    steps = [float(np.median(np.linalg.norm(np.diff(plane, axis=axis), axis=2))) for axis in (0, 1)]
    farthest = EDGE * float(np.hypot(steps[0], steps[1]))
    if (distance > farthest).any():
        at = int(np.argmax(distance > farthest))
        raise ForcingError(_outside(what, where, lat.ravel()[at], lon.ravel()[at]))
    index = index.reshape(*grid.shape, 1)
    return Scattered(index, np.ones(index.shape), width)


def _on_sphere(lat: NDArray[np.float64], lon: NDArray[np.float64]) -> NDArray[np.float64]:
    north, east = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=-1)


def _mean(what: str, where: str, degrees: Points, weights: NDArray[np.float64], width: int, grid: Grid) -> Scattered:
    """The nodes whose centres lie in a cell."""
    cell = grid.nearest(degrees[0], (degrees[1] + 180) % 360 - 180)
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
    weight[cell[order], position] = weights[order]
    weight /= weight.sum(axis=1, keepdims=True)
    return Scattered(index.reshape(*grid.shape, -1), weight.reshape(*grid.shape, -1), width)


def _degrees(
    coordinates: dict[str, Any], y: NDArray[np.float64], x: NDArray[np.float64], transformer: pyproj.Transformer | None
) -> Points:
    """Latitude and longitude of every node, row after row."""
    if transformer is None:
        return np.array(coordinates["lat2d"], "float64").ravel(), np.array(coordinates["lon2d"], "float64").ravel()
    all_x, all_y = np.meshgrid(x, y)
    lon, lat = transformer.transform(all_x.ravel(), all_y.ravel(), direction="INVERSE")
    return np.asarray(lat), np.asarray(lon)


def transformer_of(coordinates: Mapping[str, Any]) -> pyproj.Transformer | None:
    """From longitude and latitude to the grid's own coordinates; None where the file does not describe them."""
    projection = _projection(coordinates)
    if projection is None:
        return None
    # `geodetic_crs` of a rotated pole is the rotated pole itself: what it is derived from has the true degrees
    return pyproj.Transformer.from_crs(
        projection.source_crs or projection.geodetic_crs or "EPSG:4326", projection, always_xy=True
    )


def _projection(coordinates: Mapping[str, Any]) -> pyproj.CRS | None:
    mapping = coordinates.get("grid_mapping") or {}
    # attributes are often arrays of one number, which pyproj does not take
    attributes = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in mapping.items()}
    try:
        return pyproj.CRS.from_cf(attributes)
    except (pyproj.exceptions.CRSError, KeyError):
        return None


def _outside(what: str, where: str, lat: float, lon: float) -> str:
    return (
        f"{where}: {what} has no node near {lat:g} N, {lon:g} E; provide files that cover the grid, or make [grid] "
        "smaller"
    )
