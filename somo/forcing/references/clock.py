"""Time stamps of files -> seconds since 1970-01-01, for all spellings of their units."""

import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.formats.stored import UnreadableError

STANDARD = {"standard", "gregorian", "proleptic_gregorian", "none", ""}
SPELLINGS = {
    "nanoseconds": r"nanosec(ond)?s?|nsecs?|ns", "microseconds": r"microsec(ond)?s?|us",
    "milliseconds": r"millisec(ond)?s?|msecs?|ms", "seconds": r"sec(ond)?s?|s",
    "minutes": r"min(ute)?s?", "hours": r"h(ou)?rs?|h", "days": r"days?|d",
}  # fmt: skip
SECONDS_OF = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
# Stamps of forcing lie on one of these: a second, a minute, ten minutes, a quarter, half an hour, an hour.
WHOLE_SECONDS = (1, 60, 600, 900, 1800, 3600)
REFERENCE = re.compile(
    r"(?P<year>-?\d{1,4})(?:-(?P<month>\d{1,2}))?(?:-(?P<day>\d{1,2}))?"
    r"(?:[T ]+(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2}))?(?::(?P<second>\d{1,2}(?:\.\d*)?))?)?"
    # Without a time before it or a space, "-032" is no zone but the 32nd day of a year.
    r"(?:\s*(?P<utc>Z|UTC|GMT)|(?(hour)\s*|\s+)(?P<zone>[+-]\d{1,2}(?::?\d{2})?))?",
    re.IGNORECASE,
)
SINCE = re.compile(r"\s*([A-Za-z]+)\s+since\s+(.+?)\s*", re.IGNORECASE)
DIGITS_OF_DATE = re.compile(r"\b(?:yyyymmdd(?:hh)?|YYYYMMDD(?:HH)?)\b")
"""Absolute dates as some producers name them instead of `%Y%m%d`."""
COMPACT_REFERENCE = re.compile(r"(\d{4})(\d{2})(\d{2})(?=$|[T ])")


def is_clock(attrs: dict[str, Any]) -> bool:
    """Whether units are those of time stamps."""
    units = str(attrs.get("units", ""))
    return bool(re.search(r"\bsince\b", units, re.IGNORECASE)) or "%Y" in units or bool(DIGITS_OF_DATE.search(units))


def shift_of(attrs: dict[str, Any]) -> int:
    """Seconds that a clock was ahead of UTC when hours were made into days: `time_shift`, as "0 days 01:00:00".

    Daily statistics of the Climate Data Store (earthkit-transforms) have it and stamp each day with its local midnight.
    """
    if "time_shift" not in attrs:
        return 0
    try:
        return round(pd.Timedelta(str(attrs["time_shift"])).total_seconds())
    except ValueError as error:
        raise UnreadableError(f"has time_shift = {attrs['time_shift']!r}, which is no span of time; mend it") from error


def zone_of(units: str) -> int:
    """Seconds that the clock of units of time is ahead of UTC, as of "days since 2020-01-01 00:00 +01:00"."""
    match = SINCE.fullmatch(units)
    return 0 if match is None else _reference(match[2], units)[1]


def seconds_of(values: NDArray[Any], units: str, calendar: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Seconds since 1970-01-01 of time stamps, rounded to the second, and which of them exist in the standard calendar.

    Dates of another calendar keep year, month and day; 30 February, say, does not exist.

    Raises
    ------
    UnreadableError
        where the units cannot be understood or a stamp is missing
    """
    values = np.asarray(values)
    if values.dtype.kind in "US":
        return _from_texts(values)
    # A missing stamp may be NaN, NetCDF's 9.97e36, or the smallest 64-bit integer, about -9.2e18.
    if not np.isfinite(values.astype("float64")).all() or (np.abs(values.astype("float64")) > 9e18).any():
        raise UnreadableError("has time stamps without a value; get it again")
    if "%Y" in units or DIGITS_OF_DATE.search(units):
        return _from_digits(values.astype("float64"), units), np.ones(values.shape, bool)
    match = SINCE.fullmatch(units)
    if match is None:
        raise UnreadableError(
            f"has times in units of {units!r}, which nobody here knows; rewrite them as days since a date"
        )
    reference, shift = _reference(match[2], units)
    unit = match[1].lower()
    calendar = calendar.lower()
    if re.fullmatch(r"years?|yrs?|months?|mons?", unit):
        return _by_calendar(values, unit, reference, units) - shift, np.ones(values.shape, bool)
    unit = next((name for name, spelling in SPELLINGS.items() if re.fullmatch(spelling, unit)), "")
    if not unit:
        raise UnreadableError(
            f"has times in units of {units!r}, which nobody here knows; rewrite them as days since a date"
        )
    seconds, exists = _decoded(values, f"{unit} since {reference}", calendar, shift)
    return _snapped(seconds, values, unit), exists


def _snapped(seconds: NDArray[np.int64], values: NDArray[Any], unit: str) -> NDArray[np.int64]:
    """Stamps of 32-bit floats on the whole minutes, quarters or hours that their rounding hides.

    Days since 1900 resolve five minutes in single precision: 01:00 is read as 00:58, and steps lie 3,375 or 3,712 s
    apart.
    """
    if values.dtype != np.float32 or not values.size:
        return seconds
    resolution = float(np.spacing(np.abs(values).max())) * SECONDS_OF.get(unit, 0)
    step = next((step for step in WHOLE_SECONDS if step >= 2 * resolution), 1)
    return (seconds + step // 2) // step * step


def _decoded(
    values: NDArray[Any], units: str, calendar: str, shift: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    # Dates of other calendars, such as 30 February, have no place in datetime64: they become objects of cftime.
    standard = calendar in STANDARD
    try:
        decoded = xr.coding.times.decode_cf_datetime(
            values, units, "standard" if calendar in ("none", "") else calendar, use_cftime=None if standard else True
        )
    except Exception as error:
        raise UnreadableError(
            f"has times in units of {units!r} and the calendar {calendar!r}, which cannot be read ({error})"
        ) from error
    if np.issubdtype(decoded.dtype, np.datetime64):
        return _rounded(decoded) - shift, np.ones(decoded.shape, bool)
    fields = [[d.year, d.month, d.day, d.hour, d.minute, d.second + d.microsecond / 1e6] for d in decoded.reshape(-1)]
    seconds, exists = zip(*(_standard(*field) for field in fields), strict=True) if fields else ((), ())
    shape = decoded.shape
    return np.array(seconds, "int64").reshape(shape) - shift, np.array(exists, bool).reshape(shape)


def _standard(year: int, month: int, day: int, hour: int, minute: int, second: float) -> tuple[int, bool]:
    """Seconds of a date of any calendar in the standard one, and whether it exists there."""
    first = np.datetime64(f"{year:04d}-{month:02d}-01", "D")
    exists = day <= int(
        (first.astype("datetime64[M]") + np.timedelta64(1, "M")).astype("datetime64[D]").astype(int) - first.astype(int)
    )
    days = int(first.astype(int)) + day - 1
    return days * 86_400 + hour * 3600 + minute * 60 + round(second), exists


def _rounded(stamps: NDArray[Any]) -> NDArray[np.int64]:
    # Hours as fractions of a day fall short of the whole second by their rounding.
    nanoseconds = stamps.astype("datetime64[ns]").astype("int64")
    return (nanoseconds + 500_000_000) // 1_000_000_000


def _reference(text: str, units: str) -> tuple[str, int]:
    """The reference date as xarray reads it, and the seconds that its clock is ahead of UTC."""
    text = COMPACT_REFERENCE.sub(r"\1-\2-\3", text.strip())
    match = REFERENCE.fullmatch(text)
    if match is None:
        raise UnreadableError(
            f"has times in units of {units!r}, whose date cannot be read; rewrite them as days since a date"
        )
    year, month, day, hour, minute = (int(match[name] or missing) for name, missing in (
        ("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0)
    ))  # fmt: skip
    second = float(match["second"] or 0)
    return f"{year:04d}-{month:02d}-{day:02d} {hour:02d}:{minute:02d}:{second:09.6f}", _ahead(match["zone"] or "Z")


def _ahead(zone: str) -> int:
    match = re.fullmatch(r"([+-])(\d{1,2}):?(\d{2})?", zone)
    if match is None:
        return 0
    return (1 if match[1] == "+" else -1) * (int(match[2]) * 3600 + int(match[3] or 0) * 60)


def _from_texts(values: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    try:
        # NumPy drops a zone with a warning, pandas applies it
        stamps = pd.to_datetime([str(value).strip() for value in values.reshape(-1)], utc=True, format="ISO8601")
    except ValueError as error:
        raise UnreadableError(f"has times as texts that are no ISO dates ({error}); rewrite them") from error
    return _rounded(stamps.tz_localize(None).to_numpy()).reshape(values.shape), np.ones(values.shape, bool)


def _from_digits(values: NDArray[np.float64], units: str) -> NDArray[np.int64]:
    """Absolute times such as 20200131.75 in units `day as %Y%m%d.%f`."""
    form = units.rpartition(" as ")[2].strip()
    if named := DIGITS_OF_DATE.search(units):
        form = "%Y%m%d%H" if len(named[0]) > 8 else "%Y%m%d.%f"
    digits = {"%Y%m%d%H": 10, "%Y%m%d.%f": 8, "%Y%m%d": 8, "%Y%m.%f": 6, "%Y%m": 6, "%Y": 4, "%Y.%f": 4}.get(form)
    if digits is None or (digits != 8 and (values % 1 != 0).any()):
        raise UnreadableError(
            f"has times in units of {units!r}, which cannot be read; rewrite them as days since a date"
        )
    seconds = []
    for value in values.reshape(-1):
        number = int(value)
        text = f"{number:0{digits}d}"
        year_month_day = [text[:4], text[4:6] or "01", text[6:8] or "01"]
        try:
            day = int(np.datetime64("-".join(year_month_day), "D").astype(int))
        except ValueError as error:
            raise UnreadableError(f"has the time {value:f} in units of {units!r}, which is no date") from error
        # A fraction of a day in float64 beside eight digits is exact to 0.2 ms.
        hour = int(text[8:10] or 0)
        seconds.append(day * 86_400 + hour * 3600 + round((value - number) * 86_400))
    return np.array(seconds, "int64").reshape(values.shape)


def _by_calendar(values: NDArray[Any], unit: str, reference: str, units: str) -> NDArray[np.int64]:
    """Whole years or months after a date. Producers mean calendar years here, and not 365.2425 days."""
    if (values % 1 != 0).any():
        raise UnreadableError(f"has fractions in times of {units!r}, which have no exact date; rewrite them in days")
    start = np.datetime64(reference.partition(" ")[0][:7], "M")
    months = values.astype("int64") * (12 if unit.startswith("y") else 1)
    into_month = np.datetime64(reference.replace(" ", "T"), "us") - start.astype("datetime64[us]")
    begin = (start + months.astype("timedelta64[M]")).astype("datetime64[s]").astype("int64")
    seconds: NDArray[np.int64] = begin + (int(into_month.astype("int64")) + 500_000) // 1_000_000
    return seconds
