"""COSMOS-Europe archives: layout, flags, footprint, how files were really delivered, and what is wrong with some."""

from pathlib import Path

import numpy as np
import pytest

from somo.insitu.errors import InsituError
from somo.insitu.sources.cosmos import list_recordings
from tests.insitu.made import read_all, read_sensors, write_folder, write_zip

HEAD = "DateTime_utc,Flag_Extreme_Counts,Flag_AirPressure_ERA5,Flag_Porosity_Excess,Flag_Snow_ERA5,"
HEAD += "SoilMoisture_volumetric_MovAvg24h,SoilMoisture_volumetric_MovAvg24h_std,Footprint_Depth_m\n"
ROWS = [
    "2015-01-01 00:00:00+00:00,0,0,0,0,0.25,0.02,0.20",
    "2015-01-01 01:00:00+00:00,0,1,0,0,0.26,0.02,0.22",
    "2015-01-01 02:00:00+00:00,1,0,0,0,0.95,0.02,0.18",
    "2015-01-01 03:00:00+00:00,0,0,0,1,0.40,0.02,",
    "2015-01-01 04:00:00+00:00,0,0,0,0,noData,,",
]
FOLDER = "D/processed_crns_data_and_diagnostics"
PLACES = "File name,Station,Latitude (°),Longitude (°)\nABC001,Abc,50.5,6.4\nXYZ001,Xyz,51.0,7.0\n,,,\n"
FILES = {"D/General_ information.csv": PLACES, f"{FOLDER}/ABC001.csv": HEAD + "\n".join(ROWS) + "\n"}


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_a_station_is_a_point_sensor_at_a_third_of_its_footprint(tmp_path: Path, write, encoding: str) -> None:
    """Footprints of 0.20, 0.22 and 0.18 m have mean 0.2: the sensor stands at 0.0667 m."""
    files = FILES | {"D/General_ information.csv": PLACES.encode(encoding)}
    (sensor,) = read_sensors(write(tmp_path / "cosmos.zip", files), "cosmos")
    assert (sensor.network, sensor.station, sensor.latitude, sensor.longitude) == ("COSMOS-Europe", "ABC001", 50.5, 6.4)
    assert sensor.depth_from_m == sensor.depth_to_m == pytest.approx(0.2 / 3)
    assert sensor.good.tolist() == [True, True, False, False, True]
    assert sensor.value[:4].tolist() == [0.25, 0.26, 0.95, 0.40] and np.isnan(sensor.value[4])
    assert sensor.time[1] == np.datetime64("2015-01-01T01:00")


def test_the_station_whose_times_have_another_name(tmp_path: Path) -> None:
    files = {name: text.replace("DateTime_utc", "# Time") for name, text in FILES.items()}
    (sensor,) = read_sensors(write_zip(tmp_path / "cosmos.zip", files), "cosmos")
    assert len(sensor.time) == 5 and sensor.time[1] == np.datetime64("2015-01-01T01:00")


def test_a_station_without_footprint_says_so(tmp_path: Path) -> None:
    rows = "\n".join(row.rsplit(",", 1)[0] + "," for row in ROWS)
    (sensor,) = read_all(write_zip(tmp_path / "c.zip", FILES | {f"{FOLDER}/ABC001.csv": HEAD + rows}), "cosmos")
    assert sensor.problem.startswith("no depth: Footprint_Depth_m has no number") and sensor.latitude == 50.5


def test_semicolons_decimal_commas_and_codes_for_missing_footprints(tmp_path: Path) -> None:
    text = FILES[f"{FOLDER}/ABC001.csv"].replace(",", ";").replace(".2", ",2").replace("0,22\n", "-9999\n")
    (sensor,) = read_sensors(write_zip(tmp_path / "c.zip", FILES | {f"{FOLDER}/ABC001.csv": text}), "cosmos")
    assert sensor.depth_from_m == pytest.approx((0.20 + 0.18) / 2 / 3) and sensor.value[0] == 0.25 and not sensor.note


def test_of_two_revisions_the_last_is_taken(tmp_path: Path) -> None:
    files = FILES | {f"{FOLDER}_rev1/abc001.csv": FILES[f"{FOLDER}/ABC001.csv"]}
    older, newer = list_recordings(write_zip(tmp_path / "c.zip", files), "cosmos")
    assert older.problem.endswith("_rev1/abc001.csv, is taken") and not newer.problem and newer.place == (50.5, 6.4)


def test_a_station_in_two_places_is_not_placed_by_the_last_row(tmp_path: Path) -> None:
    """The same row twice is one place."""
    rows = PLACES.replace(",,,\n", "abc001.csv,Abc,50.5,6.4\n")
    for listed, problem in ((rows, ""), (rows.replace("csv,Abc,50.5", "csv,Abc,48.5"), "50.5, 6.4 and 48.5, 6.4")):
        files = FILES | {"D/General_ information.csv": listed}
        (recording,) = list_recordings(write_zip(tmp_path / "c.zip", files), "cosmos")
        assert problem in recording.problem and bool(recording.problem) == bool(problem)


def test_places_are_those_of_the_newer_revision(tmp_path: Path) -> None:
    files = FILES | {"E/General_ information.csv": PLACES.replace("50.5", "50.6")}
    (recording,) = list_recordings(write_zip(tmp_path / "c.zip", files), "cosmos")
    assert recording.place == (50.6, 6.4)


def test_flags_may_be_words(tmp_path: Path) -> None:
    text = FILES[f"{FOLDER}/ABC001.csv"].replace("+00:00,1,", "+00:00,True,").replace(",0,0,0,0,", ",False,0,0,False,")
    (sensor,) = read_sensors(write_zip(tmp_path / "c.zip", FILES | {f"{FOLDER}/ABC001.csv": text}), "cosmos")
    assert sensor.good.tolist() == [True, True, False, False, True]


def test_flags_that_are_not_there_are_told(tmp_path: Path) -> None:
    text = FILES[f"{FOLDER}/ABC001.csv"].replace("Flag_Snow_ERA5", "Flag_Snow")
    (sensor,) = read_sensors(write_zip(tmp_path / "c.zip", FILES | {f"{FOLDER}/ABC001.csv": text}), "cosmos")
    assert sensor.note == "no column Flag_Snow_ERA5"


def test_a_broken_station_says_so(tmp_path: Path) -> None:
    other = {
        f"{FOLDER}/XYZ001.csv": "DateTime_utc,Moisture\n2015-01-01 00:00:00+00:00,0.2\n",
        f"{FOLDER}/ZZZ001.csv": HEAD + ROWS[0] + "\n",
    }
    url = write_zip(tmp_path / "c.zip", FILES | other)
    good, without = read_all(url, "cosmos")
    assert not good.problem
    assert without.problem.startswith(
        "file cannot be read: no column 'SoilMoisture_volumetric_MovAvg24h'; there are Date"
    )
    assert list_recordings(url, "a")[2].problem == "ZZZ001.csv: no place in General_ information*.csv for ZZZ001"


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InsituError, match=r"cosmos\.zip: no General_ information\*\.csv .* format = \"cosmos\""):
        list_recordings(write_zip(tmp_path / "cosmos.zip", {"a.txt": "x"}), "a")


def test_a_table_of_stations_without_places_is_refused(tmp_path: Path) -> None:
    table = {"D/General_ information.csv": "File name,Lat\nABC001,50\n"}
    with pytest.raises(InsituError, match=r"no column 'Latitude'; there are File name, Lat"):
        list_recordings(write_zip(tmp_path / "c.zip", FILES | table), "a")
