"""Small source files and their reference sets, written as producers and the ingest stage do."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from somo.forcing.references.in_process import reference_in_process
from somo.forcing.sources import needed_days
from somo.product.declaration import Product

LAT = np.array([48.05, 47.95, 47.85, 47.75])
LON = np.array([7.05, 7.15, 7.25, 7.35, 7.45])
PACKED = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 273.15, "_FillValue": -32767}
SHUFFLED = {"dtype": "float32", "zlib": True, "shuffle": True, "complevel": 4, "_FillValue": -9999.0}


class Sources:
    """Writes files of one variable, `t2m`, under a folder and declares products that read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, year: int | str, name: str = "t2m") -> Path:
        return self.folder / f"{name}_{year}.nc"

    def write(self, year: int, encoding: dict[str, Any] | None = None, **changes: Any) -> xr.Dataset:
        """One year of random air temperature with a sea cell, by default packed in one chunk a day."""
        day = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")
        time = changes.get("time", day.astype("datetime64[ns]"))
        lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
        rng = np.random.default_rng(year)
        values = changes.get("values", 283.0 + 8 * rng.standard_normal((len(time), len(lat), len(lon))))
        values = np.clip(values, 250, 320) if "values" not in changes else values
        if "values" not in changes:
            values[:, 0, 0] = np.nan
        ds = xr.Dataset(
            {
                changes.get("variable", "t2m"): (
                    ("time", "lat", "lon"),
                    values,
                    {"units": changes.get("units", "K")} | changes.get("attrs", {}),
                )
            },
            {
                "time": time,
                "lat": ("lat", lat, {"units": "degrees_north"}),
                "lon": ("lon", lon, {"units": "degrees_east"}),
            },
        )
        how = {"chunksizes": (1, len(lat), len(lon)), **PACKED} if encoding is None else encoding
        path = self.path(year, changes.get("name", "t2m"))
        clock = {"units": changes.get("clock", "days since 1900-01-01"), "dtype": "int64"}
        ds.to_netcdf(path, engine="h5netcdf", encoding={changes.get("variable", "t2m"): how, "time": clock})
        return ds

    def plain(self, *years: int) -> np.ndarray:
        """The same files read without references."""
        parts = [xr.open_dataset(self.path(year), engine="h5netcdf")["t2m"] for year in years]
        values = np.concatenate([part.values.astype("float32") for part in parts])
        for part in parts:
            part.close()
        return values

    def product(self, start: str = "2003-02-01", end: str | None = "2004-12-31", **changes: Any) -> Product:
        """A product of one variable whose spin-up begins on 1 January of the first year."""
        spinup = (dt.date.fromisoformat(start) - dt.date(int(start[:4]), 1, 1)).days
        source = {"url": f"{self.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "K"}
        declared = {
            "name": "test",
            "period": {"start": start, **({"end": end} if end else {})},
            "grid": {"kind": "forcing", "step_deg": 0.1},
            "sequence": {"lookback": spinup + 1, "predict_last_n": 30},
            "forcing": {"air_temperature": {**source, **changes.pop("source", {})}},
            "static": {"warmth": {"computed": "mean", "of": "air_temperature"}},
            "insitu": [{"name": "none", "url": "none"}],
            "targets": {"scaling": "none"},
        }
        return Product.model_validate({**declared, **changes})


def build_references(product: Product, root: str, today: dt.date = dt.date(2030, 1, 1)) -> dict[str, str]:
    """What the ingest stage does for the home domain, in this process."""
    return reference_in_process(product, "home", root, *needed_days(product), today)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    (tmp_path / "forcing").mkdir()
    return Sources(tmp_path / "forcing")


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "root")


@pytest.fixture
def references():
    """Function (product, root) -> references of the home domain."""
    return build_references
