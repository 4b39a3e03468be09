"""Times in the ways in which programs and people write them: each is right, or refused with what to write."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from somo.insitu.errors import SensorError
from somo.insitu.sources.clocks import to_utc
from somo.insitu.sources.table_series import Columns, read_series

HOURS = pd.date_range("2018-01-10", periods=96, freq="h")


def _without_midnight(day: str, clock: str) -> Callable[[pd.Timestamp], str]:
    return lambda t: t.strftime(day if t.hour == 0 else f"{day} {clock}")


@pytest.mark.parametrize(
    "written",
    [
        # R and spreadsheets leave out the time of day at midnight; the days that are left are no daily values.
        _without_midnight("%Y-%m-%d", "%H:%M:%S"),
        _without_midnight("%d.%m.%Y", "%H:%M"),
        lambda t: f"{t.month}/{t.day}/{t.year} {t.hour}:{t:%M}",
        lambda t: f"{t.year}-{t.month}-{t.day} {t.hour}:{t:%M}",
        lambda t: f"{t.year}/{t.month}/{t.day} {t.hour}:{t:%M}",
        lambda t: f"{t:%m/%d/%Y %I:%M %p}",
        lambda t: f"{t:%Y.%m.%d %H:%M}",
        lambda t: f"{t:%Y-%m-%d %H:%M:%S},000",
        lambda t: f"{t:%d-%b-%Y %H:%M}",
        lambda t: f"{t:%Y%m%d%H}",
        # Midnight as the end of the day before it, as loggers of Campbell write it.
        lambda t: f"{t:%Y-%m-%d %H:%M}" if t.hour else f"{t - pd.Timedelta('1D'):%Y-%m-%d} 24:00",
        lambda t: f"{t:%d.%m.%Y %H:%M:%S}" if t.hour else f"{t - pd.Timedelta('1D'):%d.%m.%Y} 24:00:00",
        lambda t: f"{t:%Y%m%d%H%M}" if t.hour else f"{t - pd.Timedelta('1D'):%Y%m%d}2400",
    ],
)
def test_hours_are_hours_however_they_are_written(written: Callable[[pd.Timestamp], str]) -> None:
    assert (to_utc(pd.Series([written(t) for t in HOURS]), 1) == (HOURS - pd.Timedelta("1h")).to_numpy()).all()


@pytest.mark.parametrize("form", ["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S UTC", "%Y-%m-%d %H:%M GMT"])
def test_utc_by_its_names(form: str) -> None:
    assert (to_utc(pd.Series(HOURS.strftime(form)), None) == HOURS.to_numpy()).all()
    with pytest.raises(SensorError, match="times name their zone"):
        to_utc(pd.Series(HOURS.strftime(form)), 1)


@pytest.mark.parametrize("zone", ["+02:00", "+0200", "+02"])
def test_an_offset_that_times_name_counts_once(zone: str) -> None:
    text = pd.Series(HOURS.strftime("%Y-%m-%d %H:%M:%S") + zone)
    assert (to_utc(text, None) == (HOURS - pd.Timedelta("2h")).to_numpy()).all()
    with pytest.raises(SensorError, match="times name their zone"):
        to_utc(text, 2)


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_what_is_counted_from_1970_is_utc(unit: str, factor: float) -> None:
    seconds = HOURS.as_unit("s").astype("int64")
    assert (to_utc(pd.Series([str(int(s * factor)) for s in seconds]), None) == HOURS.to_numpy()).all(), unit
    assert (to_utc(pd.Series([f"{s}.0" for s in seconds]), None) == HOURS.to_numpy()).all()


@pytest.mark.parametrize("zone", ["CET", "EST"])
def test_zones_whose_names_have_two_meanings_are_refused(zone: str) -> None:
    with pytest.raises(SensorError, match=f"times name a zone .*{zone}.* write utc_offset_hours"):
        to_utc(pd.Series(HOURS.strftime(f"%Y-%m-%d %H:%M {zone}")), None)


@pytest.mark.parametrize(
    "form",
    [
        *("%H:%M %d/%m/%Y", "%Y-%j %H:%M", "%Y%j", "%y%m%d"),
        *("%Y-%m", "%Y/%m", "%B %Y", "%b. %Y", "%Y-%b", "%b-%y"),
        *("%d-%b %H:%M", "%d%b%y:%H:%M"),
    ],
)
def test_times_of_no_known_form_are_never_guessed(form: str) -> None:
    text = "t,v\n" + "".join(f"{t:{form}},0.2\n" for t in HOURS)
    with pytest.raises(SensorError, match="no time that can be read"):
        read_series(text.encode(), Columns("t", "v"))
    years = "t,v\n" + "".join(f"{2018 + hour / 8760:.6f},0.2\n" for hour in range(96))
    with pytest.raises(SensorError, match="no time that can be read"):
        read_series(years.encode(), Columns("t", "v"))


@pytest.mark.parametrize("days", [1, 40, 800])
def test_years_of_two_digits_beside_a_spelled_month_are_not_guessed(days: int) -> None:
    """The day runs through more values than the year, wherever it stands; on a single day nobody knows."""
    times = pd.date_range("2018-01-10", periods=days * 24, freq="h")
    with pytest.raises(SensorError, match=r"such as '18-Jan-10 00:00' have years of two digits, first or last"):
        to_utc(pd.Series(times.strftime("%y-%b-%d %H:%M")), None)
    if days > 1:
        assert (to_utc(pd.Series(times.strftime("%d-%b-%y %H:%M")), None) == times.to_numpy()).all()
        with pytest.raises(SensorError, match=r"such as '18\.01\.10 00:00' have years of two digits, first or last"):
            to_utc(pd.Series(times.strftime("%y.%m.%d %H:%M")), None)
    assert (to_utc(pd.Series(times.strftime("%d.%m.%y %H:%M")), None) == times.to_numpy()).all()


def test_a_file_of_which_most_times_cannot_be_read_is_refused() -> None:
    """Of years that are followed by the day, the days up to the twelfth would pass for months."""
    days = pd.date_range("2018-01-01", periods=300)
    text = "t,v\n" + "".join(f"{t:%Y-%d-%m},0.2\n" for t in days)
    with pytest.raises(SensorError, match=r"180 of 300 values have no time that can be read, such as '2018-27-10'"):
        read_series(text.encode(), Columns("t", "v"))


@pytest.mark.parametrize(
    ("names", "cells"),
    [
        ("D+H", lambda t: f"{t:%Y%m%d},{t.hour}"),
        ("D+H", lambda t: f"{t:%Y-%m-%d},{t.hour}"),
        ("D+H", lambda t: f"{t:%d.%m.%Y},{100 * t.hour}"),
        ("D+H", lambda t: f"{t:%Y%m%d},{10_000 * t.hour}"),
        ("D+H", lambda t: f"{t:%Y-%m-%d},{t:%H:%M}"),
        ("D (UTC+1)", lambda t: f"{t:%Y-%m-%d %H:%M},"),
    ],
)
def test_date_and_time_of_day_in_two_columns(names: str, cells: Callable[[pd.Timestamp], str]) -> None:
    head = "D (UTC+1),H,v\n" if "(" in names else "D,H,v\n"
    text = head + "".join(f"{cells(t)},0.2\n" for t in HOURS)
    time, *_ = read_series(text.encode(), Columns(names, "v", offset_hours=1))
    assert (time == (HOURS - pd.Timedelta("1h")).to_numpy()).all()


def test_minutes_since_midnight_are_no_hours_and_minutes() -> None:
    text = "D,M,v\n" + "".join(f"{t:%Y-%m-%d},{60 * t.hour},0.2\n" for t in HOURS)
    with pytest.raises(SensorError, match="times of day such as '60' are no hours and minutes; write them as 23:00"):
        read_series(text.encode(), Columns("D+M", "v"))


def test_more_than_two_columns_are_refused() -> None:
    with pytest.raises(SensorError, match=r"time 'Y\+D\+H' names 3 columns; name one, or two as date\+clock"):
        read_series(b"Y,D,H,v\n2018,1,0,0.2\n", Columns("Y+D+H", "v"))


@pytest.mark.parametrize("form", ["%d.%m.%Y %H:%M", "%d.%m.%y %H:%M", "%Y-%m-%d %H:%M", "%Y%m%d%H%M"])
def test_units_below_the_names_say_nothing_of_the_times(form: str) -> None:
    text = "t;v\nUTC+1;Vol.%\n" + "".join(f"{t:{form}};25,5\n" for t in HOURS[:48])
    time, value, _, note = read_series(text.encode(), Columns("t", "v", factor=0.01))
    assert (time == HOURS[:48].to_numpy()).all() and not note
    np.testing.assert_allclose(value, 0.255, rtol=1e-15)


@pytest.mark.parametrize("form", ["{:%Y-%m-%d} 24:00:00", "{:%Y%m%d}2400"])
def test_days_that_are_stamped_with_their_end_stay_themselves(form: str) -> None:
    days = pd.date_range("2018-01-10", periods=9, freq="D")
    assert (to_utc(pd.Series([form.format(day) for day in days]), 1) == days.to_numpy()).all()


@pytest.mark.parametrize("clock", ["T00:00:00Z", "T12:00:00Z", "T23:59:59Z", " 12:00-06:00", " 00:00+01:00"])
def test_daily_values_that_name_their_zone_stay_on_their_day(clock: str) -> None:
    days = pd.date_range("2018-01-10", periods=9, freq="D")
    assert (to_utc(pd.Series(days.strftime("%Y-%m-%d") + clock), None) == days.to_numpy()).all()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Chicago", "Asia/Kolkata"])
@pytest.mark.parametrize("hour", [0, 12])
def test_daily_values_of_a_zone_go_to_the_utc_day_that_has_most_of_theirs(zone: str, hour: int) -> None:
    days = pd.date_range("2018-01-10", periods=300, freq="D")
    local = (days + pd.Timedelta(hours=hour)).tz_localize(zone)
    assert (to_utc(pd.Series(local), None) == days.to_numpy()).all()
    assert (to_utc(pd.Series([t.isoformat() for t in local]), None) == days.to_numpy()).all()
    if hour == 0:
        midnights = pd.Series(local.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"))
        assert (to_utc(midnights, None) == days.to_numpy()).all()


@pytest.mark.parametrize(
    "form", ["%a %b %d %Y %H:%M:%S GMT+0100", "%Y-%m-%d %H:%M UTC+1", "%Y-%m-%d %H:%M (UTC+01:00)"]
)
def test_hours_ahead_of_utc_are_ahead(form: str) -> None:
    text = pd.Series(HOURS.strftime(form))
    assert (to_utc(text, None) == (HOURS - pd.Timedelta("1h")).to_numpy()).all()
    with pytest.raises(SensorError, match="times name their zone"):
        to_utc(text, 1)
