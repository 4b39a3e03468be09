"""URLs -> bytes, files and Zarr stores on any fsspec file system; writes are seen whole or not at all.

Credentials, endpoint, region and anonymous access come from the environment in the ecosystem's usual names
(`AWS_*`, `FSSPEC_*`), which fsspec and botocore read themselves.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import zarr.storage
from fsspec import AbstractFileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store


class StorageError(OSError):
    """A place that cannot be read or written; the text names the URL and the remedy."""


def join(root: str, *parts: str) -> str:
    """URL of an object under `root`."""
    return "/".join([root.rstrip("/"), *(p.strip("/") for p in parts)])


def filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """File system and path behind a URL; a plain path is a local one."""
    return fsspec.url_to_fs(url)


def exists(url: str) -> bool:
    fs, path = filesystem(url)
    fs.invalidate_cache()
    return bool(fs.exists(path))


def read_bytes(url: str) -> bytes:
    """All bytes of an object.

    Raises
    ------
    StorageError
        if it is missing or may not be read
    """
    fs, path = filesystem(url)
    try:
        return fs.cat_file(path)
    except OSError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error


def put(url: str, data: bytes) -> None:
    """Write an object so that readers see the old bytes or the new ones, never a part.

    Raises
    ------
    StorageError
        if it cannot be written; nothing is left behind
    """
    fs, path = filesystem(url)
    try:
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, data)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(path).with_name(f".{Path(path).name}.{uuid4().hex[:8]}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{url}: cannot be written ({error}); check permissions, free space and --root") from error


def put_file(local: Path, url: str) -> None:
    """Move a finished local file into place, seen whole or not at all."""
    fs, path = filesystem(url)
    try:
        if not isinstance(fs, LocalFileSystem):
            fs.put_file(str(local), path)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(path).with_name(f".{Path(path).name}.{uuid4().hex[:8]}")
        try:
            LocalFileSystem().cp_file(str(local), str(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{url}: cannot be written ({error}); check permissions, free space and --root") from error


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A local path with the bytes of `url`: the file itself if it is local, else a temporary download."""
    fs, path = filesystem(url)
    if not fs.exists(path):
        raise StorageError(f"{url}: no such file; check the URL in the product declaration")
    if isinstance(fs, LocalFileSystem):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="somo-") as folder:
        local = Path(folder) / Path(path).name
        fs.get(path, str(local), recursive=fs.isdir(path))
        yield local


def fingerprint(url: str) -> str:
    """Size and version of an object (ETag, or modification time), which change when its bytes are replaced.

    For a folder it stands for everything inside.
    """
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        info = fs.info(path)
        if info["type"] == "directory":
            inside = fs.find(path, detail=True)
            return checksum("\n".join(f"{name} {_version(inside[name])}" for name in sorted(inside)).encode())
    except OSError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error
    return _version(info)


def _version(info: dict[str, Any]) -> str:
    version = info.get("ETag") or info.get("mtime") or info.get("created")
    return f"{info['size']}-{str(version).strip(chr(34))}"


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def zarr_store(url: str, read_only: bool = True) -> Store:
    """Zarr store at a URL."""
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        return zarr.storage.LocalStore(path, read_only=read_only)
    if fs.async_impl:
        return zarr.storage.FsspecStore.from_url(url, read_only=read_only)
    return zarr.storage.FsspecStore(AsyncFileSystemWrapper(fs, asynchronous=True), path=path, read_only=read_only)
