"""Files of a group's own in the dialects of loggers, spreadsheets and programs: read, or named as what they are."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from somo.insitu.daily import to_daily
from somo.insitu.errors import SensorError
from somo.insitu.same_sensor import join_downloads
from somo.insitu.sources import wrapped
from somo.insitu.sources.columns import read_columns
from somo.insitu.sources.table import list_recordings
from somo.insitu.sources.table_series import Columns, numbers_of, read_series
from tests.insitu.made import read_all, write_folder, write_zip
from tests.insitu.sources.test_table import HEAD, one

ROW = "A,51,10,d.csv,t,v,0.05,0.05,,,,"
PLAIN = "t,v\n2018-01-01 00:00,0.25\n2018-01-01 01:00,0.26\n"


def test_gzip_and_utf16_are_undone(tmp_path: Path) -> None:
    in_two_streams = gzip.compress(PLAIN[:30].encode()) + gzip.compress(PLAIN[30:].encode())
    for number, data in enumerate((gzip.compress(PLAIN.encode()), in_two_streams, PLAIN.encode("utf-16"))):
        assert one(tmp_path / str(number), ROW, {"d.csv": data}).value.tolist() == [0.25, 0.26]


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("d.csv"))
    return packed.getvalue()


def _zip(name: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, PLAIN)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_zip("[Content_Types].xml"), "an Excel workbook; save its sheet as CSV"),
        (_zip("d.csv"), r"a zip; name the file inside of it, as archive\.zip/file\.csv"),
        (_tar(), "packed as tar; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(99), "packed as 7z; unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "NetCDF or HDF5; write its series as CSV or Parquet"),
        (b"ARROW1\0\0" + bytes(99), "Feather; write its series as CSV or Parquet"),
        (b"SQLite format 3\0" + bytes(99), "a data base or a pickle; write its series as CSV or Parquet"),
        (b"<!DOCTYPE html>\n<html>please log in</html>", "a web page, perhaps one that asks for a login"),
        (gzip.compress(PLAIN.encode())[:-9], "its gzip is cut short; get it again"),
        (b"\x1f\x8b" + bytes(99), "its gzip is damaged"),
    ],
    # By their bytes, which hold the time of packing, processes would know the same test under different names.
    ids=["xlsx", "zip", "tar", "7z", "hdf5", "feather", "sqlite", "html", "gzip-cut", "gzip-damaged"],
)
def test_files_of_other_kinds_are_named(content: bytes, words: str) -> None:
    with pytest.raises(SensorError, match=words):
        read_columns(content, ["t", "v"])


def test_gzip_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrapped, "MOST_MEMBER_BYTES", 1000)
    with pytest.raises(SensorError, match="would inflate to more than the 1000 bytes allowed"):
        read_columns(gzip.compress(bytes(5000)), ["t", "v"])


def test_names_that_look_the_same_are_the_same() -> None:
    written = "Bodenfeuchte ü – 5 cm"
    for name, encoding in (
        (written.replace("5 cm", "5\u00a0cm"), "utf-8"),
        (written.replace("ü", "u\u0308").replace(" – ", "  – "), "utf-8"),
        (written, "cp1252"),
    ):
        assert len(read_columns(PLAIN.replace("v", name, 1).encode(encoding), ["t", written])) == 2, name
    with pytest.raises(SensorError, match=r"^no column 'Feuchte'; there are t, Feuchte 5 cm$"):
        read_columns(PLAIN.replace("v", "Feuchte 5 cm", 1).encode(), ["t", "Feuchte"])


@pytest.mark.parametrize(
    "text",
    [
        # A quotation mark in a note does not swallow the lines below it, and a control letter of Windows cuts none.
        '# probe at 4" depth\n' + PLAIN,
        b"# Wetter\x85 \xfc\n" + PLAIN.encode(),
        PLAIN.replace("t,v", "T,V"),
        PLAIN.replace("\n", ",,,\n").replace("t,v,,,", "t,v"),
        PLAIN.replace("t,v", "t,v,,"),
        PLAIN.replace(",", "\t").replace("\n", "\r\n").encode("utf-8-sig"),
    ],
)
def test_no_row_is_lost_to_what_surrounds_it(text: str | bytes) -> None:
    time, value, _, note = read_series(text if isinstance(text, bytes) else text.encode(), Columns("t", "v"))
    assert value.tolist() == [0.25, 0.26] and time[0] == np.datetime64("2018-01-01") and not note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (PLAIN.replace("0.", "0,"), r"2 of 2 rows have more values than there are names of columns \(2\); .*decimal p"),
        ('"t" "v"\n"1" "2018-01-01" 0.25\n', "1 of 1 rows have more values than there are names"),
        ("t,v,v\n2018-01-01,0.2,0.3\n", "column 'v' stands there 2 times; give each a name of its own"),
        ("t,v\n" + "2018-01-01,25 %\n" * 9, "column 'v' holds no number, such as '25 %'; write numbers alone"),
    ],
)
def test_values_that_would_be_wrong_are_refused(text: str, words: str) -> None:
    with pytest.raises(SensorError, match=words):
        read_series(text.encode(), Columns("t", "v"))


@pytest.mark.parametrize("broken", ["2018-01-01 02:00,0.3,x", "2018-01-01 02:00" + ",0.3" * 9])
def test_a_line_that_is_too_long_costs_itself_alone(broken: str) -> None:
    text = PLAIN + "".join(f"2018-01-02 0{hour}:00,0.27\n" for hour in range(9)) + "\n" * 300
    _, value, _, note = read_series(f"{text}{broken}\n".encode(), Columns("t", "v"))
    assert value.tolist() == [0.25, 0.26, *[0.27] * 9] and note.startswith("1 row has no time that can be read")


def test_cells_that_are_no_numbers_are_told_and_missing_ones_are_not() -> None:
    cells = ["0.2", "", "NaN", "NA", "-9999", "--", "****", "#N/A", "Eqp"]
    text = "t,v\n" + "".join(f"2018-01-01 0{hour}:00,{cell}\n" for hour, cell in enumerate(cells))
    assert read_series(text.encode(), Columns("t", "v"))[3] == "1 value of 'v' is no number: 'Eqp'"


@pytest.mark.parametrize(("factor", "codes"), [(0.01, "99.99 100 9999 7999"), (1.0, "0.999 1 999.9 1e20")])
def test_numbers_that_stand_for_missing_values_are_none(factor: float, codes: str) -> None:
    """99.99 % passed for soil moisture, and a single 9999 cost the sensor."""
    cells = ["0.25", *codes.split(), "0.98", "0.5"]
    text = "t,v\n" + "".join(f"2018-01-01 0{hour}:00,{cell}\n" for hour, cell in enumerate(cells))
    _, value, good, note = read_series(text.encode(), Columns("t", "v", factor=factor))
    np.testing.assert_allclose(value[good], np.array([0.25, 0.98, 0.5]) * factor)
    assert note.startswith("4 values of 'v' are") and note.endswith("and taken for missing")


def test_decimal_commas_beside_units_with_a_point() -> None:
    cells = pd.Series(["Vol.%", "25,5", "2,5e1", ",5", "26"])
    np.testing.assert_array_equal(numbers_of(cells), [np.nan, 25.5, 25, 0.5, 26])
    np.testing.assert_array_equal(numbers_of(pd.Series(pd.Categorical([0.2, 0.3, 0.2]))), [0.2, 0.3, 0.2])


def test_fractions_declared_as_percent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SensorError, match=r"units are %, and the highest value of 'v' is 0\.26 %; if it is a fraction"):
        one(tmp_path, ROW.replace(",,,,", ",%,,,"), {"d.csv": PLAIN})
    # One spike of a logger says nothing of the units of a year.
    days = pd.date_range("2018-01-01", periods=365)
    series = "t,v\n" + "".join(f"{d:%Y-%m-%d},{0.2 if number else 35}\n" for number, d in enumerate(days))
    with pytest.raises(SensorError, match=r"units are %, and the highest value of 'v' is 0\.2 %"):
        one(tmp_path, ROW.replace(",,,,", ",%,,,"), {"d.csv": series})


def test_a_year_of_fractions_among_years_of_percent_is_refused(tmp_path: Path) -> None:
    days = pd.date_range("2018-01-01", periods=730)
    years = {
        f"d_{year}.csv": "t,v\n" + "".join(f"{d:%Y-%m-%d},{level}\n" for d in days[days.year == year])
        for year, level in ((2018, 20), (2019, 0.2))
    }
    row = ROW.replace("d.csv", "d_*.csv").replace(",,,,", ",%,,,")
    with pytest.raises(SensorError, match=r"d_2019\.csv: units are %, and the highest value of 'v' is 0\.2 %"):
        one(tmp_path / "mixed", row, years)
    in_one = {"d_all.csv": years["d_2018.csv"] + years["d_2019.csv"].removeprefix("t,v\n")}
    with pytest.raises(SensorError, match=r"d_all\.csv: units are %, and the highest value of 'v' is 0\.2 %"):
        one(tmp_path / "in one", row, in_one)
    # A few days of drought are no other unit.
    dry = years | {"d_2019.csv": "t,v\n2019-01-01,0.8\n2019-02-01,0.9\n"}
    assert one(tmp_path / "dry", row, dry).value.max() == 0.2


def test_an_empty_file_costs_no_other_year(tmp_path: Path) -> None:
    row = ROW.replace("d.csv", "d_*.csv")
    sensor = one(tmp_path, row, {"d_2018.csv": PLAIN, "d_2019.csv": ""})
    assert sensor.value.tolist() == [0.25, 0.26] and sensor.note == "d_2019.csv: file has no data"
    with pytest.raises(SensorError, match=r"d_2018\.csv: file has no data"):
        one(tmp_path / "nothing", row, {"d_2018.csv": ""})


def test_qualities_are_told_where_none_is_accepted() -> None:
    note = read_series(b"t,v,q\n2018-01-01,0.2,1\n2018-01-02,0.2,1\n", Columns("t", "v", "q", good=("0",)))[3]
    assert note == "'q' has '1' (2 times); good accepts 0"


def test_a_logger_with_rows_of_other_sensors_does_not_make_a_daily_sensor_hourly(tmp_path: Path) -> None:
    times = pd.date_range("2018-01-01", periods=240, freq="h")
    text = "t,v,rain\n" + "".join(f"{t},{0.2 if t.hour == 12 else ''},0\n" for t in times)
    assert to_daily(one(tmp_path, ROW, {"d.csv": text}), "k").a_day == 1


@pytest.mark.parametrize(("file", "values"), [("H*.zip/d*.csv", 4), ("G.ZIP/d.csv", 2), ("./G.ZIP/long/d.csv", 2)])
def test_zips_beside_the_table(tmp_path: Path, file: str, values: int) -> None:
    write_zip(tmp_path / "H1.zip", {"long/d1.csv": PLAIN})
    write_zip(tmp_path / "H2.zip", {"d2.csv": PLAIN.replace("2018", "2019")})
    write_zip(tmp_path / "G.ZIP", {"long/d.csv": PLAIN})
    assert len(one(tmp_path, ROW.replace("d.csv", file), {}).value) == values


def test_patterns_mean_neither_the_table_nor_what_a_mac_leaves(tmp_path: Path) -> None:
    write_zip(tmp_path / "z.zip", {"d.csv": PLAIN, "__MACOSX/._d.csv": b"\0\5"})
    write_folder(tmp_path, {"o\u0308d.csv": PLAIN, "._d.csv": b"\0\5"})
    for pattern in ("*.csv", "z.zip/*.csv", "\u00f6d.csv"):
        assert len(one(tmp_path, ROW.replace("d.csv", pattern), {}).value) == 2, pattern


def test_a_table_in_parquet_with_numbers_that_are_missing(tmp_path: Path) -> None:
    columns = dict(zip(HEAD.strip().split(","), ROW.split(","), strict=True))
    missing = {"depth_to_m": [0.05, np.nan], "utc_offset_hours": [1.0, np.nan], "good": np.nan}
    pd.DataFrame([columns, columns]).assign(**missing).to_parquet(tmp_path / "stations.parquet")
    write_folder(tmp_path, {"d.csv": PLAIN})
    recordings = list_recordings(str(tmp_path / "stations.parquet"), "own")
    assert [(r.problem, r.details.offset_hours) for r in recordings] == [("", 1.0), ("", None)]


def test_a_broken_zip_costs_the_sensors_in_it(tmp_path: Path) -> None:
    table = f"{HEAD}{ROW}\n{ROW.replace('d.csv', 'b.zip/d.csv')}\n"
    folder = write_folder(tmp_path, {"stations.csv": table, "d.csv": PLAIN, "b.zip": "PK broken"})
    beside, broken = list_recordings(folder + "/stations.csv", "own")
    assert not beside.problem and "b.zip: not a readable zip" in broken.problem


def test_two_loggers_with_one_name_of_a_column_are_two_sensors(tmp_path: Path) -> None:
    days = pd.date_range("2018-01-01", periods=40)
    files = {"stations.csv": HEAD + "".join(ROW.replace("d.csv", f"{name}.csv") + "\n" for name in "ab")}
    for name, level in (("a", 0.2), ("b", 0.3)):
        files[f"{name}.csv"] = "t,v\n" + "".join(f"{d:%Y-%m-%d},{level}\n" for d in days)
    write_folder(tmp_path, files)
    assert len(join_downloads(read_all(str(tmp_path / "stations.csv"), "table"))) == 2


def test_a_note_that_names_the_columns_above_their_names_is_no_line_of_names() -> None:
    text = "# TIMESTAMP, SWC, both as the logger has them\n# version 2\nTIMESTAMP,RECORD,SWC\n2018-01-01 00:00,7,0.25\n"
    _, value, _, note = read_series(text.encode(), Columns("TIMESTAMP", "SWC"))
    assert value.tolist() == [0.25] and not note


def test_columns_that_change_their_places_within_a_file_are_refused() -> None:
    text = "t,temp,v\n2018-01-01 00:00,12.5,0.25\nt,temp,v\n2018-01-01 01:00,12.5,0.25\n"
    _, value, *_ = read_series(text.encode(), Columns("t", "v"))
    assert value.tolist() == [0.25, 0.25]
    text += "t,v,temp\n2018-01-01 02:00,0.25,12.5\n"
    with pytest.raises(SensorError, match="line 5 names the columns anew, in another order; cut the file"):
        read_series(text.encode(), Columns("t", "v"))


def test_a_cell_left_blank_between_columns_of_white_space_costs_its_row() -> None:
    rows = [f"201801{day:02d} {'    ' if day == 5 else '12.5'}  0.25  0.5\n" for day in range(1, 9)]
    time, value, _, note = read_series(("t        st    v     p\n" + "".join(rows)).encode(), Columns("t", "v"))
    assert value.tolist() == [0.25] * 7 and len(time) == 7
    assert "1 row has no time that can be read, such as '(fewer values than names of columns)'" in note


@pytest.mark.parametrize(
    ("clock", "rows"),
    [
        ("t", lambda t: f"{t:%Y-%m-%dT%H:%M:%SZ},501,0,0.1\n{t:%Y-%m-%dT%H:%M:%SZ},502,0,0.3\n"),
        ("t", lambda t: f"{t:%Y-%m-%d},501,{t.hour},{0.1 + t.hour / 100}\n"),
    ],
    ids=["two depths below each other", "hours in another column"],
)
def test_several_values_at_one_time_are_refused(clock: str, rows: Callable[[pd.Timestamp], str]) -> None:
    hours = pd.date_range("2018-01-01", periods=96, freq="h")
    text = "t,depth,hour,v\n" + "".join(map(rows, hours))
    with pytest.raises(SensorError, match=r"of \d+ times stand there with several values of 'v', such as '2018-01-01"):
        read_series(text.encode(), Columns(clock, "v"))


def test_a_clock_set_back_in_autumn_and_rows_written_twice_are_read() -> None:
    local = pd.date_range("2018-10-01", periods=960, freq="h", tz="Europe/Berlin").strftime("%Y-%m-%d %H:%M")
    rows = [f"{t},{0.2 + i / 1e4:.4f}\n" for i, t in enumerate(local)]
    time, *_ = read_series(("t,v\n" + "".join(rows + rows)).encode(), Columns("t", "v", offset_hours=1))
    assert len(time) == 1920 and len(np.unique(time)) == 959
