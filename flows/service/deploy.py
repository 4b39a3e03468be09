"""Lay down in Prefect what the service needs: pool, queue, deployments, automations. May run again at any time.

`python -m flows.service.deploy`; `SOMO_PRODUCT` is the product's TOML file, `SOMO_ROOT` where its results go,
`SOMO_UPDATE_CRON` when it is updated, `SOMO_WEBHOOK` where failures are told.
"""

import asyncio
import ipaddress
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import Action, CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from pydantic import SecretStr

from flows.environment import deployment_settings
from flows.service.errors import StackError
from flows.service.services import POOL

HOME = Path(__file__).parents[2]
# A run that is silent for so long is taken for dead: longer than a database or a server needs to come back. Until the
# lease in the bucket runs out as well, nothing else writes there.
SILENT_SECONDS = 300
# Three signs of life, which a run gives every 30 s (`PREFECT_FLOWS_HEARTBEAT_FREQUENCY`).
SHORTEST_SILENCE_S = 90
# Where a cloud gives a machine's credentials to programs on it; its other address, 169.254.169.254, is link-local.
METADATA = ipaddress.ip_network("fd00:ec2::/32")
ENDED = ("Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "Paused", "Suspended")


def main() -> None:
    """Make pool, queue, deployments and automations for the product that the environment names."""
    settings = deployment_settings(HOME)
    if webhook := settings.get("SOMO_WEBHOOK"):
        require_outside(webhook)
    asyncio.run(make_pool(settings["SOMO_NAME"]))
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(HOME / "infra" / "prefect.yaml")]
    subprocess.run([sys.executable, "-m", *command], check=True, cwd=HOME, env=settings)
    replace(crash_silent_runs(silence(settings)))
    if webhook:
        replace(tell_failures(webhook))


async def make_pool(product: str) -> None:
    """A pool of processes, with one queue per product that lets one run through at a time."""
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with suppress(ObjectAlreadyExists):
            await client.create_work_queue(product, concurrency_limit=1, work_pool_name=POOL)


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


def crash_silent_runs(seconds: int) -> Automation:
    """A run whose process is gone falls silent; after a while it is marked crashed and lets the next one in."""
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{state}" for state in ENDED)},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    crash = ChangeFlowRunState(
        state=StateType.CRASHED,
        message=f"no sign of life for {seconds} s: its process died, or cannot reach Prefect's server",
    )
    return _automation("mark dead runs crashed", trigger, crash)


def require_outside(url: str) -> None:
    """Refuse a webhook that points at what a cloud or a machine keeps to itself.

    Prefect's server sends it, from inside the service: link-local addresses answer it with the machine's credentials.
    Addresses of the operator's own network are allowed, since chat servers stand there.

    Raises
    ------
    StackError
        naming the host and why
    """
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise StackError(f"SOMO_WEBHOOK: {place.scheme or 'no scheme'} is no way to call it; give an https:// URL")
    try:
        addresses = {entry[4][0] for entry in socket.getaddrinfo(place.hostname, None)}
    except OSError as error:
        raise StackError(f"SOMO_WEBHOOK: host {place.hostname} is not known ({error}); correct the URL") from error
    for address in map(ipaddress.ip_address, addresses):
        if address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA:
            raise StackError(
                f"SOMO_WEBHOOK: host {place.hostname} is {address}, which only the machine itself may ask; "
                "give the URL of a chat service"
            )


def tell_failures(url: str) -> Automation:
    """Call a webhook when a run fails or crashes."""
    block = Webhook(method="POST", url=SecretStr(url))
    identity = block.save("failures", overwrite=True)
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        posture=Posture.Reactive,
        threshold=1,
    )
    sentence = "flow.name ~ ' ' ~ flow_run.name ~ ' ' ~ flow_run.state.name ~ ': ' ~ flow_run.state.message"
    # A message may hold quotes and line breaks, which would end the JSON: Prefect's template escapes it.
    text = f'{{"text": {{{{ ({sentence}) | tojson }}}}}}'
    return _automation("tell failures", trigger, CallWebhook(block_document_id=identity, payload=text))


def _automation(name: str, trigger: EventTrigger, action: Action) -> Automation:
    return Automation(name=name, trigger=trigger, actions=[action])


def replace(automation: Automation) -> None:
    """Create an automation in place of the one of the same name."""
    with get_client(sync_client=True) as client:
        for old in client.read_automations_by_name(automation.name):
            client.delete_automation(old.id)
    automation.create()


if __name__ == "__main__":
    main()
