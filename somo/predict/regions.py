"""Regions, the unit of production: one block of days on one tile of cells, and which of them are still to do.

A finished region leaves an entry in the manifest: what it was made from, the days it holds and the checksum of every
object it wrote. A region is recognised by that content, never by the mere presence of an object.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from somo.core.layout import Layout, Tile
from somo.core.storage import checksum, filesystem, join, put, read_bytes

FINAL = 0


@dataclass(frozen=True)
class Region:
    """Days and cells that one task predicts and writes.

    Attributes
    ----------
    block, tile : which shard
    days : of the product, counted from its first
    rows, columns : of the grid
    """

    block: int
    tile: Tile
    days: slice
    rows: slice
    columns: slice

    @property
    def name(self) -> str:
        return f"b{self.block:04d}-r{self.tile[0]:02d}-c{self.tile[1]:02d}"

    @property
    def cells(self) -> int:
        return (self.rows.stop - self.rows.start) * (self.columns.stop - self.columns.start)


@dataclass(frozen=True)
class Written:
    """Checksums of one object: MD5 is what object stores report, SHA-256 is what decides."""

    md5: str
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Written":
        return cls(hashlib.md5(data, usedforsecurity=False).hexdigest(), checksum(data))


@dataclass(frozen=True)
class Entry:
    """What a finished region was made from and what it wrote.

    Attributes
    ----------
    inputs : hash of models, static features and the forcing of the region's days
    status : [day] of the region, as published
    objects : key in the store -> checksums
    """

    inputs: str
    status: tuple[int, ...]
    objects: Mapping[str, Written]

    def to_json(self) -> bytes:
        runs = [list(run) for run in _runs(self.status)]
        objects = {key: asdict(written) for key, written in sorted(self.objects.items())}
        return json.dumps({"inputs": self.inputs, "status": runs, "objects": objects}, indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Entry":
        raw = json.loads(data)
        status = tuple(value for value, count in raw["status"] for _ in range(count))
        return cls(raw["inputs"], status, {key: Written(**w) for key, w in raw["objects"].items()})


def _runs(status: Iterable[int]) -> Iterator[tuple[int, int]]:
    values = np.asarray(list(status), int)
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), values.size] if values.size else [0]
    for start, stop in pairwise(edges):
        yield int(values[start]), stop - start


def regions(layout: Layout, days: int, land: NDArray[np.bool_]) -> list[Region]:
    """Every region of the first `days` days that holds land.

    Parameters
    ----------
    land : [row, column] cells to predict
    """
    tiles = [(tile, *layout.cells(tile)) for tile in layout.tiles()]
    wet = [(tile, rows, columns) for tile, rows, columns in tiles if land[rows, columns].any()]
    return [
        Region(block, tile, layout.block_days(block, days), rows, columns)
        for block in range(layout.blocks(days))
        for tile, rows, columns in wet
    ]


def manifest_url(root: str, version: str) -> str:
    """Folder of a version's manifest; readers have no use for it."""
    return join(root, "regions", f"v{version}")


def read_manifest(url: str) -> dict[str, Entry]:
    """Entries by name of region."""
    fs, path = filesystem(url)
    fs.invalidate_cache()
    found = [p for p in (fs.find(path) if fs.exists(path) else []) if p.endswith(".json")]
    contents = fs.cat(found) if found else {}
    return {p.rsplit("/", 1)[-1].removesuffix(".json"): Entry.from_json(data) for p, data in contents.items()}


def write_entry(url: str, region: Region, entry: Entry) -> None:
    """Record a finished region; its objects must have been written before."""
    put(join(url, f"{region.name}.json"), entry.to_json())


def to_do(
    wanted: Iterable[Region],
    manifest: Mapping[str, Entry],
    inputs: Mapping[int, str],
    status: NDArray[np.int8],
    visible: NDArray[np.int8],
    intact: Mapping[str, str],
) -> list[Region]:
    """Regions that the manifest does not show as finished, or whose objects are not what it says.

    A region whose days are all visible and final stays as it is, whatever became of its forcing since.

    Parameters
    ----------
    inputs : hash of the present inputs by block
    status : [day] of all days to publish
    visible : [day] status of the days that readers see now
    intact : key -> MD5 of the objects in the store
    """
    return [
        region
        for region in wanted
        if not _finished(region, manifest.get(region.name), inputs[region.block], status, visible, intact)
    ]


def _finished(
    region: Region,
    entry: Entry | None,
    inputs: str,
    status: NDArray[np.int8],
    visible: NDArray[np.int8],
    intact: Mapping[str, str],
) -> bool:
    if entry is None or any(intact.get(key) != written.md5 for key, written in entry.objects.items()):
        return False
    wanted = status[region.days]
    if not np.array_equal(entry.status, wanted):
        return False
    seen = visible[region.days]
    return entry.inputs == inputs or (len(seen) == len(wanted) and bool((seen == FINAL).all()))


def intact_objects(url: str, manifest: Mapping[str, Entry]) -> dict[str, str]:
    """MD5 by key of the objects under a store that still hold the bytes of the manifest.

    One listing; an object whose reported version is no MD5 of its bytes is read.
    """
    fs, path = filesystem(url)
    fs.invalidate_cache()
    expected = {key: w for entry in manifest.values() for key, w in entry.objects.items()}
    listed = fs.find(path, detail=True) if fs.exists(path) else {}
    reported = {p[len(path.rstrip("/")) + 1 :]: str(i.get("ETag", "")).strip('"') for p, i in listed.items()}
    return {
        key: written.md5
        for key, written in expected.items()
        if key in reported and (reported[key] == written.md5 or checksum(read_bytes(join(url, key))) == written.sha256)
    }
