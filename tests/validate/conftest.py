"""A small published version with known truth, written as a reader would find it."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.core.grid import Grid

LAYERS = ("layer1", "layer2", "layer3")
DEPTHS = (0.05, 0.2, 0.4)
MEMORY_DAYS = (8.0, 20.0, 45.0)
GRID = Grid.regular(4, 9, 46, 50, 0.5)


def weather(days, seed):
    """[days, cells] rain in mm d-1: storms over the whole region, stronger on one side, and a few showers."""
    generator = np.random.default_rng(seed)
    storms = np.where(generator.random((days, 1, 1)) < 0.35, generator.gamma(1.5, 4.0, (days, 1, 1)), 0.0)
    north, east = (generator.uniform(-0.4, 0.4, (days, 1, 1)) for _ in range(2))
    lat, lon = np.linspace(-1, 1, GRID.shape[0])[:, None], np.linspace(-1, 1, GRID.shape[1])
    showers = np.where(generator.random((days, *GRID.shape)) < 0.1, generator.gamma(1.5, 1.5, (days, *GRID.shape)), 0.0)
    return (storms * (1 + north * lat + east * lon) + showers).reshape(days, -1)


def soil(rain, memory_days):
    """Bucket that forgets with a scale of `memory_days`: [days, cells] m3 m-3."""
    keep = np.exp(-1 / memory_days)
    state = np.empty_like(rain)
    level = np.full(rain.shape[1], rain.mean())
    for day, water in enumerate(rain):
        level = keep * level + (1 - keep) * water
        state[day] = level
    return 0.10 + 0.04 * state


def fields(start="2014-01-01", end="2016-12-31", seed=0):
    """soil_moisture [depth, time, lat, lon] with a sea in the north-west corner, and its noise-free truth."""
    time = pd.date_range(start, end, freq="D")
    rain = weather(len(time), seed)
    rain *= 1 + 0.6 * np.cos(2 * np.pi * (time.day_of_year.to_numpy() - 15) / 365.25)[:, None]
    truth = np.stack([soil(rain, memory) for memory in MEMORY_DAYS]).reshape(3, len(time), *GRID.shape)
    truth[:, :, :2, :3] = np.nan
    return time, truth


@pytest.fixture(scope="session")
def write_version(tmp_path_factory):
    """Write a version; `change(truth)` may damage the field, `noise` sets the error of the network's predictions."""

    def write(change=None, noise=0.01, name="v1.0.0", seed=0, start="2014-01-01", end="2016-12-31", drop_day=None):
        folder = tmp_path_factory.mktemp("bucket") / name
        time, truth = fields(start, end, seed)
        shown = truth.copy() if change is None else change(truth.copy())
        ds = xr.Dataset(
            {
                "soil_moisture": (("depth", "time", "lat", "lon"), shown.astype(np.float32)),
                "soil_moisture_std": (("depth", "time", "lat", "lon"), np.where(np.isnan(shown), np.nan, 0.01)),
                "applicability": (("depth", "lat", "lon"), np.isfinite(truth[:, 0]).astype(np.int8)),
                "status": ("time", np.zeros(len(time), np.int8)),
            },
            {"depth": list(DEPTHS), "time": time, "lat": GRID.lat, "lon": GRID.lon},
        )
        if drop_day is not None:
            ds = ds.isel(time=np.arange(len(time)) != drop_day)
        to_zarr(ds.chunk(time=400), folder / "soil_moisture.zarr")
        write_tables(folder / "validation", time, truth, noise, seed)
        return str(folder)

    return write


def to_zarr(ds, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata")
        ds.to_zarr(path, consolidated=True)


def write_tables(folder, time, truth, noise, seed):
    generator = np.random.default_rng(seed + 1)
    land = np.flatnonzero(np.isfinite(truth[0, 0]).ravel())
    cells = generator.choice(land, 12, replace=False)
    rows, sensors = [], []
    for position, cell in enumerate(cells):
        row, column = divmod(int(cell), len(GRID.lon))
        for k, layer in enumerate(LAYERS):
            y = truth[k, :, row, column]
            days = generator.random(len(time)) < 0.8
            y_hat, y_ridge = (y + generator.normal(0, s, len(y)) for s in (noise, 2 * noise))
            known = {"domain": "home", "cell": cell, "layer": layer, "time": time[days], "y": y[days]}
            rows.append(pd.DataFrame({**known, "y_hat": y_hat[days], "y_ridge": y_ridge[days], "fold": position % 5}))
            sensors.append(
                ("ISMN", "NET" + "AB"[position % 2], f"S{position}", f"probe{k}", GRID.lat[row] + 0.1, GRID.lon[column])
            )
            sensors[-1] += (DEPTHS[k], DEPTHS[k], layer, "home", cell, int(days.sum()), True, "")
    crossval = pd.concat(rows, ignore_index=True)
    names = "archive network station sensor latitude longitude depth_from_m depth_to_m layer domain cell"
    names += " valid_days kept reason"
    folder.mkdir(parents=True)
    crossval.to_parquet(folder / "crossval.parquet")
    targets = crossval.rename(columns={"y": "value"})[["domain", "cell", "layer", "time", "value"]].assign(count=1)
    targets.to_parquet(folder / "targets.parquet")
    pd.DataFrame(sensors, columns=names.split()).to_parquet(folder / "sensors.parquet")


@pytest.fixture(scope="session")
def version(write_version):
    """URL of a sound version."""
    return write_version()
