import numpy as np
import pytesmo.metrics
import pytest

from somo.validate.collocation import triple_collocation


def three(seed, n=4000):
    generator = np.random.default_rng(seed)
    truth = generator.normal(0.25, 0.06, n)
    noise = (generator.normal(0, s, n) for s in (0.02, 0.03, 0.01))
    return [gain * truth + e for gain, e in zip((1.0, 0.8, 1.3), noise, strict=True)]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_equals_pytesmo(seed):
    series = three(seed)
    snr, error, _ = pytesmo.metrics.tcol_metrics(*series)
    found = triple_collocation(*series)
    assert found.r == pytest.approx(np.sqrt(1 / (1 + 10 ** (-np.array(snr) / 10))), abs=1e-10)
    assert found.error_std[0] == pytest.approx(error[0], abs=1e-10)


def test_finds_the_errors_that_were_put_in():
    found = triple_collocation(*three(0, 40_000))
    assert found.error_std == pytest.approx((0.02, 0.03, 0.01), abs=0.002)
    assert found.r[2] == pytest.approx(0.078 / np.hypot(0.078, 0.01), abs=0.005)


@pytest.mark.parametrize("reversed_one", range(3))
def test_an_estimate_that_goes_against_both_others_is_no_good_one(reversed_one):
    series = three(0)
    expected = np.array(triple_collocation(*series).r)
    expected[reversed_one] *= -1
    series[reversed_one] = 1 - series[reversed_one]
    assert triple_collocation(*series).r == pytest.approx(tuple(expected), abs=1e-10)


def test_days_that_one_lacks_are_left_out():
    x, y, z = three(3)
    x[::3], z[1::3] = np.nan, np.nan
    kept = np.isfinite(x) & np.isfinite(z)
    assert triple_collocation(x, y, z) == triple_collocation(x[kept], y[kept], z[kept])


def test_too_short_or_contradicting_series_have_no_error():
    short = triple_collocation(*three(0, 29))
    assert short.n == 29
    np.testing.assert_array_equal([short.error_std, short.r], np.full((2, 3), np.nan))
    assert np.isfinite(triple_collocation(*three(0, 30)).r).all()
    x = np.random.default_rng(0).normal(size=100)
    assert np.isnan(triple_collocation(x, -x, x + 0.01).r).any()
