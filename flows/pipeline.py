"""START HERE: the whole journey, one call a stage. Each stage keeps what an earlier run has finished."""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import ParamSpec, TypeVar

from distributed import Client
from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import before_any_work, tell_no_work, watched
from flows.cluster.connecting import cluster
from flows.console import console
from flows.environment import load_product
from flows.failures import told_without_secrets
from flows.one_writer import one_writer
from flows.results import models_url
from flows.run_of_service import reason_to_stop, run_of_service
from flows.stages.ingest import ingest as ingest_forcing
from flows.stages.produce import produce as produce_days
from flows.stages.production.plan import require_version_for
from flows.stages.publish import publish as publish_version
from flows.stages.release import follow
from flows.stages.targets import build_targets
from flows.stages.train import train as train_networks
from flows.stages.validate import validate as validate_version
from flows.status import STAGES, read_status
from flows.today import on_day
from somo.product.declaration import Product

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def shown_in_prefect(stage: Callable[Arguments, Result], name: str) -> Callable[Arguments, Result]:
    """A stage as a task of Prefect, which times it and keeps its log.

    Prefect does not try a stage again: every request has been tried for as long as its store's patience lasts.
    """

    @wraps(stage)
    def call(*arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        # Without parameters: Prefect would otherwise walk through every argument in search of its own futures.
        @told_without_secrets()
        def work() -> Result:
            return stage(*arguments, **options)

        as_task = task(name=name, cache_policy=NO_CACHE, persist_result=False)(work)
        return as_task()

    return call


ingest = shown_in_prefect(ingest_forcing, "ingest")
targets = shown_in_prefect(build_targets, "targets")
train = shown_in_prefect(train_networks, "train")
produce = shown_in_prefect(produce_days, "produce")
publish = shown_in_prefect(publish_version, "publish")
validate = shown_in_prefect(validate_version, "validate")


def journey(product: Product, root: str, client: Client, until: str = STAGES[-1]) -> Iterator[str]:
    """Take the journey a stage at a time; yields the name of each stage once it is complete.

    Parameters
    ----------
    until : the last stage that is wanted
    """
    inputs = ingest(product, root, client)
    yield "ingest"
    sensors = targets(product, root, inputs, client)
    yield "targets"
    # Whoever wants no more than the networks may look at them before a new version is declared.
    if until != "train":
        require_version_for(product, root, inputs, models_url(product, root, inputs, sensors))
    models = train(product, root, inputs, sensors, client)
    yield "train"
    version = produce(product, root, inputs, models, client)
    yield "produce"
    publish(product, root, version, inputs, sensors, models, client)
    yield "publish"
    validate(product, root, version, client)
    # A version that is released already stays so, with what was added to it.
    follow(product, root)
    yield "validate"


@flow(name="somo", flow_run_name="{path} until {until}", persist_result=False)
def run(path: str, root: str, until: str = STAGES[-1]) -> None:
    """Take the journey of the product declared in a file, as far as a stage."""
    take(load_product(path), root, until)


@told_without_secrets()
def take(product: Product, root: str, until: str = STAGES[-1], day: dt.date | None = None) -> bool:
    """Do what is missing of a product as of a day, today if none is given; False if nothing is."""
    with on_day(day), ExitStack() as open_meanwhile:
        with before_any_work(product, root):
            stages_before = read_status(product, root)
        if all(stage.done for stage in stages_before[: STAGES.index(until) + 1]):
            tell_no_work(product, root, stages_before)
            return False
        console.print(f"starting workers ([cluster] kind = {product.cluster.kind})")
        open_meanwhile.enter_context(one_writer(product, root, "run", reason_to_stop(run_of_service())))
        with before_any_work(product, root):
            client = open_meanwhile.enter_context(cluster(product))
        tell_begin = open_meanwhile.enter_context(watched(product, root, stages_before, client))
        tell_begin(STAGES[0])
        for stage in journey(product, root, client, until):
            if stage == until:
                break
            tell_begin(STAGES[STAGES.index(stage) + 1])
    return True
