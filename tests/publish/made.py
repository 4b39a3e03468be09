"""A small invented version in the published layout, for tests of what readers get."""

import datetime as dt

import numpy as np
import pandas as pd

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.layout import Layout
from somo.publish import attributes
from somo.publish.store import maps as zarr
from somo.storage.objects import join

# Four columns and two rows, of which the first tile is sea.
TWO_TILES = {
    "grid": {"kind": "regular", "west": 5, "east": 5.4, "south": 45, "north": 45.2, "step_deg": 0.1},
    "chunks": {"time": 8, "lat": 2, "lon": 2, "tile_lat": 2, "tile_lon": 2},
}
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
            "sequence": {"lookback": 30, "predict_last_n": 64},
            "chunks": {"time": 8, "lat": 3, "lon": 4, "tile_lat": 6, "tile_lon": 8},
            "drought": {"min_years": 3},
            "frozen": {"variable": "air_temperature"},
            "publication": {
                "creator_url": "https://somo.example.org",
                "creator_email": "data@example.org",
                "institution": "Institute of Invented Soils",
                "date": dt.date(2026, 11, 22),
            },
            **changes,
        }
    )


def grid_of(declared: Product) -> Grid:
    return Grid.regular(**declared.grid.model_dump(exclude={"kind"}))


def values(declared: Product, days: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [layer, day, row, column] with seasons and noise; one corner is sea.

    Further days leave the former ones as they are.
    """
    times = pd.date_range(declared.period.start, periods=days)
    shape = (days, len(declared.layers), *grid_of(declared).shape)
    season = 0.08 * np.cos(2 * np.pi * times.day_of_year.to_numpy() / 365.25)
    mean = 0.25 + season[:, None, None, None] + np.random.default_rng(seed).normal(0, 0.03, shape)
    std = np.random.default_rng(seed + 1).uniform(0.005, 0.03, shape)
    for field in (mean, std):
        field[..., :2, :2] = np.nan
    return np.moveaxis(mean.clip(0), 0, 1).astype("float32"), np.moveaxis(std, 0, 1).astype("float32")


SHARES = (0.5, 0.6)


def frozen_days(declared: Product, days: int, mean: np.ndarray) -> np.ndarray:
    """[day, row, column] int8: January is frozen in the northern half, -1 over the sea."""
    january = pd.date_range(declared.period.start, periods=days).month == 1
    flags = np.zeros(mean.shape[1:], "int8")
    flags[january, : mean.shape[2] // 2] = 1
    flags[np.isnan(mean[0])] = -1
    return flags


def write_store(
    declared: Product,
    root: str,
    seed: int = 0,
    days: int | None = None,
    provisional: int = 0,
    version: str = "",
    uncertain: bool = False,
) -> str:
    """Write the version's Zarr store under a root; returns the version's URL.

    Parameters
    ----------
    days : visible days, by default those of the period
    provisional : how many of them, at the end, may still change
    uncertain : whether its models know their uncertainty, of which `SHARES` are left in anomalies
    """
    version = version or declared.version
    if days is None:
        days = (declared.period.end - declared.period.start).days + 1
    grid = grid_of(declared)
    layout = Layout.of(declared, grid.shape)
    url = zarr.store_url(root, version)
    mean, std = values(declared, days, seed)
    for block in range(layout.blocks(days)):
        for tile in layout.tiles():
            part = (slice(None), layout.block_days(block, days), *layout.cells(tile))
            fields = {"soil_moisture": zarr.pack(mean[part]), "soil_moisture_std": zarr.pack(std[part])}
            if declared.frozen:
                fields["frozen"] = frozen_days(declared, days, mean)[part[1:]]
            if uncertain:
                fields[attributes.UNCERTAINTY] = zarr.pack(std[part] * zarr.STEP / zarr.UNCERTAINTY_STEP + 0.002)
            zarr.write_region(url, layout, block, tile, fields)
    status = np.zeros(days, "int8")
    status[days - provisional :] = attributes.PROVISIONAL
    applicability = np.isfinite(mean[:, 0]).astype("int8")
    index = np.where(applicability, 0.3, np.nan).astype("float32") if uncertain else None
    template = zarr.template(declared, grid, status, applicability, dissimilarity=index)
    if uncertain:
        template[attributes.UNCERTAINTY].attrs["anomaly_share"] = list(SHARES)
    zarr.publish(url, template, layout)
    return join(root, f"v{version}")
