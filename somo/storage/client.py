"""The one client: file systems and Zarr stores behind URLs, whose every request has the patience of its store.

Credentials, endpoint, region and anonymous access come from the environment in the ecosystem's usual names
(`AWS_*`, `FSSPEC_*`), which fsspec and botocore read themselves.
"""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, cast

import fsspec
import obstore.exceptions
import obstore.fsspec
import zarr.storage
from fsspec import AbstractFileSystem
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from fsspec.implementations.local import LocalFileSystem
from zarr.abc.store import ByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from somo.storage.patience import PASSING_STATUS, StorageError, is_passing, patiently, patiently_async, unreachable
from somo.storage.web import client_settings

# Methods of a file system that ask its store.
REQUESTS = frozenset(
    {"cat_file", "cp_file", "created", "du", "exists", "find", "get", "get_file", "glob", "info", "isdir", "isfile"}
    | {"ls", "mkdir", "makedirs", "modified", "pipe_file", "put", "put_file", "rm", "rm_file", "size"}
)
CLOUDS = ("gs", "gcs", "az", "abfs", "abfss")
_known_clouds: set[str] = set()


def filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """File system and path behind a URL; a plain path is a local one.

    Requests to a remote one are repeated while its store is out of reach (`somo.storage.patience`); a local disk is
    asked once.
    """
    _know_clouds(url)
    fs, path = fsspec.url_to_fs(url, **_options(url))
    if isinstance(fs, LocalFileSystem):
        return fs, path
    # s3fs repeats requests too: its five attempts and ours would multiply.
    fs.retries = 1
    return cast(AbstractFileSystem, PatientFileSystem(fs)), path


def _know_clouds(url: str) -> None:
    """Let fsspec read Google's and Microsoft's storage through obstore, without the SDK of either.

    Credentials are those of obstore: `GOOGLE_*`, `AZURE_*`, or fsspec's own setting, as in
    `FSSPEC_GS='{"skip_signature": true}'` for public buckets.
    """
    scheme = url.partition("://")[0]
    if scheme in CLOUDS and scheme not in _known_clouds:
        obstore.fsspec.register(scheme)
        _known_clouds.add(scheme)


def store_error(url: str, error: obstore.exceptions.GenericError) -> StorageError:
    """A failure of obstore as what it is: a store that refuses, or one that stayed out of reach."""
    scheme, text = url.partition("://")[0], str(error)
    # Said before any request is sent: the network has nothing to do with it.
    if "must be specified" in text:
        return StorageError(
            f"{url}: {text.splitlines()[0]}; set AZURE_STORAGE_ACCOUNT_NAME in the environment, or account_name in "
            f"FSSPEC_{scheme.upper()}"
        )
    refused = re.search(r"status: (401|403)\b", text)
    if not refused:
        answered = re.search(r"status code: (4\d\d)\b", text)
        if answered is None or int(answered[1]) in PASSING_STATUS:
            return unreachable(url, error)
        # Amazon says so (400) of temporary keys that have expired, and of requests that another region should get.
        code = re.search(r"<Code>(\w+)</Code>", text)
        return StorageError(
            f"{url}: the store refuses what it is asked ({answered[1]}{f' {code[1]}' if code else ''}); look at the "
            "credentials, which may have expired, the region and the endpoint"
        )
    return StorageError(
        f"{url}: the store refuses it ({refused[1]}); give credentials in the environment (AZURE_*, GOOGLE_*, or "
        f"FSSPEC_{scheme.upper()}), and check that the account may list and read it"
    )


def _ask_patiently(url: str, request: Callable[[], Any]) -> Any:
    """Result of a request to a store, whose failures have their names whichever library asked."""
    try:
        return patiently(url, request)
    # obstore's own error for whatever it has no name for; it is no OSError.
    except obstore.exceptions.GenericError as error:
        raise store_error(url, error) from error


def _options(url: str) -> dict[str, Any]:
    """Options of s3fs, which remembers no listing and does not try again on its own, and of web servers."""
    if url.startswith(("http://", "https://")):
        return {"client_kwargs": client_settings(url.partition("://")[0])}
    if not url.startswith("s3://"):
        return {}
    declared = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
    return {
        # s3fs asks a remembered listing for an object's size before it reads it: what a worker wrote since the folder
        # was listed would be missing.
        "use_listings_cache": False,
        # Its attempts and ours would multiply.
        "config_kwargs": {**declared, "retries": {"total_max_attempts": 1}},
    }


class PatientFileSystem:
    """A remote file system of fsspec whose requests are tried again; all other methods are those of fsspec."""

    def __init__(self, fs: AbstractFileSystem) -> None:
        self._fs = fs

    def __reduce__(self) -> tuple[type["PatientFileSystem"], tuple[AbstractFileSystem]]:
        return PatientFileSystem, (self._fs,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatientFileSystem) and self._fs == other._fs

    def __hash__(self) -> int:
        return hash(self._fs)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._fs, name)
        return self._patient(attribute) if name in REQUESTS else attribute

    def _patient(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def request(*arguments: Any, **options: Any) -> Any:
            # A list of paths, as `rm` takes it, is named by its first.
            first = next(iter(arguments), "")
            url = self._fs.unstrip_protocol(first if isinstance(first, str) else next(iter(first), ""))
            return _ask_patiently(url, partial(method, *arguments, **options))

        return request

    def cat(self, paths: list[str]) -> dict[str, bytes]:
        """Contents of many objects, asked for at the same time.

        Only those that failed are asked for again: where a network breaks one request in three, hundreds of them never
        succeed together.
        """
        contents: dict[str, bytes] = {}

        def ask_for_missing() -> None:
            answers = self._fs.cat([path for path in paths if path not in contents], on_error="return")
            contents.update({path: answer for path, answer in answers.items() if not isinstance(answer, BaseException)})
            failures = [answer for answer in answers.values() if isinstance(answer, BaseException)]
            if failures:
                # A failure that stays, such as a missing object, ends the asking whatever else failed.
                raise next((failure for failure in failures if not is_passing(failure)), failures[0])

        if paths:
            _ask_patiently(self._fs.unstrip_protocol(paths[0]), ask_for_missing)
        return contents

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        """A file whose reading is tried again block by block; writing is one request at the end, tried once."""
        url = self._fs.unstrip_protocol(path)
        file = patiently(url, partial(self._fs.open, path, mode, **options))
        # A buffered file of fsspec asks for its blocks through its cache's fetcher.
        if (cache := getattr(file, "cache", None)) is not None and getattr(cache, "fetcher", None) is not None:
            fetch = cache.fetcher
            cache.fetcher = lambda start, end: patiently(url, partial(fetch, start, end))
        return file


def zarr_store(url: str, read_only: bool = True) -> Store:
    """Zarr store at a URL."""
    _know_clouds(url)
    options = _options(url)
    fs, path = fsspec.url_to_fs(url, **options)
    if isinstance(fs, LocalFileSystem):
        return zarr.storage.LocalStore(path, read_only=read_only)
    if fs.async_impl:
        store = zarr.storage.FsspecStore.from_url(url, storage_options=options, read_only=read_only)
        # As in `filesystem`: the attempts of s3fs and ours would multiply.
        store.fs.retries = 1
        # Otherwise s3fs asks for the size of every chunk before it asks for the chunk.
        store.fs.max_concurrency = 1
        return PatientStore(store, url)
    # Zarr asks asynchronously alone; file systems without such methods run in threads.
    wrapped = AsyncFileSystemWrapper(fs, asynchronous=True)
    return PatientStore(zarr.storage.FsspecStore(wrapped, path=path, read_only=read_only), url)


class PatientStore(WrapperStore[Store]):
    """A Zarr store whose requests are tried again while it is out of reach."""

    def __init__(self, store: Store, url: str) -> None:
        super().__init__(store)
        self.url = url

    def _with_store(self, store: Store) -> "PatientStore":
        return PatientStore(store, self.url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PatientStore) and self._store == other._store

    def __reduce__(self) -> tuple[type["PatientStore"], tuple[Store, str]]:
        return PatientStore, (self._store, self.url)

    def _object(self, key: str) -> str:
        return f"{self.url.rstrip('/')}/{key}"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        return await patiently_async(self._object(key), lambda: self._store.get(key, prototype, byte_range))

    async def set(self, key: str, value: Buffer) -> None:
        await patiently_async(self._object(key), lambda: self._store.set(key, value))

    async def exists(self, key: str) -> bool:
        return await patiently_async(self._object(key), lambda: self._store.exists(key))

    async def delete(self, key: str) -> None:
        await patiently_async(self._object(key), lambda: self._store.delete(key))

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        # The whole list before the first name: a listing that breaks off halfway has to be asked for again as a whole.
        for name in await self._listed(prefix, lambda: self._store.list_dir(prefix)):
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for name in await self._listed(prefix, lambda: self._store.list_prefix(prefix)):
            yield name

    async def _listed(self, prefix: str, listing: Callable[[], AsyncIterator[str]]) -> list[str]:
        async def names() -> list[str]:
            return [name async for name in listing()]

        return await patiently_async(self._object(prefix), names)
