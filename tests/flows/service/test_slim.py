"""What the image takes out of libraries: the loader still takes what is left."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SLIM = Path(__file__).parents[3] / "docker" / "slim.py"


@pytest.fixture(scope="module")
def slim() -> ModuleType:
    """The script of the image's build, which is no part of a package."""
    specification = importlib.util.spec_from_file_location("slim", SLIM)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_library_that_its_maker_has_edited_loads_from_its_segments_alone(slim: ModuleType, tmp_path: Path) -> None:
    """ecCodes' PROJ: nine tenths of it are tables for debuggers, between segments that `strip` would misplace."""
    import eckitlib

    libraries = Path(eckitlib.__file__).parents[1] / "eckitlib.libs"
    (library,) = libraries.glob("libproj*")
    data = library.read_bytes()
    smaller = slim.segments_alone(data)
    assert slim.is_loadable(smaller)
    assert len(smaller) < 0.1 * len(data)
    # In a process of its own: a library that the loader takes wrongly ends it.
    (tmp_path / library.name).write_bytes(smaller)
    program = f"import ctypes; print(ctypes.CDLL({str(tmp_path / library.name)!r}).proj_context_create is not None)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"LD_LIBRARY_PATH": str(libraries)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True\n", done.stderr


def test_a_segment_that_lies_elsewhere_in_its_page_is_refused(slim: ModuleType) -> None:
    (library,) = Path(sys.executable).resolve().parents[1].glob("lib/python3*/lib-dynload/_json*.so") or [None]
    data = bytearray(library.read_bytes())
    assert slim.is_loadable(data)
    start, segments = slim.headers(data)
    last_loaded = max(k for k, (kind, *_) in enumerate(segments) if kind == slim.LOAD)
    offset = start + 56 * last_loaded + 8
    data[offset] ^= 0x10
    assert not slim.is_loadable(data)
