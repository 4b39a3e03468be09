"""The store for series: few cells are read from it, and a store that is cut otherwise is written anew."""

from dataclasses import replace

import numpy as np
import pytest

from flows.stages.publish import write_series
from somo.publish.store import maps
from somo.publish.store import series as module
from somo.storage.objects import join, put
from somo.validate.published import open_published
from tests.flows.stages.test_release import tables
from tests.publish import made

LAYERS = ("layer1", "layer2")


@pytest.fixture
def product():
    return made.product("2016-01-01", "2016-09-30")


@pytest.fixture
def version(product, tmp_path):
    """URL of a version of 274 days in five blocks, without a store for series."""
    url = made.write_store(product, str(tmp_path))
    for name, table in tables("1.0.0").items():
        put(join(url, "validation", f"{name}.parquet"), table.to_parquet())
    return url


def packed(url):
    days = slice(0, maps.read_visible(url).days)
    return maps.read_packed(url, "soil_moisture", days, (slice(0, 6), slice(0, 8)))


def test_series_of_cells_are_the_same_from_both_stores(product, version, client):
    assert open_published(version, LAYERS).points is None
    write_series(product, version, client)
    published = open_published(version, LAYERS)
    cells = np.array([20, 3, 47])
    by_series, by_maps = (p.at_cells(cells, "layer2") for p in (published, replace(published, points=None)))
    np.testing.assert_array_equal(by_series.values, by_maps.values)
    assert by_series["cell"].values.tolist() == by_maps["cell"].values.tolist() == cells.tolist()
    cut = replace(published, soil=published.soil.isel(time=slice(None, 100)))
    np.testing.assert_array_equal(cut.at_cells(cells, "layer1").values, by_series_of(published, cells)[:, :100])


def by_series_of(published, cells):
    return published.at_cells(cells, "layer1").values


def test_a_store_that_is_cut_otherwise_is_written_anew_beside_what_readers_see(tmp_path, client, monkeypatch):
    """Also where the other side holds shards of the former shape, of which one is all sea."""
    product = made.product("2016-01-01", None, **made.TWO_TILES)
    version = made.write_store(product, str(tmp_path), days=266)
    url = join(version, module.STORE)
    monkeypatch.setattr(module, "BLOCK_DAYS", 192)
    write_series(product, version, client)
    made.write_store(product, str(tmp_path), days=150)
    write_series(product, version, client)
    made.write_store(product, str(tmp_path), days=274)
    write_series(product, version, client)
    former = maps.read_visible(url)
    monkeypatch.setattr(module, "BLOCK_DAYS", 64)
    write_series(product, version, client)
    now = maps.read_visible(url)
    assert now.side == 1 - former.side
    assert module.is_laid_out(url, module.layout_of(product, (2, 4)))
    np.testing.assert_array_equal(packed(url), packed(join(version, maps.STORE)))
    write_series(product, version, client)
    assert maps.read_visible(url).side == now.side
