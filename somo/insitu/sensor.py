"""What a reader of in-situ archives hands on: one sensor with its series."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class InsituError(ValueError):
    """An in-situ archive that cannot be used; the text names it and the remedy."""


@dataclass(frozen=True, eq=False)
class Sensor:
    """One sensor: network / station / instrument / depth interval, with its volumetric soil moisture.

    Attributes
    ----------
    archive, network, station, name : where it belongs; `name` is the instrument
    latitude, longitude : degrees north and east
    depth_from_m, depth_to_m : depth interval below the surface; equal for a point sensor
    time : [n] datetime64[ns], UTC
    value : [n] m3 m-3
    good : [n] True where the archive's own quality control accepts the value
    problem : why the file could not be read, empty if it could
    """

    archive: str
    network: str
    station: str
    name: str
    latitude: float
    longitude: float
    depth_from_m: float
    depth_to_m: float
    time: NDArray[np.datetime64]
    value: NDArray[np.float64]
    good: NDArray[np.bool_]
    problem: str = ""

    @classmethod
    def unreadable(cls, archive: str, network: str, station: str, name: str, problem: str) -> "Sensor":
        """A sensor known by its file alone."""
        nan = float("nan")
        return cls(archive, network, station, name, nan, nan, nan, nan, *_NOTHING, problem=problem)


_NOTHING = (np.empty(0, "M8[ns]"), np.empty(0), np.empty(0, bool))
