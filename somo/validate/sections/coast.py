"""Coast lines for maps: Natural Earth 1:50m land (public domain), version 4.1.0, kept as `coast.npz`.

The file is made once from the npm package world-atlas 2.0.2, which redistributes Natural Earth as TopoJSON:
`npm pack world-atlas@2.0.2`, unpack, `python -m somo.validate.sections.coast package/land-50m.json`.
"""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_name("coast.npz")
HUNDREDTHS = 100


def coast_lines(west: float, east: float, south: float, north: float) -> NDArray[np.float64]:
    """[point, 2] longitude and latitude in degrees of the coast near a box, lines parted by NaN rows.

    Longitudes are counted as the box counts them: from -180, from 0, or on across the date line.
    """
    points = _points().copy()
    points[:, 0] = counted_as(points[:, 0], west, east)
    # A line that leaves the map at one end comes in again at the other: between the two there is nothing to draw.
    leaps = np.flatnonzero(np.abs(np.diff(points[:, 0])) > 180) + 1
    points = np.insert(points, leaps, np.nan, axis=0)
    # A degree around the box, so that lines run on to the edge of the map.
    margin = 1.0
    outside = (points[:, 0] < west - margin) | (points[:, 0] > east + margin)
    outside |= (points[:, 1] < south - margin) | (points[:, 1] > north + margin)
    points[outside] = np.nan
    gap = np.isnan(points[:, 0])
    lines: NDArray[np.float64] = points[~gap | ~np.concatenate([[True], gap[:-1]])]
    return lines


def counted_as(lon: NDArray[np.float64], west: float, east: float) -> NDArray[np.float64]:
    """Longitudes in degrees as a map from `west` to `east` counts them: half a turn to either side of its middle."""
    first = (west + east) / 2 - 180
    # The modulo leaves rounding errors: 0.05 becomes 0.05000000000001137.
    turned: NDArray[np.float64] = np.round((lon - first) % 360 + first, 6)
    return turned


@cache
def _points() -> NDArray[np.float64]:
    with np.load(FILE) as data:
        hundredths, starts = data["hundredths"], data["starts"]
    degrees = hundredths.astype(np.float64) / HUNDREDTHS
    return np.insert(degrees, starts[1:], np.nan, axis=0)


def encode(topology: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Rings of a TopoJSON land topology as int16 hundredths of a degree [point, 2] and the start of each ring."""
    scale, translate = topology["transform"]["scale"], topology["transform"]["translate"]
    lines = [np.cumsum(arc, axis=0) * scale + translate for arc in topology["arcs"]]
    rounded = [np.round(line * HUNDREDTHS).astype(np.int16) for line in lines]
    thinned = [line[np.concatenate([[True], (np.diff(line, axis=0) != 0).any(1)])] for line in rounded]
    # Rounded to hundredths, the smallest islands are a point or two.
    thinned = [line for line in thinned if len(line) > 2]
    starts = np.cumsum([0] + [len(line) for line in thinned[:-1]]).astype(np.int32)
    return {"hundredths": np.concatenate(thinned), "starts": starts}


if __name__ == "__main__":
    np.savez_compressed(FILE, allow_pickle=False, **encode(json.loads(Path(sys.argv[1]).read_text())))
