"""Statistics of fine files within the cells of a grid, read block by block in bounded memory."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.forcing.regridding.placing import runs_of
from somo.forcing.regridding.scattered import transformer_of
from somo.forcing.sources import ForcingError
from somo.forcing.statics.census import Census, require_no_class_codes
from somo.forcing.statics.overlaps import Overlap, overlaps, window
from somo.forcing.statics.tiles import Tile

# Values that are read at once, where the file's chunks are not larger: 16 MiB.
BLOCK_VALUES = 2**22
# Values that are sorted into cells at once: the arithmetic takes some forty bytes for each.
STRIP_VALUES = 2**19
LEAST_COVER = 0.75
"""A cell of which the files cover less has no value."""
# Points along each side of the grid that find its place in a projection, whose sides are curved.
BORDER_POINTS = 200
# Tiles that share more than this part of the smaller one are no tiles of one field.
MOST_OVERLAP = 0.5

Cut = list[tuple[NDArray[np.int64], NDArray[np.float64]]]
"""Flat cell number (-1 for none) and share of every value of a strip: a pair for each cell that a value may lie in."""


class CellStatistics:
    """Running weight, mean and squared deviations of the values in each cell (Chan et al. 1983)."""

    def __init__(self, cells: int) -> None:
        self.weight, self.mean, self.squares, self.cover = (np.zeros(cells) for _ in range(4))

    def add(self, cell: NDArray[np.int64], values: NDArray[np.floating], share: NDArray[np.float64]) -> None:
        """Add values [n], each with the number of its cell and the part of it that lies in the cell."""
        n = len(self.weight)
        weight = np.bincount(cell, share, n)
        touched = weight > 0
        mean = np.bincount(cell, share * values, n)
        mean = np.divide(mean, weight, out=np.zeros(n), where=touched)
        squares = np.bincount(cell, share * (values - mean[cell]) ** 2, n)
        total = self.weight + weight
        apart = mean - self.mean
        ratio = np.divide(weight, total, out=np.zeros(n), where=total > 0)
        self.squares += np.where(touched, squares + apart**2 * self.weight * ratio, 0.0)
        self.mean += np.where(touched, apart * ratio, 0.0)
        self.weight = total

    def result(self, how: str) -> NDArray[np.float64]:
        """[cell] mean or standard deviation (ddof 0); NaN in cells without a value, or covered too little."""
        valued = (self.weight > 0) & (self.cover >= LEAST_COVER)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.sqrt(self.squares / self.weight) if how == "std" else self.mean
        return np.where(valued, values, np.nan)


def within_cells(tiles: Sequence[Tile], grid: Grid) -> NDArray[np.float64]:
    """[lat, lon] the declared statistic of the tiles' values in each cell; NaN where they have none.

    On files with latitudes and longitudes every node is weighted by the part of its width that lies in the cell: a node
    on a border counts half in each cell. On projected files every node whose centre lies in the cell counts once.

    Raises
    ------
    ForcingError
        naming the file that does not reach the grid, or holds class codes or undeclared fill values
    """
    static, statistics = tiles[0].static, CellStatistics(grid.size)
    require_apart(tiles)
    for number, tile in enumerate(tiles):
        require_no_class_codes(tile)
        require_finer(tile, grid)
        census = Census(tile)
        for values, rows, columns, cut in _strips(tile, grid):
            for earlier in tiles[:number]:
                values[np.ix_(_held(earlier.rows, tile.rows[rows]), _held(earlier.columns, tile.columns[columns]))] = (
                    np.nan
                )
            census.add(values.ravel())
            _take_in(statistics, tile, values.ravel(), cut)
        census.require_plausible()
    if not statistics.cover.any():
        raise ForcingError(_outside(tiles, grid))
    return statistics.result("std" if static.within_cell == "std" else "mean").reshape(grid.shape)


def _take_in(statistics: CellStatistics, tile: Tile, values: NDArray[np.float32], cut: Cut) -> None:
    has_value = np.isfinite(values)
    if tile.static.within_cell == "fraction":
        counted = np.isin(values, np.array(tile.static.classes, "float32")).astype("float64")
    else:
        counted = values * np.float64(tile.conversion[0]) + tile.conversion[1]
    for cell, share in cut:
        inside = cell >= 0
        np.add(statistics.cover, np.bincount(cell[inside], share[inside], len(statistics.cover)), statistics.cover)
        taken = inside & has_value
        if taken.any():
            size = share[taken] if tile.is_regular else np.ones(int(taken.sum()))
            statistics.add(cell[taken], counted[taken], size)


def _strips(tile: Tile, grid: Grid) -> Iterator[tuple[NDArray[np.float32], slice, slice, Cut]]:
    """Values of every part of a tile that touches the grid, their place in it, and the cells that they lie in."""
    cutter = _Regular(tile, grid) if tile.is_regular else _Projected(tile, grid)
    for columns in cutter.columns:
        for rows, block_columns in blocks(cutter.rows, columns, tile.chunk):
            block = tile.read(rows, block_columns)
            height = max(1, STRIP_VALUES // max(1, block.shape[1]))
            for first in range(0, len(block), height):
                strip = slice(rows.start + first, min(rows.start + first + height, rows.stop))
                yield block[first : first + height], strip, block_columns, cutter.cut(strip, block_columns)


def blocks(rows: slice, columns: slice, chunk: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Parts of a window that hold whole chunks, as many as `BLOCK_VALUES` allow, so that none is decoded twice."""
    width = chunk[1] * max(1, BLOCK_VALUES // (chunk[0] * chunk[1]))
    for left in range(columns.start // width * width, columns.stop, width):
        block_columns = slice(max(left, columns.start), min(left + width, columns.stop))
        height = chunk[0] * max(
            1, BLOCK_VALUES // (chunk[0] * min(width, max(chunk[1], block_columns.stop - block_columns.start)))
        )
        for top in range(rows.start // height * height, rows.stop, height):
            yield slice(max(top, rows.start), min(top + height, rows.stop)), block_columns


class _Regular:
    """Cells of nodes on latitudes and longitudes."""

    def __init__(self, tile: Tile, grid: Grid) -> None:
        lat_edges, lon_edges = grid.bounds()
        self._rows, height = overlaps(tile.rows, lat_edges)
        self._columns, width = overlaps(tile.columns, lon_edges, 360.0)
        self._across = len(grid.lon)
        self._size = height * width / float(np.median(np.ptp(lat_edges, axis=1)) * np.median(np.ptp(lon_edges, axis=1)))
        rows, columns = window(self._rows), window(self._columns)
        self.rows = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
        self.columns = runs_of(columns) if len(columns) and len(rows) else ()

    def cut(self, rows: slice, columns: slice) -> Cut:
        return [self._pair(row, column, rows, columns) for row in self._rows for column in self._columns]

    def _pair(
        self, row: Overlap, column: Overlap, rows: slice, columns: slice
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        down, along = row.cell[rows][:, None], column.cell[columns][None, :]
        cell = np.where((down >= 0) & (along >= 0), down * self._across + along, -1)
        share = row.share[rows][:, None] * column.share[columns][None, :]
        return cell.ravel(), share.ravel() * self._size


class _Projected:
    """Cells of nodes in a projection, or on curved rows: each lies in the cell that holds its centre."""

    def __init__(self, tile: Tile, grid: Grid) -> None:
        self._tile, self._grid, self._edges = tile, grid, grid.bounds()
        self._transformer = transformer_of(tile.grid)
        if self._transformer is None and "lat2d" not in tile.grid:
            raise ForcingError(
                f"{tile.url}: static.{tile.name} lies on a {tile.grid['kind']} grid, but it describes neither its "
                "projection (a CF grid_mapping) nor the latitudes and longitudes of every point: provide one that does"
            )
        if self._transformer is None:
            lat, lon = (np.array(tile.grid[key], "float64") for key in ("lat2d", "lon2d"))
            self._degrees = lat, lon
            self.rows, columns = slice(0, lat.shape[0]), slice(0, lat.shape[1])
        else:
            y, x = self._border(self._transformer)
            self.rows, columns = _between(tile.rows, y), _between(tile.columns, x)
        self.columns = (columns,) if columns.stop > columns.start and self.rows.stop > self.rows.start else ()

    def _border(self, transformer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points along the grid's border in the projection."""
        lat, lon = (np.linspace(edges.min(), edges.max(), BORDER_POINTS) for edges in self._edges)
        lats = np.concatenate([lat, lat, np.full(len(lon), lat[0]), np.full(len(lon), lat[-1])])
        lons = np.concatenate([np.full(len(lat), lon[0]), np.full(len(lat), lon[-1]), lon, lon])
        x, y = transformer.transform(lons, lats)
        return np.asarray(y), np.asarray(x)

    def cut(self, rows: slice, columns: slice) -> Cut:
        if self._transformer is None:
            lat, lon = (axis[rows, columns].ravel() for axis in self._degrees)
        else:
            x, y = np.meshgrid(self._tile.columns[columns], self._tile.rows[rows])
            lon, lat = map(np.asarray, self._transformer.transform(x.ravel(), y.ravel(), direction="INVERSE"))
        down, along = _holding(lat, self._edges[0], None), _holding(lon, self._edges[1], 360.0)
        cell = np.where((down >= 0) & (along >= 0), down * len(self._grid.lon) + along, -1)
        # the area of a node is not known in degrees: one node covers its cell
        return [(cell, np.ones(cell.size))]


def _between(axis: NDArray[np.float64], places: NDArray[np.float64]) -> slice:
    """Numbers of the nodes between the smallest and the largest place, and one further on each side."""
    places = places[np.isfinite(places)]
    if not len(places):
        return slice(0, 0)
    step = float(np.median(np.abs(np.diff(axis)))) if len(axis) > 1 else 1.0
    near = np.flatnonzero((axis >= places.min() - step) & (axis <= places.max() + step))
    return slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)


def _holding(points: NDArray[np.float64], edges: NDArray[np.float64], period: float | None) -> NDArray[np.int64]:
    """Number of the cell that holds each point along one axis, -1 outside."""
    order = np.argsort(edges.min(axis=1))
    low, high = edges.min(axis=1)[order], edges.max(axis=1)[order]
    place = np.where(np.isfinite(points), points, np.inf)
    if period is not None:
        place = np.where(np.isfinite(points), low[0] + (points - low[0]) % period, np.inf)
    number = np.minimum(np.searchsorted(high, place, side="right"), len(low) - 1)
    return np.where((low[number] <= place) & (place < high[number]), order[number], -1)


def _held(axis: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which places lie within the axis of an earlier tile, whose nodes count there instead of these."""
    half = float(np.median(np.abs(np.diff(axis)))) / 2 if len(axis) > 1 else 0.0
    west, east = float(axis.min()) - half, float(axis.max()) + half
    return (places > west) & (places < east)


def require_apart(tiles: Sequence[Tile]) -> None:
    """Refuse tiles that do not lie side by side.

    Raises
    ------
    ForcingError
        naming two files that hold the same places
    """
    for number, tile in enumerate(tiles):
        for other in tiles[:number]:
            if tile.is_regular != other.is_regular:
                raise ForcingError(
                    f"{other.url} and {tile.url} lie on different kinds of grids; declare tiles of one field"
                )
            shared = [
                min(a.max(), b.max()) - max(a.min(), b.min())
                for a, b in ((tile.rows, other.rows), (tile.columns, other.columns))
            ]
            sizes = [float(np.ptp(t.rows) * np.ptp(t.columns)) for t in (tile, other)]
            if min(shared) > 0 and shared[0] * shared[1] > MOST_OVERLAP * min(sizes):
                raise ForcingError(
                    f"{other.url} and {tile.url} hold the same places; static.{tile.name} takes one field, in one file "
                    "or in tiles side by side: declare one of them"
                )


def require_finer(tile: Tile, grid: Grid) -> None:
    """Refuse nodes that lie further apart than the grid's cells are wide: none would lie within a cell."""
    if not tile.is_regular:
        return
    steps = [float(np.median(np.abs(np.diff(axis)))) for axis in (tile.rows, tile.columns) if len(axis) > 1]
    if steps and max(steps) > 1.01 * grid.step_deg:
        raise ForcingError(
            f"{tile.url}: its nodes are {max(steps):g} degrees apart and the grid's cells {grid.step_deg:g} degrees "
            f'wide, so nothing lies within one; take out static.{tile.name}.within_cell and write regrid = "bilinear"'
        )


def _outside(tiles: Sequence[Tile], grid: Grid) -> str:
    tile = tiles[0]
    files = tile.url if len(tiles) == 1 else f"{tile.url} and {len(tiles) - 1} more files"
    units = "degrees" if tile.is_regular else "the projection's units"
    return (
        f"{files}: static.{tile.name} has nothing in the {grid.size} cells {grid.lat.min():g}..{grid.lat.max():g} N, "
        f"{grid.lon.min():g}..{grid.lon.max():g} E; the rows are {min(t.rows.min() for t in tiles):g}.."
        f"{max(t.rows.max() for t in tiles):g} and the columns {min(t.columns.min() for t in tiles):g}.."
        f"{max(t.columns.max() for t in tiles):g} in {units}: provide files that cover the grid, or correct [grid]"
    )
