"""Chunks that unpack to more than their array holds, in every compression that chunks come in."""

import tracemalloc

import numcodecs
import pytest

from somo.forcing.references.unpacking import decode_within

MOST = 4096
BOMB = bytes(50_000_000)
CODECS = [
    numcodecs.Zlib(9), numcodecs.GZip(9), numcodecs.BZ2(9), numcodecs.LZMA(), numcodecs.Zstd(3), numcodecs.LZ4(),
    numcodecs.Blosc("zstd"),
]  # fmt: skip


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.codec_id)
def test_a_bomb_is_refused_before_it_unpacks(codec) -> None:
    packed = bytes(codec.encode(BOMB))
    assert len(packed) < len(BOMB) / 100
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"unpacks to (more than the 4096|50000000) bytes"):
        decode_within(codec, packed, MOST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < len(BOMB) / 4  # LZMA keeps a dictionary of 8 MB


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.codec_id)
def test_an_honest_chunk_is_what_the_library_makes_of_it(codec) -> None:
    values = bytes(range(256)) * 16
    packed = bytes(codec.encode(values))
    assert bytes(decode_within(codec, packed, MOST)) == bytes(codec.decode(packed)) == values
    with pytest.raises((ValueError, RuntimeError, EOFError, OSError)):
        decode_within(codec, packed[: len(packed) // 2], MOST)


def test_a_frame_that_keeps_its_size_to_itself_is_bounded_too() -> None:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(BOMB)
    with pytest.raises(ValueError, match="unpacks to more than the 4096 bytes"):
        decode_within(numcodecs.Zstd(), sink.getvalue().to_pybytes(), MOST)
