"""A static variable of gridded files on the cells of a grid."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.cells import place
from somo.forcing.sources import ForcingError
from somo.forcing.statics.census import Census, require_no_class_codes
from somo.forcing.statics.tiles import Tile, open_tiles
from somo.forcing.statics.within import BLOCK_VALUES, require_apart, within_cells
from somo.product.static import Static

# Coordinates of neighbouring tiles that differ by less than this part of a step are one.
SAME_NODE = 0.01


def read_static(name: str, static: Static, domain: str, grid: Grid) -> NDArray[np.floating]:
    """[lat, lon] one variable of gridded files at the cells of a grid, or its statistic within them.

    Raises
    ------
    ForcingError
        naming file and variable, where the file or the variable does not exist, class codes are taken for amounts,
        units differ from the declared ones, numbers stand for no value, or the file does not cover the grid's cells
    """
    return _read(name, static, open_tiles(name, static, domain), grid)


def read_static_at(name: str, static: Static, domain: str, grid: Grid, cell: tuple[slice, slice]) -> NDArray[Any]:
    """[1, 1] the value of `read_static` in one cell, read together with as many cells around it as is cheap.

    The surrounding values are needed for the checks: class codes, for example, show only in many values.
    """
    tiles = open_tiles(name, static, domain)
    values_per_cell = max(grid.step_deg / _step_deg(tiles[0]), 1.0) ** 2
    margin = int(np.sqrt(BLOCK_VALUES / values_per_cell)) // 2
    near = [slice(max(0, axis.start - margin), axis.stop + margin) for axis in cell]
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(cell, near, strict=True))
    return _read(name, static, tiles, replace(grid, lat=grid.lat[near[0]], lon=grid.lon[near[1]]))[inner]


def who_lacks(name: str, static: Static, domain: str, lat: float, lon: float) -> str:
    """What the files of a feature have at a place where it has no value: the end of a sentence, with their names."""
    tiles = open_tiles(name, static, domain)
    # Of projected files, which places they hold is not known in degrees.
    at_place = [tile for tile in tiles if not tile.is_regular or _holds(tile, lat, lon)]
    shown = " and ".join(tile.url for tile in (at_place or tiles)[:2])
    shown += f" and {more} more" if (more := len(at_place or tiles) - 2) > 0 else ""
    if at_place:
        return f"too few values there in {shown}; provide files that have more, or a grid that ends where they do"
    return f"no file reaches it of {shown}; provide the one that is missing"


def _holds(tile: Tile, lat: float, lon: float) -> bool:
    """Whether a place lies within the rows and columns of a file."""
    west = float(tile.columns.min())
    # Files count longitudes from -180 or from 0: the place is looked for eastward of the file's first column.
    east = west + (lon - west) % 360
    half = abs(_step_deg(tile)) / 2
    return bool(
        tile.rows.min() - half <= lat <= tile.rows.max() + half
        and (east <= tile.columns.max() + half or west - (east - 360) <= half)
    )


def _step_deg(tile: Tile) -> float:
    """Usual distance of a tile's rows in degrees; a degree is 111 km."""
    step = float(np.median(np.abs(np.diff(tile.rows)))) if len(tile.rows) > 1 else 1.0
    return step if tile.is_regular or abs(step) < 1 else step / 111_000


def _read(name: str, static: Static, tiles: Sequence[Tile], grid: Grid) -> NDArray[np.floating]:
    return within_cells(tiles, grid) if static.within_cell else _on_cells(name, static, tiles, grid)


def _on_cells(name: str, static: Static, tiles: Sequence[Tile], grid: Grid) -> NDArray[np.float32]:
    """Values where nodes are the centres of cells, or are regridded onto them as declared."""
    for tile in tiles:
        require_no_class_codes(tile)
    require_apart(tiles)
    field = Joined(tiles)
    placing = place(f"static.{name}", tiles[0].url, field.grid, static.regrid, grid)
    values = np.empty(grid.shape, "float32")
    across = slice(0, len(grid.lon))
    height = max(1, BLOCK_VALUES // max(1, placing.window(slice(0, 1), across).size))
    for first in range(0, len(grid.lat), height):
        rows = slice(first, min(first + height, len(grid.lat)))
        window = placing.window(rows, across)
        values_by_run = [field.read(window.rows, columns) for columns in window.columns]
        values[rows] = placing.apply(np.concatenate(values_by_run, axis=1), rows, across)
    for census in field.censuses:
        census.require_plausible()
    return values


class Joined:
    """Tiles of one field on common rows and columns."""

    def __init__(self, tiles: Sequence[Tile]) -> None:
        self.tiles = tiles
        self.censuses = [Census(tile) for tile in tiles]
        self.rows, self._row_places = _joined([tile.rows for tile in tiles], tiles)
        self.columns, self._column_places = _joined([tile.columns for tile in tiles], tiles)
        names = ("lat", "lon") if tiles[0].is_regular else ("y", "x")
        self.grid = {**tiles[0].grid, names[0]: self.rows.tolist(), names[1]: self.columns.tolist()}

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Values [row, column] of a window in the declared units, NaN where no tile has one."""
        values = np.full((rows.stop - rows.start, columns.stop - columns.start), np.nan, "float32")
        for tile, down, along, census in zip(
            self.tiles, self._row_places, self._column_places, self.censuses, strict=True
        ):
            mine, theirs = _crossed(down, rows)
            mine_across, theirs_across = _crossed(along, columns)
            if not len(mine) or not len(mine_across):
                continue
            first, left = int(mine.min()), int(mine_across.min())
            block = tile.read(slice(first, int(mine.max()) + 1), slice(left, int(mine_across.max()) + 1))
            block = block[mine - first][:, mine_across - left]
            census.add(block.ravel())
            factor, offset = tile.conversion
            target = np.ix_(theirs, theirs_across)
            # Where tiles share a border, the first that has a value there counts.
            empty = ~np.isfinite(values[target])
            values[target] = np.where(empty, block * np.float64(factor) + offset, values[target])
        return values


def _crossed(places: NDArray[np.int64], part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of a tile's rows that lie in a part of the common ones, and their numbers within that part."""
    inside = np.flatnonzero((places >= part.start) & (places < part.stop))
    return inside, places[inside] - part.start


def _joined(
    axes: Sequence[NDArray[np.float64]], tiles: Sequence[Tile]
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """One axis for all tiles, in the direction of the first, and the places of each tile's nodes along it.

    Raises
    ------
    ForcingError
        where the tiles' nodes do not lie on common rows and columns
    """
    if len(axes) == 1:
        return axes[0], [np.arange(len(axes[0]))]
    steps = [float(np.median(np.abs(np.diff(axis)))) for axis in axes if len(axis) > 1]
    step = min(steps, default=1.0)
    merged = np.unique(np.concatenate(axes))
    merged = merged[np.concatenate([[True], np.diff(merged) > SAME_NODE * step])]
    if len(merged) > 1 and np.diff(merged).min() < (1 - 2 * SAME_NODE) * step:
        raise ForcingError(
            f"{tiles[0].url} and {len(tiles) - 1} more tiles of static.{tiles[0].name} do not lie on common rows and "
            'columns; write within_cell = "mean" for files finer than the grid, or join them first'
        )
    if axes[0][0] > axes[0][-1]:
        merged = merged[::-1]
    return merged, [np.abs(merged[:, None] - axis[None, :]).argmin(axis=0) for axis in axes]
