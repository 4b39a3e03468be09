"""What a piece of work costs: time, objects and bytes written and copied, bytes and calls of reading, memory."""

import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from somo.product.layout import other_side
from somo.storage.listing import Object, listing


@dataclass(frozen=True)
class Cost:
    """What one stage of an update took.

    Attributes
    ----------
    written, copied : objects and bytes; a copy is one that storage made by itself, on a disk a second name of a file
    reads, read_bytes : calls and bytes that this process and its workers have read of files
    peak_bytes : most memory that one of them has held since it began
    """

    stage: str
    seconds: float
    written: int
    written_bytes: int
    copied: int
    copied_bytes: int
    reads: int
    read_bytes: int
    peak_bytes: int


@contextmanager
def observed(stage: str, root: str, client: Client, costs: list[Cost]) -> Iterator[None]:
    """Add what happens inside to the costs; the two listings around it are not counted."""
    former, (calls, size) = dict(listing(root)), bytes_read(client)
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    calls_now, size_now = bytes_read(client)
    changed = {key: found for key, found in listing(root).items() if former.get(key) != found}
    copies = {key for key, found in changed.items() if _is_copy(key, found, former)}
    written = [found.size for key, found in changed.items() if key not in copies]
    copied = [changed[key].size for key in copies]
    costs.append(
        Cost(
            stage, seconds, len(written), sum(written), len(copied), sum(copied), calls_now - calls, size_now - size,
            peak_bytes(client),
        )
    )  # fmt: skip


def _is_copy(key: str, found: Object, former: Mapping[str, Object]) -> bool:
    return other_side(key) != key and former.get(other_side(key)) == found


def bytes_read(client: Client) -> tuple[int, int]:
    """Calls and bytes of reading of this process and its workers since they began."""
    counters = [_bytes_read(), *client.run(_bytes_read).values()]
    return sum(calls for calls, _ in counters), sum(size for _, size in counters)


def _bytes_read() -> tuple[int, int]:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["syscr"]), int(counters["rchar"])


def peak_bytes(client: Client) -> int:
    """Most memory that this process or a worker has held."""
    return max(_peak_bytes(), *client.run(_peak_bytes).values())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
