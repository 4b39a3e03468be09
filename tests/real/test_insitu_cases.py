"""Every small archive of `SOMO_CASES` comes out right, or its sensors are dropped with the true reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.insitu_cases import CHECKS, TESTED_ELSEWHERE, names, outcome

ON_S3 = "24"
CASES = Path(os.environ.get("SOMO_CASES", "")) / "insitu"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not CASES.is_dir() or "SOMO_CASES" not in os.environ, reason="SOMO_CASES names no folder"),
]


def test_every_case_has_a_check() -> None:
    assert {name[:2] for name in names()} == {*CHECKS, *TESTED_ELSEWHERE}


@pytest.mark.parametrize("name", names() if CASES.is_dir() else [])
def test_case(name: str, tmp_path: Path) -> None:
    if name[:2] != ON_S3:
        assert outcome(name, tmp_path)
        return
    # It counts the requests of its process, and speaks to a store of its own.
    command = [sys.executable, "-m", "tests.real.insitu_cases", ON_S3]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert " right: " in ended.stdout, ended.stdout + ended.stderr
