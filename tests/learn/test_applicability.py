import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.learn import LearnError
from somo.learn.applicability import dissimilarity_between_folds, fit_applicability

FOUR = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])


def test_index_by_hand():
    """Mean 1, std 1: the cells are the corners (+-1, +-1), at mean distance (4 * 2 + 2 * sqrt 8) / 6.

    The feature (1, 1) lies at the centre, sqrt 2 from each corner; (4, 2) at (3, 1), 2 from the corner (1, 1).
    """
    area = fit_applicability(("a", "b"), FOUR, np.ones(2), np.array([0, 1, 0, 1]))
    mean_distance = (4 * 2 + 2 * np.sqrt(8)) / 6
    assert area.mean_distance == pytest.approx(mean_distance)
    index = area.dissimilarity(np.array([[1.0, 1.0], [4.0, 2.0], [2.0, 2.0]]))
    assert index == pytest.approx([np.sqrt(2) / mean_distance, 2 / mean_distance, 0.0])


def test_threshold_leaves_outliers_out():
    """At 0..5 and 50 in alternating folds: the nearest of another fold is 1 away, for the outlier 45."""
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 50.0])[:, None]
    area = fit_applicability(("a",), x, np.ones(1), np.array([0, 1, 0, 1, 0, 1, 0]))
    assert area.threshold == pytest.approx(1 / (area.mean_distance * area.std[0]))
    assert area.inside(np.array([[5.9], [7.0], [np.nan]])).tolist() == [True, False, False]


def test_whisker_by_hand():
    """To another fold it is 1, 1, 3, 3, 3, 3, 4, 5: quartiles 2.5 and 3.25, so that beyond 4.375 a distance is odd."""
    x = np.array([0.0, 1, 4, 7, 10, 13, 17, 22])
    folds = np.arange(8) % 2
    assert dissimilarity_between_folds(x[:, None], folds) == pytest.approx([1, 1, 3, 3, 3, 3, 4, 5])
    area = fit_applicability(("a",), x[:, None], np.ones(1), folds)
    assert area.threshold * area.mean_distance * area.std[0] == pytest.approx(4)
    assert area.inside(np.array([[26.0], [26.1], [25.9]])).tolist() == [True, False, True]


def test_importance_below_zero_counts_as_none_and_none_at_all_as_equal():
    folds = np.array([0, 1, 0, 1])
    below_zero = fit_applicability(("a", "b"), FOUR, np.array([1.0, -0.5]), folds)
    assert below_zero.weights.tolist() == [1, 0]
    nothing = fit_applicability(("a", "b"), FOUR, np.zeros(2), folds)
    assert nothing.weights.tolist() == [1, 1]


def test_one_fold_has_no_other():
    with pytest.raises(LearnError, match="4 training cells in 1 folds"):
        fit_applicability(("a", "b"), FOUR, np.ones(2), np.zeros(4, int))


def test_a_feature_without_importance_does_not_count():
    area = fit_applicability(("a", "b"), FOUR, np.array([1.0, 0.0]), np.array([0, 1, 0, 1]))
    assert area.dissimilarity(np.array([[0.0, 99.0]])) == pytest.approx([0.0])


@settings(max_examples=40, deadline=None)
@given(st.integers(4, 30), st.integers(1, 4), st.integers(0, 999))
def test_training_cells_are_inside_and_scale_does_not_matter(n, n_features, seed):
    g = np.random.default_rng(seed)
    x, folds, weights = g.normal(size=(n, n_features)), np.arange(n) % 3, g.uniform(0.1, 1, n_features)
    names = tuple("abcd"[:n_features])
    area = fit_applicability(names, x, weights, folds)
    assert area.dissimilarity(x) == pytest.approx(np.zeros(n), abs=1e-9)
    assert area.inside(x).all()
    other = fit_applicability(names, x * 100 + 7, weights * 5, folds)
    new = g.normal(size=(5, n_features)) * 3
    assert other.dissimilarity(new * 100 + 7) == pytest.approx(area.dissimilarity(new))


def test_units_do_not_matter():
    """The same corners where the second feature is a permeability in m2."""
    units = np.array([1.0, 1e-13])
    area = fit_applicability(("a", "b"), FOUR * units, np.ones(2), np.array([0, 1, 0, 1]))
    assert area.std == pytest.approx(units)
    assert area.mean_distance == pytest.approx((4 * 2 + 2 * np.sqrt(8)) / 6)


def test_distance_is_to_another_fold():
    cells = np.array([[0.0], [1.0], [5.0]])
    assert dissimilarity_between_folds(cells, np.array([0, 0, 1])).tolist() == [5.0, 4.0, 4.0]


@pytest.mark.parametrize("cells", [FOUR[:1], np.zeros((4, 2))])
def test_cells_that_do_not_differ_are_refused(cells):
    with pytest.raises(LearnError, match="they have no distance"):
        fit_applicability(("a", "b"), cells, np.ones(2), np.arange(len(cells)) % 2)
