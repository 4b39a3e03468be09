"""A small invented version in the published layout, for tests of what readers get."""

import datetime as dt

import numpy as np
import pandas as pd
import xarray as xr

from somo.core.grid import Grid
from somo.core.product import Product
from somo.core.storage import join
from somo.publish import attributes

PLAIN = {"url": "{year}.nc", "variable": "t2m", "units": "K"}


def product(start="2015-12-20", end="2017-01-10", **changes) -> Product:
    """Two layers over 6 x 8 cells."""
    return Product.model_validate(
        {
            "name": "Made",
            "period": {"start": start, **({"end": end} if end else {})},
            "grid": {"kind": "regular", "west": 5, "east": 5.8, "south": 45, "north": 45.6, "step_deg": 0.1},
            "layers": [
                {"name": "layer1", "top_m": 0, "bottom_m": 0.1},
                {"name": "layer2", "top_m": 0.1, "bottom_m": 0.3},
            ],
            "forcing": {"air_temperature": PLAIN},
            "static": {"elevation": {"url": "e.nc", "variable": "z"}},
            "insitu": [{"name": "net", "url": "net"}],
            "targets": {"scaling": "none"},
            "chunks": {"time": 73, "lat": 3, "lon": 4, "tile_lat": 6, "tile_lon": 8},
            "publication": {
                "creator_url": "https://somo.example.org",
                "creator_email": "data@example.org",
                "institution": "Institute of Invented Soils",
                "date": dt.date(2026, 11, 22),
            },
            **changes,
        }
    )


def dataset(declared: Product, seed: int = 0) -> xr.Dataset:
    """Soil moisture with seasons and noise on multiples of 1e-4; one corner is sea."""
    rng = np.random.default_rng(seed)
    grid = Grid.regular(**declared.grid.model_dump(exclude={"kind"}))
    times = pd.date_range(declared.period.start, declared.period.end or "2017-03-31")
    shape = (len(declared.layers), len(times), *grid.shape)
    season = 0.08 * np.cos(2 * np.pi * times.day_of_year.to_numpy() / 365.25)[None, :, None, None]
    values = np.round(0.25 + season + rng.normal(0, 0.03, shape), 4).clip(0).astype("float32")
    values[..., :2, :2] = np.nan
    spread = np.where(np.isnan(values), np.nan, np.round(rng.uniform(0.005, 0.03, shape), 4)).astype("float32")
    lat_bounds, lon_bounds = grid.bounds()
    dims = ("depth", "time", "lat", "lon")
    return xr.Dataset(
        {
            "soil_moisture": (dims, values, {"units": "m3 m-3"}),
            "soil_moisture_std": (dims, spread, {"units": "m3 m-3"}),
            "status": ("time", np.zeros(len(times), "int8"), attributes.STATUS),
            "applicability": (("depth", "lat", "lon"), np.ones((shape[0], *grid.shape), "int8"), {}),
            "crs": ((), np.int32(0), attributes.CRS),
            "time_bnds": (("time", "bnds"), np.stack([times, times + pd.Timedelta(days=1)], 1)),
            "lat_bnds": (("lat", "bnds"), lat_bounds),
            "lon_bnds": (("lon", "bnds"), lon_bounds),
            "depth_bnds": (("depth", "bnds"), [[la.top_m, la.bottom_m] for la in declared.layers]),
        },
        {
            "time": ("time", times, attributes.TIME),
            "depth": ("depth", [la.depth_m for la in declared.layers], attributes.DEPTH),
            "lat": ("lat", grid.lat, attributes.LATITUDE),
            "lon": ("lon", grid.lon, attributes.LONGITUDE),
        },
    )


def write_store(declared: Product, root: str, seed: int = 0) -> str:
    """Write the version's Zarr store under a root; returns the version's URL."""
    version_url = join(root, f"v{declared.version}")
    packed = {"dtype": "int16", "scale_factor": np.float32(1e-4), "_FillValue": -32768, "chunks": (2, 64, 3, 4)}
    dataset(declared, seed).to_zarr(
        join(version_url, "soil_moisture.zarr"),
        zarr_format=3,
        consolidated=True,
        encoding={"soil_moisture": packed, "soil_moisture_std": packed},
    )
    return version_url
