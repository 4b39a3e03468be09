"""Files of an archive on any file system: plain, in zips, in zips of a folder, and in zips inside zips.

A listing reads directories alone: those of the file system and the central directories of zips. Every member says
where its bytes lie, so that a worker reads these and no others.
"""

import datetime as dt
import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fsspec.implementations.local import LocalFileSystem

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.inflating import STORED, Packed, data_start, unpacked
from somo.storage.byte_ranges import open_blocks
from somo.storage.client import filesystem
from somo.storage.objects import version_of
from somo.storage.patience import StorageError

# Zips inside of zips that are followed. ISMN downloads have one level, sent on by colleagues two; a zip bomb has no
# end.
MOST_LEVELS = 4


@dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes
    ----------
    url : the object that holds its bytes
    version : that object's fingerprint when it was listed
    path : its name inside of the archive
    size : bytes once inflated
    packed : where it lies in a zip; None for a plain file
    modified : when it was last written, as its zip or file system says; sorts in order of time
    """

    url: str
    version: str
    path: str
    size: int
    packed: Packed | None = None
    modified: str = ""

    @property
    def name(self) -> str:
        """Name of the file, without its folders."""
        return PurePosixPath(self.path).name

    @property
    def identity(self) -> tuple[str, str]:
        """Name and hash or version: equal for a member that did not change, wherever its zip lies now."""
        return self.path, f"{self.packed.crc:08x}-{self.size}" if self.packed else self.version


def list_members(url: str, wanted: Callable[[str], bool]) -> list[Member]:
    """Members whose path is wanted, in the order in which their bytes lie.

    Parameters
    ----------
    url : a folder, a zip or one plain file
    wanted : whether a path inside of the archive is of interest; zips are always looked into

    Raises
    ------
    InsituError
        if nothing is there, or a zip is broken or nested too deeply
    """
    fs, path = filesystem(url)
    # fsspec remembers listings as long as the process lives, and an archive may be exchanged while a worker runs.
    fs.invalidate_cache()
    try:
        info = fs.info(path)
    except FileNotFoundError as error:
        raise InsituError(f"{url}: no such archive; check the url under [[insitu]]") from error
    except PermissionError as error:
        raise StorageError(f"{url}: may not be read ({error}); check the credentials and their rights") from error
    if info["type"] != "directory":
        return list(_members_of_file(url, version_of(info), int(info["size"]), "", wanted))
    inside = fs.find(path, detail=True)
    members: list[Member] = []
    for name in sorted(inside):
        relative = name[len(path.rstrip("/")) + 1 :]
        if _is_zip(relative) or wanted(relative):
            if isinstance(fs, LocalFileSystem) and is_linked_outside(path, name):
                raise InsituError(f"{name}: is a link that leads out of {url}; put the file itself there")
            place = name if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(name)
            size = int(inside[name]["size"])
            modified = _modified(inside[name])
            members.extend(_members_of_file(place, version_of(inside[name]), size, relative, wanted, modified))
    return members


def _members_of_file(
    url: str, version: str, size: int, path: str, wanted: Callable[[str], bool], modified: str = ""
) -> Iterator[Member]:
    """The members of a zip, or the plain file itself; `path` is empty where the file is the whole archive."""
    if path and not _is_zip(path):
        yield Member(url, version, path, size, modified=modified)
        return
    with open_object(url, version) as file:
        if not path and not _is_zip(url) and not zipfile.is_zipfile(file):
            yield Member(url, version, PurePosixPath(url).name, size)
            return
        yield from _members_of_zip(file, _Opened(url, version, path), wanted)


@dataclass(frozen=True)
class _Opened:
    """A zip that is open: the object its bytes lie in, its path, the zips to inflate first, and its first byte."""

    url: str
    version: str
    path: str = ""
    inside: tuple[Packed, ...] = ()
    start: int = 0
    level: int = 1

    def __str__(self) -> str:
        return f"{self.url} ({self.path})" if self.level > 1 else self.url


def _members_of_zip(file: IO[bytes], zipped: _Opened, wanted: Callable[[str], bool]) -> Iterator[Member]:
    """Members of a zip open as `file`, and of the zips inside."""
    if zipped.level > MOST_LEVELS:
        raise InsituError(f"{zipped}: zips lie in zips more than {MOST_LEVELS} deep; unpack it first")
    try:
        with zipfile.ZipFile(file) as archive:
            # The central directory has an order of its own; a member's bytes end where those of the next one in the
            # file begin.
            infos, end = sorted(archive.infolist(), key=lambda i: i.header_offset), archive.start_dir
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise InsituError(f"{zipped}: not a readable zip ({error}); download the archive again") from error
    stops = [info.header_offset for info in infos[1:]] + [end]
    for info, stop in zip(infos, stops, strict=True):
        if info.is_dir():
            continue
        # Zips made on Windows may have the other separator.
        name = "/".join(filter(None, (zipped.path, info.filename.replace("\\", "/"))))
        packed = Packed(
            zipped.start + info.header_offset, zipped.start + stop, info.compress_size, info.file_size,
            info.compress_type, info.CRC, bool(info.flag_bits & 1), zipped.inside,
        )  # fmt: skip
        if _is_zip(name):
            yield from _members_of_nested(file, zipped, packed, name, wanted)
        elif wanted(name):
            modified = "-".join(f"{number:02d}" for number in info.date_time)
            yield Member(zipped.url, zipped.version, name, info.file_size, packed, modified)


def _members_of_nested(
    file: IO[bytes], outer: _Opened, packed: Packed, name: str, wanted: Callable[[str], bool]
) -> Iterator[Member]:
    """Members of a zip inside of a zip: a stored one is read where it lies, a compressed one has to be inflated."""
    level = outer.level + 1
    try:
        if packed.method == STORED:
            start = data_start(file, packed.start - outer.start, name)
            window = io.BufferedReader(_Window(file, start, packed.size))
            inner = _Opened(outer.url, outer.version, name, outer.inside, outer.start + start, level)
            yield from _members_of_zip(window, inner, wanted)
            window.detach()
        else:
            with unpacked(file, packed, name, outer.start) as copy:
                inner = _Opened(outer.url, outer.version, name, (*outer.inside, packed), 0, level)
                yield from _members_of_zip(copy, inner, wanted)
    except SensorError as error:
        raise InsituError(f"{outer.url}: {error}") from error


class _Window(io.RawIOBase):
    """`size` bytes of a file from `start` on, as a file of its own."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self.file, self.start, self.size, self.at = file, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        self.file.seek(self.start + self.at)
        data = self.file.read(max(0, min(len(buffer), self.size - self.at)))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)


def _modified(info: dict[str, Any]) -> str:
    """When a file was last written, from what its file system's listing says of it."""
    when = info.get("mtime") or info.get("LastModified") or info.get("created") or 0
    moment = dt.datetime.fromtimestamp(when, dt.UTC) if isinstance(when, int | float) else when
    return f"{moment:%Y-%m-%d-%H-%M-%S}"


def _is_zip(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.lower().endswith(".zip") and not is_leftover(path)


def is_leftover(path: str) -> bool:
    """Whether a file is one that a Mac adds beside the real one (`__MACOSX/.../._name`), or hidden."""
    return "__MACOSX" in PurePosixPath(path).parts or PurePosixPath(path).name.startswith(".")


def leads_outside(path: str) -> bool:
    """Whether a name in an archive would be written outside of its folder by a program that unpacks it."""
    # The second character is a colon in names with a drive of Windows, as `C:/x.stm`.
    return path.startswith("/") or ".." in PurePosixPath(path).parts or path[1:2] == ":"


def is_linked_outside(folder: str, path: str) -> bool:
    """Whether a local file lies in a folder by a link alone.

    An archive that was unpacked may hold links to anything that its reader may read, such as keys, and sentences about
    files that make no sense quote them.
    """
    return not Path(path).resolve().is_relative_to(Path(folder).resolve())


@contextmanager
def open_object(url: str, version: str) -> Iterator[IO[bytes]]:
    """An object's bytes of one version as a file that can seek, and that reads little more than it is asked for."""
    with io.BufferedReader(open_blocks(url, version)) as file:
        yield file
