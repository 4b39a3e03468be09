"""A small invented Europe, written as its producers would: forcing, static files, a reference model, in-situ archives.

Everything follows from the seed. Weather and soil are made block by block of days, so any size fits into memory.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.synthetic.archive import Format, Seen, Station, place_stations, write_archive
from somo.synthetic.fields import Array, Waves, generator
from somo.synthetic.files import (
    AIR,
    LONGWAVE,
    RAIN,
    SHORTWAVE,
    SKIN,
    SOIL_WATER,
    Packed,
    YearFile,
    write_static,
    year_file,
)
from somo.synthetic.land import FEATURES, Land, make_land
from somo.synthetic.soil import make_soil, start, step
from somo.synthetic.weather import Day, Weather

SECONDS = 86400.0
# Values of one variable that are kept before they are written: 16 MB in single precision.
BLOCK_VALUES = 4_000_000
SPINUP_DAYS = 365
# Rows and columns of the real product at 0.1 degrees.
FULL_SIZE = (355, 570)
ACCUMULATED = (RAIN, SHORTWAVE, LONGWAVE)
FORCING = (AIR, SKIN, *ACCUMULATED)


@dataclass(frozen=True, eq=False)
class Domain:
    """One invented region; `east` writes longitudes as 0..360."""

    name: str
    grid: Grid
    stations: int
    east: bool


def domains_of(size: tuple[int, int], stations: int) -> tuple[Domain, Domain]:
    """Europe in `size` rows and columns and a smaller US that lends stations; 0.1 degrees when full, else 0.5."""
    if size == FULL_SIZE:
        europe, step_deg = Grid.regular(-12, 45, 36, 71.5, 0.1), 0.1
    else:
        step_deg = 0.5
        europe = Grid.regular(4, 4 + size[1] * step_deg, 54 - size[0] * step_deg, 54, step_deg)
    n_lat, n_lon = (max(6, min(60, n // 2)) for n in size)
    us = Grid.regular(-104, -104 + n_lon * step_deg, 46 - n_lat * step_deg, 46, step_deg)
    return Domain("home", europe, stations, False), Domain("us", us, max(stations // 3, 1), True)


def write_europe(
    root: str,
    size: tuple[int, int] = (20, 20),
    years: tuple[int, int] = (2003, 2005),
    seed: int = 0,
    stations: int = 36,
    hourly: tuple[str, ...] = ("tp",),
) -> None:
    """Write the invented Europe under a URL.

    `forcing/<domain>/<variable>_<year>.nc`, `static/<domain>.nc`, `era5land/<domain>/swvl_<year>.nc`,
    `insitu/EUROPE.zip` (header + values), `insitu/US.zip` (CEOP) and, for tests of the result,
    `truth/<domain>/soil_moisture_<year>.nc`.

    Parameters
    ----------
    size : rows and columns of Europe; 355 x 570 is the real grid of 0.1 degrees
    years : first and last
    stations : in Europe; the US has a third as many
    hourly : forcing variables written hour by hour, accumulated ones since 00 UTC; the others are daily
    """
    archives: dict[str, tuple[str, Format]] = {
        "home": ("insitu/EUROPE.zip", "header+values"),
        "us": ("insitu/US.zip", "ceop"),
    }
    for domain in domains_of(size, stations):
        world = World.make(domain, seed)
        land = world.land
        features = {name: np.where(land.land, getattr(land, name), np.nan) for name in FEATURES}
        write_static(root, f"static/{domain.name}.nc", domain.grid, features, domain.east)
        placed = place_stations(domain.grid, land.land, land.elevation, domain.name, domain.stations, seed)
        histories = world.write(root, years, hourly, placed)
        path, form = archives[domain.name]
        write_archive(root, path, zip(placed, histories, strict=True), form, seed)


@dataclass(frozen=True, eq=False)
class World:
    """A domain with its land, weather and soil."""

    domain: Domain
    land: Land
    weather: Weather
    seed: int
    model_error: Waves

    @classmethod
    def make(cls, domain: Domain, seed: int) -> "World":
        """The world of a domain, all of it drawn from the seed."""
        land = make_land(domain.grid, domain.name, seed)
        weather = Weather.make(domain.grid, land, domain.name, seed)
        error = Waves.draw(generator(seed, domain.name, "model"), 4.0, 12.0)
        return cls(domain, land, weather, seed, error)

    def days(self, first: np.datetime64, last: np.datetime64) -> Iterator[tuple[np.datetime64, Day, Array]]:
        """Weather and soil moisture [layer, lat, lon], m3 m-3, of every day; a year before the first is spin-up."""
        soil = make_soil(self.land)
        moisture = start(soil)
        begin, end = (int(d.astype(np.int64)) for d in (first, last))
        for number in range(begin - SPINUP_DAYS, end + 1):
            day = self.weather.day(number)
            moisture = step(moisture, day, soil, self.land.forest)
            if number >= begin:
                yield np.datetime64(number, "D"), day, moisture

    def write(self, root: str, years: tuple[int, int], hourly: tuple[str, ...], stations: list[Station]) -> list[Seen]:
        """Write all files that change with time; returns what happened at each station."""
        cells = np.array([s.cell for s in stations], dtype=np.int64)
        day_by_day: list[tuple[np.datetime64, Array, Array]] = []
        last_totals: dict[str, Array] = {}
        days = self.days(np.datetime64(f"{years[0]}-01-01", "D"), np.datetime64(f"{years[1]}-12-31", "D"))
        for year in range(years[0], years[1] + 1):
            with YearWriter(self, root, year, hourly, last_totals) as writer:
                for time, day, moisture in days:
                    writer.add(day, moisture, time)
                    at = moisture.reshape(3, -1)[:, cells], day.air_temperature.reshape(-1)[cells]
                    day_by_day.append((time, *at))
                    if time == np.datetime64(f"{year}-12-31", "D"):
                        break
            last_totals = writer.before
        self._close_accumulations(root, years[1] + 1, hourly, last_totals)
        when = np.array([t for t, _, _ in day_by_day])
        moist, air = np.array([m for _, m, _ in day_by_day]), np.array([a for _, _, a in day_by_day])
        return [Seen(when, moist[:, :, i], air[:, i]) for i in range(len(stations))]

    def share(self, name: str, time: np.datetime64) -> Array:
        """[23, lat, lon] share of the day's total that has come by 01..23 UTC."""
        hour = np.arange(1.0, 24.0)[:, None, None]
        if name == "ssr":
            return 0.5 - 0.5 * np.cos(np.pi * np.clip((hour - 6) / 12, 0, 1))
        if name == "str":
            return hour / 24
        # Rain falls within eight hours that begin at another time in each cell.
        rng = generator(self.seed, self.domain.name, "hours", int(time.astype(np.int64)))
        return np.clip((hour - rng.uniform(0, 16, self.land.land.shape)) / 8, 0, 1)

    def model(self, moisture: Array, time: np.datetime64) -> Array:
        """[4, lat, lon] a reference model's soil water at 0-7, 7-28, 28-100 and 100-289 cm, with errors of its own."""
        grid = self.domain.grid
        error = 0.012 * self.model_error.at(grid.lat, grid.lon, float(time.astype(np.int64)))
        top, middle, deep = moisture
        layers = np.stack([top, (3 * top + 18 * middle) / 21, (2 * middle + 70 * deep) / 72, deep])
        return 0.02 + 0.9 * layers + error

    def _close_accumulations(self, root: str, year: int, hourly: tuple[str, ...], before: dict[str, Array]) -> None:
        """Write the first step of the following year, which holds the total of the last day."""
        hours = np.array([f"{year}-01-01T00"], "M8[h]")
        for variable in ACCUMULATED:
            if variable.name in hourly:
                path = f"forcing/{self.domain.name}/{variable.name}_{year}.nc"
                with year_file(root, path, self.domain.grid, hours, (variable,), self.domain.east) as file:
                    file.append(variable, before[variable.name][None])


class YearWriter:
    """The files of one year, filled block by block of days."""

    def __init__(self, world: World, root: str, year: int, hourly: tuple[str, ...], before: dict[str, Array]) -> None:
        self.world, self.root, self.year, self.hourly = world, root, year, hourly
        self.before = before
        self._stack = ExitStack()
        self._files: dict[str, YearFile] = {}
        self._blocks: dict[str, list[NDArray[np.float32]]] = {}

    def __enter__(self) -> "YearWriter":
        days = np.arange(f"{self.year}-01-01", f"{self.year + 1}-01-01", dtype="M8[D]").astype("M8[h]")
        hours = np.arange(f"{self.year}-01-01T00", f"{self.year + 1}-01-01T00", dtype="M8[h]")
        name = self.world.domain.name
        for variable in FORCING:
            stamps = hours if variable.name in self.hourly else days
            self._open(f"forcing/{name}/{variable.name}_{self.year}.nc", stamps, (variable,))
        self._open(f"era5land/{name}/swvl_{self.year}.nc", days, SOIL_WATER)
        self._open(f"truth/{name}/soil_moisture_{self.year}.nc", days, ("layer1", "layer2", "layer3"))
        return self

    def _open(self, path: str, stamps: NDArray[np.datetime64], variables: tuple[Packed | str, ...]) -> None:
        domain = self.world.domain
        file = self._stack.enter_context(year_file(self.root, path, domain.grid, stamps, variables, domain.east))
        for variable in variables:
            self._files[variable if isinstance(variable, str) else variable.name] = file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # After an error nothing of the year appears: files that are not finished are not put in place.
        if kind is None:
            self._flush()
        self._stack.__exit__(kind, error, traceback)

    def add(self, day: Day, moisture: Array, time: np.datetime64) -> None:
        """One day more of everything."""
        totals = {
            RAIN: day.precipitation / 1000,
            SHORTWAVE: day.net_shortwave * SECONDS,
            LONGWAVE: day.net_longwave * SECONDS,
        }
        for variable, values in ((AIR, day.air_temperature), (SKIN, day.skin_temperature)):
            hourly = variable.name in self.hourly
            self._keep(variable.name, values + diurnal() if hourly else values[None])
        for variable, total in totals.items():
            self._keep(variable.name, self._accumulated(variable.name, total, time))
        for layer in range(3):
            self._keep(f"layer{layer + 1}", moisture[layer][None])
        for variable, water in zip(SOIL_WATER, self.world.model(moisture, time), strict=True):
            self._keep(variable.name, water[None])
        if sum(len(b) for b in self._blocks["t2m"]) * moisture[0].size >= BLOCK_VALUES:
            self._flush()

    def _accumulated(self, name: str, total: Array, time: np.datetime64) -> Array:
        """Daily total, or what has come since 00 UTC, hourly; 00 UTC itself holds the total of the day before."""
        if name not in self.hourly:
            return total[None]
        yesterday = self.before.get(name, np.zeros_like(total))
        self.before = {**self.before, name: np.where(self.world.land.land, total, np.nan)}
        return np.concatenate([yesterday[None], total * self.world.share(name, time)])

    def _keep(self, name: str, values: Array) -> None:
        sea = ~self.world.land.land
        self._blocks.setdefault(name, []).append(np.where(sea, np.nan, values).astype(np.float32))

    def _flush(self) -> None:
        variables = {v.name: v for v in (*FORCING, *SOIL_WATER)}
        for name, blocks in self._blocks.items():
            self._files[name].append(variables.get(name, name), np.concatenate(blocks))
        self._blocks = {}


def diurnal() -> Array:
    """[24, 1, 1] K, mean 0: warmest at 15 UTC."""
    return 4.0 * np.cos(2 * np.pi * (np.arange(24.0) - 15) / 24)[:, None, None]
