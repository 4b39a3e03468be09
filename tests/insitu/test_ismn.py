"""ISMN archives: both layouts, zipped, unpacked and remote, and what is wrong with broken ones."""

import warnings
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from somo.insitu.ismn import list_stations, read_stations
from somo.insitu.sensor import InsituError, Sensor
from tests.insitu.made import HOURS, ceop, header_values, stm_name, write_folder, write_zip

ROWS = [(t, 0.2 + 0.001 * i, "G") for i, t in enumerate(HOURS)]
ROWS[3] = (HOURS[3], 0.9, "C03")
ROWS[4] = (HOURS[4], 0.21, "D01,D02")
NAME = stm_name("NET", "S1", (0.05, 0.05), "Probe", "20200101_20200103")
DEEP = stm_name("NET", "S2", (0.1, 0.3), "Probe", "20200101_20200103")
FILES = {NAME: header_values(ROWS), DEEP: header_values(ROWS, (0.1, 0.3), station="S2")}


def read(url: str) -> list[Sensor]:
    return list(read_stations(url, list_stations(url), "archive"))


def check(sensors: list[Sensor]) -> None:
    first, second = sensors
    assert (first.archive, first.network, first.station, first.name) == ("archive", "NET", "S1", "Probe")
    assert (first.latitude, first.longitude) == (50.0, 10.0)
    assert (second.depth_from_m, second.depth_to_m) == (0.1, 0.3)
    assert first.time[0] == np.datetime64("2020-01-01T00:00") and first.time[-1] == np.datetime64("2020-01-03T21:00")
    np.testing.assert_allclose(first.value, [v for _, v, _ in ROWS], atol=1e-9)
    assert np.flatnonzero(~first.good).tolist() == [3, 4]
    assert not first.problem


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_header_and_values_zipped_and_unpacked(tmp_path: Path, write) -> None:
    check(read(write(tmp_path / "archive.zip", FILES)))


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_ceop(tmp_path: Path, write) -> None:
    files = {NAME: ceop(ROWS), DEEP: ceop(ROWS, (0.1, 0.3), station="S2")}
    check(read(write(tmp_path / "archive.zip", files)))


@pytest.mark.parametrize("where", ["memory://archives/a.zip", "memory://archives/folder"])
def test_remote_archives(tmp_path: Path, where: str) -> None:
    with fsspec.open(where, "wb") if where.endswith("zip") else pytest.MonkeyPatch.context() as file:
        if where.endswith("zip"):
            file.write(Path(write_zip(tmp_path / "a.zip", FILES)).read_bytes())
    if not where.endswith("zip"):
        for name, text in FILES.items():
            fsspec.filesystem("memory").pipe(f"/archives/folder/{name}", text.encode())
    check(read(where))


@pytest.mark.s3
def test_archive_on_s3(tmp_path: Path, s3_root: str) -> None:
    fs, path = fsspec.url_to_fs(s3_root)
    fs.pipe(f"{path}/a.zip", Path(write_zip(tmp_path / "a.zip", FILES)).read_bytes())
    check(read(f"{s3_root}/a.zip"))


def test_networks_below_a_further_folder(tmp_path: Path) -> None:
    inside = {f"Data_separate_files_20200101/{name}": text for name, text in FILES.items()}
    check(read(write_zip(tmp_path / "archive.zip", inside)))


def test_nothing_is_written_beside_a_read_only_archive(tmp_path: Path) -> None:
    url = write_folder(tmp_path / "archive", FILES)
    before = sorted(tmp_path.rglob("*"))
    read(url)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_variables_and_companion_files_are_passed_by(tmp_path: Path) -> None:
    other = {NAME.replace("_sm_", "_ts_"): header_values(ROWS), "NET/S1/NET_S1_static_variables.csv": "a;b\n"}
    check(read(write_zip(tmp_path / "a.zip", FILES | other | {"Readme.txt": "hello"})))


def test_files_of_one_sensor_are_joined_in_time(tmp_path: Path) -> None:
    later = stm_name("NET", "S1", (0.05, 0.05), "Probe", "20200102_20200103")
    files = {NAME: header_values(ROWS[:10]), later: header_values([(t, 0.5, "G") for t, _, _ in ROWS[8:]])}
    (sensor,) = read(write_zip(tmp_path / "a.zip", files))
    assert len(sensor.time) == len(ROWS) and (np.diff(sensor.time) > np.timedelta64(0)).all()
    np.testing.assert_allclose(sensor.value[:10], [v for _, v, _ in ROWS[:10]])
    np.testing.assert_allclose(sensor.value[10:], 0.5)


def test_a_malformed_file_becomes_a_sensor_with_a_problem(tmp_path: Path) -> None:
    broken = stm_name("NET", "S3", (0.05, 0.05), "Probe", "20200101_20200103")
    sensors = read(write_zip(tmp_path / "a.zip", FILES | {broken: "not a sensor\n"}))
    assert len(sensors) == 3
    assert sensors[2].station == "S3" and broken.rsplit("/", 1)[-1] in sensors[2].problem


def test_flags_missing_in_a_line_are_not_good(tmp_path: Path) -> None:
    text = header_values(ROWS[:5]) + "2020/01/02 01:00 0.3000\n2020/01/02 02:00 NaN G M\n"
    (sensor,) = read(write_zip(tmp_path / "a.zip", {NAME: text}))
    assert not sensor.good[5] and np.isnan(sensor.value[6])


def test_an_empty_archive_is_an_error(tmp_path: Path) -> None:
    url = write_zip(tmp_path / "a.zip", {"Readme.txt": "nothing"})
    with pytest.raises(InsituError, match=r"a\.zip: no soil-moisture files"):
        list_stations(url)


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InsituError, match=r"nowhere\.zip: no such archive; check the url under \[\[insitu\]\]"):
        list_stations(str(tmp_path / "nowhere.zip"))


def test_a_truncated_zip_is_an_error(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", FILES))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InsituError, match=r"a\.zip: not a readable zip .* download the archive again"):
        list_stations(str(path))


def test_bytes_broken_inside_a_zip_are_an_error(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", FILES))
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InsituError, match=r"broken inside the archive"):
        read(str(path))


@pytest.mark.real
@pytest.mark.parametrize(
    ("case", "sensors", "stations"),
    [
        ("us-stations/insitu/USCRN.zip", 277, 63),
        ("us-grid/insitu/SMAP.zip", 253, 253),
        ("eu-basins/insitu/ERA5LAND.zip", 15, 5),
    ],
)
def test_real_archives(real: Path, case: str, sensors: int, stations: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = read(str(real / case))
    assert len(found) == sensors and len({s.station for s in found}) == stations
    assert not [s.problem for s in found if s.problem] and all(s.good.all() for s in found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("NET/S1/../../../outside_sm_1.stm", b"x", r"\.\./outside_sm_1\.stm points out of its folder"),
        ("/NET/S1/rooted_sm_1.stm", b"x", "points out of its folder"),
        ("NET/S9/bomb_sm_1.stm", bytes(20 << 20), r"bomb_sm_1\.stm would unpack to 20 MB, \d{3,} times"),
    ],
)
def test_an_archive_that_would_do_harm_is_not_unpacked(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    archive = write_zip(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr(name, content)
    with pytest.raises(InsituError, match=message):
        read(archive)
    assert not list(tmp_path.rglob("*outside*"))
