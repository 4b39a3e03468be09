"""A box of degrees -> cells whose centres are nodes of a source, so that nothing has to be interpolated."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.cells import GRID_TOLERANCE
from somo.forcing.listing import ForcingError

# Degrees of longitude from which on files are taken to go round the earth.
WHOLE_CIRCLE = 300.0
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DraftGrid:
    """Outer edges and width of the cells of a grid, in degrees."""

    west: float
    east: float
    south: float
    north: float
    step_deg: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round((self.north - self.south) / self.step_deg), round((self.east - self.west) / self.step_deg)

    def holds_nodes(self, grid: dict[str, Any]) -> bool:
        """Whether the nodes of a source are the centres of the cells."""
        if grid["kind"] != "regular":
            return False
        lat, lon = (np.array(grid[key], "float64") for key in ("lat", "lon"))
        steps = [abs(float(np.median(np.diff(axis)))) for axis in (lat, lon) if len(axis) > 1]
        if not np.allclose(steps, self.step_deg, rtol=GRID_TOLERANCE):
            return False
        off = [((axis[0] - edge) / self.step_deg - 0.5) % 1 for axis, edge in ((lat, self.south), (lon, self.west))]
        return all(min(distance, 1 - distance) < GRID_TOLERANCE for distance in off)

    def is_finer(self, grid: dict[str, Any]) -> bool:
        """Whether several nodes of a source lie in every cell."""
        if grid["kind"] != "regular" or len(grid["lat"]) < 2:
            return False
        return abs(float(np.median(np.diff(np.array(grid["lat"]))))) < 0.75 * self.step_deg


def draft_grid(grid: dict[str, Any], box: Box | None, step_deg: float | None) -> DraftGrid:
    """Cells that cover a box, as far as a source's nodes do.

    Parameters
    ----------
    grid : places of the source's nodes, as in `Scan.grid`
    box : west, south, east, north in degrees; None for all that the source covers
    step_deg : width of a cell; None for the distance of the source's nodes

    Raises
    ------
    ForcingError
        where the source is no grid of latitudes and longitudes and box or width are missing, or where they do not meet
    """
    if grid["kind"] != "regular":
        if box is None or step_deg is None:
            raise ForcingError(
                "the first forcing lies on a grid whose rows and columns are no latitudes and longitudes: give the box "
                "and the width of the cells (--bbox, --step)"
            )
        return _whole_cells(box, (box[0], box[1]), step_deg)
    lat, lon = np.sort(np.array(grid["lat"], "float64")), np.sort(np.array(grid["lon"], "float64"))
    node_step = _distance(lat) if len(lat) > 1 else step_deg or 0.1
    step = round(step_deg or node_step, 9)
    half = node_step / 2
    origin = float(lon[0]) - half, float(lat[0]) - half
    covered = float(lon[0]) - half, float(lat[0]) - half, float(lon[-1]) + half, float(lat[-1]) + half
    return _whole_cells(_inside(box, covered), origin, step)


def _distance(lat: NDArray[np.float64]) -> float:
    """Degrees between neighbouring nodes; a decimal number where it is one but for the rounding of coordinates."""
    step = float(lat[-1] - lat[0]) / (len(lat) - 1)
    decimal = round(step, 4)
    # What the whole axis is off by counts: in single precision, a step of 0.1 comes out as 0.0999998.
    return decimal if abs(decimal - step) * len(lat) < GRID_TOLERANCE * step else step


def _inside(box: Box | None, covered: Box) -> Box:
    """The part of a box that a source covers; longitudes of both may run to 360."""
    goes_round = covered[2] - covered[0] > WHOLE_CIRCLE
    if box is None:
        return (-180.0, covered[1], 180.0, covered[3]) if goes_round else covered
    west, east = box[0], box[2]
    if not goes_round:
        turns = next((n for n in (0, 360, -360) if box[0] + n < covered[2] and box[2] + n > covered[0]), 0)
        west, east = max(box[0], covered[0] - turns), min(box[2], covered[2] - turns)
    south, north = max(box[1], covered[1]), min(box[3], covered[3])
    if west >= east or south >= north:
        raise ForcingError(
            f"the box {box[0]:g} {box[1]:g} {box[2]:g} {box[3]:g} (west south east north) lies outside the forcing, "
            f"which covers {covered[0]:g} {covered[1]:g} {covered[2]:g} {covered[3]:g}"
        )
    return west, south, east, north


def _whole_cells(box: Box, origin: tuple[float, float], step: float) -> DraftGrid:
    """Whole cells around a box, counted from an edge."""
    edges = []
    for low, high, start in ((box[0], box[2], origin[0]), (box[1], box[3], origin[1])):
        # a thousandth: coordinates in single precision would otherwise add a row of cells outside the source
        first, last = np.floor((low - start) / step + 1e-3), np.ceil((high - start) / step - 1e-3)
        edges.append((round(start + first * step, 6), round(start + first * step, 6) + (last - first) * step))
    (west, east), (south, north) = edges
    return DraftGrid(west, round(east, 9), south, round(north, 9), step)
