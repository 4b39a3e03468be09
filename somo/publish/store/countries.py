"""Which country each cell lies in: Natural Earth 1:50m (public domain), version 4.1.0, kept as `countries.npz`.

The file is made once from the npm package world-atlas 2.0.2, which redistributes Natural Earth as TopoJSON and whose
outlines the web page draws: `python -m somo.publish.store.countries node_modules/world-atlas/countries-50m.json`.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from somo.core.grid import EARTH_RADIUS_KM, Grid

FILE = Path(__file__).with_name("countries.npz")
HUNDREDTHS = 100
# Centres are looked up this far to the north-east, so that one on a border lies in one country and not in none.
NUDGE_DEG = 1e-6
# ISO 3166-1 leaves the numeric codes from 900 on to its users: for places to which it gives none.
FIRST_FREE_CODE = 900
NO_COUNTRY = 0
HECTARES_PER_KM2 = 100
# The table of 2018 abbreviates these names, or the countries no longer bear them.
NAMES = {
    "Bosnia and Herz.": "Bosnia and Herzegovina",
    "Faeroe Is.": "Faroe Islands",
    "Macedonia": "North Macedonia",
    "N. Cyprus": "Northern Cyprus",
    "Turkey": "Türkiye",
}


def country_of_cells(grid: Grid) -> NDArray[np.int16]:
    """[row, column] ISO 3166-1 numeric code of the country that holds each cell's centre, 0 outside all of them."""
    codes = np.full(grid.shape, NO_COUNTRY, np.int16)
    lat = grid.lat + NUDGE_DEG
    lon = (grid.lon + NUDGE_DEG + 180) % 360 - 180
    for code, rings in _rings():
        inside = np.zeros(grid.shape, bool)
        for ring in rings:
            # A ring that reaches over the date line goes on beyond 180 degrees: look for its cells there as well.
            for turn in (-360.0, 0.0, 360.0):
                _turn_inside(inside, lat, lon, ring + np.array([turn, 0.0]))
        codes[inside] = code
    return codes


def _turn_inside(
    inside: NDArray[np.bool_], lat: NDArray[np.float64], lon: NDArray[np.float64], ring: NDArray[np.float64]
) -> None:
    """Turn the answer for every cell that a ring surrounds: one inside another is a hole, or land inside a hole."""
    (west, south), (east, north) = ring.min(0), ring.max(0)
    rows, columns = np.flatnonzero((lat > south) & (lat < north)), np.flatnonzero((lon > west) & (lon < east))
    if len(rows) and len(columns):
        polygon = shapely.Polygon(ring)
        shapely.prepare(polygon)
        inside[np.ix_(rows, columns)] ^= shapely.contains_xy(polygon, *np.meshgrid(lon[columns], lat[rows]))


def country_names() -> dict[int, str]:
    """Name of every country by its code."""
    names: dict[int, str] = {}
    with np.load(FILE) as stored:
        for code, name in zip(stored["codes"].tolist(), stored["names"].tolist(), strict=True):
            # Territories that share a code come later in the table than the country whose name they go by.
            names.setdefault(code, NAMES.get(name, name))
    return names


def cell_hectares(grid: Grid) -> NDArray[np.float64]:
    """[row] area of a cell in whole hectares.

    Sums of packed values weighted by whole numbers are exact in float64, so they do not depend on the order in which
    tiles and cells are added.
    """
    lon_bounds = grid.bounds()[1]
    width = np.radians(np.abs(np.diff(lon_bounds, axis=1)).mean())
    hectares: NDArray[np.float64] = np.rint(grid.area_weights() * width * EARTH_RADIUS_KM**2 * HECTARES_PER_KM2)
    return hectares


@cache
def _rings() -> list[tuple[int, list[NDArray[np.float64]]]]:
    """Code and rings [point, 2] of longitude and latitude in degrees of every country."""
    with np.load(FILE) as stored:
        points = stored["points"].astype(np.float64) / HUNDREDTHS
        arcs = np.split(points, stored["arc_starts"][1:])
        ring_arcs = np.split(stored["ring_arcs"], stored["ring_starts"][1:])
        country_of_ring, codes = stored["country_of_ring"], stored["codes"]
    # TopoJSON writes an arc that is walked backwards as the complement of its number.
    rings = [np.concatenate([arcs[~arc][::-1] if arc < 0 else arcs[arc] for arc in ring]) for ring in ring_arcs]
    rings = [_unbroken(ring) for ring in rings]
    return [
        (int(code), [ring for ring, country in zip(rings, country_of_ring, strict=True) if country == number])
        for number, code in enumerate(codes)
    ]


def _unbroken(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    """A ring whose longitude jumps from 180 to -180 as one that goes on; Antarctica's goes once around and stays."""
    unwrapped = np.unwrap(ring[:, 0], period=360)
    closes = abs(unwrapped[-1] - unwrapped[0]) < 1
    return np.stack([unwrapped, ring[:, 1]], axis=1) if closes else ring


def encode(topology: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Countries of a TopoJSON as int16 hundredths of a degree of its arcs, and the arcs of every ring."""
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = [np.round((np.cumsum(arc, axis=0) * scale + translate) * HUNDREDTHS) for arc in topology["arcs"]]
    arcs = [line[np.concatenate([[True], (np.diff(line, axis=0) != 0).any(1)])] for line in lines]
    countries = topology["objects"]["countries"]["geometries"]
    rings, country_of_ring, codes = [], [], []
    for number, country in enumerate(countries):
        polygons = country["arcs"] if country["type"] == "MultiPolygon" else [country["arcs"]]
        own_rings = [ring for polygon in polygons for ring in polygon]
        rings += own_rings
        country_of_ring += [number] * len(own_rings)
        codes.append(int(country.get("id", 0)))
    free = iter(range(FIRST_FREE_CODE, FIRST_FREE_CODE + len(codes)))
    return {
        "points": np.concatenate(arcs).astype(np.int16),
        "arc_starts": _starts(arcs),
        "ring_arcs": np.concatenate(rings).astype(np.int32),
        "ring_starts": _starts(rings),
        "country_of_ring": np.array(country_of_ring, np.int16),
        "codes": np.array([code or next(free) for code in codes], np.int16),
        "names": np.array([country["properties"]["name"] for country in countries]),
    }


def _starts(sequences: list[Any]) -> NDArray[np.int32]:
    return np.cumsum([0] + [len(sequence) for sequence in sequences[:-1]]).astype(np.int32)


if __name__ == "__main__":
    np.savez_compressed(FILE, allow_pickle=False, **encode(json.loads(Path(sys.argv[1]).read_text())))
