"""The services of an operated SoMo: one list behind the local stack, the compose file and the Kubernetes files."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flows.cluster.dashboard import USER
from flows.cluster.workers import IMAGE, S3_SECRETS, WORKER_ENVIRONMENT
from flows.environment import HEARTBEAT_SECONDS
from flows.service.checkup import alerts
from flows.service.checkup.health import Health
from flows.service.s3server import NO_ORIGIN, SIGNING_KEYS, weed, weed_environment

PORTS = {
    "s3": 8333, "master": 9333, "volume": 9340, "filer": 8888, "admin": 23646, "postgres": 5432,
    "prefect-server": 4200, "dask-scheduler": 8786, "dashboard": 8787, "prometheus": 9090,
}  # fmt: skip
POOL = "somo"
# Services that get the operator's `SOMO_*` settings.
SETTINGS_READERS = ("deploy", "prefect-worker")
# Settings that are laid down in Prefect once and that no run needs; the address of a webhook is often its password.
DEPLOYED_ONLY = ("SOMO_WEBHOOK", "SOMO_UPDATE_CRON", "SOMO_SILENT_SECONDS")
TLS = "DASK_DISTRIBUTED__COMM__TLS__"
# The versions of Debian 12, which the stack on one machine starts: both ways run the same programs.
POSTGRES_IMAGE = "postgres:15"
PROMETHEUS_IMAGE = "prom/prometheus:v2.42.0"


@dataclass(frozen=True)
class Place:
    """What differs between this machine, compose and Kubernetes.

    Attributes
    ----------
    hosts : host name of a service; the same for all if it is one string
    bind : address the services listen on
    data : folder of a service's data, which outlives it
    database : folder of PostgreSQL's data, where it is another
    secrets : folder of secret files, with one folder for each group of services that need the same
    sockets : folder of S3's Unix sockets, relative to where it starts
    programs : folder of PostgreSQL's and Python's programs, empty where they are on the PATH
    ports : by service
    workers : Dask worker processes, one thread each
    memory_gb : of one of them
    """

    hosts: Mapping[str, str] | str
    bind: str
    data: str
    secrets: str
    programs: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: PORTS)
    workers: int = 2
    memory_gb: float = 4.0
    sockets: str = "/tmp"
    database: str = ""

    def host(self, service: str) -> str:
        """Host name of a service."""
        return self.hosts if isinstance(self.hosts, str) else self.hosts[service]

    def url(self, service: str, scheme: str = "http", port: str = "") -> str:
        """URL of a service; `port` is the name of the port where it has several."""
        return f"{scheme}://{self.host(service)}:{self.ports[port or service]}"

    def program(self, name: str) -> str:
        """Path of a program, or its name alone where it is on the PATH."""
        folder = self.programs.get(name, self.programs.get("", ""))
        return f"{folder}/{name}" if folder else name


@dataclass(frozen=True)
class Service:
    """One process of the stack.

    Attributes
    ----------
    command : program and arguments
    environment : beyond what all services share
    secret : names of the variables it needs of the secrets file
    settings : names of the operator's `SOMO_*` settings that it reads, where it does not get all of them
    files : folder of secret files that it reads; "" if none
    needs : services that must be healthy before it starts
    health : what it answers; without, a process that runs
    image : container image
    once : a command that ends, and must end well before others start
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    files: str = ""
    needs: tuple[str, ...] = ()
    health: Health | None = None
    image: str = IMAGE
    once: bool = False


PREFECT_SECRETS = ("PREFECT_API_AUTH_STRING",)
# Login of Dask's dashboard and of Prometheus, as `user:password`; Dask reads it as its own setting `somo.login`.
DASHBOARD_LOGIN = "DASK_SOMO__LOGIN"


def services(place: Place) -> tuple[Service, ...]:
    """Every service, those that others need first."""
    server, *prefect = _prefect(place)
    return (_s3(place), _postgres(place), server, *_dask(place), *prefect, _prometheus(place))


def shared_environment(place: Place) -> dict[str, str]:
    """Environment of every process of ours: where the services are, no telemetry."""
    return {
        "AWS_ENDPOINT_URL": place.url("s3"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "PREFECT_API_URL": f"{place.url('prefect-server')}/api",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        # Prefect's server answers 500 while its database is away, which a run outlives.
        "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",
        # A request is tried again after 2, 4, 8 s and so on: seven times is more than four minutes. By Prefect's own
        # five, of one minute in all, a healthy run failed when PostgreSQL was silent for two.
        "PREFECT_CLIENT_MAX_RETRIES": "7",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        **WORKER_ENVIRONMENT,
    }


def dask_environment(place: Place) -> dict[str, str]:
    """Environment of what talks to Dask: its address, and the certificate that opens it."""
    node, key = f"{place.secrets}/dask/node.pem", f"{place.secrets}/dask/node.key"
    roles = {f"{TLS}{role}__{file_kind}": value for role in ("SCHEDULER", "WORKER", "CLIENT")
             for file_kind, value in (("CERT", node), ("KEY", key))}  # fmt: skip
    return {
        "SOMO_CLUSTER_ADDRESS": place.url("dask-scheduler", "tls"),
        "SOMO_DASHBOARD": place.url("dask-scheduler", port="dashboard"),
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        "DASK_DISTRIBUTED__DASHBOARD__LINK": f"{place.url('dask-scheduler', port='dashboard')}/status",
        f"{TLS}CA_FILE": f"{place.secrets}/dask/ca.pem",
        **roles,
    }


def _s3(place: Place) -> Service:
    data, secrets = f"{place.data}/s3", f"{place.secrets}/s3"
    # Its parts find each other on loopback, and only S3 itself needs a name on a network of containers.
    command = weed(
        place.program("weed"), data, f"{secrets}/s3.json", "127.0.0.1", place.bind, place.ports, place.sockets
    )
    health = Health(f"{place.url('s3')}/healthz")
    return Service("s3", tuple(command), weed_environment(secrets), SIGNING_KEYS, files="s3", health=health)


def _postgres(place: Place) -> Service:
    data = place.database or f"{place.data}/postgres"
    # The image's own first start looks for its server on the socket that Debian uses; here that folder is another's.
    sockets = data if place.database else "/var/run/postgresql"
    command = (
        place.program("postgres"), "-D", data, "-p", str(place.ports["postgres"]),
        "-c", f"listen_addresses={place.bind}", "-c", f"unix_socket_directories={sockets}", "-c", "max_connections=100",
    )  # fmt: skip
    # In another encoding than UTF-8, which an image without a locale chooses, the database refuses events of Prefect
    # whose text has a letter beyond ASCII, and with them what a webhook is told.
    settings = {
        "POSTGRES_USER": "prefect",
        "POSTGRES_DB": "postgres",
        "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --no-locale",
        "PGDATA": data,
    }
    health = Health(place.url("postgres", "tcp"))
    return Service("postgres", command, settings, ("POSTGRES_PASSWORD",), health=health, image=POSTGRES_IMAGE)


def _prefect(place: Place) -> tuple[Service, Service, Service, Service]:
    """Server, the command that lays down pool, deployments and automations, the worker, and who finds dead runs."""
    api = f"{place.url('prefect-server')}/api"
    server = Service(
        "prefect-server",
        (place.program("python"), "-m", "uvicorn", "--factory", "flows.service.prefect_server:create",
         "--host", place.bind, "--port", str(place.ports["prefect-server"])),
        {"PREFECT_UI_API_URL": "/api", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": NO_ORIGIN,
         "PREFECT_SERVER_METRICS_ENABLED": "true"},
        ("PREFECT_API_DATABASE_CONNECTION_URL", "PREFECT_SERVER_API_AUTH_STRING"),
        # `/health` does not look at the database.
        needs=("postgres",), health=Health(f"{api}/ready"),
    )  # fmt: skip
    deploy = Service(
        "deploy", (place.program("python"), "-m", "flows.service.deploy"), {}, PREFECT_SECRETS,
        needs=("prefect-server",), once=True,
    )  # fmt: skip
    worker = Service(
        "prefect-worker",
        (place.program("prefect"), "worker", "start", "--pool", POOL, "--type", "process"),
        dask_environment(place), (*S3_SECRETS, *PREFECT_SECRETS), files="dask",
        needs=("deploy", "s3", "dask-scheduler"),
        # Its own health port knows no login; the server knows which workers have given a sign of life of late.
        health=Health(f"{api}/work_pools/{POOL}/workers/filter", PREFECT_SECRETS[0], "{}", '"ONLINE"'),
    )  # fmt: skip
    watcher = Service(
        "run-watcher", (place.program("python"), "-m", "flows.service.checkup.silent_runs"), {}, PREFECT_SECRETS,
        ("SOMO_SILENT_SECONDS",), needs=("prefect-server",),
    )  # fmt: skip
    return server, deploy, worker, watcher


def _dask(place: Place) -> tuple[Service, Service]:
    port, dashboard = str(place.ports["dask-scheduler"]), f"{place.bind}:{place.ports['dashboard']}"
    scheduler = Service(
        "dask-scheduler",
        (place.program("dask"), "scheduler", "--protocol", "tls", "--host", place.bind, "--port", port,
         "--dashboard-address", dashboard, "--preload", "flows.cluster.dashboard"),
        dask_environment(place), (DASHBOARD_LOGIN,), files="dask",
        health=Health(f"{place.url('dask-scheduler', port='dashboard')}/health", DASHBOARD_LOGIN),
    )  # fmt: skip
    # On a network of containers a worker listens where the scheduler finds it; TLS keeps others out.
    loopback = ("--host", place.bind) if place.bind.startswith("127.") else ()
    worker = Service(
        "dask-worker",
        (place.program("dask"), "worker", place.url("dask-scheduler", "tls"), *loopback, "--nthreads", "1",
         "--nworkers", str(place.workers), "--memory-limit", f"{place.memory_gb:g}GB", "--no-dashboard",
         "--dashboard-address", "127.0.0.1:0"),
        dask_environment(place), S3_SECRETS, files="dask", needs=("dask-scheduler", "s3"),
    )  # fmt: skip
    return scheduler, worker


def _prometheus(place: Place) -> Service:
    secrets = f"{place.secrets}/prometheus"
    command = (
        place.program("prometheus"), f"--config.file={secrets}/prometheus.yml",
        f"--web.config.file={secrets}/web.yml", f"--storage.tsdb.path={place.data}/prometheus",
        f"--web.listen-address={place.bind}:{place.ports['prometheus']}",
        f"--storage.tsdb.retention.time={alerts.REMEMBERED}",
    )  # fmt: skip
    return Service("prometheus", command, files="prometheus", needs=("dask-scheduler",), image=PROMETHEUS_IMAGE,
                   health=Health(f"{place.url('prometheus')}/-/ready", DASHBOARD_LOGIN))  # fmt: skip


def prometheus_settings(place: Place) -> str:
    """What is scraped: Dask with what runs tell its scheduler, Prefect's server, Prometheus itself."""
    targets = {
        "dask": (f"{place.host('dask-scheduler')}:{place.ports['dashboard']}", "/metrics", USER),
        "prefect": (f"{place.host('prefect-server')}:{place.ports['prefect-server']}", "/api/metrics", USER),
        "prometheus": (f"{place.host('prometheus')}:{place.ports['prometheus']}", "/metrics", USER),
    }
    return alerts.settings(targets, f"{place.secrets}/prometheus")
