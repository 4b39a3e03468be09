"""In-situ targets: every rule with numbers worked out by hand, and properties that must hold for any series."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from somo.core.grid import Grid
from somo.insitu import targets as t
from somo.insitu.sensor import InsituError, Sensor
from somo.product.inputs import Layer

LAYERS = (
    Layer(name="layer1", top_m=0.0, bottom_m=0.1),
    Layer(name="layer2", top_m=0.1, bottom_m=0.3),
    Layer(name="layer3", top_m=0.3, bottom_m=0.5),
)
EUROPE = Grid.regular(0, 2, 49, 51, 0.5)
US = Grid.regular(-101, -100, 40, 41, 0.5)
PLACES = {"home": t.Place(EUROPE, np.ones(EUROPE.shape, bool)), "us": t.Place(US, np.ones(US.shape, bool))}
RULES = t.Rules(LAYERS, 3, 2, pd.Timestamp("2020-01-01"), pd.Timestamp("2020-12-31"))
DAY = np.datetime64("2020-01-01", "ns")


def hours(n: int, every: int = 12) -> np.ndarray:
    return DAY + np.arange(n) * np.timedelta64(every, "h")


def sensor(**changes) -> Sensor:
    n = 20
    values = {
        "archive": "A", "network": "NET", "station": "S", "name": "probe", "latitude": 50.0, "longitude": 1.1,
        "depth_from_m": 0.05, "depth_to_m": 0.05, "time": hours(n), "value": np.linspace(0.1, 0.3, n),
        "good": np.ones(n, bool),
    }  # fmt: skip
    return Sensor(**(values | changes))


def series(values: list[float], station: str = "S", cell: int = 3, layer: str = "layer1") -> t.Series:
    daily = pd.Series(values, index=pd.date_range("2020-01-01", periods=len(values)), dtype=float)
    return t.Series("A", "NET", station, "probe", 50.0, 1.0, 0.05, 0.05, layer, "home", cell, daily)


def test_daily_means_keep_days_with_enough_good_values() -> None:
    value = np.array([0.1, 0.3, 0.2, -0.1, np.nan, 0.4, 0.5, 0.7])
    good = np.array([True, True, True, True, True, True, True, False])
    daily = t.daily_means(hours(8), value, good, min_subdaily=2)
    assert daily.to_dict() == {pd.Timestamp("2020-01-01"): pytest.approx(0.2)}
    daily = t.daily_means(hours(8), value, good, min_subdaily=1)
    assert daily.to_numpy() == pytest.approx([0.2, 0.2, 0.4, 0.5])


def test_a_value_at_midnight_belongs_to_the_day_it_opens() -> None:
    daily = t.daily_means(np.array([DAY, DAY + np.timedelta64(1, "D")]), np.array([0.1, 0.2]), np.ones(2, bool), 1)
    assert daily.index.tolist() == [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")]


@given(
    hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(-0.2, 0.8)),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_daily_means_equal_pandas_and_do_not_depend_on_order(value: np.ndarray, at_least: int, random) -> None:
    time, good = hours(len(value), 5), np.arange(len(value)) % 7 != 0
    order = list(range(len(value)))
    random.shuffle(order)
    daily = t.daily_means(time[order], value[order], good[order], at_least)
    groups = pd.Series(value, pd.DatetimeIndex(time))[good & (value >= 0)].resample("1D")
    expected = groups.mean()[groups.count() >= at_least]
    pd.testing.assert_series_equal(daily, expected, check_names=False, check_freq=False, check_index_type=False)


@pytest.mark.parametrize(
    ("depth", "layer"),
    [
        ((0.05, 0.05), "layer1"), ((0.0, 0.1), "layer1"), ((0.1, 0.1), "layer1"), ((0.3, 0.3), "layer2"),
        ((0.1, 0.3), "layer2"), ((0.3, 0.1), "layer2"), ((0.5, 0.5), "layer3"), ((0.0, 0.3), ""), ((0.05, 0.15), ""),
        ((0.508, 0.508), ""), ((-0.05, 0.05), ""), ((np.nan, np.nan), ""),
    ],
)  # fmt: skip
def test_layer_of_a_depth_interval(depth: tuple[float, float], layer: str) -> None:
    assert t.layer_of(*depth, LAYERS) == layer


def test_a_sensor_lies_in_the_nearest_cell_of_the_first_domain_that_has_it() -> None:
    assert t.locate(50.6, 0.2, PLACES) == ("home", 0)
    assert t.locate(40.1, -100.1, PLACES) == ("us", 3)
    assert t.locate(-45.0, 170.0, PLACES) == ("", -1)
    assert t.locate(np.nan, np.nan, PLACES) == ("", -1)


def test_a_sensor_on_a_border_lies_in_the_cell_that_has_forcing() -> None:
    """As USCRN's station 94081 does, at 45.52 N, 103.30 W."""
    grid = Grid(np.array([45.55]), np.array([-103.35, -103.25]), 0.1)
    assert t.locate(45.52, -103.30, {"us": t.Place(grid, np.array([[False, True]]))}) == ("us", 1)
    assert t.locate(45.52, -103.30, {"us": t.Place(grid, np.array([[True, True]]))}) == ("us", 0)
    assert t.locate(45.52, -103.31, {"us": t.Place(grid, np.array([[False, True]]))}) == ("us", 0)


def test_a_good_sensor_breaks_no_rule() -> None:
    found = t.apply_rules(sensor(), RULES, PLACES)
    assert (found.reason, found.key, len(found.daily)) == ("", ("home", 6, "layer1"), 10)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"depth_from_m": 0.6, "depth_to_m": 0.6}, t.NO_LAYER),
        ({"latitude": -45.0}, t.OUTSIDE),
        ({"good": np.zeros(20, bool)}, t.NO_GOOD),
        ({"value": np.full(20, -0.1)}, t.NO_GOOD),
        ({"time": hours(20, 1)}, t.FEW_DAYS),
        ({"time": hours(20) + np.timedelta64(400, "D")}, t.FEW_DAYS),
        ({"problem": "x.stm cannot be read: why"}, f"{t.UNREADABLE}: x.stm cannot be read: why"),
    ],
)
def test_each_broken_rule_is_a_reason(changes: dict, reason: str) -> None:
    assert t.apply_rules(sensor(**changes), RULES, PLACES).reason == reason


def test_a_sensor_at_sea_is_dropped() -> None:
    sea = {"home": t.Place(EUROPE, np.zeros(EUROPE.shape, bool))}
    assert t.apply_rules(sensor(), RULES, sea).reason == t.NO_LAND


def test_reference_layers_are_weighted_by_their_overlap() -> None:
    era5_land = [(0.0, 0.07), (0.07, 0.28), (0.28, 1.0)]
    assert t.overlap_weights(LAYERS[0], era5_land) == pytest.approx([0.7, 0.3, 0.0])
    assert t.overlap_weights(LAYERS[1], era5_land) == pytest.approx([0.0, 0.9, 0.1])
    assert t.overlap_weights(LAYERS[2], era5_land) == pytest.approx([0.0, 0.0, 1.0])
    nan = np.array([np.nan])
    assert t.mean_over([nan, np.array([0.2]), np.array([0.4])], np.array([0, 0.9, 0.1])) == pytest.approx([0.22])
    with pytest.raises(InsituError, match=r"layer3 \(0\.3-0\.5 m\): none of the reference layers .* overlaps"):
        t.overlap_weights(LAYERS[2], era5_land[:2])


def test_scaling_to_the_reference_by_hand() -> None:
    """x has mean 0.2 and ddof-1 std 0.1 on the common days, the reference 0.30 and 0.02."""
    x = series([0.1, 0.2, 0.3, 0.6])
    reference = pd.Series([0.28, 0.30, 0.32], pd.date_range("2020-01-01", periods=3))
    scaled = t.scale_to_reference(x, reference, min_days=3)
    assert scaled.daily.to_numpy() == pytest.approx([0.28, 0.30, 0.32, 0.38])
    assert t.scale_to_reference(x, reference, min_days=4).reason == t.FEW_COMMON


def test_scaled_values_below_zero_become_missing() -> None:
    x = series([0.1, 0.2, 0.3, 0.6, 0.0])
    reference = pd.Series([0.01, 0.11, 0.21], pd.date_range("2020-01-01", periods=3))
    scaled = t.scale_to_reference(x, reference, min_days=3)
    assert scaled.daily.index.day.tolist() == [1, 2, 3, 4] and not scaled.reason


def test_constant_series_cannot_be_scaled() -> None:
    x = series([0.2] * 5)
    reference = pd.Series([0.1, 0.2, 0.3], pd.date_range("2020-01-01", periods=3))
    assert t.scale_to_reference(x, reference, 3).reason == t.CONSTANT
    assert t.scale([x, series([0.1, 0.2, 0.3], "T")], "pooled", {}, 3)[0].reason == t.CONSTANT


@given(
    hnp.arrays(np.float64, 30, elements=st.floats(0.05, 0.6), unique=True),
    hnp.arrays(np.float64, 30, elements=st.floats(0.05, 0.6), unique=True),
)
def test_scaling_gives_the_reference_moments_and_keeps_the_order(x: np.ndarray, y: np.ndarray) -> None:
    if x.std() < 1e-3:
        return
    reference = pd.Series(y, pd.date_range("2020-01-01", periods=30))
    scaled = t.scale_to_reference(series(x.tolist()), reference, 3).daily
    if len(scaled) == 30:
        assert scaled.mean() == pytest.approx(y.mean(), abs=1e-9)
        assert scaled.std() == pytest.approx(y.std(ddof=1), abs=1e-9)
        assert np.corrcoef(scaled, x)[0, 1] == pytest.approx(1)


def test_pooled_scaling_gives_every_series_of_a_layer_the_same_moments() -> None:
    """Means 0.2 and 0.4, standard deviations 0.1 and 0.02: all get 0.3 and 0.06; another layer stays apart."""
    group = [series([0.1, 0.2, 0.3]), series([0.38, 0.40, 0.42], "T"), series([0.1, 0.5], "U", layer="layer2")]
    first, second, deep = t.scale(group, "pooled", {}, 3)
    assert first.daily.to_numpy() == pytest.approx([0.24, 0.30, 0.36])
    assert second.daily.to_numpy() == pytest.approx([0.24, 0.30, 0.36])
    assert deep.daily.to_numpy() == pytest.approx([0.1, 0.5])


def test_a_stuck_sensor_takes_no_part_in_pooled_scaling() -> None:
    group = [series([0.1, 0.2, 0.3]), series([0.9, 0.9, 0.9], "T")]
    first, stuck = t.scale(group, "pooled", {}, 3)
    assert first.daily.to_numpy() == pytest.approx([0.1, 0.2, 0.3])
    assert stuck.reason == t.CONSTANT


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
    ]
    table = t.sensor_table([t.apply_rules(s, RULES, PLACES) for s in made])
    totals = t.drop_totals(table)
    assert totals == {t.UNREADABLE: 2, "kept": 1, t.NO_LAYER: 1, t.OUTSIDE: 1}
    assert sum(totals.values()) == len(table) == len(made) and table.columns.tolist() == list(t.SENSOR_COLUMNS)
    assert (table.reason == "").tolist() == table.kept.tolist()


def test_an_archive_that_keeps_nothing_says_what_became_of_its_sensors() -> None:
    made = [sensor(good=np.zeros(20, bool)), sensor(good=np.zeros(20, bool)), sensor(latitude=-45.0)]
    table = t.sensor_table([t.apply_rules(s, RULES, PLACES) for s in made])
    with pytest.raises(
        InsituError, match=r"A \(a\.zip\): none of its 3 sensors can be used: 2 x no value is flagged good"
    ):
        t.require_kept(table, {"A": "a.zip"})
    t.require_kept(t.sensor_table([t.apply_rules(sensor(), RULES, PLACES)]), {"A": "a.zip"})
