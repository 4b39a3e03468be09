"""Dask on this machine: worker processes of one thread each."""

import logging
from pathlib import Path

import dask
from dask.system import CPU_COUNT
from distributed import LocalCluster
from distributed.system import MEMORY_LIMIT

from flows.cluster.workers import WORKER_ENVIRONMENT
from flows.console import verbosity
from somo.product.cluster import LocalWorkers


def start(declared: LocalWorkers) -> LocalCluster:
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
        silence_logs=logging.WARNING if verbosity.traceback else logging.CRITICAL,
    )
    gpus = min(declared.gpu_workers or len(list(Path("/dev").glob("nvidia[0-9]"))), workers)
    plain, spec = local.new_spec, local.new_spec["options"]
    local.new_spec = {**plain, "options": {**spec, "resources": {"GPU": 1}}}
    local.scale(gpus)
    local.new_spec = plain
    local.scale(workers)
    return local
