import numpy as np
import pandas as pd
import pytest
from pytesmo.time_series.anomaly import calc_anomaly

from somo.validate.matching import anomalies, cell_means, cell_scores, layer_skill, summarise, wide_to_models
from somo.validate.metrics import scores

DAYS = pd.date_range("2014-01-01", periods=200, freq="D")


@pytest.fixture
def pairs():
    generator = np.random.default_rng(0)
    rows = []
    for cell in (7, 3, 9):
        y = generator.uniform(0.1, 0.4, len(DAYS))
        y_hat = y + generator.normal(0, 0.02, len(DAYS))
        rows.append(
            pd.DataFrame({"domain": "home", "cell": cell, "layer": "layer1", "time": DAYS, "y": y, "y_hat": y_hat})
        )
    return pd.concat(rows, ignore_index=True).astype({"layer": "category"})


def test_scores_of_cells_are_those_of_their_series(pairs):
    table = cell_scores(pairs).set_index("cell")
    for cell in (3, 7, 9):
        here = pairs[pairs["cell"] == cell]
        wanted = scores(here["y"].to_numpy(), here["y_hat"].to_numpy())
        assert table.loc[cell, list(wanted)].to_dict() == pytest.approx(wanted)


def test_short_series_are_left_out(pairs):
    few = pairs.groupby("cell").head(5)
    assert len(cell_scores(few, min_days=6)) == 0
    assert len(cell_scores(few, min_days=5)) == 3


def test_a_cell_of_two_days_has_no_share_in_the_median(pairs):
    """Its r is 1 or -1, whatever was predicted."""
    two = pairs[pairs["cell"] == 7].head(2)
    assert abs(scores(two["y"].to_numpy(), two["y_hat"].to_numpy())["pearson_r"]) == pytest.approx(1)
    short = pd.concat([pairs, *(two.assign(cell=cell) for cell in range(20, 27))])
    pd.testing.assert_frame_equal(layer_skill(short), layer_skill(pairs))


def test_skill_of_a_layer_is_the_median_over_its_cells(pairs):
    """A cell whose measurements do not vary has no r and does not count."""
    still = pairs[pairs["cell"] == 7].assign(cell=11, y=0.2)
    found = layer_skill(pd.concat([pairs, still]), metrics=("pearson_r", "ubrmsd")).loc["layer1"]
    direct = [np.corrcoef(g["y"], g["y_hat"])[0, 1] for _, g in pairs.groupby("cell")]
    assert found["pearson_r"] == pytest.approx(sorted(direct)[1])
    assert found["cells"] == 3
    assert layer_skill(pairs.iloc[:0]).empty


def test_anomaly_equals_pytesmo(pairs):
    gappy = pairs.drop(index=[5, 6, 7, 50, 300])
    found = anomalies(gappy, ["y"], min_days=1)
    for cell in (3, 7, 9):
        series = gappy[gappy["cell"] == cell].set_index("time")["y"]
        wanted = calc_anomaly(series, window_size=31).reindex(series.index)
        got = found[found["cell"] == cell].set_index("time")["y"]
        np.testing.assert_allclose(got, wanted.to_numpy(), atol=1e-10)


def test_anomaly_needs_enough_days():
    rare = pd.DataFrame({"domain": "home", "cell": 1, "layer": "layer1", "time": DAYS[::10], "y": np.arange(20.0)})
    assert anomalies(rare, ["y"], min_days=7).empty
    assert len(anomalies(rare, ["y"], min_days=3)) == 18


def test_nine_days_are_too_few_and_ten_enough():
    days = pd.DataFrame({"domain": "home", "cell": [1] * 9 + [2] * 10, "layer": "layer1", "y": np.arange(19.0)})
    assert cell_scores(days.assign(y_hat=days["y"]))["cell"].tolist() == [2]


def test_summary_counts_cells_and_days(pairs):
    table = summarise(cell_scores(pairs), ("layer",), ("pearson_r",))
    row = table.iloc[0]
    assert (row["cells"], row["days"]) == (3, 600)
    assert row["low"] <= row["value"] <= row["high"]


def test_means_are_over_common_days(pairs):
    pairs.loc[pairs["time"] < "2014-02-01", "y_hat"] = np.nan
    means = cell_means(pairs, ["y", "y_hat"]).set_index("cell")
    here = pairs[(pairs["cell"] == 3) & pairs["y_hat"].notna()]
    assert means.loc[3, "y"] == pytest.approx(here["y"].mean())
    assert means.loc[3, "n"] == 169


def test_models_become_rows(pairs):
    table = wide_to_models(pairs.assign(y_ridge=0.2), {"network": "y_hat", "ridge": "y_ridge"})
    assert table.groupby("model").size().to_dict() == {"network": 600, "ridge": 600}
    assert (table[table["model"] == "ridge"]["y_hat"] == 0.2).all()
