"""Read a published version, without credentials and with few requests."""

import json
from typing import Literal

import xarray as xr
from obstore.store import HTTPStore, LocalStore, S3Store
from zarr.storage import ObjectStore

from somo.core.storage import StorageError, join

STORES = {"maps": "soil_moisture.zarr", "series": "soil_moisture_series.zarr"}
Bucket = HTTPStore | LocalStore | S3Store


def open_version(
    url: str, version: str = "latest", anon: bool = True, layout: Literal["maps", "series"] = "maps"
) -> xr.Dataset:
    """`somo.open`."""
    name = version.removeprefix("v") if version != "latest" else latest(url, anon)
    return open_zarr(join(url, f"v{name}", STORES[layout]), anon)


def latest(url: str, anon: bool = True) -> str:
    """The version released last.

    Raises
    ------
    StorageError
        if none was released
    """
    try:
        pointer = bytes(bucket(url, anon).get("latest.json").bytes())
    except OSError as error:
        raise StorageError(
            f"{join(url, 'latest.json')}: cannot be read ({error}); name a version or check the URL"
        ) from error
    return str(json.loads(pointer)["version"])


def open_zarr(url: str, anon: bool = True) -> xr.Dataset:
    """Open one Zarr store lazily, without dask."""
    store = ObjectStore(bucket(url, anon), read_only=True)
    try:
        return xr.open_zarr(store, consolidated=True, chunks=None, decode_coords="all")
    except (OSError, ValueError) as error:
        raise StorageError(f"{url}: no Zarr store can be opened ({error}); check URL and version") from error


def bucket(url: str, anon: bool = True) -> Bucket:
    """Object store of a URL; endpoint and region of S3 come from the usual `AWS_*` variables."""
    if "://" not in url:
        return LocalStore(url)
    if url.startswith("s3://"):
        return S3Store.from_url(url, skip_signature=anon, client_options={"allow_http": True})
    return HTTPStore.from_url(url, client_options={"allow_http": True})
