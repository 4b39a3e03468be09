"""What readers get beside the Zarr store: yearly files, the store for series, drought, the inputs of validation."""

from collections.abc import Mapping

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
    _, layout = series.template(product, source)
    there, here = zarr.read_visible(source), zarr.read_visible(url)
    if there is None or (here is not None and here.days == there.days and (here.status == there.status).all()):
        return
    parts = [(block, tile) for block in series.stale_blocks(layout, there, here) for tile in layout.tiles()]
    futures = [client.submit(series.write_block, version_url, layout, *part, pure=False) for part in parts]
    for _ in completed(futures, "series store"):
        pass
    series.publish(product, version_url)


def write_drought(product: Product, version_url: str, client: Client) -> None:
    """Compute drought where there are years enough and windows that readers do not see yet, one task a tile."""
    base = drought_store.base_period(product, _years(product, version_url), drought_store.former_attrs(version_url))
    if base is None:
        return
    with _open(version_url) as store:
        shape = store.sizes["lat"], store.sizes["lon"]
        windows = drought_store.Windows.of(product, store["time"].to_index(), store["status"].values, base)
    if not drought_store.stale(windows, drought_store.former_status(version_url)):
        return
    tiles = drought_store.layouts(product, shape)[0].tiles()
    write = drought_store.write_tile
    futures = [client.submit(write, version_url, product, shape, windows, tile, pure=False) for tile in tiles]
    for _ in completed(futures, "drought"):
        pass
    drought_store.publish(version_url, product, windows)


def _open(version_url: str) -> xr.Dataset:
    return xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), consolidated=True, chunks=None)


def _years(product: Product, version_url: str) -> list[int]:
    with _open(version_url) as store:
        return netcdf.complete_years(store["time"].to_index(), store["status"].values == FINAL, product.period)
