"""What Prometheus reads of runs, beside Dask's own measurements, at the scheduler's `/metrics`.

Runs come and go and have no port of their own; the scheduler stays. A run tells it by events of Dask, and a scheduler
that preloads `flows.cluster.dashboard` shows what it was told last.
"""

import shutil
import time
from collections.abc import Mapping
from typing import Any

import dask
from distributed import Client, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from prometheus_client import CollectorRegistry, Gauge

from flows.cluster.watching import Progressed

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


class Measures(SchedulerPlugin):
    """Gauges that follow the events of runs."""

    name = "somo-measures"

    def __init__(self, registry: CollectorRegistry) -> None:
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
        free = gauge("free_bytes", "Free disk where the workers spill")
        free.set_function(lambda: shutil.disk_usage(dask.config.get("temporary-directory") or "/tmp").free)

    def log_event(self, topic: str, msg: Any) -> None:
        if topic == TOPIC and "work" in msg:
            for name, measured in self._progress.items():
                measured.labels(msg["work"]).set(msg[name])
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


def show_measures(scheduler: Scheduler, registry: CollectorRegistry) -> None:
    """Let a scheduler show what runs tell it."""
    scheduler.add_plugin(Measures(registry), name=Measures.name)
