"""What a piece of work costs: time, objects and bytes written and copied, bytes and calls of reading, memory."""

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from somo.product.layout import other_side
from somo.storage.listing import Object, listing


@dataclass(frozen=True)
class Cost:
    """What one stage of an update took.

    Attributes
    ----------
    cpu_seconds : of this process and its workers; where others compute, it says more than the time that passed
    written, copied : objects and bytes; a copy is one that storage made by itself, on a disk a second name of a file
    reads, read_bytes : calls and bytes that this process and its workers have read of files
    peak_bytes : most memory that one of them has held since it began
    """

    stage: str
    seconds: float
    cpu_seconds: float
    written: int
    written_bytes: int
    copied: int
    copied_bytes: int
    reads: int
    read_bytes: int
    peak_bytes: int


@contextmanager
def observed(stage: str, root: str, client: Client, costs: list[Cost]) -> Iterator[None]:
    """Add the cost of the work inside the context; the two listings around it are not counted."""
    objects, used_before = dict(listing(root)), used(client)
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    spent = used(client) - used_before
    changed = {key: stored for key, stored in listing(root).items() if objects.get(key) != stored}
    copies = {key for key, stored in changed.items() if _is_copy(key, stored, objects)}
    written = [stored.size for key, stored in changed.items() if key not in copies]
    copied = [changed[key].size for key in copies]
    cpu_seconds, reads, read_bytes = float(spent[0]), int(spent[1]), int(spent[2])
    costs.append(
        Cost(
            stage, seconds, cpu_seconds, len(written), sum(written), len(copied), sum(copied), reads, read_bytes,
            peak_bytes(client),
        )
    )  # fmt: skip


def _is_copy(key: str, stored: Object, objects: Mapping[str, Object]) -> bool:
    # A second name of a file has its size and time, and a copy that S3 makes by itself has its ETag.
    return other_side(key) != key and objects.get(other_side(key)) == stored


def used(client: Client) -> NDArray[np.float64]:
    """Seconds of processor, calls and bytes of reading of this process and its workers since they began."""
    total: NDArray[np.float64] = np.sum([_used(), *client.run(_used).values()], axis=0)
    return total


def _used() -> tuple[float, float, float]:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return time.process_time(), float(counters["syscr"]), float(counters["rchar"])


def peak_bytes(client: Client) -> int:
    """Most memory that this process or a worker has held."""
    of_workers: list[int] = list(client.run(_peak_bytes).values())
    return max(_peak_bytes(), *of_workers)


def _peak_bytes() -> int:
    # Linux counts in kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
