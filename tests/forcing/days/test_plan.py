"""What stamps mean and which steps make which day: hand-computed."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.forcing.days.plan import plan_days, to_daily
from somo.forcing.days.stamps import Stamps
from somo.forcing.sources import ForcingError
from somo.product.inputs import Source

DAY = 86_400


def source(**changes):
    return Source.model_validate({"url": "x", "variable": "v", "units": "m", **changes})


def seconds(first: str, n: int, step_hours: float) -> np.ndarray:
    start = int(np.datetime64(first, "s").astype("int64"))
    return (start + np.arange(n) * round(3600 * step_hours)).astype("int64")


def stamps(first: str, n: int, step_hours: float, **more) -> Stamps:
    return Stamps(("f.nc",), seconds(first, n, step_hours), **more)


def dates(plan) -> list[str]:
    return [str(np.datetime64(plan.first_day + day, "D")) for day in range(len(plan.steps))]


HOURLY = {"frequency": "sub-daily"}
RAIN = {**HOURLY, "kind": "accumulated"}


@pytest.mark.parametrize(
    ("declared", "first", "n", "step", "first_date", "first_steps"),
    [
        # instants from 00 UTC to before the next
        (HOURLY, "2020-02-01T00:00", 72, 1, "2020-02-01", range(24)),
        (HOURLY, "2020-02-01T00:00", 12, 6, "2020-02-01", range(4)),
        # a file that begins at noon: the first whole day is the next one
        (HOURLY, "2020-02-01T12:00", 60, 1, "2020-02-02", range(12, 36)),
        # means stamped in the middle, 00:30 to 23:30, declared or not
        (HOURLY, "2020-02-01T00:30", 48, 1, "2020-02-01", range(24)),
        ({**HOURLY, "kind": "mean"}, "2020-02-01T00:30", 48, 1, "2020-02-01", range(24)),
        ({**HOURLY, "kind": "mean", "stamp": "middle"}, "2020-02-01T01:30", 17, 3, "2020-02-01", range(8)),
        # means stamped at the start, and at the end: 01 UTC to 00 UTC of the next day
        ({**HOURLY, "kind": "mean", "stamp": "start"}, "2020-02-01T00:00", 48, 1, "2020-02-01", range(24)),
        ({**HOURLY, "kind": "mean", "stamp": "end"}, "2020-02-01T00:00", 49, 1, "2020-02-01", range(1, 25)),
        # sums per hour, stamped at the end of the hour
        ({**RAIN, "accumulation": "step"}, "2020-02-01T00:00", 49, 1, "2020-02-01", range(1, 25)),
        ({**RAIN, "accumulation": "step", "stamp": "start"}, "2020-02-01T00:00", 48, 1, "2020-02-01", range(24)),
        # sums since 00 UTC are complete at the next 00 UTC
        ({**RAIN, "accumulation": "day"}, "2020-02-01T00:00", 49, 1, "2020-01-31", [0]),
        ({**RAIN, "accumulation": "day"}, "2020-02-01T01:00", 48, 1, "2020-02-01", [23]),
        # downloaded at 00 UTC only
        (RAIN, "2020-02-02T00:00", 5, 24, "2020-02-01", [0]),
        # daily values at 00 UTC, at noon, and stamped with the end of their day
        ({}, "2020-02-01T00:00", 5, 24, "2020-02-01", [0]),
        ({}, "2020-02-01T12:00", 5, 24, "2020-02-01", [0]),
        ({"kind": "mean", "stamp": "end"}, "2020-02-02T00:00", 5, 24, "2020-02-01", [0]),
        ({"kind": "accumulated", "stamp": "middle"}, "2020-02-01T12:00", 5, 24, "2020-02-01", [0]),
        # days from 06 UTC to 06 UTC, accepted
        ({"kind": "mean", "stamp": "start", "day_offset_hours": 6}, "2020-02-01T06:00", 5, 24, "2020-02-01", [0]),
        ({**HOURLY, "day_offset_hours": -3}, "2020-01-31T21:00", 48, 1, "2020-02-01", range(24)),
    ],
)
def test_steps_of_the_first_day(declared, first, n, step, first_date, first_steps):
    plan = plan_days("precipitation", source(**declared), stamps(first, n, step))
    assert dates(plan)[0] == first_date
    assert plan.steps[0].tolist() == list(first_steps)


@pytest.mark.parametrize(("kind", "total"), [("mean", False), ("accumulated", True)])
def test_bounds_decide_where_a_file_has_them(kind, total):
    """Three-hourly values stamped at the end, without a word in the declaration but the kind."""
    times = seconds("2020-02-01T03:00", 16, 3)
    bounds = np.stack([times - 3 * 3600, times], axis=1)
    declared = {**HOURLY, "kind": kind, **({"accumulation": "step"} if total else {})}
    plan = plan_days("precipitation", source(**declared), Stamps(("f.nc",), times, bounds))
    assert dates(plan) == ["2020-02-01", "2020-02-02"]
    assert plan.steps.tolist() == [list(range(8)), list(range(8, 16))]
    assert plan.total == total


def test_daily_values_stamped_the_next_day_by_bounds():
    times = seconds("2020-02-02T00:00", 5, 24)
    plan = plan_days("p", source(), Stamps(("f.nc",), times, np.stack([times - DAY, times], axis=1), "time: mean"))
    assert dates(plan)[0] == "2020-02-01"


def test_bounds_that_end_with_the_last_second_or_hour_still_mean_the_day():
    times = seconds("2020-02-01T00:00", 3, 24)
    for short in (1, 3600):
        bounds = np.stack([times, times + DAY - short], axis=1)
        plan = plan_days("p", source(kind="mean"), Stamps(("f.nc",), times, bounds))
        assert dates(plan) == ["2020-02-01", "2020-02-02", "2020-02-03"]


@pytest.mark.parametrize("step_hours", [1, 2, 3, 4, 6])
def test_bounds_from_a_days_first_to_its_last_step_mean_the_day(step_hours):
    """As `cdo daymean` writes them; a first or last day of fewer steps is no whole one."""
    days = seconds("2020-02-01T00:00", 6, 24)
    starts, ends = days.copy(), days + DAY - step_hours * 3600
    whole = Stamps(("f.nc",), (starts + ends) // 2, np.stack([starts, ends], axis=1), "time: mean")
    assert dates(plan_days("p", source(), whole)) == [f"2020-02-0{day}" for day in range(1, 7)]
    for last_hours in (0, 12, 17):
        starts[0], ends[-1] = days[0] + 12 * 3600, days[-1] + last_hours * 3600
        cut = Stamps(("f.nc",), (starts + ends) // 2, np.stack([starts, ends], axis=1), "time: mean")
        plan = plan_days("p", source(), cut)
        assert dates(plan) == [f"2020-02-0{day}" for day in range(2, 6)]
        np.testing.assert_array_equal(plan.steps[:, 0], range(1, 5))
    ends[2] -= 5 * 3600
    parts = Stamps(("f.nc",), (starts + ends) // 2, np.stack([starts, ends], axis=1), "time: mean")
    with pytest.raises(ForcingError, match=r"stamped 2020-02-01.* which is not a day"):
        plan_days("p", source(), parts)


def test_the_instant_at_which_a_model_began_is_no_day():
    """Its bounds are of no length, and it lies in the day of the first mean, which is stamped with its end."""
    times = seconds("2020-02-01T00:00", 4, 24)
    bounds = np.stack([np.maximum(times - DAY, times[0]), times], axis=1)
    plan = plan_days("p", source(), Stamps(("f.nc",), times, bounds, "time: mean"))
    assert dates(plan) == ["2020-02-01", "2020-02-02", "2020-02-03"]
    assert plan.steps[:, 0].tolist() == [1, 2, 3]
    hours = seconds("2020-02-01T00:00", 25, 1)
    bounds = np.stack([np.maximum(hours - 3600, hours[0]), hours], axis=1)
    axis = Stamps(("f.nc",), hours, bounds, "time: mean")
    with pytest.raises(
        ForcingError, match=r"the bounds of 2020-02-01T00:00:00 are of no length, unlike others: .*stamp"
    ):
        plan_days("p", source(**HOURLY), axis)
    assert plan_days("p", source(**HOURLY, stamp="end"), axis).steps.tolist() == [list(range(1, 25))]


def test_half_a_day_is_none():
    times = seconds("2020-02-01T12:00", 6, 24)
    halves = Stamps(("f.nc",), times, np.stack([times - DAY // 2, times], axis=1), "time: sum")
    with pytest.raises(ForcingError, match=r"00:00:00 to 2020-02-01T12:00:00 by the bounds .* is not a day"):
        plan_days("p", source(), halves)


def test_an_amount_from_grib_stamped_00_utc_ended_there():
    given_by_grib = stamps("2020-02-02T00:00", 3, 24, cell_methods="GRIB_stepType: accum")
    assert dates(plan_days("p", source(kind="accumulated"), given_by_grib))[0] == "2020-02-01"
    assert dates(plan_days("p", source(kind="accumulated"), stamps("2020-02-02T00:00", 3, 24)))[0] == "2020-02-02"


def test_00_and_23_utc_take_00():
    both = np.sort(np.concatenate([seconds("2020-02-01T00:00", 4, 24), seconds("2020-02-01T23:00", 3, 24)]))
    plan = plan_days("p", source(**RAIN, accumulation="day"), Stamps(("f.nc",), both))
    assert dates(plan) == ["2020-01-31", "2020-02-01", "2020-02-02", "2020-02-03"]
    assert plan.steps[:, 0].tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("declared", "axis", "message"),
    [
        ({**HOURLY, "kind": "mean"}, stamps("2020-02-01T00:00", 48, 1), r'write forcing\.p\.stamp = "start" or "end"'),
        (
            {**HOURLY, "kind": "mean", "stamp": "end"},
            stamps("2020-02-01T00:30", 48, 1),
            r"stamped 2020-02-01T00:30:00 stands for 2020-01-31T23:30:00 to 2020-02-01T00:30:00, .*within one UTC day",
        ),
        (
            {"kind": "mean", "stamp": "start"},
            stamps("2020-02-01T06:00", 5, 24),
            r"2020-02-01T06:00:00 to 2020-02-02T06:00:00.*day_offset_hours = 6",
        ),
        (RAIN, stamps("2020-02-01T00:00", 49, 1), r'accumulation = "day" .*ERA5-Land.* or "step"'),
        ({**RAIN, "accumulation": "day"}, stamps("2020-02-01T00:30", 48, 1), r"no time is at 00 UTC"),
        (
            {"kind": "accumulated"},
            stamps("2020-02-01T00:00", 5, 24, cell_methods="time: mean"),
            r'is mean by its own attributes \(cell_methods .time: mean.\).*write kind = "mean"',
        ),
        (
            {**HOURLY, "kind": "instantaneous"},
            stamps("2020-02-01T00:00", 48, 1, cell_methods="time: sum (interval: 1 hour)"),
            r"is accumulated by its own attributes",
        ),
        ({}, stamps("2020-02-01T00:00", 48, 1), r'24 values on 2020-02-01, .*write frequency = "sub-daily"'),
        (HOURLY, stamps("2020-02-01T00:00", 5, 24), r"a time every 86400 s, but it is declared 'sub-daily'"),
        ({}, stamps("2020-02-01T00:00", 5, 24, calendar="365_day"), r"'365_day' calendar.*calendar_gap = \"repeat\""),
    ],
)
def test_what_cannot_be_is_refused(declared, axis, message):
    with pytest.raises(ForcingError, match=message):
        plan_days("p", source(**declared), axis)


def test_a_stamp_that_contradicts_the_bounds_is_refused():
    times = seconds("2020-02-02T00:00", 5, 24)
    ended = Stamps(("f.nc",), times, np.stack([times - DAY, times], axis=1))
    with pytest.raises(ForcingError, match=r'f\.nc: .* declares stamp = "start"; write stamp = "end"'):
        plan_days("p", source(kind="mean", stamp="start"), ended)
    assert dates(plan_days("p", source(kind="mean", stamp="end"), ended))[0] == "2020-02-01"


def test_bounds_across_midnight_are_refused_unless_accepted():
    times = seconds("2020-02-01T06:00", 5, 24)
    shifted = Stamps(("f.nc",), times, np.stack([times, times + DAY], axis=1))
    with pytest.raises(ForcingError, match="day_offset_hours = 6"):
        plan_days("p", source(kind="mean"), shifted)
    assert dates(plan_days("p", source(kind="mean", day_offset_hours=6), shifted))[0] == "2020-02-01"


def test_a_day_missing_between_others_is_named_with_its_files():
    times = np.delete(seconds("2020-02-01T00:00", 10, 24), [4, 5])
    axis = Stamps(("a.nc", "b.nc"), times, file_of_step=np.array([0] * 4 + [1] * 4))
    with pytest.raises(ForcingError, match=r"2020-02-05 to 2020-02-06 is missing .*a\.nc and b\.nc.*gaps"):
        plan_days("p", source(), axis)
    plan = plan_days("p", source(gaps="interpolate", max_gap_days=2), axis)
    assert plan.steps[:, 0].tolist() == [0, 1, 2, 3, -1, -1, 4, 5, 6, 7]
    with pytest.raises(ForcingError, match="more than max_gap_days 1"):
        plan_days("p", source(gaps="interpolate", max_gap_days=1), axis)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            [seconds("2020-02-01T00:00", 240, 1), seconds("2020-02-11T00:00", 30, 3)],
            "has 8 values a day from 2020-02-11 on, and the other days .* 24",
        ),
        (
            [seconds("2020-02-01T00:00", 12, 6), seconds("2020-02-04T00:00", 100, 1)],
            "has 4 values a day until 2020-02-03, and the other days .* 24",
        ),
    ],
)
def test_files_of_another_step_at_either_end_are_named(parts, words):
    with pytest.raises(ForcingError, match=rf"f\.nc: {words}.*forcing\.p\.then"):
        plan_days("p", source(**HOURLY), Stamps(("f.nc",), np.concatenate(parts)))


def test_a_day_cut_off_at_either_end_is_left_out():
    plan = plan_days("p", source(**HOURLY), stamps("2020-02-01T12:00", 48, 1))
    assert dates(plan) == ["2020-02-02"]


def test_an_hour_missing_takes_its_day():
    times = np.delete(seconds("2020-02-01T00:00", 72, 1), 30)
    with pytest.raises(ForcingError, match="2020-02-02 is missing or has not all its steps"):
        plan_days("p", source(**HOURLY), Stamps(("f.nc",), times))
    # 29 February has 23 of its hours here, so that no calendar of 365 days explains what is missing.
    times = np.delete(seconds("2020-02-28T00:00", 72, 1), 30)
    with pytest.raises(
        ForcingError, match=r"2020-02-29 is missing or has not all its steps .*; provide it, or fill gaps"
    ):
        plan_days("p", source(**HOURLY), Stamps(("f.nc",), times))


@pytest.mark.parametrize(
    ("calendar", "lacking", "filled_by"),
    [
        ("noleap", "2020-02-29", "2020-02-28"),
        ("360_day", "2020-03-31", "2020-03-30"),
        ("standard", "2020-12-31", "2020-12-30"),
    ],
)
def test_days_that_a_calendar_lacks_are_the_day_before(calendar, lacking, filled_by):
    times = seconds("2020-02-01T12:00", 400, 24)
    days = times // DAY
    if calendar == "360_day":
        times = times[[dt.date.fromordinal(int(d) + 719163).day != 31 for d in days]]
    else:
        times = times[days != int(np.datetime64(lacking, "D").astype(int))]
    plan = plan_days("p", source(calendar_gap="repeat"), Stamps(("f.nc",), times, calendar=calendar))
    at = dict(zip(dates(plan), plan.steps[:, 0].tolist(), strict=True))
    assert at[lacking] == at[filled_by] >= 0


def test_a_calendar_gap_does_not_excuse_other_days():
    times = np.delete(seconds("2020-02-01T00:00", 60, 24), 10)
    with pytest.raises(ForcingError, match="2020-02-11 is missing"):
        plan_days("p", source(calendar_gap="repeat"), Stamps(("f.nc",), times))


@given(st.integers(1, 5), st.sampled_from([1, 2, 4, 24]), st.booleans(), st.integers(0, 99))
def test_daily_values_equal_a_plain_loop(days, count, total, seed):
    values = np.random.default_rng(seed).normal(size=(days * count, 2, 3)).astype("float32")
    steps = np.arange(days * count).reshape(days, count)
    got = to_daily(steps, total, lambda numbers: values[numbers])
    for day in range(days):
        part = values[day * count : (day + 1) * count].astype("float64")
        np.testing.assert_allclose(got[day], part.sum(0) if total else part.mean(0), rtol=1e-5, atol=1e-6)


def test_a_missing_step_or_day_makes_the_day_missing():
    values = np.array([1.0, np.nan, 3.0, 5.0], "float32").reshape(4, 1, 1)
    got = to_daily(np.array([[0, 1], [2, 3], [-1, -1]]), False, lambda numbers: values[numbers])
    assert np.isnan(got[:, 0, 0]).tolist() == [True, False, True]
    assert got[1, 0, 0] == 4


def test_a_step_may_make_two_days():
    values = np.array([1.0, 2.0], "float32").reshape(2, 1, 1)
    got = to_daily(np.array([[0], [0], [1]]), False, lambda numbers: values[numbers])
    assert got[:, 0, 0].tolist() == [1, 1, 2]


def test_days_of_a_clock_ahead_of_utc_are_accepted_by_the_nearer_offset():
    times = seconds("2020-01-31T23:00", 5, 24)
    shifted = Stamps(("f.nc",), times, np.stack([times, times + DAY], axis=1))
    with pytest.raises(ForcingError, match="day_offset_hours = -1"):
        plan_days("p", source(), shifted)
    assert dates(plan_days("p", source(day_offset_hours=-1), shifted))[0] == "2020-02-01"


@pytest.mark.parametrize(("first", "stamp"), [("2020-02-01T23:59:59", "end"), ("2020-02-01T11:30", "middle")])
def test_stamps_of_a_days_last_second_and_of_the_middle_of_its_hours_are_of_that_day(first, stamp):
    plan = plan_days("p", source(kind="mean", stamp=stamp), stamps(first, 3, 24))
    assert dates(plan) == ["2020-02-01", "2020-02-02", "2020-02-03"]


def test_files_of_which_some_have_bounds_need_a_declared_stamp():
    """The second file says that its days end at their stamps; what the first one's do, nobody knows."""
    times = seconds("2020-02-02T00:00", 6, 24)
    bounds = np.stack([times, times], axis=1)
    bounds[3:, 0] -= DAY
    axis = Stamps(("a.nc", "b.nc"), times, bounds, "time: mean", file_of_step=np.repeat([0, 1], 3))
    with pytest.raises(ForcingError, match=r"a\.nc: has no time bounds, but b\.nc has: .*p\.stamp"):
        plan_days("p", source(), axis)
    with pytest.raises(ForcingError, match=r'b\.nc: .*write stamp = "end"'):
        plan_days("p", source(stamp="start"), axis)
    assert dates(plan_days("p", source(stamp="end"), axis)) == [f"2020-02-0{day}" for day in range(1, 7)]


def test_a_value_of_the_day_with_bounds_is_of_their_day():
    times = seconds("2020-02-02T00:00", 3, 24)
    ended = Stamps(("f.nc",), times, np.stack([times - DAY, times], axis=1))
    assert dates(plan_days("p", source(kind="instantaneous"), ended))[0] == "2020-02-01"


@pytest.mark.parametrize("accumulation", ["day", "step"])
def test_sums_since_the_start_of_a_forecast_are_refused_by_their_intervals(accumulation):
    times = seconds("2020-02-01T01:00", 48, 1)
    starts = times - (np.arange(48) % 12 + 1) * 3600
    axis = Stamps(("f.grib",), times, np.stack([starts, times], axis=1), "time: sum")
    with pytest.raises(ForcingError, match=r"f\.grib: .*(has run since|contains part of the one before)"):
        plan_days("p", source(**RAIN, accumulation=accumulation), axis)
