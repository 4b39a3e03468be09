"""Names of bytes: the same wherever a file lies, and whatever its time of modification."""

import hashlib
import os

import pytest

from somo.storage.contents import content_of, record_content, recorded_content
from somo.storage.objects import fingerprint, put

DATA = b"forcing" * 1000
NAME = f"{len(DATA)}-{hashlib.md5(DATA).hexdigest()}"


def test_a_file_is_named_by_its_bytes(tmp_path):
    for folder, modified in (("here", 1_000_000_000), ("there", 1_100_000_000)):
        url = f"{tmp_path}/{folder}/t2m.nc"
        put(url, DATA)
        os.utime(url, (modified, modified))
        assert content_of(url, fingerprint(url)) == NAME
    put(url, DATA[:-1] + b"x")
    assert content_of(url, fingerprint(url)) != NAME


@pytest.mark.s3
def test_an_object_that_was_put_in_one_piece_has_the_name_of_the_local_file(s3_root):
    url = f"{s3_root}/t2m.nc"
    put(url, DATA)
    assert content_of(url, fingerprint(url)) == NAME


def test_a_folder_is_named_by_the_names_and_bytes_inside(tmp_path):
    for folder in ("here", "there"):
        put(f"{tmp_path}/{folder}/network/a.stm", DATA)
        put(f"{tmp_path}/{folder}/network/b.stm", DATA[1:])
    here, there = (content_of(f"{tmp_path}/{folder}", "any") for folder in ("here", "there"))
    assert here == there
    put(f"{tmp_path}/there/network/b.stm", DATA[2:])
    assert content_of(f"{tmp_path}/there", "any") != here


def test_a_store_that_tells_no_checksum_is_trusted_for_its_version():
    assert content_of("https://example.invalid/t2m.nc", '7000-"abc"') == '7000-"abc"'
    assert recorded_content("/nowhere", "s3://bucket/t2m.nc", "7000-0123456789abcdef0123456789abcdef-3") == (
        "7000-0123456789abcdef0123456789abcdef-3"
    )


def test_the_bytes_are_read_once_and_by_nobody_who_only_looks(tmp_path):
    url, root = f"{tmp_path}/t2m.nc", f"{tmp_path}/bucket"
    put(url, DATA)
    version = fingerprint(url)
    assert recorded_content(root, url, version) == version
    assert record_content(root, url, version) == NAME
    assert recorded_content(root, url, version) == NAME

    def never():
        raise AssertionError("read a second time")

    assert record_content(root, url, version, never) == NAME
