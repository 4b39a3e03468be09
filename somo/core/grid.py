"""Cells: centres, flat ids, nearest cell, bounds, area weights, distances."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear grid of cell centres in degrees.

    Attributes
    ----------
    lat : [n_lat] latitude of centres, degrees north, in stored order
    lon : [n_lon] longitude of centres, degrees east in -180..180, in stored order
    step_deg : width of one cell in degrees; centres may lie further apart than that

    A cell's flat id is `row * n_lon + column`.
    """

    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    step_deg: float

    @classmethod
    def regular(cls, west: float, east: float, south: float, north: float, step_deg: float) -> Self:
        """Grid between outer edges in degrees, rows from north to south."""
        n_lat, n_lon = round((north - south) / step_deg), round((east - west) / step_deg)
        lat = np.round(north - step_deg * (np.arange(n_lat) + 0.5), 6)
        return cls(lat, np.round(west + step_deg * (np.arange(n_lon) + 0.5), 6), step_deg)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.lat), len(self.lon)

    @property
    def size(self) -> int:
        return len(self.lat) * len(self.lon)

    def centres(self, cell: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude in degrees of flat cell ids."""
        row, column = np.divmod(np.asarray(cell), len(self.lon))
        return self.lat[row], self.lon[column]

    def nearest(self, lat: ArrayLike, lon: ArrayLike) -> NDArray[np.int64]:
        """Flat id of the cell that holds each point; -1 for points outside every cell.

        A point on the border of two cells belongs to the one stored first.
        """
        lat, lon = np.atleast_1d(np.asarray(lat, float)), np.atleast_1d(np.asarray(lon, float))
        d_lat = np.abs(lat[:, None] - self.lat)
        d_lon = np.abs((lon[:, None] - self.lon + 180) % 360 - 180)
        row, column = np.round(d_lat, 9).argmin(1), np.round(d_lon, 9).argmin(1)
        n = np.arange(len(lat))
        reach = self.step_deg / 2 + 1e-9
        inside = (d_lat[n, row] <= reach) & (d_lon[n, column] <= reach)
        return np.where(inside, row * len(self.lon) + column, -1)

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`lat_bnds` [n_lat, 2] and `lon_bnds` [n_lon, 2] in degrees, in the direction of the axis."""
        return _edges(self.lat, self.step_deg), _edges(self.lon, self.step_deg)

    def area_weights(self) -> NDArray[np.float64]:
        """[n_lat] relative area of a cell in each row: the difference of sin(latitude) over its bounds."""
        edges = np.clip(np.radians(self.bounds()[0]), -np.pi / 2, np.pi / 2)
        return np.abs(np.sin(edges[:, 1]) - np.sin(edges[:, 0]))


def _edges(centres: NDArray[np.float64], step_deg: float) -> NDArray[np.float64]:
    half = step_deg / 2 * (-1 if len(centres) > 1 and centres[1] < centres[0] else 1)
    return np.stack([centres - half, centres + half], axis=1).round(6)


def distance_km(lat_a: ArrayLike, lon_a: ArrayLike, lat_b: ArrayLike, lon_b: ArrayLike) -> NDArray[np.float64]:
    """Great-circle distance in km (haversine), broadcasting over degrees."""
    p, q = np.radians(np.asarray(lat_a, float)), np.radians(np.asarray(lat_b, float))
    half_lon = np.radians(np.asarray(lon_b, float) - np.asarray(lon_a, float)) / 2
    h = np.sin((q - p) / 2) ** 2 + np.cos(p) * np.cos(q) * np.sin(half_lon) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(h, 0, 1)))
