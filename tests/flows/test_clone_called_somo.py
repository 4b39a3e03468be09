"""An editable install is found from the folder that holds the clone, which is called as the package is."""

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_editable(sys.argv[1]))"
USE = "import site, sys; site.addsitedir(sys.argv[1]); import somo; print(somo.__file__)"


def test_import_beside_a_clone_called_somo(tmp_path: Path) -> None:
    clone, installed = tmp_path / "somo", tmp_path / "installed"
    for package in ("somo", "flows"):
        (clone / package).mkdir(parents=True)
        (clone / package / "__init__.py").write_text("")
    declared = Path(__file__).parents[2] / "pyproject.toml"
    (clone / "pyproject.toml").write_text(declared.read_text())
    for name in ("readme", "license-files"):
        files = tomllib.loads(declared.read_text())["project"][name]
        (clone / (files if isinstance(files, str) else files[0])).write_text("")
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(tmp_path)], cwd=clone, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / built.stdout.split()[-1]) as wheel:
        wheel.extractall(installed)
    # Without PYTHONPATH and the packages of this environment, by which the clone of these tests would be found.
    used = subprocess.run(
        [sys.executable, "-S", "-c", USE, str(installed)],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert used.stdout.strip() == str(clone / "somo" / "__init__.py")
