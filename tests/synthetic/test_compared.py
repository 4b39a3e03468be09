"""Stand-ins of other products: their formats, and how near they are to the truth."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from somo.synthetic.compared import PRODUCTS, write_compared
from somo.synthetic.europe import World, domains_of
from tests.insitu.made import read_sensors

SIZE, YEARS, SEED = (5, 6), (2004, 2004), 3
HOME = domains_of(SIZE, 1)[0]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    write_compared(str(folder), SIZE, YEARS, SEED, cosmos=3)
    return folder


@pytest.fixture(scope="module")
def truth() -> xr.DataArray:
    world = World.make(HOME, SEED)
    days = list(world.days(np.datetime64("2004-01-01", "D"), np.datetime64("2004-12-31", "D")))
    values = np.where(world.land.land, np.stack([moisture for _, _, moisture in days]), np.nan)
    time = np.array([t for t, _, _ in days]).astype("M8[ns]")
    return xr.DataArray(
        values,
        {"time": time, "layer": [0, 1, 2], "lat": HOME.grid.lat, "lon": HOME.grid.lon},
        ("time", "layer", "lat", "lon"),
    )


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_standin_has_the_products_layout_and_the_truths_dynamics(root: Path, truth: xr.DataArray, name: str) -> None:
    product = PRODUCTS[name]
    with xr.open_dataset(root / product.path.format(year=2004)) as ds:
        values = ds[product.variable]
        assert values.dims == product.dims and values.attrs["units"] == product.units
        assert (np.diff(ds.lat) > 0).all() == product.ascending
        np.testing.assert_allclose(np.abs(np.diff(ds.lat)), product.step_deg)
        near = values.assign_coords(lon=(ds.lon + 180) % 360 - 180).sel(
            lat=HOME.grid.lat, lon=HOME.grid.lon, method="nearest"
        )
        wanted = sum(w * truth.isel(layer=k) for k, w in enumerate(product.weights))
        a, b = xr.align(near.assign_coords(lat=HOME.grid.lat, lon=HOME.grid.lon), wanted, join="override")
        valid = np.isfinite(a.transpose("time", "lat", "lon").values)
        assert np.corrcoef(a.transpose("time", "lat", "lon").values[valid], b.values[valid])[0, 1] > 0.6
        assert valid[:, np.isfinite(b.values[0])].mean() == pytest.approx(product.present, abs=0.05)


def test_neutron_stations_are_read_by_our_reader(root: Path, truth: xr.DataArray) -> None:
    url = str(root / "cosmos")
    sensors = read_sensors(url, "cosmos")
    assert [s.station for s in sensors] == ["INV001", "INV002", "INV003"] and not any(s.problem for s in sensors)
    for sensor in sensors:
        assert 0.03 < sensor.depth_from_m == sensor.depth_to_m < 0.1
        seen = truth.isel(layer=0).sel(lat=sensor.latitude, lon=sensor.longitude).values
        daily = np.where(sensor.good, sensor.value, np.nan).reshape(-1, 24)
        assert np.corrcoef(np.nanmean(daily, axis=1), seen)[0, 1] > 0.9 and 0.9 < sensor.good.mean() < 1
