"""Byte ranges of objects through obstore, and files made of them for libraries that seek."""

import datetime as dt
import io
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import obstore
from fsspec import AbstractFileSystem
from fsspec.asyn import sync
from fsspec.implementations.local import LocalFileSystem
from obstore.exceptions import PreconditionError
from obstore.store import S3Store

from somo.storage import archives, patience, web
from somo.storage.client import CLOUDS, filesystem, store_error
from somo.storage.objects import fingerprint
from somo.storage.patience import StorageError

if TYPE_CHECKING:
    from obstore.store import RetryConfig

BLOCK_BYTES = 2**20
# 128 MiB a file: h5py goes back and forth between a file's index and its chunks.
MOST_BLOCKS = 128


def retry_config() -> "RetryConfig":
    """The policy of `somo.storage.patience` in the terms of obstore, which repeats a request itself."""
    return {
        # Never reached: the time decides, as everywhere else.
        "max_retries": 1000,
        "retry_timeout": dt.timedelta(seconds=patience.PATIENCE_S),
        "backoff": {
            "init_backoff": dt.timedelta(seconds=patience.FIRST_PAUSE_S),
            "max_backoff": dt.timedelta(seconds=patience.LONGEST_PAUSE_S),
            "base": 2,
        },
    }


@lru_cache(maxsize=4096)
def opened(url: str) -> tuple[AbstractFileSystem, str]:
    """File system and path behind a URL, looked up once per process."""
    return filesystem(url)


def through_obstore(url: str) -> bool:
    """Whether an object lies in a cloud's store; obstore would take a key with `//` for one without."""
    fs, path = opened(url)
    protocols = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    return bool({"s3", *CLOUDS} & set(protocols)) and "//" not in path


def place(url: str) -> tuple[Any, str]:
    """obstore's client of an object's bucket, and the object's key."""
    fs, path = opened(url)
    bucket, _, key = path.partition("/")
    return (_bucket if "s3" in fs.protocol else _cloud)(fs, bucket), key


def conditions(expected: str, offset: int, size: int) -> Any:
    """Options of a request for a range of an object that still has the fingerprint `expected`."""
    # Condition and bytes in one request: an object that was replaced since its scan is refused, never mixed in.
    return {"range": (offset, offset + size), "if_match": f'"{expected.split("-", 1)[1]}"'}


def open_blocks(url: str, expected: str | None = None) -> Any:
    """A file of an object's bytes for h5py, which can be sent to other processes.

    On S3 the bytes come through obstore and not fsspec: h5py holds its lock while it waits for them, and a garbage
    collection in fsspec's thread that meets an h5py object would wait for that lock for ever.

    Parameters
    ----------
    expected : fingerprint that the object must keep; by default the one that it has now
    """
    return _Blocks(url, expected or fingerprint(url))


def seekable(url: str) -> Any:
    """What h5py opens in any process: the path of a local file, else a file of the object's bytes."""
    fs, path = opened(url)
    return path if isinstance(fs, LocalFileSystem) else open_blocks(url)


class _Blocks(io.RawIOBase):
    """Random access in blocks of 1 MiB, of which the latest are kept; `expected` begins with the file's size."""

    def __init__(self, url: str, expected: str) -> None:
        self.url = url
        self.expected = expected
        self.size = int(expected.split("-", 1)[0])
        self.at = 0
        self.blocks: OrderedDict[int, bytes] = OrderedDict()

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        # Without the blocks: the process that gets the file reads what it needs itself.
        return _Blocks, (self.url, self.expected)

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
            block_bytes = self._block(number)[inside : inside + stop - self.at]
            buffer[self.at - start : self.at - start + len(block_bytes)] = block_bytes
            self.at += len(block_bytes)
        return self.at - start

    def _block(self, number: int) -> bytes:
        if number not in self.blocks:
            first = number * BLOCK_BYTES
            wanted_bytes = min(BLOCK_BYTES, self.size - first)
            block = read_range(self.url, self.expected, first, wanted_bytes)
            # Of a file that became shorter a store gives what is left, and a reader would ask for the rest for ever.
            if len(block) != wanted_bytes:
                raise StorageError(f"{self.url}: {wanted_bytes} bytes were asked for, {len(block)} came; run again")
            self.blocks[number] = block
            if len(self.blocks) > MOST_BLOCKS:
                self.blocks.popitem(last=False)
        self.blocks.move_to_end(number)
        return self.blocks[number]


def read_range(url: str, expected: str, offset: int, size: int) -> bytes:
    """`size` bytes of an object from `offset` on.

    Parameters
    ----------
    expected : fingerprint that the object must still have

    Raises
    ------
    StorageError
        if it was replaced or cannot be read
    """
    if url.startswith(("http://", "https://")):
        return web.read_range(url, expected, offset, size)
    if url.startswith("zip://"):
        return read_member(url, expected, offset, size)
    if not through_obstore(url):
        return _read_plain(url, expected, offset, size)
    store, key = place(url)
    try:
        return bytes(obstore.get(store, key, options=conditions(expected, offset, size)).bytes())
    except PreconditionError as error:
        raise StorageError(f"{url}: was replaced while it was read; run again") from error
    except obstore.exceptions.GenericError as error:
        raise store_error(url, error) from error
    except obstore.exceptions.BaseError as error:
        raise StorageError(f"{url}: cannot be read ({error}); check that it exists and may be read") from error


def _read_plain(url: str, expected: str, offset: int, size: int) -> bytes:
    """Bytes of a disk, whose file must have kept its version; of file systems that know no versions, any bytes."""
    fs, path = opened(url)
    if not isinstance(fs, LocalFileSystem):
        return bytes(fs.cat_file(path, start=offset, end=offset + size))
    try:
        data = bytes(fs.cat_file(path, start=offset, end=offset + size))
        # Asked after the bytes are read: of a file that is rewritten in place they may be of both versions.
        current = fingerprint(url)
    except FileNotFoundError as error:
        raise StorageError(f"{url}: was removed while it was read; restore it and run again") from error
    if current != expected:
        raise StorageError(f"{url}: was replaced while it was read ({expected}, now {current}); run again")
    return data


def read_member(url: str, expected: str, offset: int, size: int) -> bytes:
    """`size` bytes at `offset` of a file in a zip archive.

    Parameters
    ----------
    expected : fingerprint of the file, `SIZE-ARCHIVE'S FINGERPRINT`

    Raises
    ------
    StorageError
        if the archive was replaced, holds no such file or is damaged
    """
    member, (_, archive) = archives.member(url, expected), archives.split(url)
    if member.offset is not None:
        return read_range(archive, archives.archive_fingerprint(expected), member.offset + offset, size)
    with archives.unpacked(url, expected).open("rb") as file:
        file.seek(offset)
        return file.read(size)


@lru_cache(maxsize=64)
def _cloud(fs: Any, bucket: str) -> Any:
    """obstore's client of a container of Google's or Microsoft's, as fsspec's file system has it."""
    return fs._construct_store(bucket)


@lru_cache(maxsize=64)
def _bucket(fs: Any, bucket: str) -> S3Store:
    """obstore's client of a bucket with the endpoint, region and credentials that s3fs resolved."""
    # s3fs looks into profiles, environment and instance roles when it connects; obstore itself reads no profiles.
    fs.connect()
    client = fs.s3
    options: Any = {"endpoint": client.meta.endpoint_url, "region": client.meta.region_name or "us-east-1"}
    if fs.anon:
        options["skip_signature"] = True
    else:
        options["credential_provider"] = _Credentials(fs)
    http: Any = {"allow_http": client.meta.endpoint_url.startswith("http://")}
    # Servers of one's own rarely have a name for every bucket: the bucket goes into the path.
    return S3Store(
        bucket, client_options=http, virtual_hosted_style_request=False, retry_config=retry_config(), **options
    )


class _Credentials:
    """The credentials that s3fs has; those that expire are asked for again when obstore needs them."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs
        self.credentials = sync(fs.loop, self._find)

    def __call__(self) -> Any:
        return self.credentials if self.credentials["expires_at"] is None else sync(self.fs.loop, self._find)

    async def _find(self) -> dict[str, Any]:
        credentials = self.fs.s3._request_signer._credentials
        frozen = await credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": getattr(credentials, "_expiry_time", None),
        }
