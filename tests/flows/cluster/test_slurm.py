"""Dask on a real SLURM, which is started on loopback where its packages are and the test may start daemons."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from distributed import Client, Scheduler

from flows.cluster import slurm, slurm_jobs
from flows.cluster.connecting import cluster, gpu_resources
from flows.cluster.errors import ClusterError
from flows.cluster.watching import completed
from flows.environment import load_product
from flows.pipeline import run
from flows.stages.ingest import ingest
from flows.stages.learning.samples import prepare
from flows.stages.targets import build_targets
from flows.stages.train import Group, folds_of, train_network
from somo.learn.samples import read_training_set
from somo.product.declaration import Product
from tests.flows.cluster.jobs_work import double, trained_slowly
from tests.flows.cluster.slurm_server import is_possible
from tests.flows.cluster.slurm_server import slurm as slurm_on_loopback
from tests.flows.conftest import TINY
from tests.flows.stranger import listening_ports, require_closed

TOML = """
name = "T"
period = {start = 2001-01-01, end = 2001-12-31}
grid = {kind = "regular", west = 0, east = 2, south = 50, north = 52, step_deg = 1}
forcing.precipitation = {url = "/data/p_{year}.nc", variable = "tp", units = "mm d-1"}
static.wetness = {computed = "mean", of = "precipitation"}
insitu = [{name = "a", url = "archive.zip"}]
targets = {scaling = "none"}
"""
real_slurm = pytest.mark.skipif(not is_possible(), reason="needs root, and Debian's packages slurm-wlm and munge")


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A SLURM of this module's own, found by its variables."""
    with slurm_on_loopback(tmp_path_factory.mktemp("slurm")) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


Declare = Callable[..., Product]


@pytest.fixture
def declare(tmp_path: Path) -> Declare:
    """Declare a product on SLURM with some keys of `[cluster]`."""

    def write(**keys: object) -> Product:
        settings = {"kind": "slurm", "memory_gb": 1, "shared_folder": str(tmp_path / "shared"), **keys}
        table = "\n".join(f"{key} = {value!r}" for key, value in settings.items())
        path = tmp_path / "t.toml"
        path.write_text(f"{TOML}\n[cluster]\n{table}\n")
        return load_product(path)

    return write


def jobs(form: str = "%i") -> list[str]:
    """What SLURM says of the jobs in its queue."""
    asked = subprocess.run(["squeue", "-h", "-o", form], capture_output=True, text=True, check=True)
    return asked.stdout.split()


def until(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@real_slurm
def test_jobs_become_workers(queue: None, declare: Declare, tmp_path: Path) -> None:
    product = declare(workers=2, processes=2, job_name="tiny", directives=["--comment=seen"], constraint="fast")
    # Servers that other tests share run in this process and below it.
    ports_of_other_tests = listening_ports([os.getpid()])
    with cluster(product) as client:
        assert sorted(completed(client.map(double, range(3)), "doubling")) == [0, 2, 4]
        require_closed(client, ports_of_other_tests)
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2
        assert jobs("%j|%P|%C|%k|%f") == ["tiny|compute|2|seen|fast"]
        (certificates,) = (tmp_path / "shared").glob("tls-*")
        assert {path.stat().st_mode & 0o077 for path in (certificates, *certificates.iterdir())} == {0}
        logs = list((tmp_path / "shared" / "logs").glob("tiny-*.err"))
        assert len(logs) == 1
    until(lambda: not jobs("%i"))
    assert list((tmp_path / "shared").glob("tls-*")) == []


@real_slurm
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"queue": "nowhere"}, r"invalid partition specified: nowhere.*change \[cluster\] queue"),
        ({"constraint": "slow"}, r"Invalid feature specification.*change \[cluster\] constraint"),
        ({"walltime": "10:00:00"}, r"will never start: reason PartitionTimeLimit.*change \[cluster\] walltime"),
        ({"memory_gb": 900}, r"Memory specification can not be satisfied.*change \[cluster\] memory_gb"),
        ({"directives": ["--nonsense"]}, r"unrecognized option '--nonsense'.*change \[cluster\] directives"),
    ],
)
def test_what_slurm_refuses_is_told_at_once(queue: None, declare: Declare, keys: dict, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(ClusterError, match=words), cluster(declare(**keys)):
        pass
    assert time.monotonic() - began < 20


@real_slurm
def test_work_for_a_gpu_gets_a_job_with_one(queue: None, declare: Declare) -> None:
    product = declare(workers=1, gpu_workers=1, patience_s=1.0)
    with cluster(product) as client:
        assert gpu_resources(client) == {"GPU": 1}
        work = client.submit(double, 4, seconds=3, resources=gpu_resources(client))
        until(lambda: sorted(jobs("%b")) == ["N/A", "gres:gpu:1"])
        assert work.result(120) == 8
        until(lambda: sorted(jobs("%b")) == ["N/A"])  # a job with a GPU does not stay without work for it


def charges(dask_scheduler: Scheduler) -> list[int]:
    """How many deaths of workers every task is charged with."""
    return [task.suspicious for task in dask_scheduler.tasks.values()]


@real_slurm
def test_jobs_that_slurm_takes_away_cost_only_time(
    queue: None, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_jobs, "QUEUE_EVERY_SECONDS", 1.0)
    with cluster(declare(workers=1)) as client:
        work = client.submit(double, 21, seconds=3)
        for command in (["scancel"], ["scontrol", "requeue"]):
            until(lambda: any(client.processing().values()))
            (job,) = jobs()
            subprocess.run([*command, job], check=True)
            until(lambda: not any(client.processing().values()))
        # SLURM holds a job that was requeued for two minutes, once it is back in the queue. A few seconds it must be:
        # slurmd refuses the credential of a job that starts again in the second in which it was stopped.
        until(lambda: jobs("%T|%r") == ["PENDING|BeginTime"])
        subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+5"], check=True)
        assert work.result(90) == 42
        until(lambda: client.run_on_scheduler(charges) == [0])


@real_slurm
def test_a_training_goes_on_in_the_next_job(
    queue: None, declare: Declare, client: Client, tiny_sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wall time far below that of a training: the worker ends before its job does, and the network is the same."""
    monkeypatch.setenv("SOMO_TINY", str(tiny_sources))
    # A worker lives for 6 to 18 s of the minute that is SLURM's shortest wall time.
    monkeypatch.setattr(slurm, "SHORTEST_MARGIN_S", 48.0)
    monkeypatch.setattr(slurm_jobs, "QUEUE_EVERY_SECONDS", 1.0)
    tiny = load_product(TINY)
    tiny = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 15})})
    root = str(tmp_path / "root")
    inputs = ingest(tiny, root, client)
    samples = prepare(tiny, root, inputs, build_targets(tiny, root, inputs, client), client)
    folds = folds_of(tiny, read_training_set(samples))
    # A build of PyTorch for CUDA takes more than the other tests' gigabyte when it is imported.
    with cluster(declare(walltime="00:01:00", memory_gb=3)) as jobs_client:
        group = Group(str(tmp_path / "jobs"), None, 7, 1)
        network = jobs_client.submit(trained_slowly, tiny, samples, folds, group, "layer1", 0, [])
        (stem,) = completed([network], "train networks")
        last_job = max(int(job) for job in jobs())
    assert last_job > first_job(tmp_path)
    expected = train_network(tiny, samples, folds, Group(str(tmp_path / "here"), None, 7, 1), "layer1", 0, [])
    assert Path(f"{stem}.safetensors").read_bytes() == Path(f"{expected}.safetensors").read_bytes()


def first_job(folder: Path) -> int:
    """Number of the first job whose output lies in the shared folder of a test."""
    return min(int(path.stem.rpartition("-")[2]) for path in (folder / "shared" / "logs").glob("somo-*.err"))


@real_slurm
@pytest.mark.service
def test_a_journey_takes_several_jobs_and_gives_the_same_bytes(
    queue: None, tiny_made: Path, tiny_sources: Path, prefect_server: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A wall time below that of the journey costs time alone: from sources to report, against a local run."""
    for name, value in {
        "SOMO_TINY": tiny_sources,
        "SOMO_CLUSTER_KIND": "slurm",
        "SOMO_CLUSTER_WALLTIME": "00:01:00",
        "SOMO_CLUSTER_SHARED_FOLDER": tmp_path / "shared",
    }.items():
        monkeypatch.setenv(name, str(value))
    # A worker lives for 6 to 18 s of the minute that is SLURM's shortest wall time; the work takes some 25 s.
    monkeypatch.setattr(slurm, "SHORTEST_MARGIN_S", 48.0)
    monkeypatch.setattr(slurm_jobs, "QUEUE_EVERY_SECONDS", 1.0)
    root = tmp_path / "root"
    run(str(TINY), str(root))
    assert len(list((tmp_path / "shared" / "logs").glob("*.err"))) > 1
    assert (root / "v1.0.0" / "report" / "index.html").exists()
    shards = published_shards(root)
    assert len(shards) > 10
    assert shards == published_shards(tiny_made / "root")


def published_shards(root: Path) -> dict[str, bytes]:
    """Content of every shard of the maps, by its key."""
    store = root / "v1.0.0" / "soil_moisture.zarr"
    return {str(path.relative_to(store)): path.read_bytes() for path in store.glob("*/c/**/*") if path.is_file()}
