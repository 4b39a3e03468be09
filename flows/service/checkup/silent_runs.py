"""Mark runs whose process is gone as crashed, so that the next one starts.

`python -m flows.service.checkup.silent_runs` does so for as long as it runs. An automation of Prefect can do it too,
but it counts the time of an outage: once PostgreSQL is back, it crashes every run that lived through it. Here only that
time counts in which Prefect has answered.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Crashed

from flows.environment import service_settings
from flows.service.errors import StackError
from somo.storage.lease import steady_seconds

# A run that is silent for so long is taken for dead. Until the lease in the bucket runs out as well, nothing else
# writes there.
SILENT_SECONDS = 300
# Three signs of life, which a run gives every 30 s (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`).
SHORTEST_SILENCE_S = 90
LOOK_SECONDS = 5.0
# As long as Prefect's server waits for its database before it answers with an error.
ANSWER_SECONDS = 10.0
# A look takes well below a second; one that takes longer has met a server or a database that hangs.
OUTAGE_SECONDS = 30.0
HEARTBEAT = "prefect.flow-run.heartbeat"


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


@dataclass(frozen=True)
class Sign:
    """The latest sign of life of a run, and when it was first seen by the clock of who watches."""

    state: UUID | None
    heartbeat: UUID | None
    since_s: float


class Watch:
    """Which runs have been silent for how long, counting only time in which Prefect has answered.

    Parameters
    ----------
    silent_seconds : after so long a run is marked crashed
    """

    def __init__(self, silent_seconds: float) -> None:
        self.silent_seconds = silent_seconds
        self._signs: dict[UUID, Sign] = {}
        self._looked_s = 0.0

    def look(self, client: SyncPrefectClient) -> list[FlowRun]:
        """Look at every run that Prefect holds for running; returns those that were marked crashed.

        A look that fails or hangs, and a pause between two looks, are an outage: all runs are given their time anew.
        """
        began = steady_seconds()
        if began - self._looked_s > OUTAGE_SECONDS:
            self._signs.clear()
        try:
            runs = running(client)
            signs = {run.id: self._sign(client, run, began) for run in runs}
        except httpx.HTTPError:
            self._signs.clear()
            return []
        # A database that was silent for a part of the look has not stored the signs of life of that time.
        self._looked_s = steady_seconds()
        self._signs = signs if self._looked_s - began <= OUTAGE_SECONDS else {}
        silent = [run for run in runs if run.id in self._signs and self._is_silent(run)]
        return [run for run in silent if self._crash(client, run)]

    def _is_silent(self, run: FlowRun) -> bool:
        return self._looked_s - self._signs[run.id].since_s > self.silent_seconds

    def _sign(self, client: SyncPrefectClient, run: FlowRun, now_s: float) -> Sign:
        heartbeats = EventFilter(
            event=EventNameFilter(name=[HEARTBEAT]), resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"])
        )
        newest = client.read_events(heartbeats, limit=1).events
        latest = Sign(run.state_id, newest[0].id if newest else None, now_s)
        former = self._signs.get(run.id)
        is_same = former is not None and (former.state, former.heartbeat) == (latest.state, latest.heartbeat)
        return former if former is not None and is_same else latest

    def _crash(self, client: SyncPrefectClient, run: FlowRun) -> bool:
        message = f"no sign of life for {self.silent_seconds:.0f} s: its process died, or cannot reach Prefect's server"
        try:
            # A run that has ended since it was looked at keeps its own end.
            if client.read_flow_run(run.id).state_id != run.state_id:
                return False
            client.set_flow_run_state(run.id, Crashed(message=message))
        except (httpx.HTTPError, ObjectNotFound):
            # The next look tries again, unless somebody has deleted the run.
            return False
        return True


def running(client: SyncPrefectClient) -> list[FlowRun]:
    """Runs that Prefect holds for running, or for ending."""
    states = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING])
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=states)))


def main() -> None:
    """Look every few seconds for as long as the service runs."""
    watch = Watch(silence(service_settings()))
    # Prefect's client asks for minutes before it gives up: here an outage has to be noticed as one.
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: ANSWER_SECONDS}):
        while True:
            with get_client(sync_client=True) as client:
                for run in watch.look(client):
                    print(f"{run.name} ({run.id}) is marked crashed", flush=True)
            time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
