"""`somo sensors`: the table, the daily means and the map, from archives and grid alone."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from flows.command import cli
from flows.command.sensor_map import map_edges, with_rings
from flows.command.sensors import COLUMNS, printable
from flows.console import console
from somo.product.inputs import RegularGrid
from tests.insitu.made import header_values, stm_name, write_folder, write_zip

HOURS = pd.date_range("2020-01-01", periods=24 * 120, freq="h")
ROWS = [(f"{t:%Y/%m/%d %H:%M}", 0.2 + 0.001 * (t.day_of_year % 50), "G") for t in HOURS]
PRODUCT = """
name = "ours"
period = { start = 2020-01-01, end = 2020-12-31 }
grid = { kind = "regular", west = 0, east = 20, south = 45, north = 55, step_deg = 0.5 }
targets = { scaling = "pooled" }
forcing.air_temperature = { url = "nowhere/{year}.nc", variable = "t2m", units = "K" }
static.elevation = { url = "nowhere.nc", variable = "z" }
"""
ISMN = '[[insitu]]\nname = "ismn"\nurl = "net.zip"\n'
OWN = '[[insitu]]\nname = "own"\nformat = "table"\nurl = "own/stations.csv"\n'
TABLE = """station,latitude,longitude,file,time,value,depth_from_m,depth_to_m,units,utc_offset_hours,quality,good
Field,50.1,10.1,field.csv,day,swc,0.05,0.05,%,1,qc,0
Lost,50.1,10.1,lost.csv,day,swc,0.05,0.05,%,1,qc,0
"""


@pytest.fixture
def sensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `somo sensors` on a declaration in a folder with two archives; returns what it wrote on standard output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(console, "quiet", False)
    write_zip(tmp_path / "net.zip", {
        stm_name("NET", "S", (0.05, 0.05), "P", "20200101_20250101"): header_values(ROWS, station="S"),
        stm_name("NET", "S", (0.6, 0.6), "P", "20200101_20250101"): header_values(ROWS, (0.6, 0.6), station="S"),
        stm_name("[red]X", "S", (0.05, 0.05), "P", "1_2"): header_values(ROWS, network="[red]X", station="<b>\x1b[31m"),
    })  # fmt: skip
    days = pd.date_range("2020-01-01", periods=100)
    own = "day,swc,qc\n" + "".join(f"{d:%Y%m%d},{20 + 0.1 * i:.1f},0\n" for i, d in enumerate(days))
    write_folder(tmp_path / "own", {"stations.csv": TABLE, "field.csv": own})

    def run(archives: str, *arguments: object) -> str:
        (tmp_path / "product.toml").write_text(PRODUCT + archives)
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(["sensors", "product.toml", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert not ended.value.code, err
        return out + err

    return run


def test_the_table_needs_no_forcing_and_no_root(sensors: Callable[..., str], tmp_path: Path) -> None:
    said = sensors(ISMN + OWN, "-o", "s.csv", "--daily", "d.parquet", "--map", "m.png")
    table = pd.read_csv("s.csv", keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert table[["network", "kept"]].to_numpy().tolist() == [
        ["NET", True], ["NET", False], ["[red]X", True], ["own", True], ["own", False],
    ]  # fmt: skip
    assert table["reason"].tolist() == [
        "", "depth lies in no layer: 0.6-0.6 m", "", "",
        "cannot be used: file 'lost.csv': no such file beside the table; correct `file` or put it there",
    ]  # fmt: skip
    daily = pd.read_parquet("d.parquet")
    ours = daily[daily["station"] == "Field"]
    assert ours["time"].iloc[0] == pd.Timestamp("2020-01-01") and len(ours) == 100
    assert ours["value"].iloc[:3].to_numpy() == pytest.approx([0.2, 0.201, 0.202], abs=1e-15)
    assert {"archive", "network", "station", "sensor", "layer", "time", "value"} < set(daily.columns)
    assert Path("m.png").read_bytes().startswith(b"\x89PNG")
    # What a file calls itself is shown as it is, and steers no terminal.
    assert "[red]X" in said and "\x1b[31m" not in said and not Path("root").exists()


def test_without_a_file_the_table_goes_to_standard_output(sensors: Callable[..., str]) -> None:
    said = sensors(ISMN)
    assert said.startswith(",".join(COLUMNS)) and "ismn,NET,S,Probe,50.0,10.0,0.05,0.05,layer1,120,True," in said


def test_a_second_look_reads_no_file(sensors: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    first = sensors(ISMN + OWN)
    monkeypatch.setattr("somo.insitu.daily.read_recordings", lambda recordings: pytest.fail("read again"))
    monkeypatch.setattr("flows.stages.archives.keep_daily", lambda *arguments: pytest.fail("read again"))
    assert sensors(ISMN + OWN) == first


def test_an_archive_without_a_usable_sensor_is_a_warning(sensors: Callable[..., str]) -> None:
    write_zip(Path("deep.zip"), {stm_name("N", "D", (1, 1), "P", "1_2"): header_values(ROWS, (1, 1))})
    said = sensors(ISMN + ISMN.replace("ismn", "deep").replace("net.zip", "deep.zip"))
    assert "warning: deep (deep.zip): its 1 sensor cannot be used: 1 x depth lies in no layer" in said.replace(
        "\n", " "
    )


def test_a_map_of_an_unknown_kind_is_refused(tmp_path: Path, sensors: Callable[..., str]) -> None:
    with pytest.raises(AssertionError, match=r"m\.txt: a map is written as \.png, \.svg, \.pdf"):
        sensors(ISMN, "--map", "m.txt")


def test_a_map_shows_every_depth_of_a_place_and_the_grid_alone() -> None:
    table = pd.DataFrame(
        {"latitude": [50.0, 50.0, 7.0], "longitude": [7.0, 7.0, 50.0], "depth_from_m": [0.2, 0.05, 0.05]}
    )
    rings = with_rings(table)
    assert rings["depth_from_m"].tolist() == [0.05, 0.05, 0.2] and rings["ring"].tolist() == [4.0, 4.0, 7.5]
    grid = RegularGrid(kind="regular", west=0, east=20, south=45, north=55, step_deg=0.5)
    assert map_edges([grid]) == pytest.approx((-0.6, 20.6, 44.4, 55.6)) and map_edges([]) is None


def test_dropped_sensors_are_named_and_days_before_the_period_are_counted(
    sensors: Callable[..., str], tmp_path: Path
) -> None:
    days = pd.date_range("2019-12-02", periods=130)
    own = "day,swc,qc\n" + "".join(f"{d:%Y%m%d},{20 + 0.1 * i:.1f},0\n" for i, d in enumerate(days))
    write_folder(tmp_path / "own", {"field.csv": own})
    said = sensors(OWN, "-o", "s.csv").replace("\n", " ")
    assert "own: 30 of 130 daily means lie before 2020-01-01 and are not learnt from; training.period" in said
    assert "dropped: own, Lost, swc: cannot be used: file 'lost.csv': no such file" in said
    assert "all 2 sensors and their reasons: s.csv" in said


def test_the_status_is_1_where_no_sensor_can_be_used(sensors: Callable[..., str], tmp_path: Path) -> None:
    write_folder(tmp_path / "own", {"stations.csv": TABLE.replace("50.1,10.1", ",")})
    with pytest.raises(AssertionError) as failed:
        sensors(OWN)
    text = str(failed.value)
    assert "none of its 2 sensors can be used: 2 x cannot be used (Field: latitude is empty; write it as 50.91" in text
    assert "no sensor can be learnt from" in text and "check units" not in text


def test_what_would_steer_a_terminal_is_replaced() -> None:
    assert printable("a\x1b[31m\nb ä") == "a?[31m?b ä"
