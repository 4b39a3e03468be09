"""Byte ranges of source files, refused if the file is no longer the one that was referenced."""

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
    options: Any = {"range": (offset, offset + size), "if_match": f'"{expected.split("-", 1)[1]}"'}
    try:
        result = await obstore.get_async(_bucket(fs, bucket), key, options=options)
        return memoryview(await result.bytes_async())
    except PreconditionError:
        _require_same(url, expected, fingerprint(url))
        raise


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
    """The credentials s3fs found, asked for again when obstore needs them."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def __call__(self) -> Any:
        frozen = sync(self.fs.loop, self._frozen)
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": None,
        }

    async def _frozen(self) -> Any:
        credentials = self.fs.s3._request_signer._credentials
        return await credentials.get_frozen_credentials()
