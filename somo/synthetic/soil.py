"""The truth of the invented Europe: a three-layer bucket model of soil water, one step a day."""

from dataclasses import dataclass

import numpy as np

from somo.synthetic.fields import Array
from somo.synthetic.land import Land
from somo.synthetic.weather import Day

# Thickness of the layers 0-0.1, 0.1-0.3 and 0.3-0.5 m.
DEPTH_MM = np.array([100.0, 200.0, 200.0])
CONDUCTIVITY_MM_D = 14.0
EXPONENT = 4.0
EXCHANGE_MM_D = 4.0
ROOTS = np.array([0.45, 0.35, 0.20])
LATENT_HEAT_J_KG = 2.45e6
PSYCHROMETRIC_KPA_K = 0.066
PRIESTLEY_TAYLOR = 1.26


@dataclass(frozen=True, eq=False)
class Soil:
    """Water contents in m3 m-3, [layer, lat, lon], at the wilting point and at saturation."""

    wilting: Array
    saturation: Array


def make_soil(land: Land) -> Soil:
    """Linear in the texture: clay holds water back, sand has less pore space (slopes after Cosby et al. 1984)."""
    sand = np.stack([land.sand_surface, land.sand_deep, land.sand_deep])
    clay = np.stack([land.clay_surface, land.clay_deep, land.clay_deep])
    return Soil(wilting=0.02 + 0.28 * clay, saturation=0.489 - 0.126 * sand)


def start(soil: Soil) -> Array:
    """Half-filled soil, [layer, lat, lon] in m3 m-3; a year of weather makes it forget that."""
    return 0.5 * (soil.wilting + soil.saturation)


def potential_evaporation(day: Day) -> Array:
    """mm d-1 by Priestley & Taylor (1972) from net radiation and air temperature."""
    celsius = day.air_temperature - 273.15
    vapour_kpa = 0.6108 * np.exp(17.27 * celsius / (celsius + 237.3))
    slope = 4098 * vapour_kpa / (celsius + 237.3) ** 2
    share = slope / (slope + PSYCHROMETRIC_KPA_K)
    return np.clip(PRIESTLEY_TAYLOR * share * day.net_radiation * 86400 / LATENT_HEAT_J_KG, 0, None)


def step(moisture: Array, day: Day, soil: Soil, forest: Array) -> Array:
    """Soil moisture [layer, lat, lon] in m3 m-3 after a day of rain, evaporation, drainage and capillary exchange."""
    room = (soil.saturation - soil.wilting) * DEPTH_MM[:, None, None]
    water = (moisture - soil.wilting) * DEPTH_MM[:, None, None]
    wet = np.clip(water / room, 0, 1)
    # Plants take all that the air asks for until half of the water that they can reach is gone, and less from then on.
    water = water - ROOTS[:, None, None] * potential_evaporation(day) * (0.8 + 0.3 * forest) * np.clip(2 * wet, 0, 1)
    down = CONDUCTIVITY_MM_D * wet**EXPONENT
    down[:2] += EXCHANGE_MM_D * (wet[:2] - wet[1:])
    water[0] += day.precipitation
    for layer in range(3):
        # From the top down, so that water which enters a layer today may leave it today; no more than there is.
        flux = np.minimum(down[layer], np.clip(water[layer], 0, None))
        water[layer] -= flux
        if layer < 2:
            water[layer + 1] += flux
    at_end_of_day: Array = soil.wilting + np.clip(water, 0, room) / DEPTH_MM[:, None, None]
    return at_end_of_day
