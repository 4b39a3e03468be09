import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import dask
import pytest
from distributed import Client, LocalCluster

from flows.cluster import connecting
from flows.cluster.connecting import cluster, gpu_resources, packages, require_same_packages
from flows.cluster.errors import ClusterError, require_package
from flows.cluster.slurm import wait_for_worker
from flows.cluster.slurm_jobs import JobKeeper
from flows.cluster.watching import Progressed, completed, watching
from flows.cluster.workers import WORKER_ENVIRONMENT
from flows.environment import load_product
from somo.product.cluster import CLUSTER_KINDS, ClusterKind, SchedulerAddress, register_cluster_kind
from somo.product.declaration import ProductError
from tests.flows.stranger import listening_ports, require_closed
from tests.flows.test_working_folder import lay_traps

TOML = """
name = "T"
period = {start = 2001-01-01, end = 2001-12-31}
grid = {kind = "regular", west = 0, east = 2, south = 50, north = 52, step_deg = 1}
forcing.precipitation = {url = "${SOMO_REAL}/p_{year}.nc", variable = "tp", units = "mm d-1"}
static.wetness = {computed = "mean", of = "precipitation"}
insitu = [{name = "a", url = "archive.zip"}]
targets = {scaling = "none"}
cluster = {workers = 1, memory_gb = 1}
"""


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOMO_REAL", "/data")
    path = tmp_path / "t.toml"
    path.write_text(TOML)
    return path


def double(value: int) -> int:
    if value < 0:
        raise ValueError(f"{value} is negative")
    return 2 * value


def test_the_operators_plain_pods_must_be_accepted_by_name(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMO_CLUSTER_KIND", "kubernetes")
    with pytest.raises(ClusterError, match=r"no TLS.*accept_plain_tcp = true"), cluster(load_product(toml)):
        pass


def test_load_takes_urls_from_the_environment(toml: Path) -> None:
    assert load_product(toml).sources["precipitation"].url == "/data/p_{year}.nc"


def test_real_cases_beside_the_project_are_found(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOMO_REAL")
    project = toml.parent / "project"
    (project / "tests").mkdir(parents=True)
    (project / "pyproject.toml").touch()
    inside = project / "tests" / "t.toml"
    inside.write_text(TOML)
    with pytest.raises(ProductError, match="SOMO_REAL is not set"):
        load_product(inside)
    (toml.parent / "shared" / "real").mkdir(parents=True)
    assert load_product(inside).sources["precipitation"].url == f"{toml.parent}/shared/real/p_{{year}}.nc"


def test_environment_replaces_cluster_keys(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMO_CLUSTER_ADDRESS", "tls://127.0.0.1:1")
    cluster = load_product(toml).cluster
    assert cluster == SchedulerAddress(address="tls://127.0.0.1:1", memory_gb=1)
    monkeypatch.delenv("SOMO_CLUSTER_ADDRESS")
    monkeypatch.setenv("SOMO_CLUSTER_WORKERS", "many")
    with pytest.raises(ProductError, match="SOMO_CLUSTER_WORKERS = 'many'"):
        load_product(toml)
    monkeypatch.delenv("SOMO_CLUSTER_WORKERS")
    monkeypatch.setenv("SOMO_CLUSTER_MEMORY_GB", "inf")
    with pytest.raises(ProductError, match="SOMO_CLUSTER_MEMORY_GB = 'inf': Input should be a finite number"):
        load_product(toml)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"KIND": "foo"}, "SOMO_CLUSTER_KIND = 'foo': kind 'foo' is unknown; allowed are "),
        ({"KIND": "slurm", "WALLTIME": "abc"}, "SOMO_CLUSTER_WALLTIME = 'abc': walltime \"abc\" is no time of SLURM; "),
        (
            {"KIND": "slurm", "MIN_WORKERS": "9", "WORKERS": "2"},
            "SOMO_CLUSTER_MIN_WORKERS = '9', SOMO_CLUSTER_WORKERS = '2': min_workers 9 is more than workers 2; ",
        ),
        ({"KIND": "slurm", "DIRECTIVES": "-x ;rm"}, "SOMO_CLUSTER_DIRECTIVES = '-x ;rm': String should match "),
        *(
            ({"ADDRESS": address}, f"SOMO_CLUSTER_ADDRESS = {address!r}: address {address!r} names no host and port")
            for address in ("", "tls://host", "host", "tls://:8786", "tls://host:port", "tls://host:99999")
        ),
        ({"KIND": "address"}, "SOMO_CLUSTER_ADDRESS: Field required; allowed keys: kind, memory_gb, address"),
    ],
)
def test_a_wrong_variable_is_named(
    settings: dict[str, str], message: str, toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some were told as the whole table, as `SOMO_CLUSTER = {'memory_gb': 3.0, ...}`, and a list by a number."""
    for key, value in settings.items():
        monkeypatch.setenv(f"SOMO_CLUSTER_{key}", value)
    with pytest.raises(ProductError) as refused:
        load_product(toml)
    assert str(refused.value).startswith(message)


def test_a_kind_from_outside_is_declared_and_started(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its settings are registered, its starter is added; the declaration's table then names it like any other."""

    class Threads(ClusterKind):
        """Threads of this process."""

        kind: Literal["threads"] = "threads"
        threads: int = 1

    @contextmanager
    def start(declared: Threads) -> Iterator[LocalCluster]:
        with LocalCluster(
            n_workers=1, threads_per_worker=declared.threads, processes=False, dashboard_address="127.0.0.1:0"
        ) as started:
            yield started

    monkeypatch.setitem(CLUSTER_KINDS, "threads", Threads)
    monkeypatch.setitem(connecting.STARTERS, "threads", start)
    assert register_cluster_kind(Threads) is Threads
    toml.write_text(TOML.replace("cluster = {workers = 1,", 'cluster = {kind = "threads", threads = 3,'))
    with cluster(load_product(toml)) as client:
        assert list(client.nthreads().values()) == [3]
        assert client.submit(double, 4).result(30) == 8
    toml.write_text(TOML.replace("cluster = {workers = 1,", 'cluster = {kind = "threads", workers = 3,'))
    with pytest.raises(ProductError, match="workers"):
        load_product(toml)


def test_ctrl_c_stays_an_interrupt_where_slurms_package_is_imported() -> None:
    """It sets a handler of its own, by which a run that was interrupted ended with status 0."""
    # A shell lets what it starts in the background ignore it, and with that the tests.
    code = (
        "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "import flows.cluster.slurm_jobs; os.kill(os.getpid(), signal.SIGINT)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGINT and "KeyboardInterrupt" in done.stderr


def test_local_cluster_computes_in_other_processes(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In a folder of all users: whatever lies there is no part of Python.
    sprung = lay_traps(toml.parent, "multiprocessing", "distributed")
    monkeypatch.chdir(toml.parent)
    # Servers that other tests share run in this process and below it.
    ports_of_other_tests = listening_ports([os.getpid()])
    former = dict(os.environ)
    with cluster(load_product(toml)) as client:
        require_closed(client, ports_of_other_tests)
        results = completed(client.map(double, [1, 2, 3]), "doubling")
        assert sorted(results) == [2, 4, 6]
        assert client.submit(len, [1], resources=gpu_resources(client)).result() == 1
        (temporary,) = set(client.run(tempfile.gettempdir).values())
        assert Path(temporary).name.startswith("somo-")
        assert not any(client.run(dask.config.get, "distributed.worker.profile.enabled").values())
    assert not sprung.exists() and "PYTHONSAFEPATH" not in os.environ
    # The folder is gone, and this process goes on.
    assert os.environ.get("TMPDIR") == former.get("TMPDIR") and not Path(temporary).exists()


def test_first_failure_is_raised_as_the_task_raised_it(client: Client) -> None:
    with pytest.raises(ValueError, match="-1 is negative"):
        list(completed(client.map(double, [1, -1, 3]), "doubling"))


def test_unreachable_scheduler_is_named(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMO_CLUSTER_ADDRESS", "tcp://127.0.0.1:9")
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9: cannot be reached"), cluster(load_product(toml)):
        pass


def test_other_package_versions_are_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    require_same_packages(client)
    monkeypatch.setattr(client, "run", lambda _: {"tcp://w": {**packages(), "zarr": "2.0"}})
    with pytest.raises(ClusterError, match=r"zarr 2\.0 on tcp://w"):
        require_same_packages(client)


def test_rate_and_time_left() -> None:
    assert Progressed("work", 30, 60, 10.0).rate == "3.0/s"
    assert Progressed("work", 1, 4, 10.0).rate == "6.0/min"
    assert Progressed("work", 1, 4, 10.0).seconds_left == 30


def test_watchers_see_every_step(client: Client) -> None:
    seen: list[Progressed] = []
    with watching(seen.append):
        assert sorted(completed(client.map(double, [5, 6]), "doubling")) == [10, 12]
    assert [(now.done, now.total) for now in seen] == [(1, 2), (2, 2)]


def test_workers_let_go_of_a_result_that_was_given(client: Client) -> None:
    futures = client.map(double, [7, 8, 9])
    keys = {future.key for future in futures}
    for number, _ in enumerate(completed(futures, "doubling"), start=1):
        deadline = time.monotonic() + 30
        # The scheduler hears of it a moment later.
        while len(keys & client.who_has().keys()) > len(keys) - number:
            assert time.monotonic() < deadline, f"workers still keep what was given: {client.who_has()}"
            time.sleep(0.02)


def test_a_keeper_of_jobs_that_meets_the_unexpected_says_so(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be silent otherwise, and a run without jobs waits for a week."""

    async def broken() -> None:
        raise AttributeError("squeue has said something new")

    keeper = JobKeeper(client.cluster.scheduler, [], 1.0)
    monkeypatch.setattr(keeper, "_look", broken)
    client.sync(keeper._keep)
    with pytest.raises(ClusterError, match="unexpected AttributeError: squeue has said something new; run again"):
        wait_for_worker(keeper)


def test_a_workers_log_holds_neither_signature_nor_login(tmp_path: Path) -> None:
    """Of a task that failed Dask writes its arguments, its error and its traceback."""
    script = tmp_path / "failing.py"
    script.write_text(
        "from distributed import Client, LocalCluster\n"
        "def read(url):\n"
        "    raise OSError(f'{url} cannot be reached')\n"
        "if __name__ == '__main__':\n"
        "    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as started:\n"
        "        with Client(started) as client:\n"
        "            error = client.submit(read, 'https://me:pass@h/x.nc?X-Amz-Signature=ab12').exception()\n"
        "            assert 'ab12' in str(error)\n"
    )
    done = subprocess.run(
        [sys.executable, script], env={**os.environ, **WORKER_ENVIRONMENT}, capture_output=True, text=True, check=True
    )
    assert "Compute Failed" in done.stderr and "https://...@h/x.nc?..." in done.stderr
    assert "ab12" not in done.stderr and "pass@" not in done.stderr


def test_a_kind_whose_package_is_not_installed_names_it() -> None:
    require_package("distributed", "local")
    with pytest.raises(ClusterError, match=r'kind = "slurm" needs no-such-package, .*: pip install no-such-package'):
        require_package("no_such_package", "slurm")
