import os

import pytest
from s3fs import S3FileSystem

from somo.product.layout import other_side
from somo.storage.listing import copy_objects, listed_once, listing
from somo.storage.objects import exists, join, put, read_bytes


@pytest.fixture(params=["local", "s3"])
def root(request, tmp_path):
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_root")


@pytest.mark.s3
def test_copies_are_whole_and_of_the_same_version(root):
    put(join(root, "a/c/0/1"), b"first")
    put(join(root, "a/c/0/2"), b"second")
    copy_objects(root, [("a/c/0/1", "a/c.0.1"), ("a/c/0/2", "a/c.0.2")])
    copy_objects(root, [])
    assert read_bytes(join(root, "a/c.0.2")) == b"second"
    objects = listing(root)
    assert sorted(objects) == ["a/c.0.1", "a/c.0.2", "a/c/0/1", "a/c/0/2"]
    assert objects["a/c.0.1"] == objects["a/c/0/1"]
    put(join(root, "a/c/0/1"), b"FIRST")
    assert read_bytes(join(root, "a/c.0.1")) == b"first"


def test_copies_on_disks_without_links(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refused)
    put(str(tmp_path / "x"), b"bytes")
    copy_objects(str(tmp_path), [("x", "folder/y")])
    assert listing(str(tmp_path))["folder/y"] == listing(str(tmp_path))["x"]
    assert read_bytes(str(tmp_path / "folder" / "y")) == b"bytes"


def test_a_folder_is_listed_once_where_nothing_is_written(tmp_path):
    put(str(tmp_path / "v1" / "a"), b"1")
    with listed_once(), listed_once():
        assert list(listing(str(tmp_path))) == ["v1/a"]
        put(str(tmp_path / "v1" / "b"), b"2")
        assert list(listing(str(tmp_path / "v1"))) == ["a"]
    assert sorted(listing(str(tmp_path / "v1"))) == ["a", "b"]
    assert listing(str(tmp_path / "nothing")) == {}


@pytest.mark.parametrize(
    ("key", "other"),
    [
        ("s.zarr/soil_moisture/c/0/12/3/4", "s.zarr/soil_moisture/c.0.12.3.4"),
        ("s.zarr/time/c/0", "s.zarr/time/c/0"),
        ("s.zarr/zarr.json", "s.zarr/zarr.json"),
        ("report/fig3.svg", "report/fig3.svg"),
    ],
)
def test_the_other_side_of_a_key(key, other):
    assert other_side(key) == other
    assert other_side(other) == key


def test_what_is_in_a_listed_folder_is_not_asked_for_again(s3_root, monkeypatch):
    put(f"{s3_root}/a/b.json", b"{}")
    put(f"{s3_root}/a/.zmetadata", b"{}")
    with listed_once():
        assert list(listing(f"{s3_root}/a")) == ["b.json"]
        assert read_bytes(f"{s3_root}/a/b.json") == b"{}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        S3FileSystem.clear_instance_cache()
        # Nobody answers there: what is known without a request is told all the same.
        assert [exists(f"{s3_root}/a/{name}") for name in ("b.json", ".zmetadata", "c.json")] == [True, True, False]
    S3FileSystem.clear_instance_cache()


def test_small_documents_are_read_once_and_anew_afterwards(tmp_path):
    put(f"{tmp_path}/a.json", b"former")
    with listed_once():
        assert read_bytes(f"{tmp_path}/a.json") == b"former"
        put(f"{tmp_path}/a.json", b"present")
        assert read_bytes(f"{tmp_path}/a.json") == b"former"
    assert read_bytes(f"{tmp_path}/a.json") == b"present"
