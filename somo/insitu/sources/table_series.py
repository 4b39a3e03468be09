"""One file of a group's own -> the series of one sensor: its columns of times, values and qualities as numbers, UTC."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.insitu.errors import SensorError
from somo.insitu.sources.clocks import to_utc
from somo.insitu.sources.columns import read_columns

# What stands where there is no value, in lower case; some programs fill the width of a column with dashes or asterisks.
_NO_VALUE = frozenset({"", "nan", "na", "n/a", "#n/a", "#na", "null", "none", "nodata", "no data", "missing", "<na>"})
_FILLING = r"[-*.?]+"
_DECIMAL_COMMA = r"^([-+]?\d*),(\d+(?:[eE][-+]?\d+)?)$"
# Numbers that stand for no value besides negative ones, as the file has them (6999 and 7999 are those of Campbell's
# loggers), and as m3 m-3: 99.9 and 100 in percent. No soil holds so much water, least of all exactly.
_CODES = (999, 999.9, 999.99, 9999, 9999.9, 9999.99, 99999, 6999, 7999, 1e20, 1e30)
_CODES_M3M3 = (0.99, 0.999, 0.9999, 0.99999, 1.0)
# Loggers write up to three rows below the names of columns: units, and kinds of mean.
_MOST_HEAD_ROWS = 3
# Part of a file's times that are odd from which on it is the table that is wrong, and no clock or logger.
ODD_SHARE = 0.1
# Part of the values that show a column's units; the others may be spikes.
USUAL_SHARE = 0.99


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


def read_series(
    content: bytes, columns: Columns
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.bool_], str]:
    """Times in UTC, values in m3 m-3, which of them are good, and a note about rows that cannot be read.

    Raises
    ------
    SensorError
        naming the column that is missing, or that holds no time or no number that can be read, or a time with several
        values where many have them
    """
    others = [columns.value, *([columns.quality] if columns.quality else [])]
    file, clock = _read_file_columns(content, columns.time, others)
    written = file[clock[0]] if len(clock) == 1 else _beside(file[clock[0]], file[clock[1]])
    time = to_utc(written, columns.offset_hours)
    value = numbers_of(file[columns.value])
    # Rounded, since 99.99 times 0.01 is not 0.9999 to the last digit.
    code = np.isin(value, _CODES) | np.isin(np.round(value * columns.factor, 6), _CODES_M3M3)
    good = _is_good(file[columns.quality], columns.good) if columns.quality else np.ones(len(file), bool)
    good &= ~code
    broken = np.isnat(time)
    if len(broken) > _MOST_HEAD_ROWS and broken.all():
        raise SensorError(
            f"column {columns.time!r} holds no time that can be read, such as {written.iloc[-1]!r}; write them as "
            "2018-12-31 23:00"
        )
    unread = broken & np.isfinite(value)
    if len(broken) > _MOST_HEAD_ROWS and unread.sum() > ODD_SHARE * np.isfinite(value).sum():
        # The others may be misread, as days up to 12 for months, or are those of some hours or months alone.
        raise SensorError(
            f"{int(unread.sum())} of {int(np.isfinite(value).sum())} values have no time that can be read, such as "
            f"{written[unread].iloc[-1]!r}; write all times as 2018-12-31 23:00"
        )
    _require_one_value_a_time(written[~broken], time[~broken], value[~broken], good[~broken], columns)
    notes = [_unread_times(written, broken), _unread_values(file[columns.value], value, columns.value, broken)]
    if columns.quality and not good[~broken].any():
        notes.append(_qualities(file[columns.quality][~broken], columns))
    if (code & ~broken).any():
        codes = ", ".join(f"{number:g}" for number in np.unique(value[code & ~broken]))
        notes.append(f"{int((code & ~broken).sum())} values of {columns.value!r} are {codes} and taken for missing")
    note = "; ".join(filter(None, notes))
    return time[~broken], value[~broken] * columns.factor, good[~broken], note


def _read_file_columns(content: bytes, clock: str, others: Sequence[str]) -> tuple[pd.DataFrame, list[str]]:
    """The columns of a file, and the names of those that make the time: one, or date and time of day joined by `+`."""
    names = clock.split("+")
    try:
        # The name of a single column may hold a plus itself, as `Time (UTC+1)`.
        return read_columns(content, list(dict.fromkeys([clock, *others]))), [clock]
    except SensorError:
        if len(names) == 1:
            raise
    if len(names) > 2:
        raise SensorError(
            f"time {clock!r} names {len(names)} columns; name one, or two as date+clock, and join others in the file"
        )
    return read_columns(content, list(dict.fromkeys([*names, *others]))), names


def _require_one_value_a_time(
    written: pd.Series,
    time: NDArray[np.datetime64],
    value: NDArray[np.float64],
    good: NDArray[np.bool_],
    columns: Columns,
) -> None:
    """Refuse values of several sensors, or of several hours of a day whose hour stands in a further column.

    Of equal times one value would count, which would be that of another depth wherever the first has none. A clock that
    is set back in autumn has few equal times, and a file that was written twice has equal values.

    Raises
    ------
    SensorError
        naming a time that has several values
    """
    use = good & np.isfinite(value) & (value >= 0)
    if pd.Index(time[use]).is_unique:
        return
    pairs = pd.DataFrame({"time": time[use], "value": value[use]}).drop_duplicates()
    values_at = pairs["time"].value_counts()
    several = values_at[values_at > 1]
    if len(several) > ODD_SHARE * len(values_at):
        most = several.index[0]
        raise SensorError(
            f"{len(several)} of {len(values_at)} times stand there with several values of {columns.value!r}, such as "
            f"{written[time == most].iloc[0]!r} with {several.iloc[0]}; if the time of day is in another column, write "
            f"time as {columns.time}+THAT_COLUMN; if several sensors stand one below the other, give each a file of "
            "its own"
        )


def _unread_times(written: pd.Series, broken: NDArray[np.bool_]) -> str:
    # A few rows of units below the names are usual; where there is nothing else, they are all that can be told.
    if not broken[_MOST_HEAD_ROWS:].any() and not (broken.all() and len(broken)):
        return ""
    rows = "1 row has" if broken.sum() == 1 else f"{int(broken.sum())} rows have"
    return f"{rows} no time that can be read, such as {written[broken].iloc[-1]!r}"


def _unread_values(written: pd.Series, value: NDArray[np.float64], name: str, broken: NDArray[np.bool_]) -> str:
    """A note about cells that are neither numbers nor empty; rows without a time are units below the names.

    Raises
    ------
    SensorError
        where no cell of the column is a number
    """
    unread = np.isnan(value) & ~broken
    if written.dtype.kind in "fiu" or not unread.any():
        return ""
    text = written[unread].astype(str).str.strip()
    text = text[~text.str.lower().isin(_NO_VALUE) & ~text.str.fullmatch(_FILLING)]
    if text.empty:
        return ""
    if np.isnan(value).all():
        raise SensorError(f"column {name!r} holds no number, such as {text.iloc[0]!r}; write numbers alone, as 0.25")
    if len(text) == 1:
        return f"1 value of {name!r} is no number: {text.iloc[0]!r}"
    return f"{len(text)} values of {name!r} are no numbers, such as {text.iloc[0]!r}"


def _qualities(written: pd.Series, columns: Columns) -> str:
    """Which qualities there are, for people whose `good` accepts none of them."""
    common = written.astype(str).str.strip().value_counts().head(5)
    there = ", ".join(f"{quality!r} ({count} times)" for quality, count in common.items())
    return f"{columns.quality!r} has {there or 'no value'}; good accepts {'|'.join(columns.good)}"


def _beside(date: pd.Series, clock: pd.Series) -> pd.Series:
    """Date and time of day in one text; of digits alone without a space between, as USCRN's `20180101` and `0100`."""
    date, clock = (column.astype(str).str.strip().str.replace(r"\.0+$", "", regex=True) for column in (date, clock))
    # Rows of units below the names hold no digits.
    filled = clock[clock.str.contains(r"\d")]
    if filled.str.fullmatch(r"\d{1,6}").all() and filled.str.len().max() > 4:
        # Hours, minutes and seconds, whose leading zeros numbers lose: 90000 is nine o'clock.
        clock = clock.str.zfill(6).str.replace(r"(\d\d)(\d\d)(\d\d)", r"\1:\2:\3", regex=True)
    elif filled.str.fullmatch(r"\d{1,4}").all():
        # Digits are hours where there are at most two of them, as 0 to 23, else hours and minutes, as 30 or 2330.
        digits = clock.str.zfill(2) + "00" if filled.str.len().max() <= 2 else clock.str.zfill(4)
        is_no_clock = pd.to_numeric(digits[filled.index].str[2:]) >= 60
        if is_no_clock.mean() > ODD_SHARE:
            # Minutes or tens of seconds since midnight, of which a part would pass for hours and minutes.
            raise SensorError(
                f"times of day such as {filled[is_no_clock].iloc[0]!r} are no hours and minutes; write them as 23:00"
            )
        compact = date[date.str.contains(r"\d")].str.fullmatch(r"\d{8}").all()
        return date + digits if compact else date + " " + digits.str[:2] + ":" + digits.str[2:]
    return date + " " + clock


def numbers_of(column: pd.Series) -> NDArray[np.float64]:
    """[n] numbers of a column, NaN where none; a comma inside of a number is a decimal one."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    numbers = pd.to_numeric(column, errors="coerce")
    if column.dtype.kind not in "fiub" and numbers.isna().any():
        # Cell by cell, since units below the names of columns, as Vol.%, hold points where the numbers hold commas.
        text = column.astype(str).str.strip().str.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)
        numbers = pd.to_numeric(text, errors="coerce")
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _is_good(quality: pd.Series, accepted: Sequence[str]) -> NDArray[np.bool_]:
    """[n] whether a value's quality is one of the accepted ones, as text or as number (`0`, `0.0`)."""
    text = _plain_truths(quality.astype(str).str.strip())
    numbers = pd.to_numeric(pd.Series(accepted), errors="coerce").dropna().to_numpy()
    equal = np.isin(pd.to_numeric(quality, errors="coerce").to_numpy(np.float64, na_value=np.nan), numbers)
    return np.asarray(text.isin(list(_plain_truths(pd.Series(accepted)))).to_numpy(bool) | equal, bool)


def _plain_truths(text: pd.Series) -> pd.Series:
    """`True`, `TRUE` and `true` alike, as programs write them; capital letters of other qualities mean something."""
    folded = text.str.lower()
    return text.where(~folded.isin(["true", "false"]), folded)


def require_percent(value: NDArray[np.float64], columns: Columns) -> None:
    """Refuse fractions that are declared as percent: no soil stays below 1 % for as long as a series lasts.

    Parameters
    ----------
    value : [n] good values, m3 m-3 if the declared units are right
    columns : what the table of stations says of them

    Raises
    ------
    SensorError
        naming the column, its usual highest value and what to write
    """
    measured = value[np.isfinite(value) & (value > 0)]
    if columns.factor == 1 or not len(measured):
        return
    # The highest value would be decided by a single spike of the logger, which says nothing of the units.
    highest = float(np.quantile(measured, USUAL_SHARE, method="higher"))
    if highest <= columns.factor:
        raise SensorError(
            f"units are %, and the highest value of {columns.value!r} is {highest / columns.factor:g} %; if it "
            "is a fraction, leave units empty or write m3 m-3"
        )
