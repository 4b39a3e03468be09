"""NetCDF-3: classic, 64-bit offset and 64-bit data, from the file's header (the NetCDF classic format specification).

SciPy's reader, on which kerchunk's is built, loads every fixed-size variable when it opens a file. Here only the header
is read, since a global field of 1 GB may lie behind a network.
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from somo.forcing.formats.opening import Handle, file_handle, without_circle
from somo.forcing.formats.stored import (
    TIME_BOUNDS,
    Chunks,
    Stored,
    UnreadableError,
    Variable,
    joined,
    rows_of_plain_bytes,
    with_default_fill,
    zarr_metadata,
)
from somo.forcing.listing import SourceFile

DIMENSIONS, VARIABLES, ATTRIBUTES = 0x0A, 0x0B, 0x0C
TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: ">u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
# Of bytes, which have no number that stands for no value, NetCDF still writes one where nothing was written.
BYTE_FILL = {">i1": -127, ">u1": 255}
# Dimensions, variables or attributes that a header may have: a damaged one claims billions.
MOST_ENTRIES = 100_000


@dataclass(frozen=True)
class _Placed:
    """A variable of the header; `begin` is where its bytes are."""

    name: str
    dims: tuple[str, ...]
    attrs: dict[str, Any]
    dtype: str
    begin: int
    record: bool


class NetCdf3:
    """Files in the three classic formats of NetCDF."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        with file_handle(file) as handle:
            header = _Header(handle)
            return {
                v.name: Variable(v.dims, header.shape(v), np.dtype(v.dtype).name, v.attrs)
                for v in header.placed.values()
            }

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        with file_handle(file) as handle:
            header = _Header(handle)
            if variable not in header.placed:
                raise UnreadableError(
                    f"no variable {variable!r}; it has {', '.join(header.placed)}: correct the variable"
                )
            placed = header.placed[variable]
            shape = header.shape(placed)
            if placed.dtype == "S1" or not shape:
                raise UnreadableError(f"{variable} is no field of numbers")
            rows, chunks = header.places(placed)
            attrs = with_default_fill(placed.attrs, np.dtype(placed.dtype))
            fill = attrs.get("_FillValue", BYTE_FILL.get(placed.dtype, 0))
            return Stored(
                dims=placed.dims,
                shape=shape,
                attrs=attrs,
                array=zarr_metadata(shape, (rows, *shape[1:]), np.dtype(placed.dtype), float(np.ravel(fill)[0]), []),
                chunks=chunks,
                coordinates=xr.Dataset({v.name: header.load(v) for v in header.beside(placed)}),
            )


class _Header:
    """The header of a file, read from its beginning."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        handle.seek(0)
        self.version = handle.read(4)[3]
        try:
            self.records = self._count()
            self.lengths = self._dimensions()
            self.names = list(self.lengths)
            self.attrs = self._attributes()
            self.placed = {v.name: v for v in self._variables()}
        except (struct.error, KeyError, IndexError, UnicodeDecodeError, MemoryError) as error:
            if handle.failure is not None:
                raise without_circle(handle.failure, error) from None
            raise UnreadableError("has a damaged or truncated NetCDF-3 header; get it again") from error
        self.record_bytes = self._record_bytes()
        # By the specification, the largest number says that the number of records was never written.
        if self.records == (2**32 - 1 if self.version < 5 else 2**64 - 1):
            raise UnreadableError("is a NetCDF-3 stream that was never finished; get it again")

    def shape(self, placed: _Placed) -> tuple[int, ...]:
        """Lengths of a variable's dimensions; the header gives the unlimited one, that of records, as 0."""
        return tuple(self.lengths[d] or self.records for d in placed.dims)

    def row_bytes(self, placed: _Placed) -> int:
        """Bytes of one record, or of one row of a variable without records."""
        return math.prod(self.shape(placed)[1:]) * np.dtype(placed.dtype).itemsize

    def places(self, placed: _Placed) -> tuple[int, Chunks]:
        """Rows in a chunk and the place of every chunk."""
        shape = self.shape(placed)
        rows = 1 if placed.record else rows_of_plain_bytes(shape, self.row_bytes(placed))
        distance = self.record_bytes if placed.record else rows * self.row_bytes(placed)
        size, numbers_across = rows * self.row_bytes(placed), (0,) * (len(shape) - 1)
        end = placed.begin + (shape[0] // rows - 1) * distance + size
        if shape[0] and end > self.handle.size:
            raise UnreadableError(
                f"is truncated: {placed.name} ends at byte {end}, the file at {self.handle.size}, as after an "
                "interrupted download; get it again"
            )
        return rows, {(n, *numbers_across): (placed.begin + n * distance, size) for n in range(shape[0] // rows)}

    def beside(self, placed: _Placed) -> list[_Placed]:
        """Coordinates of a variable: all variables whose one or two dimensions it shares, and their bounds."""
        others = [v for v in self.placed.values() if v.name != placed.name]
        # the last dimension of letters is the length of a text
        places = [v for v in others if set(v.dims[:-1] if v.dtype == "S1" else v.dims) <= set(placed.dims)]
        small = [v for v in places if len(v.dims) <= 2]
        # The only time of a file may have a dimension of its own.
        times = [v for v in others if self.shape(v) == (1,) and " since " in str(v.attrs.get("units", ""))]
        small += [v for v in times if v not in small]
        bounds = {str(v.attrs.get(key, "")) for v in small for key in ("bounds", "climatology")} | {*TIME_BOUNDS}
        return small + [v for v in self.placed.values() if v.name in bounds and v not in small]

    def load(self, placed: _Placed) -> xr.Variable:
        """A small variable with its values, in the byte order of this machine."""
        shape, dtype = self.shape(placed), np.dtype(placed.dtype)
        if not shape:
            self.handle.seek(placed.begin)
            values = np.frombuffer(self.handle.read(dtype.itemsize), dtype)
            return xr.Variable((), values[0] if len(values) else 0, placed.attrs)
        chunk_bytes = []
        for offset, size in self.places(placed)[1].values():
            self.handle.seek(offset)
            chunk_bytes.append(self.handle.read(size))
        values = np.frombuffer(b"".join(chunk_bytes), dtype).reshape(shape)
        if dtype.kind != "S":
            values = values.astype(dtype.newbyteorder("="))
        return xr.Variable(*joined(placed.dims, values), placed.attrs)

    def _record_bytes(self) -> int:
        """Distance between records; a single record variable is not padded to four bytes."""
        sizes = [self.row_bytes(v) for v in self.placed.values() if v.record]
        return sizes[0] if len(sizes) == 1 else sum(-(-size // 4) * 4 for size in sizes)

    def _number(self, form: str) -> int:
        return int(struct.unpack(form, self.handle.read(struct.calcsize(form)))[0])

    def _count(self) -> int:
        return self._number(">Q" if self.version == 5 else ">I")

    def _entries(self, expected: int) -> range:
        tag, count = self._number(">I"), self._count()
        # A list that is absent is written as two zeros.
        if tag not in (0, expected) or count > MOST_ENTRIES or (tag == 0 and count):
            raise KeyError(tag)
        return range(count)

    def _name(self) -> str:
        length = self._count()
        if length > MOST_ENTRIES:
            raise KeyError(length)
        return self.handle.read(-(-length // 4) * 4)[:length].decode()

    def _dimensions(self) -> dict[str, int]:
        return {self._name(): self._count() for _ in self._entries(DIMENSIONS)}

    def _attributes(self) -> dict[str, Any]:
        attrs: dict[str, Any] = {}
        for _ in self._entries(ATTRIBUTES):
            name, dtype, count = self._name(), np.dtype(TYPES[self._number(">I")]), self._count()
            size = count * dtype.itemsize
            if size > self.handle.size:
                raise KeyError(size)
            data = self.handle.read(-(-size // 4) * 4)[:size]
            values = np.frombuffer(data, dtype)
            if dtype.kind == "S":
                attrs[name] = data.decode("utf-8", "replace").rstrip("\0")
            else:
                native = values.astype(dtype.newbyteorder("="))
                attrs[name] = native[0] if len(native) == 1 else native
        return attrs

    def _variables(self) -> list[_Placed]:
        placed = []
        for _ in self._entries(VARIABLES):
            name = self._name()
            dims = tuple(self.names[self._count()] for _ in range(self._count()))
            attrs, dtype = self._attributes(), TYPES[self._number(">I")]
            # The size of the variable, which the specification calls redundant: in 32 bits it is wrong beyond 4 GiB.
            self._count()
            begin = self._number(">I" if self.version == 1 else ">Q")
            placed.append(_Placed(name, dims, attrs, dtype, begin, bool(dims) and self.lengths[dims[0]] == 0))
        return placed
