"""Cells: centres, flat ids, nearest cell, bounds, area weights, distances."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0
# How far apart two coordinates of one border may lie that were rounded to six decimals each.
ROUNDING_DEG = 2e-6


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear grid of cell centres in degrees.

    Attributes
    ----------
    lat : [n_lat] latitude of centres, degrees north, in stored order
    lon : [n_lon] longitude of centres, degrees east as the declaration counts them, in stored order
    step_deg : width of one cell in degrees; where centres lie closer than that, cells end halfway between them, and
        where they lie further apart there is a gap

    A cell's flat id is `row * n_lon + column`.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    step_deg: float

    @classmethod
    def regular(cls, west: float, east: float, south: float, north: float, step_deg: float) -> Self:
        """Grid between outer edges in degrees, rows from north to south."""
        n_lat, n_lon = round((north - south) / step_deg), round((east - west) / step_deg)
        # Whole steps of 0.1 are no binary numbers: rounded, equal grids have equal coordinates wherever they were made.
        lat = np.round(north - step_deg * (np.arange(n_lat) + 0.5), 6)
        return cls(lat, np.round(west + step_deg * (np.arange(n_lon) + 0.5), 6), step_deg)

    @classmethod
    def bounded(cls, lat: ArrayLike, lon: ArrayLike, lat_bnds: ArrayLike, lon_bnds: ArrayLike) -> Self:
        """Grid of published coordinates and their bounds in degrees; `bounds` gives those again."""
        axes = [np.asarray(axis, np.float64) for axis in (lat, lon)]
        halves = [np.abs(np.asarray(b) - axis[:, None]) for b, axis in zip((lat_bnds, lon_bnds), axes, strict=True)]
        return cls(axes[0], axes[1], round(2 * max(float(half.max()) for half in halves), 6))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.lat), len(self.lon)

    @property
    def size(self) -> int:
        """Number of cells."""
        return len(self.lat) * len(self.lon)

    def centres(self, cell: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude in degrees of flat cell ids."""
        row, column = np.divmod(np.asarray(cell), len(self.lon))
        return self.lat[row], self.lon[column]

    def nearest(self, lat: ArrayLike, lon: ArrayLike, prefer: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Flat id of the cell that holds each point; -1 for points outside every cell.

        A point on the border of two cells, or the corner of four, belongs to the one stored first (the northern and
        western one of a map stored from north to south) of those that `prefer` ([row, column]) marks, and where it
        marks none, to the one stored first of all.
        """
        (first_row, last_row), (first_column, last_column) = (
            _closest(np.atleast_1d(np.asarray(points, float)), axis, self.step_deg, period)
            for points, axis, period in ((lat, self.lat, np.inf), (lon, self.lon, 360.0))
        )
        pairs = [(r, c) for r in (first_row, last_row) for c in (first_column, last_column)]
        touched = np.stack([np.where((r < 0) | (c < 0), -1, r * len(self.lon) + c) for r, c in pairs])
        if prefer is None:
            return touched[0, ...]
        marked = prefer.reshape(-1)[touched] & (touched >= 0)
        return np.take_along_axis(touched, marked.argmax(axis=0)[None], axis=0)[0, ...]

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`lat_bnds` [n_lat, 2] and `lon_bnds` [n_lon, 2] in degrees, in the direction of the axis."""
        return _edges(self.lat, self.step_deg), _edges(self.lon, self.step_deg)

    def signed_box(self) -> tuple[float, float, float, float]:
        """West, south, east and north edges in degrees as catalogues write them, with longitudes in -180..180.

        West of a grid across the date line is greater than east (RFC 7946, section 5.2).
        """
        lat, lon = self.bounds()
        south, north, west, east = (float(v) for v in (lat.min(), lat.max(), lon.min(), lon.max()))
        if west >= -180 and east <= 180:
            return west, south, east, north
        if east - west >= 360:
            return -180.0, south, 180.0, north
        # An eastern edge on the date line is 180 and not -180: it is that of the cells before it.
        return round((west + 180) % 360 - 180, 6), south, round(180 - (180 - east) % 360, 6), north

    def area_weights(self) -> NDArray[np.float64]:
        """[n_lat] relative area of a cell in each row: the difference of sin(latitude) over its bounds."""
        # A row of centres at a pole would reach beyond it by half a step.
        edges = np.clip(np.radians(self.bounds()[0]), -np.pi / 2, np.pi / 2)
        weights: NDArray[np.float64] = np.abs(np.sin(edges[:, 1]) - np.sin(edges[:, 0]))
        return weights


def _closest(
    points: NDArray[np.float64], centres: NDArray[np.float64], step_deg: float, period: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index of the centres closest to each point, two on a border; -1 further than half a step."""
    round_one_way = np.abs(points[:, None] - centres) % period
    # Rounded, so that a point on a border is equally far from both centres, whatever its last bits are.
    apart = np.round(np.minimum(round_one_way, period - round_one_way), 9)
    first, last = apart.argmin(1), len(centres) - 1 - apart[:, ::-1].argmin(1)
    inside = apart[np.arange(len(points)), first] <= step_deg / 2 + 1e-9
    return np.where(inside, first, -1), np.where(inside, last, -1)


def _edges(centres: NDArray[np.float64], step_deg: float) -> NDArray[np.float64]:
    """[n, 2] half a step to either side of each centre, or halfway to a neighbour that is no further than a step."""
    half = step_deg / 2 * (-1 if len(centres) > 1 and centres[1] < centres[0] else 1)
    edges = np.stack([centres - half, centres + half], axis=1)
    meet = np.abs(np.diff(centres)) <= step_deg + ROUNDING_DEG
    middle = (centres[1:] + centres[:-1]) / 2
    edges[1:, 0], edges[:-1, 1] = np.where(meet, middle, edges[1:, 0]), np.where(meet, middle, edges[:-1, 1])
    return edges.round(6)


def distance_km(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distance in km (haversine), broadcasting over degrees."""
    p, q = np.radians(np.asarray(lat_a, float)), np.radians(np.asarray(lat_b, float))
    half_lon = np.radians(np.asarray(lon_b, float) - np.asarray(lon_a, float)) / 2
    h = np.sin((q - p) / 2) ** 2 + np.cos(p) * np.cos(q) * np.sin(half_lon) ** 2
    # Rounding may lift h of two opposite points above 1, where the arcsine is not a number.
    distances: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))
    return distances
