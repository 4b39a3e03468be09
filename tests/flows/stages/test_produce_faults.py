"""Production over a real S3 server while workers, scheduler, server, network and the run itself are killed.

Every case ends with the checksums of an undisturbed run.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
import s3fs
from distributed import Client, LocalCluster

from flows.cluster.connecting import cluster
from flows.cluster.errors import ClusterError
from flows.stages import produce as stage
from flows.stages.ingest import ingest
from somo.product.cluster import LocalWorkers
from somo.storage.patience import StorageError
from tests.faults import killed_runs
from tests.faults.disturbed_region import hungry_region, slow_region
from tests.faults.fault_proxy import FaultProxy
from tests.predict import made

pytestmark = [
    pytest.mark.fault,
    pytest.mark.s3,
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]


def objects(s3, root):
    """SHA-256 of every object of a version and its manifest, by key under the root."""
    client, (bucket, _, prefix) = s3.client(), root.removeprefix("s3://").partition("/")
    found = {}
    for part in ("v1.0.0", "regions"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/{part}/")
        for key in (item["Key"] for page in pages for item in page.get("Contents", [])):
            data = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            found[key.removeprefix(f"{prefix}/")] = hashlib.sha256(data).hexdigest()
    return found


def new_root():
    return f"s3://public/{uuid4().hex[:12]}"


class Case:
    """A tiny product whose sources, references and models are on S3, at one state of its forcing."""

    def __init__(self, root, folder, client, last="2020-02-28"):
        self.sources, self.folder = f"{root}/sources", folder
        self.product = made.product(self.sources, period={"start": "2020-01-15"})
        self.root, self.client = root, client
        self.models = made.write_ensemble_of(self.product, f"{root}/models/abc")
        self.until(last)

    def until(self, last):
        self.folder.mkdir(exist_ok=True)
        made.write_sources(self.product, self.sources, self.folder, last)
        self.inputs = ingest(self.product, self.root, self.client)["home"]

    def produce(self, root, client):
        return stage.produce(self.product, root, {"home": self.inputs}, self.models, client)


@pytest.fixture(scope="module")
def case(s3, client, tmp_path_factory):
    return Case(f"s3://{s3.bucket}/{uuid4().hex[:12]}", tmp_path_factory.mktemp("sources") / "a", client)


@pytest.fixture(scope="module")
def undisturbed(s3, case, client):
    """Checksums of a run that nothing disturbed: the shards of two arrays, three blocks and six tiles, sea and all."""
    root = new_root()
    case.produce(root, client)
    found = objects(s3, root)
    assert len([key for key in found if "/c/" in key and "soil_moisture" in key.split("/")[2]]) == 2 * 3 * 6
    return found


@pytest.fixture(scope="module")
def processes(s3):
    """A cluster of two worker processes that come back when they are killed."""
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """Folder in which workers say that they are inside a region."""
    monkeypatch.setattr(stage, "produce_region", partial(slow_region, marks=str(tmp_path)))
    return tmp_path


def kill_inside_regions(marks: Path, count: int) -> threading.Thread:
    """Kill as many workers, each in the middle of a region."""

    def work():
        killed: set[str] = set()
        while len(killed) < count:
            for mark in marks.iterdir():
                if mark.name not in killed and time.time() - mark.stat().st_mtime > 0.3 and len(killed) < count:
                    os.kill(int(mark.name), signal.SIGKILL)
                    killed.add(mark.name)
            time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("count", [1, 2])
def test_killed_workers(s3, case, undisturbed, processes, marks, count):
    root = new_root()
    killer = kill_inside_regions(marks, count)
    case.produce(root, processes)
    killer.join(1)
    assert not killer.is_alive()
    assert objects(s3, root) == undisturbed


def test_killed_scheduler(s3, case, undisturbed, processes, marks):
    root, port = new_root(), 0
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", str(port), "--no-dashboard"]
    file = marks.parent / f"{uuid4().hex}.json"
    scheduler = subprocess.Popen([*command, "--scheduler-file", str(file)], stderr=subprocess.DEVNULL)
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    helper = subprocess.Popen(
        [*worker, "--scheduler-file", str(file), "--death-timeout", "20"], stderr=subprocess.DEVNULL
    )
    try:
        with Client(scheduler_file=str(file), set_as_default=False, timeout=30) as client:
            client.wait_for_workers(1, timeout=30)
            threading.Timer(2.0, scheduler.kill).start()
            with pytest.raises(ClusterError, match=r"(?s)the cluster was lost after \d+ of 15.*run again"):
                case.produce(root, client)
    finally:
        for process in (helper, scheduler):
            process.kill()
            process.wait()
    assert "v1.0.0/soil_moisture.zarr/zarr.json" not in objects(s3, root)
    case.produce(root, processes)
    assert objects(s3, root) == undisturbed


def test_s3_server_dead_for_ten_seconds(s3, case, undisturbed, processes, marks):
    root = new_root()

    def outage():
        while not any(marks.iterdir()):
            time.sleep(0.02)
        s3.process.kill()
        s3.process.wait()
        time.sleep(10)
        s3.start()

    thread = threading.Thread(target=outage)
    thread.start()
    case.produce(root, processes)
    thread.join()
    assert objects(s3, root) == undisturbed


def test_one_request_in_twenty_fails(s3, case, undisturbed, monkeypatch):
    root = new_root()
    with FaultProxy(s3.port, share=0.05) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", memory_limit=0, env=dict(os.environ)
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            case.produce(root, client)
    assert proxy.broken >= 5
    assert objects(s3, root) == undisturbed


def run_killed(setting, moments, folder):
    """What ended each run, and what a reader saw after each."""
    file = folder / "setting.json"
    file.write_text(json.dumps(setting))
    command = [sys.executable, "-m", "tests.faults.killed_runs", str(file), *map(str, moments)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    ended = [int(line.split()[1]) for line in lines if line.startswith("ended")]
    return ended, [line.split()[1] for line in lines if line.startswith("saw")]


def test_the_run_itself_is_killed_at_random_moments(s3, case, undisturbed, client, tmp_path):
    """First production, then the days that complete the last block; readers see whole states only."""
    draw, root = random.Random(20260101), new_root()
    setting = {
        "product": case.product.model_dump_json(),
        "root": root,
        "models": case.models,
        "inputs": {"references": case.inputs.references, "static": case.inputs.static},
        "endpoint": s3.endpoint,
    }
    ended, saw = run_killed(setting, [draw.uniform(0.3, 2.5) for _ in range(10)], tmp_path)
    assert ended.count(-9) >= 5
    assert ended[-1] == 0
    before = saw[-1]
    assert set(saw) == {"nothing", before}
    assert objects(s3, root) == undisturbed

    grown = Case(case.root, tmp_path / "grown", client, "2020-03-12")
    calm = new_root()
    copy(s3, root, calm)
    grown.produce(calm, client)
    after = killed_runs.seen(calm, s3.endpoint)
    setting["inputs"] = {"references": grown.inputs.references, "static": grown.inputs.static}
    ended, saw = run_killed(setting, [draw.uniform(0.3, 2.5) for _ in range(10)], tmp_path)
    assert ended[-1] == 0
    assert set(saw) <= {before, after}
    assert saw[-1] == after
    assert objects(s3, root) == objects(s3, calm)


def copy(s3, source, target):
    fs = s3fs.S3FileSystem()
    for path in fs.find(source):
        fs.copy(path, path.replace(source.removeprefix("s3://"), target.removeprefix("s3://")))


def test_a_bucket_that_may_only_be_read(s3, case, undisturbed, monkeypatch, client):
    root = f"s3://{s3.bucket}/{uuid4().hex[:12]}"
    for name, value in s3.environment("reader").items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(StorageError, match=r"s3://somo/.*cannot be written.*check permissions"):
            case.produce(root, client)
    finally:
        monkeypatch.undo()
        s3fs.S3FileSystem.clear_instance_cache()
    case.produce(root, client)
    assert objects(s3, root) == undisturbed


def test_a_worker_without_memory_enough(s3, case, undisturbed, processes, monkeypatch):
    root = new_root()
    small = case.product.model_copy(update={"cluster": LocalWorkers(workers=1, memory_gb=1.0)})
    with monkeypatch.context() as patched, cluster(small) as client:
        patched.setattr(stage, "produce_region", hungry_region)
        with pytest.raises(
            ClusterError, match=r"lost after 0 of 15 \(workers ran out of memory: (\S+ at [\d.]+ GB; ){3}"
        ):
            case.produce(root, client)
    assert "v1.0.0/soil_moisture.zarr/zarr.json" not in objects(s3, root)
    case.produce(root, processes)
    assert objects(s3, root) == undisturbed


def test_credentials_that_are_no_longer_valid(s3, case, undisturbed, monkeypatch, client):
    root = new_root()
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "expired")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(OSError, match=r"s3://.*Forbidden.*check the credentials"):
            case.produce(root, client)
    finally:
        monkeypatch.undo()
        s3fs.S3FileSystem.clear_instance_cache()
    case.produce(root, client)
    assert objects(s3, root) == undisturbed
