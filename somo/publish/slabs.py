"""NetCDF-4 files larger than memory: their fields are read and written slab of times after slab."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
import xarray as xr
from xarray.backends import H5NetCDFStore

from somo.publish.store.packing import NO_FLAG

CHUNK = {"time": 32, "depth": 1, "lat": 72, "lon": 96}
FILL = np.float32(-9999)
EPOCH = "days since 1970-01-01 00:00:00"


def lazily(field: xr.DataArray, attrs: dict[str, Any]) -> xr.Variable:
    """A field of a store with other attributes, still unread."""
    # `.data` of a field that is opened without Dask would read all its times and cells: 3 GB of a year of Europe.
    variable = field.variable.copy(deep=False)
    variable.attrs, variable.encoding = attrs, {}
    return variable


def write_slabs(
    ds: xr.Dataset, fields: Sequence[str], path: Path, encoding: dict[str, dict[str, object]], steps: int
) -> None:
    """Write one file; equal Datasets give equal bytes.

    The file is laid out in the order in which values leave HDF5's cache, so the slabs are fixed by the format and not
    by how `ds` is chunked, and every variable is flushed in turn: left to the end, their order would be that of the
    library's handles, which depends on what the process did before. A profiler that keeps frames of Python, and with
    them handles, while they are looked at changes that order (`flows/cluster/workers.py`).

    Parameters
    ----------
    ds : what the file holds; `fields` of it may be unread, and have time in the file as their first dimension
    encoding : of everything but the fields
    steps : times of a slab; a whole number of chunks, as HDF5 would compress a chunk at its border twice
    """
    small = ds.drop_vars(list(fields)).load()
    with h5py.File(path, "w", track_order=True) as stored, h5netcdf.File(stored, "w") as file:
        small.dump_to_store(H5NetCDFStore(file), encoding=encoding, unlimited_dims=["time"])
        for name in ("lat", "lon"):
            file.variables[f"{name}_bnds"].attrs["units"] = ds[name].attrs["units"]
        for name in fields:
            _create(file, ds[name])
        for holder in (file, *file.variables.values()):
            _write_text(holder.attrs)
        for name in file.variables:
            stored[name].flush()
        for start in range(0, ds.sizes["time"], steps):
            slab = slice(start, start + steps)
            for name in fields:
                # Turned once it is read: a library that is asked to turn unread values reads them cell by cell, with
                # four indices of eight bytes for each of them.
                values = ds[name].isel(time=slab).load().transpose(*_dims(ds[name])).values
                kind, fill = _stored_as(ds[name])
                file.variables[name][slab] = np.where(np.isnan(values), fill, values).astype(kind)
                stored[name].flush()


def _create(file: h5netcdf.File, field: xr.DataArray) -> None:
    dims = _dims(field)
    chunks = tuple(min(CHUNK[d], field.sizes[d]) for d in dims)
    kind, fill = _stored_as(field)
    variable = file.create_variable(
        str(field.name), dims, kind, fillvalue=fill, chunks=chunks,
        compression="gzip", compression_opts=4, shuffle=True,
    )  # fmt: skip
    for key, value in field.attrs.items():
        variable.attrs[key] = value


def _dims(field: xr.DataArray) -> tuple[str, ...]:
    """Dimensions of a field in the file, which grows along the first one."""
    return ("time", *(str(d) for d in field.dims if d != "time"))


def _stored_as(field: xr.DataArray) -> tuple[str, np.float32 | np.int8]:
    """Type and fill value of a field: the stores unpack flags, too, to float32 with NaN."""
    return ("int8", NO_FLAG) if "flag_values" in field.attrs else ("float32", FILL)


def _write_text(attrs: h5netcdf.attrs.Attributes) -> None:
    """Write text as characters (NC_CHAR), which older tools and CF before 1.8 expect, instead of NC_STRING."""
    for key, value in list(attrs.items()):
        if isinstance(value, str):
            attrs[key] = np.bytes_(value.encode())
