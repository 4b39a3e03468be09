"""A store that takes seconds for every answer: how few requests a command makes, and what it says meanwhile."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from s3fs import S3FileSystem

from flows import console
from flows.service.s3server import S3Server
from somo.publish.manifest import NAME, list_objects
from somo.storage.objects import put, put_file, read_bytes
from tests.faults.fault_proxy import FaultProxy
from tests.flows.conftest import TINY, Said

pytestmark = [pytest.mark.s3]
# The tiny product takes 69: lists of folders, and the small documents of its references, networks, stores and sections.
# It was 183 while folders were listed more than once and documents of stages that are done were read again.
MOST_REQUESTS = 100


@pytest.fixture
def bucket(s3: S3Server, s3_root: str, tiny_made: Path) -> str:
    """The tiny product on S3 as if it had been made there."""
    made = tiny_made / "root"
    paths = [path for path in made.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: put_file(path, f"{s3_root}/{path.relative_to(made)}"), paths))
    # A copy has other versions than its manifest tells, so that every object would be read once for its checksum.
    version, listed = f"{s3_root}/v1.0.0", list_objects(f"{s3_root}/v1.0.0")
    manifest = json.loads(read_bytes(f"{version}/{NAME}"))
    for key, entry in manifest["objects"].items():
        entry["seen"] = listed[key][1]
    put(f"{version}/{NAME}", json.dumps(manifest).encode())
    return s3_root


def test_status_asks_little_and_says_what_it_waits_for(
    somo: Callable[..., Said], s3: S3Server, bucket: str, tiny_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMO_TINY", str(tiny_sources))
    monkeypatch.setattr(console, "SILENT_SECONDS", 0.0)
    # fsspec keeps file systems by their options: one made earlier in this process would ask the server itself.
    S3FileSystem.clear_instance_cache()
    try:
        with FaultProxy(s3.port, share=0) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
            said = somo("status", TINY, "--root", bucket, "--json")
            assert said.status == 0, said.err
            assert 20 < proxy.passed <= MOST_REQUESTS
    finally:
        S3FileSystem.clear_instance_cache()
    states = {stage["name"]: stage["state"] for stage in json.loads(said.out)}
    assert [states[name] for name in ("ingest", "targets", "train", "produce", "publish")] == ["done"] * 5
    for subject in (f"the list of {bucket}/models", "the results of ingest", "the results of validate"):
        assert f"s: looking at {subject}" in said.err
