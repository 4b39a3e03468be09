"""Invented daily weather: seasons, travelling waves, storms that cross the grid, and what the land adds.

Weather is a function of the day and the place, so any block of days can be made on its own.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from somo.core.grid import Grid
from somo.synthetic.fields import Array, Waves, generator
from somo.synthetic.land import Land

SOLAR_CONSTANT_W_M2 = 1361.0
LAPSE_K_PER_M = 0.0065
ALBEDO = 0.23
STEPS_PER_DAY = 4
# Rain that falls into dry air and never arrives.
DRY_MM = 0.8
DAYS_PER_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class Day:
    """Weather of one day, [lat, lon] each: K, K, mm d-1, W m-2, W m-2."""

    air_temperature: Array
    skin_temperature: Array
    precipitation: Array
    net_shortwave: Array
    net_longwave: Array

    @property
    def net_radiation(self) -> Array:
        """W m-2, downward."""
        return self.net_shortwave + self.net_longwave


@dataclass(frozen=True, eq=False)
class Storms:
    """Rain areas of one day: where they start, how fast they move (degrees per day), how wide they are, how wet."""

    start_day: Array
    life_days: Array
    lat: Array
    lon: Array
    northward: Array
    eastward: Array
    radius_deg: Array
    rate_mm_d: Array


@dataclass(frozen=True, eq=False)
class Weather:
    """The weather of one domain.

    Attributes
    ----------
    temperature, cloud, season : travelling anomalies; `season` makes one summer differ from the next
    """

    grid: Grid
    land: Land
    domain: str
    seed: int
    temperature: Waves
    cloud: Waves
    season: Waves

    @classmethod
    def make(cls, grid: Grid, land: Land, domain: str, seed: int) -> Self:
        """The weather of a domain, with its waves drawn from the seed."""
        waves = {
            "temperature": Waves.draw(generator(seed, domain, "temperature"), 6.0, 9.0),
            "cloud": Waves.draw(generator(seed, domain, "cloud"), 3.0, 5.0),
            "season": Waves.draw(generator(seed, domain, "season"), 15.0, 150.0),
        }
        return cls(grid, land, domain, seed, **waves)

    def day(self, day: int) -> Day:
        """Weather on a day, counted from 1970-01-01."""
        season = self._wave(self.season, day)
        rain = self._precipitation(day, season)
        cloud = np.clip(0.35 + 0.22 * self._wave(self.cloud, day) + 0.45 * (1 - np.exp(-rain / 4)), 0, 1)
        shortwave = (1 - ALBEDO) * (0.76 - 0.52 * cloud) * top_of_atmosphere(self.grid.lat, day)[:, None]
        longwave = -(92 - 60 * cloud) + 0 * shortwave
        air = self._air_temperature(day, season, cloud)
        noise = generator(self.seed, self.domain, "skin", day).standard_normal(self.grid.shape)
        skin = air - 1.0 + 0.025 * (shortwave + longwave) + 0.3 * noise
        return Day(air, skin, rain, shortwave, longwave)

    def _wave(self, waves: Waves, day: int) -> Array:
        return waves.at(self.grid.lat, self.grid.lon, day)

    def _air_temperature(self, day: int, season: Array, cloud: Array) -> Array:
        # Thirty years from 1970, where days are counted from, lead to 2000-01-01; day 200 of a year is the warmest.
        phase = np.cos(2 * np.pi * (day - DAYS_PER_YEAR * 30 - 200) / DAYS_PER_YEAR)
        at_sea_level = 284.5 - 0.65 * (self.grid.lat[:, None] - 47) + (9.5 - 2.5 * (cloud - 0.4)) * phase
        synoptic = 3.2 * self._wave(self.temperature, day) + 1.2 * season
        kelvin: Array = at_sea_level + synoptic - LAPSE_K_PER_M * self.land.elevation
        return kelvin

    def _precipitation(self, day: int, season: Array) -> Array:
        rain = np.zeros(self.grid.shape)
        # Fronts begin at any hour of their day and live for up to three and a half days: some are there on the fifth.
        for first in range(day - 4, day + 1):
            rain += rain_of(storms_of(first, self.grid, self.domain, self.seed), self.grid, day)
        uplift = 1 + 0.5 * np.tanh(self.land.elevation / 1200)
        # A mean of exp(-0.045 + 0.3 squared / 2) = 1: scatter moves rain from cell to cell and makes none.
        scatter = generator(self.seed, self.domain, "showers", day).lognormal(-0.045, 0.3, self.grid.shape)
        wetness = np.clip(1 - 0.35 * season, 0.2, 2)
        return np.clip(rain * uplift * scatter * wetness - DRY_MM, 0, 150)


@lru_cache(maxsize=16)
def storms_of(day: int, grid: Grid, domain: str, seed: int) -> Storms:
    """Fronts (wide, fast, mostly in winter) and showers (small, short, in summer) that start on a day."""
    rng = generator(seed, domain, "storms", day)
    warm = 0.5 + 0.5 * np.cos(2 * np.pi * (day - DAYS_PER_YEAR * 30 - 200) / DAYS_PER_YEAR)
    fronts = _draw(rng, grid, 0.0032 * (1.25 - 0.5 * warm), margin_deg=9, radius=(1.6, 3.2), speed=8.0, life=(1.0, 3.5),
                   rate_mm_d=9.0, day=day)  # fmt: skip
    showers = _draw(rng, grid, 0.07 * warm**2, margin_deg=1.5, radius=(0.35, 0.8), speed=2.0, life=(0.2, 0.5),
                    rate_mm_d=30.0, day=day)  # fmt: skip
    return Storms(*(np.concatenate([getattr(s, f) for s in (fronts, showers)]) for f in Storms.__dataclass_fields__))


def _draw(
    rng: np.random.Generator,
    grid: Grid,
    per_square_degree: float,
    margin_deg: float,
    radius: tuple[float, float],
    speed: float,
    life: tuple[float, float],
    rate_mm_d: float,
    day: int,
) -> Storms:
    south, north = grid.lat.min() - margin_deg, grid.lat.max() + margin_deg
    # Twice the margin in the west, where storms come from.
    west, east = grid.lon.min() - 2 * margin_deg, grid.lon.max() + margin_deg
    n = rng.poisson(per_square_degree * (north - south) * (east - west))
    return Storms(
        start_day=day + rng.uniform(0, 1, n),
        life_days=rng.uniform(*life, n),
        lat=rng.uniform(south, north, n),
        lon=rng.uniform(west, east, n),
        northward=rng.normal(0, 0.25 * speed, n),
        eastward=rng.normal(speed, 0.3 * speed, n),
        radius_deg=rng.uniform(*radius, n),
        rate_mm_d=rate_mm_d * rng.lognormal(-0.2, 0.6, n),
    )


def rain_of(storms: Storms, grid: Grid, day: int) -> Array:
    """[lat, lon] rain in mm that storms leave on a day: the Gaussian footprints they have at a few moments of it."""
    moment = day + (np.arange(STEPS_PER_DAY) + 0.5)[:, None] / STEPS_PER_DAY
    age = moment - storms.start_day
    when, storm = np.nonzero((age >= 0) & (age < storms.life_days))
    age, radius = age[when, storm], storms.radius_deg[storm, None]
    lat = storms.lat[storm] + storms.northward[storm] * age
    lon = storms.lon[storm] + storms.eastward[storm] * age
    strength = storms.rate_mm_d[storm] * np.sin(np.pi * age / storms.life_days[storm]) / STEPS_PER_DAY
    north = np.exp(-0.5 * ((grid.lat - lat[:, None]) / radius) ** 2)
    east = np.exp(-0.5 * ((grid.lon - lon[:, None]) / radius) ** 2)
    return (strength[:, None] * north).T @ east


def top_of_atmosphere(lat: Array, day: int) -> Array:
    """[n_lat] daily mean insolation in W m-2 on a horizontal plane outside the atmosphere (Liou 2002, eq. 2.2.21)."""
    angle = 2 * np.pi * ((day - DAYS_PER_YEAR * 30) % DAYS_PER_YEAR) / DAYS_PER_YEAR
    declination = np.radians(23.44) * np.sin(angle - np.radians(79.5))
    distance = 1 + 0.033 * np.cos(angle)
    phi = np.radians(lat)
    # In polar day and night the sun does not rise or set, and the arccosine has no value.
    half_day = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    vertical = half_day * np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.sin(half_day)
    daily_mean: Array = SOLAR_CONSTANT_W_M2 / np.pi * distance * vertical
    return daily_mean
