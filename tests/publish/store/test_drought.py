import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

import somo.publish.reader
from somo.product.inputs import Period
from somo.publish.drought_netcdf import publish_drought_year, year_of_drought
from somo.publish.store import drought as drought_store
from somo.publish.store import drought_index as drought
from somo.publish.store import drought_update
from somo.publish.store import maps as zarr
from somo.publish.store.drought_base import base_period
from somo.storage.listing import copy_objects
from somo.storage.objects import join
from tests.publish import made


def test_windows_end_on_the_same_days_of_every_year():
    times = pd.date_range("2003-01-01", "2004-12-31")
    ends = drought.window_ends(times, 30, 10)
    assert ends[0] == pd.Timestamp("2003-01-30")
    assert len(ends) == 36 * 2 - 2
    assert list(drought.seasons(ends, 10)[:3]) == [2, 3, 4]
    assert ends[-1].day_of_year == 360


@pytest.mark.parametrize(("every", "last", "n"), [(61, 305, 5), (1, 365, 365), (365, 365, 1)])
def test_no_window_ends_on_day_366(every, last, n):
    """61 divides 366 as 1 does: the window of a leap year alone would be one more season than there are."""
    times = pd.date_range("2011-01-01", "2013-12-31")
    ends = drought.window_ends(times, 30, every)
    assert ends.day_of_year.max() == last
    assert drought.seasons(ends, every).max() == n - 1


def test_extremes_stay_within_their_type_and_nothing_stands_for_what_does_not_vary():
    packed = drought_store._pack(np.array([99.0, -99.0, np.nan], "float32"), 1e-3)
    assert packed.tolist() == [32000, -32000, zarr.FILL]
    equal = np.full((3, 1), 0.2, "float32")
    season = np.zeros(3, int)
    mean, std = drought.climatology(equal, season, np.ones(3, bool), 1)
    assert np.isnan(drought.standardised(np.append(equal, [[0.3]], 0), np.zeros(4, int), mean, std)).all()


def test_window_means_by_hand_and_a_missing_day():
    packed = np.array([[1, 1], [2, -1], [6, 4], [4, 5]], "int16")
    means = drought.window_means(packed, -1, np.array([1, 2, 3]), 2)
    np.testing.assert_array_equal(means, np.array([[1.5, np.nan], [4, np.nan], [5, 4.5]], "float32"))


def test_standardised_anomaly_by_hand():
    means = np.array([[1.0], [2.0], [3.0], [10.0]], "float32")
    season, base = np.zeros(4, int), np.array([True, True, True, False])
    mean, std = drought.climatology(means, season, base, 1)
    assert (mean[0, 0], std[0, 0]) == (2, 1)
    np.testing.assert_array_equal(drought.standardised(means, season, mean, std)[:, 0], [-1, 0, 1, 8])


def test_percentiles_by_hand_with_neighbours_ties_and_outsiders():
    means = np.array([[1.0], [2.0], [2.0], [0.0]], "float32")
    season, base = np.array([0, 1, 2, 1]), np.array([True, True, True, False])
    found = drought.percentiles(means, season, base, 6)[:, 0]
    pool_of_season_0 = 100 * 1 / 3
    np.testing.assert_allclose(found, [pool_of_season_0, 100 * 2.5 / 4, 100 * 1.5 / 3, 100 * 0.5 / 4], rtol=1e-6)


def test_classes_at_their_borders():
    percentile = np.array([30.1, 30, 20, 10, 5, 2, 0, np.nan], "float32")
    np.testing.assert_array_equal(drought.classes(percentile), [0, 1, 2, 3, 4, 5, 5, np.nan])


def test_class_probabilities_by_hand():
    """Nine base windows 1..9: rank r has 10 r percent, so D0 ends at 3, D1 at 2, D2 and D3 at 1: what is drier than all
    has 5 percent, and nothing has the 2 of D4.
    """
    means = np.append(np.arange(1.0, 10.0), 2.5).astype("float32")[:, None]
    base = np.arange(10) < 9
    d0, d1, d2, d3, d4 = drought.class_probabilities(means, np.full_like(means, 0.5), np.zeros(10, int), base, 1)
    assert d0[2, 0] == pytest.approx(0.5)
    assert (d0[9, 0], d1[9, 0]) == pytest.approx((0.8413, 0.1587), abs=1e-4)
    assert d2[0, 0] == d3[0, 0] == pytest.approx(0.5)
    assert not d4.any()
    assert d0[8, 0] == pytest.approx(0)


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(3, 12), st.integers(0, 2**32 - 1))
def test_probabilities_agree_with_classes_where_nothing_is_uncertain(years, seed):
    """With next to no uncertainty a window is in the class that its percentile says, unless it lies on a border.

    The last window is not in the base, and drier than all that are.
    """
    means = np.random.default_rng(seed).normal(size=(4 * years, 3)).astype("float32")
    season, base = np.tile(np.arange(4), years), np.arange(4 * years) < 4 * years - 1
    means[-1] = -9
    percentile = drought.percentiles(means, season, base, 4)
    probabilities = drought.class_probabilities(means, np.full_like(means, 1e-9), season, base, 4)
    for probability, limit in zip(probabilities, drought.CLASS_PERCENT, strict=True):
        apart = np.abs(probability - 0.5) > 0.4
        np.testing.assert_array_equal(probability[apart] > 0.5, (percentile <= limit)[apart])
    assert all((drier <= wetter).all() for wetter, drier in pairwise(probabilities))


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(3, 30), st.integers(0, 2**32 - 1))
def test_percentiles_are_those_of_any_monotone_transform(years, seed):
    means = np.random.default_rng(seed).normal(size=(4 * years, 3)).astype("float32")
    season, base = np.tile(np.arange(4), years), np.ones(4 * years, bool)
    ranks = drought.percentiles(means, season, base, 4)
    np.testing.assert_array_equal(ranks, drought.percentiles(np.arctan(means.astype(float)), season, base, 4))
    assert ranks.min() > 0
    assert ranks.max() < 100


@pytest.fixture(scope="module")
def dry_spring(tmp_path_factory):
    declared = made.product(start="2010-01-01", end="2013-12-31")
    root = str(tmp_path_factory.mktemp("bucket"))
    return declared, root, made.write_store(declared, root)


@pytest.fixture(scope="module")
def dry_group(dry_spring):
    """The same with its drought group, which is stale until it is published."""
    declared, root, version_url = dry_spring
    store = somo.open(root, "1.0.0")
    times, status = store["time"].to_index(), store["status"].values
    base = base_period(declared, [2010, 2011, 2012, 2013], {})
    windows = drought_store.Windows.of(declared, times, status, base)
    assert drought_store.stale(windows, drought_store.visible(version_url))
    drought_store.write_tile(version_url, declared, (6, 8), windows, (0, 0), 1)
    drought_store.publish(version_url, declared, windows, 1)
    assert not drought_store.stale(windows, drought_store.visible(version_url))
    return declared, root, version_url


def test_the_group_holds_what_a_plain_computation_gives(dry_group):
    _, root, version_url = dry_group
    store = somo.open(root, "1.0.0")
    group = somo.publish.reader.open_zarr(join(version_url, drought_store.STORE))
    assert group.sizes["time"] == 4 * 36 - 2
    assert group["drought_class"].isel(lat=0, lon=0).isnull().all()
    one = store["soil_moisture"].isel(depth=1, lat=4, lon=5).load().to_pandas()
    plain = one.rolling(30).mean().reindex(group["time"].to_index())
    june = plain[plain.index.day_of_year == 150]
    expected = (june - june.mean()) / june.std()
    ours = group["anomaly"].isel(depth=1, lat=4, lon=5).sel(time=june.index)
    np.testing.assert_allclose(ours, expected, atol=2e-3)
    climate = group["climatology_mean"].isel(depth=1, lat=4, lon=5).sel(season=150)
    assert float(climate) == pytest.approx(june.mean(), abs=1e-4)
    assert list(group["time_bnds"].values[0]) == [np.datetime64("2010-01-01"), np.datetime64("2010-01-31")]


@pytest.mark.skipif(shutil.which("cdo") is None, reason="no CDO; apt-get install cdo")
def test_the_yearly_file_holds_the_store_for_other_programs(dry_group):
    declared, _, version_url = dry_group
    with xr.open_zarr(join(version_url, drought_store.STORE), chunks=None) as store:
        year = year_of_drought(store, 2012)
        assert not any(year[name].variable._in_memory for name in ("anomaly", "percentile", "drought_class"))
    path = publish_drought_year(version_url, declared, 2012)
    group = somo.publish.reader.open_zarr(join(version_url, drought_store.STORE)).sel(time="2012")
    with xr.open_dataset(path) as ds:
        assert dict(ds.sizes) == {"time": 36, "depth": 2, "lat": 6, "lon": 8, "bnds": 2}
        for name in ("anomaly", "percentile", "drought_class"):
            expected = group[name].transpose("time", "depth", "lat", "lon")
            np.testing.assert_allclose(ds[name], expected, atol=1e-6)
    report = Path(path).with_name("report.json")
    checker = Path(sys.executable).with_name("compliance-checker")
    command = [checker, "-t", "cf:1.11", "-t", "acdd:1.3", "-f", "json_new", "-o", report, path]
    subprocess.run(command, check=False, capture_output=True)
    judged = next(iter(json.loads(report.read_text()).values()))
    short_of = {
        convention: [m for c in checks["high_priorities"] if c["value"][0] < c["value"][1] for m in c["msgs"]]
        for convention, checks in judged.items()
    }
    assert short_of.pop("cf:1.11") == []
    # CF has no standard names for deviations and percentiles of soil moisture; everything else is declared.
    assert {message for messages in short_of.values() for message in messages} <= {"standard_name"}
    said = subprocess.run(["cdo", "-s", "showname", path], check=True, capture_output=True, text=True).stdout
    assert {"anomaly", "percentile", "drought_class"} <= set(said.split())
    axis = subprocess.run(
        ["cdo", "-s", "zaxisdes", "-selname,anomaly", path], check=True, capture_output=True, text=True
    )
    assert "depth_below_land" in axis.stdout


def test_base_period_stays_when_days_are_added():
    open_ended = made.product(end=None)
    first = base_period(open_ended, [2016, 2017, 2018], {})
    assert (str(first.start), str(first.end)) == ("2016-01-01", "2018-12-31")
    former = {"base_start": str(first.start), "base_end": str(first.end)}
    assert base_period(open_ended, [2016, 2017, 2018, 2019], former) == first
    base = {"start": "2003-01-01", "end": "2020-12-31"}
    declared = made.product(start="2003-01-01", end=None, drought={"base": base})
    years = list(range(2003, 2021))
    assert base_period(declared, years, former) == Period(**base)
    # Until its last year is complete the climatology would be that of fewer years than its attributes say.
    assert base_period(declared, years[:-1], former) is None


def test_a_climatology_has_whole_years_alone():
    """A product that begins in July has a half year that counts as complete for its files, and none for drought."""
    open_ended = made.product(start="2010-07-01", end=None, drought={"min_years": 3})
    assert base_period(open_ended, [2010, 2011, 2012], {}) is None
    base = base_period(open_ended, [2010, 2011, 2012, 2013], {})
    assert (str(base.start), str(base.end), base.whole_years) == ("2011-01-01", "2013-12-31", 3)
    closed = made.product(start="2003-07-01", end="2020-12-31")
    assert base_period(closed, [], {}).whole_years == 17


def test_a_base_without_an_end_has_the_years_from_its_start():
    declared = made.product(start="2010-01-01", end=None, drought={"base": {"start": "2012-01-01"}, "min_years": 3})
    first = base_period(declared, list(range(2010, 2015)), {})
    assert (str(first.start), str(first.end)) == ("2012-01-01", "2014-12-31")
    former = {"base_start": "2012-01-01", "base_end": "2014-12-31"}
    assert base_period(declared, list(range(2010, 2016)), former) == first
    # A base that is declared to begin elsewhere is another one.
    elsewhere = {**former, "base_start": "2010-01-01"}
    assert str(base_period(declared, list(range(2010, 2016)), elsewhere).end) == "2015-12-31"


@pytest.mark.parametrize("base", [{"start": "2009-12-31"}, {"start": "2010-01-01", "end": "2014-01-01"}])
def test_a_base_reaches_no_further_than_the_product(base):
    with pytest.raises(ValueError, match="reaches beyond the days of the product, 2010-01-01 to 2013-12-31"):
        made.product(start="2010-01-01", end="2013-12-31", drought={"base": base})


def test_two_years_are_no_climatology():
    assert base_period(made.product(), [2016], {}) is None


def test_windows_with_a_provisional_day_are_provisional():
    declared = made.product(start="2010-01-01", end="2013-12-31")
    times = pd.date_range("2010-01-01", "2010-04-30")
    status = np.zeros(len(times), "int8")
    status[-1] = 1
    windows = drought_store.Windows.of(declared, times, status, declared.period)
    assert list(windows.status) == [0] * 9 + [1]
    # Day 11 is the first of the window that ends on day 40, and no day of the one that ends on day 10 or on day 50.
    first_day = np.zeros(len(times), "int8")
    first_day[10] = 1
    assert list(drought_store.Windows.of(declared, times, first_day, declared.period).status) == [1, 1] + [0] * 8
    assert zarr.FILL == -32768


BASE = {"start": "2010-01-01", "end": "2012-12-31"}


@pytest.mark.parametrize(("open_days", "block", "shares"), [(0, 360, ()), (25, 40, made.SHARES)])
def test_new_windows_alone_have_the_bytes_of_all_anew(tmp_path, monkeypatch, open_days, block, shares):
    monkeypatch.setattr(drought_store, "BLOCK_WINDOWS", block)
    declared = made.product(start="2010-01-01", end=None, drought={"base": BASE})
    root = str(tmp_path)

    def windows_until(days, provisional):
        url = made.write_store(declared, root, days=days, provisional=provisional, uncertain=bool(shares))
        times = somo.open(root, "1.0.0")["time"].to_index()
        status = somo.open(root, "1.0.0")["status"].values
        return url, drought_store.Windows.of(declared, times, status, declared.drought.base, shares)

    url, first = windows_until(4 * 365 + 130, open_days)
    drought_store.write_tile(url, declared, (6, 8), first, (0, 0), 0)
    drought_store.publish(url, declared, first, 0)
    url, windows = windows_until(4 * 365 + 160, 0)
    shown = drought_store.visible(url)
    assert drought_update.is_enough(windows, shown, drought_store.former_attrs(url))
    changed = drought_update.changed_windows(windows, shown)
    assert 3 <= changed.sum() <= 8
    drought_update.update_tile(url, declared, (6, 8), windows, changed, (0, 0), 1)
    pairs = drought_update.copies(url, declared, (6, 8), windows, changed, 1)
    copy_objects(join(url, drought_store.STORE), pairs)
    store = tmp_path / "v1.0.0" / drought_store.STORE

    def shards():
        return {p.relative_to(store): p.read_bytes() for p in store.rglob("c.0.*") if p.name.count(".") == 4}

    updated = shards()
    assert len(updated) == (8 if shares else 3) * (-(-len(changed) // block)) + 2
    drought_store.write_tile(url, declared, (6, 8), windows, (0, 0), 1)
    assert shards() == updated


def test_the_group_holds_probabilities_of_a_version_that_knows_its_uncertainty(tmp_path):
    """By hand for one window: its mean, the mean of its daily uncertainty, and the border of D1 among 12 neighbours."""
    declared = made.product(start="2010-01-01", end="2013-12-31")
    url = made.write_store(declared, str(tmp_path), uncertain=True)
    store = somo.open(str(tmp_path), "1.0.0").load()
    times, status = store["time"].to_index(), store["status"].values
    windows = drought_store.Windows.of(declared, times, status, declared.period, made.SHARES)
    drought_store.write_tile(url, declared, (6, 8), windows, (0, 0), 0)
    drought_store.publish(url, declared, windows, 0)
    group = somo.publish.reader.open_zarr(join(url, drought_store.STORE)).isel(depth=1, lat=4, lon=5).load()
    cell = store.isel(depth=1, lat=4, lon=5)
    means = cell["soil_moisture"].to_pandas().rolling(30).mean().reindex(group["time"].to_index())
    stated = cell["soil_moisture_uncertainty"].to_pandas().rolling(30).mean().reindex(group["time"].to_index())
    near = means[means.index.day_of_year.isin([140, 150, 160])]
    day = pd.Timestamp("2012-05-29")
    border = np.quantile(near, 0.2, method="weibull")
    expected = norm.cdf((border - means[day]) / (made.SHARES[1] * stated[day]))
    assert float(group["probability_d1"].sel(time=day)) == pytest.approx(expected, abs=2e-3)
    assert group["probability_d1"].attrs["long_name"] == "probability that the window is in class D1 or a drier one"


def test_another_climatology_changes_every_window():
    declared = made.product(start="2010-01-01", end=None, drought={"base": BASE})
    times = pd.date_range("2010-01-01", "2013-12-31")
    status = np.zeros(len(times), "int8")
    windows = drought_store.Windows.of(declared, times, status, declared.drought.base)
    shown = zarr.Visible(windows.status[:-1])
    base = {"base_start": BASE["start"], "base_end": BASE["end"]}
    assert drought_update.is_enough(windows, shown, base)
    assert not drought_update.is_enough(windows, shown, {**base, "base_end": "2013-12-31"})
    assert not drought_update.is_enough(windows, None, base)
    provisional = shown.status.copy()
    provisional[50] = 1
    assert not drought_update.is_enough(windows, zarr.Visible(provisional), base)


def test_the_group_says_what_a_window_is_and_covers_all_its_days():
    """The first window begins 29 days before the day that it is stamped with."""
    declared = made.product(start="2010-01-01", end="2013-12-31")
    times = pd.date_range("2010-01-01", "2013-12-31")
    windows = drought_store.Windows.of(declared, times, np.zeros(len(times), "int8"), declared.period)
    shape = made.grid_of(declared).shape
    group = drought_store.template(declared, made.grid_of(declared), windows, *drought_store.layouts(declared, shape))
    year = year_of_drought(group, 2012)
    for ds, start, end, days in (
        (group, "2010-01-01T00:00:00Z", "2013-12-27T00:00:00Z", "P1456D"),
        (year, "2011-12-12T00:00:00Z", "2012-12-26T00:00:00Z", "P380D"),
    ):
        assert (ds.attrs["time_coverage_start"], ds.attrs["time_coverage_end"]) == (start, end)
        assert (ds.attrs["time_coverage_duration"], ds.attrs["time_coverage_resolution"]) == (days, "P10D")
        assert "UTC day from then" not in ds["time"].attrs["comment"] + ds.attrs["comment"]
