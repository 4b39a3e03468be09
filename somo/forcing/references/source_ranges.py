"""Byte ranges of source files; a file that changed since it was referenced is refused."""

from pathlib import Path
from typing import Any

import obstore
from fsspec.implementations.local import LocalFileSystem
from obstore.exceptions import PreconditionError

from somo.forcing.sources import ForcingError
from somo.storage import web
from somo.storage.byte_ranges import conditions, opened, place, read_member, through_obstore
from somo.storage.objects import fingerprint, version_of


def read_range(url: str, expected: str, offset: int, size: int) -> Any:
    """`size` bytes at `offset` of a file that still has the fingerprint `expected`.

    Raises
    ------
    ForcingError
        if the file was replaced, shortened or removed, or may not be read
    """
    if url.startswith(("http://", "https://")):
        return web.read_range(url, expected, offset, size)
    if url.startswith("zip://"):
        return read_member(url, expected, offset, size)
    fs, path = opened(url)
    try:
        if isinstance(fs, LocalFileSystem):
            data = _local(url, expected, path, offset, size)
        elif through_obstore(url):
            data = _s3(url, expected, offset, size)
        else:
            data = fs.cat_file(path, start=offset, end=offset + size)
            _require_same(url, expected, fingerprint(url))
    except (OSError, obstore.exceptions.BaseError) as error:
        raise ForcingError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error
    if len(data) != size:
        raise ForcingError(f"{url}: ends before byte {offset + size}; it was shortened: restore it or run ingest again")
    return data


def _require_same(url: str, expected: str, now: str) -> None:
    if now != expected:
        raise ForcingError(
            f"{url}: was replaced after it was referenced (size-version then {expected}, now {now}); "
            "run the ingest stage again, or restore the file"
        )


def _local(url: str, expected: str, path: str, offset: int, size: int) -> bytes:
    with Path(path).open("rb", buffering=0) as file:
        file.seek(offset)
        data = file.read(size)
    # Asked after the bytes are read: of a file that is rewritten in place they may be of both versions.
    _require_same(url, expected, version_of(opened(url)[0].info(path)))
    return data


def _s3(url: str, expected: str, offset: int, size: int) -> Any:
    """One conditional GET: the server itself compares the version."""
    store, key = place(url)
    try:
        return memoryview(obstore.get(store, key, options=conditions(expected, offset, size)).bytes())
    except PreconditionError:
        _require_same(url, expected, fingerprint(url))
        raise
