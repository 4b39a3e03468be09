"""Fixtures shared by all rooms, each made once: a real S3 server, a small Dask cluster, a tiny product."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from distributed import Client, LocalCluster
from filelock import FileLock
from hypothesis import settings

from flows.many_objects import collect_less
from flows.service.s3server import S3Server
from tests.lanes import mark_slow
from tests.longest_first import LongestFirst, in_order

collect_less()

TINY = Path(__file__).parent / "flows" / "tiny.toml"

settings.register_profile("somo", deadline=None, derandomize=True)
settings.load_profile("somo")


# First, since pytest's own hook deselects by markers.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests above a second are marked, and the longest begin first."""
    mark_slow(items)
    items[:] = in_order(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LongestFirst | None:
    """With `--dist loadfile`, files in that order."""
    return LongestFirst(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS on loopback, its credentials in `AWS_*` for the rest of the session.

    Bucket `somo` is private (identity `reader` may only read it); anyone may read bucket `public`.
    """
    others = {"reader": ("Read:somo", "List:somo")}
    with (
        S3Server(tmp_path_factory.mktemp("s3"), public=("public",), others=others) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.client().create_bucket(Bucket="public")
        yield server


@pytest.fixture
def s3_root(s3: S3Server) -> str:
    """A fresh, empty prefix in the private bucket."""
    return f"s3://{s3.bucket}/{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def client() -> Iterator[Client]:
    """A Dask client of two threads in this process."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as cluster,
        Client(cluster, set_as_default=False) as connected,
    ):
        yield connected


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """One ephemeral Prefect server for all commands that are run inside this process; its address."""
    # Importing Prefect takes seconds, which tests of `somo` spare.
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> Path:
    """Folder of the three real cases; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("SOMO_REAL", request.config.rootpath.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real cases in {folder}; set SOMO_REAL")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that one of the processes of this test run makes and all of them read."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, write: Callable[[Path], None]) -> Path:
        folder = shared / name
        with FileLock(f"{folder}.lock"):
            if not (done := shared / f"{name}.done").exists():
                folder.mkdir()
                write(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_sources(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """Two years of an invented Europe of 8 x 10 cells and a smaller US; whoever changes a file copies it before."""

    # It imports scipy.signal, which every process of a test run would wait for.
    from somo.synthetic.europe import write_europe

    def write(folder: Path) -> None:
        write_europe(str(folder), size=(8, 10), years=(2003, 2004), stations=12, hourly=())

    return made_once("tiny-sources", write)


@pytest.fixture(scope="session")
def tiny_made(made_once: Callable[[str, Callable[[Path], None]], Path], tiny_sources: Path) -> Path:
    """Folder with the tiny product after one `somo run`: `root`, and what the run said in `stdout`; to be read only."""

    def write(folder: Path) -> None:
        program = Path(sys.executable).with_name("somo")
        environment = {**os.environ, "SOMO_TINY": str(tiny_sources), "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(
            [program, "run", str(TINY), "--root", str(folder / "root")],
            capture_output=True, text=True, env=environment, check=False, timeout=900,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        (folder / "stdout").write_text(ended.stdout)

    return made_once("tiny-made", write)


@pytest.fixture(scope="session")
def tiny_released(
    tiny_made: Path, tiny_sources: Path, client: Client, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The tiny product's declaration with its paths written out, and the root of a released copy; to be read only."""
    from flows.environment import load_product
    from flows.stages.release import release

    folder = tmp_path_factory.mktemp("tiny-released")
    root = shutil.copytree(tiny_made / "root", folder / "bucket", copy_function=os.link)
    declaration = folder / "tiny.toml"
    # What is learnt from a few stations in two epochs is not what a gate lets through; one here is about other things.
    checks = "\n[checks]\nmin_coverage = 0\nmax_coverage = 1\nmax_block_jump = 1\nmax_seam = 1\nmax_year_jump = 1\n"
    declaration.write_text(TINY.read_text().replace("${SOMO_TINY}", str(tiny_sources)) + checks)
    release(load_product(declaration), str(root), client)
    return declaration, str(root)
