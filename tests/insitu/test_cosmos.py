"""COSMOS-Europe archives: layout, flags, footprint, and what is wrong with broken ones."""

from pathlib import Path

import numpy as np
import pytest

from somo.insitu.cosmos import list_stations, read_stations
from somo.insitu.sensor import InsituError, Sensor
from tests.insitu.made import write_folder, write_zip

HEAD = "DateTime_utc,Flag_Extreme_Counts,Flag_AirPressure_ERA5,Flag_Porosity_Excess,Flag_Snow_ERA5,"
HEAD += "SoilMoisture_volumetric_MovAvg24h,SoilMoisture_volumetric_MovAvg24h_std,Footprint_Depth_m\n"
ROWS = [
    "2015-01-01 00:00:00+00:00,0,0,0,0,0.25,0.02,0.20",
    "2015-01-01 01:00:00+00:00,0,1,0,0,0.26,0.02,0.22",
    "2015-01-01 02:00:00+00:00,1,0,0,0,0.95,0.02,0.18",
    "2015-01-01 03:00:00+00:00,0,0,0,1,0.40,0.02,",
    "2015-01-01 04:00:00+00:00,0,0,0,0,noData,,",
]
FILES = {
    "D/General_ information.csv": "File name,Station,Latitude (°),Longitude (°)\n"
    "ABC001,Abc,50.5,6.4\nXYZ001,Xyz,51.0,7.0\n,,,\n",
    "D/processed_crns_data_and_diagnostics/ABC001.csv": HEAD + "\n".join(ROWS) + "\n",
}


def read(url: str) -> list[Sensor]:
    return list(read_stations(url, list_stations(url), "COSMOS"))


def write(path: Path, files: dict[str, str]) -> str:
    return write_zip(path / "cosmos.zip", files)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_station_is_a_point_sensor_at_a_third_of_its_footprint(tmp_path: Path, zipped: bool) -> None:
    """Footprints of 0.20, 0.22 and 0.18 m have mean 0.2: the sensor stands at 0.0667 m."""
    url = write(tmp_path, FILES) if zipped else write_folder(tmp_path / "cosmos", FILES)
    if not zipped:
        (tmp_path / "cosmos/D/General_ information.csv").write_text(FILES["D/General_ information.csv"], "latin-1")
    (sensor,) = read(url)
    assert (sensor.network, sensor.station, sensor.latitude, sensor.longitude) == ("COSMOS-Europe", "ABC001", 50.5, 6.4)
    assert sensor.depth_from_m == sensor.depth_to_m == pytest.approx(0.2 / 3)
    assert sensor.good.tolist() == [True, True, False, False, True]
    assert sensor.value[:4].tolist() == [0.25, 0.26, 0.95, 0.40] and np.isnan(sensor.value[4])
    assert sensor.time[1] == np.datetime64("2015-01-01T01:00")


def test_a_broken_station_says_so(tmp_path: Path) -> None:
    other = {
        "D/processed_crns_data_and_diagnostics/XYZ001.csv": "DateTime_utc,Moisture\n2015-01-01 00:00:00+00:00,0.2\n"
    }
    unknown = {"D/processed_crns_data_and_diagnostics/ZZZ001.csv": HEAD + ROWS[0] + "\n"}
    good, without, nowhere = read(write(tmp_path, FILES | other | unknown))
    assert not good.problem
    assert "XYZ001.csv cannot be read: no column 'Footprint_Depth_m'; found DateTime_utc, Moisture" in without.problem
    assert "ZZZ001.csv cannot be read: no place in General_" in nowhere.problem


def test_another_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InsituError, match=r"cosmos\.zip: no General_ information\*\.csv .* format = \"cosmos\""):
        read(write(tmp_path, {"a.txt": "x"}))


def test_a_table_of_stations_without_places_is_refused(tmp_path: Path) -> None:
    table = {"D/General_ information.csv": "File name,Lat\nABC001,50\n"}
    with pytest.raises(InsituError, match=r"has no column 'Latitude'; found File name, Lat"):
        read(write(tmp_path, FILES | table))
