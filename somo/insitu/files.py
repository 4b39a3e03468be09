"""An archive on any file system, zipped or unpacked, as a file system of its own."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

from fsspec import AbstractFileSystem
from fsspec.implementations.zip import ZipFileSystem

from somo.insitu.sensor import InsituError
from somo.storage.client import filesystem


@contextmanager
def opened(url: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    """File system and path inside of which the files of an archive lie.

    Raises
    ------
    InsituError
        if there is no archive or it is a broken zip
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
        yield inside, ""
