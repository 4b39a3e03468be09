"""What a user gets wrong: one paragraph that names the thing and the remedy, and nothing half-written to see."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5netcdf
import numpy as np
import pandas as pd
import pytest

from flows.console import verbosity
from tests.flows.conftest import TINY, Said

Somo = Callable[..., Said]


@pytest.fixture
def sources(tiny_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the invented sources to break; files are shared until they are replaced."""
    folder = tmp_path / "sources"
    shutil.copytree(tiny_sources, folder, copy_function=os.link)
    monkeypatch.setenv("SOMO_TINY", str(folder))
    return folder


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Path]:
    """The tiny product with some of its text replaced."""

    def write(*changes: tuple[str, str]) -> Path:
        text = TINY.read_text()
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "product.toml"
        path.write_text(text)
        return path

    return write


def own(path: Path) -> Path:
    """Give a linked file bytes of its own, to be changed."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    return path


def require_refused(said: Said, root: Path, *words: str) -> None:
    assert said.status == 1
    assert "Traceback" not in said.err
    message = said.err[said.err.rindex("error: ") :]
    assert message.count("\n\n") == 0
    for word in words:
        assert word in message
    visible = list(root.rglob("v1.0.0/*")) if root.is_dir() else []
    assert not visible


def test_missing_file(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    (sources / "forcing" / "home" / "t2m_2004.nc").unlink()
    said = somo("run", declare(), "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "t2m_2004.nc", "air_temperature")


def test_truncated_file(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    file = own(sources / "forcing" / "home" / "t2m_2004.nc")
    file.write_bytes(file.read_bytes()[:-5000])
    said = somo("run", declare(), "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "t2m_2004.nc")


def test_wrong_unit(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    product = declare(('variable = "t2m", units = "K"', 'variable = "t2m", units = "m"'))
    said = somo("run", product, "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "t2m_2003.nc: t2m", "air_temperature", "'K'", "'m'")


def test_unknown_key(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    said = somo("run", declare(("hidden = 8", "hiden = 8")), "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "product.toml", "network.hiden", "hidden")


def test_empty_archive(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "empty", ignore_errors=True)
    (tmp_path / "empty").mkdir()
    product = declare(("${SOMO_TINY}/insitu/EUROPE.zip", str(tmp_path / "empty")))
    said = somo("run", product, "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "empty", "ISMN")


def test_station_outside_the_grid(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    """Every station of the US archive lies outside once the US domain is gone."""
    product = declare(('domains.us.grid = { kind = "forcing", step_deg = 0.5 }\n', ""), ("EUROPE.zip", "US.zip"))
    said = somo("run", product, "--root", tmp_path / "root", "--until", "targets")
    require_refused(said, tmp_path / "root", "US.zip", "outside every domain's grid")
    (table,) = (tmp_path / "root" / "targets").glob("*.sensors.parquet")
    assert str(table) in said.err and not pd.read_parquet(table)["kept"].any()


def test_an_archive_with_all_values_flagged_is_a_warning_beside_another(
    somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path
) -> None:
    import zipfile

    archive = sources / "insitu" / "EUROPE.zip"
    with zipfile.ZipFile(archive) as before:
        contents = {name: before.read(name) for name in before.namelist()}
    archive.unlink()
    with zipfile.ZipFile(archive, "w") as after:
        for name, data in contents.items():
            after.writestr(name, data.replace(b" G ", b" D01 ").replace(b" G\n", b" D01\n"))
    said = somo("run", declare(), "--root", tmp_path / "root", "--until", "targets")
    assert said.status == 0 and "EUROPE.zip): none of its" in said.err and "no value is flagged good" in said.err


def test_nan_in_the_forcing(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    with h5netcdf.File(own(sources / "forcing" / "home" / "t2m_2004.nc"), "r+") as file:
        variable = file.variables["t2m"]
        values = variable[:]
        row, column = np.argwhere(values[0] != values.min())[0]
        values[100, row, column] = variable.attrs["_FillValue"]
        variable[:] = values
    said = somo("run", declare(), "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "air_temperature", "2004-04-10")
    assert json.loads((tmp_path / "root/viewer/status.json").read_bytes())["run"] == "failed"


def test_unwritable_root(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = somo("run", declare(), "--root", tmp_path / "file" / "root")
    require_refused(said, tmp_path / "file" / "root", "file/root", "--root")


def test_period_without_spinup(somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path) -> None:
    product = declare(("start = 2004-01-01", "start = 2003-01-10"))
    said = somo("run", product, "--root", tmp_path / "root")
    require_refused(said, tmp_path / "root", "2002")


def test_the_last_stage_before_the_first(
    somo: Somo, sources: Path, declare: Callable[..., Path], tmp_path: Path
) -> None:
    said = somo("run", declare(), "--root", tmp_path / "root", "--from", "train", "--until", "ingest")
    require_refused(said, tmp_path / "root", "--from train", "ingest comes before train")


def test_no_root(somo: Somo, sources: Path, declare: Callable[..., Path]) -> None:
    said = somo("status", declare())
    assert said.status == 1
    assert "--root" in said.err


def test_debug_shows_the_traceback(sources: Path, declare: Callable[..., Path]) -> None:
    from flows.command import cli

    try:
        with pytest.raises(ValueError, match=r"period\.star"):
            cli.main(["status", str(declare(("{ start", "{ star"))), "--debug"])
    finally:
        verbosity.traceback = False
