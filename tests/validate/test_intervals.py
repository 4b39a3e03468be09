import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from somo.validate.intervals import (
    coverage,
    coverage_interval,
    half_width,
    interval_score,
    judge,
    normal_crps,
    scores_of,
    with_constant_width,
    with_groups,
)


def pairs(sigma: float = 0.03, cells: int = 30, days: int = 400) -> pd.DataFrame:
    """Known normal noise, stated as it is; the spread says a tenth of it."""
    g = np.random.default_rng(0)
    table = pd.DataFrame({"domain": "home", "cell": np.repeat(np.arange(cells), days), "layer": "layer1"}).assign(
        time=np.tile(pd.date_range("2015-01-01", periods=days), cells), y_hat=g.uniform(0.1, 0.4, cells * days)
    )
    noise = sigma * g.normal(size=len(table))
    known = {"dissimilarity": table["cell"] / cells, "uncertainty": sigma, "spread": sigma / 10}
    return table.assign(y=table["y_hat"] + noise, fold=table["cell"] % 5, **known)


def test_scores_by_hand() -> None:
    """Half width 1.645 x 2 = 3.29; an error of 4 lies 0.71 outside, which costs 20 times that."""
    assert half_width(0.9) == pytest.approx(1.6449, abs=1e-4)
    score = interval_score(np.array([1.0, -4.0]), np.array([2.0, 2.0]))
    assert score == pytest.approx([6.5794, 6.5794 + 20 * (4 - 3.2897)], abs=1e-3)
    below = quad(lambda x: norm.cdf(x, scale=2) ** 2, -np.inf, 1.5)[0]
    above = quad(lambda x: norm.sf(x, scale=2) ** 2, 1.5, np.inf)[0]
    assert normal_crps(np.array([1.5, -3.0]), np.array([2.0, 0.0])) == pytest.approx([below + above, 3.0])


def test_coverage_by_hand() -> None:
    """Of errors of 1, 1.6, 1.7 and 3 standard deviations the 90 % interval holds the first two; NaN counts nowhere."""
    table = pd.DataFrame({"layer": ["a"] * 5 + ["b"], "y": [1, 1.6, 1.7, -3, np.nan, 0], "y_hat": 0.0})
    assert coverage(table.assign(uncertainty=1.0)) == {"a": 0.5, "b": 1.0}
    assert coverage(table) == {}


def test_known_noise_is_covered_at_every_level_and_in_every_group() -> None:
    table = with_constant_width(pairs())
    networks = (
        table[["domain", "cell", "layer"]]
        .drop_duplicates()
        .assign(network=lambda t: "net" + (t["cell"] % 2).astype(str))
    )
    scores = judge(table, with_groups(table, networks))
    covered = scores[scores["metric"].str.startswith("coverage")]
    meant = covered["metric"].str.removeprefix("coverage_").astype(float) / 100
    true = covered["width"] != "spread"
    assert (covered["value"] - meant)[true].abs().max() < 0.025
    whole = covered[(covered["by"] == "all") & true]
    assert (whole["value"] - meant[whole.index]).abs().max() < 0.01
    assert (whole["low"] < whole["value"]).all() and (whole["value"] < whole["high"]).all()
    spread = covered[(covered["width"] == "spread") & (covered["metric"] == "coverage_90") & (covered["by"] == "all")]
    assert spread["value"].iloc[0] == pytest.approx(2 * norm.cdf(0.1645) - 1, abs=0.01)
    assert set(scores["by"]) == {"all", "wetness", "season", "dissimilarity", "network"}
    assert set(scores[scores["by"] == "network"]["group"]) == {"net0", "net1"}


def test_constant_width_knows_no_error_of_its_own_fold() -> None:
    table = pairs()
    wild = table.assign(y=table["y"].where(table["fold"] != 2, table["y_hat"] + 10 * (table["y"] - table["y_hat"])))
    before, after = with_constant_width(table), with_constant_width(wild)
    own = table["fold"] == 2
    np.testing.assert_array_equal(before["constant"][own], after["constant"][own])
    assert (after["constant"][~own] > 1.5 * before["constant"][~own]).all()
    assert with_constant_width(table[own])["constant"].isna().all()


def test_interval_of_a_coverage_is_that_of_cells_and_not_of_days() -> None:
    """Half of the cells hold every day, half none: the interval is that of a coin thrown ten times."""
    inside = np.repeat([True, False] * 5, 1000)
    low, high = coverage_interval(inside, np.repeat(np.arange(10), 1000))
    assert 0.15 <= low <= 0.3
    assert 0.7 <= high <= 0.85


def test_groups_by_hand() -> None:
    """Thirds are of each layer's own rows, equal values parted by their order; seasons are those of the months."""
    table = pd.DataFrame({"domain": "home", "cell": [1, 1, 1, 2, 2, 2], "layer": ["a"] * 3 + ["b"] * 3}).assign(
        time=pd.to_datetime(["2015-02-28", "2015-03-01", "2015-08-31", "2015-09-01", "2015-11-30", "2015-12-01"]),
        y_hat=[0.3, 0.1, 0.2, 0.9, 0.7, 0.8],
        dissimilarity=[0.5, 0.5, 0.5, 0.2, np.nan, 0.1],
    )
    networks = pd.DataFrame({"domain": "home", "cell": [1, 2], "layer": ["a", "a"], "network": ["net", "other"]})
    groups = with_groups(table, networks)
    assert groups["wetness"].tolist() == ["wet", "dry", "middle", "wet", "dry", "middle"]
    assert groups["season"].tolist() == ["DJF", "MAM", "JJA", "SON", "SON", "DJF"]
    assert groups["dissimilarity"].fillna("").tolist() == ["alike", "middling", "unlike", "middling", "", "alike"]
    assert groups["network"].tolist()[:3] == ["net"] * 3
    assert groups["network"].isna().tolist() == [False] * 3 + [True] * 3


def test_a_cell_of_two_networks_counts_for_both() -> None:
    """As in the table of skill by network; two sensors of one network are no two networks."""
    table = with_constant_width(pairs(cells=3, days=10))
    networks = pd.DataFrame(
        {"domain": "home", "cell": [0, 0, 0, 1], "layer": "layer1", "network": ["NET", "OTHER", "NET", "NET"]}
    )
    scores = judge(table, with_groups(table, networks))
    counts = scores[(scores["by"] == "network") & (scores["width"] == "uncertainty")].drop_duplicates("group")
    assert counts[["group", "cells", "days"]].to_numpy().tolist() == [["NET", 2, 20], ["OTHER", 1, 10]]
    assert set(scores[scores["by"] == "all"]["days"]) == {30}


def test_cells_of_two_domains_are_not_one() -> None:
    """Cell 0 of two domains, one held always and one never: a bootstrap over two cells finds 0 and 1."""
    domains = pd.DataFrame({"domain": ["home"] * 9 + ["us"] * 9, "cell": 0, "layer": "a", "y_hat": 0.0})
    scores = scores_of(domains.assign(y=[0.0] * 9 + [9.0] * 9, uncertainty=1.0), "uncertainty")
    assert (scores[2]["metric"], scores[2]["value"], scores[2]["low"], scores[2]["high"]) == ("coverage_90", 0.5, 0, 1)


def test_interval_of_a_coverage_weighs_cells_by_their_days() -> None:
    """All days of whatever cells are drawn are inside: the share is 1, with 1 day in one cell and 99 in another."""
    assert coverage_interval(np.ones(100, bool), np.array([0] + [1] * 99)) == (1.0, 1.0)
