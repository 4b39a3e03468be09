"""The European product as it is declared, on its providers' own structures, in a window of a few cells."""

import datetime as dt
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from distributed import Client

import flows
from flows.environment import load_product
from flows.stages.check import check
from flows.stages.ingest import ingest
from flows.stages.place import daily_table
from flows.stages.produce import produce
from flows.stages.publish import publish
from flows.stages.targets import build_targets
from flows.stages.train import train
from flows.stages.validate import validate
from somo.core.grid import Grid
from somo.forcing.statics.field import read_static
from somo.product.declaration import Product
from somo.product.inputs import Domain, Period, RegularGrid
from somo.synthetic.delivered import write_delivered

EUROPE = Path(flows.__file__).parent / "products" / "europe.toml"
HOME, US = (10.0, 10.8, 50.0, 50.6), (-100.0, -99.4, 40.0, 40.6)
"""West, east, south and north of the windows."""
FIRST, LAST, LOOKBACK = dt.date(2015, 5, 1), dt.date(2015, 9, 30), 30
"""The summer of the report's year; the files begin a spin-up earlier."""


def narrowed(product: Product) -> Product:
    """The product in a window, a summer and with networks of a test's size: its files and what is said of them stay."""
    home, us = (
        RegularGrid(west=edges[0], east=edges[1], south=edges[2], north=edges[3], step_deg=0.1) for edges in (HOME, US)
    )
    return product.model_copy(
        update={
            "grid": home,
            "domains": {"us": Domain(grid=us, forcing=product.domains["us"].forcing)},
            "period": Period(start=FIRST, end=LAST),
            "sequence": product.sequence.model_copy(update={"lookback": LOOKBACK, "predict_last_n": 30}),
            "network": product.network.model_copy(update={"hidden": 8}),
            "training": product.training.model_copy(update={"epochs": 1, "members": 1, "folds": 2, "batch_size": 32}),
            "drought": product.drought.model_copy(update={"base": None}),
            "cluster": product.cluster.model_copy(update={"workers": 1, "memory_gb": 3.0}),
        }
    )


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the three folders of the declaration's settings hold."""
    folder = tmp_path_factory.mktemp("delivered")
    days = np.datetime64(FIRST, "D") - np.timedelta64(LOOKBACK, "D"), np.datetime64(LAST, "D")
    write_delivered(str(folder), Grid.regular(*HOME, 0.1), Grid.regular(*US, 0.1), days)
    return folder


@pytest.fixture
def europe(delivered: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    for setting, folder in (("SOMO_FORCING", "forcing"), ("SOMO_ISMN", "insitu"), ("SOMO_COMPARE", "compared")):
        monkeypatch.setenv(setting, str(delivered / folder))
    return narrowed(load_product(EUROPE))


def test_check_finds_every_file_and_nothing_wrong(europe: Product) -> None:
    findings = list(check(europe))
    assert [(finding.what, finding.problem) for finding in findings if finding.problem] == []
    assert len(findings) == 2 * (5 + 8 + 3) + 3 + 5


def test_a_cell_of_europe_has_e_obs_and_one_of_the_us_era5_land(
    europe: Product, delivered: Path, tmp_path: Path
) -> None:
    """By plain reading: the value of E-OBS as it is, and the mean of the four nodes of ERA5-Land around."""
    days = dt.date(2015, 6, 1), dt.date(2015, 6, 30)
    home = daily_table(europe, "home", str(tmp_path / "home"), (50.25, 10.35), days)
    with xr.open_dataset(delivered / "forcing/e-obs/rr_ens_mean_0.1deg_reg_v29.0e.nc") as e_obs:
        rain = e_obs["rr"].sel(latitude=50.25, longitude=10.35, method="nearest").sel(time=slice(*map(str, days)))
        np.testing.assert_allclose(home["precipitation"], rain.values, atol=1e-5)
    us = daily_table(europe, "us", str(tmp_path / "us"), (40.25, -99.65), days)
    files = sorted((delivered / "forcing/era5-land/us").glob("tp_2015_0[67].nc"))
    with xr.open_mfdataset(files, combine="nested", concat_dim="valid_time", data_vars="all") as land:
        around = land["tp"].sel(latitude=slice(40.31, 40.19), longitude=slice(-99.71, -99.59))
        assert around.shape[1:] == (2, 2)
        # the sum of a day is complete at 00 UTC of the next
        complete = around.sel(valid_time=pd.date_range(days[0], days[1]) + pd.Timedelta("1D"))
        np.testing.assert_allclose(us["precipitation"], 1000 * complete.mean(("latitude", "longitude")), atol=1e-4)


def test_the_whole_journey_to_the_report(europe: Product, client: Client, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    inputs = ingest(europe, root, client)
    sensors = build_targets(europe, root, inputs, client)
    models = train(europe, root, inputs, sensors, client)
    version = produce(europe, root, inputs, models, client)
    publish(europe, root, version, inputs, sensors, models, client)
    validate(europe, root, version, client)
    assert (tmp_path / "root/v1.0.0/report/index.html").stat().st_size > 10_000
    with xr.open_zarr(f"{version}/soil_moisture.zarr", chunks=None) as store:
        values = store["soil_moisture"].values
    assert np.isfinite(values).any()
    assert 0 <= np.nanmin(values) <= np.nanmax(values) < 1


def test_global_maps_are_read_by_their_windows(europe: Product) -> None:
    """Relief of a minute and land cover of 300 m have 0.9 and 8.4 GB: all of Europe, and a window."""
    for name, edges, most_bytes in (("elevation", (-12, 45, 36, 71.5), 200e6), ("forest", HOME, 120e6)):
        tracemalloc.start()
        read_static(name, europe.static[name], "home", Grid.regular(*edges, 0.1))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most_bytes, f"{name}: {peak / 1e6:.0f} MB"
