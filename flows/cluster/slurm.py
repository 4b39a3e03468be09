"""Dask as SLURM jobs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Scheduler, Security
from distributed.deploy.spec import SpecCluster

from flows.cluster.errors import ClusterError, require_package
from flows.cluster.security import close_dashboard, shared_certificates
from flows.cluster.slurm_jobs import Group, JobKeeper
from flows.cluster.workers import WORKER_ENVIRONMENT
from somo.product.cluster import SlurmJobs, walltime_seconds

PRIVATE_SCRATCH = (
    # Dask would share a folder of /tmp with every user of the node, and read back from it what it has spilled.
    "export DASK_TEMPORARY_DIRECTORY=$(mktemp -d -t somo-dask-XXXXXXXX)",
    "trap 'rm -rf \"$DASK_TEMPORARY_DIRECTORY\"' EXIT",
)
# How long the first job may wait for its turn; meanwhile its place in the queue is shown.
QUEUE_SECONDS = 7 * 86_400
# A worker ends by itself before SLURM ends its job, so that its task moves on as one that was handed over and not as
# one that killed its worker. Workers that began together end apart from each other, or all tasks would move at once.
SHORTEST_MARGIN_S, LONGEST_MARGIN_S, MARGIN_SHARE = 20.0, 300.0, 0.1


@contextmanager
def start(declared: SlurmJobs) -> Iterator[SpecCluster]:
    """A scheduler in this process, and SLURM jobs as the work needs them; given once the first worker has joined.

    Jobs and scheduler, which other users of the nodes can reach, show each other certificates of this run.

    Raises
    ------
    ClusterError
        with the words of `sbatch` and the key to change, if SLURM takes no job or can never start it
    """
    require_package("dask_jobqueue", "slurm")
    shared = Path(declared.shared_folder).expanduser()
    with shared_certificates(shared) as security:
        options: dict[str, Any] = {"protocol": "tls://", "security": security, "dashboard_address": "127.0.0.1:0"}
        if declared.interface:
            options["interface"] = declared.interface
        with SpecCluster({}, {"cls": Scheduler, "options": options}, security=security, silence_logs="error") as jobs:
            close_dashboard(jobs.scheduler)
            keeper = JobKeeper(jobs.scheduler, groups(declared, security, shared), declared.patience_s)
            # Whoever submits a training has to know that a GPU will come, before the first one has left the queue.
            jobs.gpu_workers, jobs.most_workers = declared.gpu_workers, max(declared.workers, declared.gpu_workers)
            jobs.sync(keeper.start)
            try:
                wait_for_worker(keeper)
                yield jobs
            finally:
                jobs.sync(keeper.close)


def wait_for_worker(keeper: JobKeeper) -> None:
    """Wait until a job has left the queue and its worker has joined.

    Raises
    ------
    ClusterError
        if SLURM takes no job, can never start one, or lets it wait for a week
    """
    deadline = time.monotonic() + QUEUE_SECONDS
    while not keeper.joined.wait(0.2):
        if keeper.failure:
            raise keeper.failure
        if time.monotonic() > deadline:
            raise ClusterError(f"SLURM: no job has started within {QUEUE_SECONDS // 86_400} days; see squeue --me")


def groups(declared: SlurmJobs, security: Security, shared: Path) -> list[Group]:
    """Jobs for CPUs and jobs with a GPU: what SLURM is asked for, and how many processes there may be."""
    per_job = declared.processes
    plain = job_options(declared, security, shared, per_job)
    cpu = Group("cpu", plain, most=declared.workers, least=declared.min_workers, processes=per_job)
    if not declared.gpu_workers:
        return [cpu]
    with_gpu = job_options(declared, security, shared, 1)
    with_gpu["queue"] = declared.gpu_queue or declared.queue
    with_gpu["job_extra_directives"] = [*with_gpu["job_extra_directives"], f"--gres={declared.gres}"]
    with_gpu["worker_extra_args"] = [*with_gpu["worker_extra_args"], "--resources", "GPU=1"]
    return [cpu, Group("gpu", with_gpu, most=declared.gpu_workers, least=0, processes=1)]


def job_options(declared: SlurmJobs, security: Security, shared: Path, processes: int) -> dict[str, Any]:
    """What dask-jobqueue makes the script of one job from.

    Raises
    ------
    ClusterError
        if jobs cannot write their output where it is to go
    """
    logs = Path(declared.log_folder).expanduser() if declared.log_folder else shared / "logs"
    try:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterError(
            f"{logs}: jobs cannot write their output there ({error.strerror}); give a folder that you own and that all "
            "nodes see as [cluster] log_folder"
        ) from error
    walltime_s = walltime_seconds(declared.walltime)
    margin_s = min(max(SHORTEST_MARGIN_S, MARGIN_SHARE * walltime_s), LONGEST_MARGIN_S)
    lifetime_s = walltime_s - margin_s
    asked = {"--qos": declared.qos, "--constraint": declared.constraint}
    return {
        "queue": declared.queue,
        "account": declared.account,
        "cores": processes,
        "processes": processes,
        "memory": f"{processes * declared.memory_gb:g}GB",
        "walltime": declared.walltime,
        "job_name": declared.job_name,
        "log_directory": str(logs),
        "interface": declared.interface,
        "protocol": "tls://",
        "security": security,
        "job_script_prologue": [
            *(f"export {name}={value}" for name, value in WORKER_ENVIRONMENT.items()),
            *PRIVATE_SCRATCH,
        ],
        "job_extra_directives": [
            *(f"{option}={value}" for option, value in asked.items() if value),
            *declared.directives,
        ],
        "worker_extra_args": [
            "--no-dashboard", "--dashboard-address", "127.0.0.1:0",
            "--lifetime", f"{lifetime_s:.0f}s", "--lifetime-stagger", f"{min(margin_s, lifetime_s) / 2:.0f}s",
        ],
    }  # fmt: skip
