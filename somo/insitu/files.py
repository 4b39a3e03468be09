"""An archive on any file system, zipped or unpacked, as a file system of its own."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath

from fsspec import AbstractFileSystem
from fsspec.implementations.zip import ZipFileSystem

from somo.insitu.sensor import InsituError
from somo.storage.client import filesystem

LARGEST_FILE_MB = 256
"""A century of hourly values of one sensor has 90 MB."""
LARGEST_RATIO, UNSUSPECTED_MB = 200, 16
"""Lines of station files pack 10 to 60 times; 1000 times, as far as zip goes, is a file of equal bytes."""


@contextmanager
def opened(url: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """File system and path inside of which the files of an archive lie.

    Raises
    ------
    InsituError
        if there is no archive, or it is a broken zip, or one whose files would leave their folder or fill the memory
    """
    fs, path = filesystem(url)
    if not fs.exists(path):
        raise InsituError(f"{url}: no such archive; check the url under [[insitu]]")
    if fs.isdir(path):
        yield fs, path
        return
    with fs.open(path, "rb") as file:
        try:
            inside = ZipFileSystem(fo=file, skip_instance_cache=True)
        except zipfile.BadZipFile as error:
            raise InsituError(f"{url}: not a readable zip ({error}); download the archive again") from error
        for entry in inside.zip.infolist():
            if problem := _danger(entry):
                raise InsituError(
                    f"{url}: {entry.filename} {problem}; an archive of a network has no such file, get yours anew"
                )
        yield inside, ""


def _danger(entry: zipfile.ZipInfo) -> str:
    """What makes a file of a zip unfit to be unpacked; its size is what Python at most unpacks, whatever it holds."""
    name, size = PurePosixPath(entry.filename.replace("\\", "/")), entry.file_size
    if name.is_absolute() or ".." in name.parts:
        return "points out of its folder"
    if size > LARGEST_FILE_MB << 20:
        return f"would unpack to {size >> 20} MB, more than {LARGEST_FILE_MB}"
    if size > UNSUSPECTED_MB << 20 and size > LARGEST_RATIO * entry.compress_size:
        return f"would unpack to {size >> 20} MB, {size // max(entry.compress_size, 1)} times its packed size"
    return ""
