"""A reference set opened once per process: chunk keys -> byte ranges of the source files, as a read-only Zarr store."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.core.buffer import Buffer, BufferPrototype

from somo.core.storage import join, read_bytes
from somo.forcing.ranges import read_range
from somo.forcing.reference_set import read_table
from somo.forcing.sources import ForcingError

GAP_BYTES, REQUEST_BYTES = 2**15, 2**21
"""Chunks of a file no further apart are read by one request, up to this size."""
CHUNKS_AT_ONCE = 64
"""So that several requests are under way where each holds many chunks."""


class Run:
    """Neighbouring chunks of one file, read by one request when the first of them is asked for."""

    def __init__(self, path: str, fingerprint: str, start: int, stop: int) -> None:
        self.path, self.fingerprint, self.start, self.stop = path, fingerprint, start, stop
        self._reading: asyncio.Future[Any] | None = None

    async def read(self, offset: int, size: int) -> Any:
        """Bytes of one chunk."""
        if self._reading is None:
            whole = read_range(self.path, self.fingerprint, self.start, self.stop - self.start)
            self._reading = asyncio.ensure_future(whole)
        return (await self._reading)[offset - self.start : offset - self.start + size]


class ReferenceStore(Store):
    """Zarr version 2 hierarchy whose chunks lie in the source files.

    A chunk may only lie in a file that the set lists, and is read only while that file still has the fingerprint it
    was referenced with. Pickles as its URL.
    """

    supports_writes = supports_deletes = supports_partial_writes = False
    supports_listing = True

    def __init__(self, url: str) -> None:
        super().__init__(read_only=True)
        self.url = url
        content = json.loads(read_bytes(join(url, ".zmetadata")))
        self.metadata: dict[str, Any] = content["metadata"]
        self.records: int = content["record_size"]
        self.index: dict[str, Any] = self.metadata[".zattrs"]["somo"]
        self.fingerprints: dict[str, str] = {file[0]: file[1] for file in self.index["files"]}
        self.spans = _spans(self.index)
        self._arrays: dict[int, zarr.Array] = {}
        self._tables: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        self._runs: dict[tuple[str, int], Run] = {}

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return open_store, (self.url,)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferenceStore) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def array(self, group: int) -> zarr.Array:
        """The raw (not decoded) array of one group."""
        if group not in self._arrays:
            path = f"{group}/{self.index['variable']}"
            self._arrays[group] = zarr.open_array(self, path=path, mode="r", zarr_format=2)
        return self._arrays[group]

    def read(self, group: int, selection: tuple[slice, slice, slice]) -> np.ndarray:
        """Raw values of a group; neighbouring chunks of a file cost one request."""
        planned = self._plan(group, selection)
        chunks = list(planned)
        self._runs.update(planned)
        del planned  # a run is held by its chunks that have not been read yet
        try:
            with zarr.config.set({"async.concurrency": CHUNKS_AT_ONCE}):
                return np.asarray(self.array(group)[selection])
        finally:
            for chunk in chunks:
                self._runs.pop(chunk, None)

    def _plan(self, group: int, selection: tuple[slice, slice, slice]) -> dict[tuple[str, int], Run]:
        """Chunks that a selection needs, by file and offset, and the run that holds each."""
        array = self.array(group)
        numbers = (
            np.unique(np.arange(*part.indices(length)) // chunk)
            for part, length, chunk in zip(selection, array.shape, array.chunks, strict=True)
        )
        keys = [f"{group}/{self.index['variable']}/{'.'.join(map(str, chunk))}" for chunk in product(*numbers)]
        found = ((self._place(key), key) for key in keys)
        places = sorted((p[0], p[1], p[2], key) for p, key in found if p is not None and p[0] is not None)
        runs: dict[tuple[str, int], Run] = {}
        last: Run | None = None
        for path, offset, size, key in places:
            near = last is not None and last.path == path and offset - last.stop <= GAP_BYTES
            if last is None or not near or offset + size - last.start > REQUEST_BYTES:
                last = Run(path, self._fingerprint(key, path), offset, offset + size)
            last.stop = max(last.stop, offset + size)
            runs[path, offset] = last
        return runs

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        if key in self.metadata:
            raw: Any = json.dumps(self.metadata[key]).encode()
        elif (place := self._place(key)) is None:
            return None
        else:
            path, offset, size, inline = place
            raw = inline if path is None else await self._read(key, path, offset, size)
        if isinstance(byte_range, RangeByteRequest):
            raw = raw[byte_range.start : byte_range.end]
        elif isinstance(byte_range, OffsetByteRequest):
            raw = raw[byte_range.offset :]
        elif byte_range is not None:
            raw = raw[-byte_range.suffix :]
        return prototype.buffer.from_bytes(raw)

    async def _read(self, key: str, path: str, offset: int, size: int) -> Any:
        run = self._runs.pop((path, offset), None)
        if run is not None:
            return await run.read(offset, size)
        return await read_range(path, self._fingerprint(key, path), offset, size)

    def _place(self, key: str) -> tuple[str | None, int, int, bytes | None] | None:
        """Path, offset and size of a chunk, or its bytes; None if it was never written."""
        field, _, chunk = key.rpartition("/")
        array = self.metadata.get(f"{field}/.zarray")
        if array is None or chunk.startswith("."):
            return None
        shape = [math.ceil(s / c) for s, c in zip(array["shape"], array["chunks"], strict=True)]
        record, row = divmod(int(np.ravel_multi_index([int(i) for i in chunk.split(".")], shape)), self.records)
        table = self._table(field, record)
        path, inline = table["path"][row], table["raw"][row]
        if isinstance(path, str):
            return path, int(table["offset"][row]), int(table["size"][row]), None
        return (None, 0, 0, inline) if isinstance(inline, bytes) else None

    def _table(self, field: str, record: int) -> dict[str, np.ndarray]:
        if (field, record) not in self._tables:
            self._tables[field, record] = read_table(join(self.url, field, f"refs.{record}.parq"))
        return self._tables[field, record]

    def _fingerprint(self, key: str, path: str) -> str:
        if path not in self.fingerprints:
            raise ForcingError(
                f"{self.url}: chunk {key} points to {path}, which is not one of its source files; "
                "remove this reference set and run the ingest stage again"
            )
        return self.fingerprints[path]

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        return key in self.metadata or self._place(key) is not None

    async def set(self, key: str, value: Buffer) -> None:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        for key in self.metadata:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for key in self.metadata:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        start = f"{prefix.rstrip('/')}/" if prefix else ""
        for name in {key[len(start) :].split("/")[0] for key in self.metadata if key.startswith(start)}:
            yield name


def _spans(index: dict[str, Any]) -> list[tuple[int, int]]:
    """First step and end of every group, counted over the whole set."""
    spans, before = [], 0
    for group in range(len(index["decoding"])):
        after = before + sum(file[4] for file in index["files"] if file[2] == str(group))
        spans.append((before, after))
        before = after
    return spans


@lru_cache(maxsize=64)
def open_store(url: str) -> ReferenceStore:
    """The reference set at a URL, opened once per process (its name is the hash of its content)."""
    return ReferenceStore(url)
