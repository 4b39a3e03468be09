"""Zarr version 2 and 3, sharded or not: metadata by xarray, windows of values by zarr itself.

The fingerprint of a store is that of its metadata (`somo.forcing.listing.zarr_version`): adding days changes it,
replacing a chunk does not. A chunk that does not exist holds the store's fill value, as in xarray.
"""

import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from somo.forcing.formats.stored import TIME_BOUNDS, Stored, UnreadableError, Variable, Window, text, zarr_metadata
from somo.forcing.listing import SourceFile, zarr_version
from somo.storage.client import zarr_store

# As for HDF5 files: enough for the latitudes of 5000 x 6000 points.
MOST_COORDINATE_VALUES = 30_000_000
# zarr unpacks a chunk as a whole, whatever window is read: a larger one would end a worker of the usual memory.
MOST_CHUNK_BYTES = 2**31
# How long a store that has kept its metadata is taken for the same one: asking costs several requests.
SECONDS_TRUSTED = 10


class ZarrStore:
    """Groups of Zarr arrays; `variable` may be a path of groups."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        ds = _opened(file.url, "")
        return {
            str(n): Variable(tuple(map(str, v.dims)), v.shape, str(v.dtype), dict(v.attrs))
            for n, v in ds.variables.items()
        }

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        group, _, name = variable.rpartition("/")
        ds = _opened(file.url, group)
        if name not in ds.variables:
            names = ", ".join(map(str, ds.variables)) or "none that can be listed (consolidate its metadata)"
            raise UnreadableError(f"no variable {variable!r}; it has {names}: correct the variable")
        item = ds.variables[name]
        if item.dtype.kind not in "iufb" or not item.ndim:
            raise UnreadableError(f"{variable} is no field of numbers")
        array = _array(file.url, file.fingerprint, variable, _moment())
        if (chunk_bytes := math.prod(array.chunks) * array.dtype.itemsize) > MOST_CHUNK_BYTES:
            raise UnreadableError(
                f"has chunks of {chunk_bytes / 1e9:.1f} GB in {variable}, and {MOST_CHUNK_BYTES / 1e9:.1f} are read at "
                "once; write the store with smaller chunks"
            )
        fill = np.asarray(0 if array.fill_value is None else array.fill_value).item()
        return Stored(
            dims=tuple(map(str, item.dims)),
            shape=tuple(item.shape),
            attrs={key: _plain(value) for key, value in item.attrs.items()},
            array=zarr_metadata(item.shape, array.chunks, array.dtype, None if fill != fill else fill, []),
            chunks=None,
            coordinates=_coordinates(ds, name),
        )

    def read(self, file: SourceFile, variable: str, window: Window) -> NDArray[Any]:
        """Stored numbers of a window."""
        return np.asarray(_array(file.url, file.fingerprint, variable, _moment())[window])


def _plain(value: Any) -> Any:
    """Attributes of JSON as the other formats give them: lists of numbers as arrays."""
    if isinstance(value, list):
        return text(np.array(value))
    return value


def _opened(url: str, group: str) -> xr.Dataset:
    # An index of a dimension would be read whole, however long its metadata say that it is.
    how: dict[str, Any] = {
        "group": group or None, "decode_cf": False, "chunks": None, "create_default_indexes": False
    }  # fmt: skip
    try:
        with_all_metadata: xr.Dataset = xr.open_zarr(zarr_store(url), consolidated=True, **how)
        return with_all_metadata
    except (KeyError, ValueError, FileNotFoundError):
        # Without consolidated metadata the members are listed, which a web server cannot do.
        pass
    try:
        member_by_member: xr.Dataset = xr.open_zarr(zarr_store(url), consolidated=False, **how)
        return member_by_member
    except (KeyError, FileNotFoundError) as error:
        raise UnreadableError(f"has no group {group!r}; correct the variable") from error


def _coordinates(ds: xr.Dataset, name: str) -> xr.Dataset:
    """The small variables beside a variable that share its dimensions, and the bounds of those."""
    dims = set(ds.variables[name].dims)
    bounds = {str(v.attrs.get(key)) for v in ds.variables.values() for key in ("bounds", "climatology")}
    bounds |= {*TIME_BOUNDS}
    mapping = str(ds.variables[name].attrs.get("grid_mapping", "")).split(":")[0]
    beside = {}
    for key, item in ds.variables.items():
        if key in dims and item.size > MOST_COORDINATE_VALUES:
            raise UnreadableError(f"has {item.size} values in its coordinate {key}, too many to be true; get it again")
        # The only time of a store may have a dimension of its own.
        is_time = item.shape == (1,) and " since " in str(item.attrs.get("units", ""))
        wanted = (item.ndim <= 2 and set(item.dims) <= dims) or key in bounds or key == mapping or is_time
        if (
            key != name
            and wanted
            and item.size <= MOST_COORDINATE_VALUES
            and (item.ndim < 2 or _is_place(key, item, bounds))
        ):
            beside[str(key)] = xr.Variable(
                item.dims, _texts(item.values), {k: _plain(v) for k, v in item.attrs.items()}
            )
    return xr.Dataset(beside)


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    """Texts of any length, which zarr gives as objects, as NumPy's own texts; numbers unchanged."""
    if values.dtype.kind not in "OST":
        return values
    return np.array([text(value) for value in values.reshape(-1).tolist()], dtype=str).reshape(values.shape)


def _is_place(name: Any, item: xr.Variable, bounds: set[str]) -> bool:
    description = f"{item.attrs.get('standard_name', '')} {item.attrs.get('units', '')}".lower()
    return str(name) in bounds or any(word in description for word in ("latitude", "longitude", "degree", " since "))


def _moment() -> int:
    """Number of the present span of time, in which a store is asked for its version once."""
    return int(time.monotonic() // SECONDS_TRUSTED)


@lru_cache(maxsize=256)
def _array(url: str, fingerprint: str, variable: str, _moment: int) -> zarr.Array[Any]:
    """An array of a store that still has its fingerprint, opened once in a process and a moment."""
    if (current_version := zarr_version(url, variable)) != fingerprint:
        raise UnreadableError(
            f"was changed after it was referenced (version then {fingerprint}, now {current_version}); "
            "run the ingest stage again"
        )
    return zarr.open_array(zarr_store(url), path=variable, mode="r")
