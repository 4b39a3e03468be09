"""A run of the service as Prefect holds it: it must stop once Prefect has let the next one start.

Apart from `flows.one_writer`, which commands import before they have made Prefect's settings: it reads them when it is
imported, and would start its server without a password.
"""

from collections.abc import Callable

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from somo.storage.lease import never

# The lease must be renewed while Prefect is away, so that it is asked for seconds alone.
ASKED_ONCE = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: 5.0}


def run_of_service() -> FlowRun | None:
    """The run of a deployment that this process works on; None for a command from a terminal, which is its user's."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return run if run is not None and run.deployment_id is not None else None


def reason_to_stop(run: FlowRun | None) -> Callable[[], str]:
    """Why a run must stop: Prefect holds it for ended, and has let the next one start.

    It does so of runs that are cut off from its server for long.
    """
    if run is None:
        return never

    def why() -> str:
        with temporary_settings(ASKED_ONCE), get_client(sync_client=True) as client:
            try:
                state = client.read_flow_run(run.id).state
            except (httpx.HTTPError, ObjectNotFound):
                # Nobody who cannot be reached has let another run start; the lease keeps others out.
                return ""
        if state is None or not state.is_final():
            return ""
        return (
            f"Prefect holds this run for {state.name} ({state.message}): it stops writing. What it has finished is "
            "kept, and the next run goes on from it"
        )

    return why
