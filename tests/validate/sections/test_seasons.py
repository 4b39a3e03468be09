from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.core.grid import Grid
from somo.validate.report.alternatives import text_alternative
from somo.validate.season_days import is_whole
from somo.validate.sections.seasons import (
    chosen_year,
    greatest_z,
    maps_section,
    pattern_correlation,
    regional_anomalies,
    regional_seasons,
    regions_section,
    seasonal_means,
    z_scores,
)
from somo.validate.sections.section import Impossible

DAYS = pd.date_range("2013-06-01", "2017-03-31", freq="D")
GRID = Grid.regular(4, 9, 46, 50, 0.5)


def field(values):
    return xr.DataArray(values, {"time": DAYS, "lat": GRID.lat, "lon": GRID.lon}, ("time", "lat", "lon"))


def by_year():
    """Every cell has its year's last digit on every day."""
    return field(np.broadcast_to((DAYS.year.to_numpy() % 10)[:, None, None], (len(DAYS), *GRID.shape)).astype(float))


def test_summers_by_year():
    means = seasonal_means(by_year(), "JJA")
    assert means["year"].values.tolist() == [2013, 2014, 2015, 2016]
    assert means[:, 0, 0].values.tolist() == [3, 4, 5, 6]


def test_december_belongs_to_the_next_winter():
    means = seasonal_means(by_year(), "DJF")
    assert means["year"].values.tolist() == [2014, 2015, 2016, 2017]
    assert means[0, 0, 0] == pytest.approx((31 * 3 + 59 * 4) / 90)


def test_seasons_cut_short_are_left_out():
    assert seasonal_means(by_year().isel(time=slice(40, 100)), "JJA").sizes["year"] == 0
    assert seasonal_means(by_year().isel(time=slice(0, 30)), "SON").sizes["year"] == 0


def test_z_score_by_hand():
    rise = xr.DataArray([0.0, 0.0, 0.3], {"year": [2003, 2004, 2005]}, ("year",))
    assert float(z_scores(rise, 2005)) == pytest.approx(greatest_z(3))
    z = z_scores(seasonal_means(by_year(), "JJA"), 2015)
    assert z[0, 0] == pytest.approx((5 - 4.5) / np.std([3, 4, 5, 6], ddof=1))
    assert np.isnan(z_scores(seasonal_means(by_year(), "JJA").isel(year=slice(0, 2)), 2014)).all()


def test_pattern_correlation_with_weights():
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, 6, 7))
    a[0, 0], b[3, 3] = np.nan, np.nan
    both = np.isfinite(a) & np.isfinite(b)
    assert pattern_correlation(a, b, np.ones(6)) == pytest.approx(np.corrcoef(a[both], b[both])[0, 1], abs=1e-12)
    weights = np.array([1, 2, 0, 3, 1, 1.0])
    repeated = np.repeat(np.stack([a, b]), weights.astype(int), axis=1)
    both = np.isfinite(repeated).all(0)
    wanted = np.corrcoef(repeated[0][both], repeated[1][both])[0, 1]
    assert pattern_correlation(a, b, weights) == pytest.approx(wanted, abs=1e-12)
    assert np.isnan(pattern_correlation(a, np.full_like(b, np.nan), weights))


def test_regional_anomalies_are_area_weighted():
    row = np.broadcast_to(GRID.lat[:, None], GRID.shape)
    values = np.stack([row * (-1 if year % 2 else 1) for year in (2014, 2015)])[:, None]
    coords = {"year": [2014, 2015], "lat": GRID.lat, "lon": GRID.lon}
    table = regional_anomalies(xr.DataArray(values, coords, ("year", "depth", "lat", "lon")), GRID, ("layer1",))
    france = table[table["region"] == "France"].set_index("year")
    inside = (GRID.lat < 50)[:, None] & (GRID.lon < 5)[None, :]
    w = np.broadcast_to(GRID.area_weights()[:, None], GRID.shape)
    assert france.loc[2014, "cells"] == inside.sum()
    assert france.loc[2014, "anomaly"] == pytest.approx((row[inside] * w[inside]).sum() / w[inside].sum())
    assert france.loc[2015, "anomaly"] == pytest.approx(-france.loc[2014, "anomaly"])


def test_sixty_days_of_three_months_make_a_season_and_five_of_a_month_are_enough():
    july = pd.date_range("2014-07-01", periods=31)
    days = july.union(pd.date_range("2014-06-16", periods=15)).union(pd.date_range("2014-08-01", periods=14))
    assert is_whole(days.month)
    assert not is_whole(days[1:].month)
    assert not is_whole(pd.date_range("2014-06-01", "2014-07-31").month)
    dry = by_year().where(by_year()["time"].dt.month != 6)
    for days_in_june, is_there in ((5, True), (4, False)):
        some_june = pd.date_range("2014-06-01", periods=days_in_june)
        gappy = dry.where(~dry["time"].isin(some_june), 1.0)
        means = seasonal_means(gappy, "JJA", has_gaps=True)
        assert bool(means.sel(year=2014).notnull().all()) is is_there


def test_regions_west_of_greenwich_are_there_on_a_grid_from_0_to_360():
    def cells(lon):
        grid = Grid(np.arange(55.5, 35, -1), lon, 1.0)
        coords = {"year": [2014, 2015], "lat": grid.lat, "lon": grid.lon}
        values = np.stack([np.zeros(grid.shape), np.ones(grid.shape)])[:, None]
        table = regional_anomalies(xr.DataArray(values, coords, ("year", "depth", "lat", "lon")), grid, ("layer1",))
        return table.groupby("region")["cells"].max().to_dict()

    assert cells(np.arange(0.5, 360)) == cells(np.arange(-179.5, 180))


def test_the_declared_year_else_that_of_the_paper_else_the_last():
    assert chosen_year(np.array([2014, 2015, 2016]), "JJA", 2014) == 2014
    assert chosen_year(np.array([2014, 2015, 2016]), "JJA", None) == 2015
    assert chosen_year(np.array([2003, 2004]), "JJA", None) == 2004
    with pytest.raises(Impossible, match=r"report\.year 2018 holds no whole SON; there are 2003, 2004"):
        chosen_year(np.array([2003, 2004]), "SON", 2018)


def years_of_summers(first, last):
    """Daily field [time, lat, lon] over whole years, each day a little wetter than the one before."""
    time = pd.date_range(f"{first}-01-01", f"{last}-12-31")
    values = 0.2 + 1e-5 * np.arange(len(time))[:, None, None] * np.ones(GRID.shape)
    return xr.DataArray(values, {"time": time, "lat": GRID.lat, "lon": GRID.lon}, ("time", "lat", "lon"))


def test_two_years_have_means_but_no_deviations():
    two, three = years_of_summers(2014, 2015), years_of_summers(2014, 2016)
    short, long = (maps_section({"SoMo": field}, GRID, "layer1") for field in (two, three))
    assert "z-scores need 3 years and are not drawn" in short.caption and "bottom" not in short.caption
    assert b"z-score" not in short.figure and b"z-score" in long.figure
    assert "bottom: JJA" in long.caption
    assert "deviation" not in text_alternative(short, {}) and "one year's deviation" in text_alternative(long, {})
    seasons = seasonal_means(two).compute().expand_dims(depth=1, axis=1)
    with pytest.raises(Impossible, match="anomalies need 3 years with a whole season JJA; there are 2"):
        regions_section(seasons, GRID, ("layer1",))


def test_a_season_of_another_product_needs_each_of_its_months_in_a_cell():
    """Its files end on 20 June 2016: brought to the published days it has the rest of that summer, without values."""
    whole = years_of_summers(2013, 2016)
    cut = whole.where(whole["time"] <= np.datetime64("2016-06-20"))
    cut[:, 0, 0] = whole[:, 0, 0].where(whole["time"].dt.day % 3 == 0)
    means = seasonal_means(cut, has_gaps=True)
    summer = whole.sel(time=slice("2015-06-01", "2015-08-31"))
    assert float(means.sel(year=2015)[1, 1]) == pytest.approx(float(summer[:, 1, 1].mean()), abs=1e-9)
    assert np.isnan(means.sel(year=2016)[1, 1])
    assert np.isfinite(means[:, 0, 0]).all(), "a satellite that sees the cell every third day"
    section = maps_section({"SoMo": whole, "Other": cut}, GRID, "layer1", year=2016)
    other = section.table[section.table["product"] == "Other"]
    assert other["z_score"].notna().sum() == 1, "only the cell with a whole summer of 2016 has a deviation"


def test_a_cell_with_few_years_has_no_z_score():
    seasons = xr.DataArray([[1.0, 1.0], [2.0, 2.5], [3.0, np.nan]], {"year": [2003, 2004, 2005]}, ("year", "cell"))
    assert np.isfinite(z_scores(seasons, 2004)).values.tolist() == [True, False]


def test_a_product_of_other_years_is_drawn_among_the_regions():
    """On the published days it has no value in the last years, which must not take its first ones away."""
    whole = years_of_summers(2011, 2016)
    shorter = whole.where(whole["time"].dt.year < 2015)
    table = regions_section_of(whole, {"Shorter": shorter}).table
    drawn = table[table["product"] == "Shorter"]
    assert sorted(drawn["year"].unique()) == [2011, 2012, 2013, 2014]
    own = seasonal_means(shorter.isel(time=shorter["time"].dt.year.values < 2015))[:, 0, 0].values
    france = drawn[drawn["region"] == "France"].sort_values("year")["anomaly"]
    np.testing.assert_allclose(france, own - own.mean(), atol=1e-9)


def regions_section_of(field, others):
    """Section of regional anomalies of a product beside others, as the report makes it."""
    published = SimpleNamespace(
        soil={"soil_moisture": field.expand_dims(depth=1, axis=1)}, layers=("layer1",), grid=GRID
    )
    product = SimpleNamespace(report=SimpleNamespace(season="JJA"))
    compared = {name: xr.Dataset({"layer1": other}) for name, other in others.items()}
    return regional_seasons(SimpleNamespace(published=published, product=product, compared=compared))
