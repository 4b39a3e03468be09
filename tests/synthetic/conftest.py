"""A small invented Europe of one year, written once for all tests."""

from pathlib import Path

import pytest

from somo.synthetic.europe import write_europe

SIZE, YEARS, SEED, STATIONS = (8, 10), (2004, 2004), 3, 9


@pytest.fixture(scope="session")
def europe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("europe")
    write_europe(str(root), SIZE, YEARS, SEED, stations=STATIONS, hourly=("t2m", "tp", "ssr", "str"))
    return root
