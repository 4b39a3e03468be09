"""Disks that are really full: a small one is mounted and filled, as only root can."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.failures import in_one_sentence
from somo.publish import netcdf
from somo.storage.objects import put, put_file
from somo.storage.patience import StorageError
from tests.publish import made

pytestmark = [pytest.mark.fault]
DISK_BYTES = 65_536


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a disk here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_root_is_named_and_nothing_half_written_is_left(small_disk: Path, tmp_path: Path) -> None:
    put(f"{small_disk}/kept", b"kept")
    (tmp_path / "large").write_bytes(bytes(2 * DISK_BYTES))
    for write in (
        lambda: put(f"{small_disk}/v1.0.0/shard", bytes(2 * DISK_BYTES)),
        lambda: put_file(tmp_path / "large", f"{small_disk}/v1.0.0/year.nc"),
    ):
        with pytest.raises(StorageError, match=rf"no space is left on the disk of {small_disk}/v1\.0\.0 .*make room"):
            write()
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [small_disk / "kept"]
    put(f"{small_disk}/v1.0.0/shard", bytes(DISK_BYTES // 4))


def test_a_full_folder_of_temporary_files_is_called_so(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yearly files are written there first; HDF5 tells of a full disk in words of its own."""
    product = made.product()
    version = made.write_store(product, str(tmp_path / "root"))
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    (small_disk / "others").write_bytes(np.random.default_rng(0).bytes(DISK_BYTES - 8192))
    with pytest.raises(OSError, match=r".") as failed:
        netcdf.publish_year(version, product, product.layers[0], 2015)
    sentence = in_one_sentence(failed.value)
    assert f"no space is left on the disk of {small_disk}" in sentence and "TMPDIR" in sentence
    assert "damaged" not in sentence and "network" not in sentence
    assert [path.name for path in small_disk.iterdir()] == ["others"]
