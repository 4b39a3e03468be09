"""What readers get: yearly NetCDF files and the inputs of validation beside the version's Zarr store."""

from collections.abc import Mapping

import xarray as xr
from distributed import Client

from flows.runtime import completed
from somo.core.product import Product
from somo.core.storage import exists, join, put, read_bytes, zarr_store
from somo.forcing.dataset import Inputs
from somo.publish import netcdf
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
    with xr.open_zarr(zarr_store(join(version_url, "soil_moisture.zarr")), consolidated=True, chunks=None) as store:
        years = netcdf.complete_years(store["time"].to_index(), store["status"].values == FINAL, product.period)
    missing = [
        (layer, year)
        for year in years
        for layer in product.layers
        if not exists(netcdf.file_url(version_url, product.name, layer.name, year))
    ]
    futures = [client.submit(netcdf.publish_year, version_url, product, *part, pure=False) for part in missing]
    for _ in completed(futures, "NetCDF files"):
        pass
