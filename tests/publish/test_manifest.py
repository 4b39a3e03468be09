import json

import pytest

from somo.publish import manifest, verifying
from somo.storage.objects import join, put


def metadata(side):
    encoding = {"name": "default", "configuration": {"separator": side}}
    arrays = {"x": {"node_type": "array", "chunk_key_encoding": encoding}, "in": {"node_type": "group"}}
    return json.dumps({"consolidated_metadata": {"metadata": arrays}}).encode()


@pytest.fixture
def root(tmp_path):
    root = str(tmp_path)
    for key in ("v1.0.0/a.zarr/x/c/0", "v1.0.0/b.nc", "v1.0.0/c/d.txt", "targets/private.parquet"):
        put(join(root, key), key.encode() * 40)
    put(join(root, "v1.0.0/a.zarr/zarr.json"), metadata("/"))
    version = join(root, "v1.0.0")
    digest = manifest.write_manifest(version, manifest.describe(version, manifest.list_objects(version)))
    catalog = b"{}"
    put(join(root, "catalog.json"), catalog)
    put(join(root, "latest.json"), manifest.pointer("1.0.0", {"v1.0.0": digest}, {"1.0.0": "2026-11-22"}, catalog))
    return tmp_path


def damage(root):
    *_, (done, total, found) = verifying.verify(str(root))
    assert done == total
    return [d.key for d in found]


def published(root):
    return [p for p in root.rglob("*") if p.is_file() and "targets" not in p.parts]


def test_what_is_published_is_sound(root):
    assert damage(root) == []
    assert len(published(root)) == 7


def test_one_flipped_bit_in_any_published_file_is_found(root):
    for path in published(root):
        whole = path.read_bytes()
        for position in (0, len(whole) // 2, len(whole) - 1):
            broken = bytearray(whole)
            broken[position] ^= 1
            path.write_bytes(broken)
            assert damage(root) == [path.relative_to(root).as_posix()], (path, position)
        path.write_bytes(whole)


def test_a_missing_object_is_named(root):
    (root / "v1.0.0/b.nc").unlink()
    assert damage(root) == ["v1.0.0/b.nc"]


def test_nothing_released_is_said(tmp_path):
    *_, (_, _, found) = verifying.verify(str(tmp_path))
    assert "no version was released" in found[0].reason


def test_only_what_changed_is_read_again(root):
    version = join(str(root), "v1.0.0")
    entries = manifest.read_manifest(version)
    assert manifest.unknown_objects(version, entries) == (entries, [])
    put(join(version, "b.nc"), b"new")
    kept, keys = manifest.unknown_objects(version, entries)
    assert (sorted(kept), keys) == (["a.zarr/x/c/0", "a.zarr/zarr.json", "c/d.txt"], ["b.nc"])
    assert manifest.changed_objects(version, entries) == ["b.nc"]


def test_shards_on_the_side_that_is_not_shown_are_not_published(root):
    version = join(str(root), "v1.0.0")
    put(join(version, "a.zarr/x/c.0"), b"newer")
    assert {"a.zarr/x/c/0", "a.zarr/x/c.0"} & manifest.shown_objects(version).keys() == {"a.zarr/x/c/0"}
    put(join(version, "a.zarr/zarr.json"), metadata("."))
    assert {"a.zarr/x/c/0", "a.zarr/x/c.0"} & manifest.shown_objects(version).keys() == {"a.zarr/x/c.0"}
    assert "a.zarr/x/c/0" in manifest.list_objects(version)
