"""COSMOS-Europe archives -> sensors: cosmic-ray neutron stations, hourly, independent of every point sensor.

The layout is that of Bogena et al. (2022, ESSD 14:1125): one table `General_ information*.csv` with a row per
station, and `processed_crns_data_and_diagnostics*/<station>.csv` with hourly soil moisture, its uncertainty, the
footprint and flags.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member, is_leftover, list_members
from somo.insitu.reading import read_members
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.clocks import to_utc
from somo.insitu.sources.columns import read_columns
from somo.insitu.sources.table_series import numbers_of
from somo.product.declaration import content_hash

NETWORK = "COSMOS-Europe"
INSTRUMENT = "CRNS"
# One station (AGCK003) was delivered with `# Time` for its column of times.
TIMES = ("DateTime_utc", "Time")
MOISTURE = "SoilMoisture_volumetric_MovAvg24h"
DEPTH = "Footprint_Depth_m"
# These flags are set where a value is not soil water. The flags of gap-filled pressure and humidity do not make it
# wrong.
FLAGS = ("Flag_Extreme_Counts", "Flag_Porosity_Excess", "Flag_Snow_ERA5")
UNSET = ("", "nan", "na", "nodata", "none", "false")
PLACE = ("File name", "Latitude", "Longitude")
Place = tuple[float, float]
"""Latitude and longitude, degrees."""


def list_recordings(url: str, archive: str) -> list[Recording]:
    """The data file of each station, with the station's place."""
    members = list_members(url, lambda path: path.lower().endswith(".csv") and not is_leftover(path))
    stations = [m for m in members if "processed_crns_data" in m.path]
    tables = [m for m in members if m.name.lower().startswith("general_")]
    if not stations or not tables:
        raise InsituError(
            f"{url}: no General_ information*.csv with processed_crns_data_and_diagnostics*/<station>.csv inside; "
            'give the COSMOS-Europe archive, zipped or unpacked, or correct format = "cosmos"'
        )
    # An archive may hold an older revision beside a newer one, whose folder is the last by name.
    places = _read_places(max(tables, key=lambda m: m.path), url)
    taken = {_id_of(member.name): member for member in sorted(stations, key=lambda m: m.path)}
    return [_recording(m, places, taken[_id_of(m.name)]) for m in sorted(stations, key=lambda m: m.path)]


def _id_of(file_name: str) -> str:
    """Id of a station by the name of its file, with or without its ending, in capitals or not."""
    return file_name.strip().lower().removesuffix(".csv")


def _recording(member: Member, places: Mapping[str, Sequence[Place]], taken: Member) -> Recording:
    station = member.name.rsplit(".", 1)[0]
    listed = places.get(_id_of(member.name), ())
    place = listed[0] if len(listed) == 1 else None
    problem = "" if place else f"{member.name}: no place in General_ information*.csv for {station}"
    if len(listed) > 1:
        several = " and ".join(f"{lat:g}, {lon:g}" for lat, lon in listed)
        problem = f"{member.name}: General_ information*.csv has {station} at {several}; keep one row of it"
    if member != taken:
        problem = f"{member.path}: another file of this station, {taken.path}, is taken"
    return Recording(
        key=content_hash("cosmos 2", member.identity, place),
        members=(member,),
        network=NETWORK,
        station=station,
        sensor=INSTRUMENT,
        place=place,
        problem=problem,
    )


def _read_places(member: Member, url: str) -> dict[str, list[Place]]:
    """Latitude and longitude by station id; several where its rows disagree."""
    (content,) = read_members([member])
    try:
        if isinstance(content, SensorError):
            raise content
        # The file is saved in whatever encoding the last editor had; the degree sign tells nothing.
        plain = content.replace("(°)".encode(), b"").replace("(°)".encode("latin-1"), b"")
        table = read_columns(plain, PLACE)
    except SensorError as error:
        raise InsituError(f"{url}: {member.path}: {error}") from error
    table = table[table["File name"] != ""]
    lat, lon = (numbers_of(table[c]) for c in PLACE[1:])
    placed = np.isfinite(lat) & np.isfinite(lon)
    places: dict[str, list[Place]] = {}
    for name, latitude, longitude in zip(table["File name"][placed], lat[placed], lon[placed], strict=True):
        place, listed = (float(latitude), float(longitude)), places.setdefault(_id_of(name), [])
        if place not in listed:
            listed.append(place)
    return places


def read_sensor(recording: Recording, contents: Sequence[bytes]) -> Sensor:
    """The sensor of a station.

    It stands at a third of the mean footprint depth: the mean depth of a weight that falls linearly to zero at the
    bottom of the footprint (Franz et al. 2012).
    """
    table = _read_station(contents[0])
    value, footprint = numbers_of(table[MOISTURE]), numbers_of(table[DEPTH])
    flagged = [_is_set(table[f]) for f in FLAGS if f in table]
    good = ~np.any(flagged, axis=0) if flagged else np.ones(len(table), bool)
    # Codes for missing values, as -9999, are no footprints.
    use = np.isfinite(value) & np.isfinite(footprint) & (footprint > 0)
    absent = [flag for flag in FLAGS if flag not in table]
    sensor = Sensor.unread(recording, "")
    if not use.any():
        return replace(sensor, problem=f"no depth: {DEPTH} has no number beside a value of {MOISTURE}")
    depth = float(footprint[use].mean()) / 3
    time = to_utc(table["time"], None)
    dated = ~np.isnat(time)
    return replace(
        sensor, depth_from_m=depth, depth_to_m=depth, time=time[dated], value=value[dated],
        good=np.asarray(good, bool)[dated], note=f"no column {', '.join(absent)}" if absent else "",
    )  # fmt: skip


def _is_set(flag: pd.Series) -> pd.Series:
    """[n] whether a flag is set: by a number that is not 0, or by a word such as `True`."""
    number = pd.to_numeric(flag, errors="coerce")
    return number.fillna(0).ne(0) | (number.isna() & ~flag.str.lower().isin(UNSET))


def _read_station(content: bytes) -> pd.DataFrame:
    """Times, soil moisture, footprint and flags of a station, as text."""
    for name in TIMES:
        try:
            table = read_columns(content, [name, MOISTURE, DEPTH], FLAGS)
        except SensorError as error:
            if name == TIMES[-1] or f"{name!r}" not in str(error):
                raise SensorError(f"file cannot be read: {error}") from error
        else:
            return table.rename(columns={name: "time"})
    raise AssertionError("a name of the times was tried last")
