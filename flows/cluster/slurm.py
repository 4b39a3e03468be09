"""Dask as SLURM jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed.deploy.cluster import Cluster as DaskCluster

from flows.cluster.security import close_dashboard, shared_certificates
from flows.cluster.workers import WORKER_ENVIRONMENT
from somo.product.cluster import SlurmJobs

PRIVATE_SCRATCH = (
    # Dask would share a folder of /tmp with every user of the node, and read back from it what it has spilled.
    "export DASK_TEMPORARY_DIRECTORY=$(mktemp -d -t somo-dask-XXXXXXXX)",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT",
)


@contextmanager
def start(declared: SlurmJobs) -> Iterator[DaskCluster]:
    """SLURM jobs of one process and one thread each, as many as the work needs up to `workers`.

    Jobs and scheduler, which other users of the nodes can reach, show each other certificates of this run.
    """
    from dask_jobqueue import SLURMCluster

    gpu = bool(declared.gpu_workers)
    with (
        shared_certificates(Path(declared.shared_folder).expanduser()) as security,
        SLURMCluster(
            queue=declared.queue,
            cores=1,
            processes=1,
            memory=f"{declared.memory_gb:g}GB",
            walltime=declared.walltime,
            protocol="tls",
            security=security,
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            job_script_prologue=[
                *(f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()),
                *PRIVATE_SCRATCH,
            ],
            job_extra_directives=["--gres=gpu:1"] if gpu else [],
            worker_extra_args=[
                "--no-dashboard",
                "--dashboard-address",
                "127.0.0.1:0",
                *(["--resources", "GPU=1"] if gpu else []),
            ],
        ) as jobs,
    ):
        close_dashboard(jobs.scheduler)
        jobs.adapt(minimum=1, maximum=max(declared.workers, declared.gpu_workers))
        yield jobs
