"""The same values a second time, laid out for whole series: chunks of many years and few cells.

No single chunking answers both a map and a series of 18 years fast enough, so this store is derived from the first by
whole blocks of days and tiles of cells. Values are copied packed; the two stores agree bit for bit.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import xarray as xr

from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.product.declaration import Product
from somo.product.layout import Layout, Tile, shard_key
from somo.publish.attributes import DISSIMILARITY, UNCERTAINTY
from somo.publish.store import maps as zarr
from somo.storage.client import zarr_store
from somo.storage.listing import listing
from somo.storage.objects import join
from somo.storage.patience import StorageError

STORE = "soil_moisture_series.zarr"
# Days of a shard. An update writes the last block anew, a whole series opens every block: two years write a third of
# what six years do each day, and are still few requests for a series of decades.
BLOCK_DAYS = 730
CHUNK_CELLS = 8


def layout_of(product: Product, shape: tuple[int, int]) -> Layout:
    """Blocks of a whole number of the first store's blocks, about two years, and the tiles of the first store."""
    maps = Layout.of(product, shape)
    days = maps.days * max(1, round(BLOCK_DAYS / maps.days))
    (rows, high), (columns, wide) = (_cut(tile, cells) for tile, cells in zip(maps.tile, shape, strict=True))
    return Layout(maps.layers, shape, days, (days, rows, columns), (high, wide))


@dataclass(frozen=True)
class Plan:
    """Which blocks to derive and to copy, so that readers see the first store's days and no object is written over.

    Attributes
    ----------
    side : namespace of the shards that will count
    write : blocks to derive
    keep : blocks to copy from the other side; none if they already lie on this one
    """

    side: int
    write: tuple[int, ...]
    keep: tuple[int, ...]


def plan(
    layout: Layout, source: zarr.Visible, here: zarr.Visible | None, damaged: Collection[int] = frozenset()
) -> Plan:
    """Derive the blocks that lack a day of the first store, or hold a provisional day, which may have changed.

    Parameters
    ----------
    damaged : blocks of which a shard is missing or not what was written
    """
    blocks = range(layout.blocks(source.days))
    if here is None:
        return Plan(0, tuple(blocks), ())
    same = np.zeros(source.days, bool)
    n = min(here.days, source.days)
    same[:n] = (here.status[:n] == FINAL) & (source.status[:n] == FINAL)
    stale = tuple(b for b in blocks if b in damaged or not same[layout.block_days(b, source.days)].all())
    if all(b * layout.days >= here.days for b in stale):
        return Plan(here.side, stale, ())
    return Plan(1 - here.side, stale, tuple(b for b in blocks if b not in stale))


def is_laid_out(url: str, layout: Layout) -> bool:
    """Whether the store that readers see is cut as the layout says; one of an earlier SoMo may be cut otherwise."""
    return zarr.shard_shape(url, zarr.FIELDS[0]) == layout.shard


def write_block(version_url: str, layout: Layout, block: int, tile: Tile, side: int) -> None:
    """Derive one block of one tile; what is written shows only after `publish`."""
    source = join(version_url, zarr.STORE)
    days, cells = layout.block_days(block, visible(source).days), layout.cells(tile)
    fields = {name: zarr.read_packed(source, name, days, cells) for name in zarr.fields_of(source)}
    zarr.write_region(join(version_url, STORE), layout, block, tile, fields, side)


def copies(version_url: str, layout: Layout, blocks: Iterable[int], side: int) -> list[tuple[str, str]]:
    """Keys of the visible shards of some blocks, and of the copies that a side lacks.

    A copy has the size and the version of what it was copied from: an object store's checksum, or a file's time.
    """
    url = join(version_url, STORE)
    # The store that all values come from: this one is not there yet when a version is first published.
    objects, fields = listing(url), zarr.fields_of(join(version_url, zarr.STORE))
    pairs = [
        (shard_key(name, 1 - side, block, tile), shard_key(name, side, block, tile))
        for block in blocks
        for tile in layout.tiles()
        for name in fields
    ]
    return [(former, copy) for former, copy in pairs if objects.get(former) != objects.get(copy)]


def publish(product: Product, version_url: str, side: int) -> None:
    """Make the days of the first store visible in this one, in one put."""
    ds, layout = template(product, join(version_url, zarr.STORE))
    url = join(version_url, STORE)
    fields = [name for name in zarr.DAILY if name in ds]
    zarr.fill_empty(url, layout, fields, ds.sizes["time"], side)
    zarr.publish(url, ds, layout, side)


def template(product: Product, source: str) -> tuple[xr.Dataset, Layout]:
    """The store as its readers will see it, with empty large arrays, and its layout."""
    with xr.open_zarr(zarr_store(source), consolidated=True, chunks=None) as store:
        grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
        layout = layout_of(product, grid.shape)
        method = str(store.attrs.get("method", ""))
        index = store[DISSIMILARITY].values if DISSIMILARITY in store else None
        inside = store["applicability"].values
        ds = zarr.template(product, grid, store["status"].values, inside, method, index)
        if UNCERTAINTY in store and "anomaly_share" in store[UNCERTAINTY].attrs:
            ds[UNCERTAINTY].attrs["anomaly_share"] = store[UNCERTAINTY].attrs["anomaly_share"]
    shard = dict(zip(zarr.DIMS, layout.shard, strict=True))
    daily = [name for name in zarr.DAILY if name in ds]
    return ds.assign(
        {name: ds[name].variable.chunk({d: shard[d] for d in map(str, ds[name].dims)}) for name in daily}
    ), layout


def visible(source: str) -> zarr.Visible:
    """What readers see of the first store.

    Raises
    ------
    StorageError
        if that is nothing yet
    """
    shown = zarr.read_visible(source)
    if shown is None:
        raise StorageError(f"{source}: nothing is published there; run the stage produce first")
    return shown


def _cut(tile: int, cells: int) -> tuple[int, int]:
    """Cells of one chunk and one tile along an axis; a tile that spans the axis may reach beyond it to be divisible."""
    if tile >= cells:
        chunk = min(CHUNK_CELLS, cells)
        return chunk, math.ceil(cells / chunk) * chunk
    divisors = (d for d in range(1, tile + 1) if tile % d == 0)
    return min(divisors, key=lambda d: (abs(d - CHUNK_CELLS), d)), tile
