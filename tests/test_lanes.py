"""The lane of `make quick`: what is left out of it is there, and is found by its name."""

from pathlib import Path

import pytest

from tests.lanes import SLOW, is_of

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
