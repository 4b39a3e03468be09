"""Mark runs whose process is gone as crashed, so that the next one starts.

`python -m flows.service.checkup.silent_runs` does so for as long as it runs. An automation of Prefect can do it too,
but it counts the time of an outage: once PostgreSQL is back, it crashes every run that lived through it. Here only that
time counts in which Prefect has answered.
"""

import datetime as dt
import time
from collections.abc import Mapping
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import OrchestrationResult, SetStateStatus
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed

from flows.environment import HEARTBEAT_SECONDS, service_settings
from flows.service.errors import StackError
from somo.storage.lease import steady_seconds

# A run that is silent for so long is taken for dead. Until the lease in the bucket runs out as well, nothing else
# writes there.
SILENT_SECONDS = 300
# Two signs of life may be lost on their way.
SHORTEST_SILENCE_S = 3 * HEARTBEAT_SECONDS
LOOK_SECONDS = 5.0
# As long as Prefect's server waits for its database before it answers with an error.
ANSWER_SECONDS = 10.0
# A look takes well below a second; one that takes longer has met a server or a database that hangs.
OUTAGE_SECONDS = 30.0
HEARTBEAT = "prefect.flow-run.heartbeat"
# What a queue counts against its one run at a time. A worker that dies just after it took a run leaves it pending.
OCCUPYING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
# A run that gives signs of life changes one of the two: its state, or how many heartbeats Prefect has of it.
Sign = tuple[UUID | None, int]


def silence(settings: Mapping[str, str]) -> int:
    """Seconds without a sign of life after which a run is marked crashed.

    Raises
    ------
    StackError
        if `SOMO_SILENT_SECONDS` is no number, or so short that signs of life every 30 s could be missed
    """
    seconds = settings.get("SOMO_SILENT_SECONDS", str(SILENT_SECONDS))
    if not seconds.isdigit() or int(seconds) < SHORTEST_SILENCE_S:
        raise StackError(f"SOMO_SILENT_SECONDS = {seconds!r}: give whole seconds, {SHORTEST_SILENCE_S} at the least")
    return int(seconds)


class Watch:
    """Which runs have been silent for how long, counting only time in which Prefect has answered.

    Parameters
    ----------
    silent_seconds : after so long a run is marked crashed
    """

    def __init__(self, silent_seconds: float) -> None:
        self.silent_seconds = silent_seconds
        # The latest sign of life of each run, and when it was first seen by the clock of this process.
        self._latest: dict[UUID, tuple[Sign, float]] = {}
        self._looked_s = 0.0

    def look(self, client: SyncPrefectClient) -> list[FlowRun]:
        """Look at every run that occupies a queue; returns those that were marked crashed.

        A look that fails or hangs, and a pause between two looks, are an outage: all runs are given their time anew.

        Raises
        ------
        httpx.HTTPError
            if Prefect does not answer, or answers with an error
        """
        began_s = steady_seconds()
        former = self._latest if began_s - self._looked_s <= OUTAGE_SECONDS else {}
        # Empty until all of Prefect's answers are here.
        self._latest = {}
        runs = occupying(client)
        signs = {run.id: sign_of_life(client, run) for run in runs}
        self._looked_s = now_s = steady_seconds()
        # A database that was silent for a part of the look has not stored the signs of life of that time.
        if now_s - began_s > OUTAGE_SECONDS:
            return []
        for run, sign in signs.items():
            is_same = run in former and former[run][0] == sign
            self._latest[run] = former[run] if is_same else (sign, now_s)
        silent = [run for run in runs if now_s - self._latest[run.id][1] > self.silent_seconds]
        return [run for run in silent if crash(client, run, self.silent_seconds)]


def occupying(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs that keep others of their queue waiting."""
    states = FlowRunFilterStateType(any_=OCCUPYING)
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=states)))


def sign_of_life(client: SyncPrefectClient, run: FlowRun) -> Sign:
    """What changes with every sign of life of a run: its state, and how many heartbeats Prefect has of it."""
    return run.state_id, client.read_events(heartbeats(run.id), limit=1).total


def heartbeats(run: UUID) -> EventFilter:
    """All heartbeats of a run, by whatever clock."""
    # Without an end, Prefect takes the moment of asking, by this machine's clock: it would not see the heartbeats of a
    # run on a machine whose clock is ahead of it, and none for an hour after a clock was set back by one.
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    return EventFilter(
        occurred=EventOccurredFilter(until=end),
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run}"]),
    )


def crash(client: SyncPrefectClient, run: FlowRun, silent_seconds: float) -> bool:
    """Mark a run crashed; False if it has gone on, or has ended, since it was looked at."""
    message = f"no sign of life for {silent_seconds:.0f} s: its process died, or cannot reach Prefect's server"
    try:
        if client.read_flow_run(run.id).state_id != run.state_id:
            return False
        answer: OrchestrationResult[None] = client.set_flow_run_state(run.id, Crashed(message=message))
    except ObjectNotFound:
        # Somebody has deleted it.
        return False
    return answer.status is SetStateStatus.ACCEPT


def main() -> None:
    """Look every few seconds for as long as the service runs; says when Prefect falls silent and answers again."""
    watch = Watch(silence(service_settings()))
    trouble = ""
    # Prefect's client asks for minutes before it gives up: here an outage has to be noticed as one.
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}):
        while True:
            former_trouble, trouble = trouble, ""
            try:
                with get_client(sync_client=True) as client:
                    for run in watch.look(client):
                        print(f"{run.name} ({run.id}) is marked crashed", flush=True)
            except httpx.HTTPError as error:
                trouble = str(error) or type(error).__name__
            if trouble and not former_trouble:
                print(f"no run is marked until Prefect answers: {trouble}", flush=True)
            elif former_trouble and not trouble:
                print("Prefect answers", flush=True)
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
