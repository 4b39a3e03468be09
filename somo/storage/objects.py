"""URLs -> bytes, files and Zarr stores on any fsspec file system; writes are seen whole or not at all.

Credentials, endpoint, region and anonymous access come from the environment in the ecosystem's usual names
(`AWS_*`, `FSSPEC_*`), which fsspec and botocore read themselves.
"""

import errno
import hashlib
import mimetypes
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
import botocore.exceptions
import botocore.parsers
import fsspec
import zarr.storage
from fsspec import AbstractFileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import Store

T = TypeVar("T")
PATIENCE_S = 90.0
NETWORK_ERRORS = (
    TimeoutError,
    ConnectionError,
    aiohttp.ClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.parsers.ResponseParserError,
)
_SERVER_ERRNOS = {errno.EBUSY, errno.EREMOTEIO, errno.EIO}


class StorageError(OSError):
    """A place that cannot be read or written; the text names the URL and the remedy."""


def join(root: str, *parts: str) -> str:
    """URL of an object under `root`."""
    return "/".join([root.rstrip("/"), *(p.strip("/") for p in parts)])


def filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """File system and path behind a URL; a plain path is a local one."""
    return fsspec.url_to_fs(url)


def patiently(url: str, action: Callable[[], T], patience_s: float = PATIENCE_S) -> T:
    """Result of one request to an object store, repeated while the network or the server fails for the moment.

    Other failures (permissions, missing objects, a full disk) and those of the local disk are raised at once.

    Raises
    ------
    StorageError
        if the store stays out of reach for `patience_s`, or is refused by the client library
    """
    give_up = time.monotonic() + (0 if isinstance(filesystem(url)[0], LocalFileSystem) else patience_s)
    pause = 0.2
    while True:
        try:
            return action()
        except (OSError, aiohttp.ClientError, botocore.exceptions.BotoCoreError) as error:
            passing = isinstance(error, NETWORK_ERRORS) or getattr(error, "errno", None) in _SERVER_ERRNOS
            if not passing and isinstance(error, OSError):
                raise
            if not passing or time.monotonic() + pause > give_up:
                raise StorageError(
                    f"{url}: cannot be reached ({error}); check the network and the AWS_* settings"
                ) from error
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def exists(url: str) -> bool:
    fs, path = filesystem(url)

    def ask() -> bool:
        fs.invalidate_cache()
        return bool(fs.exists(path))

    try:
        return patiently(url, ask)
    except PermissionError as error:
        raise StorageError(f"{url}: may not be looked at ({error}); check the credentials and their rights") from error


def read_bytes(url: str) -> bytes:
    """All bytes of an object.

    Raises
    ------
    StorageError
        if it is missing or may not be read
    """
    fs, path = filesystem(url)
    try:
        return patiently(url, lambda: fs.cat_file(path))
    except StorageError:
        raise
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
            patiently(url, lambda: fs.pipe_file(path, data, **_content_type(fs, path)))
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(path).with_name(f".{Path(path).name}.{uuid4().hex[:8]}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{url}: cannot be written ({error}); check permissions, free space and --root") from error


def _content_type(fs: AbstractFileSystem, path: str) -> dict[str, str]:
    """What a browser needs to show a page instead of offering to save it."""
    kind = mimetypes.guess_type(path)[0]
    return {"ContentType": kind} if kind and "s3" in fs.protocol else {}


def put_file(local: Path, url: str) -> None:
    """Move a finished local file into place, seen whole or not at all."""
    fs, path = filesystem(url)
    try:
        if not isinstance(fs, LocalFileSystem):
            patiently(url, lambda: fs.put_file(str(local), path))
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(path).with_name(f".{Path(path).name}.{uuid4().hex[:8]}")
        try:
            LocalFileSystem().cp_file(str(local), str(temporary))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except StorageError:
        raise
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
            return checksum("\n".join(f"{name} {version_of(inside[name])}" for name in sorted(inside)).encode())
    except OSError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error
    return version_of(info)


def version_of(info: dict[str, Any]) -> str:
    """Fingerprint of a file from what its file system's listing says of it."""
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
