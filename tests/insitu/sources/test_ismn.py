"""ISMN archives: both layouts, zipped, unpacked and remote, what people make of them, and what is wrong with some."""

import io
import os
import warnings
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from ismn.base import IsmnRoot
from ismn.filehandlers import DataFile

from somo.insitu.errors import InsituError
from somo.insitu.same_sensor import join_downloads
from somo.insitu.sensor import Sensor
from somo.insitu.sources.ismn import list_recordings
from somo.insitu.sources.ismn_names import read_name
from tests.insitu.made import HOURS, ceop, header_values, read_all, read_sensors, stm_name, write_folder, write_zip

ROWS = [(t, 0.2 + 0.001 * i, "G") for i, t in enumerate(HOURS)]
ROWS[3] = (HOURS[3], 0.9, "C03")
ROWS[4] = (HOURS[4], 0.21, "D01,D02")
DAYS = "20200101_20200103"
NAME = stm_name("NET", "S1", (0.05, 0.05), "Probe", DAYS)
DEEP = stm_name("NET", "S2", (0.1, 0.3), "Probe", DAYS)
FILES = {NAME: header_values(ROWS), DEEP: header_values(ROWS, (0.1, 0.3), station="S2")}


def check(sensors: list[Sensor]) -> None:
    first, second = sorted(sensors, key=lambda s: s.station)
    assert (first.network, first.station, first.name) == ("NET", "S1", "Probe")
    assert (first.latitude, first.longitude) == (50.0, 10.0)
    assert (second.depth_from_m, second.depth_to_m) == (0.1, 0.3)
    assert first.time[0] == np.datetime64("2020-01-01T00:00") and first.time[-1] == np.datetime64("2020-01-03T21:00")
    np.testing.assert_allclose(first.value, [v for _, v, _ in ROWS], atol=1e-9)
    assert np.flatnonzero(~first.good).tolist() == [3, 4]
    assert not first.problem and not first.note


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_header_and_values_zipped_and_unpacked(tmp_path: Path, write) -> None:
    check(read_sensors(write(tmp_path / "archive.zip", FILES)))


@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_ceop(tmp_path: Path, write) -> None:
    files = {NAME: ceop(ROWS), DEEP: ceop(ROWS, (0.1, 0.3), station="S2")}
    check(read_sensors(write(tmp_path / "archive.zip", files)))


@pytest.mark.parametrize("text", [header_values, ceop])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_both_roads_read_the_same(tmp_path: Path, text, ending: str) -> None:
    """The `ismn` package, which shares no code with our reader, on every layout and line ending that it reads."""
    write_folder(tmp_path, {NAME: text(ROWS).replace("\n", ending)})
    (ours,) = read_sensors(str(tmp_path))
    file = DataFile(IsmnRoot(tmp_path), Path(NAME), load_metadata=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        about, theirs = file.read_metadata(best_meta_for_sensor=False), file.read_data()
    assert (theirs.index.to_numpy("M8[ns]") == ours.time).all()
    np.testing.assert_array_equal(theirs["soil_moisture"], ours.value)
    assert ((theirs["soil_moisture_flag"].str.strip() == "G").to_numpy() == ours.good).all()
    assert float(about["latitude"].val) == ours.latitude and about["instrument"].val == ours.name


def test_remote_archives(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/archives/a.zip", Path(write_zip(tmp_path / "a.zip", FILES)).read_bytes())
    for name, text in FILES.items():
        memory.pipe(f"/archives/folder/{name}", text.encode())
    check(read_sensors("memory://archives/a.zip"))
    check(read_sensors("memory://archives/folder"))


def test_networks_below_a_further_folder(tmp_path: Path) -> None:
    inside = {f"Data_separate_files_20200101/{name}": text for name, text in FILES.items()}
    check(read_sensors(write_zip(tmp_path / "archive.zip", inside)))


def test_nothing_is_written_beside_a_read_only_archive(tmp_path: Path) -> None:
    url = write_folder(tmp_path / "archive", FILES)
    before = sorted(tmp_path.rglob("*"))
    read_sensors(url)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_variables_and_companion_files_are_passed_by(tmp_path: Path) -> None:
    other = {NAME.replace("_sm_", "_ts_"): header_values(ROWS), "NET/S1/NET_S1_static_variables.csv": "a;b\n"}
    check(read_sensors(write_zip(tmp_path / "a.zip", FILES | other | {"Readme.txt": "hello"})))


def test_files_of_one_sensor_are_joined_in_time(tmp_path: Path) -> None:
    later = stm_name("NET", "S1", (0.05, 0.05), "Probe", "20200102_20200105")
    files = {NAME: header_values(ROWS[:10]), later: header_values([(t, 0.5, "G") for t, _, _ in ROWS[8:]])}
    (sensor,) = read_sensors(write_zip(tmp_path / "a.zip", files))
    order = np.argsort(sensor.time)
    assert len(sensor.time) == len(ROWS) == len(set(sensor.time.tolist()))
    np.testing.assert_allclose(sensor.value[order][:8], [v for _, v, _ in ROWS[:8]])
    np.testing.assert_allclose(sensor.value[order][8:], 0.5)
    assert "of 2 downloads the newest was taken" in sensor.note


def test_a_value_that_the_newer_download_took_back_stays_away(tmp_path: Path) -> None:
    newer = stm_name("NET", "S1", (0.05, 0.05), "Probe", "20200101_20250617")
    files = {NAME: header_values(ROWS), newer: header_values([ROWS[0], ROWS[-1]])}
    (sensor,) = read_sensors(write_folder(tmp_path, files))
    assert len(sensor.time) == 2 and sensor.downloaded.startswith("20250617 ")


def test_of_equal_names_the_file_written_later_is_the_newer_one(tmp_path: Path) -> None:
    texts = [header_values([(t, v, "G") for t, _, _ in ROWS]) for v in (0.2, 0.3)]
    for number, order in enumerate((("new", "old"), ("a", "b"))):
        folder = tmp_path / str(number)
        write_folder(folder, {f"{name}/{NAME}": text for name, text in zip(order, texts, strict=True)})
        for name, seconds in zip(order, (10**9, 10**9 + 60), strict=True):
            os.utime(folder / name / NAME, (seconds, seconds))
        (sensor,) = join_downloads(read_all(str(folder)))
        np.testing.assert_allclose(sensor.mean, 0.3)


def test_files_of_one_name_and_two_stations_are_refused(tmp_path: Path) -> None:
    later = NAME.replace("20200103.stm", "20250103.stm")
    files = {NAME: header_values(ROWS, place=(55, 10)), later: header_values(ROWS, place=(45, 10))}
    (sensor,) = read_all(write_folder(tmp_path, files))
    assert "NET/S1 at 45 N, 10 E and NET/S1 at 55 N, 10 E; put them into folders of their own" in sensor.problem


def test_a_sensor_is_who_its_header_says(tmp_path: Path) -> None:
    """No folder, the folder of another station, and names that hold the separators."""
    files = {
        "flat/NET_NET_North_sm_0.050000_0.050000_Probe_1_2.stm": header_values(ROWS, place=(55, 10), station="North"),
        "flat/NET_NET_South_sm_0.050000_0.050000_Probe_1_2.stm": header_values(ROWS, place=(45, 10), station="South"),
        "flat/other/NET_NET_X_sm_0.050000_0.050000_Probe_1_2.stm": header_values(ROWS, station="My Station 7"),
        "MY_NET/A_B/MY_NET_MY_NET_A_B_sm_0.050000_0.050000_P_1_2.stm": header_values(
            ROWS, network="MY_NET", station="A_B"
        ),
        "n/MY NET_S_sm_0.050000_0.050000_P_1_2.stm": header_values(ROWS, network="MY NET", station="S"),
        "n/c/C_C_S T_sm_0.050000_0.050000_P_1_2.stm": ceop(ROWS, network="C", station="S T"),
    }  # fmt: skip
    sensors = read_all(write_folder(tmp_path, files))
    assert {(s.network, s.station): s.latitude for s in sensors} == {
        ("NET", "North"): 55, ("NET", "South"): 45, ("NET", "My Station 7"): 50, ("MY_NET", "A_B"): 50,
        ("MY NET", "S"): 50, ("C", "S T"): 50,
    }  # fmt: skip
    assert not any(s.problem for s in sensors) and all(len(s.day) == 3 for s in sensors)


def test_names_of_files_are_read_with_separators_inside() -> None:
    named = read_name("MY_NET/A_B/MY_NET_MY_NET_A_B_sm_0.100000_0.300000_Meter-5TM_1_1_19500101_20260512.stm")
    assert (named.network, named.station, named.instrument) == ("MY_NET", "A_B", "Meter-5TM_1_1")
    assert (named.depth_m, named.variable, named.last) == ((0.1, 0.3), "sm", "20260512")
    assert read_name("flat/A_B_A_B_C_sm_0_0.1_P_1_2.stm").network == "A_B"
    assert read_name("x/FR-Aqui_FR-Aqui_fraye_ts_0.05_0.05_T_1_2.STM").variable == "ts"


@pytest.mark.parametrize(("text", "digits"), [(header_values, "0.51"), (ceop, "0.51"), (header_values, "0.5080")])
def test_depths_have_the_digits_of_the_name(tmp_path: Path, text, digits: str) -> None:
    """Older archives round 0.508 m, 20 inches, to 0.51 inside of the file, which would be in no layer."""
    name = stm_name("NET", "S1", (0.508, 0.508), "Probe", DAYS)
    content = text(ROWS, (0.508, 0.508)).replace("0.5080", digits)
    (sensor,) = read_sensors(write_folder(tmp_path, {name: content}))
    assert sensor.depth_from_m == sensor.depth_to_m == 0.508


def test_depths_the_wrong_way_round(tmp_path: Path) -> None:
    name = stm_name("NET", "S1", (0.1, 0.0), "Probe", DAYS)
    (sensor,) = read_sensors(write_folder(tmp_path, {name: header_values(ROWS, (0.1, 0.0))}))
    assert (sensor.depth_from_m, sensor.depth_to_m) == (0.0, 0.1)


def test_one_bad_line_costs_one_value_and_is_named(tmp_path: Path) -> None:
    lines = header_values(ROWS).splitlines(True)
    bad = ["2020/01/02 24:00 0.2 G M\n", "2020/13/02 01:00 0.2 G M\n", "2020/01/02 03:30 0.2x G M\n", "no line\n"]
    for n in (1, 4):
        text = "".join([*lines[:5], *bad[:n], *lines[5:]])
        (sensor,) = read_sensors(write_folder(tmp_path / str(n), {NAME: text}))
        assert len(sensor.time) == len(ROWS)
        count = "1 line cannot" if n == 1 else "4 lines cannot"
        assert sensor.note.startswith(f"{count} be read, such as line 6: '2020/01/02 24:00 0.2 G M'")


def test_flags_and_lines_of_other_lengths(tmp_path: Path) -> None:
    """Without the provider's flag, without any, with a space inside, with a value that is missing."""
    text = header_values(ROWS[:2], tail="") + header_values(ROWS[2:3]).splitlines()[1] + "\n"
    text += "2020/01/02 01:00 0.3000\n2020/01/02 02:00 NaN G M\n2020/01/02 03:00 0.3 D01, D02 M\n"
    text += "2020/01/02 04:00 0.3 G a b c\n"
    (sensor,) = read_sensors(write_zip(tmp_path / "a.zip", {NAME: text}))
    assert sensor.good.tolist() == [True, True, True, False, True, False, True] and not sensor.note
    assert np.flatnonzero(np.isnan(sensor.value)).tolist() == [4]


def test_letters_of_other_alphabets(tmp_path: Path) -> None:
    for number, encoding in enumerate(("latin-1", "utf-8", "utf-8-sig")):
        text = header_values(ROWS).replace(" Probe\n", " 'Sonde-Größe'\n").encode(encoding)
        (sensor,) = read_sensors(write_folder(tmp_path / str(number), {NAME: text}))
        assert sensor.name == "Sonde-Größe" and len(sensor.time) == len(ROWS)


@pytest.mark.parametrize("text", ["", "\n\n", "\r\n \r\n", header_values([])])
def test_files_without_data_say_so(tmp_path: Path, text: str) -> None:
    (sensor,) = read_all(write_folder(tmp_path, {NAME: text}))
    assert sensor.problem == "file has no data" and sensor.depth_from_m == 0.05


def test_what_a_mac_leaves_and_upper_case(tmp_path: Path) -> None:
    files = {
        NAME.replace(".stm", ".STM"): FILES[NAME],
        f"__MACOSX/NET/S2/._{DEEP.rsplit('/')[-1]}": "\0\5",
        DEEP: FILES[DEEP],
    }
    check(read_sensors(write_folder(tmp_path, files)))


def test_a_file_that_does_not_name_its_variable_is_listed(tmp_path: Path) -> None:
    recordings = list_recordings(write_folder(tmp_path, FILES | {"NET/S1/data.stm": FILES[NAME]}), "a")
    assert [r.problem for r in recordings if r.problem] == [
        "the name 'data.stm' does not say that it holds soil moisture (..._sm_<from>_<to>_...)"
    ]


def test_a_malformed_file_becomes_a_sensor_with_a_problem(tmp_path: Path) -> None:
    broken = stm_name("NET", "S3", (0.05, 0.05), "Probe", DAYS)
    sensors = read_all(write_zip(tmp_path / "a.zip", FILES | {broken: "not a sensor\n"}))
    assert [s.problem for s in sensors] == ["", "", "file cannot be read: its first line is no header: 'not a sensor'"]
    assert sensors[2].station == "S3"


def test_zips_in_a_folder_and_in_zips(tmp_path: Path) -> None:
    inner, deeper = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(DEEP, FILES[DEEP])
    with zipfile.ZipFile(deeper, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("readme.txt", "x")
        archive.writestr("inside.zip", inner.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        files = {NAME: FILES[NAME], "more/deeper.zip": deeper.getvalue()}
        check(read_sensors(write_zip(tmp_path / f"{method}.zip", files, method)))
        folder = write_folder(
            tmp_path / f"folder{method}", {"first.zip": Path(tmp_path / f"{method}.zip").read_bytes()}
        )
        check(read_sensors(folder))


def test_an_empty_archive_is_an_error(tmp_path: Path) -> None:
    url = write_zip(tmp_path / "a.zip", {"Readme.txt": "nothing"})
    with pytest.raises(InsituError, match=r"a\.zip: no soil-moisture files .* nor in zips inside"):
        list_recordings(url, "a")


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InsituError, match=r"nowhere\.zip: no such archive; check the url under \[\[insitu\]\]"):
        list_recordings(str(tmp_path / "nowhere.zip"), "a")


def test_a_truncated_zip_is_an_error(tmp_path: Path) -> None:
    path = Path(write_zip(tmp_path / "a.zip", FILES))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InsituError, match=r"a\.zip: not a readable zip .* download the archive again"):
        list_recordings(str(path), "a")


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
    listed = read_sensors(str(real / case))
    assert len(listed) == sensors and len({s.station for s in listed}) == stations
    assert not [s.problem for s in listed if s.problem or s.note] and all(s.good.all() for s in listed)
