"""Modules that read GRIB leave pyproj usable, whichever of them a process imports first."""

import subprocess
import sys

import pytest

NAMES_A_PROJECTION = "import pyproj; print(pyproj.CRS.from_epsg(3035).name)"


@pytest.mark.parametrize("module", ["grib_message", "grib", "geotiff"])
def test_projections_are_known_after_a_format_was_imported_first(module: str) -> None:
    script = f"import somo.forcing.formats.{module}; import eccodes; {NAMES_A_PROJECTION}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, "ETRS89-extended / LAEA Europe"), done.stderr
