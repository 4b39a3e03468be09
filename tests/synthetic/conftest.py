"""A small invented Europe of one year, written once for all tests."""

from pathlib import Path

import pytest

from somo.synthetic.europe import write_europe

SIZE, YEARS, SEED, STATIONS, HOURLY = (6, 8), (2004, 2004), 3, 9, ("t2m", "tp")


@pytest.fixture(scope="session")
def europe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("europe")
    write_europe(str(root), SIZE, YEARS, SEED, stations=STATIONS, hourly=HOURLY)
    return root
