import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.learn.uncertainty import fit_uncertainty
from somo.predict.uncertainty import PackedUncertainty

FILL = np.int16(-32768)
SHAPE = (4, 6)


@pytest.fixture(scope="module")
def layers():
    g = np.random.default_rng(0)
    y_hat, index = g.uniform(0.05, 0.4, 3000), g.uniform(0.01, 1, 3000)
    noise = g.normal(size=3000) * 0.04 * np.exp(y_hat + index)
    cell = np.arange(3000)
    return [fit_uncertainty(name, y_hat + scale * noise, y_hat, index, cell) for name, scale in (("a", 1), ("b", 2))]


@pytest.fixture(scope="module")
def cells():
    index = np.random.default_rng(1).uniform(0, 3, (2, *SHAPE))
    index[:, 0, 0] = np.nan
    return index


def test_lookup_equals_the_formula(layers, cells):
    """Means inside and outside the calibrated range, cells like and unlike the training cells, one without an index."""
    fast = PackedUncertainty.of(layers, cells, 1e-4, 1e-3, FILL)
    mean = np.random.default_rng(2).integers(-200, 6000, (2, 30, 24)).astype(np.int16)
    packed = fast.packed(mean, slice(0, 4), slice(0, 6), np.ones(SHAPE, bool))
    for k, layer in enumerate(layers):
        formula = layer.standard(mean[k] * 1e-4, cells[k].ravel())
        np.testing.assert_allclose(packed[k] * 1e-3, formula, atol=5.01e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 29), st.integers(1, 5))
def test_bytes_do_not_depend_on_the_cut(layers, cells, seed, day, column):
    fast = PackedUncertainty.of(layers, cells, 1e-4, 1e-3, FILL)
    g = np.random.default_rng(seed)
    mean, land = g.integers(0, 6000, (2, 30, *SHAPE)).astype(np.int16), g.uniform(size=SHAPE) < 0.7
    whole = np.full(mean.shape, FILL)
    whole[..., land] = fast.packed(mean[..., land], slice(0, 4), slice(0, 6), land)
    for days in (slice(0, day), slice(day, 30)):
        for columns in (slice(0, column), slice(column, 6)):
            part = land[:, columns]
            values = fast.packed(mean[:, days][..., columns][..., part], slice(0, 4), columns, part)
            np.testing.assert_array_equal(values, whole[:, days][..., columns][..., part])


def test_missing_stays_missing(layers, cells):
    fast = PackedUncertainty.of(layers, cells, 1e-4, 1e-3, FILL)
    mean = np.full((2, 3, 24), 2000, np.int16)
    mean[:, 1] = FILL
    packed = fast.packed(mean, slice(0, 4), slice(0, 6), np.ones(SHAPE, bool))
    assert (packed[:, 1] == FILL).all()
    assert (packed[:, [0, 2]] > 0).all()
