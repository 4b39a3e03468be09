"""The bucket model: bounds, drying, wetting, memory; potential evaporation by hand."""

from dataclasses import replace

import numpy as np
import pytest

from somo.core.grid import Grid
from somo.synthetic.land import make_land
from somo.synthetic.soil import DEPTH_MM, make_soil, potential_evaporation, start, step
from somo.synthetic.weather import Day, Weather

GRID = Grid.regular(4, 6, 50, 52, 0.5)
LAND = make_land(GRID, "home", 0)
SOIL = make_soil(LAND)
FULL = np.ones(GRID.shape)


def day(rain: float = 0.0, kelvin: float = 293.15, sun: float = 150.0, infrared: float = -50.0) -> Day:
    return Day(kelvin * FULL, kelvin * FULL, rain * FULL, sun * FULL, infrared * FULL)


def test_potential_evaporation_by_hand() -> None:
    """20 degC: slope 0.1447 kPa/K, share 0.687; 100 W m-2 evaporate 3.527 mm d-1; times 1.26 and the share: 3.05."""
    assert potential_evaporation(day())[0, 0] == pytest.approx(3.05, abs=0.01)
    assert potential_evaporation(day(sun=0.0))[0, 0] == 0


def test_soil_stays_between_wilting_and_saturation() -> None:
    moisture = start(SOIL)
    for rain in [0.0] * 200 + [100.0] * 20:
        moisture = step(moisture, day(rain), SOIL, LAND.forest)
        assert (moisture >= SOIL.wilting - 1e-12).all() and (moisture <= SOIL.saturation + 1e-12).all()
    np.testing.assert_allclose(moisture[0], SOIL.saturation[0])


def test_soil_dries_without_rain_and_wets_with_it() -> None:
    before = start(SOIL)
    dry, wet = step(before, day(), SOIL, LAND.forest), step(before, day(20.0), SOIL, LAND.forest)
    assert (dry[0] < before[0]).all() and (wet[0] > dry[0]).all()


def test_water_is_neither_made_nor_lost_in_exchange() -> None:
    """Without sun, rain and drainage out of the bottom, exchange between equally textured layers keeps the total."""
    plain = replace(SOIL, wilting=np.full((3, *GRID.shape), 0.1), saturation=np.full((3, *GRID.shape), 0.4))
    moisture = np.stack([0.25 * FULL, 0.15 * FULL, 0.1 * FULL])
    after = step(moisture, day(sun=0.0), plain, LAND.forest)
    depth = DEPTH_MM[:, None, None]
    np.testing.assert_allclose((after * depth).sum(0), (moisture * depth).sum(0))


def test_deeper_layers_remember_longer() -> None:
    weather, moisture, record = Weather.make(GRID, LAND, "home", 0), start(SOIL), []
    for number in range(12_000, 12_500):
        moisture = step(moisture, weather.day(number), SOIL, LAND.forest)
        record.append(moisture.mean(axis=(1, 2)))
    series = np.array(record)[100:] - np.array(record)[100:].mean(0)
    lag = (series[10:] * series[:-10]).mean(0) / series.var(0)
    assert lag[0] < lag[1] < lag[2]


def test_the_first_state_is_forgotten() -> None:
    weather = Weather.make(GRID, LAND, "home", 0)
    wet, dry = SOIL.saturation, SOIL.wilting
    for number in range(12_000, 12_365):
        wet, dry = (step(m, weather.day(number), SOIL, LAND.forest) for m in (wet, dry))
    assert np.abs(wet - dry).max() < 0.01
