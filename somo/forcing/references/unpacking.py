"""One step of decoding a chunk, in which no more memory is taken than its array needs: files may come from strangers.

A few kilobytes can unpack to gigabytes. Streams are unpacked up to the bound. Where a header gives the unpacked size,
it is read first, since the library of that format reserves as much memory as the header says.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa

from somo.forcing.formats.hdf5_chunk import zstd_size

# zlib's own number for data in a gzip wrapping
GZIP_HEADER = 31
# Position of the unpacked size in the header of numcodecs' formats, little-endian.
SIZES = {"blosc": slice(4, 8), "lz4": slice(0, 4)}


def decode_within(codec: Any, data: Any, most: int) -> Any:
    """The decoded bytes of a codec, or an error before there are more than allowed.

    Parameters
    ----------
    codec : of numcodecs, or one of ours that bounds itself
    most : largest number of decoded bytes

    Raises
    ------
    ValueError
        where the data decode to more bytes, or end early
    """
    name = codec.codec_id
    # raw LZMA has no header that would name its filters
    if name == "lzma" and codec.format == lzma.FORMAT_RAW:
        return _stepwise(partial(lzma.LZMADecompressor, lzma.FORMAT_RAW, filters=codec.filters))(bytes(data), most)
    if name in STREAMS:
        return STREAMS[name](bytes(data), most)
    if name in SIZES and (claimed := int.from_bytes(bytes(data[SIZES[name]]), "little")) > most:
        raise ValueError(f"unpacks to {claimed} bytes, but its array holds {most}")
    return codec.decode(data)


def _too_much(most: int) -> ValueError:
    return ValueError(f"unpacks to more than the {most} bytes that its array holds")


def _deflated(window_bits: int) -> Callable[[bytes, int], bytes]:
    def unpack(data: bytes, most: int) -> bytes:
        unpacking = zlib.decompressobj(window_bits)
        unpacked = unpacking.decompress(data, most)
        if unpacking.unconsumed_tail:
            raise _too_much(most)
        if not unpacking.eof:
            raise ValueError("ends before its compressed data do")
        return unpacked

    return unpack


def _stepwise(unpacker: Callable[[], Any]) -> Callable[[bytes, int], bytes]:
    def unpack(data: bytes, most: int) -> bytes:
        unpacking = unpacker()
        # One byte more than allowed shows that there is too much.
        unpacked: bytes = unpacking.decompress(data, most + 1)
        if len(unpacked) > most:
            raise _too_much(most)
        if not unpacking.eof:
            raise ValueError("ends before its compressed data do")
        return unpacked

    return unpack


def _zstandard(data: bytes, most: int) -> bytes:
    claimed = zstd_size(data)
    if claimed > most:
        raise ValueError(f"unpacks to {claimed} bytes, but its array holds {most}")
    # A frame may leave its size out, so that the header is not to be trusted with less either.
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as unpacking:
        try:
            unpacked: bytes = unpacking.read(most + 1)
        except OSError as error:
            raise ValueError(f"is no Zstandard frame ({error})") from error
    if len(unpacked) > most:
        raise _too_much(most)
    return unpacked


STREAMS: dict[str, Callable[[bytes, int], bytes]] = {
    "zlib": _deflated(zlib.MAX_WBITS),
    "gzip": _deflated(GZIP_HEADER),
    "bz2": _stepwise(bz2.BZ2Decompressor),
    "lzma": _stepwise(lzma.LZMADecompressor),
    "zstd": _zstandard,
}
