"""What kind of archive lies at a place, and the table of own stations that a folder of files still lacks."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member, is_leftover, list_members
from somo.insitu.sources.columns import column_names, read_columns
from somo.insitu.sources.table import NEEDED
from somo.insitu.sources.table_series import numbers_of
from somo.storage.objects import join, read_bytes

TABLE_NAME = "stations.csv"
TABLE_COLUMNS = (*NEEDED, "depth_to_m", "units", "utc_offset_hours", "quality", "good")
# Loggers and networks have no common name for a column of soil moisture: SWC, VWC, theta, sm_5, Soil_Water.
MOISTURE_NAME = re.compile(
    r"(?:soil|boden).?(?:water|moist|wasser|feuchte)|vwc|swc|moist|theta|(?:^|_)sm(?:_|\d|$)", re.IGNORECASE
)
TIME_NAME = re.compile(r"time|dat(?:e|um)|zeit", re.IGNORECASE)
# The time of day in a column of its own, as loggers and weather services write it beside the date.
CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
DEPTH_CM = re.compile(r"(\d+(?:\.\d+)?)[ _-]?cm", re.IGNORECASE)
FLAG_NAME = re.compile(r"flag|quality|(?:^|_)q[cfa](?:_|$)", re.IGNORECASE)
# More different values than this are measurements of quality, as a signal's strength, and no flags.
MOST_FLAGS = 20
# Columns of a table of places, as people name them.
STATION_NAMES = ("station", "id", "name", "site", "code", "station_id", "site_id")
LATITUDE_NAMES = ("latitude", "lat", "breite", "geobreite")
LONGITUDE_NAMES = ("longitude", "lon", "lng", "long", "länge", "laenge", "geolänge", "geolaenge")
# Loggers of Campbell end the names of their files in .dat.
SERIES_NAME = re.compile(r"(?P<stem>.+)\.(?:csv|txt|tsv|dat|parquet)(?:\.gz)?", re.IGNORECASE)
# Years at the end of a file's name are those of its values.
YEARS_AT_END = re.compile(r"(?:[-_. ]+(?:19|20)\d\d)+$")
# A table of stations has one row a sensor. A larger file is a series, and reading it only to rule it out would cost
# the whole archive.
MOST_TABLE_BYTES = 5_000_000
# Names in a sentence on the terminal, before they are only counted.
MOST_NAMED = 4
ArchiveFormat = Literal["ismn", "cosmos", "table"]


@dataclass(frozen=True)
class DraftArchive:
    """An archive as a declaration names it.

    Attributes
    ----------
    note : what kind of archive it is, and of how many files
    table : text of a table of stations that has to be written to `url` and completed by hand; empty where the archive
        needs no table or already has one
    stations : how many there are, as far as names tell
    to_complete : what the table of stations lacks, a sentence each
    """

    url: str
    format: ArchiveFormat
    note: str
    table: str = ""
    stations: int = 0
    to_complete: tuple[str, ...] = ()


def archive_at(url: str) -> DraftArchive:
    """What kind of archive lies at a place, by the names of its files.

    Raises
    ------
    InsituError
        where there is nothing, or nothing that looks like measurements
    """
    members = [member for member in list_members(url, lambda path: not is_leftover(path)) if member.size]
    if recordings := [member for member in members if member.path.lower().endswith(".stm")]:
        stations = {member.path.rpartition("/")[0] for member in recordings}
        return DraftArchive(url, "ismn", f"an ISMN download of {len(recordings)} files", stations=len(stations))
    records = [member for member in members if "processed_crns_data" in member.path]
    if records and any(member.name.startswith("General_") for member in members):
        return DraftArchive(url, "cosmos", f"COSMOS-Europe, {len(records)} stations", stations=len(records))
    plain = [member for member in members if member.packed is None and SERIES_NAME.fullmatch(member.name)]
    if table := next(filter(_is_table, plain), None):
        text = read_bytes(table.url)
        note = f"a table of stations beside {len(plain) - 1} files"
        optional = tuple(name for name in TABLE_COLUMNS if name not in NEEDED)
        written_rows = read_columns(text, NEEDED, optional).astype(str).to_dict("records")
        return _of_own_stations(_url_of(url, table), note, [cast("dict[str, str]", row) for row in written_rows])
    places_by_file = {member.url: _places_in(member.url) for member in plain if member.size <= MOST_TABLE_BYTES}
    series = [member for member in plain if not places_by_file.get(member.url)]
    if not series:
        raise InsituError(
            f"{url}: no ISMN download (*.stm), no COSMOS-Europe archive and no CSV or Parquet files of own stations; "
            "unpack those that lie in zips"
        )
    places = _places_beside(url)
    for places_in_file in places_by_file.values():
        places |= places_in_file
    rows = [row for member in series for row in _rows(member, places)]
    drafted = _of_own_stations(join(url, TABLE_NAME), f"{len(series)} files of own stations", rows)
    return replace(drafted, table=_as_csv(rows))


def _of_own_stations(url: str, note: str, rows: Sequence[Mapping[str, str]]) -> DraftArchive:
    stations = {row.get("station", "") for row in rows}
    return DraftArchive(url, "table", note, stations=len(stations), to_complete=tuple(_lacking(rows)))


def _lacking(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """What has to be written into a table of stations by hand before it tells the truth, the necessary first."""

    def lack(column: str) -> list[Mapping[str, str]]:
        return [row for row in rows if not str(row.get(column) or "").strip()]

    if without := lack("latitude"):
        named = sorted({row.get("station", "") for row in without})
        yield f"latitude and longitude of {_listed(named, 'station')}"
    if without := lack("value"):
        named = sorted({row.get("file", "") for row in without})
        yield f"value, the column of soil moisture, in {_listed(named, 'file')}; a further column is a further row"
    if without := lack("depth_from_m"):
        named = sorted({row.get("value", "") for row in without} - {""})
        yield f"depth_from_m and depth_to_m of {_listed(named, 'column')}" if named else "depth_from_m and depth_to_m"
    if without := [row for row in rows if row.get("quality") and not row.get("good")]:
        flags = sorted({row["quality"] for row in without})
        yield f"good: which values of {_listed(flags, 'column')} are good, separated by |"
    if lack("utc_offset_hours"):
        yield "utc_offset_hours, unless the clocks are UTC (an empty one is taken for it)"


def _listed(names: Sequence[str], noun: str) -> str:
    """A few names in a sentence, and how many there are."""
    if len(names) <= MOST_NAMED:
        return ", ".join(names)
    return f"{len(names)} {noun}s ({', '.join(names[:MOST_NAMED])}, ...)"


def _is_table(member: Member) -> bool:
    if member.size > MOST_TABLE_BYTES:
        return False
    try:
        read_columns(read_bytes(member.url), NEEDED)
    except SensorError:
        return False
    return True


def _url_of(url: str, member: Member) -> str:
    """The URL of a member as the archive was named: a file itself, or a file in a folder."""
    return url if url.endswith(member.path) else join(url, member.path)


def _places_beside(url: str) -> dict[str, tuple[str, str]]:
    """Latitude and longitude by station, from small tables in the folder that holds the archive."""
    beside = Path(url).parent
    places: dict[str, tuple[str, str]] = {}
    if "://" not in url and beside.is_dir():
        for path in sorted(beside.glob("*.csv")):
            places |= _places_in(str(path)) if path.stat().st_size <= MOST_TABLE_BYTES else {}
    return places


def _places_in(table_url: str) -> dict[str, tuple[str, str]]:
    """Latitude and longitude by station of a table of places; empty where the file is none."""
    table_bytes = read_bytes(table_url)
    try:
        by_name = {name.lower().strip(): name for name in column_names(table_bytes)}
    except SensorError:
        # No table at all, as the licence beside the files; whether it is a series is for those who read series to say.
        return {}
    station, latitude, longitude = (
        next((by_name[name] for name in names if name in by_name), None)
        for names in (STATION_NAMES, LATITUDE_NAMES, LONGITUDE_NAMES)
    )
    is_series = any(MOISTURE_NAME.search(name) or TIME_NAME.search(name) for name in by_name)
    if is_series or station is None or latitude is None or longitude is None:
        return {}
    table = read_columns(table_bytes, (station, latitude, longitude))
    columns = (table[column].astype(str).str.strip() for column in (station, latitude, longitude))
    return {name: (lat, lon) for name, lat, lon in zip(*columns, strict=True)}


def _as_csv(rows: Sequence[Mapping[str, str]]) -> str:
    """A table with a row a column of soil moisture; what no file says stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(member: Member, places: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, str]]:
    series_bytes = read_bytes(member.url)
    try:
        names = column_names(series_bytes)
    except SensorError as error:
        raise InsituError(f"{member.url}: {error}, or take the file out of the folder") from error
    by_name = {name.lower(): name for name in names}
    named = SERIES_NAME.fullmatch(member.name)
    assert named is not None
    stem = named["stem"]
    station = stem if stem in places else YEARS_AT_END.sub("", stem) or stem
    row = {"station": station, "file": member.path, "time": _time_of(series_bytes, names)}
    if station in places:
        row["latitude"], row["longitude"] = places[station]
    for key in ("latitude", "longitude"):
        if column := by_name.get(key) or by_name.get(key[:3]):
            row[key] = str(read_columns(series_bytes, (column,))[column].iloc[0])
    flags = [name for name in names if FLAG_NAME.search(name) and _holds_flags(series_bytes, name)]
    moisture = [name for name in names if MOISTURE_NAME.search(name) and name not in flags]
    for value in moisture or [""]:
        # A bare number, as in swc_05, may be a depth or the number of a probe; only centimetres that say so are taken.
        depth = DEPTH_CM.search(value)
        depth_m = f"{float(depth[1]) / 100:g}" if depth else ""
        units = _units_of(series_bytes, value) if value else ""
        # Flags of one sensor carry its name, and a column of flags alone is that of all, unless it carries one.
        own_flags = [name for name in flags if value and name.lower().startswith(value.lower())]
        is_of_all = len(flags) == 1 and not flags[0].lower().startswith(tuple(name.lower() for name in moisture))
        quality = (own_flags or (flags if is_of_all else [""]))[0]
        yield {
            **row, "value": value, "depth_from_m": depth_m, "depth_to_m": depth_m, "units": units, "quality": quality
        }  # fmt: skip


def _time_of(series_bytes: bytes, names: Sequence[str]) -> str:
    """The column of times, or those of date and time of day joined by `+`."""
    time = next(filter(TIME_NAME.search, names), names[0])
    # A name that stands there twice cannot be read, and need not be here.
    lower = [name.lower().strip() for name in names]
    single = [name for name in names if name.strip() and lower.count(name.lower().strip()) == 1]
    if time not in single or _is_date_and_clock(_usual_row(series_bytes, [time])[time]):
        return time
    row = _usual_row(series_bytes, single)
    clocks = [name for name in single if CLOCK.fullmatch(row[name])]
    dates = [name for name in single if name not in clocks]
    if not clocks or not dates:
        return time
    date = time if time in dates else next(filter(TIME_NAME.search, dates), dates[0])
    return date if _is_date_and_clock(row[date]) else f"{date}+{clocks[0]}"


def _usual_row(series_bytes: bytes, names: Sequence[str]) -> dict[str, str]:
    """A row in the middle, since units may stand below the names; empty texts where there is none."""
    table = read_columns(series_bytes, names)
    return {name: str(table[name].iloc[len(table) // 2]) if len(table) else "" for name in names}


def _is_date_and_clock(written: str) -> bool:
    return ":" in written and not CLOCK.fullmatch(written)


def _holds_flags(series_bytes: bytes, column: str) -> bool:
    return int(read_columns(series_bytes, (column,))[column].nunique()) <= MOST_FLAGS


def _units_of(series_bytes: bytes, column: str) -> str:
    """Units of a column of soil moisture, by the size of its numbers; empty where it has none.

    No soil holds more water than its own volume, so numbers that are mostly above 1 are percent.
    """
    numbers = numbers_of(read_columns(series_bytes, (column,))[column])
    # Codes for missing values, as -9999, are no measurements.
    measured = numbers[np.isfinite(numbers) & (numbers > 0)]
    if not len(measured):
        return ""
    return "%" if np.median(measured) > 1 else "m3 m-3"
