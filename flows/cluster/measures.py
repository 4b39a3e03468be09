"""What Prometheus reads of runs, beside Dask's own measurements, at the scheduler's `/metrics`.

Runs come and go and have no port of their own; the scheduler stays. A run tells it by events of Dask, and a scheduler
that preloads `flows.cluster.dashboard` shows what it was told last.
"""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask
import psutil
from distributed import Client, Scheduler, Worker
from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.scheduler import WorkerState
from prometheus_client import CollectorRegistry, Counter, Gauge

from flows.cluster.watching import Progressed
from somo.storage.patience import repeated_requests

TOPIC = "somo-measures"


def tell_progress(client: Client, progressed: Progressed) -> None:
    """Tell the scheduler how far a piece of work is."""
    measures = {
        "done": progressed.done,
        "total": progressed.total,
        "seconds_left": progressed.seconds_left,
        "rate": progressed.done / progressed.seconds,
    }
    client.log_event(TOPIC, {"work": progressed.description, **measures})


def tell_end(client: Client, product: str, newest_day_s: float | None, failure: str = "") -> None:
    """Tell the scheduler how a run ended.

    Parameters
    ----------
    newest_day_s : start of the newest published day, seconds since 1970; None if nothing is published
    failure : type of the error; "" for a run that ended well
    """
    client.log_event(TOPIC, {"product": product, "ended": time.time(), "newest_day": newest_day_s, "failure": failure})


class TellRepeats(WorkerPlugin):
    """Lets a worker tell the scheduler how many requests to stores it had to ask again."""

    name = "somo-repeats"

    def setup(self, worker: Worker) -> None:
        self._worker, self._told = worker, repeated_requests()

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """Told at the end of a task, since a worker has no clock of its own for it."""
        if finish in ("memory", "error") and (count := repeated_requests()) != self._told:
            self._worker.log_event(TOPIC, {"repeats": count - self._told})
            self._told = count


class Measures(SchedulerPlugin):
    """Gauges that follow the events of runs."""

    name = "somo-measures"

    def __init__(self, registry: CollectorRegistry, scheduler: Scheduler) -> None:
        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(f"somo_{name}", what, labels, registry=registry)

        self._progress = {
            "done": gauge("work_done", "Regions, networks or objects that are done of a piece of work", "work"),
            "total": gauge("work_total", "All of a piece of work", "work"),
            "seconds_left": gauge("work_seconds_left", "Projected time until a piece of work is done", "work"),
            "rate": gauge("work_per_second", "How much of a piece of work is done in a second", "work"),
        }
        self._ended = gauge("run_ended_timestamp_seconds", "End of the last run that ended well", "product")
        self._failures: dict[str, str] = {}
        self._failed = gauge("run_failed", "1 while the last run of a product has failed", "product", "error")
        self._newest = gauge("newest_day_timestamp_seconds", "Start of the newest published day", "product")
        self._repeats = Counter("somo_requests_repeated", "Requests to stores that failed and were asked again",
                                registry=registry)  # fmt: skip
        memory = gauge("workers_memory_bytes", "Memory of all workers' processes")
        memory.set_function(lambda: sum(worker.memory.process for worker in scheduler.workers.values()))
        share = gauge("worker_memory_share", "Of the worker nearest to its limit: memory over limit")
        share.set_function(lambda: max(map(memory_share, scheduler.workers.values()), default=0.0))
        free = gauge("free_bytes", "Free disk where the workers spill")
        free.set_function(lambda: free_disk_bytes(Path(dask.config.get("temporary-directory") or "/tmp")))

    def log_event(self, topic: str, msg: Any) -> None:
        if topic == TOPIC and "work" in msg:
            for name, measured in self._progress.items():
                measured.labels(msg["work"]).set(msg[name])
        elif topic == TOPIC and "repeats" in msg:
            self._repeats.inc(msg["repeats"])
        elif topic == TOPIC:
            self._note_end(msg)

    def _note_end(self, msg: Mapping[str, Any]) -> None:
        product = msg["product"]
        # A gauge goes on to show every label it was ever given: an error that was mended would be told for ever. The
        # labels of other products on the same scheduler stay.
        if former := self._failures.pop(product, None):
            self._failed.remove(product, former)
        if msg["failure"]:
            self._failures[product] = msg["failure"]
            self._failed.labels(product, msg["failure"]).set(1)
        else:
            self._ended.labels(product).set(msg["ended"])
        if msg["newest_day"] is not None:
            self._newest.labels(product).set(msg["newest_day"])


def memory_share(worker: WorkerState) -> float:
    """Memory of a worker's process over its limit; 0 where it has none."""
    return float(worker.memory.process / worker.memory_limit) if worker.memory_limit else 0.0


def free_disk_bytes(folder: Path) -> float:
    """Free bytes of the disk of a folder; NaN, which no alert compares, where it lies in memory and on no disk.

    So does `/tmp` of a container whose file system is read-only: half of the machine's memory, and never large.
    """
    file_systems = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    place = folder.resolve()
    mounted = next((parent for parent in (place, *place.parents) if parent in file_systems), None)
    if mounted is not None and file_systems[mounted] in ("tmpfs", "ramfs"):
        return float("nan")
    return float(shutil.disk_usage(folder).free)


def show_measures(scheduler: Scheduler, registry: CollectorRegistry) -> None:
    """Let a scheduler show what runs tell it."""
    scheduler.add_plugin(Measures(registry, scheduler), name=Measures.name)
