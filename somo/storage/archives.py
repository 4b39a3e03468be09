"""Files inside zip archives: `zip://NAME::ARCHIVE`. Uncompressed ones are read in place, others are unpacked once.

Unpacked files lie in a temporary folder, which the process removes at its end.
"""

import atexit
import shutil
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from somo.storage.patience import StorageError

# Fixed part of the header before each file's bytes; name and extra field follow, whose lengths it ends with.
LOCAL_HEADER_BYTES = 30
PIECE_BYTES = 2**20
# Threads of one process may ask for the same file at once.
_unpacking = Lock()


@dataclass(frozen=True)
class Member:
    """One file in an archive; `offset` is where its bytes begin, None if they are compressed."""

    name: str
    size: int
    offset: int | None


def split(url: str) -> tuple[str, str]:
    """Name of the file and URL of its archive."""
    name, _, archive = url.removeprefix("zip://").partition("::")
    return name, archive


def archive_fingerprint(expected: str) -> str:
    """The archive's own part of the fingerprint of a file in it, which is `SIZE-ARCHIVE'S FINGERPRINT`."""
    return expected.split("-", 1)[1]


@lru_cache(maxsize=256)
def members(archive: str, expected: str) -> tuple[Member, ...]:
    """The files in an archive that has the fingerprint `expected`.

    Raises
    ------
    StorageError
        if it is no zip archive or encrypted
    """
    with _opened(archive, expected) as handle:
        try:
            listed = zipfile.ZipFile(handle).infolist()
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise StorageError(f"{archive}: is no whole zip archive ({error}); download it again") from error
        if any(info.flag_bits & 1 for info in listed):
            raise StorageError(f"{archive}: is encrypted; unpack it and declare the files in it")
        return tuple(
            Member(info.filename, info.file_size, _offset(handle, info)) for info in listed if not info.is_dir()
        )


def member(url: str, expected: str) -> Member:
    """The file in an archive behind a URL.

    Raises
    ------
    StorageError
        if the archive holds no such file, or cannot be read
    """
    name, archive = split(url)
    for candidate in members(archive, archive_fingerprint(expected)):
        if candidate.name == name:
            return candidate
    raise StorageError(f"{url}: the archive has no such file any more; run ingest again")


def _offset(handle: Any, info: zipfile.ZipInfo) -> int | None:
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    handle.seek(info.header_offset)
    header = handle.read(LOCAL_HEADER_BYTES)
    # The directory at the archive's end may tell another length of the extra field than the header itself.
    name, extra = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
    return info.header_offset + LOCAL_HEADER_BYTES + name + extra


def _opened(archive: str, expected: str) -> Any:
    # byte_ranges reads files in archives through this module: at the top of the file that would be a circle.
    from somo.storage.byte_ranges import open_blocks

    return open_blocks(archive, expected)


@lru_cache(maxsize=1024)
def unpacked(url: str, expected: str) -> Path:
    """A local copy of a compressed file in an archive, made once a process.

    Raises
    ------
    StorageError
        if it is damaged or longer than the archive says
    """
    name, archive = split(url)
    target = _folder() / f"{abs(hash((url, expected))):x}"
    with _unpacking:
        if target.exists():
            return target
        with _opened(archive, archive_fingerprint(expected)) as handle, target.with_suffix(".part").open("wb") as out:
            _copy(url, zipfile.ZipFile(handle), name, out)
        # A file that could not be unpacked to its end has never had the final name.
        target.with_suffix(".part").replace(target)
    return target


def _copy(url: str, archive: zipfile.ZipFile, name: str, out: Any) -> None:
    """Unpack piece by piece; the zip format's checksum is checked at the end."""
    allowed, free = archive.getinfo(name).file_size, shutil.disk_usage(tempfile.gettempdir()).free
    # Half of the free space is left to others, and what would not fit is told before the disk is full.
    if allowed > free // 2:
        raise StorageError(
            f"{url}: would unpack to {allowed} bytes, and {free} are free in {tempfile.gettempdir()}; unpack its "
            "archive elsewhere and declare the files in it"
        )
    try:
        with archive.open(name) as source:
            while piece := source.read(PIECE_BYTES):
                # An archive made to do harm may unpack to any size: what exceeds the declared one is not written.
                allowed -= len(piece)
                if allowed < 0:
                    raise StorageError(f"{url}: is longer than its archive says; download the archive again")
                out.write(piece)
    except NotImplementedError as error:
        # Windows compresses files above 2 GB by Deflate64, which Python's library does not know.
        method = archive.getinfo(name).compress_type
        raise StorageError(
            f"{url}: is compressed by method {method} of the zip format, which cannot be read here; unpack its archive "
            "and declare the files in it"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise StorageError(f"{url}: cannot be unpacked ({error}); download the archive again") from error


@lru_cache(maxsize=1)
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="somo-unpacked-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
