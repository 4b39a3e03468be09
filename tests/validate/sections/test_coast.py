import numpy as np
import pytest

from somo.validate.sections.coast import coast_lines, encode


def test_coast_of_europe_is_there_and_near():
    lines = coast_lines(-12, 45, 36, 71.5)
    points = lines[np.isfinite(lines[:, 0])]
    assert len(points) > 5000
    assert points[:, 0].min() >= -13 and points[:, 0].max() <= 46
    dublin = np.hypot(points[:, 0] + 6.2, points[:, 1] - 53.3).min()
    assert dublin < 0.2
    assert np.hypot(points[:, 0] - 15.0, points[:, 1] - 50.0).min() > 3


def test_longitudes_to_360():
    lines = coast_lines(230, 300, 25, 50)
    assert np.nanmin(lines[:, 0]) >= 229
    assert np.isfinite(lines).any()


@pytest.mark.parametrize("box", [(-180, 180, -60, 80), (0, 360, -60, 80), (350, 370, 36, 60), (170, 190, -50, 70)])
def test_no_line_crosses_a_map_wherever_its_longitudes_begin(box):
    lines = coast_lines(*box)
    assert np.nanmax(np.abs(np.diff(lines[:, 0]))) < 30


def test_both_sides_of_greenwich_have_their_coast_on_a_map_counted_from_0():
    """Dublin and the Hook of Holland on a map that runs on beyond 360; all of Africa on one of the whole Earth."""
    lines = coast_lines(350, 370, 36, 60)
    for lon, lat in ((353.8, 53.3), (364.1, 52.0)):
        assert np.nanmin(np.hypot(lines[:, 0] - lon, lines[:, 1] - lat)) < 0.2
    whole = coast_lines(0, 360, -60, 80)
    for lon, lat in ((342.5, 14.7), (31.0, -29.9)):
        assert np.nanmin(np.hypot(whole[:, 0] - lon, whole[:, 1] - lat)) < 0.2


def test_rings_of_a_topology():
    topology = {
        "transform": {"scale": [0.5, 0.5], "translate": [10.0, 50.0]},
        "arcs": [[[0, 0], [2, 0], [0, 2], [-2, -2]], [[4, 4], [0, 0]]],
    }
    made = encode(topology)
    assert made["hundredths"].tolist() == [[1000, 5000], [1100, 5000], [1100, 5100], [1000, 5000]]
    assert made["starts"].tolist() == [0]
