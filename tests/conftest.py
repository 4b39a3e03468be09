"""Fixtures shared by all rooms: a real S3 server and a small Dask cluster, each started once per test session."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from distributed import Client, LocalCluster
from hypothesis import settings

from flows.service.s3server import S3Server

settings.register_profile("somo", deadline=None, derandomize=True)
settings.load_profile("somo")


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
def real(request: pytest.FixtureRequest) -> Path:
    """Folder of the three real cases; a test that asks for it is skipped where there is none."""
    import os

    folder = Path(os.environ.get("SOMO_REAL", request.config.rootpath.parent / "shared" / "real"))
    if not folder.is_dir():
        pytest.skip(f"no real cases in {folder}; set SOMO_REAL")
    return folder
