"""Every small input of `SOMO_CASES` comes out right, or is refused by a sentence that names its true trouble."""

import os
import re
from pathlib import Path

import pytest

from tests.real.forcing_cases import outcome

CASES = Path(os.environ.get("SOMO_CASES", "")) / "forcing"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CASES.is_dir() or "SOMO_CASES" not in os.environ, reason="SOMO_CASES names no folder"),
]
WRITE = r"forcing\.\w+\."
REFUSED = {
    "15-eobs-gaps": rf"missing on 2020-07-19 at the land cell 50.75 N, 11.25 E; .*{WRITE}gaps = .interpolate.",
    "17b-day-placeholder": r"20200220\.nc: no such file",
    "26-rotated-pole": r"rotated grid, whose rows and columns are no latitudes and longitudes",
    "27-projected": r"projected grid, whose rows and columns are no latitudes and longitudes",
    "28-daymet-leap": rf"2020-12-31 is missing .*{WRITE}calendar_gap = .repeat.",
    "29-noleap": rf"t_2020\.nc: .*'365_day' calendar.*{WRITE}calendar_gap = .repeat.",
    "36-undeclared-fill": r"is -9999 K .*no value that the file does not declare .*missing = \[-9999\]",
    "42-era5land-nodes": rf"no lat 50\.85; .*{WRITE}regrid = .bilinear.",
    "43-gap-day": r"2020-02-29 is missing",
    "47-metres-declared-mm": r"has no units, .*mean is 0.005\d* mm d-1, .*look like 'm'",
    "49-era5-as-era5land": r"falls within a day, .*accumulation = .step.",
    "53b-landcover-mean-of-codes": r"holds class codes",
    "54-code-without-fill": r"T_SAND is -9999 at \d+ places, a usual",
    "56-static-units": r"elevation is \d+ m \(\d+ km in the file",
    "59-static-half-cell-off": r"no lat 50\.85; .*static\.elevation\.regrid",
    "61-nc-gz": r"compressed with gzip",
}
"""What must be refused, with the words that must be said."""
CLOSE = 1e-4
"""Of what is packed: E-OBS has hundredths of a degree, stored as 32-bit floats of Kelvin here."""


def _cases() -> list[Path]:
    return sorted(path.parent for path in CASES.glob("*/product.toml")) if CASES.is_dir() else []


@pytest.mark.parametrize("case", _cases(), ids=lambda path: path.name)
def test_case(case):
    result = outcome(case)
    if case.name in REFUSED:
        assert re.search(REFUSED[case.name], result.refused), result.text
        return
    assert not result.refused, result.text
    assert not result.worst > CLOSE, result.text
