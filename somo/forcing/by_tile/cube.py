"""Forcing laid out by tile: whole days of the product's cells as stored numbers, in slabs next to the references.

Source files hold one map after another, but a region reads all days of few cells. One pass writes slabs of at most 128
days, each of one encoding: a slab is one shard, in which every tile is one chunk. A slab is named by the files it comes
from: an interrupted pass continues where it stopped, and new days only add slabs. Numbers are decoded when read.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from somo.product.declaration import content_hash
from somo.storage.client import zarr_store
from somo.storage.objects import exists, put, read_bytes

# Part of every name: raised by one where the same source gives other cubes.
FORMAT = 2
# Measured on three years of one variable: reading a tile from maps takes 4.7 s, from slabs of 128 days 0.06 to 0.34 s,
# and writing the slabs took 9 s on two workers.
SLAB_DAYS = 128
# A slab is made and written as one array in memory.
SLAB_BYTES = 2**27
SHARD = "/c/0/0/0"
"""Key of a slab's only shard below its URL."""
_opened: dict[str, "Cube"] = {}


@dataclass(frozen=True)
class Slab:
    """Consecutive days of one encoding.

    Attributes
    ----------
    first_day, n_days : days since 1970-01-01
    attrs : CF decoding attributes as {name: [value, dtype]}
    group : of the files whose stored numbers it holds; -1 where it holds daily values in our units
    """

    url: str
    first_day: int
    n_days: int
    attrs: dict[str, list[Any]]
    group: int


@dataclass(frozen=True)
class Cube:
    """The slabs of one variable on the product's cells, in order of time without gap."""

    slabs: tuple[Slab, ...]

    def covers(self, first_day: int, stop_day: int) -> bool:
        """Whether the days `first_day`..`stop_day` (excluded, since 1970-01-01) lie in its slabs."""
        last = self.slabs[-1]
        return self.slabs[0].first_day <= first_day and stop_day <= last.first_day + last.n_days

    def read(self, first_day: int, stop_day: int, window: tuple[slice, slice]) -> list[tuple[NDArray[Any], Slab]]:
        """[day, lat, lon] stored numbers of some days, with the slab that they are from: one entry a slab.

        Parameters
        ----------
        first_day, stop_day : days since 1970-01-01, the second excluded
        window : slices of the product's rows and columns
        """
        slab_values = []
        for slab in self.slabs:
            start, stop = max(first_day, slab.first_day), min(stop_day, slab.first_day + slab.n_days)
            if start < stop:
                days = slice(start - slab.first_day, stop - slab.first_day)
                slab_values.append((np.asarray(_open_slab(slab.url)[(days, *window)]), slab))
        return slab_values


def cube_url(references: str, key: str) -> str:
    """Where the cube of a reference set is listed, under a key of what it is read as and on which cells."""
    return f"{references.removesuffix('.parquet')}.{content_hash(FORMAT, key)}.cube.json"


def open_cube(url: str) -> Cube | None:
    """The cube listed at a URL, opened once per process; None if it has not been written."""
    # Only a cube that exists is remembered, as one may be written while this process runs.
    if url not in _opened and exists(url):
        _opened[url] = Cube(tuple(Slab(**slab) for slab in json.loads(read_bytes(url))))
    return _opened.get(url)


@lru_cache(maxsize=1024)
def _open_slab(url: str) -> zarr.Array[Any]:
    return zarr.open_array(zarr_store(url), mode="r")


def write_cube(url: str, slabs: Sequence[Slab]) -> None:
    """Write the list of a cube's slabs; from then on readings use the cube."""
    put(url, json.dumps([asdict(slab) for slab in slabs]).encode())


def slab_exists(slab: Slab) -> bool:
    """Whether a slab's only shard has been written."""
    return exists(slab.url + SHARD)


def write_slab(slab: Slab, values: NDArray[Any], tile: tuple[int, int]) -> None:
    """Store [day, lat, lon] as one shard of one chunk a tile."""
    tile = min(tile[0], values.shape[1]), min(tile[1], values.shape[2])
    shard = [-(-n // t) * t for n, t in zip(values.shape[1:], tile, strict=True)]
    array = zarr.create_array(
        zarr_store(slab.url, read_only=False),
        shape=values.shape,
        chunks=(values.shape[0], *tile),
        shards=(values.shape[0], *shard),
        dtype=values.dtype,
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        # Zarr would not write a shard that holds nothing but its fill value, and its slab would count as missing for
        # ever.
        config={"write_empty_chunks": True},
        overwrite=True,
    )
    array[:] = values


def slab_edges(spans: Sequence[tuple[int, int]], bytes_per_day: int) -> list[tuple[int, int, int]]:
    """(span, first day, end) of slabs: every span of days cut at multiples of the slab's days.

    The cuts do not depend on how far the days reach, so what is full stays as it is.
    """
    days = max(1, min(SLAB_DAYS, SLAB_BYTES // bytes_per_day))
    edges = []
    for number, (first, end) in enumerate(spans):
        cuts = [first, *range(first // days * days + days, end, days), end]
        edges += [(number, a, b) for a, b in pairwise(cuts)]
    return edges
