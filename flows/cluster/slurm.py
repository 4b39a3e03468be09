"""Dask as SLURM jobs."""

from distributed.deploy.cluster import Cluster as DaskCluster

from flows.cluster.workers import WORKER_ENVIRONMENT
from somo.product.cluster import SlurmJobs


def start(declared: SlurmJobs) -> DaskCluster:
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
    made.adapt(minimum=1, maximum=max(declared.workers, declared.gpu_workers))
    return made
