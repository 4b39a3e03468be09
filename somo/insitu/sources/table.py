"""Own stations: a table with a row a sensor, which says in which file and column its series lies and what it means.

Columns of the table: station, latitude, longitude, file, time, value, depth_from_m, depth_to_m, and as needed units,
utc_offset_hours, quality, good. It is CSV or Parquet, as are the files it names.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.columns import column_names, read_columns
from somo.insitu.sources.table_files import Files
from somo.insitu.sources.table_series import Columns, read_series, require_percent
from somo.product.declaration import content_hash
from somo.storage.client import filesystem
from somo.storage.objects import read_bytes
from somo.storage.patience import StorageError

NEEDED = ("station", "latitude", "longitude", "file", "time", "value", "depth_from_m")
OPTIONAL = ("depth_to_m", "units", "utc_offset_hours", "quality", "good", "network", "sensor")
NUMBERS_DEPEND_ON = ("depth_to_m", "units", "utc_offset_hours", "quality", "good")
"""Columns whose absence says something of the numbers."""
# So like each other are quality_flag and quality, utcoffset and utc_offset_hours; depth is less like depth_to_m.
MISSPELT = 0.7
UNITS = {
    **dict.fromkeys(("", "m3m-3", "m3/m3", "cm3cm-3", "cm3/cm3", "1", "-", "fraction", "v/v", "vol/vol"), 1.0),
    **dict.fromkeys(("%", "percent", "vol%", "%vol", "vol-%", "%v/v", "volpercent", "pct", "m3/m3%"), 0.01),
}
"""Factor to m3 m-3 by the unit, as `_plain_unit` writes it."""
_EXAMPLES = {"depth": "0.05, in metres", "utc": "-6 or 5.5, in hours", "": "50.91, in degrees"}
"""How a number of the table is written, by how the name of its column begins."""
_REMEDIES = {
    "station": "name it",
    "file": "name the file beside the table",
    "time": "name the column of the times",
    "value": "name the column of the values",
}
"""What to write into a cell of the table that is no number and has to be filled."""
# A file of fewer days than two months may hold a drought alone, whose numbers say nothing of their units.
LEAST_JUDGED = np.timedelta64(60, "D")
# A season of a longer file may be that dry, but no year.
MOST_OF_A_YEAR = np.timedelta64(300, "D")


def list_recordings(url: str, archive: str) -> list[Recording]:
    """Every row of the table; one that makes no sense becomes a recording that says so."""
    try:
        table_bytes = read_bytes(url)
        _require_known_columns(url, column_names(table_bytes))
        rows = read_columns(table_bytes, NEEDED, OPTIONAL).reindex(columns=[*NEEDED, *OPTIONAL], fill_value="")
    except SensorError as error:
        raise InsituError(
            f"{url}: {error}; a table of own stations has the columns {', '.join((*NEEDED, *OPTIONAL[:5]))}"
        ) from error
    except StorageError as error:
        fs, path = filesystem(url)
        if fs.isdir(path):
            raise InsituError(f"{url}: is a folder; name the table of stations in it, as {url}/stations.csv") from error
        raise InsituError(f"{url}: no such table ({error}); check the url under [[insitu]]") from error
    # A column of numbers in a Parquet file takes no text in place of a missing one.
    rows = rows.astype(object).where(rows.notna(), "").astype(str).apply(lambda column: column.str.strip())
    # A row that lacks its name alone, as where one is written for several sensors, is no empty line.
    rows = rows[(rows != "").any(axis=1)]
    if rows.empty:
        raise InsituError(f"{url}: the table has no row; give one row a sensor")
    files = Files(url)
    return [_recording(row, files, archive) for row in rows.to_dict("records")]


def _require_known_columns(url: str, names: Sequence[str]) -> None:
    """Refuse a column that is meant for one that the table may have: passed by, its clock or units would be wrong.

    Raises
    ------
    InsituError
        naming both
    """
    known = {*NEEDED, *OPTIONAL}
    spelled = {name.casefold().replace(" ", "_"): name for name in names}
    for wanted in NUMBERS_DEPEND_ON:
        others = [name for name in spelled if name not in known]
        if wanted not in spelled and (near := get_close_matches(wanted, others, 1, MISSPELT)):
            raise InsituError(
                f"{url}: column {spelled[near[0]]!r} is none of the table, and would be passed by; if {wanted} is "
                "meant, rename it, else take it out"
            )


def _recording(row: dict[str, str], files: Files, archive: str) -> Recording:
    members, columns, problem = tuple[Member, ...](), None, ""
    place, depth = None, None
    try:
        _require_filled(row)
        place = _number(row, "latitude", 90), _number(row, "longitude", 360)
        top = _number(row, "depth_from_m", 100)
        depth = top, _number(row, "depth_to_m", 100) if row["depth_to_m"] else top
        if min(depth) < 0:
            raise SensorError(f"depth {min(depth):g} m lies above the surface; depths are metres below it")
        columns = _columns(row)
        members = files.find(row["file"])
    except SensorError as error:
        problem = str(error)
    return Recording(
        key=content_hash("table 6", sorted(row.items()), [(m.identity, m.version) for m in members]),
        members=members,
        network=row["network"] or archive,
        station=row["station"],
        sensor=row["sensor"] or row["value"],
        depth_m=depth,
        place=place,
        problem=problem,
        details=columns,
    )


def _require_filled(row: dict[str, str]) -> None:
    """Refuse a row that lacks what every sensor needs, and name all of it: somebody completes the table by hand."""
    empty = [name for name in NEEDED if not row[name]]
    if empty:
        raise SensorError("; ".join(f"{name} is empty; {_REMEDIES.get(name) or _as_example(name)}" for name in empty))


def _as_example(name: str) -> str:
    return f"write it as {next(text for start, text in _EXAMPLES.items() if name.startswith(start))}"


def _columns(row: dict[str, str]) -> Columns:
    unit = _plain_unit(row["units"])
    if unit not in UNITS:
        raise SensorError(f"units {row['units']!r} are unknown; write m3 m-3 or %")
    if bool(row["quality"]) != bool(row["good"]):
        filled_column, empty_column = ("quality", "good") if row["quality"] else ("good", "quality")
        raise SensorError(
            f"{filled_column} is {row[filled_column]!r} and {empty_column} is empty; "
            "give both, such as SWC_F_MDS_1_QC and 0|1"
        )
    return Columns(
        time=row["time"],
        value=row["value"],
        quality=row["quality"],
        factor=UNITS[unit],
        offset_hours=_number(row, "utc_offset_hours", 14) if row["utc_offset_hours"] else None,
        good=tuple(accepted.strip() for accepted in row["good"].split("|")),
    )


def _plain_unit(unit: str) -> str:
    superscripts = str.maketrans("²³⁻¹−", "23-1-")
    plain = unit.lower().translate(superscripts)
    return "".join(c for c in plain if c not in " ^*._()[]")


def _number(row: dict[str, str], name: str, most: float) -> float:
    # tables of programs set to German or French have decimal commas, and semicolons between columns
    try:
        number = float(row[name].replace(",", "."))
    except ValueError as error:
        raise SensorError(f"{name} {row[name]!r} is no number; {_as_example(name)}") from error
    if not math.isfinite(number) or abs(number) > most:
        raise SensorError(f"{name} {row[name]} is not between {-most:g} and {most:g}")
    return number


def _require_percent_each_year(
    time: NDArray[np.datetime64], value: NDArray[np.float64], good: NDArray[np.bool_], columns: Columns
) -> None:
    """Refuse a file that has fractions in one year and percent in the next, as after a change of the logger."""
    years = time.astype("M8[Y]")
    for year in np.unique(years):
        within = years == year
        if time[within].max() - time[within].min() >= MOST_OF_A_YEAR:
            require_percent(value[within & good], columns)


def read_sensor(recording: Recording, contents: Sequence[bytes]) -> Sensor:
    """The sensor of one row; of equal times in several files the last file's value counts."""
    sensor, columns = Sensor.unread(recording, ""), recording.details
    assert isinstance(columns, Columns)
    times, values, accepted, notes = [], [], [], []
    has_bytes = any(content.strip() for content in contents)
    for member, content in zip(recording.members, contents, strict=True):
        # A year that nobody has written yet costs no other year.
        if has_bytes and not content.strip():
            notes.append(f"{member.name}: file has no data")
            continue
        try:
            time, value, good, note = read_series(content, columns)
            # One year may be in percent and the next in fractions, which are 100 times too small beside it.
            if len(time) and time.max() - time.min() >= LEAST_JUDGED:
                require_percent(value[good], columns)
            _require_percent_each_year(time, value, good, columns)
        except SensorError as error:
            raise SensorError(f"{member.name}: {error}") from error
        times.append(time)
        values.append(value)
        accepted.append(good)
        notes += [f"{member.name}: {note}"] if note else []
    value, good = np.concatenate(values), np.concatenate(accepted)
    require_percent(value[good], columns)
    return replace(
        sensor, time=np.concatenate(times), value=value, good=good, note="; ".join(notes),
        problem="" if len(value) else "; ".join(["file has no data", *notes]),
    )  # fmt: skip
