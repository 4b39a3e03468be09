import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.core.grid import distance_km
from somo.learn import LearnError
from somo.learn.folds import hold_back, neighbour_groups, require_apart, require_outside, spatial_folds, temporal_split

LAYOUTS = st.lists(st.tuples(st.floats(36, 72), st.floats(-12, 45)), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(LAYOUTS, st.integers(2, 6), st.sampled_from([0.0, 5.0, 50.0, 300.0]), st.integers(0, 9))
def test_no_two_cells_closer_than_the_distance_are_split(places, n_folds, distance, seed):
    lat, lon = np.array(places).T
    if neighbour_groups(lat, lon, distance).max() + 1 < n_folds:
        with pytest.raises(LearnError, match="too few for"):
            spatial_folds(lat, lon, n_folds, distance, seed)
        return
    folds = spatial_folds(lat, lon, n_folds, distance, seed)
    assert set(folds) == set(range(n_folds))
    apart = distance_km(lat[:, None], lon[:, None], lat, lon)
    split = folds[:, None] != folds
    assert not (split & (apart < distance)).any()
    assert not (split & (apart == 0)).any()


@settings(max_examples=40, deadline=None)
@given(LAYOUTS, st.sampled_from([0.0, 40.0]), st.floats(0.05, 0.9), st.integers(0, 9))
def test_cells_held_back_keep_the_distance_too(places, distance, share, seed):
    lat, lon = np.array(places).T
    held = hold_back(lat, lon, share, distance, seed)
    require_apart(lat, lon, held.astype(int), distance)
    assert not held.all()


def test_folds_are_even_and_repeat():
    lat, lon = np.linspace(40, 60, 23), np.zeros(23)
    folds = spatial_folds(lat, lon, 5, seed=3)
    assert sorted(np.bincount(folds)) == [4, 4, 5, 5, 5]
    assert np.array_equal(folds, spatial_folds(lat, lon, 5, seed=3))
    assert not np.array_equal(folds, spatial_folds(lat, lon, 5, seed=4))


def test_neighbours_are_joined_through_others():
    """Three cells in a row 11 km apart are one group at 12 km, three at 11."""
    lat, lon = np.array([50.0, 50.1, 50.2]), np.zeros(3)
    assert neighbour_groups(lat, lon, 12.0).tolist() == [0, 0, 0]
    assert len(set(neighbour_groups(lat, lon, 11.0))) == 3


def test_a_leak_is_named():
    with pytest.raises(LearnError, match=r"50 N 0 E \(fold 0\) and 50.1 N 0 E \(fold 1\) are 11.1 km apart"):
        require_apart(np.array([50.0, 50.1]), np.zeros(2), np.array([0, 1]), 20.0)


@pytest.mark.parametrize(
    ("folds", "words"),
    [([2, 2], "deep: all 2 training cells lie in fold 2"), ([0], "deep: its only training cell lies in fold 0")],
)
def test_a_layer_in_one_fold_is_refused(folds, words):
    require_outside("deep", np.array([0, 2]), 25.0)
    with pytest.raises(LearnError, match=rf"{words}.*lower training.fold_distance_km \(25\)"):
        require_outside("deep", np.array(folds), 25.0)


def test_one_cell_holds_nothing_back():
    assert not hold_back(np.array([50.0]), np.array([5.0]), 0.5, 0.0, 0).any()


@pytest.mark.parametrize("seed", range(6))
def test_a_dense_network_is_not_held_back_as_a_whole(seed):
    """Ten of twelve cells are neighbours: held back, they would leave two cells to learn from."""
    lat = np.concatenate([50 + 0.05 * np.arange(10), [60.0, 65.0]])
    assert hold_back(lat, np.zeros(12), 0.1, 25.0, seed).sum() == 1
    pair_and_network = np.concatenate([[40.0, 40.05, 40.1], lat[:10]])
    assert hold_back(pair_and_network, np.zeros(13), 0.1, 25.0, seed).sum() == 3


def test_temporal_split_holds_back_the_end():
    assert np.flatnonzero(temporal_split(10, 2, 0.25)).tolist() == [8, 9]
    # The share is one of the days that can be predicted: 50 of 100, not of all 120.
    assert temporal_split(120, 20, 0.5).sum() == 50


def test_largest_groups_come_first():
    """Groups of 4, 1, 1, 1 and 1 cells in two folds: 4 and 4, which any other order may miss."""
    lat = np.array([50.0, 50.01, 50.02, 50.03, 20, 30, 40, 60])
    for seed in range(8):
        assert sorted(np.bincount(spatial_folds(lat, np.zeros(8), 2, 5.0, seed))) == [4, 4]


def test_at_most_twice_the_wanted_cells_are_held_back():
    """Two of twenty cells are wanted: groups of five are passed over, groups of one and of three are not."""
    lat = np.concatenate([10 + 0.01 * np.arange(5), 20 + 0.01 * np.arange(5), 30 + 0.01 * np.arange(5)])
    lat = np.concatenate([lat, 40 + 0.01 * np.arange(3), [50, 60]])
    assert {int(hold_back(lat, np.zeros(20), 0.1, 5.0, seed).sum()) for seed in range(20)} <= {2, 3, 4}
