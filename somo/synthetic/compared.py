"""Stand-ins for the products that validation compares with, in their formats, made of the invented truth.

They are written a year at a time from memory: for grids of demos and tests, not of continents.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.storage.objects import join, put, put_file
from somo.synthetic.europe import World, domains_of
from somo.synthetic.fields import Array, generator

NETWORK_COLUMNS = ("File name", "Station", "Country", "Latitude (°)", "Longitude (°)", "Altitude (m)")


@dataclass(frozen=True)
class Product:
    """How a product is laid out.

    Attributes
    ----------
    path : with {year}
    variable, units, fill : as in its files
    dims : order of the dimensions by their names there
    step_deg : grid step; rows run north to south unless `ascending`; longitudes 0..360 if `east`
    weights : share of the truth's layers 0-0.1, 0.1-0.3, 0.3-0.5 m
    gain, offset, noise : errors; every value is truth * gain + offset + noise
    present : fraction of days with a value
    """

    path: str
    variable: str
    weights: tuple[float, float, float]
    dims: tuple[str, str, str] = ("time", "lat", "lon")
    units: str = "m3 m-3"
    fill: float = -9999.0
    step_deg: float = 0.25
    ascending: bool = False
    east: bool = False
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.01
    present: float = 1.0


SURFACE, MIDDLE, DEEP, ROOT = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.2, 0.4, 0.4)


def _v1(layer: str, weights: tuple[float, float, float]) -> Product:
    path = f"somo_v1/SoMo.ml_v1_{layer}_{{year}}.nc"
    return Product(path, layer, weights, gain=0.9, offset=0.02, ascending=True)


def _gleam(variable: str, weights: tuple[float, float, float]) -> Product:
    path = f"gleam/{variable}_{{year}}_GLEAM_v3.5b.nc"
    return Product(path, variable, weights, ("time", "lon", "lat"), "m3/m3", -999.0, gain=0.8, offset=0.06)


CCI = "esa_cci/ESACCI-SOILMOISTURE-L3S-SSMV-COMBINED-{year}-fv07.1.nc"
PRODUCTS: dict[str, Product] = {
    "somo-v1-layer1": _v1("layer1", SURFACE),
    "somo-v1-layer2": _v1("layer2", MIDDLE),
    "somo-v1-layer3": _v1("layer3", DEEP),
    "gleam-surf": _gleam("SMsurf", SURFACE),
    "gleam-root": _gleam("SMroot", ROOT),
    "clm-da": Product("clm_da/ESSMRA_{year}.nc", "sm", SURFACE, step_deg=0.125, gain=1.1, noise=0.02, ascending=True),
    "esa-cci": Product(CCI, "sm", SURFACE, gain=0.7, offset=0.05, noise=0.03, present=0.4, east=True),
}


def write_compared(
    root: str, size: tuple[int, int] = (20, 20), years: tuple[int, int] = (2003, 2005), seed: int = 0, cosmos: int = 6
) -> None:
    """Write the stand-ins beside an invented Europe of the same size, years and seed, and `cosmos` neutron stations.

    `somo_v1/`, `gleam/`, `clm_da/`, `esa_cci/` with yearly files (see `PRODUCTS`), and the archive `cosmos/`.
    """
    home = domains_of(size, 1)[0]
    world = World.make(home, seed)
    first, last = (np.datetime64(day, "D") for day in (f"{years[0]}-01-01", f"{years[1]}-12-31"))
    moisture_by_day = [moisture for _, _, moisture in world.days(first, last)]
    days = np.arange(first, last + np.timedelta64(1, "D"))
    truth = np.where(world.land.land, np.stack(moisture_by_day), np.nan)
    write_products(root, home.grid, truth, days, seed)
    write_cosmos(join(root, "cosmos"), home.grid, truth, days, cosmos, seed)


def write_products(root: str, grid: Grid, truth: Array, days: NDArray[np.datetime64], seed: int) -> None:
    """Write the gridded stand-ins made of the truth [day, layer, lat, lon]."""
    years = days.astype("M8[Y]").astype(int) + 1970
    for year in np.unique(years).tolist():
        in_year = years == year
        for name, product in PRODUCTS.items():
            ds = standin(product, grid, truth[in_year], days[in_year], generator(seed, name, year))
            _write(ds, join(root, product.path.format(year=year)))


def standin(
    product: Product, grid: Grid, truth: Array, days: NDArray[np.datetime64], rng: np.random.Generator
) -> xr.Dataset:
    """A product's year from the truth [day, layer, lat, lon] on `grid`: nearest cells, errors, gaps, its own layout."""
    lat, lon = _covering(grid.lat, grid, product.step_deg), _covering(grid.lon, grid, product.step_deg)
    row, column = np.abs(lat[:, None] - grid.lat).argmin(1), np.abs(lon[:, None] - grid.lon).argmin(1)
    values = np.tensordot(truth, np.array(product.weights), axes=([1], [0]))[:, row][:, :, column]
    values = values * product.gain + product.offset + product.noise * rng.standard_normal(values.shape)
    values = np.where(rng.random(values.shape) < product.present, np.clip(values, 0, 1), np.nan).astype(np.float32)
    if product.east:
        lon = lon % 360
    axes = {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}
    ds = xr.Dataset(
        {product.variable: (("time", "lat", "lon"), values, {"units": product.units})},
        {"time": days.astype("M8[ns]"), **axes},
        {"source": "invented stand-in of somo.synthetic; not the product itself"},
    )
    return ds.sortby("lat", ascending=product.ascending).transpose(*product.dims).assign_attrs(fill=product.fill)


def _covering(centres: Array, grid: Grid, step_deg: float) -> Array:
    """Centres of cells of `step_deg`, at whole steps from zero, that cover an axis."""
    half = grid.step_deg / 2
    first, last = np.floor((centres.min() - half) / step_deg), np.ceil((centres.max() + half) / step_deg)
    return np.round((np.arange(first, last) + 0.5) * step_deg, 6)


def _write(ds: xr.Dataset, url: str) -> None:
    fill = np.float32(ds.attrs.pop("fill"))
    encoding = {str(name): {"_FillValue": fill, "zlib": True, "complevel": 1} for name in ds.data_vars}
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "file.nc")
        ds.to_netcdf(local, engine="h5netcdf", encoding=encoding)
        put_file(local, url)


def write_cosmos(root: str, grid: Grid, truth: Array, days: NDArray[np.datetime64], stations: int, seed: int) -> None:
    """Write a folder as COSMOS-Europe is laid out: a table of stations and an hourly file each."""
    land = np.flatnonzero(np.isfinite(truth[0, 0]))
    cells = generator(seed, "cosmos").permutation(land)[:stations]
    rows = []
    for k, cell in enumerate(cells):
        lat, lon = (float(c) for c in grid.centres(cell))
        row, column = divmod(int(cell), len(grid.lon))
        name = f"INV{k + 1:03d}"
        rows.append((name, f"Invented {k + 1}", "Nowhere", round(lat, 4), round(lon, 4), 100))
        table = neutron_record(truth[:, 0, row, column], days, generator(seed, name))
        path = f"processed_crns_data_and_diagnostics/{name}.csv"
        put(join(root, path), table.to_csv(index=False, float_format="%.4f").encode())
    information = pd.DataFrame(rows, columns=list(NETWORK_COLUMNS)).to_csv(index=False)
    put(join(root, "General_ information.csv"), information.encode("latin-1"))


def neutron_record(surface: Array, days: NDArray[np.datetime64], rng: np.random.Generator) -> pd.DataFrame:
    """Hourly record of a neutron station from daily surface soil moisture [day]; 2 percent of it is flagged."""
    hours = (days[0].astype("M8[h]") + np.arange(24 * len(days))).astype("M8[s]")
    # A daily mean stands for noon.
    value = np.interp(np.arange(24 * len(days)), 24 * np.arange(len(days)) + 12, surface)
    value = value * rng.normal(1, 0.05) + rng.normal(0, 0.02) + 0.01 * rng.standard_normal(len(value))
    value = np.clip(value, 0.01, 0.6)
    error = 0.02 + 0.1 * value**2
    # Flagged hours are plainly too wet, so that a reader who overlooks the flags is found out.
    bad = rng.random(len(value)) < 0.02
    flags = ("Flag_Extreme_Counts", "Flag_AirPressure_ERA5", "Flag_Porosity_Excess", "Flag_Snow_ERA5")
    moisture = "SoilMoisture_volumetric_MovAvg24h"
    return pd.DataFrame(
        {
            "DateTime_utc": [f"{t.replace('T', ' ')}+00:00" for t in np.datetime_as_string(hours, unit="s").tolist()],
            **{flag: np.where(bad, 1, 0) if flag == flags[0] else 0 for flag in flags},
            moisture: np.where(bad, value + 0.3, value),
            f"{moisture}_std": error,
            f"{moisture}_lower": value - error,
            f"{moisture}_upper": value + error,
            "Footprint_Radius_m": 180.0,
            "Footprint_Depth_m": 0.1 + 0.03 / (value + 0.1),
        }
    )
