"""Where Dask comes from: one table of settings a kind of cluster, each with the keys that exist for it alone."""

import re
import shlex
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SerializeAsAny, model_validator

from somo.product.declared import Declared
from somo.product.kinds import name_of, settings_of_kind


class ClusterKind(Declared):
    """What every kind of cluster declares."""

    kind: str
    """Name of the kind."""
    memory_gb: float = Field(default=4.0, gt=0, allow_inf_nan=False, examples=[8.0])
    """Memory of one worker, gigabytes; regions are planned to fit into it."""


Kind = TypeVar("Kind", bound=ClusterKind)
CLUSTER_KINDS: dict[str, type[ClusterKind]] = {}
DEFAULT_KIND = "local"


def register_cluster_kind(settings: type[Kind]) -> type[Kind]:
    """Let declarations use a kind of cluster; its name is the default of the field `kind`."""
    CLUSTER_KINDS[name_of(settings)] = settings
    return settings


@register_cluster_kind
class LocalWorkers(ClusterKind):
    """Processes of this machine."""

    kind: Literal["local"] = "local"
    """This kind of cluster, the default."""
    workers: int = Field(default=0, ge=0, examples=[8])
    """Worker processes; 0 means as many as the machine has cores."""
    gpu_workers: int = Field(default=0, ge=0, examples=[1])
    """How many of them have a GPU each, for training; 0 means as many as the machine has."""


def _with_port(address: str) -> str:
    try:
        place = urlsplit(address if "://" in address else f"tcp://{address}")
        names_port = bool(place.hostname and place.port)
    except ValueError:
        names_port = False
    if not names_port:
        raise ValueError(f"address {address!r} names no host and port of a scheduler; give it as tls://host:8786")
    return address


@register_cluster_kind
class SchedulerAddress(ClusterKind):
    """Whatever is connected to a running scheduler."""

    kind: Literal["address"] = "address"
    """This kind of cluster."""
    address: Annotated[str, AfterValidator(_with_port)] = Field(examples=["tls://host:8786"])
    """Address of the scheduler."""


@register_cluster_kind
class KubernetesPods(ClusterKind):
    """Pods of the Dask operator."""

    kind: Literal["kubernetes"] = "kubernetes"
    """This kind of cluster."""
    workers: int = Field(default=1, ge=1, examples=[16])
    """Most pods; there are as many as the work needs."""
    gpu_workers: int = Field(default=0, ge=0, examples=[2])
    """Further pods with a GPU each, for training."""
    namespace: str | None = Field(default=None, examples=["soil"])
    """Namespace of the pods; left out, that of the process that starts them."""
    image: str | None = Field(default=None, examples=["registry.example.org/somo:0.1.0"])
    """Image of the pods; left out, `somo:0.1.0`."""
    accept_plain_tcp: bool = False
    """Accepts that the operator's pods talk without TLS, so that whoever reaches one can run code in it."""


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
    """SLURM jobs."""

    kind: Literal["slurm"] = "slurm"
    """This kind of cluster."""
    workers: int = Field(default=1, ge=1, examples=[64])
    """Most worker processes; there are as many as the work needs."""
    gpu_workers: int = Field(default=0, ge=0, examples=[4])
    """Most worker processes with a GPU each, for training."""
    min_workers: int = Field(default=1, ge=1, examples=[8])
    """Worker processes that stay for as long as the run, whether there is work for them or not."""
    patience_s: float = Field(default=300.0, ge=0, examples=[60.0])
    """Seconds without work after which a job beyond `min_workers` is given back."""
    processes: int = Field(default=1, ge=1, examples=[8])
    """Worker processes of one job, each with one thread and one CPU; a job with a GPU has one."""
    queue: Word | None = Field(default=None, examples=["compute"])
    """Partition of the jobs."""
    gpu_queue: Word | None = Field(default=None, examples=["gpu"])
    """Partition of the jobs with a GPU, where it is another."""
    gres: Word = Field(default="gpu:1", examples=["gpu:a100:1"])
    """What a job with a GPU asks for."""
    account: Word | None = Field(default=None, examples=["hydro"])
    """Account that the jobs are charged to."""
    qos: Word | None = Field(default=None, examples=["long"])
    """Quality of service of the jobs."""
    constraint: Word | None = Field(default=None, examples=["avx512"])
    """Feature that nodes must have."""
    directives: Annotated[tuple[Word, ...], BeforeValidator(_separate)] = Field(
        default=(), examples=[["--exclusive", "--reservation=spring"]]
    )
    """Further options of `sbatch`."""
    job_name: Word = Field(default="somo", examples=["soil"])
    """Name of the jobs."""
    log_folder: str | None = Field(default=None, examples=["/scratch/me/logs"])
    """Where the jobs' output goes; left out, `logs` in the shared folder."""
    interface: Word | None = Field(default=None, examples=["ib0"])
    """Network interface on which scheduler and workers talk."""
    walltime: str = Field(default="04:00:00", examples=["12:00:00"])
    """Limit of a job's time; work that takes longer goes on in the next job."""
    shared_folder: str = Field(default="~/.somo", examples=["/scratch/me/somo"])
    """Folder that all nodes see; the run's certificates lie in it, readable by their owner alone."""

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
