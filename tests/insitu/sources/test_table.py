"""Own stations: a table with a row a sensor, files of several providers in their own structure, and what is wrong."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.sensor import Sensor
from somo.insitu.sources.clocks import to_utc
from somo.insitu.sources.columns import HEADERLESS, read_columns
from somo.insitu.sources.table import list_recordings
from somo.insitu.sources.table_series import Columns, read_series
from tests.insitu.made import read_sensors, write_folder

HEAD = "station,latitude,longitude,file,time,value,depth_from_m,depth_to_m,units,utc_offset_hours,quality,good\n"


def one(folder: Path, row: str, files: dict[str, str | bytes]) -> Sensor:
    write_folder(folder, {"stations.csv": HEAD + row + "\n", **files})
    (sensor,) = read_sensors(str(folder / "stations.csv"), "table")
    return sensor


def test_half_hourly_fluxnet(tmp_path: Path) -> None:
    """One hour ahead of UTC, in percent, gap-filled values left out by their quality, -9999 where there is none."""
    rows = [
        "201801010000,201801010030,25.0,0,3.0", "201801010030,201801010100,26.0,1,3.0",
        "201801010100,201801010130,27.0,2,3.0", "201801010130,201801010200,-9999,-9999,3.0",
    ]  # fmt: skip
    text = "TIMESTAMP_START,TIMESTAMP_END,SWC_F_MDS_1,SWC_F_MDS_1_QC,TA_F\n" + "\n".join(rows) + "\n"
    row = "DE-Hai,51.0792,10.4522,FLX_HH.csv,TIMESTAMP_START,SWC_F_MDS_1,0.05,0.05,%,1,SWC_F_MDS_1_QC,0|1"
    sensor = one(tmp_path, row, {"FLX_HH.csv": text})
    assert (sensor.network, sensor.station, sensor.name) == ("archive", "DE-Hai", "SWC_F_MDS_1")
    assert sensor.time[:2].tolist() == [np.datetime64(f"2017-12-31T23:{m}:00", "ns").item() for m in ("00", "30")]
    np.testing.assert_allclose(sensor.value[:3], [0.25, 0.26, 0.27], rtol=1e-15)
    assert sensor.good.tolist() == [True, True, False, False] and sensor.value[3] < 0


def test_daily_fluxnet_stays_on_its_day(tmp_path: Path) -> None:
    """The mean of a local day goes to the UTC day that has most of it; quality is a share between 0 and 1."""
    text = "TIMESTAMP,SWC_F_MDS_1,SWC_F_MDS_1_QC\n20180101,25.0,1\n20180102,26.0,0.979\n20180103,27.0,1.0\n"
    for offset, shift in ((1, 0), (-9, 0), (13, -1), ("", 0)):
        row = f"A,51,10,d.csv,TIMESTAMP,SWC_F_MDS_1,0.05,0.05,%,{offset},SWC_F_MDS_1_QC,1"
        sensor = one(tmp_path / str(offset), row, {"d.csv": text})
        assert (sensor.time == np.datetime64("2018-01-01") + (shift + np.arange(3)).astype("m8[D]")).all()
        assert sensor.good.tolist() == [True, False, True]


def test_dates_whose_clock_is_in_another_column_are_refused(tmp_path: Path) -> None:
    """Read as daily values, each day would keep one of its hours; an hour that stands twice in autumn is usual."""
    hours = pd.date_range("2018-01-01", periods=72, freq="h")
    text = "".join(f"{t:%d.%m.%Y;%H:%M};{0.2 + i / 1000:.3f}\n" for i, t in enumerate(hours))
    files = {"d.csv": f"Datum;Uhrzeit;SWC\n{text}"}
    with pytest.raises(
        SensorError, match=r"3 of 3 times .* such as '01\.01\.2018' with 24; if .* write time as Datum\+THAT_COLUMN"
    ):
        one(tmp_path / "one", "A,51,10,d.csv,Datum,SWC,0.05,0.05,,,,", files)
    assert len(one(tmp_path / "two", "A,51,10,d.csv,Datum+Uhrzeit,SWC,0.05,0.05,,,,", files).value) == 72
    again = {"d.csv": f"Datum;Uhrzeit;SWC\n{text}03.01.2018;23:00;0.3\n"}
    assert len(one(tmp_path / "three", "A,51,10,d.csv,Datum+Uhrzeit,SWC,0.05,0.05,,,,", again).value) == 73


def test_sensors_one_below_the_other_are_refused(tmp_path: Path) -> None:
    """Of equal times one value counts; where quality chooses among them there is one."""
    text = "t,depth,v\n" + "".join(f"2018-01-0{d},{cm},0.{d}{cm}\n" for d in range(1, 6) for cm in (10, 30))
    with pytest.raises(SensorError, match="if several sensors stand one below the other, give each a file of its own"):
        one(tmp_path / "all", "A,51,10,d.csv,t,v,0.1,0.1,,,,", {"d.csv": text})
    chosen = one(tmp_path / "one", "A,51,10,d.csv,t,v,0.1,0.1,,,depth,30", {"d.csv": text})
    assert not chosen.problem and chosen.value[chosen.good].tolist() == [0.13, 0.23, 0.33, 0.43, 0.53]


def test_files_in_the_zip_they_were_downloaded_in(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "FLX_DE-Hai.zip", "w") as archive:
        archive.writestr("FLX_DE-Hai_DD.csv", "TIMESTAMP,SWC\n20180101,25\n")
    sensor = one(tmp_path, "A,51,10,FLX_DE-Hai.zip/FLX_DE-Hai_DD.csv,TIMESTAMP,SWC,0.05,0.05,%,,,", {})
    assert sensor.value.tolist() == [0.25]


def uscrn(year: int, values: list[float]) -> str:
    """Daily files of the USCRN have no names of columns and are cut by white space."""
    line = "03061 {day}  2.622 -103.16   31.62    16.5    -1.7     7.4     6.4     0.0    14.09 C    25.1    -6.2"
    line += "     5.8    68.1    14.1    36.3 {value:7.3f}  -99.000  -99.000   0.111 -99.000     5.7"
    line += " -9999.0 -9999.0 -9999.0 -9999.0"
    return "".join(line.format(day=f"{year}01{d + 1:02d}", value=v) + "\n" for d, v in enumerate(values))


def test_daily_uscrn_one_file_a_year(tmp_path: Path) -> None:
    files = {f"CRND0103-{y}-TX_Monahans_6_ENE.txt": uscrn(y, [0.101, -99.0]) for y in (2018, 2019)}
    for number, (time, value) in enumerate((("LST_DATE", "SOIL_MOISTURE_5_DAILY"), ("2", "19"))):
        row = f"Monahans,31.62,-102.81,CRND0103-*-TX_Monahans_6_ENE.txt,{time},{value},0.05,0.05,m3 m-3,-6,,"
        sensor = one(tmp_path / str(number), row, files)
        days = sorted(zip(sensor.time.astype("M8[D]").astype(str), sensor.value.tolist(), strict=True))
        assert days == [("2018-01-01", 0.101), ("2018-01-02", -99.0), ("2019-01-01", 0.101), ("2019-01-02", -99.0)]


def test_hourly_uscrn_has_its_time_in_two_columns(tmp_path: Path) -> None:
    tokens = ["x"] * len(HEADERLESS[38])
    tokens[1], tokens[2], tokens[28] = "20180101", "0100", "0.250"
    row = "A,31.62,-102.81,h.txt,UTC_DATE+UTC_TIME,SOIL_MOISTURE_5,0.05,0.05,,,,"
    sensor = one(tmp_path, row, {"h.txt": " ".join(tokens) + "\n"})
    assert sensor.time.tolist() == [np.datetime64("2018-01-01T01:00", "ns").item()] and sensor.value.tolist() == [0.25]


def test_a_loggers_file_with_notes_above_and_units_below_the_names(tmp_path: Path) -> None:
    text = '"TOA5","logger"\n"TIMESTAMP","RECORD","VWC_Avg"\n"TS","RN","m^3/m^3"\n"","","Avg"\n'
    text += '"2018-01-01 00:00:00",1,0.25\n"2018-01-01 01:00:00",2,0.26\n'
    sensor = one(tmp_path, "A,51,10,l.dat,TIMESTAMP,VWC_Avg,0.05,0.1,m^3/m^3,,,", {"l.dat": text})
    assert sensor.value.tolist() == [0.25, 0.26] and not sensor.note and sensor.depth_to_m == 0.1


def test_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    text = "Datum;Zeit;Feuchte\n31.12.2018;23:00;25,5\n01.01.2019;00:00;26\nkaputt;;\n"
    sensor = one(tmp_path, "A,51,10,d.csv,Datum+Zeit,Feuchte,0.05,0.05,Vol.%,1,,", {"d.csv": text.encode("utf-8-sig")})
    np.testing.assert_allclose(sensor.value, [0.255, 0.26])
    assert sensor.time[0] == np.datetime64("2018-12-31T22:00")


def test_parquet_throughout(tmp_path: Path) -> None:
    time = pd.date_range("2018-01-01", periods=3, freq="h", tz="Europe/Berlin")
    pd.DataFrame({"t": time, "v": [0.1, 0.2, 0.3], "q": [0, 1, 2]}).to_parquet(tmp_path / "s.parquet")
    cells = ["A", 51.0, 10.0, "s.parquet", "t", "v", 0.05, 0.05, "", None, "q", "0|1"]
    row = dict(zip(HEAD.strip().split(","), cells, strict=True))
    pd.DataFrame([row]).to_parquet(tmp_path / "stations.parquet")
    (sensor,) = read_sensors(str(tmp_path / "stations.parquet"), "table")
    assert sensor.time[0] == np.datetime64("2017-12-31T23:00") and sensor.good.tolist() == [True, True, False]
    assert sensor.value.tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"file": "no.csv"}, "file 'no.csv': no such file beside the table"),
        ({"file": "../d.csv"}, "file '../d.csv' lies outside of the table's folder; put it beside the table"),
        ({"file": "/etc/passwd"}, "lies outside of the table's folder"),
        ({"file": "s3://bucket/x.csv"}, "lies outside of the table's folder"),
        ({"latitude": "N51"}, "latitude 'N51' is no number; write it as 50.91, in degrees"),
        ({"depth_from_m": "5 cm"}, "depth_from_m '5 cm' is no number; write it as 0.05, in metres"),
        ({"utc_offset_hours": "UTC+1"}, "utc_offset_hours 'UTC+1' is no number; write it as -6 or 5.5, in hours"),
        ({"latitude": "151"}, "latitude 151 is not between -90 and 90"),
        ({"depth_from_m": "-0.05"}, "depth -0.05 m lies above the surface; depths are metres below it"),
        ({"units": "mm"}, "units 'mm' are unknown; write m3 m-3 or %"),
        ({"good": "1"}, "good is '1' and quality is empty; give both"),
        ({"value": ""}, "value is empty; name the column of the values"),
        (
            {"latitude": "", "longitude": " ", "file": "", "depth_from_m": ""},
            "latitude is empty; write it as 50.91, in degrees; longitude is empty; write it as 50.91, in degrees; file "
            "is empty; name the file beside the table; depth_from_m is empty; write it as 0.05, in metres",
        ),
    ],
)
def test_a_row_that_makes_no_sense_says_why(tmp_path: Path, change: dict[str, str], problem: str) -> None:
    columns, cells = HEAD.strip().split(","), ["A", "51", "10", "d.csv", "t", "v", "0.05", "0.05"]
    row = dict.fromkeys(columns, "") | dict(zip(columns[:8], cells, strict=True)) | change
    files = {"stations.csv": HEAD + ",".join(row.values()) + "\n", "d.csv": "t,v\n2018-01-01,0.2\n"}
    (recording,) = list_recordings(write_folder(tmp_path, files) + "/stations.csv", "own")
    assert problem in recording.problem and (recording.network, recording.station) == ("own", "A")


@pytest.mark.parametrize(
    ("row", "text", "problem"),
    [
        ("A,51,10,d.csv,t,soil,0.05,0.05,,,,", "t,v\n2018-01-01,0.2\n", "d.csv: no column 'soil'; there are t, v"),
        ("A,51,10,d.csv,t,v,0.05,0.05,,1,,", "t,v\n2018-01-01T00:00+01:00,0.2\n", "times name their zone"),
        ("A,51,10,d.csv,t,v,0.05,0.05,,,,", "t,v\n1/2/2018,0.2\n", "day or month first?"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, row: str, text: str, problem: str) -> None:
    with pytest.raises(SensorError) as refused:
        one(tmp_path, row, {"d.csv": text})
    assert problem in str(refused.value)


def test_lines_below_the_names_are_named_where_there_is_nothing_else(tmp_path: Path) -> None:
    sensor = one(tmp_path, "A,51,10,d.csv,t,v,0.05,0.05,,,,", {"d.csv": "t,v\nTS,%\n,Avg\n"})
    assert sensor.problem == "file has no data; d.csv: 2 rows have no time that can be read, such as ''"


def test_a_table_without_its_columns_or_rows_is_refused(tmp_path: Path) -> None:
    url = write_folder(tmp_path, {"a.csv": "name,lat\nA,51\n", "b.csv": HEAD}) + "/"
    with pytest.raises(
        InsituError,
        match=r"a\.csv: no column 'station'; .* 'latitude', .*'depth_from_m' too are missing; a table of own stations",
    ):
        list_recordings(url + "a.csv", "own")
    with pytest.raises(InsituError, match=r"b\.csv: the table has no row; give one row a sensor"):
        list_recordings(url + "b.csv", "own")
    with pytest.raises(InsituError, match=r"c\.csv: no such table .*check the url under \[\[insitu\]\]"):
        list_recordings(url + "c.csv", "own")


def test_a_row_that_lacks_its_station_is_listed(tmp_path: Path) -> None:
    """As where a station is named once for all its sensors; lines of separators alone are nothing."""
    rows = "A,51,10,d.csv,t,v,0.05,0.05,,,,\n,51,10,d.csv,t,v,0.2,0.2,,,,\n ,,,,,,,,,,,\n,,,,,,,,,,,\n"
    files = {"stations.csv": HEAD + rows, "d.csv": "t,v\n2018-01-01,0.2\n"}
    named, nameless = list_recordings(write_folder(tmp_path, files) + "/stations.csv", "own")
    assert not named.problem and nameless.problem == "station is empty; name it"


@pytest.mark.parametrize(
    ("column", "written"), [("units", "Unit"), ("utc_offset_hours", "UTC offset"), ("quality", "quality_flag")]
)
def test_a_misspelt_column_is_not_passed_by(tmp_path: Path, column: str, written: str) -> None:
    """Without it the clock would be hours off, or bad values good. A remark is no column of the table."""
    row = "A,51,10,d.csv,t,v,0.05,0.05,%,1,q,0,clay\n"
    head = HEAD.replace("\n", ",depth remark\n")
    url = write_folder(tmp_path, {"stations.csv": head + row, "d.csv": "t,v,q\n2018-01-01,20,0\n"}) + "/stations.csv"
    assert not list_recordings(url, "own")[0].problem
    write_folder(tmp_path, {"stations.csv": head.replace(column, written) + row})
    with pytest.raises(InsituError, match=rf"column '{written}' is none of the table.*if {column} is meant, rename"):
        list_recordings(url, "own")


def test_the_folder_of_a_table_is_no_table(tmp_path: Path) -> None:
    url = write_folder(tmp_path, {"stations.csv": HEAD})
    with pytest.raises(InsituError, match=r"is a folder; name the table of stations in it, as .*/stations\.csv"):
        list_recordings(url, "own")


def test_a_changed_file_or_column_changes_the_key(tmp_path: Path) -> None:
    row, files = "A,51,10,d.csv,t,v,0.05,0.05,,,,", {"d.csv": "t,v\n2018-01-01,0.2\n"}
    url = write_folder(tmp_path, {"stations.csv": HEAD + row, **files}) + "/stations.csv"
    keys = [list_recordings(url, "own")[0].key]
    write_folder(tmp_path, {"d.csv": "t,v\n2018-01-01,0.25\n"})
    keys.append(list_recordings(url, "own")[0].key)
    write_folder(tmp_path, {"stations.csv": HEAD + row.replace(",,,,", ",%,,,")})
    keys.append(list_recordings(url, "own")[0].key)
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        (["2018-01-01 00:30", "2018-01-01 01:30"], "2017-12-31T23:30"),
        (["2018/01/01 00:30:00", "2018/01/01 01:30:00"], "2017-12-31T23:30"),
        (["201801010030", "201801010130"], "2017-12-31T23:30"),
        (["20180101003000", "20180101013000"], "2017-12-31T23:30"),
        (["31.12.2018 12:00", "31.12.2018 13:00"], "2018-12-31T11:00"),
        (["12/31/2018 12:00", "12/31/2018 13:00"], "2018-12-31T11:00"),
        (["01.02.18 12:00", "01.02.18 13:00"], "2018-02-01T11:00"),
        (["01.02.98 12:00", "01.02.98 13:00"], "1998-02-01T11:00"),
        (["2018-01-01", "2018-01-02"], "2018-01-01T00:00"),
        (["2018-01-01 12:00", "2018-01-02 12:00"], "2018-01-01T00:00"),
        (["20180101", "20180102"], "2018-01-01T00:00"),
        (["31.12.2018", "01.01.2019"], "2018-12-31T00:00"),
    ],
)
def test_times_as_they_are_written_one_hour_ahead(written: list[str], utc: str) -> None:
    assert to_utc(pd.Series(written), 1)[0] == np.datetime64(utc)


def test_columns_are_found_below_notes_and_told_when_missing() -> None:
    data = b"# Site: X\n# Version: 12-5\nTIMESTAMP_START,SWC_1_1_1\n201801010000,21.5\n"
    assert read_columns(data, ["SWC_1_1_1"])["SWC_1_1_1"].tolist() == ["21.5"]
    with pytest.raises(SensorError, match="file has no data"):
        read_columns(b"", ["a"])


def test_the_tables_of_the_guide_are_read(tmp_path: Path) -> None:
    """Every table of docs/stations.md, and the CSV beside the first one."""
    guide = (Path(__file__).parents[3] / "docs" / "stations.md").read_text()
    blocks = re.findall(r"```text\n(.*?)```", guide, re.DOTALL)
    tables = [block for block in blocks if block.startswith("station,")]
    assert len(tables) == 3
    for number, table in enumerate(tables):
        folder = tmp_path / str(number)
        for row in table.splitlines()[1:]:
            write_folder(folder, {row.split(",")[3].replace("*", "2018"): blocks[1]})
        recordings = list_recordings(write_folder(folder, {"stations.csv": table}) + "/stations.csv", "own")
        assert len(recordings) == len(table.splitlines()) - 1 and not [r.problem for r in recordings if r.problem]
    first, second = read_sensors(str(tmp_path / "0" / "stations.csv"), "table")
    np.testing.assert_allclose(first.value, [0.312, 0.311])
    assert second.depth_from_m == 0.2 and first.time[0] == np.datetime64("2017-12-31T23:00")


@pytest.mark.parametrize("written", ["1514764800", "1514764800000"])
def test_seconds_and_milliseconds_since_1970_are_utc(written: str) -> None:
    assert to_utc(pd.Series([written, str(int(written) + 3_600_000)]), None)[0] == np.datetime64("2018-01-01T00:00")


def test_years_of_two_digits_without_dots_are_refused() -> None:
    with pytest.raises(SensorError, match="years of two digits"):
        to_utc(pd.Series(["01/02/18 12:00"]), None)


def test_days_counted_by_a_spreadsheet_are_no_times() -> None:
    data = b"time,v\n" + b"".join(b"%.4f,0.2\n" % (43101 + hour / 24) for hour in range(9))
    with pytest.raises(SensorError, match=r"'time' holds no time that can be read, such as '43101\.3333'"):
        read_series(data, Columns("time", "v"))


def test_times_that_are_an_index_of_pandas_are_a_column(tmp_path: Path) -> None:
    index = pd.date_range("2018-01-01", periods=3, freq="h", name="t")
    pd.DataFrame({"v": [0.1, 0.2, 0.3]}, index=index).to_parquet(tmp_path / "s.parquet")
    time, value, _, _ = read_series((tmp_path / "s.parquet").read_bytes(), Columns("t", "v"))
    assert time[0] == np.datetime64("2018-01-01") and value.tolist() == [0.1, 0.2, 0.3]


def test_a_table_with_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    head = HEAD.replace(",", ";")
    files = {"stations.csv": head + "A;51,05;10,5;s.csv;t;v;0,05;0,05;%;;;\n", "s.csv": "t;v\n2018-01-01 00:00;31,5\n"}
    (recording,) = list_recordings(write_folder(tmp_path, files) + "/stations.csv", "own")
    assert (recording.place, recording.depth_m, recording.problem) == ((51.05, 10.5), (0.05, 0.05), "")
