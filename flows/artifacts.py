"""What the operator sees of a run in Prefect: the plan before the work, progress during it, a summary after it."""

import datetime as dt
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Literal
from uuid import UUID

import httpx
from distributed import Client
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from flows.cluster.connecting import dashboard_link, running_scheduler
from flows.cluster.measures import TellRepeats, tell_end, tell_progress
from flows.cluster.watching import Progressed, watching
from flows.failures import RunError, in_one_sentence, without_secrets
from flows.one_writer import is_signed_by
from flows.status import Stage, read_status, summary
from somo.product.declaration import Product
from somo.publish.store.maps import read_visible, store_url
from somo.storage.lease import put_changed, put_visible
from somo.storage.objects import join

# An update is a request to Prefect's server, and regions can be done many times a second.
EVERY_SECONDS = 5.0


@contextmanager
def watched(product: Product, root: str, before: Sequence[Stage], client: Client) -> Iterator[Callable[[str], None]]:
    """Show a run of a product to its operator.

    Yields what is to be told of each stage that begins.

    Raises
    ------
    RunError
        in place of a TimeoutError, which Prefect would take for its own limit
    """
    log = get_run_logger()
    plan = [f"- **{stage.name}**: {stage.detail or stage.state}" for stage in before]
    title = f"{product.name} {product.version} → `{root}`"
    with shown("the plan"):
        text = "\n".join([f"## Plan for {title}", *plan])
        create_markdown_artifact(text, key="plan", description=f"To do for {title}")
    if link := dashboard_link(client):
        with shown("the dashboard's link"):
            create_link_artifact(link, "Dask dashboard", key="dask-dashboard", description="What the workers do now")
    log.info("%s %s: to do %s", product.name, product.version, ", ".join(s.name for s in before if not s.done))
    client.register_plugin(TellRepeats())
    try:
        with watching(ProgressArtifacts()), watching(partial(tell_progress, client)):
            yield lambda stage: write_status_page(root, product, at_work(before, stage), "running")
    except Exception as error:
        sentence = tell_failure(product, root, error, client)
        if isinstance(error, TimeoutError):
            # Prefect takes every TimeoutError that leaves a flow for its own limit of time, and says so.
            raise RunError(sentence) from error
        raise
    stages_after = read_status(product, root)
    write_status_page(root, product, stages_after, "ended")
    tell_end(client, product.name, newest_day_s(product, root))
    if all(stage.done for stage in stages_after):
        with shown("the summary"):
            text = _summary(product, root, before, stages_after)
            create_markdown_artifact(text, key="summary", description=f"Result of {title}")
    log.info("%s %s: %s", product.name, product.version, "; ".join(f"{s.name} {s.detail}" for s in stages_after))


@contextmanager
def before_any_work(product: Product, root: str) -> Iterator[None]:
    """Show a failure that comes before there are workers: a provider who is late, an archive or a cluster that is away.

    Raises
    ------
    RunError
        in place of a TimeoutError, which Prefect would take for its own limit
    """
    try:
        yield
    except Exception as error:
        with running_scheduler(product) as client:
            sentence = tell_failure(product, root, error, client)
        if isinstance(error, TimeoutError):
            raise RunError(sentence) from error
        raise


def tell_failure(product: Product, root: str, error: Exception, client: Client | None) -> str:
    """Tell of a failed run in Prefect, on the status page and, where there is a scheduler, to Prometheus; why, in one
    sentence.
    """
    sentence, title = without_secrets(in_one_sentence(error)), f"{product.name} {product.version} → `{root}`"
    with shown("the failure"):
        kept = "What was finished is kept: the next run goes on from it."
        text = f"## {title} failed\n\n{as_it_is(sentence)}\n\n{kept}"
        create_markdown_artifact(text, key="failure", description=f"Why {title} failed")
    # Cluster and store may be what failed: telling of the failure must not replace it by another one.
    if client is not None:
        with suppress(Exception):
            tell_end(client, product.name, None, type(error).__name__)
    with suppress(Exception):
        # A root that is another product's, or that nobody has written to yet, is left alone.
        if is_signed_by(product, root):
            write_status_page(root, product, _stages_if_any(product, root), "failed", sentence)
    return sentence


def at_work(before: Sequence[Stage], stage: str) -> list[Stage]:
    """The stages of a run that has come to one of them: those before it are complete."""
    come_to = [entry.name for entry in before].index(stage)
    passed = [entry if entry.done else replace(entry, state="done", detail="by this run") for entry in before[:come_to]]
    # What the run makes now is no longer missing.
    now = replace(before[come_to], state="at work", detail=before[come_to].detail.removeprefix("missing: "))
    return [*passed, now, *before[come_to + 1 :]]


def _stages_if_any(product: Product, root: str) -> list[Stage]:
    """The stages; none where they cannot be told, as for sources that are not there."""
    try:
        return read_status(product, root)
    except (OSError, ValueError):
        return []


def tell_no_work(product: Product, root: str, stages: Sequence[Stage]) -> None:
    """Tell those who watch from outside that a run has ended well which found nothing to do.

    They would take it for none at all: no alert would end, and one would say that no run had ended for days.
    """
    with suppress(Exception):
        write_status_page(root, product, stages, "ended")
    with running_scheduler(product) as client:
        if client is not None:
            with suppress(Exception):
                tell_end(client, product.name, newest_day_s(product, root))


def newest_day_s(product: Product, root: str) -> float | None:
    """Start of the newest published day, seconds since 1970; None if nothing is published."""
    visible = read_visible(store_url(root, product.version))
    if visible is None or not visible.days:
        return None
    newest = product.period.start + dt.timedelta(days=visible.days - 1)
    return dt.datetime.combine(newest, dt.time(), dt.UTC).timestamp()


def as_it_is(text: str) -> str:
    """Markdown that shows a text as it is: names of files and stations may hold links, pictures and scripts."""
    # A fence ends at as many backticks as it begins with.
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


@contextmanager
def shown(what: str) -> Iterator[None]:
    """Show something to the operator if Prefect's server answers; a run does not fail because nobody can watch it."""
    try:
        yield
    except httpx.HTTPError as error:
        get_run_logger().warning("%s cannot be shown now: %s", what, error)


class ProgressArtifacts:
    """One progress artifact per piece of work, renewed every few seconds with rate and time left."""

    def __init__(self) -> None:
        self._ids: dict[str, UUID] = {}
        self._next = 0.0

    def __call__(self, progressed: Progressed) -> None:
        name = progressed.description
        if name in self._ids and time.monotonic() < self._next and progressed.done < progressed.total:
            return
        self._next = time.monotonic() + EVERY_SECONDS
        with shown(f"progress of {name}"):
            self._show(name, progressed)

    def _show(self, name: str, progressed: Progressed) -> None:
        text = (
            f"{name}: {progressed.done} of {progressed.total}, {progressed.rate}, {progressed.seconds_left:.0f} s left"
        )
        percent = 100 * progressed.done / max(progressed.total, 1)
        if name in self._ids:
            update_progress_artifact(self._ids[name], percent, text)
            return
        # Prefect takes lower-case letters, digits and dashes alone.
        key = "".join(c if c.isalnum() else "-" for c in name.lower())
        artifact_id = create_progress_artifact(percent, key=key, description=text)
        # Inside an event loop Prefect would return a coroutine instead; stages run outside of one.
        assert isinstance(artifact_id, UUID)
        self._ids[name] = artifact_id


def _summary(product: Product, root: str, before: Sequence[Stage], after: Sequence[Stage]) -> str:
    rows = [f"| {a.name} | {b.state} | {a.state} | {a.size} | {a.detail} |" for b, a in zip(before, after, strict=True)]
    head = ["| stage | before | now | size | |", "|---|---|---|---|---|"]
    return "\n".join([f"## {product.name} {product.version}", *head, *rows, "", "```", summary(product, root), "```"])


def write_status_page(
    root: str, product: Product, stages: Sequence[Stage], run: Literal["running", "ended", "failed"], failure: str = ""
) -> None:
    """Put the status of a product during or after a run, as JSON and as a page that shows it, beside the viewer."""
    status = {
        "product": product.name,
        "version": product.version,
        "run": run,
        "failure": failure,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        # The page is for anyone: where results lie inside the bucket is not.
        "stages": [{k: v for k, v in stage.as_dict().items() if k != "url"} for stage in stages],
    }
    put_visible(join(root, "viewer", "status.json"), json.dumps(status, indent=1).encode())
    put_changed(join(root, "viewer", "status.html"), (files("flows") / "status.html").read_bytes())
