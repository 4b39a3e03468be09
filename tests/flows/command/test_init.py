"""`somo init` on small folders: what it writes passes `somo check`, by options and by answers alike."""

import tomllib

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

from flows.command.cli import app, main
from flows.command.init import absolute

TENTHS = np.round(50.9 - 0.1 * np.arange(6), 6), np.round(11.0 + 0.1 * np.arange(7), 6)
HALVES = np.round(50.85 - 0.1 * np.arange(5), 6), np.round(11.05 + 0.1 * np.arange(6), 6)
HOURS = pd.date_range("2018-04-01", "2018-08-31 23:00", freq="h")
WETNESS = 0.3 + 0.05 * np.sin(np.arange(len(HOURS)) / 50)
STATIONS = {
    "hill": "time,latitude,longitude,swc_5cm,swc_20cm\n"
    + "".join(f"{t:%Y-%m-%d %H:%M},50.71,11.32,{w:.4f},{w + 0.02:.4f}\n" for t, w in zip(HOURS, WETNESS, strict=True)),
    "vale": "TIMESTAMP;Soil moisture 10 cm\n2018-03-31 23:00;-9999\n"
    + "".join(f"{t:%Y-%m-%d %H:%M};{100 * w:.2f}\n".replace(".", ",") for t, w in zip(HOURS, WETNESS, strict=True)),
}


def write(path, name, axes, values, times=None, **attrs):
    coordinates = {
        "lat": ("lat", axes[0], {"units": "degrees_north"}), "lon": ("lon", axes[1], {"units": "degrees_east"})
    }  # fmt: skip
    dims = ("time", "lat", "lon")[-values.ndim :]
    ds = xr.Dataset({name: (dims, values.astype("float32"), attrs)}, coordinates)
    path.parent.mkdir(exist_ok=True, parents=True)
    (ds if times is None else ds.assign_coords(time=times)).to_netcdf(path, engine="h5netcdf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two providers' forcing, a static feature on fine nodes, and stations in CSV files without a table."""
    folder = tmp_path_factory.mktemp("init")
    rng = np.random.default_rng(1)
    for month in range(1, 9):
        hours = pd.date_range(f"2018-{month:02}-01", periods=24 * pd.Period(f"2018-{month}").days_in_month, freq="h")
        for name, low, high in (("t2m", 270, 290), ("skt", 270, 295)):
            values = rng.uniform(low, high, (len(hours), 6, 7))
            write(folder / f"era5-land/{name}_2018_{month:02}.nc", name, TENTHS, values, hours, units="K")
    days = pd.date_range("2018-01-01", "2018-08-31")
    rain = rng.uniform(0, 9, (len(days), 5, 6))
    air = rng.uniform(-3, 20, (len(days), 5, 6))
    write(folder / "e-obs/tg_ens_mean_0.1deg_reg_v29.0e.nc", "tg", HALVES, air, days, units="Celsius")
    write(folder / "e-obs/rr_ens_mean_0.1deg_reg_v29.0e.nc", "rr", HALVES, rain, days, units="mm")
    fine = np.round(50.995 - 0.01 * np.arange(70), 6), np.round(10.905 + 0.01 * np.arange(90), 6)
    write(folder / "soil/sand.nc", "sand", fine, rng.uniform(10, 70, (70, 90)), units="%")
    (folder / "stations").mkdir()
    for name, text in STATIONS.items():
        (folder / f"stations/{name}.csv").write_text(text)
    return folder


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_places_are_written_from_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    places = ["../era5-land", "~/soil/*.tif", "/data/e-obs", "s3://bucket/era5"]
    assert absolute(places) == [
        f"{tmp_path.parent}/era5-land", "/home/somebody/soil/*.tif", "/data/e-obs", "s3://bucket/era5"
    ]  # fmt: skip


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """What it writes by options alone, and what it says."""
    path = tmp_path_factory.mktemp("written") / "by-options.toml"
    arguments = (
        "init", path, "--forcing", folder / "era5-land", "--forcing", folder / "e-obs", "--static", folder / "soil",
        "--insitu", folder / "stations", "--place", 50.7, 11.3,
    )  # fmt: skip
    ended = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert ended.exit_code == 0, ended.output
    return path, ended.output


def test_providers_are_recognised_and_the_rest_is_written_out(written, folder):
    path, told = written
    declared = tomllib.loads(path.read_text())
    assert path.read_text().startswith("#:schema somo.schema.json\n") and (path.parent / "somo.schema.json").exists()
    assert declared["forcing"] == {
        "air_temperature": {"like": "era5-land.t2m", "url": f"{folder}/era5-land/t2m_{{year}}_{{month}}.nc"},
        "skin_temperature": {"like": "era5-land.skt", "url": f"{folder}/era5-land/skt_{{year}}_{{month}}.nc"},
        "precipitation": {
            "like": "e-obs.rr", "url": f"{folder}/e-obs/rr_ens_mean_0.1deg_reg_v29.0e.nc", "regrid": "bilinear"
        },
    }  # fmt: skip
    assert declared["static"]["sand"]["within_cell"] == "mean"
    assert declared["targets"] == {"scaling": "pooled"}
    assert declared["insitu"][0]["name"] == "stations"
    # two stations are few
    assert declared["training"]["batch_size"] == 32
    # 243 days of forcing are no year of spin-up and a year to learn from
    assert declared["sequence"] == {"lookback": 90, "predict_last_n": 90}
    assert str(declared["period"]["start"]) == "2018-03-31"
    assert "6 x 7 cells" in told
    (left_out,) = (line for line in path.read_text().splitlines() if "e-obs/tg_ens" in line)
    assert left_out.startswith("# Not used: ") and "forcing.air_temperature is read from a place that was" in left_out


def test_a_folder_of_series_gets_a_table_whose_empty_columns_check_names(written, folder, capsys):
    path, told = written
    table = pd.read_csv(folder / "stations/stations.csv", dtype=str, keep_default_na=False)
    assert list(table["value"]) == ["swc_5cm", "swc_20cm", "Soil moisture 10 cm"]
    assert list(table["time"]) == ["time", "time", "TIMESTAMP"]
    assert list(table["depth_from_m"]) == ["0.05", "0.2", "0.1"]
    assert list(table["units"]) == ["m3 m-3", "m3 m-3", "%"]
    assert list(table["latitude"]) == ["50.71", "50.71", ""]
    assert "to write into it: latitude and longitude of vale" in told and "utc_offset_hours, unless" in told
    assert run("check", path) == 1
    assert "Soil moisture 10 cm: cannot be used: latitude is empty" in capsys.readouterr().out.replace("\n", " ")
    table.loc[2, ["latitude", "longitude"]] = "50.6", "11.2"
    table.to_csv(folder / "stations/stations.csv", index=False)
    assert run("check", path) == 0
    assert "PROBLEM" not in capsys.readouterr().out


def test_answers_give_what_options_give(folder, tmp_path, written):
    path = tmp_path / "by-answers.toml"
    answers = [f"{folder}/era5-land '{folder}/e-obs'", f"{folder}/soil", "", f"{folder}/stations", "north",
               "50.7, 11.3", "", "tomorrow", ""]  # fmt: skip
    ended = CliRunner().invoke(app, ["init", str(path)], input="\n".join(answers) + "\n")
    assert ended.exit_code == 0, ended.output
    assert "'tomorrow' is no day" in ended.output and "give two numbers or four" in ended.output
    expected = written[0].read_text().replace("by-options", "by-answers")
    # The first of the two has written the table of stations, which the second finds.
    expected = expected.replace("# 2 files of own stations", "# a table of stations beside 2 files")
    assert path.read_text() == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--bbox", -60, -20, -50, -10), "lies outside the forcing, which covers 11 50.4 11.6 50.9"),
        (("--forcing", "FOLDER/soil"), "no field there is known as a forcing variable (there are sand)"),
        (("--insitu", "FOLDER/e-obs"), "no ISMN download"),
        (("--place", 50, 11, "--bbox", 1, 2, 3, 4), "give one of them"),
    ],
)
def test_what_cannot_be_is_told(folder, tmp_path, capsys, options, words):
    options = [str(o).replace("FOLDER", str(folder)) for o in options]
    given = ["--forcing", folder / "e-obs"] if "--forcing" not in options else []
    given += ["--insitu", folder / "stations"] if "--insitu" not in options else []
    assert run("init", tmp_path / "no.toml", *given, *options) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "no.toml").exists()


def test_a_declaration_is_not_written_over(written, folder, capsys):
    assert run("init", written[0], "--forcing", folder / "e-obs", "--insitu", folder / "stations") == 1
    assert "--force" in capsys.readouterr().err
