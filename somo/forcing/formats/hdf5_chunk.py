"""A chunk of HDF5 decoded by libhdf5 itself: it is written, still encoded, into a file in memory and read from there.

The compressed sizes are looked at first, so that a chunk that claims to be far larger than its array says is refused
before libhdf5 makes room for it.
"""

import uuid
import zlib
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers its filters with libhdf5)
import numpy as np
from numcodecs.abc import Codec

DEFLATE, SHUFFLE, FLETCHER32, SZIP, BLOSC, LZ4, BITSHUFFLE, ZSTD = 1, 2, 3, 4, 32001, 32004, 32008, 32015
# What filters may add to a chunk: checksums, headers, padding.
ROOM_BYTES = 4096


class Hdf5Chunk(Codec):  # type: ignore[misc]  # numcodecs has no types
    """The filters of one HDF5 array.

    Parameters
    ----------
    pipeline : [identifier, flags, values] of the filters, in the order of writing
    dtype, chunk, fill : of the array, which some filters depend on
    """

    codec_id = "somo_hdf5"

    def __init__(self, pipeline: list[list[Any]], dtype: str, chunk: list[int], fill: Any = 0) -> None:
        self.pipeline = pipeline
        self.dtype = dtype
        self.chunk = chunk
        self.fill = fill

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError("source files are only read")

    def decode(self, buf: Any, out: Any = None, mask: int = 0) -> Any:
        """Values of a chunk; `mask` has a bit for every filter that was left out of it."""
        data = bytes(buf)
        # libhdf5 2.0 forgets the mask of a file's only chunk, so the filters are left out of the file instead.
        pipeline = [step for number, step in enumerate(self.pipeline) if not mask >> number & 1]
        self._require_size(data, pipeline)
        with h5py.File(uuid.uuid4().hex, "w", driver="core", backing_store=False) as h5:
            dataset = self._empty(h5, pipeline)
            dataset.id.write_direct_chunk((0,) * len(self.chunk), data)
            return dataset[...].tobytes()

    def _empty(self, h5: h5py.File, pipeline: list[list[Any]]) -> h5py.Dataset:
        dtype = np.dtype(self.dtype)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(tuple(self.chunk))
        plist.set_fill_value(np.array(self.fill, dtype))
        for identifier, _, values in pipeline:
            # Bitshuffle puts its version and the size of a value before the parameters that it is given.
            values = values[3:] if identifier == BITSHUFFLE else values
            plist.set_filter(identifier, h5py.h5z.FLAG_OPTIONAL, tuple(values))
        space = h5py.h5s.create_simple(tuple(self.chunk))
        kind = h5py.h5t.py_create(dtype, logical=True)
        return h5py.Dataset(h5py.h5d.create(h5.id, b"chunk", kind, space, plist))

    def _require_size(self, data: bytes, pipeline: list[list[Any]]) -> None:
        """Refuse a chunk whose outermost filter claims more than the array holds."""
        most = int(np.prod(self.chunk)) * np.dtype(self.dtype).itemsize + ROOM_BYTES
        packed = [identifier for identifier, _, values in pipeline if not _keeps_size(identifier, values)]
        claimed = _claimed(packed[-1], data, most) if packed else len(data)
        if claimed > most:
            raise ValueError(f"unpacks to {claimed} bytes, but its array says at most {most}")


def _keeps_size(identifier: int, values: list[int]) -> bool:
    """Whether a filter only moves bytes or adds a checksum; bitshuffle may go without compression."""
    return identifier in (SHUFFLE, FLETCHER32) or (identifier == BITSHUFFLE and (len(values) < 5 or values[4] == 0))


def _claimed(identifier: int, data: bytes, most: int) -> int:
    """Bytes that a compressed chunk says it unpacks to."""
    if identifier == DEFLATE:
        unpacking = zlib.decompressobj()
        return len(unpacking.decompress(data, most + 1))
    # Each of these filters writes the unpacked size into a header of its own kind.
    if identifier in (LZ4, BITSHUFFLE):
        return int.from_bytes(data[:8], "big")
    if identifier == SZIP:
        return int.from_bytes(data[:4], "little")
    if identifier == BLOSC:
        return int.from_bytes(data[4:8], "little")
    return zstd_size(data) if identifier == ZSTD else len(data)


def zstd_size(data: bytes) -> int:
    """Content size in the header of a Zstandard frame (RFC 8878, 3.1.1.1); 0 if the header gives none."""
    descriptor = data[4] if len(data) > 4 else 0
    single_segment, dictionary = descriptor >> 5 & 1, (0, 1, 2, 4)[descriptor & 3]
    width = (single_segment, 2, 4, 8)[descriptor >> 6]
    at = 5 + (1 - single_segment) + dictionary
    # A size of two bytes is counted from 256, as smaller ones take a single byte.
    return int.from_bytes(data[at : at + width], "little") + (256 if width == 2 else 0)
