"""What SLURM says of jobs: their place in the queue, why they wait, how they ended, why they were refused."""

import asyncio
import re
from dataclasses import dataclass

from flows.cluster.errors import ClusterError

# squeue's letters for number, state, reason, expected start and partition.
FORMAT = "%i|%T|%r|%S|%P"
# Words of sbatch -> the keys of [cluster] that they are about.
REFUSALS = {
    "partition": "queue (or gpu_queue)",
    "account": "account, queue",
    "qos": "qos",
    "feature": "constraint",
    "generic resource": "gres",
    "memory specification": "memory_gb, processes",
    "time limit": "walltime",
    "node configuration is not available": "gres, constraint, memory_gb, processes",
    "unrecognized option": "directives",
}
# Reasons for which a job stays pending until its request or SLURM's configuration changes -> keys of [cluster].
HOPELESS = {
    "PartitionTimeLimit": "walltime, queue",
    "PartitionNodeLimit": "processes, queue",
    "BadConstraints": "constraint",
    "InvalidAccount": "account",
    "InvalidQOS": "qos",
    "QOSMaxWallDurationPerJobLimit": "walltime, qos",
    "AssocMaxWallDurationPerJobLimit": "walltime, account",
    "QOSMaxMemoryPerJob": "memory_gb, processes, qos",
    "QOSMaxCpuPerJobLimit": "processes, qos",
    "AssocMaxCpuPerJobLimit": "processes, account",
    "DependencyNeverSatisfied": "directives",
}
ABSENT = "SLURM's {} is not on this machine's PATH; run where jobs are submitted, or choose another [cluster] kind"


@dataclass(frozen=True)
class Queued:
    """A job in the queue.

    Attributes
    ----------
    reason : SLURM's word for why it waits
    start : when SLURM expects to start it; "" if it does not say
    place : 1 for the pending job of its partition that SLURM would start first, and so on; 0 if it runs
    of : number of pending jobs of its partition
    """

    number: str
    state: str
    reason: str
    start: str
    partition: str
    place: int = 0
    of: int = 0

    @property
    def sentence(self) -> str:
        """Where the job stands in the queue and why it waits, for people."""
        expected = f", expected to start {self.start}" if self.start else ""
        place = f"place {self.place} of {self.of} in {self.partition}"
        return f"SLURM job {self.number} waits: {place}, reason {self.reason}{expected}"


@dataclass(frozen=True)
class Ended:
    """How a job ended, as far as SLURM remembers it."""

    state: str
    reason: str = ""
    code: str = ""
    log: str = ""

    def __str__(self) -> str:
        reason = f", {self.reason}" if self.reason not in ("", "None", self.state) else ""
        return f"{self.state}{reason}{f' (exit code {self.code})' if self.code not in ('', '0:0') else ''}"


async def _ask(*command: str) -> str | None:
    """Output of a program of SLURM; None where it failed, as it does while the controller restarts."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise ClusterError(ABSENT.format(command[0])) from error
    output, _ = await process.communicate()
    return output.decode() if process.returncode == 0 else None


async def read_queue(numbers: list[str]) -> dict[str, Queued] | None:
    """Which of these jobs wait or run, by number; None if SLURM does not answer."""
    ours = await _ask("squeue", "--noheader", "--me", f"--format={FORMAT}")
    if ours is None:
        return None
    jobs = {job.number: job for job in map(_queued, ours.splitlines()) if job.number in numbers}
    partitions = sorted({job.partition for job in jobs.values() if job.state == "PENDING"})
    if not partitions:
        return jobs
    # In the order in which SLURM would start them, others' jobs included where the site shows them.
    asked_of = f"--partition={','.join(partitions)}"
    order = await _ask("squeue", "--noheader", "--states=PENDING", "--sort=-p,i", asked_of, "--format=%i|%P")
    places: dict[str, list[str]] = {}
    for line in (order or "").splitlines():
        number, partition = line.split("|", 1)
        places.setdefault(partition, []).append(number)
    return {number: _placed(job, places.get(job.partition, [])) for number, job in jobs.items()}


def _queued(line: str) -> Queued:
    number, state, reason, start, partition = line.split("|")
    return Queued(number, state, reason, "" if start == "N/A" else start, partition)


def _placed(job: Queued, order: list[str]) -> Queued:
    if job.state != "PENDING" or job.number not in order:
        return job
    return Queued(job.number, job.state, job.reason, job.start, job.partition, order.index(job.number) + 1, len(order))


async def read_end(number: str) -> Ended:
    """How a job ended; SLURM's controller forgets it a few minutes after (`MinJobAge`)."""
    description = await _ask("scontrol", "--oneliner", "show", "job", number) or ""
    fields = dict(re.findall(r"(\w+)=(\S+)", description))
    return Ended(
        fields.get("JobState", "no longer known to SLURM"), fields.get("Reason", ""), fields.get("ExitCode", ""),
        fields.get("StdErr", ""),
    )  # fmt: skip


async def read_restarts(number: str) -> int:
    """How many times SLURM has put a job back into the queue and begun it again."""
    description = await _ask("scontrol", "--oneliner", "show", "job", number) or ""
    restarts = re.search(r"\bRestarts=(\d+)", description)
    return int(restarts[1]) if restarts else 0


def require_possible(queue: dict[str, Queued]) -> None:
    """Refuse to wait for a job that SLURM will never start as it was asked for.

    Raises
    ------
    ClusterError
        with SLURM's reason and the keys to change
    """
    for job in queue.values():
        keys = HOPELESS.get(job.reason) if job.state == "PENDING" else None
        if keys:
            raise ClusterError(
                f"SLURM job {job.number} will never start: reason {job.reason} in partition {job.partition}; change "
                f"[cluster] {keys}"
            )


def refusal(error: Exception, group: str) -> ClusterError:
    """Why `sbatch` took no job, in its own words and with the keys of `[cluster]` that they are about."""
    if isinstance(error, FileNotFoundError):
        return ClusterError(ABSENT.format("sbatch"))
    error_output = str(error).partition("stderr:")[2] or str(error)
    reasons = "; ".join(line.strip().removeprefix("sbatch: ") for line in error_output.splitlines() if line.strip())
    keys = next((keys for phrase, keys in REFUSALS.items() if phrase in reasons.lower()), "queue, account, directives")
    return ClusterError(f"SLURM took no job for {group} workers: {reasons}; change [cluster] {keys}")
