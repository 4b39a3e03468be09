"""Own stations: a table with a row a sensor, which says in which file and column its series lies and what it means.

Columns of the table: station, latitude, longitude, file, time, value, depth_from_m, depth_to_m, and as needed units,
utc_offset_hours, quality, good. It is CSV or Parquet, as are the files it names.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.clocks import to_utc
from somo.insitu.sources.columns import read_columns
from somo.insitu.sources.table_files import Files
from somo.product.declaration import content_hash
from somo.storage.objects import read_bytes
from somo.storage.patience import StorageError

NEEDED = ("station", "latitude", "longitude", "file", "time", "value", "depth_from_m")
OPTIONAL = ("depth_to_m", "units", "utc_offset_hours", "quality", "good", "network", "sensor")
UNITS = {
    **dict.fromkeys(("", "m3m-3", "m3/m3", "cm3cm-3", "cm3/cm3", "1", "-", "fraction", "v/v", "vol/vol"), 1.0),
    **dict.fromkeys(("%", "percent", "vol%", "%vol", "vol-%", "%v/v", "volpercent", "pct", "m3/m3%"), 0.01),
}
"""Factor to m3 m-3 by the unit, as `_plain_unit` writes it."""
# Loggers write up to three rows below the names of columns: units, and kinds of mean.
_MOST_HEAD_ROWS = 3


@dataclass(frozen=True)
class Columns:
    """Where the series of one sensor is in its file, and what its numbers mean.

    Attributes
    ----------
    time, value, quality : names of columns; times in two columns are joined by `+`; without `quality` all are good
    factor : to m3 m-3
    offset_hours : how far the clock is ahead of UTC; None if the table does not say
    good : accepted values of `quality`
    """

    time: str
    value: str
    quality: str = ""
    factor: float = 1.0
    offset_hours: float | None = None
    good: tuple[str, ...] = ()


def list_recordings(url: str, archive: str) -> list[Recording]:
    """Every row of the table; one that makes no sense becomes a recording that says so."""
    try:
        rows = read_columns(read_bytes(url), NEEDED, OPTIONAL).reindex(columns=[*NEEDED, *OPTIONAL], fill_value="")
    except SensorError as error:
        raise InsituError(
            f"{url}: {error}; a table of own stations has the columns {', '.join((*NEEDED, *OPTIONAL[:5]))}"
        ) from error
    except StorageError as error:
        raise InsituError(f"{url}: no such table ({error}); check the url under [[insitu]]") from error
    rows = rows.fillna("").astype(str).apply(lambda column: column.str.strip())
    rows = rows[rows["station"] != ""]
    if rows.empty:
        raise InsituError(f"{url}: the table has no row; give one row a sensor")
    files = Files(url)
    return [_recording(row, files, archive) for row in rows.to_dict("records")]


def _recording(row: dict[str, str], files: Files, archive: str) -> Recording:
    members, columns, problem = tuple[Member, ...](), None, ""
    place, depth = None, None
    try:
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
        key=content_hash("table 1", sorted(row.items()), [(m.identity, m.version) for m in members]),
        members=members,
        network=row["network"] or archive,
        station=row["station"],
        sensor=row["sensor"] or row["value"],
        depth_m=depth,
        place=place,
        problem=problem,
        details=columns,
    )


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
    for name in ("time", "value"):
        if not row[name]:
            raise SensorError(f"{name} is empty; name the column of the {name}s")
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
        raise SensorError(f"{name} {row[name]!r} is no number") from error
    if not math.isfinite(number) or abs(number) > most:
        raise SensorError(f"{name} {row[name]} is not between {-most:g} and {most:g}")
    return number


def read_sensor(recording: Recording, contents: Sequence[bytes]) -> Sensor:
    """The sensor of one row; of equal times in several files the last file's value counts."""
    sensor, columns = Sensor.unread(recording, ""), recording.details
    assert isinstance(columns, Columns)
    times, values, accepted, notes = [], [], [], []
    for member, content in zip(recording.members, contents, strict=True):
        try:
            time, value, good, note = read_series(content, columns)
        except SensorError as error:
            raise SensorError(f"{member.name}: {error}") from error
        times.append(time)
        values.append(value)
        accepted.append(good)
        notes += [f"{member.name}: {note}"] if note else []
    return Sensor(
        **{f: getattr(sensor, f) for f in ("network", "station", "name", "latitude", "longitude")},
        depth_from_m=sensor.depth_from_m,
        depth_to_m=sensor.depth_to_m,
        time=np.concatenate(times),
        value=np.concatenate(values),
        good=np.concatenate(accepted),
        note="; ".join(notes),
        problem="" if sum(map(len, times)) else "file has no data",
    )


def read_series(
    content: bytes, columns: Columns
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.bool_], str]:
    """Times in UTC, values in m3 m-3, which of them are good, and a note about rows that cannot be read."""
    clock = columns.time.split("+")
    wanted = [*clock, columns.value, *([columns.quality] if columns.quality else [])]
    file = read_columns(content, list(dict.fromkeys(wanted)))
    written = file[clock[0]] if len(clock) == 1 else _beside(file[clock[0]], file[clock[1]])
    time = to_utc(written, columns.offset_hours)
    value = numbers_of(file[columns.value])
    good = _is_good(file[columns.quality], columns.good) if columns.quality else np.ones(len(file), bool)
    broken = np.isnat(time)
    if len(broken) > _MOST_HEAD_ROWS and broken.all():
        raise SensorError(
            f"column {columns.time!r} holds no time that can be read, such as {written.iloc[-1]!r}; write them as "
            "2018-12-31 23:00"
        )
    note = ""
    if broken[_MOST_HEAD_ROWS:].any():
        example = written[broken].iloc[-1]
        note = f"{int(broken.sum())} rows have no time that can be read, such as {example!r}"
    return time[~broken], value[~broken] * columns.factor, good[~broken], note


def _beside(date: pd.Series, clock: pd.Series) -> pd.Series:
    """Date and time of day in one text; of digits alone without a space between, as USCRN's `20180101` and `0100`."""
    date, clock = date.astype(str), clock.astype(str)
    if clock.str.fullmatch(r"\d{1,4}").all():
        return date + clock.str.zfill(4)
    return date + " " + clock


def numbers_of(column: pd.Series) -> NDArray[np.float64]:
    """[n] numbers of a column, NaN where none; a comma is taken for the decimal point where there are no points."""
    numbers = pd.to_numeric(column, errors="coerce")
    if column.dtype.kind not in "fiu" and numbers.isna().any():
        text = column.astype(str)
        if text.str.contains(",").any() and not text.str.contains(r"\.").any():
            numbers = pd.to_numeric(text.str.replace(",", "."), errors="coerce")
    return numbers.to_numpy(np.float64)


def _is_good(quality: pd.Series, accepted: Sequence[str]) -> NDArray[np.bool_]:
    """[n] whether a value's quality is one of the accepted ones, as text or as number (`0`, `0.0`)."""
    text = quality.astype(str).str.strip()
    numbers = pd.to_numeric(pd.Series(accepted), errors="coerce").dropna().to_numpy()
    equal = np.isin(pd.to_numeric(quality, errors="coerce").to_numpy(np.float64), numbers)
    return np.asarray(text.isin(list(accepted)).to_numpy(bool) | equal, bool)
