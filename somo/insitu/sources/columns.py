"""Named columns of a file of values as people and providers write it: CSV in its dialects, white space, or Parquet."""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from somo.insitu.errors import SensorError
from somo.insitu.sources.parquet import MAGIC, parquet_names, read_parquet

# Loggers and portals put notes above the line with the names of columns; it is looked for in so many lines.
MOST_HEAD_LINES = 200
SEPARATORS = (",", ";", "\t", "|", None)
"""None is white space."""

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
HEADERLESS = {
    len(names): names
    for names in (
        (*_USCRN_DAILY.split(), *_USCRN_SOIL.format("_DAILY").split()),
        (*_USCRN_HOURLY.split(), *_USCRN_SOIL.format("").split()),
    )
}
"""Names of the columns of files without names, by their number."""


@dataclass(frozen=True)
class _Head:
    """Where the names of columns are: the number of their line, the separator, and the names."""

    line: int
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
    lines = text.splitlines()[:MOST_HEAD_LINES]
    head = _head(lines, wanted)
    if head is None:
        raise SensorError(_missing(lines, wanted))
    chosen = {name: head.names.index(_bare(name)) for name in (*wanted, *optional) if _bare(name) in head.names}
    # Without `index_col=False` pandas takes the first column for an index where rows end in a separator, and without
    # `keep_default_na=False` a station called NA would be missing.
    table = pd.read_csv(
        io.StringIO(text), sep=head.separator or r"\s+", skiprows=head.line, header=None, dtype=str,
        names=list(range(len(head.names))), usecols=sorted(set(chosen.values())), keep_default_na=False,
        on_bad_lines="skip", skipinitialspace=True, index_col=False,
    )  # fmt: skip
    return pd.DataFrame({name: table[position].fillna("").str.strip() for name, position in chosen.items()})


def column_names(data: bytes) -> tuple[str, ...]:
    """Names of all columns of a file: of CSV the first of its lines that has the most words, and no numbers.

    Raises
    ------
    SensorError
        where no line could be one of names
    """
    if data.startswith(MAGIC):
        return parquet_names(data)
    cuts = [_cut(line, separator) for line in _decoded(data).splitlines()[:MOST_HEAD_LINES] for separator in SEPARATORS]
    names = [tuple(_bare(name) for name in cut) for cut in cuts]
    worded = [cut for cut in names if len(cut) > 1 and not any(re.match(r"[-+.\d]", name) for name in cut)]
    if not worded:
        raise SensorError("no line has names of columns; write one above the values")
    return max(worded, key=len)


def _decoded(data: bytes) -> str:
    """Text of a file that says nothing of its encoding, without a byte order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Latin-1 has a letter for every byte, so this never fails; only names of columns may read oddly.
        return data.decode("latin-1")


def _head(lines: Sequence[str], wanted: Sequence[str]) -> _Head | None:
    """The line that names the wanted columns; else positions, in a file that has no names."""
    bare = {_bare(name) for name in wanted}
    for number, line in enumerate(lines):
        for separator in SEPARATORS:
            names = tuple(_bare(name) for name in _cut(line, separator))
            if bare <= set(names):
                return _Head(number + 1, separator, names)
    first = next((line for line in lines if line.strip()), "")
    for separator in SEPARATORS:
        count = len(_cut(first, separator))
        names = HEADERLESS.get(count, ()) if separator is None else ()
        positions = tuple(str(i + 1) for i in range(count))
        for candidate in (names, positions):
            if candidate and bare <= set(candidate):
                return _Head(0, separator, candidate)
    return None


def _cut(line: str, separator: str | None) -> list[str]:
    return line.split() if separator is None else next(csv.reader([line], delimiter=separator), [])


def _bare(name: str) -> str:
    """A name without what surrounds it in a line of names: spaces, quotes, the mark of a comment."""
    return re.sub(r"^#\s*", "", name.strip().strip("\"'")).strip()


def _missing(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Which column is not there, and which are."""
    cuts = [_cut(line, separator) for line in lines[:20] for separator in SEPARATORS]
    names = [_bare(name) for name in max(cuts, key=len, default=[])]
    if not names:
        return "file has no data"
    absent = next((name for name in wanted if _bare(name) not in names), wanted[0])
    listed = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"no column {absent!r}; there are {listed}"
