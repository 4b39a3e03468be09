"""Names of a source's bytes, so that files which moved to another place are known to be the same.

The ETag of an object that was put in one piece is the MD5 of its bytes; of a local file the MD5 is computed.
Both give `SIZE-MD5`. Where a store has no checksum of the bytes (uploads in several pieces, web servers), its own
version of the object is the name. MD5 guards against mistakes here, not against forgery.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from somo.storage.client import filesystem
from somo.storage.objects import checksum, exists, join, put, read_bytes, version_of

BLOCK_BYTES = 2**22
# ETags that are an MD5, and versions of Zarr stores, which stand for the metadata's bytes. ETags of uploads in several
# pieces have a hyphen and their number behind, and depend on how the bytes were cut.
_TELLS_BYTES = re.compile(r"\d+-[0-9a-f]{32}|zarr-[0-9a-f]{32}")


def content_of(url: str, version: str) -> str:
    """Name of the bytes of a file or of all files of a folder; a local file is read to its end.

    Parameters
    ----------
    version : present fingerprint of the URL, which serves as the name where the store has no checksum of the bytes
    """
    if _TELLS_BYTES.fullmatch(version) or url.startswith(("http://", "https://")):
        return version
    fs, path = filesystem(url)
    info = fs.info(path)
    if info["type"] != "directory":
        return _of_file(fs, path, info)
    inside: Mapping[str, Mapping[str, Any]] = fs.find(path, detail=True)
    start = len(path.rstrip("/")) + 1
    # Names relative to the folder: the folder itself may have moved.
    named = [f"{place[start:]} {_of_file(fs, place, inside[place])}" for place in sorted(inside)]
    return checksum("\n".join(named).encode())


def _of_file(fs: Any, path: str, info: Mapping[str, Any]) -> str:
    version = version_of(dict(info))
    if not isinstance(fs, LocalFileSystem):
        return version
    digest = hashlib.md5(usedforsecurity=False)
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return f"{info['size']}-{digest.hexdigest()}"


def recorded_content(root: str, url: str, version: str) -> str:
    """Name of the bytes behind a URL as an earlier run has recorded it; their version where none has.

    Only the record is read, so that commands which show a state do not wait for large archives.
    """
    if _TELLS_BYTES.fullmatch(version):
        return version
    record = _record_url(root, url, version)
    return read_bytes(record).decode() if exists(record) else version


def record_content(root: str, url: str, version: str, read: Callable[[], str] | None = None) -> str:
    """Name of the bytes behind a URL, worked out once and then recorded.

    Parameters
    ----------
    read : gives the name; `content_of` the URL where it is left out
    """
    record = _record_url(root, url, version)
    if not _TELLS_BYTES.fullmatch(version) and not exists(record):
        put(record, (read() if read else content_of(url, version)).encode())
    return recorded_content(root, url, version)


def _record_url(root: str, url: str, version: str) -> str:
    return join(root, "references", "contents", f"{checksum(f'{url} {version}'.encode())[:16]}.txt")
