"""What a folder of own stations tells of itself, and what its table still lacks."""

import csv
import gzip
import io

import pytest

from somo.insitu.drafting import archive_at
from somo.insitu.errors import InsituError

SERIES = "timestamp,sm_10,sm_30,flag\n" + "".join(f"2018-01-01 {hour:02}:00,0.31,0.33,ok\n" for hour in range(9))


@pytest.fixture
def loggers(tmp_path):
    (tmp_path / "loggers").mkdir()
    for name in ("st01_2017-2019", "st02_2018", "st2017"):
        (tmp_path / f"loggers/{name}.csv").write_text(SERIES)
    (tmp_path / "where.csv").write_text("id,lat,lon\nst01,50.7,11.3\nst2017,50.8,11.4\n")
    return tmp_path / "loggers"


def rows_of(archive):
    return list(csv.DictReader(io.StringIO(archive.table)))


def test_places_come_from_a_table_beside_the_folder_and_names_lose_their_years(loggers):
    rows = rows_of(archive_at(str(loggers)))
    assert [(row["station"], row["latitude"], row["longitude"], row["value"]) for row in rows] == [
        ("st01", "50.7", "11.3", "sm_10"), ("st01", "50.7", "11.3", "sm_30"),
        ("st02", "", "", "sm_10"), ("st02", "", "", "sm_30"),
        ("st2017", "50.8", "11.4", "sm_10"), ("st2017", "50.8", "11.4", "sm_30"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("names", "first", "written"),
    [
        ("Nr;Datum;Uhrzeit;Bodenfeuchte", "1;01.01.2018;01:00;0.3", "Datum+Uhrzeit"),
        ("Datum;Uhrzeit;swc;T;T;", "01.01.2018;01:00;0.3;8;9;", "Datum+Uhrzeit"),
        ("Time;Date;swc", "01:00:00;2018-01-01;0.3", "Date+Time"),
        ("Date;Sunrise;swc", "2018-01-01 01:00;07:30;0.3", "Date"),
        ("Date;battery;swc", "2018-01-01;12:5;0.3", "Date"),
    ],
)
def test_a_clock_in_a_column_of_its_own_belongs_to_the_time(loggers, names, first, written):
    for path in loggers.glob("*.csv"):
        path.write_text(f"{names}\n;;Vol%\n{first}\n{first}\n")
    assert {row["time"] for row in rows_of(archive_at(str(loggers)))} == {written}


def test_a_list_of_stations_in_german_is_a_table_of_places(loggers):
    (loggers / "Stationsliste.csv").write_text("Station;Breite;Länge;Höhe\nst02;50,9;11,5;301\n")
    places = {row["station"]: (row["latitude"], row["longitude"]) for row in rows_of(archive_at(str(loggers)))}
    assert places["st02"] == ("50,9", "11,5") and "Stationsliste" not in places


def test_a_column_of_flags_is_named_and_what_is_good_has_to_be_said(loggers):
    archive = archive_at(str(loggers))
    assert {row["quality"] for row in rows_of(archive)} == {"flag"}
    assert archive.to_complete == (
        "latitude and longitude of st02",
        "depth_from_m and depth_to_m of sm_10, sm_30",
        "good: which values of flag are good, separated by |",
        "utc_offset_hours, unless the clocks are UTC (an empty one is taken for it)",
    )


def test_flags_of_one_sensor_carry_its_name(loggers):
    for path in loggers.glob("*.csv"):
        path.write_text("time,vwc_5cm,vwc_5cm_qc,vwc_20cm,vwc_20cm_qc\n2018-01-01,0.3,G,0.3,G\n")
    assert {(row["value"], row["quality"]) for row in rows_of(archive_at(str(loggers)))} == {
        ("vwc_5cm", "vwc_5cm_qc"), ("vwc_20cm", "vwc_20cm_qc")
    }  # fmt: skip


def test_a_flag_of_one_sensor_is_not_that_of_another(loggers):
    for path in loggers.glob("*.csv"):
        path.write_text("time,vwc_5cm,vwc_5cm_qc,vwc_20cm\n2018-01-01,0.3,G,0.3\n")
    assert {(row["value"], row["quality"]) for row in rows_of(archive_at(str(loggers)))} == {
        ("vwc_5cm", "vwc_5cm_qc"), ("vwc_20cm", "")
    }  # fmt: skip


def test_files_of_loggers_and_gzipped_ones_are_drafted(loggers):
    for path in loggers.glob("*.csv"):
        path.unlink()
    (loggers / "st01.dat").write_text(SERIES)
    (loggers / "st02_2018.CSV.gz").write_bytes(gzip.compress(SERIES.encode()))
    rows = rows_of(archive_at(str(loggers)))
    assert [(row["station"], row["file"]) for row in rows[::2]] == [("st01", "st01.dat"), ("st02", "st02_2018.CSV.gz")]


def test_a_table_that_was_not_completed_says_again_what_it_lacks(loggers):
    drafted = archive_at(str(loggers))
    (loggers / "stations.csv").write_text(drafted.table)
    again = archive_at(str(loggers))
    assert again.url == f"{loggers}/stations.csv" and not again.table
    assert again.to_complete == drafted.to_complete


def test_places_alone_are_no_stations_to_learn_from(loggers):
    archive = archive_at(str(loggers.parent))
    assert archive.note == "3 files of own stations"
    assert rows_of(archive)[0]["file"] == "loggers/st01_2017-2019.csv"


def test_a_file_without_columns_is_named(loggers):
    (loggers / "notes.txt").write_text("hello\n")
    with pytest.raises(InsituError, match=r"notes\.txt: no line has names of columns.*take the file out"):
        archive_at(str(loggers))
