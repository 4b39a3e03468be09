"""One array stored in chunks: cutting a selection into its chunks, and decoding these within a bound of memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from somo.forcing.formats.view import View
from somo.forcing.references.unpacking import decode_within

Places = slice | NDArray[np.int64]
Parts = tuple[Places, ...]
# What compression may add to a chunk: checksums, headers, padding.
ROOM_BYTES = 4096
OWN_CODECS = {
    "somo_view": ("somo.forcing.formats.view", "View"),
    "somo_hdf5": ("somo.forcing.formats.hdf5_chunk", "Hdf5Chunk"),
    "somo_grib": ("somo.forcing.formats.grib_message", "GribMessage"),
}
"""Codecs of ours by their name in Zarr metadata, imported when an array needs them."""


def _codec(config: dict[str, Any]) -> Any:
    if config["id"] in OWN_CODECS:
        module, name = OWN_CODECS[config["id"]]
        settings = {key: value for key, value in config.items() if key != "id"}
        return getattr(import_module(module), name)(**settings)
    return numcodecs.get_codec(config)


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
        codecs = tuple(_codec(config) for config in reversed(encoding))
        fill = metadata["fill_value"]
        return cls(
            tuple(metadata["shape"]), tuple(metadata["chunks"]), np.dtype(metadata["dtype"]),
            0 if fill is None else fill, codecs,
        )  # fmt: skip

    def decode(self, data: Any, mask: int = 0) -> NDArray[Any]:
        """Values of one chunk.

        Parameters
        ----------
        mask : a bit for every filter that HDF5 left out of this chunk

        Raises
        ------
        ValueError
            where the chunk unpacks to more than its array holds, or cannot be decoded
        """
        most = self._most_bytes()
        for codec in self.codecs:
            data = codec.decode(data, mask=mask) if mask else decode_within(codec, data, most)
            # The mask is that of HDF5's filters, which are undone first; a view that comes after knows none.
            mask = 0
        return np.frombuffer(data, self.dtype).reshape(self.chunks)

    def _most_bytes(self) -> int:
        """Bytes that a chunk of this array may have before the last step of decoding."""
        view = next((codec for codec in self.codecs if isinstance(codec, View)), None)
        return math.prod(view.chunk if view else self.chunks) * self.dtype.itemsize + ROOM_BYTES

    def crossings(self, selection: Parts) -> Iterator[tuple[tuple[int, ...], Parts, Parts]]:
        """Every chunk of a selection: its number along each axis, which of its values to take, and where these go."""
        axes = (_cut(*axis) for axis in zip(selection, self.shape, self.chunks, strict=True))
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
