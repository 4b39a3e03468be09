"""One run at a time writes to a root, which belongs to one product; what an upgrade will make again is told first.

Two files in the root say so: `.lease.json` while a run writes, and `product.json` from the first run on.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fsspec.implementations.local import LocalFileSystem
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows import results
from flows.cluster.connecting import packages
from flows.console import console
from somo.product.declaration import Product, ProductError
from somo.storage.client import filesystem
from somo.storage.conditional import put_version, read_version
from somo.storage.lease import leased, never
from somo.storage.objects import join

LEASE, OWNER = ".lease.json", "product.json"
# The lease must be renewed while Prefect is away, so that it is asked for seconds alone.
ASKED_ONCE = {PREFECT_CLIENT_MAX_RETRIES: 0, PREFECT_API_REQUEST_TIMEOUT: 5.0}
# What is made again when the format of a kind of results has changed.
MADE_AGAIN = {
    "samples": "the training samples, and with them every network and day of a version that is not complete",
    "models": "every network, and with them the days of a version that is not complete",
}


@contextmanager
def one_writer(product: Product, root: str, purpose: str) -> Iterator[None]:
    """Be the only run that writes to a root.

    Parameters
    ----------
    purpose : what is done, such as "run", for whoever comes second

    Raises
    ------
    LeaseError
        if another run is at work there
    ProductError
        if the root holds another product, or is in the hands of other users of this machine
    """
    require_own_folder(root)
    with leased(join(root, LEASE), f"{purpose} of {product.name} {product.version}", reason_to_stop(run_of_service())):
        sign(product, root)
        yield


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


def require_own_folder(root: str) -> None:
    """Require of a root on a disk that what is written below it stays there.

    Raises
    ------
    ProductError
        if anybody may write to the root, or another user has made a link in it
    """
    fs, path = filesystem(root)
    if not isinstance(fs, LocalFileSystem) or not Path(path).is_dir():
        return
    if Path(path).stat().st_mode & stat.S_IWOTH:
        raise ProductError(
            f"{root} may be written by every user of this machine, who could lead results elsewhere by links; take "
            f"that right away (chmod o-w {root}) or give another --root"
        )
    for folder, folders, names in os.walk(path):
        for link in filter(Path.is_symlink, (Path(folder, name) for name in (*folders, *names))):
            # The user's own links, as to a larger disk, lead where the user wants.
            if (maker := link.lstat().st_uid) not in (0, os.geteuid()):
                raise ProductError(
                    f"{link} is a link that another user ({maker}) has made: results would be written where it leads; "
                    "remove it, or give another --root"
                )


def sign(product: Product, root: str) -> None:
    """Require that a root is this product's, tell what has changed since its last run, and write down what runs now.

    Raises
    ------
    ProductError
        if the root holds another product
    """
    url = join(root, OWNER)
    former_bytes, version = read_version(url)
    former = json.loads(former_bytes) if former_bytes is not None else {}
    if former and former["name"] != product.name:
        raise ProductError(
            f"{root} holds the product {former['name']}, and this one is {product.name}: their versions would "
            "overwrite each other; give another --root"
        )
    running = made_with()
    for sentence in changed_since(former, running):
        console.print(sentence)
    signed = json.dumps({"name": product.name, **running}, indent=1).encode()
    if signed != former_bytes:
        put_version(url, signed, version)


def made_with() -> dict[str, Any]:
    """What decides how results come out besides the declaration: packages, and the formats of results."""
    return {
        "packages": packages(),
        "formats": {"samples": results.SAMPLES_FORMAT, "models": results.MODELS_FORMAT},
    }


def changed_since(former: Mapping[str, Any], running: Mapping[str, Any]) -> list[str]:
    """Sentences about an upgrade between two runs: what is another version now, and what is made again for it."""
    if not former:
        return []
    changed = [
        f"{name} {former['packages'].get(name, 'absent')} is {version} now"
        for name, version in running["packages"].items()
        if former["packages"].get(name, "absent") != version
    ]
    sentences = [f"since the last run in this root: {', '.join(changed)}; finished results are kept"] if changed else []
    for kind, number in running["formats"].items():
        if former["formats"].get(kind) != number:
            sentences.append(
                f"this SoMo writes {kind} otherwise than the last run's: it makes again {MADE_AGAIN[kind]}"
            )
    return sentences
