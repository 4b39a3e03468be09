"""What a source of in-situ data hands on: which files hold a sensor's series, and the sensor with that series."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from somo.insitu.members import Member


@dataclass(frozen=True)
class Recording:
    """Files that hold the series of one sensor, as far as their listing tells.

    Attributes
    ----------
    key : hash of everything that decides the series: names, sizes and versions of the files, columns, units
    members : the files, newest download first
    network, station, sensor : as the names of the files say
    depth_m : depth interval as the names say; None if they do not
    place : latitude and longitude in degrees, where a table of stations has them
    problem : why the files are not to be read; empty if they are
    details : what only the source understands, such as the columns to read
    """

    key: str
    members: tuple[Member, ...]
    network: str
    station: str
    sensor: str = ""
    depth_m: tuple[float, float] | None = None
    place: tuple[float, float] | None = None
    problem: str = ""
    details: Any = None

    @property
    def bytes(self) -> int:
        """Bytes of the files once inflated."""
        return sum(member.size for member in self.members)


@dataclass(frozen=True, eq=False)
class Sensor:
    """One sensor: network / station / instrument / depth interval, with its volumetric soil moisture.

    Attributes
    ----------
    network, station, name : where it belongs; `name` is the instrument
    latitude, longitude : degrees north and east
    depth_from_m, depth_to_m : depth interval below the surface, shallow end first; equal for a point sensor
    time : [n] datetime64[ns], UTC
    value : [n] m3 m-3
    good : [n] True where the archive's own quality control accepts the value
    downloaded : YYYYMMDD and when the file was written, which decide the newer of two downloads; empty if unknown
    note : faults for which the sensor is not dropped, such as a line that cannot be read
    problem : why there is no series, empty if there is one
    """

    network: str
    station: str
    name: str
    latitude: float
    longitude: float
    depth_from_m: float
    depth_to_m: float
    time: NDArray[np.datetime64] = field(default_factory=lambda: np.empty(0, "M8[ns]"))
    value: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    good: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    downloaded: str = ""
    note: str = ""
    problem: str = ""

    @classmethod
    def unread(cls, recording: Recording, problem: str) -> "Sensor":
        """A sensor known by the names of its files alone."""
        unknown = float("nan"), float("nan")
        top, bottom = sorted(recording.depth_m or unknown)
        latitude, longitude = recording.place or unknown
        names = recording.network, recording.station, recording.sensor
        return cls(*names, latitude, longitude, top, bottom, problem=problem)


class Reader(Protocol):
    """One kind of in-situ archive. A further kind is a module with these two functions and a line in `READERS`."""

    def list_recordings(self, url: str, archive: str) -> list[Recording]:
        """Every sensor of an archive by the names of its files; nothing but listings and tables of stations is read.

        Parameters
        ----------
        url : where the archive is
        archive : its name in the declaration

        Raises
        ------
        InsituError
            if the archive is missing, broken or of another kind
        """
        ...

    def read_sensor(self, recording: Recording, contents: Sequence[bytes]) -> Sensor:
        """The sensor in the bytes of a recording's members, in their order.

        Raises
        ------
        SensorError
            if there is no series in them; the text says why
        """
        ...
