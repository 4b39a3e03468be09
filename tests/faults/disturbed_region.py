"""Regions during which a test disturbs the worker."""

import os
import time
from pathlib import Path

from flows.stages.production.region import Job, Produced, Work, produce_region
from somo.storage.objects import put_file

MORE_THAN_THE_WORKER_HAS = 4_000_000_000


def slow_region(job: Job, work: Work, marks: str) -> Produced:
    """Write a file named by this process before a region starts, and wait long enough to be killed inside it."""
    mark = Path(marks) / str(os.getpid())
    mark.touch()
    time.sleep(0.4)
    result = produce_region(job, work)
    mark.unlink(missing_ok=True)
    return result


def hungry_region(_job: Job, _work: Work) -> int:
    """Take ever more memory, as a region larger than announced would, until the worker is ended for it."""
    held = []
    for _ in range(MORE_THAN_THE_WORKER_HAS // 10_000_000):
        held.append(bytearray(os.urandom(10)) * 1_000_000)
        time.sleep(0.005)
    return len(held)


def region_after_replacement(job: Job, work: Work, finished: str, replacement: str, source: str) -> Produced:
    """Replace a source file once the first region has been written, and count regions by files in `finished`."""
    regions, replaced = list(Path(finished).glob("*-*")), Path(finished, "replaced")
    if regions and not replaced.exists():
        replaced.touch()
        put_file(Path(replacement), source)
    produced = produce_region(job, work)
    Path(finished, work.region.name).touch()
    return produced
