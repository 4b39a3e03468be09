"""Named columns of a file of values as people and providers write it: CSV in its dialects, white space, or Parquet."""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from somo.insitu.errors import SensorError
from somo.insitu.sources.parquet import MAGIC, parquet_names, read_parquet
from somo.insitu.sources.wrapped import plain_bytes

# Loggers and portals put notes above the line with the names of columns; it is looked for in so many lines.
MOST_HEAD_LINES = 200
SEPARATORS = (",", ";", "\t", "|", None)
"""None is white space."""
# Columns beyond those with a name that are looked at, so that a line of a hundred thousand commas fills no memory.
MOST_NAMELESS = 50
# One broken line costs one value; a file of which half is too long has other columns than its names say.
MOST_TOO_LONG = 0.5
TOO_LONG = "(more values than names of columns)"
TOO_SHORT = "(fewer values than names of columns)"
"""Both stand in every column of a row whose values are shifted, so that it is no time and no number, and is told."""
_LINE_END = re.compile(r"\r\n|\r|\n")

# Files of the U.S. Climate Reference Network have no line of names; these are the ones of their documentation.
_USCRN_SOIL = """
    SOIL_MOISTURE_5{0} SOIL_MOISTURE_10{0} SOIL_MOISTURE_20{0} SOIL_MOISTURE_50{0} SOIL_MOISTURE_100{0}
    SOIL_TEMP_5{0} SOIL_TEMP_10{0} SOIL_TEMP_20{0} SOIL_TEMP_50{0} SOIL_TEMP_100{0}
"""
_USCRN_DAILY = """
    WBANNO LST_DATE CRX_VN LONGITUDE LATITUDE T_DAILY_MAX T_DAILY_MIN T_DAILY_MEAN T_DAILY_AVG P_DAILY_CALC
    SOLARAD_DAILY SUR_TEMP_DAILY_TYPE SUR_TEMP_DAILY_MAX SUR_TEMP_DAILY_MIN SUR_TEMP_DAILY_AVG RH_DAILY_MAX
    RH_DAILY_MIN RH_DAILY_AVG
"""
_USCRN_HOURLY = """
    WBANNO UTC_DATE UTC_TIME LST_DATE LST_TIME CRX_VN LONGITUDE LATITUDE T_CALC T_HR_AVG T_MAX T_MIN P_CALC
    SOLARAD SOLARAD_FLAG SOLARAD_MAX SOLARAD_MAX_FLAG SOLARAD_MIN SOLARAD_MIN_FLAG SUR_TEMP_TYPE SUR_TEMP
    SUR_TEMP_FLAG SUR_TEMP_MAX SUR_TEMP_MAX_FLAG SUR_TEMP_MIN SUR_TEMP_MIN_FLAG RH_HR_AVG RH_HR_AVG_FLAG
"""
_USCRN_FIVE_MINUTES = """
    WBANNO UTC_DATE UTC_TIME LST_DATE LST_TIME CRX_VN LONGITUDE LATITUDE AIR_TEMPERATURE PRECIPITATION SOLAR_RADIATION
    SR_FLAG SURFACE_TEMPERATURE ST_TYPE ST_FLAG RELATIVE_HUMIDITY RH_FLAG SOIL_MOISTURE_5 SOIL_TEMPERATURE_5 WETNESS
    WET_FLAG WIND_1_5 WIND_FLAG
"""
HEADERLESS = {
    len(names): names
    for names in (
        tuple(_USCRN_FIVE_MINUTES.split()),
        (*_USCRN_DAILY.split(), *_USCRN_SOIL.format("_DAILY").split()),
        (*_USCRN_HOURLY.split(), *_USCRN_SOIL.format("").split()),
    )
}
"""Names of the columns of files without names, by their number."""


@dataclass(frozen=True)
class _Head:
    """Where the names of columns are: the end of their line in the text, the separator, and the names."""

    end: int
    separator: str | None
    names: tuple[str, ...]


def read_columns(data: bytes, wanted: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The wanted columns of a file, as text (of Parquet: as they are stored).

    Parameters
    ----------
    data : the file's bytes
    wanted : names of columns; in a file without names their positions, counted from 1
    optional : names of columns that may be missing

    Raises
    ------
    SensorError
        naming the missing column, and the columns of the file
    """
    if data.startswith(MAGIC):
        return read_parquet(data, wanted, optional)
    text = _decoded(data)
    lines = _first_lines(text)
    head = _head(text, wanted)
    if head is None:
        raise SensorError(_missing(lines, wanted))
    _require_same_names(text, head, wanted)
    positions = {name: _position(head.names, name) for name in (*wanted, *optional)}
    chosen = {name: position for name, position in positions.items() if position is not None}
    width = len(head.names)
    widest = min(_widest(_first_lines(text, head.end), head.separator), width + MOST_NAMELESS)
    # A line of so many dashes above the values, since pandas counts the columns in the first lines and refuses names of
    # columns that no line reaches. The text is cut behind the line of names: pandas takes a stray quotation mark in a
    # note above it for the start of a quotation, and would skip the lines up to the next one.
    places = range(max(widest, width + 1))
    # Between columns of white space a cell without a value leaves no trace: all cells behind it move to the left.
    last = [width - 1] if head.separator is None else []
    dashes = (head.separator or " ").join("-" for _ in places)
    # Without `index_col=False` pandas takes the first column for an index where rows end in a separator, and without
    # `keep_default_na=False` a station called NA would be missing.
    table = pd.read_csv(
        io.StringIO(f"{dashes}\n{text[head.end :]}"), sep=head.separator or r"\s+", header=None, dtype=str,
        names=list(places), usecols=sorted({*chosen.values(), *last, width}), keep_default_na=False,
        on_bad_lines="skip", skipinitialspace=True, index_col=False,
    )[1:].reset_index(drop=True)  # fmt: skip
    columns = pd.DataFrame({name: table[position].fillna("").str.strip() for name, position in chosen.items()})
    columns[_is_too_long(table[width], width)] = TOO_LONG
    for position in last:
        is_short = table[position].fillna("") == ""
        # Where every row is short it is a name that holds a space.
        columns[is_short & (not is_short.all())] = TOO_SHORT
    # pandas passes by lines that are longer still, without a word.
    skipped = range(_lines_of_values(text[head.end :]) - len(columns))
    return pd.concat([columns, pd.DataFrame(TOO_LONG, skipped, columns.columns)], ignore_index=True)


def _lines_of_values(text: str) -> int:
    """Lines that are not empty; 0 where a quotation goes on over several lines, which are one row then."""
    lines = 0
    for line in io.StringIO(text, newline=None):
        if line.count('"') % 2:
            return 0
        lines += bool(line.strip())
    return lines


def _is_too_long(overflow: pd.Series, width: int) -> pd.Series:
    """[n] whether a row has more values than there are names: every value behind the first comma too many is shifted.

    Raises
    ------
    SensorError
        where most rows have, since then it is the names that are wrong
    """
    too_long = overflow.fillna("").str.strip() != ""
    if too_long.mean() > MOST_TOO_LONG:
        raise SensorError(
            f"{int(too_long.sum())} of {len(too_long)} rows have more values than there are names of columns ({width})"
            "; name every column, and write decimal points where commas stand between columns"
        )
    return too_long


def _widest(lines: Sequence[str], separator: str | None) -> int:
    """Most values in one of the first lines; a separator at their end is common."""
    return max((len(_cut(line, separator)) for line in lines), default=0)


def _position(names: Sequence[str], name: str) -> int | None:
    """Position of a column; upper and lower case differ only where both are there.

    Raises
    ------
    SensorError
        where several columns have the name
    """
    bare = _bare(name)
    for spelled, sought in ((list(names), bare), ([n.casefold() for n in names], bare.casefold())):
        if (count := spelled.count(sought)) > 1:
            raise SensorError(f"column {name!r} stands there {count} times; give each a name of its own")
        if count:
            return spelled.index(sought)
    return None


def column_names(data: bytes) -> tuple[str, ...]:
    """Names of all columns of a file: of CSV the first of its lines that has the most words, and no numbers.

    Raises
    ------
    SensorError
        where no line could be one of names
    """
    if data.startswith(MAGIC):
        return parquet_names(data)
    cuts = [_cut(line, separator) for line in _first_lines(_decoded(data)) for separator in SEPARATORS]
    names = [tuple(_bare(name) for name in cut) for cut in cuts]
    worded = [cut for cut in names if len(cut) > 1 and not any(re.match(r"[-+.\d]", name) for name in cut)]
    if not worded:
        raise SensorError("no line has names of columns; write one above the values")
    return max(worded, key=len)


def _decoded(data: bytes) -> str:
    """Text of a file that says nothing of its encoding, without a byte order mark."""
    data = plain_bytes(data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Programs of Windows write theirs; latin-1 has a letter for every byte, so that it never fails.
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")


def _first_lines(text: str, start: int = 0) -> list[str]:
    """The first lines from a position on; `splitlines` would cut at letters of other alphabets too."""
    lines = []
    for end in _LINE_END.finditer(text, start):
        lines.append(text[start : end.start()])
        start = end.end()
        if len(lines) == MOST_HEAD_LINES:
            return lines
    return [*lines, text[start:]] if text[start:] else lines


def _head(text: str, wanted: Sequence[str]) -> _Head | None:
    """The line that names the wanted columns; else positions, in a file that has no names."""
    lines = _first_lines(text)
    bare = {_bare(name) for name in wanted}
    for any_case in (False, True):
        sought = {name.casefold() for name in bare} if any_case else bare
        start, head = 0, None
        for line in lines:
            end = _LINE_END.search(text, start)
            start = end.end() if end else len(text)
            # A note above may name the columns too, so that the last line counts that does before the values.
            if head is not None and _is_row(line, head, wanted):
                break
            for separator in SEPARATORS:
                names = tuple(_bare(name) for name in _cut(line, separator))
                if sought <= {name.casefold() if any_case else name for name in names}:
                    head = _Head(start, separator, names)
                    break
        if head is not None:
            return head
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        count = len(_cut(first, separator))
        names = HEADERLESS.get(count, ()) if separator is None else ()
        positions = tuple(str(i + 1) for i in range(count))
        for candidate in (names, positions):
            if candidate and bare <= set(candidate):
                return _Head(0, separator, candidate)
    return None


def _is_row(line: str, head: _Head, wanted: Sequence[str]) -> bool:
    """Whether a line has a number or a time in one of the wanted columns."""
    cells = _cut(line, head.separator)
    positions = [_position(head.names, name) for name in wanted]
    return any(
        p is not None and p < len(cells) and re.match(r"[-+.\d]+[\d.]", cells[p].strip("\"' ")) for p in positions
    )


def _require_same_names(text: str, head: _Head, wanted: Sequence[str]) -> None:
    """Refuse files of which a later line names the wanted columns in other places, as after a change of the logger.

    Raises
    ------
    SensorError
        naming the line
    """
    bare = [_bare(name) for name in wanted]
    if not set(bare) <= set(head.names):
        return
    longest, start = max(bare, key=len), head.end
    while (at := text.find(longest, start)) >= 0:
        start = max(text.rfind("\n", start, at), text.rfind("\r", start, at), start - 1) + 1
        end = _LINE_END.search(text, at)
        names = [_bare(name) for name in _cut(text[start : end.start() if end else None], head.separator)]
        if set(bare) <= set(names) and any(names.index(name) != head.names.index(name) for name in bare):
            raise SensorError(
                f"line {len(_LINE_END.findall(text[:at])) + 1} names the columns anew, in another order; cut the file "
                "into one before and one behind it"
            )
        start = end.end() if end else len(text)


def _cut(line: str, separator: str | None) -> list[str]:
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator), [])


def _bare(name: str) -> str:
    """A name without what surrounds it in a line of names: spaces, quotes, the mark of a comment.

    Inside of it every space is one: those that do not break a line, and umlauts of a letter and dots, look the same.
    """
    bare = re.sub(r"^#\s*", "", name.strip().strip("\"'"))
    return " ".join(unicodedata.normalize("NFC", bare).split())


def _missing(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Which column is not there, and which are."""
    bare = {_bare(name) for name in wanted}
    cuts = [[_bare(name) for name in _cut(line, separator)] for line in lines[:20] for separator in SEPARATORS]
    # Cut at white space, names that hold spaces would be the most.
    names = max(cuts, key=lambda cut: (len(bare.intersection(cut)), len(cut)), default=[])
    if not names:
        return "file has no data"
    absent, *more_absent = [name for name in wanted if _bare(name) not in names] or wanted[:1]
    others = f"; {', '.join(map(repr, more_absent))} too are missing" if more_absent else ""
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"no column {absent!r}; there are {listed}{others}"
