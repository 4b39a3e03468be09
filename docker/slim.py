"""Take out of an environment what production never loads: `python3 slim.py SITE_PACKAGES`. It is nearly half of it.

What is left is imported by the Dockerfile; `tests/flows/service/test_slim.py` tries the surgery on a real library.
"""

import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SMALLEST_BYTES = 500_000
PAGE = 4096
LOAD = 1

# Whole packages that others name as needed and that no code of theirs which runs here imports.
PACKAGES = (
    # regionmask -> geopandas, which takes it for reading files of shapes; a second GDAL, 88 MB
    "pyogrio", "pyogrio.libs",
    # dask-kubernetes -> kopf, for the operator's own server; clients ask the cluster through kr8s
    "kubernetes", "kubernetes_asyncio",
    # leftovers of PyTorch's build
    "caffe2",
)  # fmt: skip
# What packages bring for building and testing others. `torch_shm_manager` alone of `torch/bin` is run.
FILES = (
    "torch/include", "torch/share", "torch/test", "torch/bin/test_*", "torch/bin/*Test", "torch/bin/protoc*",
    "torch/lib/libaoti_custom_ops.so", "torch/lib/libbackend_with_compiler.so", "torch/lib/libjitbackend_test.so",
    "pyarrow/include", "pyarrow/includes", "pyarrow/src", "pyarrow/*.pxd", "pyarrow/*.pyx",
    # Flight is a protocol between servers.
    "pyarrow/*flight*",
    "bokeh/server/static/js/lib", "bokeh/server/static/js/compiler.js",
    "**/tests", "**/test", "**/*.a", "**/*.c", "**/*.cpp", "**/*.pyx", "**/*.pyi",
)  # fmt: skip
# What S3 and its ways of logging in ask of botocore, which describes four hundred services more.
AWS_SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")


def removable(folder: Path) -> Iterator[Path]:
    """Files and folders of an environment that are taken out."""
    for pattern in (*PACKAGES, *FILES):
        yield from folder.glob(pattern)
    for path in (folder / "botocore" / "data").iterdir():
        if path.is_dir() and path.name not in AWS_SERVICES:
            yield path


def is_loadable(data: bytes) -> bool:
    """Whether every part of an ELF library that is loaded lies as far into a page in the file as in memory."""
    return not any(kind == LOAD and (at - address) % PAGE for kind, _, at, address, *_ in headers(data)[1])


def headers(data: bytes) -> tuple[int, list[tuple[int, ...]]]:
    """Where an ELF library describes its segments, and for each: kind, flags, offset, address, -, bytes, -, -."""
    (start,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    return start, [struct.unpack_from("<IIQQQQQQ", data, start + k * size) for k in range(number)]


def segments_alone(data: bytes) -> bytes:
    """An ELF library without whatever is never loaded: symbols, debuggers' tables and the list of sections.

    Each segment keeps its place within a page, which is all that the loader asks for.
    """
    start, segments = headers(data)
    size = 56
    table = (start, start + size * len(segments))
    wanted = sorted([(0, 64), table, *((at, at + length) for _, _, at, _, _, length, *_ in segments if length)])
    ranges: list[tuple[int, int]] = []
    for begin, end in wanted:
        # Ranges of neighbouring pages stay together: what lies between them is less than a page.
        if ranges and begin // PAGE <= (ranges[-1][1] - 1) // PAGE + 1:
            begin, end = ranges[-1][0], max(end, ranges.pop()[1])
        ranges.append((begin, end))
    library, moves = bytearray(), list[tuple[int, int, int]]()
    for begin, end in ranges:
        library.extend(bytes((begin - len(library)) % PAGE))
        moves.append((begin, end, len(library) - begin))
        library.extend(data[begin:end])

    def place(offset: int) -> int:
        return next(offset + move for begin, end, move in moves if begin <= offset < end)

    # No sections any more: neither where their list begins, nor how many there are, nor which one names them.
    struct.pack_into("<QQ", library, 32, place(start), 0)
    struct.pack_into("<HH", library, 60, 0, 0)
    for k, (_, _, at, _, _, length, *_) in enumerate(segments):
        struct.pack_into("<Q", library, place(start) + k * size + 8, place(at) if length else 0)
    return bytes(library)


def stripped(path: Path, scratch: Path) -> bytes | None:
    """A library without symbols; None if nothing can be taken out of it.

    `strip` moves segments of libraries that a wheel's maker has edited to where the loader refuses them. From those
    `segments_alone` takes what is not loaded.
    """
    shutil.copy2(path, scratch)
    done = subprocess.run(["strip", "--strip-unneeded", str(scratch)], check=False, capture_output=True)
    if done.returncode == 0 and is_loadable(scratch.read_bytes()):
        return scratch.read_bytes()
    data = path.read_bytes()
    smaller = segments_alone(data)
    return smaller if is_loadable(smaller) and len(smaller) < len(data) else None


def main(folder: Path) -> None:
    for path in list(removable(folder)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    saved = 0
    with tempfile.TemporaryDirectory() as temporary:
        for path in sorted(folder.rglob("*.so*")):
            if path.is_symlink() or path.stat().st_size < SMALLEST_BYTES or path.read_bytes()[:5] != b"\x7fELF\x02":
                continue
            if (library := stripped(path, Path(temporary) / "library")) is not None:
                saved += path.stat().st_size - len(library)
                path.write_bytes(library)
    print(f"{saved / 1e6:.0f} MB of symbols taken out of {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
