"""ISMN archives as they lie on people's disks: encodings, packings, headers at odds with names, numbers as names."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from somo.insitu.errors import InsituError
from somo.insitu.same_sensor import join_downloads
from somo.insitu.sources.ismn import list_recordings
from tests.insitu.made import HOURS, ceop, header_values, read_all, read_sensors, stm_name, write_folder

ROWS = [(t, 0.2 + 0.001 * i, "G") for i, t in enumerate(HOURS)]
NAME = stm_name("NET", "S1", (0.05, 0.05), "Probe", "20200101_20200103")
PLAIN = header_values(ROWS)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (NAME, PLAIN.encode("utf-16")),
        (NAME + ".gz", gzip.compress(PLAIN.encode())),
        (NAME + ".txt", PLAIN.encode()),
        (NAME, PLAIN.replace("/", "-").encode()),
        (NAME, PLAIN.replace(" 123.0 ", " - ").encode()),
        (NAME, PLAIN.replace("\n", "\r").encode()),
    ],
)
def test_the_same_values_however_they_are_written(tmp_path: Path, name: str, data: bytes) -> None:
    (sensor,) = read_sensors(write_folder(tmp_path, {name: data}))
    np.testing.assert_allclose(sensor.value, [value for _, value, _ in ROWS], atol=1e-9)
    assert sensor.time[0] == np.datetime64("2020-01-01") and sensor.good.all() and not sensor.note
    assert (sensor.latitude, sensor.longitude, sensor.depth_from_m) == (50.0, 10.0, 0.05)


def test_times_with_several_values_are_told(tmp_path: Path) -> None:
    """Of two sensors in one file the first one counts; lines that stand there twice are one."""
    other = [(t, value + 0.1, "G") for t, value, _ in ROWS]
    (twice,) = read_sensors(write_folder(tmp_path / "twice", {NAME: header_values([*ROWS, *ROWS])}))
    (both,) = read_sensors(write_folder(tmp_path / "both", {NAME: header_values([*ROWS, *other])}))
    n = len(ROWS)
    assert (
        not twice.note and both.note == f"{n} of {n} times stand there with several values, of which the first counts"
    )


def test_what_is_packed_otherwise_is_listed_and_named(tmp_path: Path) -> None:
    words = "is packed in a way that is not read; unpack it, or pack it again as a zip"
    url = write_folder(tmp_path / "a", {NAME: PLAIN, "us.7z": b"7z", "x/europe.tar.gz": b"x", "notes.txt": "x"})
    problems = [recording.problem for recording in list_recordings(url, "a")]
    assert sorted(problems) == ["", f"us.7z {words}", f"x/europe.tar.gz {words}"]
    for place in (write_folder(tmp_path / "b", {"ismn.tar.gz": b"x"}), str(tmp_path / "b" / "ismn.tar.gz")):
        with pytest.raises(InsituError, match=rf"ismn\.tar\.gz {words}"):
            list_recordings(place, "a")


def test_a_table_declared_as_an_ismn_archive_is_told_its_format(tmp_path: Path) -> None:
    url = write_folder(tmp_path, {"stations.csv": "station\n"}) + "/stations.csv"
    with pytest.raises(InsituError, match='a table of own stations needs format = "table"'):
        list_recordings(url, "a")


@pytest.mark.parametrize("text", [ceop(ROWS, (0.1, 0.1)), ceop(ROWS, (5, 5)), header_values(ROWS, (0.1, 0.1))])
def test_a_depth_at_odds_with_the_name_shifts_no_column(tmp_path: Path, text: str) -> None:
    """A line that is read one number too late has the longitude for its latitude, and the flag for its value."""
    (sensor,) = read_sensors(write_folder(tmp_path, {NAME: text}))
    assert (sensor.latitude, sensor.longitude, len(sensor.value)) == (50.0, 10.0, len(ROWS))
    assert sensor.depth_from_m in (0.1, 5) and sensor.note == "its file's name says 0.05-0.05 m"


@pytest.mark.parametrize(("station", "instrument"), [("12", "Probe"), ("S1", "5 TE"), ("12", "5 TE")])
def test_numbers_as_names(tmp_path: Path, station: str, instrument: str) -> None:
    text = header_values(ROWS, station=station).replace("Probe", instrument)
    (sensor,) = read_sensors(write_folder(tmp_path, {f"NET/{station}/x_sm_1.stm": text}))
    assert (sensor.station, sensor.name, sensor.latitude, sensor.depth_to_m) == (station, instrument, 50.0, 0.05)


def test_two_instruments_of_one_depth_and_header_are_two_sensors(tmp_path: Path) -> None:
    names = [stm_name("NET", "S1", (0.05, 0.05), f"Probe-{letter}", "20200101_20200103") for letter in "AB"]
    sensors = join_downloads(read_all(write_folder(tmp_path, dict.fromkeys(names, PLAIN))))
    assert [sensor.name for sensor in sensors] == ["Probe-A", "Probe-B"]


def test_a_file_of_lines_that_cannot_be_read_is_not_called_empty(tmp_path: Path) -> None:
    (sensor,) = read_all(write_folder(tmp_path, {NAME: PLAIN.replace(" 0.2", " 0,2")}))
    assert sensor.problem.startswith("24 lines cannot be read, such as line 2: '2020/01/01 00:00 0,2000 G M'")


def test_a_line_of_one_word_is_named_with_its_number(tmp_path: Path) -> None:
    lines = ceop(ROWS).splitlines()
    text = "\n".join([*lines[:9], "interrupted", *lines[9:]]) + "\n"
    (sensor,) = read_sensors(write_folder(tmp_path, {NAME: text}))
    assert len(sensor.value) == len(ROWS) and sensor.note == "1 line cannot be read, such as line 10: 'interrupted'"


OTHERS = [
    {"station": "S2", "place": (45.0, 10.0)},
    {"place": (50.1, 10.0)},
    {"depth": (0.2, 0.2)},
]


@pytest.mark.parametrize("text", [header_values, ceop])
@pytest.mark.parametrize("other", OTHERS, ids=["station", "place", "depth"])
def test_files_of_two_sensors_one_below_the_other_are_refused(tmp_path: Path, text, other: dict) -> None:
    """Both would be averaged as the first one's values, and as one series where a part follows the other."""
    url = write_folder(tmp_path, {NAME: text(ROWS[:9]) + text(ROWS[9:], **other)})
    (sensor,) = read_all(url)
    assert sensor.problem.startswith("file holds several sensors: NET/S1 at 50 N, 10 E, 0.05-0.05 m and NET/")
    assert sensor.problem.endswith("give each a file of its own") and not len(sensor.day)


@pytest.mark.parametrize(
    "text",
    [
        header_values(ROWS[:9]) + header_values(ROWS[9:]),
        ceop(ROWS[:9]) + ceop(ROWS[9:]).replace(" 50.00000 ", "  50.0 ").replace(" 123.0 ", " 123 "),
    ],
)
def test_downloads_of_one_sensor_one_below_the_other_are_joined(tmp_path: Path, text: str) -> None:
    (sensor,) = read_sensors(write_folder(tmp_path, {NAME: text}))
    assert sensor.value.tolist() == [round(value, 4) for _, value, _ in ROWS]
