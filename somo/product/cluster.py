"""Where Dask comes from: one table of settings a kind of cluster, each with the keys that exist for it alone."""

import re
import shlex
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainValidator, SerializeAsAny, model_validator

from somo.product.declared import Declared
from somo.product.kinds import name_of, settings_of_kind


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
    CLUSTER_KINDS[name_of(settings)] = settings
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

    The operator's pods talk without TLS, so whoever reaches one can run code in it; `accept_plain_tcp` accepts that.
    """

    kind: Literal["kubernetes"] = "kubernetes"
    workers: int = Field(default=1, ge=1)
    gpu_workers: int = Field(default=0, ge=0)
    namespace: str | None = None
    image: str | None = None
    accept_plain_tcp: bool = False


# What stands in a job script has no blanks and nothing that a shell or a second line of directives is made of.
Word = Annotated[str, Field(pattern=r"^[^\s'\"`$;&|<>\\]+$")]
DAY_S = 86_400
# SLURM's own ways to write a limit of time, each with the seconds of its parts.
WALLTIMES = (
    (re.compile(r"(\d+)-(\d+)"), (DAY_S, 3600)),
    (re.compile(r"(\d+)-(\d+):(\d+)"), (DAY_S, 3600, 60)),
    (re.compile(r"(\d+)-(\d+):(\d+):(\d+)"), (DAY_S, 3600, 60, 1)),
    # A single number is minutes to SLURM, not seconds.
    (re.compile(r"(\d+)"), (60,)),
    (re.compile(r"(\d+):(\d+)"), (60, 1)),
    (re.compile(r"(\d+):(\d+):(\d+)"), (3600, 60, 1)),
)
SHORTEST_WALLTIME_S = 60


def walltime_seconds(walltime: str) -> int:
    """Seconds of a limit of time as SLURM writes it: minutes, `HH:MM:SS`, `D-HH:MM:SS` and their shorter forms.

    Raises
    ------
    ValueError
        if it is none of them, or shorter than the minute that SLURM itself counts in
    """
    for form, units in WALLTIMES:
        if numbers := form.fullmatch(walltime):
            seconds = sum(int(number) * unit for number, unit in zip(numbers.groups(), units, strict=True))
            if seconds < SHORTEST_WALLTIME_S:
                raise ValueError(f"walltime {walltime} is {seconds} s; SLURM counts in minutes, give one at the least")
            return seconds
    raise ValueError(f'walltime "{walltime}" is no time of SLURM; give HH:MM:SS or D-HH:MM:SS')


def _separate(directives: Any) -> Any:
    """The directives of a text that holds all of them, as an environment variable does."""
    return shlex.split(directives) if isinstance(directives, str) else directives


@register_cluster_kind
class SlurmJobs(ClusterKind):
    """SLURM jobs: up to `workers` worker processes as the work needs them, and up to `gpu_workers` with a GPU each.

    `shared_folder` is seen by all nodes; the run's certificates lie in it, readable by their owner alone.

    Attributes
    ----------
    min_workers : worker processes that stay for as long as the run, whether there is work for them or not
    patience_s : seconds without work after which a job beyond `min_workers` is given back
    processes : worker processes of one job, each with one thread and one CPU; a job with a GPU has one
    queue, gpu_queue : partition of the jobs, and of those with a GPU where it is another
    gres : what a job with a GPU asks for
    directives : further options of `sbatch`, such as `--exclusive`
    log_folder : where the jobs' output goes; `logs` in the shared folder if not given
    interface : network interface on which scheduler and workers talk, such as `ib0`
    walltime : limit of a job's time; work that takes longer goes on in the next job
    """

    kind: Literal["slurm"] = "slurm"
    workers: int = Field(default=1, ge=1)
    gpu_workers: int = Field(default=0, ge=0)
    min_workers: int = Field(default=1, ge=1)
    patience_s: float = Field(default=300.0, ge=0)
    processes: int = Field(default=1, ge=1)
    queue: Word | None = None
    gpu_queue: Word | None = None
    gres: Word = "gpu:1"
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    directives: Annotated[tuple[Word, ...], BeforeValidator(_separate)] = ()
    job_name: Word = "somo"
    log_folder: str | None = None
    interface: Word | None = None
    walltime: str = "04:00:00"
    shared_folder: str = "~/.somo"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        walltime_seconds(self.walltime)
        if self.min_workers > self.workers:
            raise ValueError(f"min_workers {self.min_workers} is more than workers {self.workers}")
        return self


cluster_of = settings_of_kind(ClusterKind, CLUSTER_KINDS, DEFAULT_KIND)
"""The settings of the kind that a table names."""
BuiltInKinds = LocalWorkers | SchedulerAddress | KubernetesPods | SlurmJobs
Cluster = Annotated[SerializeAsAny[ClusterKind], PlainValidator(cluster_of, json_schema_input_type=BuiltInKinds)]
