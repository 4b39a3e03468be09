"""Skill station by station, and whether it is more than chance."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import pearsonr

from somo.validate.depths import naming_depths
from somo.validate.gate.checks import Result
from somo.validate.matching import cell_scores
from somo.validate.published import open_published
from somo.validate.report.alternatives import text_alternative
from somo.validate.report.verdict import gate_line, verdict
from somo.validate.sections import stations, training_space
from somo.validate.sections.figures import frame_map, map_extent
from somo.validate.sections.section import Section
from somo.validate.sections.skill import split_section
from somo.validate.sections.stations import (
    effective_size,
    probability_by_chance,
    stations_section,
    with_significance,
)

LAYERS = ("layer1", "layer2", "layer3")
DEPTHS = {"layer1": "0–10 cm", "layer2": "10–30 cm", "layer3": "30–50 cm"}


def stations_map(ax, cells, published):
    stations._map(ax, cells, map_extent(published.grid))
    frame_map(ax, map_extent(published.grid))


def training_map(ax, cells, published):
    training_space._maps(ax, published, cells, {"home": "#000000"})


@pytest.fixture(scope="module")
def published(version):
    return open_published(version, LAYERS)


def test_days_without_memory_count_whole_and_their_p_is_that_of_scipy():
    generator = np.random.default_rng(0)
    y = generator.normal(size=2000)
    y_hat = 0.05 * y + generator.normal(size=2000)
    assert effective_size(y, y_hat) == pytest.approx(2000, rel=0.01)
    r, p = pearsonr(y, y_hat)
    assert probability_by_chance(r, 2000) == pytest.approx(p, rel=1e-6)


def test_series_that_remember_hold_fewer_independent_days():
    """By theory two series with correlations 0.9 from day to day hold (1 - 0.81) / (1 + 0.81) of their days."""
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(2, 20_000))
    series = np.zeros_like(noise)
    for day in range(1, noise.shape[1]):
        series[:, day] = 0.9 * series[:, day - 1] + noise[:, day]
    assert effective_size(*series) / noise.shape[1] == pytest.approx(0.19 / 1.81, rel=0.1)
    assert np.isnan(probability_by_chance(0.5, 2.0))


def test_series_that_swing_from_day_to_day_hold_no_more_days_than_they_have():
    """Correlated by -2/3 and 1/2 a day later, four days would count as eight: 4 (1 + 1/3) / (1 - 1/3)."""
    swinging, steady = np.array([1.0, -1, 1, -1] * 50), np.repeat([1.0, 1, -1, -1], 50)
    assert effective_size(swinging, steady) == 200


def test_against_both_is_not_more_than_chance():
    days = pd.DataFrame({"domain": "home", "cell": 1, "layer": "a", "time": pd.date_range("2015-01-01", periods=40)})
    y = np.random.default_rng(3).normal(size=40)
    pairs = days.assign(y=y, y_hat=-y)
    tested = with_significance(cell_scores(pairs, metrics=("pearson_r",)), pairs)
    assert tested["p"].item() < 0.001
    assert not tested["significant"].item()


def test_every_station_is_on_the_map_and_in_the_table(published):
    with naming_depths(DEPTHS):
        section = stations_section(published)
    assert len(section.shown) == 36
    assert set(section.shown["more than chance"]) == {"yes"}
    assert section.findings["significant"] == dict.fromkeys(LAYERS, 1.0)
    one = section.table[(section.table["station"] == "S3") & (section.table["layer"] == "layer2")].iloc[0]
    pairs = published.crossval
    own = pairs[(pairs["cell"] == one["cell"]) & (pairs["layer"] == "layer2")]
    assert one["pearson_r"] == pytest.approx(own["y"].corr(own["y_hat"]), abs=1e-10)
    assert one["independent_days"] < one["n"] / 2
    assert "100% at 10–30 cm" in section.caption
    assert "at 10–30 cm" not in text_alternative(section, {})
    assert "10–30 cm r 0.9" in text_alternative(section, DEPTHS)


@pytest.mark.parametrize("draw", [stations_map, training_map])
def test_stations_west_of_greenwich_are_on_a_map_counted_from_0(published, draw):
    """Archives tell longitudes from -180 to 180, whatever the grid counts them by."""
    counted = replace(published, soil=published.soil.assign_coords(lon=published.soil["lon"] + 346))
    cells = pd.DataFrame({"domain": "home", "longitude": [-9.5, -5.5], "latitude": 47.0})
    ax = Figure().subplots()
    draw(ax, cells.assign(pearson_r=0.5, significant=True), counted)
    assert ax.collections[0].get_offsets()[:, 0].tolist() == pytest.approx([350.5, 354.5])
    assert ax.get_xlim() == pytest.approx((350, 355))


def test_the_verdict_says_skill_baseline_chance_and_gate(published):
    sections = [split_section(published.crossval, "figS3", "How."), stations_section(published)]
    told = verdict(sections, DEPTHS)
    assert told[0].startswith("0–10 cm: at 12 cells that the networks had not seen, the median correlation")
    assert "better than a linear baseline" in told[0]
    assert told[-1] == (
        "The correlation is more than chance at 100% at 0–10 cm, 100% at 10–30 cm, 100% at 30–50 cm of those cells."
    )
    few_days = stations_section(published).shown["independent days"]
    assert (few_days < stations_section(published).shown["days"]).all() and (few_days > 2).all()
    losing = replace(
        sections[0],
        findings={
            "network": {"layer1": {"pearson_r": 0.95, "ubrmsd": 0.04, "cells": 12}},
            "ridge baseline": {"layer1": {"pearson_r": 0.96, "ubrmsd": 0.02}},
        },
    )
    assert "worse than a linear baseline" in verdict([losing], DEPTHS)[0]
    assert "whose error is 50% smaller: train longer (training.epochs)" in verdict([losing], DEPTHS)[0]
    passed = [Result("range", True, "fine"), Result("tile seams", True, "fine")]
    assert gate_line(passed) == "The gate lets this version pass: all 2 checks hold."
    assert "refuses this version: 1 of 3 checks fail (coverage)" in gate_line(
        [*passed, Result("coverage", False, "no")]
    )


@pytest.mark.parametrize(("later_r", "nse", "is_told"), [(0.85, 0.6, False), (0.6, 0.3, True), (0.88, -0.2, True)])
def test_the_verdict_warns_of_days_that_were_not_learnt_from(later_r, nse, is_told):
    spatial = {"network": {"layer1": {"pearson_r": 0.9, "ubrmsd": 0.02, "nse": 0.8, "cells": 12}}}
    later = {"network": {"layer1": {"pearson_r": later_r, "ubrmsd": 0.02, "nse": nse, "cells": 12}}}
    sections = [
        Section(name, "c", b"", pd.DataFrame(), findings=scores)
        for name, scores in (("figS3", spatial), ("figS4", later))
    ]
    sentences = [s for s in verdict(sections, DEPTHS) if "on days after those that were learnt from" in s]
    assert bool(sentences) == is_told
    assert all("training.epochs" in s and "sequence.lookback" in s for s in sentences)
