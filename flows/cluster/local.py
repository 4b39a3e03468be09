"""Dask on this machine: worker processes of one thread each."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster, Security
from distributed.system import MEMORY_LIMIT

from flows.cluster.security import close_dashboard
from flows.cluster.workers import WORKER_ENVIRONMENT
from flows.console import verbosity
from flows.leftovers import scratch_prefix
from somo.product.cluster import LocalWorkers


@contextmanager
def start(declared: LocalWorkers) -> Iterator[LocalCluster]:
    """One process of one thread per core; as many of them as there are GPUs advertise one.

    Loopback is open to every user of the machine, so that the processes show each other certificates of this run.
    """
    workers = declared.workers or CPU_COUNT
    memory = min(int(declared.memory_gb * 1e9), MEMORY_LIMIT // workers)
    dask.config.set(
        {
            # Nannies hand this process's settings to their workers, in place of those in the environment.
            "distributed.worker.http.routes": [],
            "distributed.worker.profile.enabled": False,
            # Its nanny starts a worker again. Dask would end the nanny of one that is just starting for a second time.
            "distributed.deploy.lost-worker-timeout": "1 day",
        }
    )
    with (
        # Dask would share a folder of /tmp with every user, and read back from it what it has spilled.
        TemporaryDirectory(prefix=f"{scratch_prefix()}dask-", ignore_cleanup_errors=True) as scratch,
        # A worker that is ended for its memory removes nothing of its temporary files: they go with the folder. It is
        # named to started workers alone: variables that nannies set before, several at once, stay with this process.
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT,
                "distributed.nanny.environ": {"TMPDIR": scratch},
            }
        ),
        LocalCluster(
            # Workers are started by `_scale`: those with a GPU have other options than the rest.
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            security=Security.temporary(),
            dashboard_address="127.0.0.1:0",
            local_directory=scratch,
            memory_limit=memory,
            silence_logs=logging.WARNING if verbosity.traceback else logging.CRITICAL,
        ) as local,
    ):
        close_dashboard(local.scheduler)
        _scale(local, workers, min(declared.gpu_workers or len(list(Path("/dev").glob("nvidia[0-9]"))), workers))
        yield local


def _scale(local: LocalCluster, workers: int, gpus: int) -> None:
    plain, spec = local.new_spec, local.new_spec["options"]
    local.new_spec = {**plain, "options": {**spec, "resources": {"GPU": 1}}}
    local.scale(gpus)
    local.new_spec = plain
    local.scale(workers)
