"""Where Dask comes from: one table of settings a kind of cluster, each with the keys that exist for it alone."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, PlainValidator, SerializeAsAny

from somo.product.inputs import Declared


class ClusterKind(Declared):
    """What every kind of cluster declares.

    Attributes
    ----------
    kind : name of the kind
    memory_gb : memory of one worker, gigabytes; regions are planned to fit into it
    """

    kind: str
    memory_gb: float = Field(default=4.0, gt=0)


Kind = TypeVar("Kind", bound=ClusterKind)
CLUSTER_KINDS: dict[str, type[ClusterKind]] = {}
DEFAULT_KIND = "local"


def register_cluster_kind(settings: type[Kind]) -> type[Kind]:
    """Let declarations use a kind of cluster; its name is the default of the field `kind`."""
    CLUSTER_KINDS[settings.model_fields["kind"].default] = settings
    return settings


@register_cluster_kind
class LocalWorkers(ClusterKind):
    """Processes of this machine; `workers` 0 means as many as it has cores."""

    kind: Literal["local"] = "local"
    workers: int = Field(default=0, ge=0)
    gpu_workers: int = Field(default=0, ge=0)


@register_cluster_kind
class SchedulerAddress(ClusterKind):
    """Whatever is connected to a running scheduler, such as `tls://host:8786`."""

    kind: Literal["address"] = "address"
    address: str


@register_cluster_kind
class KubernetesPods(ClusterKind):
    """Pods of the Dask operator: up to `workers` of them as the work needs, and a group of `gpu_workers`.

    The operator's pods talk without TLS: who reaches one may run code in it. `accept_plain_tcp` says that you know.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    workers: int = Field(default=1, ge=1)
    gpu_workers: int = Field(default=0, ge=0)
    namespace: str | None = None
    image: str | None = None
    accept_plain_tcp: bool = False


@register_cluster_kind
class SlurmJobs(ClusterKind):
    """SLURM jobs of one worker each: up to `workers` of them as the work needs.

    `shared_folder` is seen by all nodes; the run's certificates lie in it, readable by their owner alone.
    """

    kind: Literal["slurm"] = "slurm"
    workers: int = Field(default=1, ge=1)
    gpu_workers: int = Field(default=0, ge=0)
    queue: str | None = None
    walltime: str = "04:00:00"
    shared_folder: str = "~/.somo"


def _of_its_kind(value: Any) -> ClusterKind:
    """The settings of the kind that a table names; pydantic keeps the places of errors that are raised in here."""
    if isinstance(value, ClusterKind):
        return value
    if not isinstance(value, dict):
        raise ValueError("is no table of settings")
    kind = value.get("kind", DEFAULT_KIND)
    if kind not in CLUSTER_KINDS:
        raise ValueError(f"kind {kind!r} is unknown; allowed are {', '.join(CLUSTER_KINDS)}")
    return CLUSTER_KINDS[kind].model_validate(value)


BuiltInKinds = LocalWorkers | SchedulerAddress | KubernetesPods | SlurmJobs
Cluster = Annotated[SerializeAsAny[ClusterKind], PlainValidator(_of_its_kind, json_schema_input_type=BuiltInKinds)]
