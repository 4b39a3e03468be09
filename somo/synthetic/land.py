"""The invented land: coast, mountains, soil texture and vegetation, as functions of latitude and longitude."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.synthetic.fields import Array, Waves, generator

# Points in each direction inside a cell at which the elevation is taken: one arc-minute in a 0.1 degree cell.
SUBGRID = 6


@dataclass(frozen=True, eq=False)
class Land:
    """What does not change: [lat, lon] each.

    Attributes
    ----------
    land : True where there is land
    elevation, elevation_std : m, mean and standard deviation inside the cell
    forest, short_vegetation : fraction of the cell
    sand_surface, clay_surface, sand_deep, clay_deep : mass fraction above and below 0.1 m
    """

    land: NDArray[np.bool_]
    elevation: Array
    elevation_std: Array
    forest: Array
    short_vegetation: Array
    sand_surface: Array
    clay_surface: Array
    sand_deep: Array
    clay_deep: Array


FEATURES = tuple(name for name in Land.__dataclass_fields__ if name != "land")


def make_land(grid: Grid, domain: str, seed: int, land_fraction: float = 0.8) -> Land:
    """Land of a domain; the sea lies on the low side of a broad westward slope with bays and islands."""
    elevation, roughness = _elevation(grid, domain, seed)
    forest = _share(_field(grid, seed, domain, "forest", 2.0), 0.45, 0.25)
    short = np.clip((1 - forest) * _share(_field(grid, seed, domain, "short", 2.0), 0.75, 0.15), 0, 1)
    sand, clay = _texture(grid, seed, domain, "surface")
    deep_sand, deep_clay = _texture(grid, seed, domain, "deep")
    return Land(
        land=_coast(grid, domain, seed, land_fraction),
        elevation=elevation,
        elevation_std=roughness,
        forest=forest,
        short_vegetation=short,
        sand_surface=sand,
        clay_surface=clay,
        sand_deep=0.6 * sand + 0.4 * deep_sand,
        clay_deep=0.6 * clay + 0.4 * deep_clay,
    )


def _field(grid: Grid, seed: int, domain: str, name: str, length_deg: float) -> Array:
    return Waves.draw(generator(seed, domain, name), length_deg).at(grid.lat, grid.lon)


def _share(field: Array, mean: float, spread: float) -> Array:
    return np.clip(mean + spread * np.tanh(field), 0.0, 1.0)


def _coast(grid: Grid, domain: str, seed: int, land_fraction: float) -> NDArray[np.bool_]:
    eastward = np.linspace(-1, 1, len(grid.lon))[None, :]
    height = (
        1.2 * eastward + 0.6 * _field(grid, seed, domain, "coast", 3.0) + 0.2 * _field(grid, seed, domain, "bay", 0.7)
    )
    # A quantile and not a height: the share of land is the same on any grid and with any seed.
    return height >= np.quantile(height, 1 - land_fraction)


def _texture(grid: Grid, seed: int, domain: str, depth: str) -> tuple[Array, Array]:
    broad = _field(grid, seed, domain, f"texture-{depth}", 2.5)
    sand = np.clip(0.42 + 0.18 * broad + 0.05 * _field(grid, seed, domain, f"sand-{depth}", 0.6), 0.08, 0.85)
    clay = np.clip(0.24 - 0.08 * broad + 0.03 * _field(grid, seed, domain, f"clay-{depth}", 0.6), 0.04, 0.55)
    # At least 5 % are left for silt.
    return sand, np.minimum(clay, 0.95 - sand)


def _elevation(grid: Grid, domain: str, seed: int) -> tuple[Array, Array]:
    """Mean and standard deviation in m of the orography at `SUBGRID` x `SUBGRID` points of each cell."""
    offset = ((np.arange(SUBGRID) + 0.5) / SUBGRID - 0.5) * grid.step_deg
    broad, hills, rough = (
        Waves.draw(generator(seed, domain, name), length)
        for name, length in (("mountains", 2.5), ("hills", 0.8), ("slopes", 0.06))
    )
    total, square = np.zeros(grid.shape), np.zeros(grid.shape)
    for d_lat in offset:
        for d_lon in offset:
            at = grid.lat + d_lat, grid.lon + d_lon
            high = np.clip(broad.at(*at) - 0.2, 0, None)
            height = 120 + 900 * high**1.5 + (60 + 250 * high) * (hills.at(*at) + 0.5 * rough.at(*at))
            height = np.clip(height, 0, None)
            total += height
            square += height**2
    mean = total / SUBGRID**2
    return mean, np.sqrt(np.clip(square / SUBGRID**2 - mean**2, 0, None))
