"""Chunks of source files fetched by few requests and decoded."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.source_ranges import read_range
from somo.forcing.references.stored_array import Parts, Places, StoredArray
from somo.forcing.sources import ForcingError

# Chunks of a file no further apart are read by one request, up to this size.
GAP_BYTES, REQUEST_BYTES = 2**15, 2**21
REQUESTS_AT_ONCE = 8


class Place(NamedTuple):
    """Where a chunk is: a range of a file, or `inline` bytes; neither if it was never written.

    `mask` has a bit for every filter that HDF5 left out of this chunk.
    """

    path: str | None
    offset: int = 0
    size: int = 0
    mask: int = 0
    inline: bytes | None = None


@dataclass
class Request:
    """Neighbouring chunks of one file.

    Attributes
    ----------
    chunks : place, which values, where they go, of each
    """

    url: str
    fingerprint: str
    start: int
    stop: int
    chunks: list[tuple[Place, Parts, Parts]]

    def read(self) -> Any:
        """Bytes of all its chunks and of the gaps between them."""
        return read_range(self.url, self.fingerprint, self.start, self.stop - self.start)


class ChunkReader(ABC):
    """Values of arrays whose chunks lie in source files."""

    variable: str

    @abstractmethod
    def array(self, group: int) -> StoredArray:
        """How one group is stored."""

    @abstractmethod
    def place(self, group: int, number: int) -> Place:
        """Where the chunk with a flat number is."""

    @abstractmethod
    def fingerprint(self, group: int, path: str) -> str:
        """The fingerprint that a source file must have."""

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
        values, requests = np.empty(selected_shape(selection, stored.shape), stored.dtype), []
        for place, inside, target in self._crossed(group, selection):
            if place.path is not None:
                requests.append((place, inside, target))
            else:
                values[target] = stored.fill if place.inline is None else stored.decode(place.inline)[inside]
        for request, data in _fetched(self._joined(group, requests)):
            view = memoryview(data)
            for place, inside, target in request.chunks:
                at = place.offset - request.start
                chunk = _decoded(stored, view[at : at + place.size], self.variable, request.url, place)
                values[target] = chunk[inside]
        return values

    def _crossed(self, group: int, selection: Parts) -> Iterator[tuple[Place, Parts, Parts]]:
        """Every chunk of a selection: where it is, which of its values are wanted, where they go."""
        stored = self.array(group)
        across = [math.ceil(n / chunk) for n, chunk in zip(stored.shape, stored.chunks, strict=True)]
        for numbers, inside, target in stored.crossings(selection):
            yield self.place(group, int(np.ravel_multi_index(numbers, across))), inside, target

    def _joined(self, group: int, places: list[tuple[Place, Parts, Parts]]) -> list[Request]:
        """Chunks of a file that lie close together in one request."""
        requests: list[Request] = []
        for place, inside, target in sorted(places, key=lambda chunk: (chunk[0].path or "", chunk[0].offset)):
            assert place.path is not None
            last, end = requests[-1] if requests else None, place.offset + place.size
            near = last is not None and last.url == place.path and place.offset - last.stop <= GAP_BYTES
            if last is None or not near or end - last.start > REQUEST_BYTES:
                last = Request(place.path, self.fingerprint(group, place.path), place.offset, end, [])
                requests.append(last)
            last.stop = max(last.stop, end)
            last.chunks.append((place, inside, target))
        return requests


def selected_shape(selection: Parts, shape: Sequence[int]) -> list[int]:
    """Shape of what a selection takes of an array."""
    return [
        len(range(*places.indices(n))) if isinstance(places, slice) else len(places)
        for places, n in zip(selection, shape, strict=True)
    ]


def _fetched(requests: Sequence[Request]) -> Iterator[tuple[Request, Any]]:
    """Requests with their bytes, in order; some are under way while one is used."""
    remaining_requests = iter(requests)
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        waiting = deque(
            (request, pool.submit(request.read)) for request in islice(remaining_requests, REQUESTS_AT_ONCE)
        )
        try:
            while waiting:
                request, data = waiting.popleft()
                yield request, data.result()
                waiting.extend((following, pool.submit(following.read)) for following in islice(remaining_requests, 1))
        finally:
            for _, data in waiting:
                data.cancel()


def _decoded(stored: StoredArray, data: Any, variable: str, url: str, place: Place) -> NDArray[Any]:
    try:
        return stored.decode(data, place.mask)
    # Too little memory is no damage of the file.
    except MemoryError:
        raise
    except Exception as error:  # every codec has its own
        raise ForcingError(
            f"{url}: the chunk of {variable} at byte {place.offset} cannot be decoded ({error}); replace the file "
            "and run ingest again"
        ) from error
