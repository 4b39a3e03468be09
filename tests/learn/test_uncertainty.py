import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from somo.learn import LearnError
from somo.learn.uncertainty import (
    STANDARD_WIDTH,
    Uncertainty,
    anomaly_share,
    conformal_factor,
    crps,
    few_cells_factor,
    fit_uncertainty,
    read_uncertainties,
    uncertainty_of_member,
    write_uncertainties,
)

N = 40_000


def synthetic(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Targets, predictions, dissimilarity and the known standard deviation of the noise between them."""
    g = np.random.default_rng(seed)
    y_hat, index = g.uniform(0.05, 0.45, n), g.uniform(0, 1, n)
    sigma = 0.03 * np.exp(2 * (y_hat - 0.25) + 0.8 * (np.sqrt(index) - 0.6))
    return y_hat + sigma * g.normal(size=n), y_hat, index, sigma


def test_known_noise_is_found_again_and_covered_at_new_cells() -> None:
    y, y_hat, index, _ = synthetic(0)
    fitted = fit_uncertainty("layer1", y, y_hat, index, np.arange(len(y)))
    y, y_hat, index, sigma = synthetic(1)
    u = fitted.standard(y_hat, index)
    np.testing.assert_allclose(u, sigma, rtol=0.06)
    for level in (0.5, 0.8, 0.9, 0.95):
        inside = np.abs(y - y_hat) <= norm.ppf((1 + level) / 2) * u
        assert inside.mean() == pytest.approx(level, abs=0.01)
    for third in np.array_split(np.argsort(index), 3):
        assert (np.abs(y - y_hat) <= STANDARD_WIDTH * u)[third].mean() == pytest.approx(0.9, abs=0.015)


BY_HAND = Uncertainty(
    "layer1", 0.2, 0.1, 0.1, 0.4, 0.5, 0.25, 1.0, (math.log(0.03), 0.5, 0.25, 0.4), 1.5, 0.02
)  # fmt: skip


def test_uncertainty_by_hand() -> None:
    """At 0.3 z is 1, at 0.1 and below it is -1; the root of 0.5625 lies one standard deviation above the mean root."""
    at_wet, at_dry, below = BY_HAND.standard([0.3, 0.1, 0.02], 0.5625)
    assert at_wet == pytest.approx(1.5 * 0.03 * math.exp(0.5 + 0.25 + 0.4))
    assert at_dry == pytest.approx(1.5 * 0.03 * math.exp(-0.5 + 0.25 + 0.4))
    assert below == at_dry
    assert BY_HAND.standard(0.6, 0.5625) == pytest.approx(1.5 * 0.03 * math.exp(0.5 * 2 + 0.25 * 4 + 0.4))
    assert BY_HAND.standard(0.2, 0.0) == pytest.approx(1.5 * 0.03 * math.exp(-0.4 * 2))


def test_variance_beyond_all_folds_by_hand() -> None:
    """The index of 3 exceeds the farthest, 1, by twice that: 1 - exp(-4) of the variance of two unrelated targets."""
    at_end = 1.5 * 0.03 * math.exp(0.4 * 2)
    expected = math.sqrt(at_end**2 + 0.02 * (1 - math.exp(-4)))
    assert BY_HAND.standard(0.2, 3.0) == pytest.approx(expected)
    # Where every cell has its like in another fold, any distance is beyond them all.
    none_apart = replace(BY_HAND, farthest=0.0, coefficients=(math.log(0.03), 0.0, 0.0, 0.0))
    assert none_apart.standard(0.2, [0.0, 0.1]) == pytest.approx([0.045, math.sqrt(0.045**2 + 0.02)])


def test_calibration_is_the_conformal_factor_of_new_errors_and_wider_for_few_cells() -> None:
    """Whatever the coefficients, the interval ends at the ceil(0.9 (n + 1))-th smallest error, times t's factor."""
    g = np.random.default_rng(9)
    cell = np.arange(48) % 4
    y_hat, index = g.uniform(0.1, 0.4, 48), g.uniform(0.1, 1, 48)
    error = g.standard_t(2, 48) * 0.03 * (1 + cell)
    fitted = fit_uncertainty("layer1", y_hat + error, y_hat, index, cell)
    u = fitted.standard(y_hat, index)
    standardised = np.abs(error) / (u / fitted.factor)
    ratio = np.sort(np.abs(error) / u)[math.ceil(0.9 * 49) - 1] / STANDARD_WIDTH
    few = few_cells_factor(standardised, cell)
    assert few > 1.01
    assert ratio == pytest.approx(1 / few)


def test_penalty_of_slopes_is_that_of_cells_and_not_of_days() -> None:
    """Gradient of score and penalty is zero at what was fitted, with 0.5 over the number of cells."""
    g = np.random.default_rng(10)
    cell = np.repeat(np.arange(5), 40)
    y_hat, index = g.uniform(0.1, 0.4, 200), np.repeat([0.1, 0.2, 0.4, 0.8, 1.0], 40)
    error = g.normal(size=200) * 0.03 * np.exp(3 * y_hat + index)
    fitted = fit_uncertainty("layer1", y_hat + error, y_hat, index, cell)
    a, b, c, d = fitted.coefficients
    typical = math.sqrt(np.square(error).mean())

    def loss(constant: float, slope: float, curvature: float, distance: float) -> float:
        changed = replace(fitted, coefficients=(constant, slope, curvature, distance), factor=1.0)
        score = crps(error, changed.standard(y_hat, index)).mean() / typical
        return float(score + 0.5 / 5 * (slope**2 + curvature**2 + distance**2))

    least = loss(a, b, c, d)
    for step in (-0.02, 0.02):
        assert loss(a + step, b, c, d) > least
        assert loss(a, b + step, c, d) > least
        assert loss(a, b, c + step, d) > least
        assert loss(a, b, c, d + step) > least


def test_conformal_factor_by_hand() -> None:
    """Of 1..10 the tenth: ceil(0.9 * 11) = 10, for the next error may be larger than all; of 1..19 the 18th."""
    assert conformal_factor(np.arange(1.0, 11.0)) == pytest.approx(10 / STANDARD_WIDTH)
    assert conformal_factor(np.arange(1.0, 10.0)) == pytest.approx(9 / STANDARD_WIDTH)
    assert conformal_factor(np.arange(19.0, 0.0, -1.0)) == pytest.approx(18 / STANDARD_WIDTH)
    assert conformal_factor([0.0, 0.0]) > 0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 9), min_size=2, max_size=40), st.floats(0.1, 10), st.floats(0.05, 0.9))
def test_scaling_is_monotone(errors: list[float], larger: float, level: float) -> None:
    """A higher level never narrows an interval, and errors that are c times as large widen it c times."""
    factor = conformal_factor(errors, level)
    assert conformal_factor(errors, min(level + 0.1, 1.0)) >= factor
    assert conformal_factor(np.multiply(errors, larger), level) == pytest.approx(larger * factor)


def test_few_cells_that_err_unequally_widen_an_interval() -> None:
    """Mean squares 1 and 3: mean 2, variance of the mean 1, so 8 degrees of freedom and Student's t of 1.8595."""
    two = np.array([1.0, 1.0, math.sqrt(3), math.sqrt(3)]), np.array([0, 0, 7, 7])
    assert few_cells_factor(*two) == pytest.approx(1.8595 / STANDARD_WIDTH, rel=1e-4)
    # A cell of one day counts as much as one of three, by the mean square of its days.
    unequal = np.array([1.0, 1.0, 1.0, math.sqrt(3)]), np.array([0, 0, 0, 7])
    assert few_cells_factor(*unequal) == pytest.approx(1.8595 / STANDARD_WIDTH, rel=1e-4)
    assert few_cells_factor([1.0, 2.0], np.array([3, 3])) == 1.0
    assert few_cells_factor([1.0, 1.0, 1.0], np.array([1, 2, 3])) == pytest.approx(1.0, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 30), st.floats(0.1, 10))
def test_few_cells_never_narrow_an_interval_and_days_do_not_count(seed: int, cells: int, larger: float) -> None:
    g = np.random.default_rng(seed)
    error, cell = np.abs(g.normal(size=3 * cells)), np.arange(3 * cells) % cells
    factor = few_cells_factor(error, cell)
    assert factor >= 1.0
    assert few_cells_factor(np.tile(larger * error, 2), np.tile(cell, 2)) == pytest.approx(factor)


def test_coverage_is_that_of_cells_nobody_calibrated_on() -> None:
    """Of six cells, each with an error of its own size, five calibrate: nine tenths of the sixth's days are inside."""
    g = np.random.default_rng(8)
    inside = []
    for _ in range(150):
        own = np.repeat(np.exp(0.4 * g.normal(size=6)), 60)
        error, cell = 0.03 * own * g.normal(size=360), np.repeat(np.arange(6), 60)
        y_hat, index, learnt = g.uniform(0.1, 0.4, 360), np.repeat(g.uniform(0.1, 1, 6), 60), cell < 5
        fitted = fit_uncertainty("layer1", (y_hat + error)[learnt], y_hat[learnt], index[learnt], cell[learnt])
        inside.append((np.abs(error) <= STANDARD_WIDTH * fitted.standard(y_hat, index))[~learnt].mean())
    assert np.mean(inside) == pytest.approx(0.9, abs=0.03)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_uncertainty_never_falls_with_dissimilarity(seed: int) -> None:
    """Not even where the errors do."""
    g = np.random.default_rng(seed)
    y_hat, index = g.uniform(0, 0.5, 300), g.uniform(0, 1, 300)
    y = y_hat + g.normal(0, 0.05, 300) * (1.5 - index)
    fitted = fit_uncertainty("layer1", y, y_hat, index, np.arange(300))
    u = fitted.standard(0.2, np.linspace(0, 5, 200))
    assert (np.diff(u) >= 0).all()


def test_a_cell_unlike_all_training_cells_is_not_known() -> None:
    y, y_hat, index, _ = synthetic(2, 4000)
    fitted = fit_uncertainty("layer1", y, y_hat, index, np.arange(len(y)))
    inside, far, missing = fitted.standard(0.25, [index.max(), 4 * index.max(), np.nan])
    assert inside < 0.05
    assert far**2 == pytest.approx(inside**2 + 2 * y.var(), rel=1e-3)
    assert missing == pytest.approx(far, rel=1e-3)


def test_predictions_outside_the_calibrated_range_count_as_at_its_ends() -> None:
    y, y_hat, index, _ = synthetic(3, 4000)
    fitted = fit_uncertainty("layer1", y, y_hat, index, np.arange(len(y)))
    assert fitted.standard(0.9, 0.5) == fitted.standard(fitted.high, 0.5)


def test_score_equals_its_integral() -> None:
    """The integral of (F(x) - 1[x >= y])^2 for a normal F of mean 0 and standard deviation 2 at y = 1.5."""
    below = quad(lambda x: norm.cdf(x, scale=2) ** 2, -math.inf, 1.5)[0]
    above = quad(lambda x: norm.sf(x, scale=2) ** 2, 1.5, math.inf)[0]
    assert crps(1.5, 2.0) == pytest.approx(below + above)


def test_five_cells_that_do_not_differ_still_calibrate() -> None:
    g = np.random.default_rng(4)
    y_hat = np.full(50, 0.3)
    fitted = fit_uncertainty("layer1", y_hat + g.normal(0, 0.02, 50), y_hat, np.zeros(50), np.arange(50) // 10)
    assert 0.01 < float(fitted.standard(0.3, 0.0)) < 0.04


def test_nothing_to_calibrate_on_is_said() -> None:
    with pytest.raises(LearnError, match="layer2: no out-of-fold prediction"):
        fit_uncertainty("layer2", [np.nan], [0.2], [0.1], np.array([0]))


def test_kept_beside_the_ensemble(tmp_path) -> None:
    y, y_hat, index, _ = synthetic(5, 500)
    fitted = fit_uncertainty("layer1", y, y_hat, index, np.arange(len(y)))
    url = str(tmp_path / "uncertainty.json")
    write_uncertainties(url, [fitted])
    assert read_uncertainties(url) == (fitted,)
    assert isinstance(read_uncertainties(url)[0], Uncertainty)
    (tmp_path / "uncertainty.json").write_text('{"format": 0}')
    with pytest.raises(LearnError, match="train again"):
        read_uncertainties(url)


def test_what_a_cell_errs_by_throughout_makes_no_anomaly() -> None:
    """Errors of 0.04 from cell to cell and of 0.03 from window to window, days of a window alike: 3/5 are left."""
    g = np.random.default_rng(6)
    cell, day = (v.ravel() for v in np.meshgrid(np.arange(400), np.arange(300), indexing="ij"))
    error = g.normal(0, 0.04, 400)[cell] + g.normal(0, 0.03, (400, 10))[cell, day // 30]
    assert anomaly_share(error, np.full(len(cell), 0.05), cell, day, 30) == pytest.approx(0.6, abs=0.01)
    assert anomaly_share(error[day < 60], np.full((day < 60).sum(), 0.05), cell[day < 60], day[day < 60], 30) == 1.0


def test_anomaly_share_by_hand() -> None:
    """Windows of two days err by 1, 2, 6 about a mean of 3: squares 4, 1, 9 times 3 / 2 have the mean 7.

    The uncertainty of the windows is 3, 4 and 5, whose squares have the mean 50 / 3. A second cell has two windows.
    """
    error = np.array([0.0, 2, 2, 2, 6, 6, 50, 50, -50, -50])
    uncertainty = np.array([2.0, 4, 4, 4, 4, 6, 99, 99, 99, 99])
    cell, day = np.array([4] * 6 + [5] * 4), np.array([0, 1, 2, 3, 4, 5, 0, 1, 2, 3])
    assert anomaly_share(error, uncertainty, cell, day, 2) == pytest.approx(math.sqrt(7 / (50 / 3)))
    assert anomaly_share(error, uncertainty / 100, cell, day, 2) == 1.0


def test_a_member_is_calibrated_as_its_layer_is(tmp_path) -> None:
    write_uncertainties(str(tmp_path / "uncertainty.json"), [BY_HAND, replace(BY_HAND, layer="layer2", factor=2.0)])
    of_second = uncertainty_of_member(str(tmp_path / "layer2" / "member0"), "layer2")
    assert of_second is not None
    assert of_second.factor == 2.0
    assert uncertainty_of_member(str(tmp_path / "layer3" / "member0"), "layer3") is None
    assert uncertainty_of_member(str(tmp_path / "elsewhere" / "layer1" / "member0"), "layer1") is None
