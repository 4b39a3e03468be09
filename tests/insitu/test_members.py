"""Members of archives from strangers: bombs, names that lead elsewhere, damage; and in which order they are read."""

import struct
import zipfile
from pathlib import Path

import pytest

from somo.insitu import inflating, reading
from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import list_members
from somo.insitu.reading import in_stored_order, read_members, read_recordings
from somo.insitu.sources.ismn import list_recordings
from tests.insitu.made import header_values, read_all, stm_name, write_folder, write_zip

ROWS = [(f"2020/01/01 {h:02d}:00", 0.25, "G") for h in range(24)]
NAMES = [stm_name("NET", f"S{i}", (0.05, 0.05), "Probe", "20200101_20200103") for i in range(6)]
FILES = {name: header_values(ROWS, station=f"S{i}") for i, name in enumerate(NAMES)}


def everything(path: str) -> bool:
    return True


def test_a_member_that_inflates_beyond_its_declared_size_is_refused(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", {"a.stm": b"0" * 100_000}))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(bytes(data))
    (content,) = read_members(list_members(str(path), everything))
    assert isinstance(content, SensorError) and "a.stm inflates beyond the 1000 bytes that its zip declares" in str(
        content
    )


def test_a_member_larger_than_allowed_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (inflating, reading):
        monkeypatch.setattr(module, "MOST_MEMBER_BYTES", 1000)
    bomb = {NAMES[0]: header_values(ROWS) + " " * 5000}
    for url in (write_zip(tmp_path / "a.zip", bomb), write_folder(tmp_path / "a", bomb)):
        (sensor,) = read_all(url)
        assert "more than the 1000 allowed" in sensor.problem and sensor.station == "S0"


def test_a_zip_inside_that_grows_beyond_its_size_is_refused(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", {"inner.zip": b"0" * 3_000_000}))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 24 : at + 28] = struct.pack("<I", 1000)
    path.write_bytes(bytes(data))
    with pytest.raises(InsituError, match=r"inner\.zip inflates beyond the 1000 bytes"):
        list_members(str(path), everything)


def test_zips_without_end_are_refused(tmp_path: Path) -> None:
    content = Path(write_zip(tmp_path / "0.zip", FILES)).read_bytes()
    for level in range(1, 6):
        content = Path(write_zip(tmp_path / f"{level}.zip", {"again.zip": content})).read_bytes()
    with pytest.raises(InsituError, match="zips lie in zips more than 4 deep; unpack it first"):
        list_members(str(tmp_path / "5.zip"), everything)


@pytest.mark.parametrize("name", ["../../etc/N_N_S_sm_0.05_0.05_P_1_2.stm", "/etc/N_N_S_sm_0.05_0.05_P_1_2.stm"])
def test_names_that_lead_out_of_the_archive_are_not_read(tmp_path: Path, name: str) -> None:
    (recording,) = list_recordings(write_zip(tmp_path / "a.zip", {name: header_values(ROWS)}), "a")
    assert recording.problem == f"the name {name!r} leads out of the archive"


def test_separators_of_windows(tmp_path: Path) -> None:
    (sensor,) = read_all(write_zip(tmp_path / "a.zip", {NAMES[0].replace("/", "\\"): FILES[NAMES[0]]}))
    assert sensor.station == "S0" and not sensor.problem


def test_a_damaged_member_costs_its_sensor_alone(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", FILES, zipfile.ZIP_STORED))
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))
    problems = [s.problem for s in read_all(str(path))]
    assert "broken inside the archive (its checksum differs); download it again" in problems[0]
    assert problems[1:] == [""] * 5


def test_encrypted_and_unknown_compression_are_named(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", {NAMES[0]: FILES[NAMES[0]]}))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    assert "is encrypted; unpack the archive with its password first" in read_all(str(path))[0].problem
    lzma = write_zip(tmp_path / "b.zip", {NAMES[0]: FILES[NAMES[0]]}, zipfile.ZIP_LZMA)
    assert "compressed by method 14 of the zip format; pack it again with deflate" in read_all(lzma)[0].problem


def test_each_range_is_read_once_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other variables between are read along only where that is little."""
    large = {f"NET/S{i}/x_{i}.csv": bytes(range(256)) * 1000 for i in range(6)}
    mixed = {
        name: data
        for i, key in enumerate(reversed(NAMES))
        for name, data in ((key, FILES[key]), list(large.items())[i])
    }
    url = write_zip(tmp_path / "a.zip", mixed, zipfile.ZIP_STORED)
    requests: list[tuple[int, int]] = []

    def counted(url: str, version: str, start: int, size: int) -> bytes:
        requests.append((start, size))
        return Path(url).read_bytes()[start : start + size]

    monkeypatch.setattr(reading, "read_range", counted)
    recordings = in_stored_order(list_recordings(url, "a"))
    assert [r.station for r in recordings] == [f"S{i}" for i in reversed(range(6))]
    contents = [data for _, data in read_recordings(recordings)]
    assert all(isinstance(c, list) for c in contents)
    needed = sum(m.packed.stop - m.packed.start for r in recordings for m in r.members if m.packed)
    assert requests == sorted(requests) and sum(size for _, size in requests) == needed < 1.01 * needed
    monkeypatch.setattr(reading, "GAP_BYTES", 10**6)
    requests.clear()
    assert [data for _, data in read_recordings(recordings)] == contents and len(requests) == 1


def test_a_link_out_of_the_archive_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys.stm").write_text("aws_secret_access_key = s3cr3t\n")
    archive = Path(write_folder(tmp_path / "archive", {NAMES[1]: FILES[NAMES[1]]}))
    (archive / NAMES[0]).parent.mkdir(parents=True)
    (archive / NAMES[0]).symlink_to(tmp_path / "keys.stm")
    with pytest.raises(InsituError, match=r"sm_0\.05.*is a link that leads out of .*archive; put the file itself"):
        list_recordings(str(archive), "a")
    # Links within the archive, and an archive that is itself a link, lead nowhere else.
    (archive / NAMES[0]).unlink()
    (archive / NAMES[0]).symlink_to(archive / NAMES[1])
    (tmp_path / "link").symlink_to(archive)
    assert len(list_recordings(str(tmp_path / "link"), "a")) == 2
