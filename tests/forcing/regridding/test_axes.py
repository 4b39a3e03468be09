"""Regridding beside a plain loop over cells: coasts, the antimeridian, poles, and any cut of the work."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.core.grid import Grid
from somo.forcing.regridding.axes import (
    OutsideSourceError,
    bilinear_weights,
    mean_weights,
    nearest_weights,
    weigh,
)
from somo.forcing.regridding.placing import Rectilinear, runs_of
from somo.forcing.statics.overlaps import overlaps

EUROPE = Grid.regular(-10, 20, 40, 60, 2.5)
PACIFIC = Grid(np.array([61.0, 60.0]), np.array([178.5, 179.5, -179.5, -178.5]), 1.0)
POLAR = Grid.regular(-180, 180, 60, 90, 5)
METHODS = ["nearest", "bilinear", "mean"]


def placed(how: str, grid: Grid, lat: np.ndarray, lon: np.ndarray) -> Rectilinear:
    edges = grid.bounds()
    if how == "mean":
        return Rectilinear(mean_weights(lat, grid.lat, edges[0], None), mean_weights(lon, grid.lon, edges[1], 360.0))
    weights = nearest_weights if how == "nearest" else bilinear_weights
    return Rectilinear(weights(lat, grid.lat, None), weights(lon, grid.lon, 360.0))


def turned(lon: float) -> float:
    return (lon + 180) % 360 - 180


def plain(how: str, grid: Grid, lat: np.ndarray, lon: np.ndarray, field: np.ndarray) -> np.ndarray:
    """One cell after the other, with nothing but a loop over all nodes."""
    result = np.full(grid.shape, np.nan)
    for row, column in np.ndindex(grid.shape):
        total = share = 0.0
        best = np.inf
        for (i, y), (j, x) in ((a, b) for a in enumerate(lat) for b in enumerate(lon)):
            dy, dx = y - grid.lat[row], turned(x - grid.lon[column])
            if how == "nearest":
                distance = abs(dy) + abs(dx)
                if distance < best - 1e-9:
                    best, total, share = distance, field[i, j], 1.0
                continue
            if how == "bilinear":
                step_y, step_x = abs(lat[1] - lat[0]), abs(turned(lon[1] - lon[0]))
                weight = max(0.0, 1 - abs(dy) / step_y) * max(0.0, 1 - abs(dx) / step_x)
            else:
                half_y, half_x, half = abs(lat[1] - lat[0]) / 2, abs(turned(lon[1] - lon[0])) / 2, grid.step_deg / 2
                south, north = max(-half, dy - half_y), min(half, dy + half_y)
                west, east = max(-half, dx - half_x), min(half, dx + half_x)
                if north <= south or east <= west:
                    continue
                south, north = (np.clip(grid.lat[row] + edge, -90, 90) for edge in (south, north))
                weight = (np.sin(np.radians(north)) - np.sin(np.radians(south))) * (east - west)
            if weight > 0 and np.isfinite(field[i, j]):
                total, share = total + weight * field[i, j], share + weight
        result[row, column] = total / share if share > 0 else np.nan
    return result


def coast(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = rng.uniform(270, 300, shape).astype("float32")
    field[rng.random(shape) < 0.3] = np.nan
    return field


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize(
    ("grid", "lat", "lon"),
    [
        (EUROPE, np.arange(38.0, 63.0, 1.0), np.arange(-12.0, 23.0, 1.0)),
        (EUROPE, np.arange(62.3, 37.0, -0.8), np.arange(347.0, 384.0, 1.3) % 360),
        (PACIFIC, np.arange(59.0, 63.0, 0.6), np.arange(177.0, 183.5, 0.7)),
        (PACIFIC, np.arange(59.0, 63.0, 0.6), np.arange(0.0, 360.0, 7.5) / 10 + 150),
        (POLAR, np.arange(90.0, 54.0, -2.5), np.arange(0.0, 360.0, 2.5)),
    ],
)
def test_regridding_equals_a_plain_loop(how, grid, lat, lon):
    field = coast((len(lat), len(lon)))
    placing = placed(how, grid, lat, lon)
    everything = slice(0, grid.shape[0]), slice(0, grid.shape[1])
    window = placing.window(*everything)
    nodes = np.concatenate([field[window.rows, run] for run in window.columns], axis=1)
    np.testing.assert_allclose(placing.apply(nodes, *everything), plain(how, grid, lat, lon, field), rtol=1e-6)


def test_bilinear_between_four_nodes_by_hand():
    """Half a cell off: the mean of the four; with one at sea: of the three."""
    rows = bilinear_weights(np.array([50.9, 50.8]), np.array([50.85]), None)
    columns = bilinear_weights(np.array([11.0, 11.1]), np.array([11.05]), 360.0)
    assert weigh(np.array([[1.0, 2.0], [3.0, 6.0]]), rows, columns)[0, 0] == pytest.approx(3.0)
    assert weigh(np.array([[1.0, 2.0], [3.0, np.nan]]), rows, columns)[0, 0] == pytest.approx(2.0)
    assert np.isnan(weigh(np.full((2, 2), np.nan), rows, columns)[0, 0])


def test_mean_weighs_by_area_by_hand():
    """A cell from 0 to 60 N: sin 30 = 0.5 of its area lies below 30 N, sin 60 - sin 30 = 0.3660 above."""
    rows = mean_weights(np.array([15.0, 45.0]), np.array([30.0]), np.array([[0.0, 60.0]]), None)
    np.testing.assert_allclose(rows.weight[0] * 0.8660254, [0.5, 0.3660254], rtol=1e-6)


def test_a_node_on_the_border_of_two_cells_counts_half_in_each():
    columns = mean_weights(np.array([0.0, 0.05, 0.1]), np.array([0.05]), np.array([[0.0, 0.1]]), 360.0)
    assert columns.weight[0][np.argsort(columns.index[0])] == pytest.approx([0.25, 0.5, 0.25])


def test_of_two_nodes_equally_near_the_northern_and_western_one_is_taken():
    nodes = np.array([50.9, 50.8], "float32")
    assert nearest_weights(nodes, np.array([50.85]), None).index.tolist() == [[0]]
    assert nearest_weights(nodes[::-1], np.array([50.85]), None).index.tolist() == [[1]]
    assert nearest_weights(np.array([11.0, 11.1], "float32"), np.array([11.05]), 360.0).index.tolist() == [[0]]
    assert nearest_weights(np.array([179.9, 180.0, 180.1], "float32"), np.array([-179.95]), 360.0).index[0, 0] == 1


@pytest.mark.parametrize("weights", [nearest_weights, bilinear_weights])
def test_a_cell_outside_the_source_is_named(weights):
    with pytest.raises(OutsideSourceError) as refusal:
        weights(np.array([50.9, 50.8, 50.7]), np.array([50.85, 50.65, 50.55]), None)
    assert refusal.value.index == 2


def test_the_edge_of_a_regional_source_takes_its_outermost_node():
    weights = bilinear_weights(np.array([10.0, 11.0, 12.0]), np.array([12.4]), 360.0)
    assert weights.index[0][weights.weight[0] > 0].tolist() == [2]


@given(st.sampled_from(METHODS), st.integers(0, 7), st.integers(0, 11), st.integers(1, 8), st.integers(1, 12))
def test_the_values_of_a_cell_do_not_depend_on_the_cut(how, row, column, n_rows, n_columns):
    lat, lon = np.arange(62.3, 37.0, -0.8), np.arange(347.0, 384.0, 1.3) % 360
    field = coast((len(lat), len(lon)), seed=3)
    placing = placed(how, EUROPE, lat, lon)

    def read(rows: slice, columns: slice) -> np.ndarray:
        window = placing.window(rows, columns)
        nodes = np.concatenate([field[None, window.rows, run] for run in window.columns], axis=2)
        return placing.apply(nodes, rows, columns)[0]

    part = slice(row, min(row + n_rows, 8)), slice(column, min(column + n_columns, 12))
    np.testing.assert_array_equal(read(*part), read(slice(0, 8), slice(0, 12))[part])


def test_columns_on_both_sides_of_the_files_edge_are_two_runs():
    assert runs_of(np.array([0, 1, 2, 3500, 3501])) == (slice(0, 3), slice(3500, 3502))
    assert runs_of(np.array([4, 5, 8])) == (slice(4, 9),)


@pytest.mark.parametrize("how", METHODS)
def test_rows_of_equal_area_lie_further_apart_in_the_north(how):
    """Rows as SMAP's, 0.09 degrees apart at 36 N and 0.22 at 71 N: nodes by latitude come out as latitudes."""
    lat = np.degrees(np.arcsin(np.linspace(1, -1, 1624, endpoint=False) - 1 / 1624))
    lat, lon = lat[(lat > 30) & (lat < 75)], np.arange(-1, 3, 0.5)
    grid = Grid.regular(0, 1, 36, 71.5, 0.5)
    placing = placed(how, grid, lat, lon)
    window = placing.window(slice(0, 71), slice(0, 2))
    nodes = np.broadcast_to(lat[window.rows, None], (len(lat[window.rows]), window.width)).astype("f4")
    values = placing.apply(nodes[None], slice(0, 71), slice(0, 2))[0, :, 0]
    # the nearest row is at most half of 0.22 degrees away; a mean by area leans to the south by far less
    np.testing.assert_allclose(values, grid.lat, atol=1e-4 if how == "bilinear" else 0.11)


def test_a_meridian_that_a_file_repeats_counts_once():
    """Global files may end with the meridian that they begin with."""
    lon = np.linspace(0, 360, 1441)
    weights = mean_weights(lon, np.array([0.5]), np.array([[0.0, 1.0]]), 360.0)
    shares = dict(zip(weights.index[0].tolist(), weights.weight[0].tolist(), strict=True))
    assert {node: share for node, share in shares.items() if share} == pytest.approx(
        {0: 0.125, 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.125}
    )
    ranks, _ = overlaps(lon, np.array([[0.0, 1.0]]), 360.0)
    assert sum(float(rank.share.sum()) for rank in ranks) == pytest.approx(4.0)
