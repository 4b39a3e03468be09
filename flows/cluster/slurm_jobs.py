"""Jobs of SLURM that are submitted, watched and given back as the work of a Dask scheduler needs them.

dask-jobqueue writes the job's script and submits it. How many there are is decided here: its own adapting gives a job
back within seconds of a lull, does not notice the end of a job with several processes, and hides why `sbatch` refused.
"""

import asyncio
import math
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import TaskState, WorkerState

from flows.cluster.errors import ClusterError
from flows.cluster.slurm_queue import Queued, read_end, read_queue, read_restarts, refusal, require_possible
from flows.cluster.watching import LOST_TOPIC, MEMORY_TOPIC
from flows.console import console

with suppress(ModuleNotFoundError):
    # An optional dependency, which no other kind of cluster needs. It sets a signal's handler when it is imported,
    # which Python allows in its main thread alone and so not where jobs are submitted. By that handler Ctrl+C would end
    # every command with status 0, as if it had done its work.
    handler_of_interrupts = signal.getsignal(signal.SIGINT)
    from dask_jobqueue.slurm import SLURMJob

    signal.signal(signal.SIGINT, handler_of_interrupts)

# How often the scheduler, in this process, is asked for its work.
LOOK_SECONDS = 1.0
# How often SLURM is asked, and only while a job's workers are not all there: `squeue` burdens a busy controller.
QUEUE_EVERY_SECONDS = 10.0
SUBMIT_AGAIN_SECONDS = 60.0
# Jobs one after the other that end before a worker has joined, until their script is taken to be at fault.
JOBS_IN_VAIN = 3
# A job that is cancelled, preempted or at its wall time takes its tasks with it and says nothing about them. What they
# are charged with is taken back once SLURM has told how the job ended, and until then must not fail them.
ALLOWED_FAILURES = 20
TAKEN_BY_SLURM = ("CANCELLED", "PREEMPTED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "DEADLINE", "REQUEUED", "COMPLETED")


@dataclass(eq=False)
class Job:
    """A job and what has become of its workers."""

    submitted: "SLURMJob"
    names: tuple[str, ...]
    has_joined: bool = False
    times_begun_again: int = 0
    idle_since: float | None = None

    @property
    def number(self) -> str:
        """SLURM's number of the job."""
        return str(self.submitted.job_id)


@dataclass
class Group:
    """Jobs that are alike.

    Attributes
    ----------
    name : "cpu" or "gpu"
    options : of dask-jobqueue's job
    most, least : processes that there may be, and that stay
    processes : of one job
    """

    name: str
    options: dict[str, Any]
    most: int
    least: int
    processes: int
    jobs: list[Job] = field(default_factory=list)

    def wanted(self, ready_tasks: int) -> int:
        """Number of jobs for so many tasks: at most `most` processes in all, rounded up to whole jobs."""
        return math.ceil(min(self.most, max(self.least, ready_tasks)) / self.processes)


class _Deaths(SchedulerPlugin):
    """Keeps which tasks were charged with the death of which worker, by the worker's name."""

    def __init__(self) -> None:
        self.charged: dict[str, list[Any]] = {}
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        self._names[worker] = str(scheduler.workers[worker].name)

    def log_event(self, topic: str, msg: Any) -> None:
        if topic == "all" and msg.get("action") == "remove-worker" and not msg["expected"]:
            self.charged.setdefault(self._names.get(msg["worker"], ""), []).extend(msg["processing-tasks"])


class JobKeeper:
    """Submits, watches and gives back the jobs of a run; lives in the event loop of its scheduler.

    Attributes
    ----------
    failure : why there can be no job; None as long as there can
    joined : set once a worker has joined
    """

    def __init__(self, scheduler: Scheduler, groups: list[Group], patience_s: float) -> None:
        self.failure: ClusterError | None = None
        self.joined = threading.Event()
        self._scheduler, self._groups, self._patience_s = scheduler, groups, patience_s
        self._deaths = _Deaths()
        self._in_vain, self._next_look, self._next_try = 0, 0.0, 0.0
        self._told: Counter[str] = Counter()
        self._prefix = f"somo-{uuid4().hex[:6]}"
        self._count = 0

    async def start(self) -> None:
        """Submit the first jobs, and go on in the background."""
        self._scheduler.allowed_failures = ALLOWED_FAILURES
        self._scheduler.add_plugin(self._deaths, name="somo-deaths")
        self._task = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Cancel every job that is left."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        numbers = [job.number for group in self._groups for job in group.jobs]
        if numbers:
            # `scancel` fails for jobs that have ended meanwhile.
            with suppress(RuntimeError):
                await SLURMJob._call(["scancel", *numbers])

    async def _keep(self) -> None:
        while self.failure is None:
            try:
                await self._look()
            except ClusterError as error:
                await self._fail(error)
            except Exception as error:
                # Without this loop nothing would be submitted any more, and the run would wait for ever.
                why = f"SLURM's jobs cannot be watched any more: unexpected {type(error).__name__}: {error}"
                await self._fail(ClusterError(f"{why}; run again, and report it with --debug if it comes back"))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        connected = {str(worker.name): worker for worker in self._scheduler.workers.values()}
        if connected:
            self.joined.set()
        await self._drop_ended(connected)
        ready = ready_tasks(self._scheduler)
        for group in self._groups:
            wanted = group.wanted(ready[group.name])
            while len(group.jobs) < wanted and time.monotonic() >= self._next_try:
                await self._submit(group)
            for job in idle_jobs(group, wanted, connected, time.monotonic(), self._patience_s):
                await self._give_back(group, job)

    async def _submit(self, group: Group) -> None:
        self._count += 1
        name = f"{self._prefix}-{group.name}-{self._count}"
        # `dask worker` numbers its processes itself where there are several.
        names = tuple(f"{name}-{k}" for k in range(group.processes)) if group.processes > 1 else (name,)
        job = SLURMJob(self._scheduler.contact_address or self._scheduler.address, name=name, **group.options)
        try:
            await job
        except (RuntimeError, ValueError, OSError) as error:
            why = refusal(error, group.name)
            # Without any job the run would wait for one that SLURM does not take.
            if not any(g.jobs for g in self._groups):
                raise why from error
            # Others still work; a queue that is full for now takes the job later.
            self._next_try = time.monotonic() + SUBMIT_AGAIN_SECONDS
            console.print(f"{why}; tried again in {SUBMIT_AGAIN_SECONDS:.0f} s")
            return
        group.jobs.append(Job(job, names))

    async def _give_back(self, group: Group, job: Job) -> None:
        group.jobs.remove(job)
        if any(str(worker.name) in job.names for worker in self._scheduler.workers.values()):
            # Retired, a worker hands the results that it alone holds to others before it is gone.
            await self._scheduler.retire_workers(names=list(job.names), close_workers=True, remove=True)
        await job.submitted.close()

    async def _drop_ended(self, connected: dict[str, WorkerState]) -> None:
        """Forget jobs that SLURM does not have any more, and show where those stand that wait for their turn."""
        jobs = [job for group in self._groups for job in group.jobs]
        for job in jobs:
            if all(name in connected for name in job.names):
                job.has_joined, self._in_vain = True, 0
        missing = [job for job in jobs if not all(name in connected for name in job.names)]
        charged = [job for job in jobs if any(name in self._deaths.charged for name in job.names)]
        if not (missing or charged) or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + QUEUE_EVERY_SECONDS
        queue = await read_queue([job.number for job in {*missing, *charged}])
        # A controller that does not answer keeps its jobs meanwhile.
        if queue is None:
            return
        self._tell(queue)
        require_possible(queue)
        for job in charged:
            if job.number in queue and queue[job.number].state == "RUNNING":
                await self._judge(job)
        for group in self._groups:
            for job in [job for job in group.jobs if job in missing and job.number not in queue]:
                group.jobs.remove(job)
                await self._note_end(job)

    async def _note_end(self, job: Job) -> None:
        end = await read_end(job.number)
        if end.state in TAKEN_BY_SLURM:
            self._forgive(job)
        if end.state == "OUT_OF_MEMORY":
            limit = job.submitted.worker_memory or 0
            self._scheduler.log_event(MEMORY_TOPIC, {"worker": f"SLURM job {job.number}", "rss": limit})
        console.print(f"SLURM job {job.number} has ended: {end}")
        # A job whose worker had joined, or that somebody cancelled, says nothing against the script.
        if job.has_joined or end.state == "CANCELLED":
            return
        self._in_vain += 1
        if self._in_vain >= JOBS_IN_VAIN:
            raise ClusterError(
                f"SLURM: {self._in_vain} jobs one after the other have ended before their worker joined, the last "
                f"({job.number}) {end}; its output is in {end.log or job.submitted.log_directory}. Nodes must see this "
                "Python and [cluster] shared_folder, and reach this machine over [cluster] interface"
            )

    async def _judge(self, job: Job) -> None:
        """Tell a job that SLURM has begun again from one whose worker a task has killed; only the first is forgiven."""
        times_begun = await read_restarts(job.number)
        if times_begun == job.times_begun_again:
            for name in job.names:
                self._deaths.charged.pop(name, None)
            return
        job.times_begun_again = times_begun
        self._forgive(job)

    def _forgive(self, job: Job) -> None:
        """Take back what tasks were charged with when SLURM took their workers away."""
        charged = [key for name in job.names for key in self._deaths.charged.pop(name, [])]
        for task in filter(None, map(self._scheduler.tasks.get, charged)):
            task.suspicious = max(task.suspicious - 1, 0)

    async def _fail(self, error: ClusterError) -> None:
        self.failure = error
        self._scheduler.log_event(LOST_TOPIC, str(error))

    def _tell(self, queue: dict[str, Queued]) -> None:
        waiting = [job for job in queue.values() if job.state == "PENDING"]
        number_by_sentence = Counter(job.sentence for job in waiting)
        for sentence, number in number_by_sentence.items():
            if sentence not in self._told:
                more = f" (and {number - 1} more jobs like it)" if number > 1 else ""
                console.print(f"{sentence}{more}")
        self._told = number_by_sentence


def ready_tasks(scheduler: Scheduler) -> Counter[str]:
    """Tasks that could be computed now or are being computed, by the group whose workers they need."""
    ready: list[TaskState] = [*scheduler.unrunnable, *scheduler.queued]
    for worker in scheduler.workers.values():
        ready += worker.processing
    return Counter("gpu" if "GPU" in (task.resource_restrictions or {}) else "cpu" for task in ready)


def idle_jobs(
    group: Group, wanted: int, connected: dict[str, WorkerState], now_s: float, patience_s: float
) -> list[Job]:
    """Jobs that had nothing to do for as long as the patience lasts, and that the group can spare.

    Parameters
    ----------
    wanted : jobs that the work needs
    connected : workers by name
    now_s : time, by a clock that does not jump
    """
    spare = len(group.jobs) - max(wanted, math.ceil(group.least / group.processes))
    surplus: list[Job] = []
    # Jobs that still wait in the queue are given back first: they have cost nothing.
    for job in sorted(group.jobs, key=lambda job: any(name in connected for name in job.names)):
        works = any(connected[name].processing for name in job.names if name in connected)
        if works or spare <= len(surplus):
            job.idle_since = None
            continue
        job.idle_since = now_s if job.idle_since is None else job.idle_since
        surplus.append(job)
    return [job for job in surplus if job.idle_since is not None and now_s - job.idle_since >= patience_s]
