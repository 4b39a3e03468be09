"""Distributed work as it is completed: progress for people and programs, and workers that ran out of memory."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import dask
import distributed
from dask.typing import Key
from distributed import Client, Future, as_completed
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from flows.cluster.errors import ClusterError
from flows.console import console
from somo.storage.lease import stop_if_lost

Result = TypeVar("Result")

# What a Dask nanny tells when it ends its worker for its memory.
MEMORY_TOPIC = "worker-restart-memory"
# Why no worker will come any more, told by what starts workers.
LOST_TOPIC = "somo-no-more-workers"


@dataclass(frozen=True)
class Progressed:
    """How far a piece of work is."""

    description: str
    done: int
    total: int
    seconds: float

    @property
    def rate(self) -> str:
        """Work done per second or minute, for people."""
        per_second = self.done / max(self.seconds, 1e-6)
        return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min"

    @property
    def seconds_left(self) -> float:
        """Projected time until all is done, at the rate so far."""
        return self.seconds / max(self.done, 1) * (self.total - self.done)


_watchers: ContextVar[tuple[Callable[[Progressed], None], ...]] = ContextVar("watchers", default=())


@contextmanager
def watching(watcher: Callable[[Progressed], None]) -> Iterator[None]:
    """Call `watcher` whenever a piece of distributed work is done, besides the progress bar."""
    token = _watchers.set((*_watchers.get(), watcher))
    try:
        yield
    finally:
        _watchers.reset(token)


def completed(
    futures: Iterable[Future[Result]], description: str, amounts: Mapping[Key, int] | None = None
) -> Iterator[Result]:
    """Results in order of completion, with a progress bar of rate and time left on standard error.

    The first failure cancels the rest and is raised as the task raised it. A result that was given is on no worker any
    more, and its future is of no further use.

    Parameters
    ----------
    amounts : how much of what the description names each future does, by its key; one each if left out

    Raises
    ------
    ClusterError
        if the scheduler or too many workers are lost, or workers run out of memory and nothing is completed between
    LeaseError
        if this run has lost the right to write
    """
    pending = list(futures)
    if not pending:
        return
    started, done = time.monotonic(), 0
    with _bar() as bar, _ended_for_memory(pending) as ended, _given_up(pending) as reasons:
        total = sum(amounts.values()) if amounts else len(pending)
        task = bar.add_task(description, total=total, rate="")
        try:
            for future, result in as_completed(pending, loop=pending[0].client.loop, with_results=True):
                if isinstance(result, BaseException):
                    raise result
                # A run that may write no more stops its work as well: another one may be at the same.
                stop_if_lost()
                done += amounts[future.key] if amounts else 1
                progressed = Progressed(description, done, total, time.monotonic() - started)
                bar.update(task, completed=done, rate=progressed.rate)
                for watcher in _watchers.get():
                    watcher(progressed)
                # It is here now: workers would keep every result until the last one of the work has come.
                future.release()
                yield result
        # Futures of a scheduler that was killed are cancelled at once, without a reason.
        except (distributed.KilledWorker, distributed.CancelledError) as error:
            if reasons:
                raise ClusterError(f"{description}, after {done} of {total}: {reasons[0]}") from error
            why = f"workers ran out of memory: {'; '.join(ended)}" if ended else str(error)
            raise _lost(f"{description}: the cluster was lost after {done} of {total} ({why})") from error
        finally:
            for future in pending:
                if not future.done():
                    future.cancel()


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeRemainingColumn(elapsed_when_finished=True),
        console=console, disable=console.quiet,
    )  # fmt: skip


def _lost(what_happened: str) -> ClusterError:
    return ClusterError(
        f"{what_happened}; run again, finished work is kept. If a worker ran out of memory, raise [cluster] memory_gb "
        "or choose smaller tiles"
    )


@contextmanager
def _ended_for_memory(futures: list[Future[Any]]) -> Iterator[list[str]]:
    """Workers that Dask ended for their memory while they held our tasks; too many without a result cancel the tasks.

    Dask fails a task that has ended so many workers, but tries all others in between: with thousands of them, for ever.
    A client watches one list of futures at a time.
    """
    client, ended, ours = futures[0].client, list[str](), {future.key: future for future in futures}
    allowed, done = dask.config.get("distributed.scheduler.allowed-failures"), 0

    async def note(event: tuple[float, dict[str, Any]]) -> None:
        nonlocal done
        worker, size = event[1]["worker"], event[1]["rss"]
        working = await client.scheduler.processing(workers=None)
        if worker in working and not ours.keys() & set(working[worker]):
            return
        done_now = sum(future.done() for future in ours.values())
        if done_now > done:
            ended.clear()
        done = done_now
        ended.append(f"{worker} at {size / 1e9:.1f} GB")
        if len(ended) > allowed:
            await client.cancel(list(ours.values()), asynchronous=True)

    try:
        with _listening(client, MEMORY_TOPIC, note):
            yield ended
    finally:
        ours.clear()


@contextmanager
def _given_up(futures: list[Future[Any]]) -> Iterator[list[str]]:
    """Why no worker will come any more, once that is told; our tasks, which would wait for ever, are then cancelled."""
    client, reasons, ours = futures[0].client, list[str](), list(futures)

    async def note(event: tuple[float, str]) -> None:
        reasons.append(event[1])
        await client.cancel(ours, asynchronous=True, force=True)

    try:
        with _listening(client, LOST_TOPIC, note):
            yield reasons
    finally:
        ours.clear()


@contextmanager
def _listening(client: Client, topic: str, note: Callable[[Any], Awaitable[None]]) -> Iterator[None]:
    """Call `note` with every event of a topic, as long as the block lasts."""
    client.subscribe_topic(topic, note)
    try:
        yield
    finally:
        # A client that has lost its scheduler has nobody to unsubscribe from.
        if client.status == "running":
            client.unsubscribe_topic(topic)
