"""Runs that fall silent, on a real server of Prefect: the dead are marked so, those that outlive an outage are not."""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.states import Completed, Pending, Running

from flows.run_of_service import reason_to_stop, run_of_service
from flows.service.checkup import silent_runs
from flows.service.checkup.silent_runs import HEARTBEAT, Watch, heartbeats
from flows.service.deploy import FORMER_AUTOMATION, TELL_FAILURES, make_automations, tell_failures

pytestmark = [pytest.mark.service, pytest.mark.usefixtures("prefect_server")]
SILENT_SECONDS = 90.0
# Less than what counts as an outage by itself.
STEP_SECONDS = 25.0
# Nothing listens on it: an outage as a client of Prefect meets it.
NOWHERE = "http://127.0.0.1:9/api"
Advance = Callable[[float], None]


@flow(name="idle")
def idle() -> None:
    """Never started here: its runs are what Prefect holds of processes that do not exist."""


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as connected:
        yield connected
        for run in silent_runs.occupying(connected):
            connected.set_flow_run_state(run.id, Completed(), force=True)


@pytest.fixture
def advance(monkeypatch: pytest.MonkeyPatch) -> Advance:
    """Let time pass for the watcher alone: how fast this machine is decides nothing."""
    now_s = [1000.0]
    monkeypatch.setattr(silent_runs, "steady_seconds", lambda: now_s[0])

    def pass_by(seconds: float) -> None:
        now_s[0] += seconds

    return pass_by


def begun(client: SyncPrefectClient) -> UUID:
    return client.create_flow_run(idle, state=Running()).id


def beat(client: SyncPrefectClient, run: UUID, occurred: dt.datetime | None = None) -> None:
    """A sign of life as the process of a run gives it; returns once the server has stored it."""
    former = client.read_events(heartbeats(run), limit=1).total
    emit_event(HEARTBEAT, resource={"prefect.resource.id": f"prefect.flow-run.{run}"}, occurred=occurred)
    EventsWorker.drain_all()
    deadline = time.monotonic() + 60
    while client.read_events(heartbeats(run), limit=1).total == former:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def marked(watch: Watch, client: SyncPrefectClient) -> list[UUID]:
    return [run.id for run in watch.look(client)]


def fallen_silent(client: SyncPrefectClient, advance: Advance, watch: Watch) -> list[UUID]:
    """Runs that are marked while as much time goes by as a run may be silent, and a step more."""
    crashed = marked(watch, client)
    for _ in range(int(SILENT_SECONDS / STEP_SECONDS) + 1):
        assert crashed == []
        advance(STEP_SECONDS)
        crashed = marked(watch, client)
    return crashed


def test_a_run_without_a_sign_of_life_is_marked_and_one_that_gives_them_is_not(
    client: SyncPrefectClient, advance: Advance
) -> None:
    watch, dead, alive = Watch(SILENT_SECONDS), begun(client), begun(client)
    for _ in range(3):
        assert marked(watch, client) == []
        advance(STEP_SECONDS)
    beat(client, alive)
    assert marked(watch, client) == []
    advance(STEP_SECONDS)
    assert marked(watch, client) == [dead]
    states = {run: client.read_flow_run(run).state for run in (dead, alive)}
    assert [states[run].type.value for run in (dead, alive)] == ["CRASHED", "RUNNING"]
    assert states[dead].message.startswith("no sign of life for 90 s: its process died")


def test_signs_of_life_count_by_whatever_clock_they_were_given(client: SyncPrefectClient, advance: Advance) -> None:
    """The clock of the run's machine is ahead by ten minutes and is then set back."""
    watch, run = Watch(SILENT_SECONDS), begun(client)
    clock = dt.datetime.now(dt.UTC)
    for ahead_s in (600, 0):
        for _ in range(2):
            assert marked(watch, client) == []
            advance(STEP_SECONDS)
        beat(client, run, clock + dt.timedelta(seconds=ahead_s))
    assert marked(watch, client) == []


def test_a_run_whose_worker_died_before_it_began_is_marked(client: SyncPrefectClient, advance: Advance) -> None:
    """It would keep every other run of its queue waiting."""
    run = client.create_flow_run(idle, state=Pending()).id
    assert fallen_silent(client, advance, Watch(SILENT_SECONDS)) == [run]


def test_the_time_of_an_outage_does_not_count(client: SyncPrefectClient, advance: Advance) -> None:
    watch, run = Watch(SILENT_SECONDS), begun(client)
    assert marked(watch, client) == []
    cut_off = {PREFECT_API_URL: NOWHERE, PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(cut_off), get_client(sync_client=True) as cut:
        for _ in range(10):
            advance(STEP_SECONDS)
            with pytest.raises(httpx.HTTPError):
                watch.look(cut)
    # Silent for longer than allowed, but nobody could have heard it: its time begins now.
    assert fallen_silent(client, advance, watch) == [run]


def test_time_in_which_nobody_looked_does_not_count(client: SyncPrefectClient, advance: Advance) -> None:
    """The watcher itself was stopped, as on a machine that sleeps."""
    watch, run = Watch(SILENT_SECONDS), begun(client)
    assert marked(watch, client) == []
    advance(10 * SILENT_SECONDS)
    assert fallen_silent(client, advance, watch) == [run]


def test_a_run_that_is_marked_learns_it_and_a_command_is_nobody_elses(
    client: SyncPrefectClient, advance: Advance
) -> None:
    assert run_of_service() is None
    assert reason_to_stop(None)() == ""
    run = begun(client)
    must_stop = reason_to_stop(client.read_flow_run(run))
    assert must_stop() == ""
    assert fallen_silent(client, advance, Watch(SILENT_SECONDS)) == [run]
    assert "Prefect holds this run for Crashed (no sign of life for 90 s" in must_stop()
    # Who cannot be reached has let nobody else start.
    with temporary_settings({PREFECT_API_URL: NOWHERE}):
        assert must_stop() == ""


def test_former_automations_are_gone(client: SyncPrefectClient) -> None:
    """The one of earlier versions, which crashed runs after an outage, and a webhook that is not set any more."""

    def laid_down() -> list[str]:
        return [a.name for name in (FORMER_AUTOMATION, TELL_FAILURES) for a in client.read_automations_by_name(name)]

    tell_failures("http://127.0.0.1:8065/hooks/x").model_copy(update={"name": FORMER_AUTOMATION}).create()
    assert laid_down() == [FORMER_AUTOMATION]
    for _ in range(2):
        make_automations("http://127.0.0.1:8065/hooks/x")
        assert laid_down() == [TELL_FAILURES]
    make_automations("")
    assert laid_down() == []
