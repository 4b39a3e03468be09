"""A reference set opened once per process: its chunks are read from the source files and decoded."""

import json
import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice, product
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.reference_set import read_table
from somo.forcing.references.scan import bounds_of, expand
from somo.forcing.references.source_ranges import read_range
from somo.forcing.sources import ForcingError
from somo.storage.objects import join, read_bytes

GAP_BYTES, REQUEST_BYTES = 2**15, 2**21
"""Chunks of a file no further apart are read by one request, up to this size."""
REQUESTS_AT_ONCE = 8

Places = slice | NDArray[np.int64]
Parts = tuple[Places, ...]


@dataclass(frozen=True)
class StoredArray:
    """How the values of one group lie in the source files, from its Zarr version 2 metadata.

    Attributes
    ----------
    shape, chunks : time, rows, columns
    fill : value of chunks that were never written
    codecs : in the order of decoding
    """

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    codecs: tuple[Any, ...]

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> "StoredArray":
        """The array that a `.zarray` describes."""
        encoding = [*(metadata["filters"] or ()), *([metadata["compressor"]] if metadata["compressor"] else ())]
        codecs = tuple(numcodecs.get_codec(config) for config in reversed(encoding))
        fill = metadata["fill_value"]
        return cls(
            tuple(metadata["shape"]), tuple(metadata["chunks"]), np.dtype(metadata["dtype"]),
            0 if fill is None else fill, codecs,
        )  # fmt: skip

    def decode(self, data: Any) -> NDArray[Any]:
        """Values of one chunk."""
        for codec in self.codecs:
            data = codec.decode(data)
        return np.frombuffer(data, self.dtype).reshape(self.chunks)

    def crossings(self, selection: Parts) -> Iterator[tuple[tuple[int, ...], Parts, Parts]]:
        """Every chunk of a selection: its numbers, which of its values are wanted, and where they go."""
        axes = (_cut(*part) for part in zip(selection, self.shape, self.chunks, strict=True))
        for cuts in product(*axes):
            numbers, inside, target = zip(*cuts, strict=True)
            yield numbers, inside, target


def _cut(part: Places, length: int, chunk: int) -> list[tuple[int, Places, slice]]:
    """Number, wanted values and target of every run of places in one chunk along one axis."""
    wanted = np.arange(*part.indices(length)) if isinstance(part, slice) else part
    if not len(wanted):
        return []
    numbers = wanted // chunk
    firsts = np.append(0, np.flatnonzero(np.diff(numbers)) + 1)
    stops = np.append(firsts[1:], len(wanted))
    return [
        (int(numbers[first]), steady(wanted[first:stop] - numbers[first] * chunk), slice(int(first), int(stop)))
        for first, stop in zip(firsts, stops, strict=True)
    ]


def steady(places: NDArray[np.int64]) -> Places:
    """Places as a slice, which copies nothing, where they are evenly spaced and ascend."""
    steps = np.unique(np.diff(places))
    if len(steps) > 1 or (len(steps) and steps[0] < 1):
        return places
    step = int(steps[0]) if len(steps) else 1
    return slice(int(places[0]), int(places[-1]) + 1, step)


@dataclass
class Request:
    """Neighbouring chunks of one file.

    Attributes
    ----------
    chunks : (offset, size, which values, where they go) of each
    """

    url: str
    fingerprint: str
    start: int
    stop: int
    chunks: list[tuple[int, int, Parts, Parts]]

    def read(self) -> Any:
        """Bytes of all its chunks and of the gaps between them."""
        return read_range(self.url, self.fingerprint, self.start, self.stop - self.start)


class ReferenceSet:
    """Chunks of one variable by their places in the source files.

    A chunk may only lie in a file that the set lists, and is read only while that file still has the fingerprint it
    was referenced with. Pickles as its URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        content = json.loads(read_bytes(join(url, ".zmetadata")))
        self.metadata: dict[str, Any] = content["metadata"]
        self.records: int = content["record_size"]
        self.index: dict[str, Any] = self.metadata[".zattrs"]["somo"]
        self.fingerprints: dict[str, str] = {file[0]: file[1] for file in self.index["files"]}
        self.grid: dict[str, Any] = self.index["grid"]
        self.calendar: str = self.index["calendar"]
        self.cell_methods: str | None = self.index["cell_methods"]
        self.units: list[str | None] = self.index["units"]
        self._arrays: dict[int, StoredArray] = {}
        self._tables: dict[tuple[int, int], dict[str, np.ndarray]] = {}

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return open_references, (self.url,)

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """[step] time stamps of all files in seconds since 1970-01-01, ascending, at any distance."""
        return expand(self.index["stamps"])

    @cached_property
    def time_bounds(self) -> NDArray[np.int64] | None:
        """[step, 2] start and end of each step's interval in seconds; None unless every file has bounds."""
        return None if self.index["bounds"] is None else bounds_of(self.times, self.index["bounds"])

    @cached_property
    def file_of_step(self) -> NDArray[np.int64]:
        """[step] number of the file, in `index["files"]`, that holds it."""
        return np.repeat(*np.array([[run[0], run[4]] for run in self.index["runs"]]).T)

    @cached_property
    def group_of_step(self) -> NDArray[np.int64]:
        """[step] number of the group that holds it."""
        return np.repeat(*np.array([[run[1], run[4]] for run in self.index["runs"]]).T)

    @cached_property
    def place_of_step(self) -> NDArray[np.int64]:
        """[step] place along its group's time axis."""
        return expand(run[2:] for run in self.index["runs"])

    def array(self, group: int) -> StoredArray:
        """How one group is stored."""
        if group not in self._arrays:
            self._arrays[group] = StoredArray.of(self.metadata[f"{self._field(group)}/.zarray"])
        return self._arrays[group]

    def read(self, group: int, selection: tuple[Places, slice, slice]) -> NDArray[Any]:
        """Values of a group as they are stored, not decoded by CF.

        Parameters
        ----------
        selection : places along the group's time axis, in any order, and a window of rows and columns

        Raises
        ------
        ForcingError
            naming the file that was replaced, cannot be read, or holds a chunk that cannot be decoded
        """
        stored = self.array(group)
        shape = [
            len(range(*part.indices(n))) if isinstance(part, slice) else len(part)
            for part, n in zip(selection, stored.shape, strict=True)
        ]
        values, requests = np.empty(shape, stored.dtype), []
        for place, inside, target in self._places(group, selection):
            path, offset, size, inline = place
            if path is not None:
                requests.append((path, offset, size, inside, target))
            else:
                values[target] = stored.fill if inline is None else stored.decode(inline)[inside]
        for request, data in _fetched(self._joined(group, requests)):
            view = memoryview(data)
            for offset, size, inside, target in request.chunks:
                at = offset - request.start
                chunk = _decoded(stored, view[at : at + size], self.index["variable"], request.url, offset)
                values[target] = chunk[inside]
        return values

    def _places(self, group: int, selection: Parts) -> Iterator[tuple[Any, Parts, Parts]]:
        """Path, offset, size and inline bytes of every chunk of a selection, which of its values, where they go."""
        stored = self.array(group)
        across = [math.ceil(n / chunk) for n, chunk in zip(stored.shape, stored.chunks, strict=True)]
        for numbers, inside, target in stored.crossings(selection):
            record, row = divmod(int(np.ravel_multi_index(numbers, across)), self.records)
            table = self._table(group, record)
            path, inline = table["path"][row], table["raw"][row]
            found = path if isinstance(path, str) else None, int(table["offset"][row]), int(table["size"][row])
            yield (*found, inline if isinstance(inline, bytes) else None), inside, target

    def _joined(self, group: int, places: list[tuple[str, int, int, Parts, Parts]]) -> list[Request]:
        """Chunks of a file that lie close together in one request."""
        requests: list[Request] = []
        for path, offset, size, inside, target in sorted(places, key=lambda place: place[:2]):
            last = requests[-1] if requests else None
            near = last is not None and last.url == path and offset - last.stop <= GAP_BYTES
            if last is None or not near or offset + size - last.start > REQUEST_BYTES:
                last = Request(path, self._fingerprint(group, path), offset, offset + size, [])
                requests.append(last)
            last.stop = max(last.stop, offset + size)
            last.chunks.append((offset, size, inside, target))
        return requests

    def _table(self, group: int, record: int) -> dict[str, np.ndarray]:
        if (group, record) not in self._tables:
            self._tables[group, record] = read_table(join(self.url, self._field(group), f"refs.{record}.parq"))
        return self._tables[group, record]

    def _field(self, group: int) -> str:
        return f"{group}/{self.index['variable']}"

    def _fingerprint(self, group: int, path: str) -> str:
        if path not in self.fingerprints:
            raise ForcingError(
                f"{self.url}: {self._field(group)} points to {path}, which is not one of its source files; "
                "remove this reference set and run the ingest stage again"
            )
        return self.fingerprints[path]


def _fetched(requests: Sequence[Request]) -> Iterator[tuple[Request, Any]]:
    """Requests with their bytes, in order; some are under way while one is used."""
    rest = iter(requests)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        waiting = deque((request, pool.submit(request.read)) for request in islice(rest, REQUESTS_AT_ONCE))
        try:
            while waiting:
                request, data = waiting.popleft()
                yield request, data.result()
                waiting.extend((following, pool.submit(following.read)) for following in islice(rest, 1))
        finally:
            for _, data in waiting:
                data.cancel()


def _decoded(stored: StoredArray, data: Any, variable: str, url: str, offset: int) -> NDArray[Any]:
    try:
        return stored.decode(data)
    except MemoryError:
        raise
    except Exception as error:  # every codec has its own
        raise ForcingError(
            f"{url}: the chunk of {variable} at byte {offset} cannot be decoded ({error}); replace the file and run "
            "ingest again"
        ) from error


@lru_cache(maxsize=64)
def open_references(url: str) -> ReferenceSet:
    """The reference set at a URL, opened once per process (its name is the hash of its content)."""
    return ReferenceSet(url)
