"""COSMOS-Europe archives -> sensors: cosmic-ray neutron stations, hourly, independent of every point sensor.

The layout is that of Bogena et al. (2022, ESSD 14:1125): one table `General_ information*.csv` with a row per
station, and `processed_crns_data_and_diagnostics*/<station>.csv` with hourly soil moisture, its uncertainty, the
footprint and flags.
"""

import io
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from fsspec import AbstractFileSystem

from somo.insitu.files import opened
from somo.insitu.sensor import InsituError, Sensor

NETWORK = "COSMOS-Europe"
MOISTURE = "SoilMoisture_volumetric_MovAvg24h"
DEPTH = "Footprint_Depth_m"
FLAGS = ("Flag_Extreme_Counts", "Flag_Porosity_Excess", "Flag_Snow_ERA5")
"""Set where a value is not soil water; the flags of gap-filled pressure and humidity do not make it wrong."""


def list_stations(url: str) -> dict[str, tuple[str, ...]]:
    """The data file of each station by the station's id, in order.

    Raises
    ------
    InsituError
        if the archive is missing, broken or not laid out like COSMOS-Europe
    """
    with opened(url) as (fs, base):
        files = sorted(f for f in fs.find(base) if "processed_crns_data" in f and f.endswith(".csv"))
        if not files or _information_file(fs, base) is None:
            raise InsituError(
                f"{url}: no General_ information*.csv with processed_crns_data_and_diagnostics*/<station>.csv inside; "
                'give the COSMOS-Europe archive, zipped or unpacked, or correct format = "cosmos"'
            )
    return {PurePosixPath(f).stem: (f,) for f in files}


def read_stations(url: str, stations: Mapping[str, tuple[str, ...]], archive: str) -> Iterator[Sensor]:
    """The sensor of each station; a file that cannot be read becomes a sensor that says so in `problem`.

    The sensor stands at a third of the mean footprint depth: the mean depth of a weight that falls linearly to zero at
    the bottom of the footprint (Franz et al. 2012).
    """
    with opened(url) as (fs, base):
        places = _read_places(fs, base, url)
        for station, (path,) in stations.items():
            try:
                if station not in places:
                    raise ValueError(f"no place in General_ information*.csv for {station}")
                yield _read_station(fs.cat_file(path), station, places[station], archive)
            except (ValueError, OSError) as error:
                name = PurePosixPath(path).name
                yield Sensor.unreadable(archive, NETWORK, station, "CRNS", f"{name} cannot be read: {error}")


def _information_file(fs: AbstractFileSystem, base: str) -> str | None:
    return next((f for f in sorted(fs.find(base)) if PurePosixPath(f).name.startswith("General_")), None)


def _read_places(fs: AbstractFileSystem, base: str, url: str) -> dict[str, tuple[float, float]]:
    """Latitude and longitude by station id."""
    path = _information_file(fs, base)
    assert path is not None
    table = pd.read_csv(io.BytesIO(fs.cat_file(path)), encoding="latin-1")
    table.columns = [str(c).split(" (")[0].strip() for c in table.columns]
    if missing := {"File name", "Latitude", "Longitude"} - set(table.columns):
        raise InsituError(f"{url}: {path} has no column {sorted(missing)[0]!r}; found {', '.join(table.columns)}")
    table = table.dropna(subset=["File name"])
    lat, lon = (pd.to_numeric(table[c], errors="coerce") for c in ("Latitude", "Longitude"))
    return dict(zip(table["File name"].str.strip(), zip(lat, lon, strict=True), strict=True))


def _read_station(data: bytes, station: str, place: tuple[float, float], archive: str) -> Sensor:
    table = pd.read_csv(io.BytesIO(data))
    if missing := {"DateTime_utc", MOISTURE, DEPTH} - set(table.columns):
        raise ValueError(f"no column {sorted(missing)[0]!r}; found {', '.join(table.columns)}")
    value, footprint = (pd.to_numeric(table[c], errors="coerce").to_numpy(np.float64) for c in (MOISTURE, DEPTH))
    flagged = [pd.to_numeric(table[f], errors="coerce").fillna(0) != 0 for f in FLAGS if f in table.columns]
    good = ~np.any(flagged, axis=0) if flagged else np.ones(len(table), bool)
    use = np.isfinite(value) & np.isfinite(footprint)
    depth = float(footprint[use].mean()) / 3 if use.any() else float("nan")
    time = pd.to_datetime(table["DateTime_utc"], utc=True, format="ISO8601").dt.tz_localize(None)
    return Sensor(
        archive=archive,
        network=NETWORK,
        station=station,
        name="CRNS",
        latitude=float(place[0]),
        longitude=float(place[1]),
        depth_from_m=depth,
        depth_to_m=depth,
        time=time.to_numpy("M8[ns]"),
        value=value,
        good=np.asarray(good, bool),
    )
