"""A region that says when a worker is in the middle of it, for tests that kill the worker then."""

import os
import time
from pathlib import Path

from flows.region import Job, Work, produce_region


def slow_region(job: Job, work: Work, marks: str) -> int:
    """Write a file named by this process before a region starts, and wait long enough to be killed inside it."""
    mark = Path(marks) / str(os.getpid())
    mark.touch()
    time.sleep(0.4)
    result = produce_region(job, work)
    mark.unlink(missing_ok=True)
    return result
