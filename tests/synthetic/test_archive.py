"""Invented stations: what their sensors see, what is flagged, and that our own reader understands the files."""

import numpy as np
import pytest

from somo.core.grid import Grid
from somo.synthetic.archive import NETWORKS, Seen, Station, observe, place_stations

DAYS = np.arange("2003-01-01", "2005-01-01", dtype="M8[D]")
SEASON = np.cos(2 * np.pi * np.arange(len(DAYS)) / 365)
SEEN = Seen(DAYS, 0.25 + 0.05 * np.stack([SEASON, 0.8 * SEASON, 0.6 * SEASON], 1), 283 - 13 * SEASON)
NETWORK = NETWORKS["home"][0]


def station(**changes) -> Station:
    return Station(
        **(
            {"network": NETWORK, "name": "S", "latitude": 50.0, "longitude": 10.0, "elevation": 1.0, "cell": 3}
            | changes
        )
    )


def test_stations_stand_in_their_land_cells() -> None:
    grid = Grid.regular(0, 5, 50, 55, 0.5)
    land = np.arange(grid.size).reshape(grid.shape) % 3 > 0
    stations = place_stations(grid, land, np.zeros(grid.shape), "home", 20, seed=1)
    usable = [s for s in stations if not s.fault]
    assert len(usable) == 20 and len({s.cell for s in usable}) == 20
    assert {s.network.name for s in usable} == {n.name for n in NETWORKS["home"]}
    for s in usable:
        assert grid.nearest(s.latitude, s.longitude)[0] == s.cell and land.flat[s.cell]
    assert {s.fault for s in stations} == {"", "flagged", "short", "outside"}


def test_a_sensor_sees_its_layer_with_gain_offset_and_noise() -> None:
    time, value, flag = observe(station(), SEEN, (0.4, 0.4), seed=1)
    good = flag == "G"
    day = (time[good].astype("M8[D]") - DAYS[0]).astype(int)
    # A station wanders from its cell by half of the cell's spread: 0.89 at best, and less by its noise.
    assert np.corrcoef(value[good], SEEN.moisture[day, 2])[0, 1] > 0.8
    again = observe(station(), SEEN, (0.4, 0.4), seed=1)[1]
    np.testing.assert_array_equal(value, again)
    assert not np.array_equal(value[:50], observe(station(), SEEN, (0.4, 0.4), seed=2)[1][:50])


def test_frost_spikes_and_impossible_values_are_flagged_and_hours_missing() -> None:
    time, value, flag = observe(station(), SEEN, (0.05, 0.05), seed=1)
    assert set(flag) == {"G", "D01,D02", "D06", "C01"}
    cold = SEEN.air_temperature[(time.astype("M8[D]") - DAYS[0]).astype(int)] < 271.5
    assert (flag[cold] != "G").all() and (value[flag == "G"] > 0).all()
    assert 0.6 < len(time) / (8 * len(DAYS)) < 0.995 and (np.diff(time) > np.timedelta64(0, "s")).all()


@pytest.mark.parametrize(("fault", "days"), [("short", 60), ("flagged", len(DAYS))])
def test_faulty_stations(fault: str, days: int) -> None:
    time, _, flag = observe(station(fault=fault), SEEN, (0.05, 0.05), seed=1)
    assert len(np.unique(time.astype("M8[D]"))) <= days
    assert ("G" in flag) == (fault == "short")
