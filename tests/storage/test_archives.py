"""Files inside zip archives: what cannot be unpacked is named, with what to do."""

import zipfile
from pathlib import Path

import pytest

from somo.storage.byte_ranges import open_blocks, read_member
from somo.storage.objects import fingerprint
from somo.storage.patience import StorageError

WORDS = b"words that are compressed " * 20_000


def archive_of(tmp_path: Path) -> bytearray:
    with zipfile.ZipFile(tmp_path / "files.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t2m.nc", WORDS)
    return bytearray((tmp_path / "files.zip").read_bytes())


def read_first_bytes(path: Path) -> bytes:
    return read_member(f"zip://t2m.nc::{path}", f"{len(WORDS)}-{fingerprint(str(path))}", 0, 5)


def test_a_compressed_file_whose_bytes_are_damaged_is_named(tmp_path: Path) -> None:
    data = archive_of(tmp_path)
    assert read_first_bytes(tmp_path / "files.zip") == b"words"
    # Behind the header of 30 bytes and the name: where the compressed bytes begin.
    data[40:80] = bytes(byte ^ 0xFF for byte in data[40:80])
    (tmp_path / "damaged.zip").write_bytes(data)
    with pytest.raises(StorageError, match=r"t2m\.nc::.*damaged\.zip: cannot be unpacked .*download the archive again"):
        read_first_bytes(tmp_path / "damaged.zip")


def test_a_way_of_compressing_that_is_unknown_is_named(tmp_path: Path) -> None:
    data = archive_of(tmp_path)
    # Number 9 is Deflate64, in the file's own header and in the directory at the end.
    for header, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        begin = data.find(header) + place
        data[begin : begin + 2] = (9).to_bytes(2, "little")
    (tmp_path / "windows.zip").write_bytes(data)
    with pytest.raises(StorageError, match=r"windows\.zip: is compressed by method 9 .*unpack its archive"):
        read_first_bytes(tmp_path / "windows.zip")


def test_a_file_that_is_shorter_than_it_was_does_not_keep_a_reader_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("somo.storage.byte_ranges.read_range", lambda *_: b"half")
    with pytest.raises(StorageError, match="8 bytes were asked for, 4 came"):
        open_blocks(str(tmp_path / "t2m.nc"), "8-1").read(8)
