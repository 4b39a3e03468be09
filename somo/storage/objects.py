"""URLs -> bytes and files on any file system; readers see all of what a write writes, or nothing of it."""

import errno
import hashlib
import mimetypes
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from somo.storage import web
from somo.storage.client import filesystem
from somo.storage.listing import is_listed, remembered
from somo.storage.patience import StorageError

# A part of the path that is missing or is a file, a name too long, links in a circle: nothing can be there.
NOTHING_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
# A quota that is used up is its own error, and to people the same.
FULL = (errno.ENOSPC, errno.EDQUOT)


def join(root: str, *parts: str) -> str:
    """URL of an object under `root`."""
    return "/".join([root.rstrip("/"), *(p.strip("/") for p in parts)])


def exists(url: str) -> bool:
    """Whether there is an object at a URL; within `listed_once`, in a folder listed already, without a request.

    Raises
    ------
    StorageError
        if its store cannot be reached or does not let us look
    """
    if (listed := is_listed(url)) is not None:
        return listed
    # fsspec takes every answer but success, and even none at all, for a file that a web server does not have.
    if url.startswith(("http://", "https://")):
        return web.exists(url)
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        return _is_on_disk(path) if isinstance(fs, LocalFileSystem) else bool(fs.exists(path))
    except PermissionError as error:
        raise StorageError(f"{url}: may not be looked at ({error}); check the credentials and their rights") from error


def _is_on_disk(path: str) -> bool:
    """Whether there is a file or folder; fsspec says no as well where it may not enter a folder or a disk fails."""
    try:
        Path(path).stat()
    except OSError as error:
        if error.errno in NOTHING_THERE:
            return False
        raise
    # A name that no file can have.
    except ValueError:
        return False
    return True


def read_bytes(url: str) -> bytes:
    """All bytes of an object; of a small one, within `listed_once`, those that were read before.

    Raises
    ------
    StorageError
        if it is missing or may not be read
    """
    fs, path = filesystem(url)
    # Otherwise s3fs asks for an object's size before it asks for the object.
    single_request = {"max_concurrency": 1} if "s3" in fs.protocol else {}
    try:
        return remembered(url, lambda: bytes(fs.cat_file(path, **single_request)))
    # An OSError as well, whose text names the remedy already.
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error


def put(url: str, data: bytes) -> None:
    """Write an object so that readers see all of the old bytes or all of the new ones.

    Raises
    ------
    StorageError
        if it cannot be written; nothing is left behind
    """
    fs, path = filesystem(url)
    try:
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, data, **_content_type(fs, path))
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # In the same folder, since a file is renamed in one step within one file system alone.
        temporary = Path(path).with_name(f".{Path(path).name}.{uuid4().hex[:8]}")
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except StorageError:
        raise
    except OSError as error:
        raise not_written(url, error) from error


def require_writable(root: str) -> None:
    """Fail before any work if results cannot be written.

    Raises
    ------
    StorageError
        naming the place
    """
    probe = join(root, f".writable-{uuid4().hex[:8]}")
    put(probe, b"")
    fs, path = filesystem(probe)
    fs.rm_file(path)


def not_written(url: str, error: OSError) -> StorageError:
    """Why an object could not be written; a full disk is called one, with the folder whose disk it is."""
    if error.errno in FULL:
        return StorageError(f"{url}: not written, {no_space(Path(filesystem(url)[1]).parent)}")
    return StorageError(f"{url}: cannot be written ({error}); check permissions and --root")


def no_space(folder: Path) -> str:
    """Sentence about a disk that is full, or a quota that is used up."""
    existing = next((parent for parent in (folder, *folder.parents) if parent.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    used_up = f"{free / 1e9:.1f} GB free, or a quota is used up"
    return f"no space is left on the disk of {existing} ({used_up}); make room there"


def _content_type(fs: AbstractFileSystem, path: str) -> dict[str, str]:
    """What a browser needs to show a page instead of offering to save it."""
    kind = mimetypes.guess_type(path)[0]
    return {"ContentType": kind} if kind and "s3" in fs.protocol else {}


def put_file(local: Path, url: str) -> None:
    """Copy a finished local file to a URL, so that readers see all of it or nothing.

    Raises
    ------
    StorageError
        if it cannot be written; nothing is left behind
    """
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
    except StorageError:
        raise
    except OSError as error:
        raise not_written(url, error) from error


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder for temporary files, removed at the end.

    Raises
    ------
    StorageError
        where a library has failed because the disk of temporary files is full, in whatever words
    """
    with tempfile.TemporaryDirectory(prefix="somo-") as name:
        folder = Path(name)
        try:
            yield folder
        except StorageError:
            raise
        except Exception as error:
            if not _has_filled_disk(error):
                raise
            # Not from the library's error, which Dask could not send to another process.
            raise StorageError(
                f"{no_space(folder.parent)}, or name another folder for temporary files in TMPDIR"
            ) from None


def _has_filled_disk(error: BaseException) -> bool:
    """Whether a failure began with a full disk: HDF5 fails once more when it closes the file, for another reason."""
    passed = set[int]()
    chained: BaseException | None = error
    while chained is not None and id(chained) not in passed:
        passed.add(id(chained))
        # HDF5 gives the number in its text alone.
        if getattr(chained, "errno", None) in FULL or f"errno = {errno.ENOSPC}" in str(chained):
            return True
        chained = chained.__cause__ or chained.__context__
    return False


@contextmanager
def local_copy(url: str) -> Iterator[Path]:
    """A local path with the bytes of `url`: the file itself if it is local, else a temporary download.

    Raises
    ------
    StorageError
        if there is no such file, or its store cannot be reached
    """
    if not exists(url):
        raise StorageError(f"{url}: no such file; check the URL in the product declaration")
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        yield Path(path)
        return
    with scratch_folder() as folder:
        local = folder / Path(path).name
        fs.get(path, str(local), recursive=fs.isdir(path))
        yield local


def fingerprint(url: str) -> str:
    """Size and version of an object (ETag, or modification time), which change when its bytes are replaced.

    The fingerprint of a folder changes with any of the files inside.

    Raises
    ------
    StorageError
        if there is nothing at the URL, or it may not be read
    """
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        info = fs.info(path)
        if info["type"] == "directory":
            inside = fs.find(path, detail=True)
            return checksum("\n".join(f"{name} {version_of(inside[name])}" for name in sorted(inside)).encode())
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error
    return version_of(info)


def version_of(info: dict[str, Any]) -> str:
    """Fingerprint of a file from what its file system's listing says of it."""
    version = info.get("ETag") or info.get("e_tag") or info.get("mtime") or info.get("created")
    return f"{info['size']}-{str(version).strip(chr(34))}"


def checksum(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
