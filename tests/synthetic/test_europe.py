"""The whole invented Europe: files that agree with each other, with the truth, and with how they were cut up."""

import io
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.insitu.rules import NO_GOOD, OUTSIDE, Place, Rules, apply_rules
from somo.insitu.targets import drop_totals, sensor_table, target_table
from somo.product.inputs import Layer
from somo.synthetic import europe as module
from somo.synthetic.europe import World, domains_of, write_europe
from somo.synthetic.soil import make_soil, start, step
from tests.insitu.made import read_all
from tests.synthetic.conftest import HOURLY, SEED, SIZE, STATIONS, YEARS

LAYERS = tuple(
    Layer(name=f"layer{k + 1}", top_m=t, bottom_m=b) for k, (t, b) in enumerate([(0, 0.1), (0.1, 0.3), (0.3, 0.5)])
)
DOMAINS = domains_of(SIZE, STATIONS)


@pytest.fixture(scope="module")
def truth(europe: Path) -> dict[str, xr.Dataset]:
    return {d.name: xr.load_dataset(europe / f"truth/{d.name}/soil_moisture_2004.nc") for d in DOMAINS}


def test_the_real_grid_and_small_ones() -> None:
    full, us = domains_of((355, 570), 100)
    assert full.grid.shape == (355, 570) and full.grid.lat[0] == 71.45
    assert us.grid.step_deg == 0.1 and us.stations == 33 and us.east


def test_hourly_forcing_adds_up_to_the_days_weather(europe: Path) -> None:
    """Accumulated since 00 UTC: 00 UTC of the next day holds the total; the last one lies in the next file."""
    world = World.make(DOMAINS[0], SEED)
    with (
        xr.open_dataset(europe / "forcing/home/tp_2004.nc") as tp,
        xr.open_dataset(europe / "forcing/home/tp_2005.nc") as after,
        xr.open_dataset(europe / "forcing/home/t2m_2004.nc") as t2m,
    ):
        assert tp.sizes["time"] == 366 * 24 and after.sizes["time"] == 1
        total = xr.concat([tp.tp, after.tp], "time")[24::24]
        land = world.land.land
        for number in (0, 100, 365):
            day = world.weather.day(int(np.datetime64("2004-01-01").astype(int)) + number)
            np.testing.assert_allclose(total[number].values[land], day.precipitation[land] / 1000, atol=2e-6)
            mean = t2m.t2m[24 * number : 24 * number + 24].mean("time").values
            np.testing.assert_allclose(mean[land], day.air_temperature[land], atol=0.002)
        assert np.isnan(total.values[:, ~land]).all()
        steps = tp.tp[24 * 100 + 1 : 24 * 101].values[:, land]
        assert (np.diff(steps, axis=0) >= -4e-6).all()


def test_truth_is_the_bucket_model_run_over_the_weather(truth: dict[str, xr.Dataset]) -> None:
    world = World.make(DOMAINS[1], SEED)
    soil = make_soil(world.land)
    moisture = start(soil)
    first = int(np.datetime64("2004-01-01").astype(int))
    for number in range(first - 365, first + 10):
        moisture = step(moisture, world.weather.day(number), soil, world.land.forest)
    land = world.land.land
    for k, layer in enumerate(("layer1", "layer2", "layer3")):
        np.testing.assert_allclose(truth["us"][layer].values[9][land], moisture[k][land], atol=1e-6)


def test_a_held_out_station_can_be_predicted_from_forcing_and_land(europe: Path, truth: dict[str, xr.Dataset]) -> None:
    """What our own reader and rules make of the archives agrees with the truth, which is a function of the forcing."""
    places = {d.name: Place(d.grid, np.isfinite(truth[d.name].layer1.values[0])) for d in DOMAINS}
    rules = Rules(LAYERS, 90, 0.9, lambda network, a_day: 6, pd.Timestamp("2004-01-01"), pd.Timestamp("2004-12-31"))
    series = []
    for archive in ("EUROPE", "US"):
        url = str(europe / f"insitu/{archive}.zip")
        series += [apply_rules(s, archive, rules, places) for s in read_all(url)]
    totals = drop_totals(sensor_table(series))
    assert sum(totals.values()) == len(series) and totals["kept"] > 20 and totals[NO_GOOD] == totals[OUTSIDE] == 3
    r: dict[str, list[float]] = {}
    for (domain, cell, layer), group in target_table(series).groupby(["domain", "cell", "layer"]):
        row, column = divmod(int(cell), places[domain].grid.shape[1])
        seen = truth[domain][layer][:, row, column].to_series().reindex(group["time"])
        r.setdefault(layer, []).append(float(np.corrcoef(seen, group["value"])[0, 1]))
    # Stations wander from their cell by half of its spread: 0.89 at best (WANDER).
    assert set(r) == {"layer1", "layer2", "layer3"} and all(np.median(v) > 0.8 for v in r.values()), r


def test_the_reference_model_resembles_the_truth(europe: Path, truth: dict[str, xr.Dataset]) -> None:
    with xr.open_dataset(europe / "era5land/home/swvl_2004.nc") as model:
        land = np.isfinite(truth["home"].layer1.values[0])
        seen, own = truth["home"].layer1.values[:, land], model.swvl1.values[:, land]
        assert np.corrcoef(seen.ravel(), own.ravel())[0, 1] > 0.9 and not np.allclose(seen, own, atol=0.01)
        assert list(model.data_vars) == ["swvl1", "swvl2", "swvl3", "swvl4"]


def test_the_second_domain_counts_longitudes_from_0_to_360(europe: Path) -> None:
    with xr.open_dataset(europe / "static/us.nc") as static:
        assert static.longitude.min() > 180
        np.testing.assert_allclose(static.longitude - 360, DOMAINS[1].grid.lon, atol=1e-4)


def test_blocks_storage_and_repetition_change_nothing(europe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_VALUES", 150 * SIZE[0] * SIZE[1])
    write_europe("memory://again", SIZE, YEARS, SEED, stations=STATIONS, hourly=HOURLY)
    memory = fsspec.filesystem("memory")
    found = sorted(path.removeprefix("/again/") for path in memory.find("/again"))
    assert found == sorted(str(p.relative_to(europe)) for p in europe.rglob("*") if p.is_file())
    for path in ("forcing/home/tp_2004.nc", "truth/us/soil_moisture_2004.nc", "static/home.nc"):
        with (
            xr.open_dataset(io.BytesIO(memory.cat_file(f"/again/{path}"))) as again,
            xr.open_dataset(europe / path) as ds,
        ):
            xr.testing.assert_identical(again, ds)
    assert memory.cat_file("/again/insitu/EUROPE.zip") == (europe / "insitu/EUROPE.zip").read_bytes()
    memory.rm("/again", recursive=True)
