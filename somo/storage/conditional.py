"""Writes that happen only if an object is still the one that was read: of two writers, the later one gets an error."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import botocore.exceptions
from fsspec.implementations.local import LocalFileSystem

from somo.storage.client import filesystem
from somo.storage.objects import checksum, put, read_bytes
from somo.storage.patience import StorageError, is_passing, patiently, unreachable

# Precondition failed, and the answer of S3 to two conditional writes of one key at the same moment.
LATE_CODES = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
# Amazon's answer to a write over a version whose object was removed; a bucket that is missing has another code.
REMOVED_CODE = "NoSuchKey"


class ChangedError(StorageError):
    """An object that another writer has written meanwhile."""


def read_version(url: str) -> tuple[bytes | None, str]:
    """Bytes of an object, and a version that other bytes under its URL do not have; None and "" where there is none."""
    fs, path = filesystem(url)
    fs.invalidate_cache()
    if "s3" not in fs.protocol:
        try:
            data = read_bytes(url)
        except StorageError as error:
            # Not asked before whether it exists: whoever holds it may remove it between the two questions.
            if isinstance(error.__cause__, FileNotFoundError):
                return None, ""
            raise
        # A checksum and not the time, for two writes may fall into one tick of a disk's clock.
        return data, checksum(data)
    bucket, key, _ = fs.split_path(path)

    def ask() -> tuple[bytes | None, str]:
        # Bytes and ETag from one answer: two requests could tell of two versions.
        try:
            answer = fs.call_s3("get_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None, ""
        return _body(fs, answer), str(answer["ETag"])

    return patiently(url, ask)


def put_version(url: str, data: bytes, former: str) -> None:
    """Write an object if it is still the version that was read, in one step that no other writer comes between.

    Parameters
    ----------
    former : version as `read_version` returned it; "" if there was no object

    Raises
    ------
    ChangedError
        if another writer was faster; the object is then as that one left it
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _alone(Path(path)):
            _require_version(url, former)
            put(url, data)
        return
    if "s3" not in fs.protocol:
        # obstore's file systems know no conditions: between the two lines another writer may come.
        _require_version(url, former)
        put(url, data)
        return
    bucket, key, _ = fs.split_path(path)
    # S3 compares and writes in one step; "*" means that there must not be any object.
    condition = {"IfMatch": former} if former else {"IfNoneMatch": "*"}

    def ask() -> None:
        fs.call_s3("put_object", Bucket=bucket, Key=key, Body=data, ContentType="application/json", **condition)

    try:
        patiently(url, ask)
    except (OSError, botocore.exceptions.ClientError) as error:
        if not _is_late(error):
            raise
        # An answer that got lost was asked for again: then the object is the one written here.
        if read_version(url)[0] != data:
            raise ChangedError(f"{url}: was written by another one meanwhile; run again") from error


def remove_version(url: str, former: str) -> None:
    """Remove an object if it is still the one that was read; asked once, whatever becomes of the answer.

    A removal that was carried out although its answer was lost would, asked for again, remove what another writer has
    put there meanwhile. S3 servers that know no conditions for removals are asked for the version first.

    Parameters
    ----------
    former : version as `read_version` returned it

    Raises
    ------
    ChangedError
        if it is another one
    OSError
        if the store does not answer
    """
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        with _alone(Path(path)):
            _require_version(url, former)
            Path(path).unlink()
        return
    _require_version(url, former)
    if "s3" not in fs.protocol:
        fs.rm_file(path)
        return
    bucket, key, _ = fs.split_path(path)
    try:
        fs.call_s3("delete_object", Bucket=bucket, Key=key, IfMatch=former)
    except Exception as error:
        if _is_late(error):
            raise ChangedError(f"{url}: was written by another one meanwhile") from error
        # Those of botocore for a connection that breaks off are no OSErrors.
        if is_passing(error):
            raise unreachable(url, error) from error
        raise


def _require_version(url: str, former: str) -> None:
    if read_version(url)[1] != former:
        raise ChangedError(f"{url}: was written by another one meanwhile; run again")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine, and of an NFS mount, from writing conditionally beside `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # A file beside it, since the object itself is replaced, and a lock on the former file would stop nobody.
    # Whoever may open it may hold the lock: only those who may write here at all.
    with os.fdopen(os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o660), "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_late(error: Exception) -> bool:
    if isinstance(error, FileExistsError):
        return True
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", {})
    if response.get("Error", {}).get("Code") in (*LATE_CODES, REMOVED_CODE):
        return True
    # s3fs makes "Invalid argument" of a precondition that failed, with the server's sentence.
    return getattr(error, "errno", None) == errno.EINVAL and "condition" in str(error).lower()


def _body(fs: Any, answer: dict[str, Any]) -> bytes:
    """The whole body of an answer; s3fs hands out the stream of its own event loop."""
    from fsspec.asyn import sync

    return bytes(sync(fs.loop, answer["Body"].read))
