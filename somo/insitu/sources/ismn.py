"""ISMN archives -> sensors, in both layouts that the ISMN delivers and in what people make of them.

"Header + values" has one line about the sensor and then `date time value flag provider's flag`; "CEOP" has everything
in every line. The `ismn` package reads neither where a name, a flag or a letter is unusual; tests compare both readers.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.core.grid import distance_km
from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member, is_leftover, leads_outside, list_members
from somo.insitu.same_sensor import SAME_PLACE_KM
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.ismn_names import (
    MISSING,
    SOIL_MOISTURE,
    VARIABLES,
    Header,
    Named,
    depth_of,
    instrument_of,
    is_close,
    read_header,
    read_name,
)
from somo.insitu.sources.table_series import ODD_SHARE
from somo.insitu.sources.wrapped import PACKED_NAME, plain_bytes
from somo.product.declaration import content_hash

# Exactly `G`, the rule of the paper: the flags D01 to D03 of the ISMN stand for frozen soil and are left out with the
# rest.
GOOD = "G"
NO_DATA = "file has no data"
_FILLED_LINE = re.compile(rb"[^\s][^\r\n]*")
# A second header, or a broken line: every line of a value begins with its date.
_NO_VALUE_LINE = re.compile(rb"^(?!\d{4}[/-]\d)[^\s][^\r\n]*", re.MULTILINE)
_DATE = re.compile(rb"\d{4}[/-]\d\d?[/-]\d\d?$")
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
# pandas compares letter by letter.
_MISSING_VALUES = sorted({spelled for m in MISSING for spelled in (m, m.upper(), m.capitalize())} | {"NaN"})


def list_recordings(url: str, archive: str) -> list[Recording]:
    """Every sensor of an archive by the names of its files."""
    listed = [member for member in list_members(url, _is_of_interest) if _is_of_interest(member.path)]
    members = [member for member in listed if not PACKED_NAME.fullmatch(member.name)]
    named = [(read_name(member.path), member) for member in members]
    named = [(name, member) for name, member in named if name.variable in (SOIL_MOISTURE, "") or _unknown(name)]
    packed = [member for member in listed if PACKED_NAME.fullmatch(member.name)]
    if not named:
        raise InsituError(_nothing_in(url, packed))
    # One series may have been downloaded twice, or year by year, into the same zip.
    named.sort(key=lambda pair: (*_series(*pair), pair[0].last, pair[1].modified), reverse=True)
    groups = groupby(named, key=lambda pair: _series(*pair))
    recordings = [_recording([name for name, _ in group], [member for _, member in group])
                  for group in (list(pairs) for _, pairs in groups)]  # fmt: skip
    return recordings + [_packed(member) for member in packed]


def _is_of_interest(path: str) -> bool:
    """Whether a file may hold sensors: those that are packed in a way that is not read are listed with this reason."""
    # Mail programs and browsers add `.txt` to endings that they do not know.
    is_stm = path.lower().endswith((".stm", ".stm.gz", ".stm.txt"))
    return (is_stm or PACKED_NAME.fullmatch(path) is not None) and not is_leftover(path)


def _nothing_in(url: str, packed: Sequence[Member]) -> str:
    """What an archive without soil moisture should be instead."""
    if packed:
        return f"{url}: {packed[0].name} is packed in a way that is not read; unpack it, or pack it again as a zip"
    if url.lower().endswith((".csv", ".tsv", ".txt", ".parquet")):
        return f'{url}: no ISMN archive; a table of own stations needs format = "table"'
    return (
        f"{url}: no soil-moisture files (*_sm_*.stm) inside, nor in zips inside; "
        "give an ISMN archive, zipped or unpacked, that holds the variable soil moisture, "
        'or correct format = "ismn"'
    )


def _packed(member: Member) -> Recording:
    problem = f"{member.path} is packed in a way that is not read; unpack it, or pack it again as a zip"
    return Recording(content_hash("ismn 3", member.identity), (member,), "", "", problem=problem)


def _series(name: Named, member: Member) -> tuple[str, str]:
    """What the files of one sensor share that lie beside each other, in one zip or in one folder."""
    return member.url if member.packed else "", name.series


def _unknown(name: Named) -> bool:
    return name.variable not in VARIABLES


def _recording(names: list[Named], members: list[Member]) -> Recording:
    newest = names[0]
    problem = ""
    if leads_outside(members[0].path):
        problem = f"the name {members[0].path!r} leads out of the archive"
    elif newest.variable != SOIL_MOISTURE:
        problem = f"the name {members[0].name!r} does not say that it holds soil moisture (..._sm_<from>_<to>_...)"
    return Recording(
        key=content_hash("ismn 3", [member.identity for member in members]),
        members=tuple(members),
        network=newest.network,
        station=newest.station,
        sensor=newest.instrument,
        depth_m=newest.depth_m,
        problem=problem,
    )


def read_sensor(recording: Recording, contents: Sequence[bytes]) -> Sensor:
    """The sensor in the files of one series; of two downloads the newer counts from its first to its last time."""
    sensors, reasons = [], list[str]()
    for member, data in zip(recording.members, contents, strict=True):
        try:
            sensors.append(_read_file(member, data))
        except SensorError as error:
            reasons.append(str(error))
    if not sensors:
        raise SensorError(reasons[0])
    _require_one_station(sensors)
    return joined(sensors, reasons)


def _require_one_station(sensors: Sequence[Sensor]) -> None:
    first = sensors[0]
    for other in sensors[1:]:
        apart_km = distance_km(first.latitude, first.longitude, other.latitude, other.longitude)
        if (first.network, first.station) != (other.network, other.station) or apart_km > SAME_PLACE_KM:
            stations = (f"{s.network}/{s.station} at {s.latitude:g} N, {s.longitude:g} E" for s in (first, other))
            raise SensorError(f"files of one name hold {' and '.join(stations)}; put them into folders of their own")


def joined(sensors: Sequence[Sensor], reasons: Sequence[str] = ()) -> Sensor:
    """One sensor of several downloads of it, newest first."""
    newest = sensors[0]
    times = [newest.time]
    chosen = [np.arange(len(newest.time))]
    overlaps = False
    for older in sensors[1:]:
        inside = np.zeros(len(older.time), bool)
        for covered in times:
            if len(covered):
                inside |= (older.time >= covered.min()) & (older.time <= covered.max())
        overlaps |= bool(inside.any())
        chosen.append(np.flatnonzero(~inside))
        times.append(older.time)
    notes = [s.note for s in sensors if s.note] + list(reasons)
    if overlaps:
        notes.append(f"of {len(sensors)} downloads the newest was taken where they overlap ({newest.downloaded[:8]})")
    return replace(
        newest,
        time=np.concatenate([s.time[i] for s, i in zip(sensors, chosen, strict=True)]),
        value=np.concatenate([s.value[i] for s, i in zip(sensors, chosen, strict=True)]),
        good=np.concatenate([s.good[i] for s, i in zip(sensors, chosen, strict=True)]),
        note="; ".join(notes),
        problem="" if any(len(s.time) for s in sensors) else newest.problem,
    )


def _read_file(member: Member, data: bytes) -> Sensor:
    """The sensor in one file."""
    named = read_name(member.path)
    data = plain_bytes(data).removeprefix(b"\xef\xbb\xbf").lstrip()
    lines = re.split(rb"[\r\n]+", data[:8192], maxsplit=1)
    first = lines[0].split()
    if not first:
        raise SensorError(NO_DATA)
    in_every_line = bool(_DATE.match(first[0]))
    # Two times stand before the names of a CEOP line: the nominal and the actual one, of which the nominal counts.
    tokens = [_text(t) for t in (first[4:] if in_every_line else first)]
    header = read_header(tokens, named, 6 if in_every_line else 5)
    if header is None:
        raise SensorError(f"file cannot be read: its first line is no header: {_text(lines[0][:80])!r}")
    column = 4 + header.tokens if in_every_line else 2
    _require_one_sensor(data, header, named, in_every_line)
    time, value, good, note = read_lines(data, column, 0 if in_every_line else 1)
    note = "; ".join(filter(None, (note, _several_values(time, value, good))))
    top, bottom = depth_of(header, named)
    if named.depth_m and not is_close((top, bottom), named.depth_m):
        note = "; ".join(filter(None, (note, f"its file's name says {'-'.join(f'{d:g}' for d in named.depth_m)} m")))
    return Sensor(
        network=header.network,
        station=header.station,
        name=named.instrument if in_every_line else instrument_of(header, named),
        latitude=header.latitude,
        longitude=header.longitude,
        depth_from_m=top,
        depth_to_m=bottom,
        time=time,
        value=value,
        good=good,
        downloaded=f"{named.last} {member.modified}",
        note=note,
        # A file of lines of which none can be read is not empty.
        problem="" if len(time) else note or NO_DATA,
    )


def _several_values(time: NDArray[np.datetime64], value: NDArray[np.float64], good: NDArray[np.bool_]) -> str:
    """A note where many times have several good values, as in files that were put together of two sensors."""
    use = good & np.isfinite(value)
    if (np.diff(time[use]) > np.timedelta64(0, "s")).all():
        return ""
    pairs = pd.DataFrame({"time": time[use], "value": value[use]}).drop_duplicates()
    values_at = pairs["time"].value_counts()
    several = int((values_at > 1).sum())
    if several <= ODD_SHARE * len(values_at):
        return ""
    return f"{several} of {len(values_at)} times stand there with several values, of which the first counts"


def _require_one_sensor(data: bytes, header: Header, named: Named, in_every_line: bool) -> None:
    """Refuse files of several sensors one below the other: all values would be taken for those of the first."""
    if in_every_line:
        # Lines of one sensor have the same bytes between times and value, which are counted sooner than lines are cut.
        about = re.match(rb"(?:\S+\s+){4}((?:\S+\s+){%d}\S+\s)" % (header.tokens - 1), data)
        if about is not None and data.count(about[1]) == len(_FILLED_LINE.findall(data)):
            return
        cut = [line.split()[4:] for line in re.split(rb"[\r\n]+", data)]
        lines = list({tuple(tokens[: header.tokens]): tokens for tokens in cut}.values())
    else:
        lines = [match[0].split() for match in _NO_VALUE_LINE.finditer(data)]
    for tokens in lines:
        other = read_header([_text(t) for t in tokens], named, 6 if in_every_line else 5)
        if other is not None and not _is_same_sensor(header, other, in_every_line):
            both = " and ".join(
                f"{h.network}/{h.station} at {h.latitude:g} N, {h.longitude:g} E, {h.depth_m[0]:g}-{h.depth_m[1]:g} m"
                for h in (header, other)
            )
            raise SensorError(f"file holds several sensors: {both}; give each a file of its own")


def _is_same_sensor(a: Header, b: Header, in_every_line: bool) -> bool:
    # Depths that are missing from both are no difference.
    if not (is_close(a.depth_m, b.depth_m) or np.array_equal(a.depth_m, b.depth_m, equal_nan=True)):
        return False
    if (a.network, a.station) != (b.network, b.station):
        return False
    # What follows the value of a line are flags and no instrument.
    if not in_every_line and a.instrument != b.instrument:
        return False
    return bool(distance_km(a.latitude, a.longitude, b.latitude, b.longitude) <= SAME_PLACE_KM)


def read_lines(
    data: bytes, column: int, skip: int
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.bool_], str]:
    """Times, values, which of them are flagged good, and a note about lines that cannot be read.

    Parameters
    ----------
    column : position of the value among the tokens of a line; the flag follows it
    skip : lines before the first value
    """
    table = _tokens(data, column, skip)
    time = _times(table[0], table[1])
    raw = table[column]
    value = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64)
    good = (table[column + 1] == GOOD).to_numpy(bool)
    broken = np.isnat(time) | (np.isnan(value) & raw.notna().to_numpy())
    note = _note(table[broken], data, skip) if broken.any() else ""
    return time[~broken], value[~broken], good[~broken], note


def _tokens(data: bytes, column: int, skip: int) -> pd.DataFrame:
    """Date, time of day, value and flag of every line that is not empty.

    The parser gives up lines of more tokens than the first and files whose first line has too few; then lines are cut
    one by one.
    """
    try:
        table = _parsed(data, column, skip)
    # pandas also raises it for a file without any line of values.
    except ValueError:
        table = pd.DataFrame()
    ends = data.count(b"\n") + (not data.endswith(b"\n"))
    if len(table) == ends - skip or len(table) == len(_FILLED_LINE.findall(data)) - skip:
        return table if len(table) else _parsed(b"- - - -", 2, 0).iloc[:0].set_axis(_columns(column), axis=1)
    rows = [line.split() for line in re.split(rb"[\r\n]+", data.strip())[skip:]]
    # Short lines are filled up with dashes: the parser takes the number of tokens of all lines from the first one.
    chosen = [[*row[:2], *row[column : column + 2], *[b"-"] * 4] for row in rows if row]
    plain = b"\n".join(b" ".join(row[:4]) for row in chosen)
    return _parsed(plain, 2, 0).set_axis(_columns(column), axis=1)


def _columns(column: int) -> list[int]:
    """Positions of date, time of day, value and flag."""
    return [0, 1, column, column + 1]


def _parsed(data: bytes, column: int, skip: int) -> pd.DataFrame:
    # `quoting=3` is csv.QUOTE_NONE: a stray quotation mark would otherwise swallow the lines that follow it.
    table: pd.DataFrame = pd.read_csv(  # type: ignore[call-overload]  # its stubs know no integers in na_values
        io.BytesIO(data), sep=r"\s+", header=None, skiprows=skip, encoding="latin-1",
        usecols=_columns(column), dtype={0: "category", 1: "category", column + 1: "category"},
        quoting=3, on_bad_lines="skip", keep_default_na=False, na_values={column: _MISSING_VALUES},
    )  # fmt: skip
    return table


def _times(dates: pd.Series, clocks: pd.Series) -> NDArray[np.datetime64]:
    """[n] datetime64[ns] of `2018/03/25` and `23:00`; NaT where either is none. Few of them differ, so few are read."""
    written = pd.Series(dates.cat.categories.astype(str)).str.replace("-", "/")
    days = pd.to_datetime(written, format="%Y/%m/%d", errors="coerce")
    matches = [_CLOCK.fullmatch(clock) for clock in clocks.cat.categories.astype(str)]
    seconds = [int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3] or 0) if m else None for m in matches]
    offsets = np.array([np.timedelta64("NaT", "s") if s is None else np.timedelta64(s, "s") for s in seconds], "m8[ns]")
    # Code -1 stands for a missing token.
    day = np.append(days.to_numpy("M8[ns]"), np.datetime64("NaT", "ns"))[dates.cat.codes.to_numpy()]
    clock = np.append(offsets, np.timedelta64("NaT", "ns")).astype("m8[ns]")[clocks.cat.codes.to_numpy()]
    return np.asarray(day + clock, "M8[ns]")


def _note(broken: pd.DataFrame, data: bytes, skip: int) -> str:
    """How many lines cannot be read, and where the first of them is."""
    # Short lines were filled up, with nothing or with dashes.
    start = " ".join(str(t) for t in broken.iloc[0, :2].dropna() if str(t) not in ("", "-"))
    numbered = enumerate(re.split(rb"\r\n|\r|\n", data), 1)
    matching = ((n, line) for n, line in numbered if n > skip and _text(b" ".join(line.split())).startswith(start))
    number, line = next(matching, (0, start.encode()))
    lines = "1 line" if len(broken) == 1 else f"{len(broken)} lines"
    return f"{lines} cannot be read, such as line {number}: {_text(line[:60]).strip()!r}"


def _text(raw: bytes) -> str:
    """Letters of a file that says nothing of its encoding."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
