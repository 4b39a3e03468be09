"""Lay down in Prefect what the service needs: pool, queue, deployments, automations. May run again at any time.

`python -m flows.service.deploy`; `SOMO_PRODUCT` is the product's TOML file, `SOMO_ROOT` where its results go,
`SOMO_UPDATE_CRON` when it is updated, `SOMO_WEBHOOK` where failures are told.
"""

import asyncio
import ipaddress
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from prefect.automations import Automation
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.exceptions import ObjectAlreadyExists
from pydantic import SecretStr, ValidationError

from flows.environment import DAILY, deployment_settings
from flows.failures import in_one_sentence, without_secrets
from flows.service.checkup.silent_runs import silence
from flows.service.errors import StackError
from flows.service.services import POOL

HOME = Path(__file__).parents[2]
# Where clouds give a machine's credentials to programs on it, besides 169.254.169.254, which is link-local: Amazon's
# and Google's by IPv6, Alibaba's, Oracle's, Azure's.
METADATA = tuple(
    map(
        ipaddress.ip_network,
        ("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
    )
)
TELL_FAILURES = "tell failures"
# Earlier versions of SoMo left it in the database; it crashes runs that live through an outage of PostgreSQL.
FORMER_AUTOMATION = "mark dead runs crashed"


def main() -> None:
    """Make pool, queue, deployments and automations for the product that the environment names."""
    settings = deployment_settings(HOME)
    # The service that takes this setting would say what is wrong with it in a log that nobody looks into.
    silence(settings)
    require_schedule(settings["SOMO_UPDATE_CRON"])
    if webhook := settings.get("SOMO_WEBHOOK", ""):
        require_outside(webhook)
    asyncio.run(make_pool(settings["SOMO_NAME"]))
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(HOME / "infra" / "prefect.yaml")]
    done = subprocess.run([sys.executable, "-m", *command], check=False, cwd=HOME, env=settings)
    if done.returncode:
        raise StackError(f"Prefect took no deployments (status {done.returncode}); why stands before this line")
    make_automations(webhook)


async def make_pool(product: str) -> None:
    """A pool of processes, with one queue per product that lets one run through at a time."""
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=POOL, type="process"))
        with suppress(ObjectAlreadyExists):
            await client.create_work_queue(product, concurrency_limit=1, work_pool_name=POOL)


def require_schedule(cron: str) -> None:
    """Refuse a schedule that Prefect would refuse in words which do not name the setting.

    Raises
    ------
    StackError
        naming setting and value
    """
    try:
        CronSchedule(cron=cron, timezone="UTC")
    except ValidationError:
        raise StackError(
            f"SOMO_UPDATE_CRON = {cron!r}: cron knows no such time; give minute, hour, day, month and day of the week, "
            f"such as {DAILY!r}"
        ) from None


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
        # An IPv4 address in IPv6's clothes, ::ffff:169.254.169.254, reaches the same machine.
        meant = getattr(address, "ipv4_mapped", None) or address
        is_metadata = any(meant in network for network in METADATA)
        if meant.is_link_local or meant.is_multicast or meant.is_unspecified or is_metadata:
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
    call = CallWebhook(block_document_id=identity, payload=text)
    return Automation(name=TELL_FAILURES, trigger=trigger, actions=[call])


def make_automations(webhook: str) -> None:
    """Lay down who is told of failures, in place of whoever was told before; nobody is if there is no webhook."""
    with get_client(sync_client=True) as client:
        for name in (FORMER_AUTOMATION, TELL_FAILURES):
            for automation in client.read_automations_by_name(name):
                client.delete_automation(automation.id)
    if webhook:
        tell_failures(webhook).create()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        # The last line of its log, which `somo stack` shows.
        sys.exit(without_secrets(in_one_sentence(error)).replace("\n", "; "))
