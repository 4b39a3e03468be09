import numpy as np
import pytesmo.metrics
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from somo.validate.metrics import METRICS, Score, block_draws, median_score, score, scores

PYTESMO = {"pearson_r": "pearson_r", "spearman": "spearman_r", "rmsd": "rmsd", "ubrmsd": "ubrmsd"}


def series(seed, n):
    generator = np.random.default_rng(seed)
    y = generator.uniform(0.05, 0.45, n)
    return y, 0.7 * y + generator.normal(0.05, 0.03, n)


@given(st.integers(0, 2**32 - 1), st.integers(3, 200))
def test_metrics_equal_pytesmo_and_scipy(seed, n):
    y, y_hat = series(seed, n)
    got = scores(y, y_hat)
    for ours, theirs in PYTESMO.items():
        assert got[ours] == pytest.approx(float(np.squeeze(getattr(pytesmo.metrics, theirs)(y, y_hat))), abs=1e-10)
    assert got["bias"] == pytest.approx(pytesmo.metrics.bias(y_hat, y), abs=1e-10)
    assert got["nse"] == pytest.approx(pytesmo.metrics.nash_sutcliffe(y, y_hat), abs=1e-10)
    assert got["pearson_r"] == pytest.approx(scipy.stats.pearsonr(y, y_hat).statistic, abs=1e-10)
    assert got["spearman"] == pytest.approx(scipy.stats.spearmanr(y, y_hat).statistic, abs=1e-10)


def test_kge_by_hand():
    y, y_hat = np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])
    assert scores(y, y_hat)["kge"] == pytest.approx(1 - np.sqrt(0 + 1 + 1))


def test_numbers_by_hand():
    got = scores([0.1, 0.2, 0.3], [0.2, 0.2, 0.5])
    assert got["bias"] == pytest.approx(0.1)
    assert got["rmsd"] == pytest.approx(np.sqrt(0.05 / 3))
    assert got["ubrmsd"] == pytest.approx(np.sqrt((0 + 0.01 + 0.01) / 3))
    assert got["nse"] == pytest.approx(1 - 0.05 / 0.02)
    assert got["n"] == 3


def test_empty_series_have_no_value_and_no_pair():
    got = scores([], [])
    assert got.pop("n") == 0
    assert np.isnan(list(got.values())).all()


def test_constant_measurements_have_level_but_no_dynamics():
    got = scores([0.1] * 4, [0.1, 0.2, 0.3, 0.4])
    assert all(np.isnan(got[m]) for m in ("pearson_r", "spearman", "nse", "kge"))
    assert got["bias"] == pytest.approx(0.15)
    assert got["rmsd"] == pytest.approx(np.sqrt(0.14 / 4))
    assert got["ubrmsd"] == pytest.approx(np.sqrt(0.0125))


def test_constant_prediction_has_no_correlation_but_an_efficiency():
    got = scores([0.1, 0.2, 0.3], [0.2] * 3)
    assert np.isnan(got["pearson_r"])
    assert got["nse"] == pytest.approx(0.0)


def test_one_pair_has_differences_only():
    got = scores([0.1], [0.3])
    assert (got["bias"], got["rmsd"], got["ubrmsd"], got["n"]) == (pytest.approx(0.2), pytest.approx(0.2), 0.0, 1)
    assert all(np.isnan(got[m]) for m in ("pearson_r", "spearman", "nse", "kge"))


def test_two_pairs_lie_on_a_line():
    assert scores([0.1, 0.2], [0.3, 0.25])["pearson_r"] == pytest.approx(-1)


def test_gaps_on_either_side_are_left_out_in_pairs():
    y, y_hat = series(3, 50)
    gappy, gappy_hat = y.copy(), y_hat.copy()
    gappy[::7], gappy_hat[::5] = np.nan, np.inf
    kept = np.isfinite(gappy) & np.isfinite(gappy_hat)
    assert scores(gappy, gappy_hat) == scores(y[kept], y_hat[kept])


def test_series_of_other_length_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\) and \(2,\).*match them by time"):
        scores([1, 2, 3], [1, 2])


def test_metrics_reduce_the_last_axis():
    y, y_hat = np.stack([series(s, 40)[0] for s in range(3)]), np.stack([series(s, 40)[1] for s in range(3)])
    for name, metric in METRICS.items():
        assert metric(y, y_hat) == pytest.approx([scores(a, b)[name] for a, b in zip(y, y_hat, strict=True)])


def test_interval_covers_the_truth_for_independent_pairs():
    inside = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        y = generator.normal(size=200)
        s = score(y, y + generator.normal(size=200), "pearson_r", block_days=1, seed=seed)
        inside += s.low <= np.sqrt(0.5) <= s.high
    assert 88 <= inside <= 99


def test_blocks_widen_the_interval_of_series_with_memory():
    generator = np.random.default_rng(0)
    y = np.convolve(generator.normal(size=1100), np.ones(60) / 60, "valid")
    y_hat = y + np.convolve(generator.normal(size=1100), np.ones(60) / 60, "valid")
    short, long = (score(y, y_hat, "rmsd", block_days=days) for days in (1, 90))
    assert long.high - long.low > 2 * (short.high - short.low)


def test_score_of_too_little_has_no_interval():
    assert score([], [], "rmsd").n == 0
    single = score([0.1], [0.2], "bias")
    assert single.value == pytest.approx(0.1)
    assert np.isnan([single.low, single.high]).all()


def test_blocks_are_neighbours_on_a_circle():
    draws = block_draws(10, 4, 50, np.random.default_rng(0))
    assert draws.shape == (50, 10)
    steps = np.diff(draws[:, :4]) % 10
    assert (steps == 1).all()


def test_median_over_cells():
    s = median_score([0.5, np.nan, 0.7, 0.9])
    assert (s.value, s.n) == (0.7, 3)
    assert 0.5 <= s.low <= 0.7 <= s.high <= 0.9
    assert np.isnan(median_score([np.nan]).value)
    assert Score(1.0, 2).n == 2
