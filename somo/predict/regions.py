"""Regions, the unit of production: one block of days on one tile of cells, and which of them are still to do.

A finished region leaves an entry in the manifest: what it was made from, the days it holds and the checksum of every
object it wrote. A region is recognised by that content, never by the mere presence of an object.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.core.status import FINAL
from somo.product.layout import SEPARATORS, Layout, Tile, shard_key
from somo.storage.client import filesystem
from somo.storage.listing import Object, listing
from somo.storage.objects import checksum, join, put, read_bytes

# Objects read side by side: each waits for the network most of its time.
READERS = 8


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
        """Name of its entry and its states, which sorts by block, then by tile."""
        return f"b{self.block:04d}-r{self.tile[0]:02d}-c{self.tile[1]:02d}"

    @property
    def cells(self) -> int:
        """Cells of its tile, sea included."""
        height: int = self.rows.stop - self.rows.start
        width: int = self.columns.stop - self.columns.start
        return height * width


@dataclass(frozen=True)
class Written:
    """Size and checksums of one object: MD5 is what object stores report, SHA-256 is what decides."""

    size: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Written":
        """What an object of these bytes is known by."""
        # MD5 is what ETags are, and nothing rests on it; machines in FIPS mode would otherwise refuse it.
        return cls(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest(), checksum(data))


@dataclass(frozen=True)
class Entry:
    """What a finished region was made from and what it wrote.

    Attributes
    ----------
    inputs : hash of models, static features and the forcing of the region's days
    status : [day] of the region, as published
    objects : field -> its shard
    """

    inputs: str
    status: tuple[int, ...]
    objects: Mapping[str, Written]

    def to_json(self) -> bytes:
        """The entry as it is kept, with runs of equal status."""
        objects = {field: asdict(written) for field, written in sorted(self.objects.items())}
        return json.dumps({"inputs": self.inputs, "status": list(_runs(self.status)), "objects": objects}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Entry":
        """The entry that `to_json` wrote."""
        raw = json.loads(data)
        status = tuple(value for value, count in raw["status"] for _ in range(count))
        return cls(raw["inputs"], status, {field: Written(**w) for field, w in raw["objects"].items()})


def _runs(status: Iterable[int]) -> Iterator[tuple[int, int]]:
    # A status a day would make each of thousands of entries hundreds of numbers long: runs of equal ones are few.
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
    """Folder of a version's manifest of regions, which production alone reads."""
    return join(root, "regions", f"v{version}")


def read_manifest(url: str) -> dict[str, Entry]:
    """Entries by name of region: from the index where the listing shows them unchanged, the others one by one.

    With 14,000 regions one object is read instead of as many.
    """
    objects = {name: listed for name, listed in listing(url).items() if name.endswith(".json")}
    index = _read_index(url) if objects else {}
    indexed = {name: index[name] for name, listed in objects.items() if index.get(name, ("",))[0] == _stamp(listed)}
    entries = {name: json.dumps(raw).encode() for name, (_, raw) in indexed.items()}
    if others := sorted(objects.keys() - indexed.keys()):
        fs, path = filesystem(url)
        paths = {f"{path.rstrip('/')}/{name}": name for name in others}
        # One call for all of them: fsspec asks for many objects at the same time.
        entries |= {paths[place]: content for place, content in fs.cat(list(paths)).items()}
    return {name.removesuffix(".json"): Entry.from_json(content) for name, content in sorted(entries.items())}


def write_index(url: str) -> None:
    """Put all entries in one object, from where they are read at once."""
    # Listed before they are read: an entry that is written in between then has another stamp and is read again, where
    # the stamp of its new bytes would make the old ones count for ever.
    objects, entries = listing(url), read_manifest(url)
    stamped = {
        f"{name}.json": (_stamp(objects[f"{name}.json"]), json.loads(entry.to_json()))
        for name, entry in entries.items()
        if f"{name}.json" in objects
    }
    put(_index_url(url), json.dumps(stamped).encode())


def _index_url(url: str) -> str:
    """Beside the states, which can be lost as well as this; what a version is known by holds no times of files."""
    root, _, version = url.rstrip("/").rsplit("/", 2)
    return join(root, "states", f"regions-{version}.json")


def _read_index(url: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Stamp and raw entry by name of object; empty where there is no sound index."""
    fs, path = filesystem(_index_url(url))
    try:
        return {name: (stamp, raw) for name, (stamp, raw) in json.loads(fs.cat_file(path)).items()}
    except (FileNotFoundError, ValueError):
        return {}


def _stamp(listed: Object) -> str:
    return f"{listed.size} {listed.version}"


def write_entry(url: str, region: Region, entry: Entry) -> None:
    """Record a finished region; its objects must have been written before."""
    put(join(url, f"{region.name}.json"), entry.to_json())


@dataclass(frozen=True)
class Plan:
    """What is missing before all wanted days can be shown.

    Attributes
    ----------
    side : namespace in which everything will be
    predict : regions to predict and write there
    copy : keys of intact shards on the other side, and where they must be copied to
    """

    side: int
    predict: tuple[Region, ...]
    copy: tuple[tuple[str, str], ...]


def plan(
    wanted: Sequence[Region],
    manifest: Mapping[str, Entry],
    inputs: Mapping[int, str],
    status: NDArray[np.int8],
    visible: NDArray[np.int8],
    visible_side: int,
    held: Collection[str],
) -> Plan:
    """Regions to predict and shards to copy; nothing that readers can see is written over.

    Parameters
    ----------
    wanted : every region of the days to publish
    inputs : hash of the present inputs by block
    status : [day] of all days to publish
    visible : [day] status of the days that readers see now
    visible_side : namespace of the shards that they read
    held : keys, on both sides, of objects that hold what the manifest says
    """
    good = {r.name for r in wanted if _as_wanted(r, manifest.get(r.name), inputs[r.block], status, visible)}

    def intact(region: Region, side: int) -> bool:
        return region.name in good and all(key in held for key in _keys(region, manifest[region.name], side))

    # A block that readers see must not change under them: it is made on the other side, and all other shards follow it.
    # Days after the last visible one can be written where readers are, who do not look there yet.
    stale = [region for region in wanted if not intact(region, visible_side)]
    touches_visible_days = any(region.days.start < len(visible) for region in stale)
    side = 1 - visible_side if touches_visible_days else visible_side
    missing = [region for region in wanted if not intact(region, side)]
    copied = [region for region in missing if intact(region, 1 - side)]
    pairs = (
        pair
        for region in copied
        for pair in zip(*(_keys(region, manifest[region.name], s) for s in (1 - side, side)), strict=True)
    )
    names = {region.name for region in copied}
    return Plan(side, tuple(region for region in missing if region.name not in names), tuple(pairs))


def _as_wanted(
    region: Region, entry: Entry | None, inputs: str, status: NDArray[np.int8], visible: NDArray[np.int8]
) -> bool:
    """Whether a region need not be made again; days that readers see as final stay, whatever their forcing."""
    if entry is None or not np.array_equal(entry.status, status[region.days]):
        return False
    shown = visible[region.days]
    return entry.inputs == inputs or (np.array_equal(entry.status, shown) and not np.any(shown != FINAL))


def _keys(region: Region, entry: Entry, side: int) -> list[str]:
    return [shard_key(field, side, region.block, region.tile) for field in sorted(entry.objects)]


Recorded = Callable[[str, int, str], str | None]
"""Key, size and version that storage tells -> SHA-256 that was taken of the object earlier; None if nobody has."""


def held_objects(
    url: str, wanted: Iterable[Region], manifest: Mapping[str, Entry], recorded: Recorded = lambda *_: None
) -> set[str]:
    """Keys under a store, on both sides, of objects that hold the bytes of the manifest.

    The store is listed once; an object whose checksum neither storage nor an earlier record knows is read.
    """
    objects = listing(url)
    held, doubtful = set(), []
    for region in wanted:
        entry = manifest.get(region.name)
        for field, written in entry.objects.items() if entry else ():
            for side in range(len(SEPARATORS)):
                key = shard_key(field, side, region.block, region.tile)
                # Sizes tell most damage at no cost: only objects of the right size are worth reading.
                if key not in objects or objects[key].size != written.size:
                    continue
                version = objects[key].version
                if written.md5 == version or recorded(key, written.size, version) == written.sha256:
                    held.add(key)
                else:
                    doubtful.append((key, written.sha256))
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda key: checksum(read_bytes(join(url, key))), [key for key, _ in doubtful])
        held |= {key for (key, sha256), digest in zip(doubtful, digests, strict=True) if digest == sha256}
    return held
