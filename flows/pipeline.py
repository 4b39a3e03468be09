"""START HERE: the whole journey, one call a stage. Each stage keeps what an earlier run has finished."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

from distributed import Client
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import watched
from flows.cluster.connecting import cluster
from flows.environment import load_product
from flows.stages.ingest import ingest
from flows.stages.produce import produce
from flows.stages.publish import publish
from flows.stages.targets import build_targets
from flows.stages.train import train
from flows.stages.validate import validate
from flows.status import STAGES, read_status
from flows.today import on_day
from somo.product.declaration import Product
from somo.storage.patience import NETWORK_ERRORS

Call = Callable[..., Any]


def journey(product: Product, root: str, client: Client, call: Call) -> Iterator[str]:
    """Take the journey a stage at a time; yields the name of each stage once it is complete."""
    inputs = call(ingest, product, root, client)
    yield "ingest"
    targets = call(build_targets, product, root, inputs, client)
    yield "targets"
    models = call(train, product, root, inputs, targets, client)
    yield "train"
    version = call(produce, product, root, inputs, models, client)
    yield "produce"
    call(publish, product, root, version, inputs, targets, models, client)
    yield "publish"
    call(validate, product, root, version, client)
    yield "validate"


def is_transient(_task: object, _run: object, state: Any) -> bool:
    """Whether a failed Prefect state comes from the network, which may have recovered."""
    error = state.result(raise_on_failure=False)
    while isinstance(error, BaseException):
        if isinstance(error, NETWORK_ERRORS):
            return True
        error = error.__cause__
    return False


def as_task(stage: Call, *arguments: Any) -> Any:
    """Call a stage as a Prefect task that is tried again when the network fails it, and only then."""
    work = task(
        lambda: stage(*arguments),
        name=stage.__name__,
        retries=2,
        retry_delay_seconds=[5, 30],
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    return work()


@flow(name="somo", flow_run_name="{path} until {until}", persist_result=False)
def run(path: str, root: str, until: str = STAGES[-1]) -> None:
    """Take the journey of the product declared in a file, as far as a stage."""
    take(load_product(path), root, until)


def take(product: Product, root: str, until: str = STAGES[-1], day: dt.date | None = None) -> bool:
    """Do what is missing of a product as of a day, today if none is given; False if nothing is."""
    with on_day(day):
        before = read_status(product, root)
        if all(stage.done for stage in before[: STAGES.index(until) + 1]):
            return False
        with cluster(product) as client, watched(product, root, before, client):
            for stage in journey(product, root, client, as_task):
                if stage == until:
                    break
    return True
