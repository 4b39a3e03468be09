"""What kind of archive lies at a place, and the table of own stations that a folder of files still lacks."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

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
MOISTURE_NAME = re.compile(r"soil.?(?:water|moist)|vwc|swc|moist|theta|(?:^|_)sm(?:_|\d|$)", re.IGNORECASE)
TIME_NAME = re.compile(r"time|date", re.IGNORECASE)
DEPTH_CM = re.compile(r"(\d+(?:\.\d+)?)[ _-]?cm", re.IGNORECASE)
# A table of stations has one row a sensor. A larger file is a series, and reading it only to rule it out would cost
# the whole archive.
MOST_TABLE_BYTES = 5_000_000
ArchiveFormat = Literal["ismn", "cosmos", "table"]


@dataclass(frozen=True)
class DraftArchive:
    """An archive as a declaration names it.

    Attributes
    ----------
    note : what kind of archive it is, and of how many files
    table : text of a table of stations that has to be written to `url` and completed by hand; empty where the archive
        needs no table or already has one
    """

    url: str
    format: ArchiveFormat
    note: str
    table: str = ""


def archive_at(url: str) -> DraftArchive:
    """What kind of archive lies at a place, by the names of its files.

    Raises
    ------
    InsituError
        where there is nothing, or nothing that looks like measurements
    """
    members = [member for member in list_members(url, lambda path: not is_leftover(path)) if member.size]
    if recordings := [member for member in members if member.path.lower().endswith(".stm")]:
        return DraftArchive(url, "ismn", f"an ISMN download of {len(recordings)} files")
    stations = [member for member in members if "processed_crns_data" in member.path]
    if stations and any(member.name.startswith("General_") for member in members):
        return DraftArchive(url, "cosmos", f"COSMOS-Europe, {len(stations)} stations")
    plain = [m for m in members if m.packed is None and m.name.lower().endswith((".csv", ".txt", ".tsv", ".parquet"))]
    tables = [member for member in plain if _is_table(member)]
    if tables:
        return DraftArchive(_url_of(url, tables[0]), "table", f"a table of stations beside {len(plain) - 1} files")
    if not plain:
        raise InsituError(
            f"{url}: no ISMN download (*.stm), no COSMOS-Europe archive and no CSV or Parquet files of own stations"
        )
    return DraftArchive(join(url, TABLE_NAME), "table", f"{len(plain)} files of own stations", _drafted(plain))


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


def _drafted(members: Sequence[Member]) -> str:
    """A table with a row a column of soil moisture; what no file says stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, TABLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for member in members:
        writer.writerows(_rows(member))
    return text.getvalue()


def _rows(member: Member) -> Iterator[dict[str, str]]:
    series_bytes = read_bytes(member.url)
    names = column_names(series_bytes)
    by_name = {name.lower(): name for name in names}
    station = re.sub(r"\.\w+$", "", member.name)
    row = {"station": station, "file": member.path, "time": next(filter(TIME_NAME.search, names), names[0])}
    for key in ("latitude", "longitude"):
        if column := by_name.get(key) or by_name.get(key[:3]):
            row[key] = str(read_columns(series_bytes, (column,))[column].iloc[0])
    for value in [name for name in names if MOISTURE_NAME.search(name)] or [""]:
        # A bare number, as in swc_05, may be a depth or the number of a probe; only centimetres that say so are taken.
        depth = DEPTH_CM.search(value)
        depth_m = f"{float(depth[1]) / 100:g}" if depth else ""
        units = _units_of(series_bytes, value) if value else ""
        yield {**row, "value": value, "depth_from_m": depth_m, "depth_to_m": depth_m, "units": units}


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
