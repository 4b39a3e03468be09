"""In-situ targets: every rule with numbers worked out by hand, and properties that must hold for any series."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from somo.core.grid import Grid
from somo.insitu import daily, rules, scaling
from somo.insitu import targets as t
from somo.insitu.daily import DailySensor, daily_means, decode, encode, to_daily, values_a_day
from somo.insitu.errors import InsituError
from somo.insitu.rules import Place, Rules, Series
from somo.insitu.sensor import Sensor
from somo.product.inputs import Insitu, Layer

LAYERS = (
    Layer(name="layer1", top_m=0.0, bottom_m=0.1),
    Layer(name="layer2", top_m=0.1, bottom_m=0.3),
    Layer(name="layer3", top_m=0.3, bottom_m=0.5),
)
EUROPE = Grid.regular(0, 2, 49, 51, 0.5)
US = Grid.regular(-101, -100, 40, 41, 0.5)
PLACES = {"home": Place(EUROPE, np.ones(EUROPE.shape, bool)), "us": Place(US, np.ones(US.shape, bool))}
RULES = Rules(LAYERS, 3, 0.9, lambda network, a_day: 2, pd.Timestamp("2020-01-01"), pd.Timestamp("2020-12-31"))
DAY = np.datetime64("2020-01-01", "ns")
DAY_LONG = np.timedelta64(1, "D")


def hours(n: int, every: int = 12) -> np.ndarray:
    return DAY + np.arange(n) * np.timedelta64(every, "h")


def sensor(**changes) -> Sensor:
    n = 20
    values = {
        "network": "NET", "station": "S", "name": "probe", "latitude": 50.0, "longitude": 1.1,
        "depth_from_m": 0.05, "depth_to_m": 0.05, "time": hours(n), "value": np.linspace(0.1, 0.3, n),
        "good": np.ones(n, bool),
    }  # fmt: skip
    return Sensor(**(values | changes))


def apply(made: Sensor, changed: Rules = RULES) -> Series:
    return rules.apply_rules(to_daily(made, "key"), "A", changed, PLACES)


def series(values: list[float], station: str = "S", cell: int = 3, layer: str = "layer1") -> Series:
    daily = pd.Series(values, index=pd.date_range("2020-01-01", periods=len(values)), dtype=float)
    return Series("A", "NET", station, "probe", 50.0, 1.0, 0.05, 0.05, layer, "home", cell, daily)


def means(time: np.ndarray, value: np.ndarray, good: np.ndarray, at_least: int) -> pd.Series:
    day, mean, count = daily_means(time, value, good)
    return pd.Series(mean, pd.DatetimeIndex(day.astype("M8[ns]")))[count >= at_least]


def test_daily_means_of_the_values_that_are_good() -> None:
    value = np.array([0.1, 0.3, 0.2, -0.1, np.nan, 0.4, 0.5, 0.7])
    good = np.array([True, True, True, True, True, True, True, False])
    assert means(hours(8), value, good, 2).to_dict() == {pd.Timestamp("2020-01-01"): pytest.approx(0.2)}
    assert means(hours(8), value, good, 1).to_numpy() == pytest.approx([0.2, 0.2, 0.4, 0.5])


def test_a_value_at_midnight_belongs_to_the_day_it_opens() -> None:
    day, _, _ = daily_means(np.array([DAY, DAY + np.timedelta64(1, "D")]), np.array([0.1, 0.2]), np.ones(2, bool))
    assert day.astype(str).tolist() == ["2020-01-01", "2020-01-02"]


def test_equal_times_count_once() -> None:
    time = np.repeat(hours(3, 1), 2)
    _, mean, count = daily_means(time, np.array([0.1, 0.9, 0.2, 0.9, 0.3, 0.9]), np.ones(6, bool))
    assert count.tolist() == [3] and mean == pytest.approx([0.2])


@given(
    hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(-0.2, 0.8)),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_daily_means_equal_pandas_and_do_not_depend_on_order(value: np.ndarray, at_least: int, random) -> None:
    time, good = hours(len(value), 5), np.arange(len(value)) % 7 != 0
    order = list(range(len(value)))
    random.shuffle(order)
    ours = means(time[order], value[order], good[order], at_least)
    groups = pd.Series(value, pd.DatetimeIndex(time))[good & (value >= 0)].resample("1D")
    expected = groups.mean()[groups.count() >= at_least]
    pd.testing.assert_series_equal(ours, expected, check_names=False, check_freq=False, check_index_type=False)


def test_values_a_day_by_the_usual_step() -> None:
    assert [values_a_day(hours(n, step)) for n, step in ((50, 1), (50, 6), (9, 24), (9, 72), (1, 1), (0, 1))] == [
        24, 4, 1, 1, 1, 0,
    ]  # fmt: skip


@given(st.lists(st.integers(0, 5), max_size=4))
def test_daily_means_are_kept_bit_by_bit(lengths: list[int]) -> None:
    rng = np.random.default_rng(0)
    sensors = [
        to_daily(sensor(time=hours(n), value=rng.random(n), good=np.ones(n, bool), note=f"ä{n}"), f"key{n}")
        for n in lengths
    ]
    again = decode(encode(sensors))
    for before, after in zip(sensors, again, strict=True):
        for name in daily.DailySensor.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))


@pytest.mark.parametrize(
    ("depth", "layer"),
    [
        ((0.05, 0.05), "layer1"), ((0.0, 0.1), "layer1"), ((0.1, 0.1), "layer1"), ((0.3, 0.3), "layer2"),
        ((0.1, 0.3), "layer2"), ((0.3, 0.1), "layer2"), ((0.5, 0.5), "layer3"), ((0.0, 0.3), ""), ((0.05, 0.15), ""),
        ((0.508, 0.508), "layer3"), ((0.1016, 0.1016), "layer1"), ((0.3048, 0.3048), "layer2"),
        ((0.29, 0.29), "layer2"),
        ((0.51, 0.51), ""), ((0.0, 0.1099), "layer1"), ((-0.05, 0.05), ""), ((np.nan, np.nan), ""),
    ],
)  # fmt: skip
def test_layer_of_a_depth_interval(depth: tuple[float, float], layer: str) -> None:
    assert rules.layer_of(*depth, LAYERS) == layer


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latitude": 1.1, "longitude": 50.0}, "outside every domain's grid: 1.1 N, 50 E; latitude and long"),
        ({"latitude": -45.0}, "outside every domain's grid: -45 N, 1.1 E"),
        ({"depth_from_m": 5.0, "depth_to_m": 10.0}, "depth lies in no layer: 5-10 m; did you mean cm? 0.05-0.1 m"),
        # A probe at two metres is no mistake: 2 cm would lie in a layer too.
        ({"depth_from_m": 2.0, "depth_to_m": 2.0}, "depth lies in no layer: 2-2 m"),
    ],
)  # fmt: skip
def test_a_place_or_depth_says_what_was_probably_meant(changes: dict[str, float], reason: str) -> None:
    told = apply(sensor(**changes)).reason
    assert told.startswith(reason) and ("?" in told) == (";" in reason) == rules.is_mistake(told)


def test_days_outside_of_the_period_are_counted_and_told() -> None:
    before = apply(sensor(time=hours(20) - np.timedelta64(4, "D"), value=np.linspace(0.2, 0.3, 20)))
    assert (len(before.daily), before.days_before, before.days_after) == (6, 4, 0) and not before.reason
    (sentence,) = t.days_left_out([before, apply(sensor())], RULES.first, RULES.last)
    assert sentence.startswith("A: 4 of 20 daily means lie before 2020-01-01 and are not learnt from")
    assert t.days_left_out([apply(sensor())], RULES.first, RULES.last) == []


def test_dropped_sensors_are_named_and_faults_come_first() -> None:
    table = t.sensor_table([
        apply(sensor()), apply(sensor(latitude=-45.0)), apply(sensor(station="Lost", problem="no such file")),
    ])  # fmt: skip
    lost = "NET, Lost, probe: cannot be used: no such file"
    outside = "NET, S, probe: outside every domain's grid: -45 N, 1.1 E"
    assert t.dropped_sensors(table, 20) == [lost, outside]
    assert t.dropped_sensors(table, 1) == [lost, "and 1 more"]


def test_a_sensor_lies_in_the_nearest_cell_of_the_first_domain_that_has_it() -> None:
    assert rules.locate(50.6, 0.2, PLACES) == ("home", 0)
    assert rules.locate(40.1, -100.1, PLACES) == ("us", 3)
    assert rules.locate(-45.0, 170.0, PLACES) == ("", -1)
    assert rules.locate(np.nan, np.nan, PLACES) == ("", -1)


def test_a_sensor_on_a_border_lies_in_the_cell_that_has_forcing() -> None:
    """As USCRN's station 94081 does, at 45.52 N, 103.30 W."""
    grid = Grid(np.array([45.55]), np.array([-103.35, -103.25]), 0.1)
    assert rules.locate(45.52, -103.30, {"us": Place(grid, np.array([[False, True]]))}) == ("us", 1)
    assert rules.locate(45.52, -103.30, {"us": Place(grid, np.array([[True, True]]))}) == ("us", 0)
    assert rules.locate(45.52, -103.31, {"us": Place(grid, np.array([[False, True]]))}) == ("us", 0)


def test_a_good_sensor_breaks_no_rule() -> None:
    found = apply(sensor())
    assert (found.reason, found.key, len(found.daily)) == ("", ("home", 6, "layer1"), 10)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth_from_m": 0.6, "depth_to_m": 0.6}, f"{rules.NO_LAYER}: 0.6-0.6 m"),
        ({"depth_from_m": np.nan, "depth_to_m": np.nan}, rules.NO_DEPTH),
        ({"latitude": -45.0}, f"{rules.OUTSIDE}: -45 N, 1.1 E"),
        ({"good": np.zeros(20, bool)}, rules.NO_GOOD),
        ({"value": np.full(20, -0.1)}, rules.NO_GOOD),
        (
            {"value": np.linspace(10, 30, 20)},
            f"{rules.ABOVE}: 20 of 20 good values, the highest 30; in percent or broken",
        ),
        (
            {"value": np.append(np.linspace(0.1, 0.3, 19), 1.2)},
            f"{rules.ABOVE}: 1 of 20 good values, the highest 1.2; in percent or broken",
        ),
        ({"time": hours(20, 1)}, f"{rules.FEW_DAYS}: 1 day, 3 needed"),
        ({"time": hours(20, 24)}, f"{rules.FEW_DAYS}: 1 value a day, 2 needed"),
        (
            {"time": np.concatenate([hours(9, 1), hours(10, 1) + DAY_LONG, hours(1) + 2 * DAY_LONG])},
            f"{rules.FEW_DAYS}: 2 of 3 days have 2 values, 3 such days needed",
        ),
        (
            {"time": hours(20) + np.timedelta64(400, "D")},
            f"{rules.FEW_DAYS}: 0 days, 3 needed; its days, 2021-02-04 to 2021-02-13, are not those of the declared "
            "period",
        ),
        (
            {"depth_from_m": -0.05, "depth_to_m": -0.05},
            f"{rules.NO_LAYER}: -0.05--0.05 m lies above the surface; depths are metres below it",
        ),
        ({"good": np.zeros(20, bool), "note": "'qc' has '1'"}, f"{rules.NO_GOOD}: 'qc' has '1'"),
        ({"value": np.full(20, 0.25)}, f"{rules.STUCK}: 100.0% of neighbouring days have the same mean"),
        ({"problem": "no header"}, f"{rules.UNREADABLE}: no header"),
    ],
)
def test_each_broken_rule_is_a_reason(changes: dict, reason: str) -> None:
    assert apply(sensor(**changes)).reason == reason


def test_a_sensor_at_sea_is_dropped() -> None:
    sea = {"home": Place(EUROPE, np.zeros(EUROPE.shape, bool))}
    assert rules.apply_rules(to_daily(sensor(), "key"), "A", RULES, sea).reason == rules.NO_LAND


def test_reference_layers_are_weighted_by_their_overlap() -> None:
    era5_land = [(0.0, 0.07), (0.07, 0.28), (0.28, 1.0)]
    assert scaling.overlap_weights(LAYERS[0], era5_land) == pytest.approx([0.7, 0.3, 0.0])
    assert scaling.overlap_weights(LAYERS[1], era5_land) == pytest.approx([0.0, 0.9, 0.1])
    assert scaling.overlap_weights(LAYERS[2], era5_land) == pytest.approx([0.0, 0.0, 1.0])
    nan = np.array([np.nan])
    assert scaling.mean_over([nan, np.array([0.2]), np.array([0.4])], np.array([0, 0.9, 0.1])) == pytest.approx([0.22])
    with pytest.raises(InsituError, match=r"layer3 \(0\.3-0\.5 m\): none of the reference layers .* overlaps"):
        scaling.overlap_weights(LAYERS[2], era5_land[:2])


def test_scaling_to_the_reference_by_hand() -> None:
    """x has mean 0.2 and ddof-1 std 0.1 on the common days, the reference 0.30 and 0.02."""
    x = series([0.1, 0.2, 0.3, 0.6])
    reference = pd.Series([0.28, 0.30, 0.32], pd.date_range("2020-01-01", periods=3))
    scaled = scaling.scale_to_reference(x, reference, min_days=3)
    assert scaled.daily.to_numpy() == pytest.approx([0.28, 0.30, 0.32, 0.38])
    assert scaling.scale_to_reference(x, reference, min_days=4).reason == f"{scaling.FEW_COMMON}: 3, 4 needed"


def test_scaled_values_below_zero_and_above_one_become_missing() -> None:
    x = series([0.1, 0.2, 0.3, 0.6, 0.0, 1.1])
    reference = pd.Series([0.01, 0.11, 0.21], pd.date_range("2020-01-01", periods=3))
    scaled = scaling.scale_to_reference(x, reference, min_days=3)
    assert scaled.daily.index.day.tolist() == [1, 2, 3, 4] and not scaled.reason
    assert scaling.scale_to_reference(x, reference, min_days=3).daily.max() < 1


def test_enough_days_are_asked_for_again_after_scaling() -> None:
    x = series([0.1, 0.2, 0.3, 0.05, 0.04])
    reference = pd.Series([0.001, 0.101, 0.201], pd.date_range("2020-01-01", periods=3))
    assert scaling.scale_to_reference(x, reference, 3).reason == ""
    four = scaling.scale_to_reference(x, reference, 3).daily
    assert len(four) == 3
    late = series([0.1, 0.2, 0.3, 0.05, 0.04])
    wide = pd.Series([0.001, 0.101, 0.201, 0.0, 0.0], pd.date_range("2020-01-01", periods=5))
    assert scaling.scale_to_reference(late, wide, 5).reason == f"{scaling.FEW_LEFT}: 3 of 5, 5 needed"


def test_constant_series_cannot_be_scaled() -> None:
    x = series([0.2] * 5)
    reference = pd.Series([0.1, 0.2, 0.3], pd.date_range("2020-01-01", periods=3))
    assert scaling.scale_to_reference(x, reference, 3).reason == scaling.CONSTANT
    assert scaling.scale([x, series([0.1, 0.2, 0.3], "T")], "pooled", {}, 3)[0].reason == scaling.CONSTANT


@given(
    hnp.arrays(np.float64, 30, elements=st.floats(0.05, 0.6), unique=True),
    hnp.arrays(np.float64, 30, elements=st.floats(0.05, 0.6), unique=True),
)
def test_scaling_gives_the_reference_moments_and_keeps_the_order(x: np.ndarray, y: np.ndarray) -> None:
    if x.std() < 1e-3:
        return
    reference = pd.Series(y, pd.date_range("2020-01-01", periods=30))
    scaled = scaling.scale_to_reference(series(x.tolist()), reference, 3).daily
    if len(scaled) == 30:
        assert scaled.mean() == pytest.approx(y.mean(), abs=1e-9)
        assert scaled.std() == pytest.approx(y.std(ddof=1), abs=1e-9)
        assert np.corrcoef(scaled, x)[0, 1] == pytest.approx(1)


def test_pooled_scaling_gives_every_series_of_a_layer_the_same_moments() -> None:
    """Means 0.2 and 0.4, standard deviations 0.1 and 0.02: all get 0.3 and 0.06; another layer stays apart."""
    group = [series([0.1, 0.2, 0.3]), series([0.38, 0.40, 0.42], "T"), series([0.1, 0.5], "U", layer="layer2")]
    first, second, deep = scaling.scale(group, "pooled", {}, 3)
    assert first.daily.to_numpy() == pytest.approx([0.24, 0.30, 0.36])
    assert second.daily.to_numpy() == pytest.approx([0.24, 0.30, 0.36])
    assert deep.daily.to_numpy() == pytest.approx([0.1, 0.5])


def test_a_stuck_sensor_takes_no_part_in_pooled_scaling() -> None:
    group = [series([0.1, 0.2, 0.3]), series([0.9, 0.9, 0.9], "T")]
    first, stuck = scaling.scale(group, "pooled", {}, 3)
    assert first.daily.to_numpy() == pytest.approx([0.1, 0.2, 0.3])
    assert stuck.reason == scaling.CONSTANT


def test_series_that_share_a_cell_are_averaged_and_counted() -> None:
    table = t.target_table([series([0.1, 0.2]), series([0.3, 0.4, 0.5], "T"), series([0.7], "U", cell=4)])
    assert table.columns.tolist() == list(t.TARGET_COLUMNS)
    shared = table[table.cell == 3]
    assert shared.value.to_numpy() == pytest.approx([0.2, 0.3, 0.5])
    assert shared["count"].tolist() == [2, 2, 1] and table[table.cell == 4]["count"].tolist() == [1]
    assert table.value.dtype == np.float32 and table.time.dtype.kind == "M"


def test_every_sensor_is_listed_and_the_totals_add_up() -> None:
    made = [
        sensor(),
        sensor(depth_from_m=0.6, depth_to_m=0.6),
        sensor(latitude=-45.0),
        sensor(problem="a: b"),
        sensor(problem="c: d"),
        sensor(note="1 line cannot be read"),
    ]
    table = t.sensor_table([apply(s) for s in made])
    totals = t.drop_totals(table)
    assert totals == {rules.UNREADABLE: 2, "kept": 2, rules.NO_LAYER: 1, rules.OUTSIDE: 1}
    assert sum(totals.values()) == len(table) == len(made) and table.columns.tolist() == list(t.SENSOR_COLUMNS)
    assert (
        table.reason[table.kept].tolist() == ["", "1 line cannot be read"] and (table.reason[~table.kept] != "").all()
    )


def test_an_archive_that_keeps_nothing_says_what_became_of_its_sensors() -> None:
    made = [sensor(good=np.zeros(20, bool)), sensor(good=np.zeros(20, bool)), sensor(latitude=-45.0)]
    table = t.sensor_table([apply(s) for s in made])
    with pytest.raises(InsituError) as refused:
        t.require_kept(table, {"A": "a.zip"}, "targets/x.sensors.parquet")
    text = str(refused.value)
    assert "A (a.zip): none of its 3 sensors can be used: 2 x no value is flagged good; 1 x outside" in text
    assert text.endswith("every sensor and its reason: targets/x.sensors.parquet")


def test_one_archive_without_a_usable_sensor_is_a_warning_beside_others() -> None:
    good = t.sensor_table([apply(sensor())])
    deep = t.sensor_table([replace(apply(sensor(depth_from_m=0.6, depth_to_m=0.6)), archive="B")])
    (warning,) = t.require_kept(pd.concat([good, deep]), {"A": "a.zip", "B": "b.zip"}, "x")
    assert warning.startswith("B (b.zip): its 1 sensor cannot be used: 1 x depth lies in no layer")
    assert t.require_kept(good, {"A": "a.zip"}, "x") == []


def test_a_layer_in_which_no_sensor_is_kept_is_told():
    sensors = pd.DataFrame({"layer": ["top", "deep", None], "kept": [True, False, False]})
    layers = [Layer(name="top", top_m=0, bottom_m=0.1), Layer(name="deep", top_m=0.1, bottom_m=0.3)]
    (told,) = t.layers_without_sensors(sensors, layers)
    assert told.startswith("deep (10-30 cm): no sensor is kept") and "list [[layers]] without it" in told
    assert t.layers_without_sensors(sensors.assign(kept=True), layers) == []


def test_numbers_for_networks_that_an_archive_does_not_hold_are_told() -> None:
    sensors = pd.DataFrame({"archive": ["ISMN", "ISMN", "OWN"], "network": ["COARSE", "FINE", "COARS"]})
    archive = Insitu(name="ISMN", url="a.zip", min_subdaily={"COARSE": 4, "COARS": 2, "default": 4})
    (told,) = t.unknown_networks(sensors, [archive, Insitu(name="OWN", url="b.zip", min_subdaily=4)])
    assert told.startswith(
        "ISMN: min_subdaily names COARS, default, of which the archive holds no sensor; its networks"
    )
    assert "are COARSE, FINE, and those that are not named need 6 values a day" in told
    assert t.unknown_networks(sensors, [archive.model_copy(update={"min_subdaily": {"FINE": 1}})]) == []


@pytest.mark.parametrize(
    ("declared", "network", "a_day", "fewest"),
    [
        ({}, "N", 24, 6), ({}, "N", 4, 6), ({"min_subdaily": 1}, "N", 24, 1), ({"min_subdaily": {"C": 4}}, "C", 4, 4),
        ({"min_subdaily": {"C": 4}}, "N", 4, 6), ({"min_subdaily": "step"}, "N", 4, 4),
        ({"min_subdaily": "step"}, "N", 24, 6),
        ({"format": "table"}, "N", 1, 1), ({"format": "table"}, "N", 48, 6),
        ({"format": "table", "min_subdaily": 8}, "N", 1, 8),
    ],
)  # fmt: skip
def test_values_a_day_that_a_mean_needs(declared: dict, network: str, a_day: int, fewest: int) -> None:
    assert Insitu(name="a", url="a", **declared).fewest_values(network, a_day) == fewest


@pytest.mark.parametrize("wrong", [0, "often", {"N": 0}])
def test_other_numbers_of_values_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match='give a number from 1 on, "step", or a table of numbers by network'):
        Insitu(name="a", url="a", min_subdaily=wrong)


def test_the_daily_table_has_a_row_a_day() -> None:
    series = apply(sensor())
    table = t.daily_table(series).to_pandas()
    assert table.columns.tolist() == t.DAILY_SCHEMA.names and len(table) == 10
    assert (table["station"] == series.station).all() and table["time"].tolist() == series.daily.index.tolist()
    assert table["count"].tolist() == [2] * 10 and table.value[0] == pytest.approx(sensor().value[:2].mean())


def test_a_series_kept_daily_needs_no_sub_daily_values() -> None:
    kept = DailySensor("k", "N", "S", "P", 50.0, 1.1, 0.05, 0.05, good_values=3, a_day=1)
    assert rules.apply_rules(kept, "A", RULES, PLACES).reason == f"{rules.FEW_DAYS}: 0 days, 3 needed"
