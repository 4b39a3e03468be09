"""Read a published version, without credentials and with few requests."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import xarray as xr
from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError
from obstore.store import HTTPStore, LocalStore, S3Store
from zarr.storage import ObjectStore, StorePath

from somo.core.grid import Grid, distance_km
from somo.publish.complete import CompleteStore, CompleteZarr, first_line
from somo.storage.byte_ranges import retry_config
from somo.storage.objects import join
from somo.storage.patience import StorageError, unreachable

# A pointer names every version with a checksum: a thousand versions are 0.2 MB.
MOST_POINTER_BYTES = 2**24
STORES = {"maps": "soil_moisture.zarr", "series": "soil_moisture_series.zarr"}
Bucket = HTTPStore | LocalStore | S3Store
READ_ERRORS = (OSError, BaseError)
# obstore's word for everything that is no answer about the object: refused, broken off, or busy for too long.
NO_ANSWER = GenericError
REFUSED = (PermissionDeniedError, UnauthenticatedError)


def open_version(
    url: str, version: str = "latest", anon: bool = True, layout: Literal["maps", "series"] = "maps"
) -> xr.Dataset:
    """`somo.open`."""
    store = bucket(url, anon)
    name = version.removeprefix("v") if version != "latest" else _latest(url, store)
    return _open(url, store, f"v{name}/{STORES[layout]}")


def cell_at(maps: xr.Dataset, lat: float, lon: float) -> tuple[int, int]:
    """Row and column of the cell with values that holds a place, as far as its bounds reach.

    Parameters
    ----------
    maps : an open version, laid out for maps: its first day tells which cells have values
    lat, lon : degrees north and east

    Raises
    ------
    StorageError
        if the place lies in no cell, or in one without values; names the nearest cell that has some
    """
    grid = Grid.bounded(*(maps[name].values for name in ("lat", "lon", "lat_bnds", "lon_bnds")))
    filled = maps["soil_moisture"].isel(time=0).notnull().any("depth").values
    cell = int(grid.nearest(lat, lon, filled)[0])
    if cell >= 0 and filled.flat[cell]:
        return cell // len(grid.lon), cell % len(grid.lon)
    filled_cells = np.flatnonzero(filled)
    where = "lies outside the grid" if cell < 0 else "lies in a cell without values (sea, or no forcing)"
    if not len(filled_cells) or not np.isfinite([lat, lon]).all():
        raise StorageError(f"{lat:g} N {lon:g} E {where}; choose a place inside it")
    apart = distance_km(lat, lon, *grid.centres(filled_cells))
    near_lat, near_lon = (float(axis) for axis in grid.centres(filled_cells[apart.argmin()]))
    raise StorageError(
        f"{lat:g} N {lon:g} E {where}; the nearest cell with values is {near_lat:g} {near_lon:g}, "
        f"{apart.min():.0f} km away"
    )


def latest(url: str, anon: bool = True) -> str:
    """The version released last.

    Raises
    ------
    StorageError
        if none was released
    """
    return _latest(url, bucket(url, anon))


def open_zarr(url: str, anon: bool = True) -> xr.Dataset:
    """Open one Zarr store lazily, without dask."""
    return _open(url, bucket(url, anon))


def _latest(url: str, store: Bucket) -> str:
    try:
        answer = store.get("latest.json")
        # Asked before the bytes come: the bucket of a stranger may hold anything of any size.
        if (size := answer.meta["size"]) > MOST_POINTER_BYTES:
            raise StorageError(f"{join(url, 'latest.json')}: has {size} bytes, which is no pointer; check the URL")
        pointer = bytes(answer.bytes())
    except StorageError:
        raise
    except NO_ANSWER as error:
        raise unreachable(join(url, "latest.json"), first_line(error)) from error
    except READ_ERRORS as error:
        raise StorageError(
            f"{join(url, 'latest.json')}: cannot be read ({first_line(error)}); check the URL, name a version, "
            "or make one the latest with `somo release`"
        ) from error
    try:
        return str(json.loads(pointer)["version"])
    # Python refuses documents that are nested too deeply by this error.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StorageError(
            f"{join(url, 'latest.json')}: names no version ({first_line(error)}); check the URL, or name a version"
        ) from error


def _open(url: str, store: Bucket, group: str = "") -> xr.Dataset:
    """One client serves pointer, metadata and chunks: making another takes as long as several requests."""
    where = join(url, group) if group else url
    try:
        place = StorePath(CompleteStore(ObjectStore(store, read_only=True), url), group)
        zarr_group = CompleteZarr.open_group(place, consolidated=True, zarr_format=3)
        return xr.open_dataset(zarr_group, chunks=None, decode_coords="all")
    # A StorageError is an OSError, one of READ_ERRORS, and already says what is wrong.
    except StorageError:
        raise
    except NO_ANSWER as error:
        raise unreachable(where, first_line(error)) from error
    except (*READ_ERRORS, ValueError) as error:
        raise StorageError(
            # Behind these words zarr names its store object, which tells people nothing.
            f"{where}: no Zarr store can be opened ({first_line(error).split(' in store ')[0]}); check URL and version"
        ) from error


def bucket(url: str, anon: bool = True) -> Bucket:
    """Object store of a URL; endpoint and region of S3 come from the usual `AWS_*` variables."""
    if (folder := url.removeprefix("file://")) != url or "://" not in url:
        if not Path(folder).is_dir():
            raise StorageError(f"{url}: there is no such folder; check the path, or give s3://bucket or https://host")
        return LocalStore(folder)
    if url.startswith("s3://"):
        # obstore refuses plain http unless it is allowed; a server of one's own may have no certificate.
        return S3Store.from_url(
            url, skip_signature=anon, client_options={"allow_http": True}, retry_config=retry_config()
        )
    return HTTPStore.from_url(url, client_options={"allow_http": True}, retry_config=retry_config())
