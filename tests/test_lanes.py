"""The lane of `make quick` and the order of `make test`: what they name is there."""

from pathlib import Path

import pytest

from tests.lanes import SLOW, is_of
from tests.longest_first import LONGEST, REAL_CASES, handed_out_with

ROOM = Path(__file__).parents[1]


@pytest.mark.parametrize("entry", SLOW)
def test_what_is_left_out_is_there(entry):
    path, _, name = entry.partition("::")
    assert (ROOM / path).exists()
    assert not name or f"def {name}(" in (ROOM / path).read_text()


@pytest.mark.parametrize(
    ("nodeid", "entry", "belongs"),
    [
        ("tests/a/test_b.py::test_c", "tests/a/test_b.py::test_c", True),
        ("tests/a/test_b.py::test_c[1]", "tests/a/test_b.py::test_c", True),
        ("tests/a/test_b.py::test_c_and_more", "tests/a/test_b.py::test_c", False),
        ("tests/a/test_b.py::test_c", "tests/a/test_b.py", True),
        ("tests/a/test_b.py::test_c", "tests/a/", True),
        ("tests/ab/test_b.py::test_c", "tests/a/", False),
    ],
)
def test_an_entry_is_a_test_with_its_cases_a_file_or_a_folder(nodeid, entry, belongs):
    assert is_of(nodeid, entry) == belongs


@pytest.mark.parametrize("entry", LONGEST)
def test_what_begins_first_is_there(entry):
    file, _, case = entry.partition("[")
    assert (ROOM / file).exists()
    assert not case or f'"{case.removesuffix("]")}"' in (ROOM / file).read_text()


@pytest.mark.parametrize(
    ("nodeid", "handed_out"),
    [
        ("tests/a/test_b.py::test_c[1]", "tests/a/test_b.py"),
        (f"{REAL_CASES}::test_c[us-grid]", f"{REAL_CASES}[us-grid]"),
    ],
)
def test_files_are_handed_out_whole_and_real_cases_one_by_one(nodeid, handed_out):
    assert handed_out_with(nodeid) == handed_out
