"""Settings from the environment, where Dask comes from, and progress. Nothing else in the project reads `os.environ`.

Storage credentials (`AWS_*`) and TLS certificates of Dask (`DASK_DISTRIBUTED__COMM__*`) are read from the environment
by the libraries themselves and never pass through here.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from uuid import uuid4

import dask
import distributed
import pydantic
from dask.system import CPU_COUNT
from distributed import Client, Future, LocalCluster, as_completed
from distributed.deploy.cluster import Cluster as DaskCluster
from distributed.system import MEMORY_LIMIT
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from flows.kubernetes import dask_cluster, gpu_workers
from flows.services import WORKER_ENVIRONMENT
from somo.core.product import Product, ProductError
from somo.core.settings import Cluster
from somo.core.storage import NETWORK_ERRORS, filesystem, join, put
from somo.core.toml import read_product

COMPARED_PACKAGES = (
    "somo",
    "dask",
    "distributed",
    "cloudpickle",
    "msgpack",
    "numpy",
    "xarray",
    "zarr",
    "numcodecs",
    "torch",
)
CONNECT_SECONDS = 30
QUEUE_SECONDS = {"kubernetes": 3600, "slurm": 86400}
"""How long the first worker may take to get its turn on a shared machine."""
MEMORY_TOPIC = "worker-restart-memory"
"""What a Dask nanny tells when it ends its worker for its memory."""
STORAGE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_ALLOW_HTTP")
DAILY = "0 6 * * *"
PREFECT_SETTINGS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}

console = Console(stderr=True)
output = Console(soft_wrap=True)
show_traceback = False


@dataclass(frozen=True)
class Progressed:
    """How far a piece of work is."""

    description: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> str:
        """Work done per second or minute, for people."""
        per_second = self.done / max(self.seconds, 1e-6)
        return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"

    @property
    def seconds_left(self) -> float:
        return self.seconds / max(self.done, 1) * (self.total - self.done)


_watchers: ContextVar[tuple[Callable[[Progressed], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Callable[[Progressed], None]) -> Iterator[None]:
    """Call `watcher` whenever a piece of distributed work is done, besides the progress bar."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


class ClusterError(OSError):
    """No cluster to work on, or one that was lost; the text names it and the remedy."""


def load(path: str | Path) -> Product:
    """Read a product declaration with the environment's values.

    `SOMO_CLUSTER_<KEY>` replaces a key of its `[cluster]` table (`SOMO_CLUSTER_WORKERS=8`); an address implies
    `kind = "address"`. `SOMO_REAL`, where unset, is the folder `shared/real` beside the project that holds the file.
    """
    product = read_product(path, _environment(Path(path)))
    overrides: dict[str, Any] = {
        key.removeprefix("SOMO_CLUSTER_").lower(): value
        for key, value in os.environ.items()
        if key.startswith("SOMO_CLUSTER_")
    }
    if not overrides:
        return product
    if "address" in overrides:
        overrides.setdefault("kind", "address")
    try:
        changed = Cluster.model_validate({**product.cluster.model_dump(), **overrides})
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = "SOMO_CLUSTER_" + ".".join(str(part) for part in first["loc"]).upper()
        raise ProductError(
            f"{key} = {first['input']!r}: {first['msg']}; allowed keys: {', '.join(Cluster.model_fields)}"
        ) from error
    return product.model_copy(update={"cluster": changed})


def _environment(path: Path) -> dict[str, str]:
    values = dict(os.environ)
    for folder in path.resolve().parents:
        beside = folder.parent / "shared" / "real"
        if (folder / "pyproject.toml").exists() and beside.is_dir():
            values.setdefault("SOMO_REAL", str(beside))
    return values


def root_of(product: Product, root: str) -> str:
    """Root of a product's results: the one given, else the declared one; a folder becomes absolute."""
    chosen = root or product.root
    if not chosen:
        raise ProductError(f"{product.name}: no place for the results; give --root or root = in the declaration")
    return chosen if "://" in chosen else str(Path(chosen).resolve())


def require_writable(root: str) -> None:
    """Fail before any work if results cannot be written.

    Raises
    ------
    StorageError
        naming the place
    """
    probe = join(root, f".writable-{uuid4().hex[:8]}")
    put(probe, b"")
    fs, path = filesystem(probe)
    fs.rm_file(path)


def prepare_prefect() -> None:
    """Settings of Prefect for a run from the command line; what the environment says already stays."""
    for name, value in PREFECT_SETTINGS.items():
        os.environ.setdefault(name, value)
    if not show_traceback:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")


def deployment_settings(home: Path) -> dict[str, str]:
    """The environment with the values that `infra/prefect.yaml` asks for.

    Raises
    ------
    ProductError
        if the product to deploy is not named
    """
    if not (path := os.environ.get("SOMO_PRODUCT")):
        raise ProductError("SOMO_PRODUCT is not set; export the path of the product's TOML file")
    product = load(path)
    own = {
        "SOMO_NAME": product.name,
        "SOMO_HOME": str(home),
        "SOMO_ROOT": root_of(product, os.environ.get("SOMO_ROOT", "")),
    }
    return {"SOMO_UPDATE_CRON": DAILY, **os.environ, **own}


def inherited(*names: str) -> dict[str, str]:
    """Environment variables of this process that another one may have too, where they are set."""
    return {name: os.environ[name] for name in names if name in os.environ}


def export(values: Mapping[str, str]) -> None:
    """Set environment variables for this process and those it starts."""
    os.environ.update(values)


def is_transient(_task: object, _run: object, state: Any) -> bool:
    """Whether a failed Prefect state comes from the network, which may have recovered."""
    error = state.result(raise_on_failure=False)
    while isinstance(error, BaseException):
        if isinstance(error, NETWORK_ERRORS):
            return True
        error = error.__cause__
    return False


@contextmanager
def cluster(product: Product) -> Iterator[Client]:
    """A Dask client of the cluster that the product asks for; both are closed at the end.

    Raises
    ------
    ClusterError
        if there is none, or its packages differ from this process's
    """
    declared = product.cluster
    with _start(declared) as source:
        try:
            client = Client(source, timeout=CONNECT_SECONDS)
        except (OSError, TimeoutError, TypeError, ValueError) as error:
            raise ClusterError(
                f"Dask scheduler {declared.address}: cannot be reached ({error}); start it, correct [cluster] address, "
                "or export the TLS certificates it asks for (DASK_DISTRIBUTED__COMM__TLS__*)"
            ) from error
        with client:
            require_workers(client, QUEUE_SECONDS.get(declared.kind, CONNECT_SECONDS))
            require_same_packages(client)
            yield client


@contextmanager
def _start(declared: Cluster) -> Iterator[DaskCluster | str]:
    if declared.kind == "address":
        if declared.address is None:
            raise ClusterError('[cluster] kind = "address" without address; add address = "tls://host:8786"')
        yield declared.address
        return
    makers: dict[str, Callable[[Cluster], AbstractContextManager[DaskCluster]]] = {
        "local": _local, "kubernetes": _kubernetes, "slurm": _slurm,
    }  # fmt: skip
    with makers[declared.kind](declared) as made:
        yield made


def _local(declared: Cluster) -> LocalCluster:
    """One process of one thread per core; as many of them as there are GPUs advertise one."""
    workers = declared.workers or CPU_COUNT
    memory = min(int(declared.memory_gb * 1e9), MEMORY_LIMIT // workers)
    dask.config.set(
        {
            "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
            # Its nanny starts a worker again. Dask would end the nanny of one that is just starting for a second time.
            "distributed.deploy.lost-worker-timeout": "1 day",
        }
    )
    local = LocalCluster(
        n_workers=0,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=memory,
        silence_logs=logging.WARNING if show_traceback else logging.CRITICAL,
    )
    gpus = min(declared.gpu_workers or len(list(Path("/dev").glob("nvidia[0-9]"))), workers)
    plain, spec = local.new_spec, local.new_spec["options"]
    local.new_spec = {**plain, "options": {**spec, "resources": {"GPU": 1}}}
    local.scale(gpus)
    local.new_spec = plain
    local.scale(workers)
    return local


def _kubernetes(declared: Cluster) -> DaskCluster:
    """A cluster of the Dask operator: CPU workers scale with the work, GPU workers form a group of their own.

    The operator's addresses are tcp://, so that this process may not insist on TLS; infra/k8s keeps others out.
    """
    from dask_kubernetes.operator import KubeCluster

    dask.config.set({"distributed.comm.require-encryption": False})
    storage = inherited(*STORAGE_VARIABLES)
    wanted = dask_cluster(f"somo-{uuid4().hex[:8]}", declared, storage)
    made = KubeCluster(custom_cluster_spec=wanted, namespace=declared.namespace)
    if declared.gpu_workers:
        made.add_worker_group("gpu", custom_spec=gpu_workers(declared, storage))
    made.adapt(minimum=1, maximum=max(declared.workers, 1))
    return made


def _slurm(declared: Cluster) -> DaskCluster:
    """SLURM jobs of one process and one thread each, as many as the work needs up to `workers`."""
    from dask_jobqueue import SLURMCluster

    gpu = bool(declared.gpu_workers)
    made = SLURMCluster(
        queue=declared.queue,
        cores=1,
        processes=1,
        memory=f"{declared.memory_gb:g}GB",
        walltime=declared.walltime,
        job_script_prologue=[f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()],
        job_extra_directives=["--gres=gpu:1"] if gpu else [],
        worker_extra_args=["--resources", "GPU=1"] if gpu else [],
    )
    made.adapt(minimum=1, maximum=max(declared.workers, declared.gpu_workers, 1))
    return made


def require_workers(client: Client, seconds: float) -> None:
    """Wait for the first worker; a cluster without any would keep the work pending for ever."""
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        address = client.scheduler_info()["address"]
        raise ClusterError(
            f"Dask scheduler {address}: no worker joined within {seconds:.0f} s; start one with `dask worker`"
        ) from error


def require_same_packages(client: Client) -> None:
    """Refuse to start where workers hold other package versions than this process.

    Raises
    ------
    ClusterError
        naming package, worker and both versions
    """
    ours = packages()
    differing = [
        f"{package} {found} on {worker}, {ours[package]} here"
        for worker, theirs in client.run(packages).items()
        for package, found in theirs.items()
        if found != ours[package]
    ]
    if differing:
        raise ClusterError(
            f"workers differ from this process: {'; '.join(differing)}; use one image or one requirements.lock"
        )


def dashboard_link(client: Client) -> str:
    """URL of the cluster's dashboard, as an operator reaches it; empty where there is none.

    `SOMO_DASHBOARD` is that of a scheduler which other processes have started.
    """
    known = os.environ.get("SOMO_DASHBOARD") if client.cluster is None else None
    return known or str(client.dashboard_link or "")


def packages() -> dict[str, str]:
    """Versions of the packages that must agree between client and workers."""
    found = {}
    for package in COMPARED_PACKAGES:
        try:
            found[package] = version(package).split("+")[0]  # the same torch for CPU and for CUDA
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def gpu_resources(client: Client) -> dict[str, int]:
    """`resources=` of one training task: a GPU where a worker advertises one, nothing elsewhere."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if any(worker["resources"].get("GPU") for worker in workers) else {}


def completed(futures: Iterable[Future], description: str) -> Iterator[Any]:
    """Results in order of completion, with a progress bar of rate and time left on standard error.

    The first failure cancels the rest and is raised as the task raised it.

    Raises
    ------
    ClusterError
        if the scheduler or too many workers are lost, or workers run out of memory and nothing is completed between
    """
    pending = list(futures)
    if not pending:
        return
    bar = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True),
        console=console, disable=console.quiet,
    )  # fmt: skip
    started, done = time.monotonic(), 0
    with bar, _ended_for_memory(pending) as ended:
        task = bar.add_task(description, total=len(pending), rate="")
        try:
            for _, result in as_completed(pending, loop=pending[0].client.loop, with_results=True):
                if isinstance(result, BaseException):
                    raise result
                done += 1
                now = Progressed(description, done, len(pending), time.monotonic() - started)
                bar.update(task, completed=done, rate=now.rate)
                for watcher in _watchers.get():
                    watcher(now)
                yield result
        except (distributed.KilledWorker, distributed.client.CancelledError) as error:
            why = f"workers ran out of memory: {'; '.join(ended)}" if ended else str(error)
            raise ClusterError(
                f"{description}: the cluster was lost after {done} of {len(pending)} ({why}); run again, finished "
                "work is kept. If a worker ran out of memory, raise [cluster] memory_gb or choose smaller tiles"
            ) from error
        finally:
            for future in pending:
                if not future.done():
                    future.cancel()


@contextmanager
def _ended_for_memory(futures: list[Future]) -> Iterator[list[str]]:
    """Workers that Dask ended for their memory while they had our work and none was completed; too many cancel it.

    Dask fails a task that has ended so many workers, but tries all others in between: with thousands of them, for ever.
    A client watches one list of futures at a time.
    """
    client, ended, ours = futures[0].client, list[str](), {future.key: future for future in futures}
    allowed, done = dask.config.get("distributed.scheduler.allowed-failures"), 0

    async def note(event: tuple[float, dict[str, Any]]) -> None:
        nonlocal done
        worker, size = event[1]["worker"], event[1]["rss"]
        working = await client.scheduler.processing(workers=None)
        if worker in working and not ours.keys() & set(working[worker]):
            return
        now = sum(future.done() for future in ours.values())
        if now > done:
            ended.clear()
        done = now
        ended.append(f"{worker} at {size / 1e9:.1f} GB")
        if len(ended) > allowed:
            await client.cancel(list(ours.values()), asynchronous=True)

    client.subscribe_topic(MEMORY_TOPIC, note)
    try:
        yield ended
    finally:
        ours.clear()
        if client.status == "running":
            client.unsubscribe_topic(MEMORY_TOPIC)
