"""URLs to bytes: the same behaviour on disk, in memory and on S3."""

import os
from pathlib import Path

import fsspec
import numpy as np
import pytest
import zarr

from flows.service.s3server import S3Server
from somo.storage import objects as storage
from somo.storage.client import zarr_store
from somo.storage.listing import listing
from somo.storage.patience import StorageError


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "root")
    if request.param == "s3":
        return request.getfixturevalue("s3_root")
    fsspec.filesystem("memory").store.clear()
    return "memory://root"


def test_what_is_put_is_read_and_replaced_whole(root: str) -> None:
    url = storage.join(root, "a/", "/b.txt")
    assert not storage.exists(url)
    storage.put(url, b"one")
    storage.put(url, b"two")
    assert storage.exists(url) and storage.read_bytes(url) == b"two"
    assert storage.join(root, "a", "b.txt") == url


def test_a_folder_that_may_not_be_entered_is_not_one_without_the_file(tmp_path: Path) -> None:
    """ "No such file; check the URL" would send people to look for a mistake where there is none."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "archive.zip").touch()
    closed.chmod(0o000)
    former = os.geteuid()
    try:
        if former == 0:
            # Root may enter everywhere.
            os.seteuid(65534)
        with pytest.raises(StorageError, match=r"archive\.zip: may not be looked at .*check the credentials and their"):
            storage.exists(str(closed / "archive.zip"))
    finally:
        os.seteuid(former)
        closed.chmod(0o700)


def test_names_that_no_file_has_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for name in ("missing", "file/below", "circle", 300 * "x"):
        assert not storage.exists(str(tmp_path / name))
    assert storage.exists(str(tmp_path / "file")) and storage.exists(str(tmp_path))


def test_a_file_is_put_and_copied_back(root: str, tmp_path: Path) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(b"123")
    storage.put_file(local, storage.join(root, "deep/file.bin"))
    with storage.local_copy(storage.join(root, "deep/file.bin")) as path:
        assert path.read_bytes() == b"123" and path.name == "file.bin"
    with storage.local_copy(storage.join(root, "deep")) as folder:
        assert [p.name for p in folder.iterdir()] == ["file.bin"]


def test_a_fingerprint_changes_with_the_bytes(root: str) -> None:
    url = storage.join(root, "x", "a.bin")
    storage.put(url, b"one")
    single, folder = storage.fingerprint(url), storage.fingerprint(storage.join(root, "x"))
    assert (storage.fingerprint(url), storage.fingerprint(storage.join(root, "x"))) == (single, folder)
    storage.put(url, b"four")
    assert storage.fingerprint(url) != single and storage.fingerprint(storage.join(root, "x")) != folder


def test_a_zarr_store(root: str) -> None:
    url = storage.join(root, "s.zarr")
    zarr.create_array(zarr_store(url, read_only=False), shape=(3,), dtype="f4")[:] = np.arange(3)
    assert zarr.open_array(zarr_store(url), mode="r")[:].tolist() == [0, 1, 2]


@pytest.mark.s3
def test_what_others_wrote_after_a_listing_is_read(s3: S3Server, s3_root: str) -> None:
    """A file system that remembers listings says of a worker's new object that it is missing."""
    for number in range(12):
        storage.put(storage.join(s3_root, "scans", f"{number}.json"), b"{}")
    assert len(listing(storage.join(s3_root, "scans"))) == 12
    bucket, _, prefix = s3_root.removeprefix("s3://").partition("/")
    s3.client().put_object(Bucket=bucket, Key=f"{prefix}/scans/new.json", Body=b"new")
    assert storage.read_bytes(storage.join(s3_root, "scans/new.json")) == b"new"


def test_what_is_missing_is_told(root: str) -> None:
    url = storage.join(root, "nothing.bin")
    for read in (storage.read_bytes, storage.fingerprint):
        with pytest.raises(StorageError, match=r"nothing\.bin: cannot be read .*check that it exists"):
            read(url)
    with pytest.raises(StorageError, match=r"nothing\.bin: no such file"), storage.local_copy(url):
        pass


def test_an_unwritable_place_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match=r"cannot be written .*check permissions and --root"):
        storage.put(str(tmp_path / "file" / "a.bin"), b"1")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_keeps_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "a.bin")
    storage.put(url, b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(StorageError, match="disk full"):
        storage.put(url, b"new")
    assert storage.read_bytes(url) == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_the_checksum_is_sha256() -> None:
    assert storage.checksum(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
