"""The folder in which a command is called may be one of all users: nothing that others put there is run or believed."""

import os
from collections.abc import MutableMapping
from pathlib import Path

import pytest

from flows import leftovers
from flows.environment import prepare_prefect, server_is_named
from flows.leftovers import end_with_this_process
from somo.product.declaration import ProductError


def lay_traps(folder: Path, *modules: str) -> Path:
    """Modules that write a file beside themselves when they are imported; returns that file."""
    sprung = folder / "sprung"
    for name in modules:
        (folder / f"{name}.py").write_text(f"open({str(sprung)!r}, 'w').close()\n")
    return sprung


def test_no_module_of_the_working_folder_is_run_by_what_a_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: MutableMapping[str, str]
) -> None:
    """`python -m flows.leftovers` and `python -m uvicorn` would find these before the installed ones."""
    sprung = lay_traps(tmp_path, "flows", "psutil")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(leftovers, "_watchers", [])
    end_with_this_process()
    (watcher,) = leftovers._watchers
    assert watcher.stdin is not None
    watcher.stdin.close()
    assert watcher.wait(60) == 0 and not sprung.exists()
    # Prefect's server inherits the variables of the run.
    assert environment["PYTHONSAFEPATH"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a file that belongs to another user")
@pytest.mark.parametrize(
    ("name", "without", "setting"),
    [
        ("prefect.toml", "", "api.url = 'https://theirs/api'"),
        (".env", "OTHER=1", "export prefect_api_url=https://theirs/api"),
        ("pyproject.toml", "[project]\ndependencies = ['prefect']", "[tool.prefect]\nhome = '/tmp/theirs'"),
        ("pyproject.toml", "", "broken ="),
    ],
)
def test_settings_of_prefect_that_another_user_laid_down_are_refused(
    name: str,
    without: str,
    setting: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: MutableMapping[str, str],
) -> None:
    (tmp_path / name).write_text(without)
    os.chown(tmp_path / name, 65534, 65534)
    monkeypatch.chdir(tmp_path)
    # A clone that belongs to somebody else is no trap in itself.
    prepare_prefect()
    (tmp_path / name).write_text(setting)
    with pytest.raises(ProductError, match=rf"{name} belongs to another user \(65534\).*folder of your own"):
        prepare_prefect()
    os.chown(tmp_path / name, 0, 0)
    prepare_prefect()


@pytest.mark.parametrize(
    ("name", "text", "is_named"),
    [
        (
            "profiles.toml",
            'active = "mine"\n[profiles.mine]\nPREFECT_LOGGING_LEVEL = "INFO"\n[profiles.other]\n',
            False,
        ),
        ("profiles.toml", 'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "https://x/api"\n', True),
        (".env", "export PREFECT_API_URL=https://x/api", True),
        (".env", "PREFECT_LOGGING_LEVEL=INFO", False),
        ("prefect.toml", "[api]\nurl = 'https://x/api'", True),
        ("prefect.toml", "[api]\nrequest_timeout = 5", False),
        ("pyproject.toml", "[tool.prefect.api]\nurl = 'https://x/api'", True),
        ("pyproject.toml", "[project]\nname = 'x'", False),
    ],
)
def test_a_run_has_a_server_of_its_own_where_prefect_is_told_of_none(
    name: str,
    text: str,
    is_named: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environment: MutableMapping[str, str],
) -> None:
    (tmp_path / name).write_text(text)
    environment["PREFECT_HOME"] = str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert server_is_named() == is_named
