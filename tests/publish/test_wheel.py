"""What users of the wheel have: the built page and every file that the code reads, and no sources of the page."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOM = Path(__file__).parents[2]
PAGE = "somo/publish/viewer"
ASKS = """
from flows.service.access import policy
from somo.publish.viewer import is_built, publish_viewer
import somo, sys
assert somo.__file__.startswith(sys.argv[1]), somo.__file__
print(is_built(), sorted(publish_viewer(sys.argv[2])), policy("b", "p/")["Version"])
"""

# What the extras of pyproject.toml bring, which those who read a product have not installed.
WITHOUT_EXTRAS = """
import importlib, pkgutil, sys
for name in ("dask_jobqueue", "dask_kubernetes", "seaweedfs", "hypothesis", "pytest", "playwright", "netCDF4"):
    sys.modules[name] = None
import flows.command
for module in pkgutil.iter_modules(flows.command.__path__, "flows.command."):
    importlib.import_module(module.name)
from flows.command.cli import main
sys.argv = ["somo", "point", "50.95", "11.55", "--url", "nowhere"]
main()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources with a page made up in place of the built one."""
    folder = tmp_path_factory.mktemp("wheel")
    sources = folder / "sources"
    for name in ("somo", "flows"):
        shutil.copytree(
            ROOM / name, sources / name, ignore=shutil.ignore_patterns("node_modules", "dist", "__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOM / name, sources)
    for name in ("dist/index.html", "dist/assets/a.js", "dist/assets/a.css", "dist/assets/a.json", "node_modules/b.js"):
        file = sources / PAGE / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("made up")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, sources]
    subprocess.run(build, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_page_and_what_the_code_reads_are_in_the_wheel(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {name for name in names if not name.endswith(".py") and ".dist-info/" not in name}
    assert files == {
        *(f"{PAGE}/dist/{name}" for name in ("index.html", "assets/a.js", "assets/a.css", "assets/a.json")),
        "somo/publish/front_door.html",
        "somo/validate/sections/coast.npz",
        "somo/publish/store/countries.npz",
        "somo/validate/report/report.html",
        "flows/products/demo.toml",
        "flows/products/europe.toml",
        "flows/products/providers.toml",
        "flows/products/somo.schema.json",
        "flows/service/bucket-cors.json",
        "flows/service/bucket-policy.json",
        "flows/status.html",
        "somo/py.typed",
        "flows/py.typed",
    }


def test_the_wheel_alone_publishes_the_page_and_opens_buckets(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(place)
    command = [sys.executable, "-W", "ignore", "-c", ASKS, str(place), str(tmp_path / "bucket")]
    said = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(place)}, check=False
    )
    assert said.stdout.split(maxsplit=1) == ["True", "['viewer'] 2012-10-17\n"], said.stderr
    assert (tmp_path / "bucket/viewer/assets/a.js").read_text() == "made up"


def test_every_command_is_there_without_the_extras() -> None:
    """Somebody who installs the wheel to read a product got a ModuleNotFoundError from `somo point`."""
    run = [sys.executable, "-c", WITHOUT_EXTRAS]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "nowhere" in done.stderr and "ModuleNotFound" not in done.stderr, done.stderr
