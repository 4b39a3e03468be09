"""How the published arrays are cut: regions (one shard, one task), and the chunks inside.

No object that readers can see is ever written over. A shard that must change is written under the other of two
namespaces of keys, side A `c/0/1/2/3` or side B `c.0.1.2.3` (Zarr's chunk key encoding with its separator `/` or `.`),
and the array's metadata, put last, names the side that counts.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from somo.product.declaration import Product

Tile = tuple[int, int]
SEPARATORS = ("/", ".")
# Layer, block of days, row and column of tiles: the axes of a sharded array.
SHARD_AXES = 4
FROZEN = "frozen"
# Sharded arrays of the surface, which have no axis of layers.
WITHOUT_LAYERS = (FROZEN,)


@dataclass(frozen=True)
class Layout:
    """Arrays [layer, day, row, column] in shards of one block of days and one tile of cells, all layers together.

    Attributes
    ----------
    layers : number of layers
    shape : rows and columns of the grid
    days : days of one block, which is one shard
    chunk : days, rows and columns of one stored chunk
    tile : rows and columns of one shard, multiples of the chunk's
    """

    layers: int
    shape: tuple[int, int]
    days: int
    chunk: tuple[int, int, int]
    tile: tuple[int, int]

    @classmethod
    def of(cls, product: Product, shape: tuple[int, int]) -> Self:
        """Layout of a product on a grid of `shape` cells; chunks and tiles larger than the grid are cut to it."""
        declared = product.chunks
        chunk = min(declared.lat, shape[0]), min(declared.lon, shape[1])
        # Rounded up to whole chunks: a shard of Zarr holds no parts of chunks, even where it reaches beyond the grid.
        tile = tuple(
            math.ceil(min(wanted, cells) / chunk_cells) * chunk_cells
            for wanted, cells, chunk_cells in zip((declared.tile_lat, declared.tile_lon), shape, chunk, strict=True)
        )
        return cls(len(product.layers), shape, product.region_days, (product.chunk_days, *chunk), (tile[0], tile[1]))

    @property
    def shard(self) -> tuple[int, int, int, int]:
        """Layers, days, rows and columns of one shard."""
        return self.layers, self.days, *self.tile

    def tiles(self) -> Iterator[Tile]:
        """Row and column of every tile, in stored order."""
        for row in range(math.ceil(self.shape[0] / self.tile[0])):
            for column in range(math.ceil(self.shape[1] / self.tile[1])):
                yield row, column

    def cells(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns of the grid that a tile covers."""
        starts = tile[0] * self.tile[0], tile[1] * self.tile[1]
        rows, columns = (slice(s, min(s + t, n)) for s, t, n in zip(starts, self.tile, self.shape, strict=True))
        return rows, columns

    def blocks(self, days: int) -> int:
        """Number of blocks that hold the first `days` days of the product."""
        return math.ceil(days / self.days)

    def block_days(self, block: int, days: int) -> slice:
        """Days of a block among the first `days` days of the product; the last block may be cut short."""
        return slice(block * self.days, min((block + 1) * self.days, days))


def shard_key(field: str, side: int, block: int, tile: Tile) -> str:
    """Key of a shard inside the store."""
    layers = () if field in WITHOUT_LAYERS else (0,)
    return f"{field}/" + SEPARATORS[side].join(["c", *(str(i) for i in (*layers, block, *tile))])


def block_of_shard(key: str) -> int | None:
    """Block of days that a shard holds, on either side; None of every other object, small arrays among them.

    Parameters
    ----------
    key : of an object, ending as `shard_key` gives it for shards
    """
    folder, _, place = min(key, other_side(key)).rpartition("/c.")
    # Small arrays have keys such as `status/c.0` on the second side: fewer axes than a shard.
    return int(place.split(".")[-3]) if folder and place.count(".") == _axes(folder) - 1 else None


def is_shard_of(key: str, side: int) -> bool:
    """Whether a key is that of a shard on a side."""
    return block_of_shard(key) is not None and (key < other_side(key)) == (SEPARATORS[side] == ".")


def other_side(key: str) -> str:
    """Key of the same shard on the other side; keys of other objects are their own.

    Parameters
    ----------
    key : ends as `shard_key` gives it
    """
    folder, _, name = key.rpartition("/c/")
    if folder and name.count("/") == _axes(folder) - 1:
        return f"{folder}/c." + name.replace("/", ".")
    folder, _, name = key.rpartition("/c.")
    if folder and name.count(".") == _axes(folder) - 1:
        return f"{folder}/c/" + name.replace(".", "/")
    return key


def _axes(field_folder: str) -> int:
    return SHARD_AXES - (field_folder.rsplit("/", 1)[-1] in WITHOUT_LAYERS)
