"""Times as people and providers write them -> UTC."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.insitu.errors import SensorError

HALF_DAY = np.timedelta64(12, "h")
DIGITS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
"""Times of digits alone, as FLUXNET, ICOS and USCRN write them, by their number."""
_ZONE = re.compile(r".*\d{2}:\d{2}.*(Z|[+-]\d{2}:?\d{2})$")
_YEAR_LAST = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class _Clock:
    """Times as written: [n] datetime64[ns], NaT where none; whether they name a zone; whether they are days alone."""

    time: NDArray[np.datetime64]
    zoned: bool
    dates: bool


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
            f"times name their zone ({written.iloc[0]!r}) and utc_offset_hours is {offset_hours:g}; leave that empty"
        )
    offset = np.timedelta64(round((offset_hours or 0) * 3600), "s")
    if not (clock.dates or _is_daily(clock.time)):
        return np.asarray(clock.time - offset, "M8[ns]")
    local = clock.time if clock.zoned else clock.time.astype("M8[D]").astype("M8[ns]")
    return np.asarray((local + HALF_DAY - offset).astype("M8[D]").astype("M8[ns]"), "M8[ns]")


def _is_daily(time: NDArray[np.datetime64]) -> bool:
    steps = np.diff(np.unique(time[~np.isnat(time)]))
    return len(steps) > 0 and bool(np.median(steps.astype("m8[s]").astype(float)) >= 86_400)


def _read(written: pd.Series) -> _Clock:
    if isinstance(written.dtype, pd.DatetimeTZDtype):
        return _Clock(written.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("M8[ns]"), True, False)
    if written.dtype.kind == "M":
        return _Clock(written.to_numpy("M8[ns]"), False, False)
    text = written.astype(str).str.strip().str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    first = next((t for t in text if re.search(r"\d", t)), "")
    if first.isdigit():
        time = pd.Series(np.full(len(text), np.datetime64("NaT"), "M8[ns]"))
        digits = text.where(text.str.isdigit(), "").str.len().to_numpy()
        for length, form in DIGITS.items():
            chosen = digits == length
            time[chosen] = pd.to_datetime(text[chosen], format=form, errors="coerce").to_numpy("M8[ns]")
        return _Clock(time.to_numpy("M8[ns]"), False, len(first) == 8)
    if _YEAR_LAST.fullmatch(first):
        text = _year_first(text)
    text = text.str.replace(r"^(\d{4})/(\d{1,2})/(\d{1,2})", r"\1-\2-\3", regex=True)
    time = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if time.isna().all() and text.str.contains(r"\d").any():
        time = pd.to_datetime(text, format="mixed", utc=True, errors="coerce")
    dates = ":" not in first and len(first) <= 10
    return _Clock(time.dt.tz_localize(None).to_numpy("M8[ns]"), _ZONE.fullmatch(first) is not None, dates)


def _year_first(text: pd.Series) -> pd.Series:
    """`31.12.2018 10:00` and `12/31/2018 10:00` as `2018-12-31 10:00`; the dates show which number is the day."""
    cut = text.str.extract(_YEAR_LAST.pattern, flags=re.DOTALL)
    numbers = cut[[0, 1]].apply(pd.to_numeric, errors="coerce")
    day = next((column for column in (0, 1) if (numbers[column] > 12).any()), None)
    if day is None and (text.str.count(r"\.") >= 2).all():
        day = 0  # with dots the day stands first wherever dates are written so
    if day is None or (numbers[1 - day] > 12).any():
        raise SensorError(f"times such as {text.iloc[0]!r}: day or month first? write them as 2018-12-31 23:00")
    return cut[2] + "-" + cut[1 - day].str.zfill(2) + "-" + cut[day].str.zfill(2) + cut[3].fillna("")
