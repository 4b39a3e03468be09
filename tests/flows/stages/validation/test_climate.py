"""Climate and weather of cells, against the forcing files read in another way."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flows.stages.ingest import ingest
from flows.stages.validation.climate import climate_table, weather_at
from tests.predict import made

RADIATION_W_M2 = 100.0
SEA = 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Forcing with a constant net radiation over the land of the other variables."""
    folder = tmp_path_factory.mktemp("sources")
    made.write_sources(made.product(str(folder)), str(folder), folder)
    with xr.open_dataset(folder / "t2m_2020.nc", engine="h5netcdf") as warmth:
        rn = xr.where(warmth["t2m"].notnull(), np.float32(RADIATION_W_M2), np.float32(np.nan)).rename("rn")
        rn.to_netcdf(folder / "rn_2020.nc", engine="h5netcdf")
    return folder


def declared(sources, radiation):
    forcing = {k: v.model_dump() for k, v in made.product(str(sources)).forcing.items()}
    flat = {name: {**given["source"], "input": given["input"]} for name, given in forcing.items()}
    if radiation:
        flat["net_radiation"] = {"url": f"{sources}/rn_{{year}}.nc", "variable": "rn", "units": "W m-2"}
    return made.product(str(sources), forcing=flat)


def published(first="2020-01-20", last="2020-01-29"):
    soil = xr.Dataset(coords={"time": pd.date_range(first, last)})
    return SimpleNamespace(soil=soil, targets=pd.DataFrame({"domain": [], "cell": []}))


def plain(sources, name, first="2020-01-12", last="2020-01-31"):
    """[day, cell] of a variable in its file; by default every day that the product's climatology is of."""
    with xr.open_dataset(sources / f"{name}_2020.nc", engine="h5netcdf") as ds:
        days = ds[name].sel(time=slice(first, last))
        return days.values.reshape(len(days), -1).astype(float)


def test_climate_of_all_land_cells(sources, client, tmp_path):
    """Aridity: 100 W m-2 evaporate 100 * 86400 / 2.45e6 mm a day; 1 and 2 part humid, transitional and dry."""
    product = declared(sources, radiation=True)
    table = climate_table(product, ingest(product, str(tmp_path), client), published()).set_index("cell")
    rain, warmth = plain(sources, "tp").mean(0), plain(sources, "t2m").mean(0)
    land = np.flatnonzero(np.isfinite(rain))
    assert table.index.tolist() == land.tolist()
    assert SEA not in table.index
    water = RADIATION_W_M2 * 86_400 / 2.45e6
    np.testing.assert_allclose(table["x"], water / rain[land], rtol=1e-5)
    np.testing.assert_allclose(table["y"], warmth[land] - 273.15, atol=1e-3)
    expected = np.where(warmth[land] - 273.15 < 5, "cold", np.where(water / rain[land] > 2, "dry", "transitional"))
    assert table["climate"].tolist() == expected.tolist()
    assert table.attrs["x"] == "aridity (net radiation / precipitation)"


def test_without_radiation_the_axis_is_rain_and_no_class_is_known(sources, client, tmp_path):
    product = declared(sources, radiation=False)
    inputs = ingest(product, str(tmp_path), client)
    table = climate_table(product, inputs, published())
    land = table["cell"].to_numpy()
    np.testing.assert_allclose(table["x"], plain(sources, "tp").mean(0)[land], rtol=1e-5)
    assert table.attrs["x"] == "mean precipitation (mm d⁻¹)"
    warm = table["y"] >= 5
    assert set(table[warm]["climate"]) == {"unknown"}


def test_weather_of_cells_over_the_published_days(sources, client, tmp_path):
    product = declared(sources, radiation=False)
    weather = weather_at(product, ingest(product, str(tmp_path), client), published(), [14, 30])
    rain = plain(sources, "tp", "2020-01-20", "2020-01-29")
    assert weather["time"].nunique() == 10
    for cell in (14, 30):
        here = weather[weather["cell"] == cell].sort_values("time")
        np.testing.assert_allclose(here["precipitation"], rain[:, cell], rtol=1e-5)
