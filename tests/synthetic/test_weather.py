"""Invented weather: numbers worked out by hand and the order that physics asks for."""

from dataclasses import replace

import numpy as np
import pytest

from somo.core.grid import Grid
from somo.synthetic.land import make_land
from somo.synthetic.weather import LAPSE_K_PER_M, Storms, Weather, rain_of, top_of_atmosphere

GRID = Grid.regular(4, 9, 48, 53, 0.5)
LAND = make_land(GRID, "home", 0)
WEATHER = Weather.make(GRID, LAND, "home", 0)


def day_number(day: str) -> int:
    return int(np.datetime64(day, "D").astype(int))


def test_insolation_by_hand() -> None:
    """Equinox at the equator: S0 / pi (433 W m-2); polar night; at midsummer the pole gets more than the equator."""
    assert top_of_atmosphere(np.array([0.0]), day_number("2003-03-21"))[0] == pytest.approx(1361 / np.pi, rel=0.02)
    assert top_of_atmosphere(np.array([90.0]), day_number("2003-12-21"))[0] == pytest.approx(0, abs=1e-6)
    pole, equator = top_of_atmosphere(np.array([90.0, 0.0]), day_number("2003-06-21"))
    assert pole > equator > 380


def test_a_day_is_the_same_whenever_it_is_asked_for() -> None:
    first = WEATHER.day(12_345)
    WEATHER.day(1)
    again = Weather.make(GRID, LAND, "home", 0).day(12_345)
    for name in first.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))


def test_summer_is_warmer_and_has_more_radiation() -> None:
    months = {m: [WEATHER.day(day_number(f"2003-{m:02d}-01") + d) for d in range(28)] for m in (1, 7)}
    variables = ("air_temperature", "net_radiation", "skin_temperature")
    mean = {m: {v: np.mean([getattr(d, v) for d in days]) for v in variables} for m, days in months.items()}
    assert mean[7]["air_temperature"] - mean[1]["air_temperature"] > 12
    assert mean[7]["net_radiation"] > 80 > 0 > mean[1]["net_radiation"]
    assert mean[7]["skin_temperature"] > mean[7]["air_temperature"]


def test_it_is_colder_higher_up_by_the_lapse_rate() -> None:
    higher = replace(LAND, elevation=LAND.elevation + 1000)
    cold = Weather.make(GRID, higher, "home", 0)
    below, above = WEATHER.day(12_345), cold.day(12_345)
    no_rain = (below.precipitation == 0) & (above.precipitation == 0)
    np.testing.assert_allclose((below.air_temperature - above.air_temperature)[no_rain], 1000 * LAPSE_K_PER_M)


def test_rain_falls_on_some_days_in_reasonable_amounts() -> None:
    rain = np.stack([WEATHER.day(12_000 + d).precipitation for d in range(365)])
    assert rain.min() == 0 and rain.max() < 150
    assert 0.2 < (rain > 0).mean() < 0.75
    assert 300 < rain.sum(axis=0).mean() < 1500


def test_clouds_dim_the_sun_and_keep_the_ground_warm() -> None:
    days = [WEATHER.day(day_number("2003-06-01") + d) for d in range(60)]
    rain = np.stack([d.precipitation for d in days]).ravel()
    sun, infrared = (np.stack([getattr(d, v) for d in days]).ravel() for v in ("net_shortwave", "net_longwave"))
    assert np.corrcoef(rain, sun)[0, 1] < -0.3 < 0.3 < np.corrcoef(rain, infrared)[0, 1]


def test_a_storm_crosses_the_grid() -> None:
    storm = Storms(*(np.array([value]) for value in (10.0, 3.0, 50.0, 2.0, 0.0, 3.0, 0.7, 30.0)))
    centres = []
    for day in (10, 11, 12):
        rain = rain_of(storm, GRID, day)
        row, column = np.unravel_index(rain.argmax(), rain.shape)
        centres.append(GRID.lon[column])
        assert GRID.lat[row] == pytest.approx(50.0, abs=0.5)
    assert centres[0] < centres[1] < centres[2]
    assert not rain_of(storm, GRID, 9).any() and not rain_of(storm, GRID, 13).any()
