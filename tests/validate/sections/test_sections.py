from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from somo.product.method import Sequence
from somo.validate.matching import cell_scores
from somo.validate.published import ValidationError, open_published
from somo.validate.sections.groups import climate_class, groups_section
from somo.validate.sections.maps import overview_section
from somo.validate.sections.model_experiments import importance_section, memory_section
from somo.validate.sections.section import Impossible
from somo.validate.sections.series import series_section, stations_of_cell, typical_cells, weather_section, weekly
from somo.validate.sections.skill import _numbers, split_section
from somo.validate.sections.training_space import training_section

LAYERS = ("layer1", "layer2", "layer3")


@pytest.fixture(scope="module")
def published(version):
    return open_published(version, LAYERS)


@pytest.fixture(scope="module")
def climate(published):
    cells = np.flatnonzero(published.soil["soil_moisture"][0, 0].notnull().values.ravel())
    table = pd.DataFrame({"domain": "home", "cell": cells, "x": np.linspace(0.5, 2.5, len(cells)), "y": 9.0})
    table["climate"] = climate_class(table["y"].to_numpy(), table["x"].to_numpy())
    table.attrs = {"x": "aridity", "y": "temperature"}
    return table


def drawn(section):
    assert section.figure.startswith(b"<?xml") and b"</svg>" in section.figure
    assert "n = " in section.caption
    assert not section.table.empty
    return section


def test_skill_of_held_back_cells_against_a_direct_computation(published):
    section = drawn(split_section(published.crossval.astype({"layer": str}), "figS3", "How."))
    pairs = published.crossval
    direct = [g["y"].corr(g["y_hat"]) for _, g in pairs[pairs["layer"] == "layer2"].groupby("cell")]
    assert section.findings["network"]["layer2"]["pearson_r"] == pytest.approx(np.median(direct), abs=1e-10)
    assert section.findings["network"]["layer2"]["cells"] == 12
    assert section.findings["ridge baseline"]["layer2"]["ubrmsd"] == pytest.approx(0.02, abs=0.001)
    assert section.findings["network"]["layer2"]["ubrmsd"] == pytest.approx(0.01, abs=0.001)
    assert set(section.shown["model"]) == {"network", "ridge baseline"}
    above = [
        cell["y"].corr(cell["y_hat"]) > cell["y"].corr(cell["y_ridge"])
        for _, cell in published.crossval.query("layer == 'layer2'").groupby(["domain", "cell"])
    ]
    assert section.findings["network"]["layer2"]["cells_above_baseline"] == sum(above)
    assert set(section.table["fold"]) == {-1, 0, 1, 2, 3, 4}
    assert set(section.table["of"]) == {"value", "anomaly"}


def test_same_version_same_bytes(published):
    first, again = (split_section(published.crossval, "figS3", "How.") for _ in range(2))
    assert first.figure == again.figure


def test_maps_series_and_training_cells(published, climate):
    assert len(drawn(overview_section(published)).table) == 3 * 74
    assert drawn(series_section(published)).table["cell"].nunique() == 3
    uncertain_pairs = replace(published, crossval=published.crossval.assign(uncertainty=0.01))
    assert b"90 % interval" in drawn(series_section(uncertain_pairs)).figure
    uncertain = published.soil.assign(soil_moisture_uncertainty=2 * published.soil["soil_moisture_std"])
    with_uncertainty = drawn(overview_section(replace(published, soil=uncertain)))
    assert with_uncertainty.figure.count(b"uncertainty") >= 3
    means = with_uncertainty.table[["soil_moisture_uncertainty", "soil_moisture_std"]]
    np.testing.assert_allclose(means["soil_moisture_uncertainty"], 2 * means["soil_moisture_std"], rtol=1e-5)
    section = drawn(training_section(published, climate))
    assert section.table["training"].sum() == 12
    assert section.findings["layer3"]["days"] == (published.targets["layer"] == "layer3").sum()


def test_a_cell_is_named_by_its_stations():
    columns = {"domain": "us", "cell": 7, "kept": [True, True, False], "station": ["Bear Lake", "Ant Hill", "Cut"]}
    sensors = pd.DataFrame({**columns, "latitude": [-40.25, -40.75, 0.0], "longitude": [-110.0, -110.5, 0.0]})
    assert stations_of_cell(sensors, "us", 7) == "Ant Hill and 1 more (40.50° S, 110.25° W)"
    assert stations_of_cell(sensors, "us", 8) == "us cell 8"


def test_groups_cover_networks_and_climates(published, climate):
    table = drawn(groups_section(published, climate[["domain", "cell", "climate"]])).table
    everything = table[(table["metric"] == "pearson_r") & (table["of"] == "value") & (table["layer"] == "layer1")]
    assert everything[everything["by"] == "network"]["cells"].tolist() == [6, 6]
    assert everything[everything["by"] == "climate"]["cells"].sum() == 12
    direct = cell_scores(published.crossval).query("layer == 'layer1'")["pearson_r"].median()
    assert everything[everything["by"] == "all"]["value"].item() == pytest.approx(direct)


def test_climate_classes():
    classes = climate_class(np.array([2.0, 9, 9, 9, 9]), np.array([3.0, 0.5, 1.5, 2.5, np.nan]))
    assert classes.tolist() == ["cold", "humid", "transitional", "dry", "unknown"]
    borders = climate_class(np.array([4.9, 5.0, 9, 9]), np.array([0.5, 0.99, 1.0, 2.0]))
    assert borders.tolist() == ["cold", "humid", "transitional", "transitional"]
    assert climate_class(np.array([9.0]), np.array([2.01])).tolist() == ["dry"]
    # Without a temperature nothing says that a cell is not a cold one.
    assert climate_class(np.array([np.nan, 2.0, 5.0]), np.array([0.5, np.nan, 0.5])).tolist() == [
        "unknown",
        "cold",
        "humid",
    ]


def test_weather_of_three_cells(published):
    cells = [cell for _, cell in typical_cells(published.crossval, 3)]
    days = published.soil["time"].values
    weather = pd.concat([pd.DataFrame({"cell": c, "time": days, "precipitation": 2.0}) for c in cells])
    section = drawn(weather_section(published, weather))
    assert section.table["cell"].unique().tolist() == cells
    assert section.table["target"].notna().any()


def test_week_needs_four_days():
    series = pd.Series([1.0, 2, 3, 4, np.nan, np.nan, np.nan], pd.date_range("2014-01-01", periods=7))
    assert weekly(series).tolist() == pytest.approx([2.5, 2.5, 2.5, 2.5, np.nan, np.nan, np.nan], nan_ok=True)


def test_memory_and_importance_are_drawn_for_all_layers():
    rows = [
        {"layer": layer, "member": m, "intact_days": n, "pearson_r": 0.8, "nse": 0.5, "cells": 5, "n": 100}
        | {"pearson_r_relative": 1 - 0.5 / n, "nse_relative": 1 - 0.8 / n}
        for layer in LAYERS
        for m in range(3)
        for n in (1, 5, 20, 90)
    ]
    section = drawn(memory_section(pd.DataFrame(rows), Sequence(lookback=90), "2014"))
    assert "forcing of days t-89 to t-n is put in random order" in section.caption
    lagging = memory_section(pd.DataFrame(rows), Sequence(lookback=90, lag_days=1), "2014")
    assert "forcing of days t-90 to t-n-1 is put in random order" in lagging.caption
    assert section.findings["memory_days"]["layer1"] == pytest.approx(5 * 4 ** (2 / 3))
    rows = [
        {"layer": layer, "member": 0, "input": name, "seed": s, "r_drop": d, "rmsd_rise": d, "n": 10}
        for layer in LAYERS
        for name, d in (("rain", 0.3), ("sand", 0.1))
        for s in (0, 1)
    ]
    assert drawn(importance_section(pd.DataFrame(rows), "2014")).findings["r_drop"]["layer2"] == {
        "rain": 0.3,
        "sand": 0.1,
    }


def test_data_that_hold_too_little_are_told_in_words(published, climate):
    none = published.crossval.iloc[:0]
    empty = replace(published, crossval=none)
    unknown = pd.DataFrame({"pearson_r_relative": [np.nan], "r_drop": [np.nan]})
    for make, told in (
        (lambda: split_section(none, "figS3", "How."), "no measured day of a held-back cell has a prediction"),
        (lambda: groups_section(empty, climate), "no measured day of a held-back cell has a prediction"),
        (lambda: series_section(empty), "no cell has 10 days"),
        (lambda: memory_section(unknown, Sequence(lookback=90), "2014"), "no layer has 10 sampled days in a cell"),
        (lambda: importance_section(unknown, "2014"), "no layer has two sampled days that differ"),
    ):
        with pytest.raises(Impossible, match=told):
            make()


def test_unsound_versions_are_refused_by_name(write_version, version, tmp_path):
    with pytest.raises(ValidationError, match=r"3 depths, the product declares layers \['layer1'\]"):
        open_published(version, ("layer1",))
    with pytest.raises(OSError, match=r"soil_moisture.zarr/zarr.json: cannot be read"):
        open_published(str(tmp_path), LAYERS)
    url = write_version()
    table = pd.read_parquet(f"{url}/validation/crossval.parquet").drop(columns="y_ridge")
    table.to_parquet(f"{url}/validation/crossval.parquet")
    with pytest.raises(ValidationError, match=r"crossval.parquet: columns \['y_ridge'\] are missing"):
        open_published(url, LAYERS)


def test_points_that_are_equal_but_for_rounding_have_no_correlation():
    level = 0.3 + np.array([0, 1e-9, -1e-9])
    assert _numbers(pd.DataFrame({"y": level, "y_hat": [0.2, 0.3, 0.4]})).startswith("r –\nNSE –\nRMSD 0.082")
    assert _numbers(pd.DataFrame({"y": [0.2, 0.3, 0.4], "y_hat": [0.2, 0.3, 0.4]})).startswith("r 1.00\nNSE 1.00")
