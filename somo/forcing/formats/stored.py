"""The description of a variable that every format gives, and the protocol that a format follows.

A new format is a file beside this one with a class that follows `Format`, and its value in `register.FORMATS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.listing import SourceFile

Chunks = dict[tuple[int, ...], tuple[int, ...]]
Window = tuple[slice | NDArray[np.int64], ...]
# Names that producers give to the intervals of times, also where no attribute of the times names them.
TIME_BOUNDS = ("time_bnds", "time_bounds", "time_bnd")
# What packed numbers are multiplied with, and what is added, where a file does not say it.
SCALING = {"scale_factor": 1.0, "add_offset": 0.0}
# What NetCDF writes where nothing was, of types of more than one byte (netcdf.h).
DEFAULT_FILL: dict[str, float] = {
    "i2": -32767, "i4": -2147483647, "i8": -9223372036854775806, "u2": 65535, "u4": 4294967295,
    "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip


class UnreadableError(ValueError):
    """A file that cannot be used as it is; the text says what it is and what to do, without the file's name."""


@dataclass(frozen=True)
class Stored:
    """One variable as a file holds it.

    Attributes
    ----------
    dims, shape : of the variable, as stored
    attrs : its attributes; texts as `str`, numbers as NumPy scalars or arrays
    array : Zarr version 2 metadata: chunks, dtype, fill_value, filters, compressor, order
    chunks : place of every chunk: (offset, size[, filter mask]) by the chunk's number along each dimension; None where
        the format itself reads values (`Format.read`)
    coordinates : its axes, bounds, grid mapping and auxiliary coordinates, not decoded
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: dict[str, Any]
    array: dict[str, Any]
    chunks: Chunks | None
    coordinates: xr.Dataset


@dataclass(frozen=True)
class Variable:
    """One variable in a listing of a file's content."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    attrs: dict[str, Any] = field(default_factory=dict)


class Format(Protocol):
    """A kind of file. Its library is imported in its own file alone."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        """Every variable of a file, by the name to write in a declaration.

        Raises
        ------
        UnreadableError
            saying what is wrong with the file
        """

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        """Where the values of a variable lie, from the file's metadata alone.

        Parameters
        ----------
        select : choices along further dimensions, for formats that store these as separate fields (GRIB)

        Raises
        ------
        UnreadableError
            saying what is wrong with the file
        """


class Reading(Protocol):
    """A format whose library reads values itself, as its chunks have no fixed places in one file."""

    def read(self, file: SourceFile, variable: str, window: Window) -> NDArray[Any]:
        """Stored numbers of a window of the variable as it is stored."""


def zarr_metadata(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any], fill_value: Any, filters: list[Any]
) -> dict[str, Any]:
    """Zarr version 2 metadata of an array whose chunks went through `filters` (numcodecs configurations) in order."""
    return {
        "zarr_format": 2, "shape": list(shape), "chunks": list(chunks), "dtype": dtype.str, "order": "C",
        "fill_value": fill_value, "filters": filters or None, "compressor": None,
    }  # fmt: skip


def rows_of_plain_bytes(shape: tuple[int, ...], row_bytes: int, most: int = 2**20) -> int:
    """Rows of an uncompressed array that are one chunk: as many as divide its length and fit into `most` bytes."""
    # Chunks are equally long: of a number that does not divide the length, the last would reach beyond the array.
    length = shape[0]
    return next((n for n in range(min(length, max(1, most // max(row_bytes, 1))), 0, -1) if length % n == 0), 1)


def with_unpacked_coordinates(stored: Stored) -> Stored:
    """The same variable beside coordinates whose scale and offset have been applied, as satellite products pack them.

    Coordinates are otherwise left as stored: their fill values and ranges mean nothing that is needed here.
    """
    packed = {
        name: item
        for name, item in stored.coordinates.variables.items()
        if {"scale_factor", "add_offset"} & item.attrs.keys() and item.dtype.kind in "iuf"
    }
    if not packed:
        return stored
    unpacked = {}
    for name, item in packed.items():
        scale, offset = (float(np.ravel(item.attrs.get(key, default))[0]) for key, default in SCALING.items())
        unpacked[name] = xr.Variable(item.dims, item.values.astype("float64") * scale + offset, item.attrs)
    return replace(stored, coordinates=xr.Dataset({**dict(stored.coordinates.variables), **unpacked}))


def with_default_fill(attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> dict[str, Any]:
    """The attributes of a variable of NetCDF, with the fill value that its data type has where they name none.

    By the NetCDF Users Guide (appendix A, "Attribute Conventions") such numbers stand for no value, except in data of
    one byte, all of whose numbers may be values.
    """
    number = DEFAULT_FILL.get(f"{dtype.kind}{dtype.itemsize}")
    # Of numbers that an attribute makes unsigned, nobody says whether they were filled before or after.
    if number is None or "_FillValue" in attrs or "_Unsigned" in attrs:
        return dict(attrs)
    return {**attrs, "_FillValue": dtype.newbyteorder("=").type(number)}


def joined(dims: tuple[str, ...], values: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Dimensions and values of an array of single letters, its last dimension joined to texts; others unchanged.

    NetCDF-3 has no data type for texts and writes dates and names as single letters.
    """
    if values.dtype != np.dtype("S1") or not values.ndim:
        return dims, values
    length = values.shape[-1]
    rows = np.ascontiguousarray(values).view(f"S{length}").reshape(values.shape[:-1]) if length else values[..., 0]
    return dims[:-1], np.char.decode(rows, "utf-8", "replace")


def text(value: Any) -> Any:
    """An attribute's value, in which bytes and arrays of texts become one `str`; other values unchanged."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "SUO":
        texts = [text(element) for element in value.reshape(-1).tolist()]
        return texts[0] if len(texts) == 1 else " ".join(map(str, texts))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").rstrip("\0")
    return str(value) if isinstance(value, np.str_) else value
