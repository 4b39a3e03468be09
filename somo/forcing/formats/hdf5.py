"""HDF5 and NetCDF-4: h5py finds the positions of chunks without reading any.

Chunks that numcodecs can decode become plain Zarr chunks, which other tools read too. For every other filter that
libhdf5 has (`hdf5plugin` brings bitshuffle, LZ4, Blosc, bzip2, ZFP, SZ and more; szip, LZF, N-bit and scale-offset
are its own), and where HDF5 left filters out of single chunks, `somo.forcing.formats.hdf5_chunk` decodes.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers its filters with libhdf5)
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.formats.hdf5_filters import numcodecs_of, pipeline_of
from somo.forcing.formats.opening import file_handle
from somo.forcing.formats.stored import (
    TIME_BOUNDS,
    Chunks,
    Stored,
    UnreadableError,
    Variable,
    Window,
    joined,
    rows_of_plain_bytes,
    text,
    with_default_fill,
    zarr_metadata,
)
from somo.forcing.listing import SourceFile

CONTIGUOUS, CHUNKED = h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED
# Filters whose chunks can be decoded one by one. The others change their own parameters when a dataset is made, so
# that a chunk of them can only be read in its own file.
BY_CHUNK = {1, 2, 3, 4, 5, 6, 307, 32000, 32001, 32004, 32008, 32015}
# Latitudes of 5000 x 6000 points; a thousand years of hours have 9 million. A few kB may declare any number.
MOST_COORDINATE_VALUES = 30_000_000


class Hdf5:
    """Files of the HDF5 library, NetCDF-4 among them."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        with file_handle(file) as handle, _opened(handle) as h5:
            names: list[str] = []
            h5.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
            return {
                name: Variable(_dims(h5[name]), h5[name].shape or (), str(h5[name].dtype), _attrs(h5[name]))
                for name in names
                if not _is_plain_dimension(h5[name])
            }

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        with file_handle(file) as handle, _opened(handle) as h5:
            if variable not in h5 or not isinstance(h5[variable], h5py.Dataset):
                names = ", ".join(_names(h5))
                raise UnreadableError(f"no variable {variable!r}; it has {names}: correct the variable")
            dataset = h5[variable]
            chunk, chunks = _places(dataset, handle)
            return Stored(
                dims=_dims(dataset),
                shape=dataset.shape,
                attrs=_attrs_with_fill(dataset),
                array=_array(dataset, chunk, chunks),
                chunks=chunks,
                coordinates=_coordinates(h5, dataset),
            )

    def read(self, file: SourceFile, variable: str, window: Window) -> NDArray[Any]:
        """Stored numbers of a window, where chunks cannot be decoded one by one."""
        with file_handle(file) as handle, _opened(handle) as h5:
            return np.asarray(h5[variable][window])


def _opened(handle: Any) -> h5py.File:
    try:
        return h5py.File(handle, "r")
    except OSError as error:
        if sizes := re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error)):
            raise UnreadableError(
                f"is truncated: it has {sizes[1]} of {sizes[2]} bytes, as after an interrupted download; get it again"
            ) from error
        raise UnreadableError(f"is a damaged HDF5 file ({str(error).strip()}); get it again") from error


def _names(h5: h5py.File) -> Iterator[str]:
    for name in h5:
        if isinstance(h5[name], h5py.Group):
            yield from (f"{name}/{inner}" for inner in _names(h5[name]))
        else:
            yield name


def _is_plain_dimension(dataset: h5py.Dataset) -> bool:
    """Whether a dataset only stands for a NetCDF dimension without coordinate."""
    return str(text(dataset.attrs.get("NAME", ""))).startswith("This is a netCDF dimension but not a netCDF variable")


def _attrs(dataset: h5py.Dataset) -> dict[str, Any]:
    """Attributes that are texts or numbers; references to other objects are left out."""
    attrs = {}
    for name in dataset.attrs:
        value = text(dataset.attrs[name])
        if isinstance(value, h5py.Empty):
            value = ""
        if isinstance(value, str) or np.asarray(value).dtype.kind in "iufb":
            attrs[name] = value
    return attrs


def _attrs_with_fill(dataset: h5py.Dataset) -> dict[str, Any]:
    """Attributes of a variable; where NetCDF's library has filled it with its own number, this stands for no value."""
    attrs = _attrs(dataset)
    filled = with_default_fill(attrs, dataset.dtype)
    # Other programs than NetCDF leave HDF5's fill value at 0, and what they store may well be -32767.
    is_by_netcdf = "_FillValue" in filled and dataset.fillvalue == filled["_FillValue"]
    return filled if is_by_netcdf else attrs


def _dims(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of the dimensions: their scales, else `DimensionNames` (NASA), else the group's fitting coordinate."""
    if dataset.shape is None:
        return ()
    if dataset.ndim == 1 and (dataset.is_scale or not len(dataset.dims[0])):
        return (_short(dataset.name),)
    listed = str(text(dataset.attrs.get("DimensionNames", ""))).split(",")
    names = []
    for number, length in enumerate(dataset.shape):
        scales = _scales(dataset, number)
        if scales or (number == 0 and dataset.is_scale):
            names.append(_short(scales[0].name if scales else dataset.name))
        elif len(listed) == dataset.ndim:
            names.append(listed[number].strip())
        elif dataset.is_scale and "_Netcdf4Coordinates" in dataset.attrs:
            names.append(_by_number(dataset, int(dataset.attrs["_Netcdf4Coordinates"][number])))
        else:
            names.append(_fitting(dataset, length) or f"dim_{number}")
    return tuple(names) if len(set(names)) == len(names) else tuple(f"dim_{n}" for n in range(dataset.ndim))


def _scales(dataset: h5py.Dataset, number: int) -> list[h5py.Dataset]:
    """The scales of a dimension.

    NetCDF-4 makes variables of an unlimited dimension only as long as they were written, so that the lengths of two may
    differ. A coordinate of letters, as dates are written, has a scale of their number as a second dimension.
    """
    length, may_grow = dataset.shape[number], dataset.maxshape[number] is None
    return [
        scale
        for scale in dataset.dims[number].values()
        if scale.shape[:1] == (length,) or (may_grow and scale.maxshape[:1] == (None,))
    ]


def _by_number(dataset: h5py.Dataset, wanted: int) -> str:
    """The dimension of NetCDF-4 with a number, by which variables with a dimension's own name know their other ones."""
    group = dataset.parent
    while True:
        for name, item in group.items():
            if isinstance(item, h5py.Dataset) and item.is_scale and item.attrs.get("_Netcdf4Dimid") == wanted:
                return str(name)
        if group.name == "/":
            return f"dim_{wanted}"
        group = group.parent


def _fitting(dataset: h5py.Dataset, length: int) -> str | None:
    """The only one-dimensional coordinate of this length in a variable's group."""
    fitting = [
        name
        for name, item in dataset.parent.items()
        if isinstance(item, h5py.Dataset) and item.shape == (length,) and text(item.attrs.get("units", ""))
    ]
    return fitting[0] if len(fitting) == 1 else None


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _places(dataset: h5py.Dataset, handle: Any) -> tuple[tuple[int, ...], Chunks | None]:
    """Shape of a chunk, and the place of every chunk that was written; None where only libhdf5 can find them."""
    if dataset.shape is None or dataset.ndim == 0:
        raise UnreadableError(f"{dataset.name.lstrip('/')} is a single number and no field")
    plist = dataset.id.get_create_plist()
    layout = plist.get_layout()
    # The values of a compact dataset lie within its header and have no address of their own.
    by_library = layout == h5py.h5d.COMPACT or not _is_stored_plainly(dataset)
    if by_library or not {step[0] for step in pipeline_of(dataset)} <= BY_CHUNK:
        return dataset.chunks or dataset.shape, None
    if layout == CHUNKED:
        chunks: Chunks = {}

        def keep(info: Any) -> None:
            number = tuple(int(o // c) for o, c in zip(info.chunk_offset, dataset.chunks, strict=True))
            chunks[number] = (int(info.byte_offset), int(info.size), int(info.filter_mask))

        if dataset.id.get_num_chunks():
            # One walk through the index of chunks: asking for one after another would walk it anew for each.
            dataset.id.chunk_iter(keep)
        return dataset.chunks, _inside(dataset, chunks, handle)
    if layout != CONTIGUOUS or plist.get_external_count():
        raise UnreadableError(
            f"{dataset.name.lstrip('/')} is a virtual or external HDF5 dataset, whose values lie in other files; write "
            "it out with h5repack"
        )
    # Values in one piece, without filters, are cut into chunks of rows.
    row_bytes = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    rows = rows_of_plain_bytes(dataset.shape, row_bytes)
    offset, size = dataset.id.get_offset(), rows * row_bytes
    numbers_across = (0,) * (dataset.ndim - 1)
    count = 0 if offset is None else dataset.shape[0] // rows
    places: Chunks = {(n, *numbers_across): (int(offset) + n * size, size) for n in range(count)}
    return (rows, *dataset.shape[1:]), _inside(dataset, places, handle)


def _is_stored_plainly(dataset: h5py.Dataset) -> bool:
    """Whether the stored bytes of a number are those of its NumPy type."""
    # Numbers of 12 bits in two bytes, as N-bit packs them, may begin at any bit and have anything in the other four.
    return dataset.dtype.kind not in "iuf" or bool(dataset.id.get_type().equal(h5py.h5t.py_create(dataset.dtype)))


def _inside(dataset: h5py.Dataset, chunks: Chunks, handle: Any) -> Chunks:
    for offset, size, *_ in chunks.values():
        if offset + size > handle.size:
            raise UnreadableError(
                f"a chunk of {dataset.name.lstrip('/')} lies beyond its end; it is truncated: get it again"
            )
    return chunks


def _array(dataset: h5py.Dataset, chunk: tuple[int, ...], chunks: Chunks | None) -> dict[str, Any]:
    if dataset.dtype.kind not in "iufb":
        raise UnreadableError(f"{dataset.name.lstrip('/')} holds {dataset.dtype} and no numbers")
    pipeline = pipeline_of(dataset)
    # numcodecs cannot leave a filter out for single chunks.
    masked = any(len(place) > 2 and place[2] for place in (chunks or {}).values())
    filters = None if masked else numcodecs_of(pipeline, dataset.dtype)
    if chunks is None:
        filters = []
    elif filters is None:
        filters = [
            {
                "id": "somo_hdf5", "pipeline": pipeline, "dtype": dataset.dtype.str, "chunk": list(chunk),
                "fill": _plain(dataset.fillvalue),
            }
        ]  # fmt: skip
    return zarr_metadata(dataset.shape, chunk, dataset.dtype, _plain(dataset.fillvalue), filters)


def _plain(value: Any) -> Any:
    """A fill value as JSON has it."""
    number = value.item() if hasattr(value, "item") else value
    return str(number) if isinstance(number, float) and not math.isfinite(number) else number


def _coordinates(h5: h5py.File, dataset: h5py.Dataset) -> xr.Dataset:
    """Axes, bounds, grid mapping and auxiliary coordinates of a variable."""
    wanted = [*_dims(dataset)]
    for key in ("coordinates", "grid_mapping", "ancillary_variables"):
        wanted += [word.rstrip(":") for word in str(text(dataset.attrs.get(key, ""))).split()]
    items: dict[str, h5py.Dataset] = {}
    for number, name in enumerate(_dims(dataset)):
        scales = _scales(dataset, number)
        if scales and not _is_plain_dimension(scales[0]):
            items[name] = scales[0]
    # In NetCDF-4 a group sees the variables of the groups above it, the nearest first.
    groups = [dataset.parent]
    while groups[-1].name != "/":
        groups.append(groups[-1].parent)
    for group in groups:
        for name, item in group.items():
            is_wanted = name in wanted or name in TIME_BOUNDS
            if isinstance(item, h5py.Dataset) and name not in items and (is_wanted or _is_place(item, dataset)):
                items[name] = item
        for item in list(items.values()):
            for key in ("bounds", "climatology"):
                name = str(text(item.attrs.get(key, "")))
                if name in group:
                    items.setdefault(_short(name), group[name])
    items.pop(_short(dataset.name), None)
    # Dimensions along which the variable was not written as far as its scale, or the other way round.
    lengths = {
        scale.name: length
        for number, length in enumerate(dataset.shape)
        for scale in _scales(dataset, number)[:1]
        if scale.shape[:1] != (length,)
    }
    return xr.Dataset({name: _as_far(item, lengths) for name, item in items.items() if _is_loadable(item)})


def _as_far(item: h5py.Dataset, lengths: Mapping[str, int]) -> xr.Variable:
    """A coordinate as far as the variable was written: of days that only have a time there is nothing yet.

    Parameters
    ----------
    lengths : length of the variable by the full name of a scale
    """
    coordinate = _loaded(item)
    for number, dim in enumerate(coordinate.dims):
        scales = [item, *_scales(item, number)] if number == 0 else _scales(item, number)
        length = next((lengths[scale.name] for scale in scales if scale.name in lengths), item.shape[number])
        if item.shape[number] < length:
            raise UnreadableError(
                f"has {item.shape[number]} of {length} entries in {_short(item.name)}, which was not written to its "
                "end; complete it"
            )
        coordinate = coordinate.isel({dim: slice(length)})
    return coordinate


def _is_place(item: h5py.Dataset, dataset: h5py.Dataset) -> bool:
    """Whether a dataset gives places or times: latitudes, longitudes, times, experiment versions."""
    description = (
        f"{text(item.attrs.get('standard_name', ''))} {text(item.attrs.get('units', ''))} {_short(item.name)}".lower()
    )
    signs = (
        "latitude", "longitude", "degrees_north", "degrees_east", "degree_north", "degree_east", " since ", "expver",
        "grid_mapping_name",
    )  # fmt: skip
    return any(word in description for word in signs) or "grid_mapping_name" in item.attrs


def _is_loadable(item: h5py.Dataset) -> bool:
    small = item.shape is not None and item.size <= MOST_COORDINATE_VALUES
    if item.ndim == 1 and not small:
        raise UnreadableError(
            f"{_short(item.name)} declares {item.size} values, more than {MOST_COORDINATE_VALUES}; it is "
            "damaged: get it again"
        )
    return small and not _is_plain_dimension(item) and item.dtype.kind in "iufbSO"


def _loaded(item: h5py.Dataset) -> xr.Variable:
    values = item[()]
    if item.dtype == "S1" and item.ndim:
        return xr.Variable(*joined(_dims(item), values), _attrs(item))
    if item.dtype.kind in "SO":
        flat = [text(value) for value in np.asarray(values, object).reshape(-1).tolist()]
        values = np.array(flat, dtype=str).reshape(np.shape(values))
    names = _dims(item) if np.ndim(values) else ()
    return xr.Variable(tuple(f"{n}" for n in names), values, _attrs(item))
