"""A Dask client of the cluster that a product asks for, with workers that are fit for its work."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import dask
from distributed import Client, Security
from distributed.comm.core import connect
from distributed.deploy.cluster import Cluster as DaskCluster

from flows.cluster import address, kubernetes, local, slurm
from flows.cluster.errors import ClusterError
from flows.environment import dashboard_of_running_scheduler, without_working_folder
from somo.product.cluster import SchedulerAddress
from somo.product.declaration import Product

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
# How long the first worker may take to get its turn on a shared machine.
QUEUE_SECONDS = {"kubernetes": 3600}

Starter = Callable[[Any], AbstractContextManager[DaskCluster | str]]
# How Dask is started, by `[cluster] kind`: a context that gives a cluster, or the address of a scheduler.
STARTERS: dict[str, Starter] = {
    "local": local.start,
    "address": address.start,
    "kubernetes": kubernetes.start,
    "slurm": slurm.start,
}


@contextmanager
def cluster(product: Product) -> Iterator[Client]:
    """A Dask client of the cluster that the product asks for; both are closed at the end.

    Raises
    ------
    ClusterError
        if there is none, or its packages differ from this process's
    """
    declared = product.cluster
    # A client that is closed while its cluster is already gone stays Dask's scheduler for whatever comes after it.
    former = dask.config.set(scheduler=dask.config.get("scheduler", None))
    with former, without_working_folder(), STARTERS[declared.kind](declared) as source:
        address_of_scheduler = source if isinstance(source, str) else source.scheduler_address
        try:
            if isinstance(source, str):
                require_answer(source)
            client = Client(source, timeout=CONNECT_SECONDS)
        # distributed raises a TypeError where a scheduler asks for a certificate and the client has none.
        except (OSError, TimeoutError, TypeError, ValueError) as error:
            reason = str(error) or "no answer"
            raise ClusterError(
                f"Dask scheduler {address_of_scheduler}: cannot be reached ({reason}); start it, correct [cluster] "
                "address, or export the TLS certificates it asks for (DASK_DISTRIBUTED__COMM__TLS__*)"
            ) from error
        with client:
            require_workers(client, QUEUE_SECONDS.get(declared.kind, CONNECT_SECONDS))
            require_same_packages(client)
            yield client


def require_answer(address: str) -> None:
    """Wait for the first answer of a scheduler, for a while: a client of Dask would wait for it for ever.

    It has a limit for the connection alone, which something else that listens there, or a process that was stopped,
    gives at once.

    Raises
    ------
    TimeoutError, OSError, TypeError, ValueError
        if none comes, as for another protocol or without the certificates that it asks for
    """

    async def ask() -> None:
        options = Security().get_connection_args("client")
        comm = await asyncio.wait_for(connect(address, timeout=CONNECT_SECONDS, **options), CONNECT_SECONDS)
        await comm.close()

    # In a thread of its own, since the caller's may have an event loop, as a notebook's does.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, ask()).result()


@contextmanager
def running_scheduler(product: Product) -> Iterator[Client | None]:
    """A client of the scheduler that others have started; None where a run starts its own, or where nobody answers."""
    if not isinstance(product.cluster, SchedulerAddress):
        yield None
        return
    try:
        require_answer(product.cluster.address)
        client = Client(product.cluster.address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, TypeError, ValueError):
        yield None
        return
    with client:
        yield client


def require_workers(client: Client, seconds: float) -> None:
    """Wait for the first worker; a cluster without any would keep the work pending for ever.

    Raises
    ------
    ClusterError
        naming the scheduler and how long it was waited for
    """
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
        f"{package} {version_on_worker} on {worker}, {ours[package]} here"
        for worker, theirs in client.run(packages).items()
        for package, version_on_worker in theirs.items()
        if version_on_worker != ours[package]
    ]
    if differing:
        raise ClusterError(
            f"workers differ from this process: {'; '.join(differing)}; use one image or one requirements.lock"
        )


def dashboard_link(client: Client) -> str:
    """URL of the cluster's dashboard, as an operator reaches it; empty where there is none.

    `SOMO_DASHBOARD` is that of a scheduler which other processes have started.
    """
    link_in_settings = dashboard_of_running_scheduler() if client.cluster is None else None
    return link_in_settings or str(client.dashboard_link or "")


def packages() -> dict[str, str]:
    """Versions of the packages that must agree between client and workers."""
    versions = {}
    for package in COMPARED_PACKAGES:
        try:
            # Builds of one torch for CPUs and for CUDA differ in what follows the plus sign, and work together.
            versions[package] = version(package).split("+")[0]
        except PackageNotFoundError:
            versions[package] = "absent"
    return versions


def gpu_resources(client: Client) -> dict[str, int]:
    """`resources=` of one training task: a GPU where a worker advertises one or jobs with one are submitted for it."""
    if getattr(client.cluster, "gpu_workers", 0):
        return {"GPU": 1}
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return {"GPU": 1} if any(worker["resources"].get("GPU") for worker in workers) else {}


def expected_workers(client: Client) -> int:
    """Workers that work may spread over: those that have joined, or those that jobs will be submitted for."""
    return max(len(client.scheduler_info(n_workers=-1)["workers"]), getattr(client.cluster, "most_workers", 0), 1)
