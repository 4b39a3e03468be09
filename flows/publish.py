"""What readers get beside the Zarr store: yearly files, the store for series, drought, the inputs of validation."""

from collections.abc import Mapping

import pandas as pd
import xarray as xr
from distributed import Client

from flows.runtime import completed
from somo.core.product import Product
from somo.core.storage import exists, join, put, read_bytes, zarr_store
from somo.forcing.dataset import Inputs
from somo.publish import drought_store, netcdf, series, zarr
from somo.publish.attributes import FINAL


def publish(
    product: Product,
    root: str,
    version_url: str,
    inputs: Mapping[str, Inputs],
    targets: str,
    models: str,
    client: Client,
) -> None:
    """Complete a version whose Zarr store is written; what exists is kept."""
    copy_validation(version_url, targets, models)
    write_netcdf(product, version_url, client)
    write_series(product, version_url, client)
    write_drought(product, version_url, client)


def copy_validation(version_url: str, targets: str, models: str) -> None:
    """Put targets, sensors and out-of-fold predictions where an outsider can judge the version by them."""
    sources = {
        "targets.parquet": targets,
        "sensors.parquet": targets.removesuffix(".parquet") + ".sensors.parquet",
        "crossval.parquet": join(models, "crossval.parquet"),
    }
    for name, source in sources.items():
        if not exists(url := join(version_url, "validation", name)):
            put(url, read_bytes(source))


def write_netcdf(product: Product, version_url: str, client: Client) -> None:
    """Write the yearly files that are complete and missing, one task each."""
    missing = [
        (layer, year)
        for year in _years(product, version_url)
        for layer in product.layers
        if not exists(netcdf.file_url(version_url, product.name, layer.name, year))
    ]
    futures = [client.submit(netcdf.publish_year, version_url, product, *part, pure=False) for part in missing]
    for _ in completed(futures, "NetCDF files"):
        pass


def write_series(product: Product, version_url: str, client: Client) -> None:
    """Bring the store for series up to the first one, one task a block and tile."""
    source, url = join(version_url, zarr.STORE), join(version_url, series.STORE)
    there, here = series.visible(source), zarr.read_visible(url)
    if here is not None and here.days == there.days and (here.status == there.status).all():
        return
    _, layout = series.template(product, source)
    plan = series.plan(layout, there, here)
    parts = [(block, tile) for block in plan.write for tile in layout.tiles()]
    futures = [client.submit(series.write_block, version_url, layout, *p, plan.side, pure=False) for p in parts]
    futures += [client.submit(series.copy_block, version_url, layout, b, plan.side, pure=False) for b in plan.keep]
    for _ in completed(futures, "series store"):
        pass
    series.publish(product, version_url, plan.side)


def write_drought(product: Product, version_url: str, client: Client) -> None:
    """Compute drought where there are years enough and windows that readers do not see yet, one task a tile."""
    base = drought_store.base_period(product, _years(product, version_url), drought_store.former_attrs(version_url))
    if base is None:
        return
    with _open(version_url) as store:
        shape = store.sizes["lat"], store.sizes["lon"]
        times = pd.DatetimeIndex(store["time"].to_index())
        windows = drought_store.Windows.of(product, times, store["status"].values, base)
    seen = drought_store.visible(version_url)
    if not drought_store.stale(windows, seen):
        return
    side = 0 if seen is None else 1 - seen.side
    tiles = drought_store.layouts(product, shape)[0].tiles()
    write = drought_store.write_tile
    futures = [client.submit(write, version_url, product, shape, windows, tile, side, pure=False) for tile in tiles]
    for _ in completed(futures, "drought"):
        pass
    drought_store.publish(version_url, product, windows, side)


def _open(version_url: str) -> xr.Dataset:
    return xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), consolidated=True, chunks=None)


def _years(product: Product, version_url: str) -> list[int]:
    with _open(version_url) as store:
        return netcdf.complete_years(
            pd.DatetimeIndex(store["time"].to_index()), store["status"].values == FINAL, product.period
        )
