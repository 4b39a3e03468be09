import numpy as np
import pytest
import xarray as xr

import somo
from flows.stages.publish import write_series
from somo.product.layout import Layout, block_of_shard
from somo.publish.attributes import FINAL, PROVISIONAL
from somo.publish.store import maps as zarr
from somo.publish.store import series
from somo.storage.listing import copy_objects
from somo.storage.objects import join
from somo.storage.patience import StorageError
from tests.publish import made


def derive(declared, version_url):
    _, layout = series.template(declared, join(version_url, zarr.STORE))
    there = zarr.read_visible(join(version_url, zarr.STORE))
    plan = series.plan(layout, there, zarr.read_visible(join(version_url, series.STORE)))
    for block in plan.write:
        for tile in layout.tiles():
            series.write_block(version_url, layout, block, tile, plan.side)
    copy_objects(join(version_url, series.STORE), series.copies(version_url, layout, plan.keep, plan.side))
    series.publish(declared, version_url, plan.side)
    assert series.copies(version_url, layout, plan.keep, plan.side) == []
    return plan


def test_series_store_agrees_bit_for_bit_and_grows_by_whole_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(series, "BLOCK_DAYS", 128)
    declared = made.product(end=None)
    version_url = made.write_store(declared, str(tmp_path), days=300, provisional=10, uncertain=True)
    assert derive(declared, version_url) == series.Plan(0, (0, 1, 2), ())
    made.write_store(declared, str(tmp_path), days=320, uncertain=True)
    seen = (tmp_path / "v1.0.0" / series.STORE / "soil_moisture" / "c").rglob("*")
    before = [path for path in seen if path.is_file()]
    stamps = [path.stat().st_mtime_ns for path in before]
    assert derive(declared, version_url) == series.Plan(1, (2,), (0, 1))
    assert [path.stat().st_mtime_ns for path in before] == stamps
    maps = somo.open(str(tmp_path), "1.0.0")
    whole = somo.open(str(tmp_path), "1.0.0", layout="series")
    assert whole.sizes["time"] == 320
    xr.testing.assert_identical(maps.load(), whole.load())


def test_blocks_that_readers_see_are_written_anew_on_the_other_side():
    layout = Layout(2, (6, 8), 4, (4, 3, 4), (6, 8))
    final, open_ = np.full(10, FINAL, "int8"), np.full(10, FINAL, "int8")
    open_[9] = PROVISIONAL
    there = zarr.Visible(final, 0, "")
    assert series.plan(layout, there, None) == series.Plan(0, (0, 1, 2), ())
    assert series.plan(layout, there, zarr.Visible(final, 0, "")) == series.Plan(0, (), ())
    assert series.plan(layout, there, zarr.Visible(open_, 1, "")) == series.Plan(0, (2,), (0, 1))
    assert series.plan(layout, there, zarr.Visible(final[:7], 0, "")) == series.Plan(1, (1, 2), (0,))
    assert series.plan(layout, there, zarr.Visible(final[:8], 0, "")) == series.Plan(0, (2,), ())
    assert series.plan(layout, there, zarr.Visible(final, 0, ""), {1}) == series.Plan(1, (1,), (0, 2))


def test_the_block_of_a_key():
    assert block_of_shard(f"{series.STORE}/soil_moisture/c/0/12/3/4") == 12
    assert block_of_shard(f"{series.STORE}/soil_moisture_std/c.0.7.0.1") == 7
    assert block_of_shard(f"{series.STORE}/frozen/c/5/0/1") == 5
    assert block_of_shard(f"{series.STORE}/frozen/c.6.0.1") == 6
    assert block_of_shard(f"{series.STORE}/status/c/0") is None
    assert block_of_shard(f"{series.STORE}/status/c.0") is None
    assert block_of_shard(f"{series.STORE}/applicability/c.0.0.0") is None
    assert block_of_shard(f"{series.STORE}/applicability/c/0/0/0") is None
    assert block_of_shard(f"{series.STORE}/zarr.json") is None


def test_chunks_divide_the_tile_of_the_real_grid():
    layout = series.layout_of(
        made.product(
            grid={"kind": "regular", "west": -12, "east": 45, "south": 36, "north": 71.5, "step_deg": 0.1},
            sequence={"lookback": 365, "predict_last_n": 365},
            chunks={"time": 5},
        ),
        (355, 570),
    )
    assert (layout.days, layout.chunk, layout.tile) == (730, (730, 8, 8), (120, 96))
    assert layout.blocks(6575) == 10


def test_one_tile_of_a_prime_number_of_cells_is_cut_too():
    declared = made.product(chunks={"time": 8, "lat": 71, "lon": 113, "tile_lat": 71, "tile_lon": 113})
    layout = series.layout_of(declared, (71, 113))
    assert (layout.chunk[1:], layout.tile) == ((8, 8), (72, 120))


def test_without_the_first_store_the_remedy_is_named(tmp_path):
    layout = Layout(2, (6, 8), 4, (4, 3, 4), (6, 8))
    with pytest.raises(StorageError, match="run the stage produce first"):
        series.write_block(str(tmp_path), layout, 0, (0, 0), 0)


def test_a_provisional_day_with_other_values_is_derived_again(client, tmp_path):
    """Its status tells nothing of it: forcing was revised, and the day is provisional as before."""
    cut = {"time": 30, "lat": 3, "lon": 4, "tile_lat": 6, "tile_lon": 8}
    declared = made.product(end=None, chunks=cut, sequence={"lookback": 30, "predict_last_n": 30})
    for seed in (0, 1):
        version_url = made.write_store(declared, str(tmp_path), seed=seed, days=40, provisional=4)
        write_series(declared, version_url, client)
    maps, points = (somo.open(str(tmp_path), "1.0.0", layout=layout)["soil_moisture"] for layout in ("maps", "series"))
    np.testing.assert_array_equal(points.isel(time=slice(-4, None)), maps.isel(time=slice(-4, None)))
