"""Bytes of one member of a zip: found in the bytes that were read, inflated within a declared bound, and checked.

The bytes come from strangers. Nothing is ever written under a member's own name, nothing inflates beyond what the
zip's directory declares, and that is bounded.
"""

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from somo.insitu.errors import SensorError

# For one sensor's file once inflated: forty years of hourly values in the longest layout are 42 MB.
MOST_MEMBER_BYTES = 2**29
HEADER = struct.Struct("<4s22xHH")
"""A local header: its signature, and the lengths of the name and the extra field that follow it."""
STORED, DEFLATED = 0, 8
PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Packed:
    """Where a member lies in a zip, as the zip's directory declares.

    Attributes
    ----------
    start, stop : its bytes with local header, up to the next member
    compressed, size : bytes of its data, before and after inflating
    method : compression method of the zip format
    crc : CRC-32 of its data
    encrypted : whether a password is needed
    inside : the zips that hold its zip, outermost first
    """

    start: int
    stop: int
    compressed: int
    size: int
    method: int
    crc: int
    encrypted: bool
    inside: tuple["Packed", ...] = ()


def inflate(packed: Packed, raw: bytes, name: str) -> bytes:
    """A member's data from its bytes `raw` of `packed.start`..`packed.stop`.

    Raises
    ------
    SensorError
        if it is encrypted, damaged, of another method, or larger than declared or allowed
    """
    _require_readable(packed, name)
    if packed.size > MOST_MEMBER_BYTES:
        raise SensorError(f"{name} would inflate to {packed.size} bytes, more than the {MOST_MEMBER_BYTES} allowed")
    offset = _data_offset(raw, name)
    data = raw[offset : offset + packed.compressed]
    if len(data) < packed.compressed:
        raise SensorError(f"{name} is cut short or overlaps another member; download the archive again")
    if packed.method == DEFLATED:
        # One byte more than declared tells a member that goes on beyond its declared size, without inflating it.
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, packed.size + 1)
        except zlib.error as error:
            raise SensorError(f"{name} is broken inside the archive ({error}); download it again") from error
    if len(data) > packed.size:
        raise SensorError(f"{name} inflates beyond the {packed.size} bytes that its zip declares")
    if len(data) < packed.size or zlib.crc32(data) != packed.crc:
        raise SensorError(f"{name} is broken inside the archive (its checksum differs); download it again")
    return data


@contextmanager
def unpacked(file: IO[bytes], packed: Packed, name: str, origin: int = 0) -> Iterator[IO[bytes]]:
    """A zip that lies in the zip open as `file`, as a temporary file without a name.

    Parameters
    ----------
    origin : first byte of `file` in the object that `packed.start` counts in

    Raises
    ------
    SensorError
        as `inflate`, or if the disk has no room for it
    """
    _require_readable(packed, name)
    with tempfile.TemporaryFile(prefix="somo-zip-") as copy:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        # Half of the free space is left to others, and what would not fit is told before the disk is full.
        if packed.size > free // 2:
            raise SensorError(f"{name} would inflate to {packed.size} bytes, and {free} are free; unpack it elsewhere")
        file.seek(data_start(file, packed.start - origin, name))
        size, crc = 0, 0
        for data in _pieces(file, packed, name):
            size += len(data)
            crc = zlib.crc32(data, crc)
            if size > packed.size:
                raise SensorError(f"{name} inflates beyond the {packed.size} bytes that its zip declares")
            copy.write(data)
        if size < packed.size or crc != packed.crc:
            raise SensorError(f"{name} is broken inside the archive (its checksum differs); download it again")
        copy.seek(0)
        yield copy


def _pieces(file: IO[bytes], packed: Packed, name: str) -> Iterator[bytes]:
    """The data of a member piece by piece, so that memory does not grow with it."""
    # Members of a zip are bare deflate streams; negative window bits tell zlib not to look for its own header.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if packed.method == DEFLATED else None
    remaining = packed.compressed
    while remaining and (raw := file.read(min(PIECE_BYTES, remaining))):
        remaining -= len(raw)
        if inflater is None:
            yield raw
            continue
        while raw:
            try:
                yield inflater.decompress(raw, PIECE_BYTES)
            except zlib.error as error:
                raise SensorError(f"{name} is broken inside the archive ({error}); download it again") from error
            raw = inflater.unconsumed_tail
    if inflater is not None:
        yield inflater.flush(PIECE_BYTES)


def _require_readable(packed: Packed, name: str) -> None:
    if packed.encrypted:
        raise SensorError(f"{name} is encrypted; unpack the archive with its password first")
    if packed.method not in (STORED, DEFLATED):
        raise SensorError(
            f"{name} is compressed by method {packed.method} of the zip format; pack it again with deflate"
        )


def data_start(file: IO[bytes], header: int, name: str) -> int:
    """Where the data of the member begin whose local header lies at `header` of a file."""
    file.seek(header)
    return header + _data_offset(file.read(HEADER.size), name)


def _data_offset(raw: bytes, name: str) -> int:
    """Where a member's data begin after its local header, whose lengths may differ from the directory's."""
    if len(raw) < HEADER.size or not raw.startswith(b"PK\3\4"):
        raise SensorError(f"{name} is not where its zip says; download the archive again")
    _, name_bytes, extra_bytes = HEADER.unpack(raw[: HEADER.size])
    return int(HEADER.size + name_bytes + extra_bytes)
