"""An invented ISMN archive: stations of several networks that see the invented soil through their own errors."""

import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from somo.core.grid import Grid
from somo.storage.objects import join, put_file
from somo.synthetic.fields import Array, generator

Format = Literal["header+values", "ceop"]
# Eight values a day, of which a daily mean needs six.
EVERY_HOURS = 3
NOISE = 0.006


@dataclass(frozen=True)
class Network:
    """A network: its name, the depth intervals (m) of each of its stations and its instrument."""

    name: str
    depths: tuple[tuple[float, float], ...]
    instrument: str


@dataclass(frozen=True)
class Station:
    """A station in a cell; one with a `fault` has to be dropped by whoever reads the archive."""

    network: Network
    name: str
    latitude: float
    longitude: float
    elevation: float
    cell: int
    fault: Literal["", "flagged", "short", "outside"] = ""


@dataclass(frozen=True, eq=False)
class Seen:
    """What happened at a station: [day] datetime64[D], [day, layer] soil moisture m3 m-3, [day] air temperature K."""

    day: NDArray[np.datetime64]
    moisture: Array
    air_temperature: Array


NETWORKS: dict[str, tuple[Network, ...]] = {
    "home": (
        Network("ALPENNET", ((0.05, 0.05), (0.20, 0.20), (0.40, 0.40)), "ThetaProbe-ML2X"),
        Network("BALTIC", ((0.0, 0.1), (0.1, 0.3), (0.3, 0.5)), "CS616"),
        # Has sensors on the borders of layers, which belong to the layer above, and one below all layers.
        Network("CARPATHIA", ((0.05, 0.05), (0.10, 0.10), (0.20, 0.20), (0.50, 0.50), (1.00, 1.00)), "5TM"),
    ),
    "us": (
        # Placed in inches, as the sensors of SCAN and SNOTEL are: 20 of them are 0.508 m and belong to the third layer.
        Network("PRAIRIE", ((0.0508, 0.0508), (0.2032, 0.2032), (0.508, 0.508)), "Hydraprobe-Analog-(2.5-Volt)"),
        Network("DESERT", ((0.05, 0.05), (0.10, 0.10), (0.20, 0.20), (0.50, 0.50)), "Hydraprobe-II"),
    ),
}
# Size and duration of what a station sees beyond its cell. With 0.5, perfect knowledge of the cell correlates with a
# station by 0.89, about what the densest real networks reach among their own sensors.
WANDER, WANDER_DAYS = 0.5, 12.0
LAYER_BOTTOMS_M = (0.1, 0.3, np.inf)


def place_stations(
    grid: Grid, land: NDArray[np.bool_], elevation: Array, domain: str, n: int, seed: int
) -> list[Station]:
    """`n` stations at random places in different land cells, in the networks by turns.

    The predicted domain has three more that nobody can use: all values flagged, too short, outside of every grid.
    """
    rng = generator(seed, domain, "stations")
    cells = rng.permutation(np.flatnonzero(land))[:n]
    networks = NETWORKS.get(domain, NETWORKS["us"])
    stations = []
    for i, cell in enumerate(cells):
        lat, lon = (float(c) for c in grid.centres(cell))
        # Away from the cell's edges, so that nothing hangs on how a place on a border is rounded.
        d_lat, d_lon = rng.uniform(-0.4, 0.4, 2) * grid.step_deg
        network = networks[i % len(networks)]
        height = float(elevation.flat[cell])
        stations.append(Station(network, f"S{i:03d}", lat + d_lat, lon + d_lon, height, int(cell)))
    if domain == "home" and stations:
        first, odd = stations[0], networks[0]
        at = first.latitude, first.longitude, first.elevation, first.cell
        stations.append(Station(odd, "ALLBAD", *at, fault="flagged"))
        stations.append(Station(odd, "SHORT", *at, fault="short"))
        stations.append(Station(odd, "FARAWAY", -45.0, 170.0, 10.0, first.cell, fault="outside"))
    return stations


def write_archive(
    root: str,
    path: str,
    stations: Iterable[tuple[Station, Seen]],
    form: Format,
    seed: int,
) -> None:
    """Write a zip as the ISMN delivers it, one file per sensor."""
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "archive.zip")
        with zipfile.ZipFile(local, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for station, history in stations:
                for name, text in _sensor_files(station, history, form, seed):
                    # A fixed date: equal seeds give equal bytes, on any day.
                    archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED, 1)
        put_file(local, join(root, path))


def _sensor_files(station: Station, history: Seen, form: Format, seed: int) -> Iterator[tuple[str, str]]:
    network = station.network
    for top, bottom in network.depths:
        time, value, flag = observe(station, history, (top, bottom), seed)
        lines = _header_values if form == "header+values" else _ceop
        first, last = (str(time[i].astype("M8[D]")).replace("-", "") for i in (0, -1))
        name = f"{network.name}_{network.name}_{station.name}_sm_{top:.6f}_{bottom:.6f}_{network.instrument}"
        yield (
            f"{network.name}/{station.name}/{name}_{first}_{last}.stm",
            lines(station, (top, bottom), time, value, flag),
        )


def observe(
    station: Station, seen: Seen, depth: tuple[float, float], seed: int
) -> tuple[NDArray[np.datetime64], Array, NDArray[np.str_]]:
    """Sub-daily record of a sensor: time [n] datetime64[m], value m3 m-3, ISMN flag.

    The sensor has a gain, an offset, noise and outages; frozen soil, spikes and impossible values are flagged.
    """
    rng = generator(seed, station.network.name, station.name, f"{depth}")
    # A sensor on the border of two layers belongs to the shallower one.
    layer = int(np.searchsorted(LAYER_BOTTOMS_M, (depth[0] + depth[1]) / 2 - 1e-9))
    per_day = 24 // EVERY_HOURS
    truth, cold = np.repeat(seen.moisture[:, layer], per_day), np.repeat(seen.air_temperature < 271.5, per_day)
    n = len(truth)
    value = (
        truth.mean()
        + rng.normal(1, 0.12) * (truth - truth.mean())
        + truth.std() * _wander(rng, n, per_day)
        + rng.normal(0, 0.03)
        + NOISE * rng.standard_normal(n)
    )
    flag = np.where(cold, "D01,D02", "G").astype("U8")
    spike, broken = rng.random(n) < 0.004, rng.random(n) < 0.001
    value = np.where(spike, value + 0.15, np.where(broken, -0.05, np.clip(value, 0.005, 0.7)))
    flag = np.where(spike, "D06", np.where(broken, "C01", flag))
    if station.fault == "flagged":
        flag[:] = "D03"
    hours = (np.arange(n) * EVERY_HOURS * 60).astype("m8[m]")
    keep = _recorded(rng, n, per_day) & ((np.arange(n) < 60 * per_day) | (station.fault != "short"))
    return (seen.day[0].astype("M8[m]") + hours)[keep], value[keep], flag[keep]


def _wander(rng: np.random.Generator, n: int, per_day: int) -> Array:
    """[n] how a point of soil departs from its cell, as a share of the cell's standard deviation: red noise.

    Inside a cell of tens of kilometres showers miss a station and soils differ, for weeks; no network of the cell's
    weather can know that.
    """
    memory = np.exp(-1 / (WANDER_DAYS * per_day))
    # Shocks of this size keep the variance of the series at 1 whatever its memory; the first value has it already.
    shocks = rng.standard_normal(n) * np.sqrt(1 - memory**2)
    shocks[0] = rng.standard_normal()
    wandering: NDArray[np.float64] = WANDER * signal.lfilter([1.0], [1.0, -memory], shocks)
    return wandering


def _recorded(rng: np.random.Generator, n: int, per_day: int) -> NDArray[np.bool_]:
    """True where a value was recorded: outages of weeks and single missing values."""
    keep = rng.random(n) > 0.01
    for _ in range(rng.poisson(n / per_day / 365)):
        start = rng.integers(n)
        keep[start : start + per_day * rng.integers(5, 40)] = False
    # No record is empty, since the name of its file holds its first and its last day.
    keep[[0, -1]] = True
    return keep


def _clock(time: NDArray[np.datetime64]) -> list[str]:
    return [t.replace("-", "/").replace("T", " ") for t in np.datetime_as_string(time, unit="m").tolist()]


def _header_values(
    station: Station, depth: tuple[float, float], time: NDArray[np.datetime64], value: Array, flag: NDArray[np.str_]
) -> str:
    about = f"{station.latitude:.5f} {station.longitude:.5f} {station.elevation:.1f} {depth[0]:.4f} {depth[1]:.4f}"
    network = station.network
    head = f"{network.name} {network.name} {station.name} {about} {network.instrument}"
    rows = zip(_clock(time), value.tolist(), flag.tolist(), strict=True)
    return "\n".join([head, *(f"{t} {v:.4f} {f} M" for t, v, f in rows)]) + "\n"


def _ceop(
    station: Station, depth: tuple[float, float], time: NDArray[np.datetime64], value: Array, flag: NDArray[np.str_]
) -> str:
    network = station.network
    place = f"{station.latitude:.5f} {station.longitude:.5f} {station.elevation:.1f} {depth[0]:.4f} {depth[1]:.4f}"
    about = f"{network.name} {network.name} {station.name} {place}"
    rows = zip(_clock(time), value.tolist(), flag.tolist(), strict=True)
    return "".join(f"{t} {t} {about} {v:.4f} {f} M\n" for t, v, f in rows)
