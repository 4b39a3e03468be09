"""The series of countries: summed over tiles of the published stores on the cluster, kept up as days are added."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.watching import completed
from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.layout import Layout
from somo.publish.manifest import rewritten_objects
from somo.publish.store import drought as drought_store
from somo.publish.store import maps as zarr
from somo.publish.store import regions
from somo.publish.store.region_sums import (
    CLASSES,
    Countries,
    Sums,
    add_up,
    class_sums,
    mean_sums,
    means_of,
    runs,
    shares_of,
)
from somo.storage.client import zarr_store
from somo.storage.objects import exists, join


def write_regions(product: Product, version_url: str, client: Client) -> None:
    """Bring the series of countries up to date with the stores they are made from; one task a tile and span of days."""
    with open_maps(version_url) as maps, open_drought(version_url) as drought:
        grid = Grid(maps["lat"].values, maps["lon"].values, product.grid.step_deg)
        # A cell that is predicted has a value on every day, so that one day tells land from sea.
        filled = maps["soil_moisture"].isel(time=0).notnull().any("depth").values
        countries = Countries.of(grid, filled)
        stored = None if damaged(version_url, regions.STORE) else regions.read_stored(version_url)
        stale = regions.changes(maps, drought, countries.codes, stored)
        if stale is None or not len(countries.codes):
            return
        tiles = Tiles(version_url, Layout.of(product, grid.shape), countries, client)
        means = means_of(tiles.summed(mean_sums, zarr.STORE, stale.days, 2))
        means = regions.standing(stored.means if stored else None, means, stale.days)
        shares = None
        if drought is not None:
            shares = shares_of(tiles.summed(class_sums, drought_store.STORE, stale.windows, len(CLASSES)))
            shares = regions.standing(stored.shares if stored else None, shares, stale.windows)
        ds = regions.dataset(product, maps, countries, means, drought, shares)
    regions.publish(version_url, ds, stale.side)


@dataclass(frozen=True)
class Tiles:
    """The tiles of a version's stores, which the sums of countries are taken over on a cluster."""

    version_url: str
    layout: Layout
    countries: Countries
    client: Client

    def summed(
        self, task: Callable[..., Sums], store: str, wanted: NDArray[np.bool_], columns: int
    ) -> NDArray[np.float64]:
        """[layer, day or window, country, column] sums of a task over all tiles.

        Parameters
        ----------
        wanted : [day or window] which to sum
        """
        block = self.layout.days if store == zarr.STORE else drought_store.BLOCK_WINDOWS
        futures = [
            self.client.submit(task, join(self.version_url, store), span, cells, self.countries.part(cells), pure=False)
            for cells in map(self.layout.cells, self.layout.tiles())
            if self.countries.of_cell[cells].any()
            for span in runs(wanted, block)
        ]
        countries = len(self.countries.codes)
        return add_up(completed(futures, "countries"), len(wanted), self.layout.layers, countries, columns)


def damaged(version_url: str, store: str) -> list[str]:
    """Keys of the objects of a store that are missing, or not the ones whose checksums were taken."""
    return [k for k in rewritten_objects(version_url) if k.startswith(f"{store}/") and not k.endswith(zarr.ROOT)]


def open_maps(version_url: str) -> xr.Dataset:
    """The version's store for maps, lazy."""
    maps: xr.Dataset = xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), consolidated=True, chunks=None)
    return maps


@contextmanager
def open_drought(version_url: str) -> Iterator[xr.Dataset | None]:
    """The drought store, lazy; None where there is none."""
    url = join(version_url, drought_store.STORE)
    if not exists(join(url, zarr.ROOT)):
        yield None
        return
    with xr.open_zarr(zarr_store(url), consolidated=True, chunks=None) as drought:
        yield drought
