"""Drought after an update: only the windows that are new or may have changed are computed.

An anomaly and a percentile need the base period's windows of the same and the neighbouring seasons. Those are read from
the store for maps, some 50 days a year; all other windows keep the values that readers see.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from somo.core.status import FINAL
from somo.product.declaration import Product
from somo.product.layout import Layout, Tile, shard_key
from somo.publish.store import drought as store
from somo.publish.store import maps as zarr
from somo.publish.store.drought_fields import BY_SEASON
from somo.storage.listing import listing
from somo.storage.objects import join


def changed_windows(windows: store.Windows, shown: zarr.Visible) -> NDArray[np.bool_]:
    """[window] whether readers do not see it yet, or it was or is provisional."""
    changed = np.ones(len(windows.ends), bool)
    changed[: shown.days] = (shown.status != FINAL) | (windows.status[: shown.days] != FINAL)
    return changed


def is_current(version_url: str, windows: store.Windows) -> bool:
    """Whether readers see these windows and no others, judged by the same climatology."""
    shown = store.visible(version_url)
    if shown is None or not np.array_equal(shown.status, windows.status):
        return False
    return store.is_continued(version_url, windows)


def is_enough(windows: store.Windows, shown: zarr.Visible | None, former: Mapping[str, object]) -> bool:
    """Whether published windows may be kept: their climatology is the same, and none of its windows has changed.

    Parameters
    ----------
    former : attributes of the group as readers see it
    """
    if shown is None or shown.days > len(windows.ends):
        return False
    same_base = (former.get("base_start"), former.get("base_end")) == (str(windows.base.start), str(windows.base.end))
    return same_base and not bool((changed_windows(windows, shown) & windows.in_base).any())


def update_tile(
    version_url: str,
    product: Product,
    shape: tuple[int, int],
    windows: store.Windows,
    changed: NDArray[np.bool_],
    tile: Tile,
    side: int,
) -> None:
    """Put the shards of one tile that hold changed windows; what is written shows only after `drought.publish`."""
    fields, _ = store.layouts(product, shape)
    cells, url = fields.cells(tile), join(version_url, store.STORE)
    needed = changed | (windows.in_base & np.isin(windows.season, _near(windows, changed)))
    days, last = _days_of(windows, needed)
    maps = join(version_url, zarr.STORE)
    soil_moisture, *uncertainty = store.sources(windows)
    daily = [zarr.read_packed_days(maps, soil_moisture, days, cells)]
    for name in uncertainty:
        # The climatology asks for soil moisture alone: the uncertainty of its many days is not read.
        changed_days, _ = _days_of(windows, changed)
        sigma = np.full_like(daily[0], zarr.FILL)
        sigma[:, np.isin(days, changed_days)] = zarr.read_packed_days(maps, name, changed_days, cells)
        daily.append(sigma)
    needed_windows = replace(windows, ends=windows.ends[needed], last=last, status=windows.status[needed])
    by_layer = store.layers_fields(needed_windows, *daily, judged=changed[needed])
    for block in changed_blocks(fields, changed):
        span = fields.block_days(block, len(changed))
        inside = changed[span]
        computed = changed[needed] & np.isin(np.flatnonzero(needed), np.arange(span.start, span.stop))
        by_window = {}
        for name in windows.by_window:
            by_window[name] = _as_shown(url, name, span, inside, cells, fields.layers)
            by_window[name][:, inside] = np.stack([layer[name][computed] for layer in by_layer])
        zarr.write_region(url, fields, block, tile, by_window, side)


def _as_shown(
    url: str, name: str, span: slice, changed: NDArray[np.bool_], cells: tuple[slice, slice], layers: int
) -> NDArray[np.int16]:
    """[layer, window, row, column] of a block as readers see it, filled where windows have changed."""
    shape = (layers, len(changed), *(axis.stop - axis.start for axis in cells))
    values = np.full(shape, zarr.FILL, np.int16)
    standing = np.flatnonzero(~changed)
    if len(standing):
        shown = zarr.read_packed(url, name, slice(span.start, span.start + int(standing[-1]) + 1), cells)
        values[:, standing] = shown[:, standing]
    return values


def _near(windows: store.Windows, changed: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Seasons of the changed windows and their neighbours."""
    seasons = np.unique(windows.season[changed])
    return np.unique(np.concatenate([(seasons + step) % windows.seasons for step in (-1, 0, 1)]))


def _days_of(windows: store.Windows, needed: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Days of the version that the needed windows are means of, and where each window's last day is among them."""
    last = windows.last[needed]
    days = np.unique((last[:, None] - np.arange(windows.window_days)).ravel())
    return days, np.searchsorted(days, last)


def changed_blocks(fields: Layout, changed: NDArray[np.bool_]) -> list[int]:
    """Blocks of windows that hold a changed one."""
    return sorted({int(block) for block in np.flatnonzero(changed) // fields.days})


def copies(
    version_url: str,
    product: Product,
    shape: tuple[int, int],
    windows: store.Windows,
    changed: NDArray[np.bool_],
    side: int,
) -> list[tuple[str, str]]:
    """Keys of the shards without a changed window, and of their copies that a side lacks."""
    fields, points = store.layouts(product, shape)
    blocks = set(range(fields.blocks(len(changed)))) - set(changed_blocks(fields, changed))
    wanted = [(name, block, tile) for name in windows.by_window for block in sorted(blocks) for tile in fields.tiles()]
    wanted += [(name, 0, tile) for name in BY_SEASON for tile in points.tiles()]
    objects = listing(join(version_url, store.STORE))
    pairs = [
        (shard_key(name, 1 - side, block, tile), shard_key(name, side, block, tile)) for name, block, tile in wanted
    ]
    return [(former, copy) for former, copy in pairs if objects.get(former) != objects.get(copy)]
