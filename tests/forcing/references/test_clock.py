"""Time stamps by hand, in every spelling that producers use."""

import numpy as np
import pytest

from somo.forcing.formats.stored import UnreadableError
from somo.forcing.references.clock import is_clock, seconds_of, shift_of

STAMPS = {
    "hours since 1900-01-01": ([1_051_896.0], "standard", "2020-01-01T00:00:00"),
    "days since 1970-01-01 00:00:00Z": ([18262], "standard", "2020-01-01T00:00:00"),
    "days since 1970-01-01T00:00:00+01:00": ([18262], "standard", "2019-12-31T23:00:00"),
    "days since 1970-1-1 0:0:0.0 UTC": ([18262.5], "standard", "2020-01-01T12:00:00"),
    "seconds since 19700101": ([1_577_836_800.4], "standard", "2020-01-01T00:00:00"),
    "days since 1-1-1": ([737_426], "standard", "2020-01-01T00:00:00"),
    "days since 0001-01-01 ": ([737_424], "proleptic_gregorian", "2020-01-01T00:00:00"),
    "years since 1-1-1": ([2019], "standard", "2020-01-01T00:00:00"),
    "months since 2019-11-15": ([2], "standard", "2020-01-15T00:00:00"),
    "day as %Y%m%d.%f": ([20200229.75], "standard", "2020-02-29T18:00:00"),
    "day as %Y%m%d": ([20200229], "standard", "2020-02-29T00:00:00"),
    "YYYYMMDD": ([20200229], "standard", "2020-02-29T00:00:00"),
    "yyyymmddhh": ([2020022918], "standard", "2020-02-29T18:00:00"),
    "days since 2020-02-27": ([2], "noleap", "2020-03-01T00:00:00"),
    "days since 2020-01-30": ([0], "360_day", "2020-01-30T00:00:00"),
    "Hours Since 2019-12-31": ([24.0], "standard", "2020-01-01T00:00:00"),
    "days since 1970-01-01 +01:00": ([18262], "standard", "2019-12-31T23:00:00"),
    "nanoseconds since 1970-01-01": ([1_577_836_800_000_000_000], "standard", "2020-01-01T00:00:00"),
    "minutes since 2020-01-01": ([90], "gregorian", "2020-01-01T01:30:00"),
}


@pytest.mark.parametrize("units", STAMPS)
def test_stamps_by_hand(units):
    values, calendar, expected = STAMPS[units]
    seconds, exists = seconds_of(np.array(values), units, calendar)
    assert seconds.astype("datetime64[s]").astype(str).tolist() == [expected]
    assert exists.all()
    assert is_clock({"units": units})


@pytest.mark.parametrize(
    ("units", "seconds"),
    [("seconds since 1970-01-01", 1), ("hours since 1900-01-01", 3600), ("days since 1900-01-01", 86_400)],
)
def test_stamps_in_single_precision_lie_on_whole_hours(units, seconds):
    hours = np.arange("2020-01-01", "2020-01-04", dtype="datetime64[h]")
    origin = np.datetime64(units.rpartition(" ")[2], "h")
    stamps = ((hours - origin).astype("int64") * 3600 / seconds).astype("float32")
    assert (seconds_of(stamps, units, "standard")[0].astype("datetime64[s]") == hours).all()


def test_dates_that_the_standard_calendar_lacks_are_marked():
    seconds, exists = seconds_of(np.arange(3), "days since 2019-02-28", "360_day")
    assert exists.tolist() == [True, False, False]
    assert len(seconds) == 3


@pytest.mark.parametrize(
    ("values", "units", "words"),
    [
        ([0], "fortnights since 2020-01-01", "which nobody here knows"),
        ([0], "days since yesterday", "whose date cannot be read"),
        # no zone of half an hour, but the 32nd day of the year
        ([0], "days since 2020-032", "whose date cannot be read"),
        ([0], "days since 01-02-2020", "whose date cannot be read"),
        ([np.nan], "days since 2020-01-01", "stamps without a value"),
        ([20201332], "day as %Y%m%d", "which is no date"),
        ([0.5], "months since 2020-01-01", "fractions"),
    ],
)
def test_what_cannot_be_understood_is_refused(values, units, words):
    with pytest.raises(UnreadableError, match=words):
        seconds_of(np.array(values), units, "standard")


def test_texts_with_zones_are_utc():
    texts = np.array(["2020-01-01T01:00:00+01:00", "2020-01-01", "2020-01-01T00:00:00Z"])
    assert (seconds_of(texts, "", "standard")[0] == 1_577_836_800).all()


@pytest.mark.parametrize(("text", "seconds"), [("0 days 01:00:00", 3600), ("-1 days +18:00:00", -21_600)])
def test_shifts_as_pandas_writes_them(text, seconds):
    assert shift_of({"time_shift": text}) == seconds
    assert shift_of({}) == 0
    with pytest.raises(UnreadableError, match="time_shift = 'an hour'"):
        shift_of({"time_shift": "an hour"})
