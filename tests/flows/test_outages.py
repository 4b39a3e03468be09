"""Every command through a network that breaks, and what it says when its patience ends."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from flows.service.s3server import S3Server
from somo.storage import patience
from somo.storage.client import filesystem
from somo.storage.objects import checksum, put_file
from tests.faults.fault_proxy import FaultProxy
from tests.flows.conftest import Said

pytestmark = [pytest.mark.s3, pytest.mark.fault, pytest.mark.timeout(900)]
DECLARED = (
    Path(__file__)
    .with_name("service.toml")
    .read_text()
    # Three blocks of days: further ones repeat the same kinds of request, each some seconds of pauses.
    .replace("start = 2004-02-15 }", "start = 2004-02-15, end = 2004-08-15 }", 1)
)
# Longer than what botocore, aiohttp and obstore try on their own, shorter than our patience.
OUTAGE_SECONDS = 20
PRODUCED = ("soil_moisture.zarr/soil_moisture/c", "validation/", "netcdf/", "report/figS3")


@pytest.fixture(scope="module")
def sources(s3: S3Server, tiny_sources: Path) -> str:
    """The sources of the tiny product on S3."""
    for path in tiny_sources.rglob("*"):
        if path.is_file() and path.relative_to(tiny_sources).parts[0] in ("forcing", "static", "insitu"):
            put_file(path, f"s3://somo/outages/sources/{path.relative_to(tiny_sources)}")
    return "s3://somo/outages/sources"


@pytest.fixture(scope="module")
def toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("outages") / "tiny.toml"
    path.write_text(DECLARED)
    return path


def command(*arguments: object, sources: str, endpoint: str) -> str:
    """What the command says; it has to succeed."""
    environment = {**os.environ, "SOMO_SOURCES": sources, "AWS_ENDPOINT_URL": endpoint, "OMP_NUM_THREADS": "1"}
    program = [Path(sys.executable).with_name("somo"), *map(str, arguments)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def checksums(root: str) -> dict[str, str]:
    """Checksum of everything that was computed for readers, by its name in the version."""
    files, folder = filesystem(f"{root}/v1.0.0")
    files.invalidate_cache()
    names = {path: path.split("v1.0.0/", 1)[1] for path in files.find(folder)}
    return {name: checksum(files.cat_file(path)) for path, name in names.items() if name.startswith(PRODUCED)}


@pytest.fixture(scope="module")
def undisturbed(s3: S3Server, toml: Path, sources: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Checksums of a run that nothing disturbs, its root on this disk."""
    root = tmp_path_factory.mktemp("undisturbed")
    command("run", toml, "--root", root, sources=sources, endpoint=s3.endpoint)
    objects = checksums(str(root))
    assert len(objects) > 10
    return objects


def test_forcing_that_is_away_for_longer_than_a_request_tries(
    s3: S3Server, toml: Path, sources: str, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    """The root lies on this disk, whose own patience says nothing about the store of the forcing."""
    with FaultProxy(int(s3.endpoint.rsplit(":", 1)[1]), share=0) as proxy:

        def break_off() -> None:
            while proxy.passed < 20 and not over.wait(0.05):
                pass
            proxy.away.set()
            over.wait(OUTAGE_SECONDS)
            proxy.away.clear()

        over = threading.Event()
        breaking = threading.Thread(target=break_off)
        breaking.start()
        try:
            command("run", toml, "--root", tmp_path, sources=sources, endpoint=f"http://127.0.0.1:{proxy.port}")
        finally:
            over.set()
            breaking.join()
        assert proxy.broken
    assert checksums(str(tmp_path)) == undisturbed


def test_every_command_survives_a_network_that_breaks_one_request_in_three(
    s3: S3Server, s3_root: str, toml: Path, sources: str, undisturbed: dict[str, str]
) -> None:
    with FaultProxy(int(s3.endpoint.rsplit(":", 1)[1]), share=1 / 3, seed=3, stall_s=0.1) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        for name in ("run", "status", "release"):
            said = command(name, toml, "--root", s3_root, sources=sources, endpoint=endpoint)
            assert "missing" not in said
        assert "objects" in command("verify", s3_root, "--no-anon", sources=sources, endpoint=endpoint)
        assert proxy.broken > 50
    assert checksums(s3_root) == undisturbed


def test_where_patience_ends_the_error_names_the_url_and_the_network(
    somo: Callable[..., Said], toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    # fsspec keeps file systems by their options: one made earlier in this process would ask the server itself.
    S3FileSystem.clear_instance_cache()
    with FaultProxy(int(s3.endpoint.rsplit(":", 1)[1]), share=0) as proxy:
        proxy.away.set()
        monkeypatch.setattr(patience, "PATIENCE_S", 0.5)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("SOMO_SOURCES", "s3://somo/outages/away")
        for arguments, url in (
            (("run", toml, "--root", tmp_path / "root"), "s3://somo/outages/away/forcing/"),
            (("status", toml, "--root", "s3://somo/outages/root"), "s3://somo/outages/"),
            (("release", toml, "--root", "s3://somo/outages/root"), "s3://somo/outages/root"),
            (("verify", "s3://somo/outages/root", "--no-anon"), "s3://somo/outages/root"),
        ):
            said = somo(*arguments)
            assert said.status != 0, arguments
            assert url in said.err and "cannot be reached" in said.err and "check the network" in said.err, said.err
            assert "damaged" not in said.err
    S3FileSystem.clear_instance_cache()
