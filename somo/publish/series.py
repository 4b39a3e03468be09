"""The same values a second time, laid out for whole series: chunks of many years and few cells.

No single chunking answers both a map and a series of 18 years fast enough, so this store is derived from the first by
whole blocks of days and tiles of cells. Values are copied packed; the two stores agree bit for bit.
"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.layout import Layout, Tile
from somo.core.product import Product
from somo.core.storage import StorageError, join, zarr_store
from somo.publish import zarr
from somo.publish.attributes import FINAL

STORE = "soil_moisture_series.zarr"
BLOCK_DAYS = 2190
CHUNK_CELLS = 8


def layout_of(product: Product, shape: tuple[int, int]) -> Layout:
    """Blocks of a whole number of the first store's blocks, about six years; tiles as there."""
    maps = Layout.of(product, shape)
    days = maps.days * max(1, round(BLOCK_DAYS / maps.days))
    chunk = (days, _near(maps.tile[0], CHUNK_CELLS), _near(maps.tile[1], CHUNK_CELLS))
    return Layout(maps.layers, shape, days, chunk, maps.tile)


def stale_blocks(layout: Layout, source: zarr.Visible, series: zarr.Visible | None) -> list[int]:
    """Blocks whose days are not all here as they are there; days that were provisional may have changed."""
    kept = 0 if series is None else series.days
    same = np.zeros(source.days, bool)
    if series is not None:
        n = min(kept, source.days)
        same[:n] = (series.status[:n] == FINAL) & (source.status[:n] == FINAL)
    return [b for b in range(layout.blocks(source.days)) if not same[layout.block_days(b, source.days)].all()]


def write_block(version_url: str, layout: Layout, block: int, tile: Tile) -> None:
    """Copy one block of one tile; what is written shows only after `publish`."""
    source = join(version_url, zarr.STORE)
    visible = _visible(source)
    days, cells = layout.block_days(block, visible.days), layout.cells(tile)
    fields = {name: zarr.read_packed(source, name, days, cells) for name in zarr.FIELDS}
    zarr.write_region(join(version_url, STORE), layout, block, tile, fields)


def publish(product: Product, version_url: str) -> None:
    """Make the days of the first store visible in this one, in one put."""
    ds, layout = template(product, join(version_url, zarr.STORE))
    zarr.publish(join(version_url, STORE), ds, layout)


def template(product: Product, source: str) -> tuple[xr.Dataset, Layout]:
    """The store as its readers will see it, with empty large arrays, and its layout."""
    with xr.open_zarr(zarr_store(source), consolidated=True, chunks=None) as store:
        grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
        layout = layout_of(product, grid.shape)
        status: NDArray[np.int8] = store["status"].values
        ds = zarr.template(product, grid, status, store["applicability"].values)
    shard = dict(zip(zarr.DIMS, (layout.layers, layout.days, *layout.tile), strict=True))
    return ds.assign({name: ds[name].variable.chunk(shard) for name in zarr.FIELDS}), layout


def _visible(source: str) -> zarr.Visible:
    visible = zarr.read_visible(source)
    if visible is None:
        raise StorageError(f"{source}: nothing is published there; run the stage produce first")
    return visible


def _near(n: int, wanted: int) -> int:
    """Divisor of n nearest to `wanted`."""
    return min((d for d in range(1, n + 1) if n % d == 0), key=lambda d: (abs(d - wanted), d))
