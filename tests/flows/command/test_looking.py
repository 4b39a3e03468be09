"""`somo check` and `somo inspect` on small files: every problem at once, and a table that reads the file as it is."""

import numpy as np
import pytest
import xarray as xr

import somo.forcing.formats  # noqa: F401  (its pyproj must come before ecCodes)
from flows.command.cli import main
from tests.forcing.formats.test_grib import message
from tests.insitu.made import header_values, stm_name, write_folder, write_zip

DECLARATION = """
name = "looked-at"
[period]
start = 2020-02-01
end = 2020-03-31
[grid]
kind = "regular"
west = 11.0
east = 11.4
south = 50.6
north = 50.9
step_deg = 0.1
[forcing.air_temperature]
url = "FOLDER/t2m.nc"
variable = "t2m"
units = "K"
REGRID
[forcing.precipitation]
url = "FOLDER/RAIN"
variable = "tp"
units = "mm"
kind = "accumulated"
[static.sand]
url = "FOLDER/sand.nc"
variable = "sand"
units = "percent"
within_cell = "mean"
MISSING
[[insitu]]
name = "X"
url = "FOLDER/ARCHIVE"
[targets]
scaling = "none"
[network]
hidden = 8
[sequence]
lookback = 10
predict_last_n = 30
"""
NODES = np.round(50.9 - 0.1 * np.arange(5), 6), np.round(11.0 + 0.1 * np.arange(6), 6)
CENTRES = np.round(50.85 - 0.1 * np.arange(3), 6), np.round(11.05 + 0.1 * np.arange(4), 6)
DAYS = np.arange("2020-01-20", "2020-04-02", dtype="datetime64[D]").astype("datetime64[ns]")


def field(name, axes, values, units, **attrs):
    coordinates = {
        "lat": ("lat", axes[0], {"units": "degrees_north"}), "lon": ("lon", axes[1], {"units": "degrees_east"})
    }  # fmt: skip
    dims = ("time", "lat", "lon")[-values.ndim :]
    ds = xr.Dataset({name: (dims, values.astype("float32"), {"units": units, **attrs})}, coordinates)
    return ds.assign_coords(time=DAYS) if values.ndim == 3 else ds


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    temperature = rng.uniform(270, 290, (len(DAYS), 5, 6))
    field("t2m", NODES, temperature, "K", cell_methods="time: mean").to_netcdf(tmp_path / "t2m.nc", engine="h5netcdf")
    rain = rng.uniform(0, 5, (len(DAYS), 3, 4))
    rain[:, 0, :2] = np.nan
    field("tp", CENTRES, rain, "mm").to_netcdf(tmp_path / "tp.nc", engine="h5netcdf")
    sand = rng.uniform(10, 70, (50, 60))
    sand[0, 0] = sand[20, 20] = -9999
    axes = np.round(50.995 - 0.01 * np.arange(50), 6), np.round(10.905 + 0.01 * np.arange(60), 6)
    ds = field("sand", axes, sand, "%")
    ds.to_netcdf(tmp_path / "sand.nc", engine="h5netcdf", encoding={"sand": {"_FillValue": None}})
    write_zip(tmp_path / "x.zip", {stm_name("NET", "S1", (0.05, 0.05), "P", "1_2"): header_values([])})
    return tmp_path


def run(arguments):
    """The command, which must end well."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0


def declared(folder, regrid="", rain="none.nc", missing="", archive="none.zip"):
    text = DECLARATION.replace("FOLDER", str(folder)).replace("REGRID", regrid).replace("MISSING", missing)
    path = folder / "product.toml"
    path.write_text(text.replace("RAIN", rain).replace("ARCHIVE", archive))
    return str(path)


def test_check_tells_every_problem_at_once(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["check", declared(folder)])
    told = capsys.readouterr()
    assert ended.value.code == 1
    assert told.out.count("PROBLEM") == 4
    for words in ('air_temperature.regrid = "bilinear"', "none.nc: no such file", "sand.missing = [-9999]", "none.zip"):
        assert words in told.out
    assert "problems in 4 tables" in told.err


def test_check_says_how_files_come_onto_days_units_and_cells(folder, capsys):
    run(["check", declared(folder, 'regrid = "bilinear"', "tp.nc", "missing = [-9999]", "x.zip")])
    told = capsys.readouterr().out
    assert "PROBLEM" not in told
    for words in (
        "2020-01-20 to 2020-04-01, 1 step a day, mean", "mm become mm d-1", "5 x 6 nodes (regular) onto 3 x 4 cells",
        "to read: ", "50 x 60 nodes (regular), mean within each cell",
        "every cell has a value on 2020-02-", "2 of 12 cells have no value on 2020-02-",
    ):  # fmt: skip
        assert words in told


def test_check_looks_into_archives_of_every_kind(folder, capsys):
    """A table of own stations declared as an ISMN archive, the default, was said to be there."""
    write_folder(folder, {"stations.csv": "station\n", "empty/notes.md": "none"})
    (folder / "broken.zip").write_bytes(b"PK\x03\x04")
    for archive, words in (
        ("stations.csv", 'a table of own stations needs format = "table"'),
        ("empty", "no soil-moisture files"),
        ("broken.zip", "not a readable zip"),
    ):
        with pytest.raises(SystemExit):
            main(["check", declared(folder, archive=archive)])
        assert words in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["check", declared(folder, archive="x.zip")])
    assert "1 sensor by the names of files in" in capsys.readouterr().out


def test_check_finds_what_a_run_would_end_at_only_after_its_forcing(folder, capsys):
    """A feature that ends within the grid, and a product without an end whose climatology would have none."""
    with xr.open_dataset(folder / "sand.nc", engine="h5netcdf") as whole:
        whole.isel(lat=slice(0, 33)).load().to_netcdf(folder / "short.nc", engine="h5netcdf")
    path = declared(folder, 'regrid = "bilinear"', "tp.nc", "missing = [-9999]", "x.zip")
    text = (folder / "product.toml").read_text().replace("sand.nc", "short.nc")
    (folder / "product.toml").write_text(text.replace("end = 2020-03-31\n", ""))
    with pytest.raises(SystemExit):
        main(["check", path])
    told = capsys.readouterr().out
    assert "the product has no period.end, and then needs a training.period with an end" in told
    # The northern two cells in the west have no rain.
    assert "missing at 4 of 10 cells with forcing, first at 50.65 N, 11.05 E: no file reaches it of " in told
    assert told.count("PROBLEM") == 2


OWN_TABLE = """station,latitude,longitude,file,time,value,depth_from_m,depth_to_m,units,utc_offset_hours,quality,good
Good,50.75,11.2,hill.csv,time,swc,0.05,0.05,%,,,
Far,51.9,11.2,hill.csv,time,swc,0.05,0.05,%,,,
MISTAKE
"""


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("Turned,11.2,50.75,hill.csv,time,swc,0.05,0.05,%,,,", "11.2 N, 50.75 E; latitude and longitude swapped?"),
        ("Deep,50.75,11.2,hill.csv,time,swc,5,5,%,,,", "depth lies in no layer: 5-5 m; did you mean cm? 0.05-0.05 m"),
        ("Lost,50.75,11.2,lost.csv,time,swc,0.05,0.05,%,,,", "file 'lost.csv': no such file beside the table"),
        ("Empty,,11.2,hill.csv,time,swc,0.05,0.05,%,,,", "latitude is empty; write it as 50.91, in degrees"),
        (
            "Share,50.75,11.2,hill.csv,time,share,0.05,0.05,%,,,",
            "units are %, and the highest value of 'share' is 0.298",
        ),
    ],
)
def test_check_reads_a_table_of_own_stations_as_sensors_does(folder, capsys, mistake, words):
    days = np.datetime_as_string(np.arange("2020-02-01", "2020-04-01", dtype="datetime64[D]"))
    lines = "".join(f"{day},{20 + number / 10:.1f},{0.2 + number / 600:.3f}\n" for number, day in enumerate(days))
    (folder / "hill.csv").write_text(f"time,swc,share\n{lines}")
    (folder / "own.csv").write_text(OWN_TABLE.replace("MISTAKE", mistake))
    path = declared(folder, 'regrid = "bilinear"', "tp.nc", "missing = [-9999]", 'own.csv"\nformat = "table')
    text = (folder / "product.toml").read_text()
    (folder / "product.toml").write_text(text.replace('scaling = "none"', 'scaling = "none"\nmin_days = 30'))
    with pytest.raises(SystemExit):
        main(["check", path])
    told = capsys.readouterr().out
    assert "3 sensors in the table" in told and "1 would be used" in told and told.count("PROBLEM") == 1
    assert words in told and "X, Far, swc: outside every domain's grid: 51.9 N, 11.2 E" in told


def test_inspect_prints_what_a_file_holds_and_a_table_to_paste(folder, capsys):
    run(["inspect", f"{folder}/t2m.nc", f"{folder}/sand.nc"])
    told = capsys.readouterr().out
    for words in (
        "t2m.nc: hdf5", "5 latitudes 50.9..50.5 by 0.1",
        "73 times 2020-01-20T00:00 to 2020-04-01T00:00, every 24 hours",
        "era5-land.t2m", 'kind = "mean"', "[static.NAME]",
    ):  # fmt: skip
        assert words in told


def test_inspect_prints_a_table_under_the_name_that_init_would_give_it(folder, capsys):
    run(["inspect", f"{folder}/t2m.nc", f"{folder}/tp.nc"])
    told = capsys.readouterr().out
    assert "[forcing.air_temperature]" in told and "[forcing.precipitation]" in told


def test_inspect_describes_grib(folder, capsys):
    (folder / "t2m.grib").write_bytes(b"".join(message(np.full((4, 5), 280.0), hour=hour) for hour in (0, 6, 12)))
    run(["inspect", f"{folder}/t2m.grib"])
    told = capsys.readouterr().out
    for words in ("t2m.grib: grib", "2t (time = 3, y = 4, x = 5) float32, units K", 'frequency = "sub-daily"'):
        assert words in told


def test_inspect_sees_the_step_of_files_that_hold_one_each(folder, capsys):
    with xr.open_dataset(folder / "t2m.nc") as ds:
        for hour in (0, 3):
            step = ds.isel(time=[0]).load().assign_coords(time=[DAYS[0] + np.timedelta64(hour, "h")])
            step.to_netcdf(folder / f"step_{hour:02d}.nc", engine="h5netcdf")
    run(["inspect", f"{folder}/step_*.nc"])
    told = capsys.readouterr().out
    assert "1 time 2020-01-20T00:00, every 3 hours from file to file" in told and 'frequency = "sub-daily"' in told


def test_inspect_prints_a_table_for_one_choice_of_further_dimensions(folder, capsys):
    with xr.open_dataset(folder / "t2m.nc") as ds:
        deep = ds.load().expand_dims(member=["a", "b"], level=[0.07, 0.28])
    deep.to_netcdf(folder / "deep.nc", engine="h5netcdf")
    run(["inspect", f"{folder}/deep.nc"])
    told = capsys.readouterr().out
    assert "choose one: select = { member = 'a' }" in told
    assert "| select = { member = 'a', level = 0.07 }  # or another choice" in told


def test_inspect_says_what_is_no_data(folder, capsys):
    (folder / "page.nc").write_text("<html><title>Log in</title></html>")
    with pytest.raises(SystemExit):
        main(["inspect", f"{folder}/page.nc"])
    assert "is an HTML page (Log in)" in capsys.readouterr().err
