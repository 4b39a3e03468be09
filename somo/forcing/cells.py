"""Cells of a domain in the coordinates of the forcing files."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.regridding.axes import (
    AxisWeights,
    OutsideSourceError,
    bilinear_weights,
    mean_weights,
    nearest_weights,
)
from somo.forcing.regridding.placing import Placing, Rectilinear
from somo.forcing.regridding.scattered import scattered
from somo.forcing.sources import ForcingError
from somo.product.declaration import Product
from somo.product.inputs import ForcingGrid, RegularGrid

# How far apart, in cells, two coordinates may be that are called the same: E-OBS is 1.4e-3 off its own grid.
GRID_TOLERANCE = 0.01


def domain_grid(product: Product, domain: str, coordinates: dict[str, Any]) -> Grid:
    """The cells of a domain, as declared or from the coordinates of a reference set."""
    declared = product.grids()[domain]
    if isinstance(declared, RegularGrid):
        return Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    if coordinates["kind"] != "regular":
        raise ForcingError(
            f'grid.kind = "forcing" of domain {domain!r}: the first forcing variable lies on a '
            f"{coordinates['kind']} grid, whose rows and columns are no latitudes and longitudes; declare "
            'kind = "regular" with its edges, and regrid for the variable'
        )
    return forcing_grid(declared, np.array(coordinates["lat"], "float64"), np.array(coordinates["lon"], "float64"))


def forcing_grid(declared: ForcingGrid, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Grid:
    """Grid at the files' coordinates [degrees]: longitudes are in -180..180, sorted again where the files cross 180."""
    west_east = np.round((lon + 180) % 360 - 180, 6)
    if np.all(np.diff(lon) > 0) and np.any(np.diff(west_east) < 0):
        west_east = np.sort(west_east)
    return Grid(np.round(lat, 6), west_east, declared.step_deg)


def place(what: str, where: str, coordinates: dict[str, Any], regrid: str | None, grid: Grid) -> Placing:
    """How the nodes of a file come onto the cells of a grid.

    Parameters
    ----------
    what : declared name such as "forcing.precipitation"; messages name its key `regrid`
    where : URL of the file, for messages
    coordinates : places of the nodes, as in `Scan.grid`
    regrid : "nearest", "bilinear" or "mean"; None where the coordinates must be those of the cells

    Raises
    ------
    ForcingError
        naming the file, its coordinates, those of the grid, and the key to write
    """
    if coordinates["kind"] != "regular":
        return scattered(what, where, coordinates, regrid, grid)
    lat, lon = np.array(coordinates["lat"], "float64"), np.array(coordinates["lon"], "float64")
    if regrid is None:
        where = f"{what} ({where})"
        rows = match_axis(where, "lat", grid.lat, lat, grid.step_deg, f"{what}.regrid")
        columns = match_axis(where, "lon", grid.lon, lon, grid.step_deg, f"{what}.regrid")
        return Rectilinear(AxisWeights.picking(rows), AxisWeights.picking(columns))
    if regrid == "mean":
        require_finer(what, where, lat, lon, grid)
    (lat_edges, lon_edges) = grid.bounds()
    axes = (("lat", lat, grid.lat, lat_edges, None), ("lon", lon, grid.lon, lon_edges, 360.0))
    weights = []
    for axis, nodes, cells, edges, period in axes:
        try:
            if regrid == "mean":
                weights.append(mean_weights(nodes, cells, edges, period))
            else:
                weigh_axis = nearest_weights if regrid == "nearest" else bilinear_weights
                weights.append(weigh_axis(nodes, cells, period))
        except OutsideSourceError as error:
            raise ForcingError(
                f"{where}: {what} has no node near {axis} {cells[error.index]:g}; its {axis} has {len(nodes)} values "
                f"{nodes[0]:g}..{nodes[-1]:g}: provide files that cover the grid, or make [grid] smaller"
            ) from error
    return Rectilinear(*weights)


def require_finer(what: str, where: str, lat: NDArray[np.floating], lon: NDArray[np.floating], grid: Grid) -> None:
    """Refuse to average nodes that lie further apart than the grid's cells are wide."""
    steps = [float(np.median(np.abs(np.diff(axis)))) for axis in (lat, lon) if len(axis) > 1]
    if steps and max(steps) > 1.01 * grid.step_deg:
        raise ForcingError(
            f"{where}: its cells of {max(steps):g} degrees are larger than the grid's of {grid.step_deg:g}, so none "
            f'lie within one; write {what}.regrid = "bilinear"'
        )


def match_axis(
    where: str,
    axis: str,
    wanted: NDArray[np.floating],
    stored: NDArray[np.floating],
    step_deg: float = 0.1,
    key: str = "regrid",
) -> NDArray[np.int64]:
    """[cell] index in `stored` of each wanted coordinate in degrees; longitudes may run 0..360.

    Parameters
    ----------
    where : declared name and file, for messages
    axis : "lat" or "lon"
    step_deg : width of a cell; coordinates may differ by a hundredth of it
    key : key of the declaration that would bring other coordinates onto the cells

    Raises
    ------
    ForcingError
        naming the grid's and the file's coordinates where no node lies at the centre of a cell
    """
    apart = np.abs(wanted[:, None] - stored[None, :].astype("float64"))
    if axis == "lon":
        apart = np.abs((apart + 180) % 360 - 180)
    nearest: NDArray[np.int64] = apart.argmin(axis=1)
    off = apart[np.arange(len(wanted)), nearest]
    if off.max() > GRID_TOLERANCE * step_deg:
        i = int(off.argmax())
        raise ForcingError(
            f"{where}: no {axis} {wanted[i]:g}; its {axis} has {len(stored)} values {stored[0]:g}..{stored[-1]:g}, the "
            f"nearest is {stored[nearest[i]]:g}: the grid needs the centres of the file's cells. Correct [grid], or "
            f'bring the file onto it with {key} = "bilinear" (between nodes), "nearest", or "mean" (of finer cells)'
        )
    return nearest
