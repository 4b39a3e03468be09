"""Byte ranges of source files, refused if the file is no longer the one that was referenced."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import obstore
from fsspec import AbstractFileSystem
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem
from obstore.exceptions import PreconditionError
from obstore.store import S3Store

from somo.core.storage import filesystem, fingerprint, version_of
from somo.forcing.sources import ForcingError

BLOCK_BYTES = 2**20


async def read_range(url: str, expected: str, offset: int, size: int) -> Any:
    """`size` bytes at `offset` of a file that still has the fingerprint `expected`.

    Raises
    ------
    ForcingError
        if the file was replaced, shortened or removed, or may not be read
    """
    fs, path = _opened(url)
    try:
        if isinstance(fs, LocalFileSystem):
            data = _local(url, expected, path, offset, size)
        elif "s3" in fs.protocol:
            data = await _s3(url, expected, fs, path, offset, size)
        else:
            _require_same(url, expected, fingerprint(url))
            data = fs.cat_file(path, start=offset, end=offset + size)
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


@lru_cache(maxsize=4096)
def _opened(url: str) -> tuple[AbstractFileSystem, str]:
    return filesystem(url)


def _local(url: str, expected: str, path: str, offset: int, size: int) -> bytes:
    with Path(path).open("rb", buffering=0) as file:
        _require_same(url, expected, version_of(_opened(url)[0].info(path)))
        file.seek(offset)
        return file.read(size)


async def _s3(url: str, expected: str, fs: Any, path: str, offset: int, size: int) -> Any:
    """One conditional GET: the server itself compares the version."""
    bucket, _, key = path.partition("/")
    try:
        result = await obstore.get_async(_bucket(fs, bucket), key, options=_conditions(expected, offset, size))
        return memoryview(await result.bytes_async())
    except PreconditionError:
        _require_same(url, expected, fingerprint(url))
        raise


def _conditions(expected: str, offset: int, size: int) -> Any:
    return {"range": (offset, offset + size), "if_match": f'"{expected.split("-", 1)[1]}"'}


@contextmanager
def open_file(url: str, expected: str) -> Iterator[Any]:
    """A file object for h5py.

    On S3 the bytes come through obstore and not fsspec: h5py holds its lock while it waits for them, and a garbage
    collection in fsspec's thread that meets an h5py object would wait for that lock for ever.
    """
    fs, path = _opened(url)
    if "s3" in fs.protocol:
        bucket, _, key = path.partition("/")
        store = _bucket(fs, bucket)
        yield _Blocks(lambda at, n: obstore.get(store, key, options=_conditions(expected, at, n)).bytes(), expected)
    else:
        with fs.open(path, "rb") as handle:
            yield handle


class _Blocks(io.RawIOBase):
    """Random access in blocks of 1 MiB, each fetched once; `expected` begins with the file's size."""

    def __init__(self, fetch: Callable[[int, int], Any], expected: str) -> None:
        self.fetch = fetch
        self.size = int(expected.split("-", 1)[0])
        self.at = 0
        self.blocks: dict[int, bytes] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        stop = min(self.at + len(buffer), self.size)
        start = self.at
        while self.at < stop:
            number, inside = divmod(self.at, BLOCK_BYTES)
            part = self._block(number)[inside : inside + stop - self.at]
            buffer[self.at - start : self.at - start + len(part)] = part
            self.at += len(part)
        return self.at - start

    def _block(self, number: int) -> bytes:
        if number not in self.blocks:
            first = number * BLOCK_BYTES
            self.blocks[number] = bytes(self.fetch(first, min(BLOCK_BYTES, self.size - first)))
        return self.blocks[number]


@lru_cache(maxsize=64)
def _bucket(fs: Any, bucket: str) -> S3Store:
    """obstore's client of a bucket with the endpoint, region and credentials that s3fs resolved."""
    fs.connect()
    client = fs.s3
    options: Any = {"endpoint": client.meta.endpoint_url, "region": client.meta.region_name or "us-east-1"}
    if fs.anon:
        options["skip_signature"] = True
    else:
        options["credential_provider"] = _Credentials(fs)
    http: Any = {"allow_http": client.meta.endpoint_url.startswith("http://")}
    return S3Store(bucket, client_options=http, virtual_hosted_style_request=False, **options)


class _Credentials:
    """The credentials s3fs found; those that expire are asked for again when obstore needs them."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.found = sync(fs.loop, self._find)

    def __call__(self) -> Any:
        return self.found if self.found["expires_at"] is None else sync(self.fs.loop, self._find)

    async def _find(self) -> dict[str, Any]:
        credentials = self.fs.s3._request_signer._credentials
        frozen = await credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": getattr(credentials, "_expiry_time", None),
        }
