"""The targets stage: the reference model on its own grid and over its own period, checked before archives are read."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from distributed import Client

from flows.results import sensors_url, targets_url
from flows.stages import targets as stage
from flows.stages.targets import build_targets
from somo.forcing.dataset import Inputs
from somo.forcing.sources import ForcingError
from somo.insitu.errors import InsituError
from somo.product.declaration import Product
from tests.insitu.made import header_values, stm_name, write_zip

EDGES = {"west": 10.0, "east": 11.0, "south": 50.0, "north": 51.0}
DAYS = pd.date_range("2003-01-01", "2003-12-31")


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Inputs]:
    """The static file of a grid of 2 x 2 cells of half a degree, as the ingest stage leaves it."""
    ds = xr.Dataset({"land": (("lat", "lon"), np.ones((2, 2), "int8"))}, {"lat": [50.75, 50.25], "lon": [10.25, 10.75]})
    ds.to_netcdf(tmp_path / "static.nc", engine="h5netcdf")
    return {"home": Inputs({}, str(tmp_path / "static.nc"))}


@pytest.fixture
def archive(tmp_path: Path) -> str:
    rows = [(f"{d:%Y/%m/%d} {h:02d}:00", 0.2 + 0.1 * np.sin(i / 20), "G") for i, d in enumerate(DAYS) for h in range(6)]
    place = (50.3, 10.3)
    texts = {
        stm_name("NET", f"S{i}", (depth, depth), "P", "1_2"): header_values(
            rows, (depth, depth), place, station=f"S{i}"
        )
        for i, depth in enumerate((0.05, 0.6))
    }  # fmt: skip
    return write_zip(tmp_path / "net.zip", texts)


@pytest.fixture
def model(tmp_path: Path) -> np.ndarray:
    """A reference model on nodes at 10.0, 10.5, ... for the first half of the year; its value is linear in space."""
    lat, lon, days = np.arange(49.5, 51.6, 0.5), np.arange(9.5, 11.6, 0.5), DAYS[:181]
    place = 0.01 * (lat[:, None] - 50) + 0.02 * (lon - 10)
    values = (0.3 + 0.05 * np.cos(np.arange(len(days)) / 15))[:, None, None] + place
    ds = xr.Dataset(
        {"swvl": (("time", "lat", "lon"), values.astype("float32"), {"units": "m3 m-3"})},
        {"time": days, "lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})},
    )
    ds.to_netcdf(tmp_path / "swvl_2003.nc", engine="h5netcdf")
    return values[:, 1, 1] + 0.01 * 0.25 + 0.02 * 0.25


def product(tmp_path: Path, archive: str, source: dict, **targets) -> Product:
    declared = {"url": str(tmp_path / "swvl_{year}.nc"), "variable": "swvl", "units": "m3 m-3", **source}
    return Product.model_validate(
        {
            "name": "test",
            "period": {"start": "2003-01-01", "end": "2003-12-31"},
            "grid": {"kind": "regular", **EDGES, "step_deg": 0.5},
            "forcing": {"air_temperature": {"url": "none_{year}.nc", "variable": "t", "units": "K"}},
            "static": {"height": {"url": "none.nc", "variable": "z"}},
            "insitu": [{"name": "net", "url": archive}],
            "targets": {"reference": [{"top_m": 0, "bottom_m": 1, "source": declared}], **targets},
        }
    )


HALF = {"reference_period": {"start": "2003-01-01", "end": "2003-06-30"}}


def test_a_reference_on_its_own_nodes_and_over_its_own_period(
    tmp_path: Path, archive: str, model: np.ndarray, inputs: dict[str, Inputs], client: Client
) -> None:
    declared = product(tmp_path, archive, {"regrid": "bilinear"}, **HALF)
    table = pd.read_parquet(build_targets(declared, str(tmp_path / "root"), inputs, client))
    x = 0.2 + 0.1 * np.sin(np.arange(365) / 20)
    common = x.round(4)[:181]
    expected = model.mean() + (x.round(4) - common.mean()) * model.std(ddof=1) / common.std(ddof=1)
    assert table["layer"].unique().tolist() == ["layer1"] and table["cell"].unique().tolist() == [2]
    np.testing.assert_allclose(table["value"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("source", "targets", "words"),
    [
        ({}, HALF, "regrid"),
        ({"regrid": "bilinear"}, {}, "2003-06-30"),
        ({"regrid": "bilinear", "url": "nowhere/{year}.nc"}, HALF, "nowhere/2003.nc"),
    ],
)
def test_the_reference_is_checked_before_any_archive_is_read(
    tmp_path: Path, archive: str, model: np.ndarray, inputs: dict[str, Inputs], client: Client,
    monkeypatch: pytest.MonkeyPatch, source: dict, targets: dict, words: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(stage, "plan_reading", lambda *arguments: pytest.fail("an archive was listed"))
    with pytest.raises(ForcingError) as refused:
        build_targets(product(tmp_path, archive, source, **targets), str(tmp_path / "root"), inputs, client)
    text = str(refused.value)
    assert "targets.reference" in text and words in text and 'scaling = "pooled"' in text


def test_the_table_of_sensors_is_written_when_none_can_be_used(
    tmp_path: Path, archive: str, model: np.ndarray, inputs: dict[str, Inputs], client: Client
) -> None:
    declared = product(tmp_path, archive, {"regrid": "bilinear"}, min_days=300, **HALF)
    root = str(tmp_path / "root")
    with pytest.raises(InsituError, match="1 x too few days in common with the reference; 1 x depth lies in no layer"):
        build_targets(declared, root, inputs, client)
    # Targets are named by the bytes of archives and reference model, which are read by now.
    url = targets_url(declared, root, inputs)
    table = pd.read_parquet(sensors_url(url))
    assert table["reason"].tolist() == [
        "too few days in common with the reference: 181, 300 needed", "depth lies in no layer: 0.6-0.6 m",
    ]  # fmt: skip
    assert not Path(url).exists()
