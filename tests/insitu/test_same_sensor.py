"""Sensors delivered more than once: joined within an archive, counted once across archives."""

import numpy as np
import pandas as pd

from somo.insitu.daily import DailySensor
from somo.insitu.rules import Series
from somo.insitu.same_sensor import count_once, join_downloads

FIRST = np.datetime64("2020-01-01")


def daily(level: float, days: range, **changes) -> DailySensor:
    values = {"key": "k", "network": "N", "station": "S", "name": "Hydraprobe II", "latitude": 50.0, "longitude": 10.0}
    values |= {"depth_from_m": 0.1016, "depth_to_m": 0.1016, "good_values": 6 * len(days), "a_day": 24, **changes}
    day, count = FIRST + np.array(days, int), np.full(len(days), 6, np.int32)
    return DailySensor(**values, day=day, mean=np.full(len(days), level), count=count)


def series(archive: str, values: np.ndarray, start: str = "2020-01-01", **changes) -> Series:
    means = pd.Series(values, index=pd.date_range(start, periods=len(values)))
    about = {"network": "N", "station": "S", "sensor": "P", "latitude": 50.0, "longitude": 10.0, **changes}
    return Series(
        archive, depth_from_m=0.05, depth_to_m=0.05, layer="layer1", domain="home", cell=1, daily=means, **about
    )


def test_the_newer_download_counts_from_its_first_to_its_last_day() -> None:
    older = daily(0.2, range(100), downloaded="20240314", note="1 line cannot be read")
    newer = daily(0.3, range(50, 80), downloaded="20250617", name="Hydraprobe-II", depth_from_m=0.10, depth_to_m=0.10)
    (sensor,) = join_downloads([older, newer])
    expected = np.where((np.arange(100) >= 50) & (np.arange(100) < 80), 0.3, 0.2)
    assert (sensor.day == FIRST + np.arange(100)).all() and (sensor.mean == expected).all()
    assert sensor.note == "1 line cannot be read; of 2 downloads the newest was taken where they overlap (20250617)"


def test_a_download_of_years_between_two_others_is_not_lost() -> None:
    days = {"20200101": range(60, 90), "20190101": range(30), "20180101": range(30, 60)}
    pieces = [daily(0.2, span, downloaded=downloaded) for downloaded, span in days.items()]
    (sensor,) = join_downloads(pieces)
    assert (sensor.day == FIRST + np.arange(90)).all() and not sensor.note


def test_series_without_a_day_of_download_are_two_instruments_where_they_disagree() -> None:
    first, second = daily(0.2, range(40)), daily(0.3, range(40))
    assert len(join_downloads([first, second])) == 2
    assert len(join_downloads([first, daily(0.3, range(39, 80))])) == 1
    (sensor,) = join_downloads([first, daily(0.201, range(50))])
    assert len(sensor.day) == 50 and sensor.note == "2 series of it agree and count once"


def test_other_places_depths_and_instruments_are_other_sensors() -> None:
    sensors = [
        daily(0.2, range(9)), daily(0.2, range(9), latitude=50.01), daily(0.2, range(9), depth_to_m=0.2),
        daily(0.2, range(9), name="5TM"), daily(0.2, range(9), station="T"), daily(0.2, range(9), problem="broken"),
    ]  # fmt: skip
    assert len(join_downloads(sensors)) == 6
    assert len(join_downloads([sensors[0], daily(0.2, range(9), latitude=50.0005)])) == 1


def test_one_archive_twice_counts_once() -> None:
    values = np.linspace(0.1, 0.3, 100)
    first, second = count_once([series("a", values), series("b", values)], 90)
    assert not first.reason and second.reason == "counted once: also in archive 'a' as N/S, which is taken"


def test_the_newer_download_is_taken_whichever_is_declared_first() -> None:
    values = np.linspace(0.1, 0.3, 100)
    old, new = series("old", values, downloaded="20240314"), series("new", values + 0.1, downloaded="20250617")
    for pair in ([old, new], [new, old]):
        kept = [s for s in count_once(pair, 90) if not s.reason]
        assert [s.archive for s in kept] == ["new"]


def test_another_name_needs_values_that_agree() -> None:
    rng = np.random.default_rng(0)
    values = 0.2 + 0.05 * rng.standard_normal(100)
    rounded = series("own", values.round(2), network="X", station="Y", latitude=50.0005)
    assert [bool(s.reason) for s in count_once([series("ismn", values), rounded], 90)] == [False, True]
    beside = series("own", values[::-1], network="X", station="Y")
    assert not any(s.reason for s in count_once([series("ismn", values), beside], 90))
    far = series("own", values, network="X", station="Y", latitude=50.01)
    assert not any(s.reason for s in count_once([series("ismn", values), far], 90))
    within = series("ismn", values, network="X", station="Y")
    assert not any(s.reason for s in count_once([series("ismn", values), within], 90))


def test_days_that_the_taken_archive_does_not_reach_stay() -> None:
    values = np.linspace(0.1, 0.3, 200)
    old, new = series("old", values, downloaded="20201231"), series("new", values, "2020-04-30", downloaded="20251231")
    first, second = count_once([old, new], 90)
    assert len(first.daily) == 120 and len(second.daily) == 200 and not first.reason
    assert first.note == "counted once: 80 days are also in archive 'new' as N/S, which is taken"
    assert count_once([old, new], 121)[0].reason
