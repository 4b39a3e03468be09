"""Times as people and providers write them -> UTC."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.insitu.errors import SensorError

HALF_DAY = np.timedelta64(12, "h")
# Before it nobody measured soil moisture hour by hour or day by day.
FIRST_YEAR = 1900
LAST_MINUTE = np.timedelta64(23 * 60 + 59, "m")
# FLUXNET, ICOS and USCRN write times as digits alone; the number of digits tells the format.
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_ZONE = re.compile(r".*\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$")
# Three letters and more: AM and PM are no zones.
_NAMED_ZONE = re.compile(r".*\d:\d{2}.*?\s*([A-Za-z]{3,5})$")
_UTC_NAMES = ("UTC", "GMT")
# `GMT+0100` of browsers and `UTC+1`: pandas reads the sign of both the other way round, as POSIX has it.
_AHEAD_OF_UTC = r"(?i)\s*\(?(?:UTC|GMT)\s*([+-])(\d{1,2})(:?\d{2})?\)?$"
_YEAR_LAST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)", re.DOTALL)
_SHORT_YEAR = re.compile(r"(\d{1,2})([./-])(\d{1,2})[./-](\d{2})(?!\d).*", re.DOTALL)
_YEAR_FIRST = re.compile(r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:(?:T| +)(\d{1,2})(:\d{2}.*))?$")
# Only these are left to pandas' own guess at a format, which takes 1/2/2018 for the second of January: months that are
# spelled, and hours before and after noon behind a date that begins with its year.
_SPELLED = r"(?i)^\d{4}-\d.*[ap]\.?m\.?$|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_MONTH_ALONE = r"(?i)\d{4}[-/.]\d{1,2}|\d{4}[-/., ]*[a-z]+\.?|[a-z]+[-/., ]*\d{4}"
# The first and the last number of `18-Jan-01`, of which nobody knows which one is the year.
_SPELLED_SHORT = r"(?i)^(\d{1,2})[-/. ]*[a-z]{3,9}[-/., ]*(\d{2})(?![\d:])"
# Loggers of Campbell and weather services in Europe write midnight as 24:00 of the day that ends.
_END_OF_DAY, _END_OF_DAY_IN_DIGITS = r"(?<![\d:.])24(?=:00(?::00)?(?![\d:]))", r"\d{8}24(?:00){0,2}"
_EPOCH = re.compile(r"(\d+)(?:\.\d+)?")
_EPOCH_DIGITS: dict[int, Literal["s", "ms", "us", "ns"]] = {9: "s", 10: "s", 13: "ms", 16: "us", 19: "ns"}
# Ten digits may be seconds since 1970 or year, month, day and hour. Below this number they are seconds, until 2030.
_FIRST_DATE_OF_TEN_DIGITS = 1_900_000_000


@dataclass(frozen=True, eq=False)
class _Clock:
    """Times as written: [n] datetime64[ns], NaT where none; whether they name a zone; whether they are days alone.

    Times that name a zone are in UTC, and `ahead` [n] is how far their own clock is ahead of it; None is no zone.
    `ends_day` [n] marks 24:00, which is read as 00:00 of its date and is that of the next one; None where none is.
    """

    time: NDArray[np.datetime64]
    ahead: NDArray[np.timedelta64] | None = None
    dates: bool = False
    ends_day: NDArray[np.bool_] | None = None

    @property
    def zoned(self) -> bool:
        """Whether times name their zone."""
        return self.ahead is not None


def to_utc(written: pd.Series, offset_hours: float | None) -> NDArray[np.datetime64]:
    """[n] datetime64[ns] in UTC; NaT where there is no time.

    A daily value stands for a local day, and goes to the UTC day that has most of it.

    Parameters
    ----------
    written : text, or times of a Parquet file
    offset_hours : how far the clock is ahead of UTC; None where nobody said so, which is UTC

    Raises
    ------
    SensorError
        if times name a zone and an offset is given as well, or day and month cannot be told apart
    """
    clock = _read(written)
    if clock.zoned and offset_hours:
        raise SensorError(
            f"times name their zone ({written.iloc[-1]!r}) and utc_offset_hours is {offset_hours:g}; leave that empty"
        )
    offset = np.timedelta64(round((offset_hours or 0) * 3600), "s")
    # Daily values that loggers stamp with 24:00 are those of the date before it.
    if not (clock.dates or _is_daily(clock.time)):
        ends_day = np.zeros(len(clock.time), bool) if clock.ends_day is None else clock.ends_day
        return np.asarray(clock.time + ends_day * np.timedelta64(1, "D") - offset, "M8[ns]")
    if clock.ahead is None:
        noon = np.asarray(clock.time.astype("M8[D]") + HALF_DAY - offset, "M8[ns]")
    else:
        noon = np.asarray(_local_day(clock.time + clock.ahead) + HALF_DAY - clock.ahead, "M8[ns]")
    return noon.astype("M8[D]").astype("M8[ns]")


def _local_day(stamp: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """[n] datetime64[D] of daily values stamped with the beginning, the noon or the last second of their day.

    A time after noon is the beginning of the next day beside the sensor: programs write midnight of Central European
    Time as `2017-12-31T23:00Z`.
    """
    day = stamp.astype("M8[D]")
    clock = stamp - day
    return np.asarray(day + ((clock > HALF_DAY) & (clock < LAST_MINUTE)), "M8[D]")


def _is_daily(time: NDArray[np.datetime64]) -> bool:
    steps = np.diff(np.unique(time[~np.isnat(time)]))
    return len(steps) > 0 and bool(np.median(steps.astype("m8[s]").astype(float)) >= 86_400)


def _read(written: pd.Series) -> _Clock:
    if isinstance(written.dtype, pd.DatetimeTZDtype):
        utc, local = (
            column.dt.tz_localize(None).to_numpy("M8[ns]") for column in (written.dt.tz_convert("UTC"), written)
        )
        return _Clock(utc, local - utc)
    if written.dtype.kind == "M":
        return _Clock(written.to_numpy("M8[ns]"))
    # Whole numbers in a column with a gap are floats to pandas and others, which write them as `20180101.0`.
    text = written.astype(str).str.strip().str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    dated = text[text.str.contains(r"\d")]
    # One in the middle, since units below the names of columns may hold a digit too, as `UTC+1`.
    typical = dated.iloc[len(dated) // 2] if len(dated) else ""
    # Programs leave out the time of day at midnight, so that days alone are only where no row has a time of day.
    dates = bool(len(dated)) and not dated.str.contains(":").any() and bool((dated.str.len() <= 10).all())
    if (epoch := _EPOCH.fullmatch(typical)) and _is_epoch(epoch[1]):
        counted = pd.to_numeric(text, errors="coerce").to_numpy("float64")
        since = pd.Series(pd.to_datetime(counted, unit=_EPOCH_DIGITS[len(epoch[1])], errors="coerce"))
        return _Clock(since.to_numpy("M8[ns]"), np.zeros(len(since), "m8[ns]"))
    if epoch and "." in typical:
        # Decimal years and the days of spreadsheets: pandas would take some of 2018.0411 for days of April.
        return _Clock(np.full(len(text), np.datetime64("NaT", "ns"), "M8[ns]"))
    if typical.isdigit():
        return _of_digits(text)
    if re.search(_AHEAD_OF_UTC, typical):
        text = text.str.replace(_AHEAD_OF_UTC, lambda m: f"{m[1]}{m[2].zfill(2)}{m[3] or ''}", regex=True)
        typical = re.sub(_AHEAD_OF_UTC, "Z", typical)
    if (zone := _NAMED_ZONE.fullmatch(typical)) and zone[1].upper() not in _UTC_NAMES:
        raise SensorError(
            f"times name a zone ({typical!r}), whose offset may have two meanings; leave the name out and write "
            "utc_offset_hours"
        )
    text = text.str.replace(rf"(?i)\s*(?:{'|'.join(_UTC_NAMES)})$", "Z", regex=True) if zone else text
    if _SHORT_YEAR.fullmatch(typical):
        text = _with_century(text)
    if _YEAR_LAST.fullmatch(typical) or _SHORT_YEAR.fullmatch(typical):
        text = _year_first(text)
    ends_day = text.str.contains(_END_OF_DAY, regex=True).fillna(False).to_numpy(bool)
    text = text.str.replace(_END_OF_DAY, "00", regex=True) if ends_day.any() else text
    ahead = _ahead_of_utc(text) if zone or _ZONE.fullmatch(typical) else None
    return _Clock(_parsed(text), ahead, dates, ends_day)


def _ahead_of_utc(text: pd.Series) -> NDArray[np.timedelta64]:
    """[n] how far the zones at the ends of times are ahead of UTC; 0 for `Z` and where there is none."""
    cut = text.str.extract(r":\d{2}.*?([+-])(\d{2}):?(\d{2})?$")
    minutes = pd.to_numeric(cut[1]).fillna(0) * 60 + pd.to_numeric(cut[2]).fillna(0)
    return np.asarray(minutes.where(cut[0] != "-", -minutes).to_numpy("m8[m]").astype("m8[ns]"), "m8[ns]")


def _of_digits(text: pd.Series) -> _Clock:
    time = pd.Series(np.full(len(text), np.datetime64("NaT", "ns"), "M8[ns]"))
    digits = text.where(text.str.isdigit(), "").str.len().to_numpy()
    ends_day = text.str.fullmatch(_END_OF_DAY_IN_DIGITS).fillna(False).to_numpy(bool)
    text = text.str.replace(r"^(\d{8})24", r"\g<1>00", regex=True) if ends_day.any() else text
    for length, form in DIGITS.items():
        chosen = digits == length
        time[chosen] = pd.to_datetime(text[chosen], format=form, errors="coerce").to_numpy("M8[ns]")
    return _Clock(time.to_numpy("M8[ns]"), None, bool((digits[digits > 0] == len("20180131")).all()), ends_day)


def _parsed(text: pd.Series) -> NDArray[np.datetime64]:
    """[n] datetime64[ns] in UTC of times that begin with their year, or whose months are spelled; NaT elsewhere."""
    text = text.fillna("").str.replace(r"^(\d{4})/(\d{2})/(\d{2})", r"\1-\2-\3", regex=True)
    # A month alone is the time of a monthly mean, which would pass for the value of its first day.
    text = text.mask(text.str.fullmatch(_MONTH_ALONE), "")
    time = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    parsed = time.dt.tz_localize(None).to_numpy("M8[ns]").copy()
    unread = np.isnat(parsed) & text.str.contains(r"\d").to_numpy(bool)
    if unread.any():
        # `2018/1/5 3:00`, as spreadsheets write it, has too few digits for the standard; programs set to German write a
        # comma before parts of a second.
        cut = text[unread].str.replace(r"(:\d{2}),(\d+)$", r"\1.\2", regex=True).str.extract(_YEAR_FIRST.pattern)
        clock = (" " + cut[3].str.zfill(2) + cut[4]).fillna("")
        padded = cut[0] + "-" + cut[1].str.zfill(2) + "-" + cut[2].str.zfill(2) + clock
        again = pd.to_datetime(padded, format="ISO8601", utc=True, errors="coerce")
        parsed[unread] = again.dt.tz_localize(None).to_numpy("M8[ns]")
        spelled = np.isnat(parsed) & text.str.contains(_SPELLED, regex=True).to_numpy(bool)
        _require_day_first(text[spelled], _SPELLED_SHORT, 1)
        guessed = pd.to_datetime(text[spelled], format="mixed", utc=True, errors="coerce")
        # Without a year, or with one of two digits in the middle, pandas takes some year of the first century.
        guessed = guessed.where(guessed.dt.year >= FIRST_YEAR)
        parsed[spelled] = guessed.dt.tz_localize(None).to_numpy("M8[ns]")
    return np.asarray(parsed, "M8[ns]")


def _require_day_first(dates: pd.Series, first_and_last: str, least_more: int) -> None:
    """Refuse `18-Jan-01` and `18.01.01` where the last number runs through more values than the first, as days do.

    Parameters
    ----------
    first_and_last : pattern of the numbers of which one is the year
    least_more : how many more values than the last number the first one has at least

    Raises
    ------
    SensorError
        naming one of the dates
    """
    numbers = dates.str.extract(first_and_last).dropna()
    if len(numbers) and numbers[0].nunique() - numbers[1].nunique() < least_more:
        raise SensorError(
            f"times such as {dates[numbers.index[0]]!r} have years of two digits, first or last; write them as "
            "2018-12-31 23:00"
        )


def _is_epoch(digits: str) -> bool:
    """Whether so many digits count from 1970 on."""
    return len(digits) in _EPOCH_DIGITS and not _is_date_of_ten_digits(digits)


def _is_date_of_ten_digits(text: str) -> bool:
    return len(text) == 10 and int(text) >= _FIRST_DATE_OF_TEN_DIGITS


def _with_century(text: pd.Series) -> pd.Series:
    """`31.12.18 10:00` as `31.12.2018 10:00`. Without dots, nobody knows which of the three numbers is the year."""
    # Units below the names of columns are no dates.
    dates = text[text.str.fullmatch(_SHORT_YEAR.pattern, flags=re.DOTALL).fillna(False).astype(bool)]
    if not (dates.str.count(r"\.") >= 2).all():
        raise SensorError(f"times such as {dates.iloc[0]!r} have years of two digits; write them as 2018-12-31 23:00")
    # In a few days as many years may begin, and with dots the day stands first, wherever dates are written with dots.
    _require_day_first(dates, r"^(\d{1,2})\.\d{1,2}\.(\d{2})", 0)
    # The years of soil sensors begin with the seventies, so 70 to 99 are of the last century.
    century = text.str.extract(r"^\d{1,2}\.\d{1,2}\.(\d{2})")[0].ge("70").map({True: "19", False: "20"})
    cut = text.str.extract(r"^(\d{1,2}\.\d{1,2}\.)(.*)$", flags=re.DOTALL)
    return cut[0] + century + cut[1]


def _year_first(text: pd.Series) -> pd.Series:
    """`31.12.2018 10:00` and `12/31/2018 10:00` as `2018-12-31 10:00`; the dates show which number is the day."""
    cut = text.str.extract(_YEAR_LAST.pattern, flags=re.DOTALL)
    dates = text[cut[2].notna()]
    numbers = cut[[0, 1]].apply(pd.to_numeric, errors="coerce")
    day = next((column for column in (0, 1) if (numbers[column] > 12).any()), None)
    if day is None and (dates.str.count(r"\.") >= 2).all():
        # With dots the day stands first, wherever dates are written with dots.
        day = 0
    if day is None or (numbers[1 - day] > 12).any():
        raise SensorError(f"times such as {dates.iloc[0]!r}: day or month first? write them as 2018-12-31 23:00")
    return cut[2] + "-" + cut[1 - day].str.zfill(2) + "-" + cut[day].str.zfill(2) + cut[3].fillna("")
