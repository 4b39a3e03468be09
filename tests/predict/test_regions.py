import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st

from somo.predict import regions as rg
from somo.product.layout import Layout, shard_key
from somo.storage.objects import join, put

LAYOUT = Layout(layers=2, shape=(8, 12), days=20, chunk=(5, 4, 4), tile=(4, 4))
LAND = np.ones((8, 12), bool)
LAND[4:, 8:] = False
TILES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def entry(region, inputs="a", status=None):
    objects = {name: rg.Written.of(f"{region.name} {name} {inputs}".encode()) for name in ("mean", "std")}
    days = region.days.stop - region.days.start
    return rg.Entry(inputs, tuple(status if status is not None else [0] * days), objects)


def finished(wanted, side=0, **kind):
    manifest = {region.name: entry(region, **kind) for region in wanted}
    return manifest, {shard_key(f, side, r.block, r.tile) for r in wanted for f in ("mean", "std")}


def plan(days, manifest, held, visible=0, side=0, inputs="a", status=None):
    wanted = rg.regions(LAYOUT, days, LAND)
    status = np.zeros(days, np.int8) if status is None else status
    seen = visible if isinstance(visible, np.ndarray) else np.zeros(visible, np.int8)
    return rg.plan(wanted, manifest, dict.fromkeys(range(9), inputs), status, seen, side, held)


def test_sea_tiles_are_no_regions_and_the_last_block_is_short():
    found = rg.regions(LAYOUT, 45, LAND)
    assert len(found) == 3 * 5
    assert {r.tile for r in found} == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)}
    assert found[-1].days == slice(40, 45)
    assert (found[-1].rows, found[-1].columns) == (slice(4, 8), slice(4, 8))


@given(rows=st.integers(1, 30), columns=st.integers(1, 30), days=st.integers(1, 90), tile=TILES)
def test_regions_cover_every_cell_and_day_once(rows, columns, days, tile):
    layout = Layout(1, (rows, columns), 20, (5, *tile), tile)
    seen = np.zeros((days, rows, columns), int)
    for region in rg.regions(layout, days, np.ones((rows, columns), bool)):
        seen[region.days, region.rows, region.columns] += 1
    assert (seen == 1).all()


def test_the_first_time_everything_is_predicted():
    todo = plan(45, {}, set())
    assert len(todo.predict) == 15
    assert (todo.side, todo.copy) == (0, ())


def test_finished_regions_are_left_alone():
    manifest, held = finished(rg.regions(LAYOUT, 45, LAND))
    assert plan(45, manifest, held).predict == ()


def test_a_region_whose_object_changed_is_predicted_again():
    manifest, held = finished(rg.regions(LAYOUT, 45, LAND))
    held.remove("std/c/0/1/0/2")
    assert [r.name for r in plan(45, manifest, held).predict] == ["b0001-r00-c02"]


def test_other_inputs_are_predicted_again_unless_readers_see_them():
    manifest, held = finished(rg.regions(LAYOUT, 45, LAND))
    assert len(plan(45, manifest, held, inputs="b").predict) == 15
    assert plan(45, manifest, held, inputs="b", visible=45).predict == ()


def test_new_days_go_to_the_other_side_when_a_visible_block_grows():
    manifest, held = finished(rg.regions(LAYOUT, 45, LAND))
    todo = plan(50, manifest, held, visible=45)
    assert todo.side == 1
    assert [r.block for r in todo.predict] == [2] * 5
    assert ("mean/c/0/0/0/0", "mean/c.0.0.0.0") in todo.copy
    assert len(todo.copy) == 2 * 5 * 2


def test_new_blocks_stay_on_the_side_that_readers_see():
    manifest, held = finished(rg.regions(LAYOUT, 40, LAND), side=1)
    todo = plan(60, manifest, held, visible=40, side=1)
    assert (todo.side, todo.copy, [r.block for r in todo.predict]) == (1, (), [2] * 5)


def test_an_interrupted_move_goes_on():
    """The grown block was written on the other side, nothing copied yet."""
    old, held = finished(rg.regions(LAYOUT, 40, LAND))
    new, written = finished(rg.regions(LAYOUT, 50, LAND)[-5:], side=1)
    todo = plan(50, {**old, **new}, held | written, visible=45)
    assert (todo.side, todo.predict) == (1, ())
    assert {target.split("/")[1][:4] for _, target in todo.copy} == {"c.0."}


def test_provisional_days_that_turned_final_are_predicted_again():
    status = np.zeros(40, np.int8)
    before = status.copy()
    before[35:] = 1
    regions = rg.regions(LAYOUT, 40, LAND)
    manifest = {r.name: entry(r, status=before[r.days].tolist()) for r in regions}
    held = finished(regions)[1]
    assert plan(40, manifest, held, visible=before, status=before).predict == ()
    todo = plan(40, manifest, held, visible=before, status=status)
    assert (todo.side, [r.block for r in todo.predict]) == (1, [1] * 5)


@given(st.lists(st.integers(0, 1), max_size=40))
def test_entries_survive_the_manifest(status):
    written = rg.Entry("abc", tuple(status), {"mean": rg.Written(3, "m", "s")})
    assert rg.Entry.from_json(written.to_json()) == written


@pytest.mark.parametrize("root", ["memory://regions-test", "local"])
def test_objects_are_known_by_their_content(tmp_path, root):
    url = str(tmp_path) if root == "local" else root
    regions = rg.regions(LAYOUT, 20, LAND)[:2]
    manifest = {r.name: entry(r) for r in regions}
    for region in regions:
        for name in ("mean", "std"):
            put(join(url, shard_key(name, 0, region.block, region.tile)), f"{region.name} {name} a".encode())
    key = shard_key("mean", 0, 0, regions[0].tile)
    assert len(rg.held_objects(url, regions, manifest)) == 4
    put(join(url, key), f"{regions[0].name} mean b".encode())
    assert rg.held_objects(url, regions, manifest) == {
        shard_key(n, 0, 0, r.tile) for r in regions for n in ("mean", "std")
    } - {key}


def test_the_manifest_is_read_back(tmp_path):
    regions = rg.regions(LAYOUT, 20, LAND)
    for region in regions:
        rg.write_entry(str(tmp_path), region, entry(region))
    assert rg.read_manifest(str(tmp_path)) == {r.name: entry(r) for r in regions}
    assert rg.read_manifest(str(tmp_path / "nothing")) == {}


def test_the_index_stands_for_the_entries_that_have_not_changed(tmp_path, monkeypatch):
    url = str(tmp_path / "regions" / "v1.0.0")
    regions = rg.regions(LAYOUT, 20, LAND)
    for region in regions:
        rg.write_entry(url, region, entry(region))
    rg.write_index(url)
    rg.write_entry(url, regions[0], entry(regions[0], "other"))
    read, cat = [], LocalFileSystem.cat
    monkeypatch.setattr(LocalFileSystem, "cat", lambda fs, paths: read.extend(paths) or cat(fs, paths))
    entries = rg.read_manifest(url)
    assert [path.rsplit("/", 1)[1] for path in read] == [f"{regions[0].name}.json"]
    assert entries == {r.name: entry(r, "other" if r is regions[0] else "a") for r in regions}
    (tmp_path / "states" / "regions-v1.0.0.json").write_bytes(b"{")
    assert rg.read_manifest(url) == entries


def test_an_entry_that_is_written_while_the_index_is_made_is_read_again(tmp_path, monkeypatch):
    url = str(tmp_path / "regions" / "v1.0.0")
    region, *_ = rg.regions(LAYOUT, 20, LAND)
    rg.write_entry(url, region, entry(region))

    def read_slowly(url):
        entries = read_manifest(url)
        rg.write_entry(url, region, entry(region, "written meanwhile"))
        return entries

    read_manifest = rg.read_manifest
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(rg, "read_manifest", read_slowly)
        rg.write_index(url)
    assert rg.read_manifest(url) == {region.name: entry(region, "written meanwhile")}
