import numpy as np

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


def test_rings_of_a_topology():
    topology = {
        "transform": {"scale": [0.5, 0.5], "translate": [10.0, 50.0]},
        "arcs": [[[0, 0], [2, 0], [0, 2], [-2, -2]], [[4, 4], [0, 0]]],
    }
    made = encode(topology)
    assert made["hundredths"].tolist() == [[1000, 5000], [1100, 5000], [1100, 5100], [1000, 5000]]
    assert made["starts"].tolist() == [0]
