"""`somo inputs`: what the network would see in the cell that holds a place."""

import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from flows.command.cli import main
from tests.forcing.conftest import Sources

TOML = """
name = "looked-at"
period = {{ start = 2003-02-01, end = 2003-03-31 }}
grid = {{ kind = "regular", west = 7.0, east = 7.5, south = 47.7, north = 48.1, step_deg = 0.1 }}
domains.west.grid = {{ kind = "regular", west = 7.0, east = 7.2, south = 47.7, north = 48.1, step_deg = 0.1 }}
insitu = [{{ name = "none", url = "none.zip" }}]
targets = {{ scaling = "none" }}
sequence = {{ lookback = 32, predict_last_n = 30 }}
[forcing]
air_temperature = {{ url = "{folder}/t2m_{{year}}.nc", variable = "t2m", units = "K" }}
[static]
warmth = {{ computed = "mean", of = "air_temperature" }}
"""


@pytest.fixture
def declared(tmp_path):
    (tmp_path / "forcing").mkdir()
    sources = Sources(tmp_path / "forcing")
    sources.write(2003)
    path = tmp_path / "looked-at.toml"
    path.write_text(TOML.format(folder=sources.folder))
    return path, sources.plain(2003)


def printed(capsys, *arguments):
    try:
        main(["inputs", *map(str, arguments)])
    except SystemExit as ended:
        assert not ended.code, capsys.readouterr().err
    return pd.read_csv(io.StringIO(capsys.readouterr().out))


def test_all_needed_days_of_the_cell(declared, capsys):
    path, plain = declared
    table = printed(capsys, path, 47.93, 7.27)
    assert table.columns.tolist() == ["time", "air_temperature"]
    assert table["time"].iloc[[0, -1]].tolist() == ["2003-01-01", "2003-03-31"]
    np.testing.assert_array_equal(table["air_temperature"].to_numpy("float32"), plain[:90, 1, 2])


def test_chosen_days_into_a_file(declared, capsys, tmp_path):
    path, plain = declared
    out = tmp_path / "days.csv"
    with pytest.raises(SystemExit):
        main(["inputs", str(path), "47.93", "7.27", "--start", "2003-05-01", "--end", "2003-05-03", "-o", str(out)])
    assert capsys.readouterr().out == ""
    table = pd.read_csv(out)
    assert table["time"].tolist() == ["2003-05-01", "2003-05-02", "2003-05-03"]
    np.testing.assert_array_equal(table["air_temperature"].to_numpy("float32"), plain[120:123, 1, 2])


def test_static_features_of_the_cell(declared, capsys):
    path, plain = declared
    table = printed(capsys, path, 47.93, 7.27, "--static")
    assert table.columns.tolist() == ["feature", "value"]
    assert table["feature"].tolist() == ["warmth"]
    assert table["value"][0] == pytest.approx(float(plain[:90, 1, 2].mean()), rel=1e-6)


def test_the_sea_has_no_values(declared, capsys):
    path, _ = declared
    assert printed(capsys, path, 48.05, 7.05)["air_temperature"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["60", "-7.3"], "60 N, -7.3 E lies outside the 20 cells"),
        (["47.93", "7.27", "--domain", "east"], "--domain east: not declared; .* has home, west"),
        (["47.93", "7.45", "--domain", "west"], "lies outside the 8 cells of domain 'west'"),
        (["47.93", "7.27", "--end", "2002-01-01"], "the last day 2002-01-01 comes before the first"),
        (["47.93", "7.27", "--start", "2002-12-30"], "t2m_2002.nc: no such file"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(declared, capsys, arguments, message):
    path, _ = declared
    with pytest.raises(SystemExit) as ended:
        main(["inputs", str(path), *arguments])
    assert ended.value.code == 1

    assert re.search(message, capsys.readouterr().err)


def test_neither_prefect_nor_a_cluster_is_started(declared):
    """What is loaded decides how quick the command is."""
    path, _ = declared
    code = (
        "import sys; from flows.command.cli import main\n"
        f"try: main(['inputs', {str(path)!r}, '47.93', '7.27', '-q'])\n"
        "except SystemExit: pass\n"
        "assert 'prefect' not in sys.modules, 'prefect'; assert 'torch' not in sys.modules, 'torch'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 91
