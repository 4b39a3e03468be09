"""What the operated service runs on a schedule or on demand; `infra/prefect.yaml` says when."""

import datetime as dt
from typing import Annotated, TypeVar

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import AfterValidator, Field

from flows.cluster.connecting import cluster
from flows.environment import load_product, root_of
from flows.failures import told_without_secrets, without_secrets
from flows.many_objects import collect_less
from flows.one_writer import one_writer
from flows.pipeline import take
from flows.results import version_url
from flows.run_of_service import reason_to_stop, run_of_service
from flows.status import summary
from flows.today import today
from somo.product.declaration import ProductError
from somo.product.method import Training
from somo.product.network import Network, NetworkKind

# Prefect starts a process for each run.
collect_less()

HOUR_S = 3600
Settings = TypeVar("Settings", Training, NetworkKind)


def _declared(path: str) -> str:
    """A path whose declaration is valid; a run with any other does not start."""
    try:
        load_product(path)
    except ProductError as error:
        # The declaration quotes URLs of its author, and Prefect keeps the text, logs it and tells a webhook.
        raise ProductError(without_secrets(str(error))) from None
    return path


ProductFile = Annotated[str, AfterValidator(_declared), Field(description="Path of the product's TOML file")]
Root = Annotated[str, Field(description="Where results go; empty: the declaration's own root")]
Day = Annotated[dt.date | None, Field(description="Day as of which forcing is looked for; empty: the day of the run")]
Version = Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$", description="Version to make, such as 1.1.0")]


def _title() -> str:
    """What a run is called in Prefect's interface."""
    parameters = flow_run.parameters
    declared = load_product(parameters["product"])
    return f"{declared.name} {parameters.get('version') or declared.version}, {today():%Y-%m-%d}"


# The two flows that compute for long are begun once more, for a Dask cluster that was lost. Requests to stores are
# tried again by `somo.storage` alone, each for as long as its store's patience lasts.
@flow(
    name="update",
    flow_run_name=_title,
    timeout_seconds=12 * HOUR_S,
    retries=1,
    retry_delay_seconds=30,
    persist_result=False,
)
def update(product: ProductFile, root: Root = "", day: Day = None) -> str:
    """Take in what is new: forcing, days, files, validation. Ends in seconds if nothing is."""
    declared = load_product(product)
    where = root_of(declared, root)
    worked = take(declared, where, day=day)
    get_run_logger().info("%s %s: %s", declared.name, declared.version, "updated" if worked else "nothing to do")
    return "updated" if worked else "nothing to do"


@flow(
    name="retrain",
    flow_run_name=_title,
    timeout_seconds=72 * HOUR_S,
    retries=1,
    retry_delay_seconds=60,
    persist_result=False,
)
def retrain(
    product: ProductFile,
    version: Version,
    root: Root = "",
    training: Training | None = None,
    network: Network | None = None,
) -> str:
    """Train anew under a new version and produce it; the version in use is not touched. `release` makes it current.

    `training` and `network` need to name only what differs from the declaration.
    """
    declared = load_product(product)
    if version == declared.version:
        raise ProductError(f"version {version} is the declared one, and its models never change; give a higher version")
    changes = {"training": _changed(declared.training, training), "network": _changed(declared.network, network)}
    changed = declared.model_copy(update={"version": version, **changes})
    worked = take(changed, root_of(declared, root))
    return "trained" if worked else "nothing to do"


def _changed(declared: Settings, given: Settings | None) -> Settings:
    """A declared table with the keys that were given in place of its own."""
    changes = given.model_dump(exclude_unset=True) if given is not None else {}
    return type(declared).model_validate({**declared.model_dump(), **changes})


@flow(name="release", flow_run_name=_title, timeout_seconds=HOUR_S, persist_result=False)
def release(product: ProductFile, root: Root = "", version: Version | None = None) -> str:
    """Release a validated version; readers get the newest released one as the latest."""
    from flows.stages.release import as_made
    from flows.stages.release import release as make_current
    from flows.stages.validate import require_judged

    declared = load_product(product)
    where = root_of(declared, root)
    chosen = as_made(declared, where, version or declared.version)
    with told_without_secrets():
        require_judged(chosen, version_url(chosen, where))
        with one_writer(chosen, where, "release", reason_to_stop(run_of_service())), cluster(chosen) as client:
            make_current(chosen, where, client)
    create_markdown_artifact(summary(chosen, where), key="release", description=f"Released {chosen.version}")
    return chosen.version


@flow(name="validate", flow_run_name=_title, timeout_seconds=12 * HOUR_S, persist_result=False)
def validate(product: ProductFile, root: Root = "") -> str:
    """Judge the version again from what is published."""
    from flows.stages.release import follow
    from flows.stages.validate import validate as judge

    declared = load_product(product)
    where = root_of(declared, root)
    with told_without_secrets(), one_writer(declared, where, "validation", reason_to_stop(run_of_service())):
        with cluster(declared) as client:
            report = judge(declared, where, version_url(declared, where), client)
        follow(declared, where)
    create_markdown_artifact(summary(declared, where), key="validation", description=f"Report: {report}")
    return report
