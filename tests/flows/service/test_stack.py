"""The service as it is operated: real PostgreSQL, S3, Prefect and Dask over TLS, on this machine.

The tests follow one life of it: the first firing of the schedule, then faults, new days, another version.
"""

import base64
import datetime as dt
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr

from flows.service.services import DASHBOARD_LOGIN
from flows.service.stack import Stack, free_place, operated
from tests.faults.operated import add_days, api, ended, fire, objects, put_sources, runs, wait_for
from tests.flows.stranger import doors, tried

pytestmark = [pytest.mark.service, pytest.mark.timeout(1500)]
SERVED = Path(__file__).parents[1] / "service.toml"
OUTAGE_SECONDS = 20
CRASH_SECONDS = 120
RETRAINED = {"version": "1.1.0", "training": {"epochs": 1}}


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[str, list[dict]]]:
    """A receiver of webhooks: its URL and what it has been sent."""
    received: list[dict] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", received
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def stack(tiny_sources: Path, told: tuple[str, list[dict]]) -> Iterator[Stack]:
    """All services; a tiny product whose sources lie on S3 is deployed, and its update fires every minute."""
    folder = Path(tempfile.mkdtemp(prefix="somo-stack-"))
    folder.chmod(0o755)
    settings = {
        "SOMO_SOURCES": "s3://somo/sources",
        "SOMO_UPDATE_CRON": "* * * * *",
        "SOMO_WEBHOOK": told[0],
        "SOMO_SILENT_SECONDS": "90",
        "SOMO_CLUSTER_WORKERS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        made = operated(folder, SERVED, "s3://somo/tiny", free_place())
    try:
        made.start("s3")
        put_sources(made, tiny_sources)
        with made:
            yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def made_by_hand(stack: Stack, folder: Path, declaration: str) -> None:
    """Make a product from the same sources with the command alone, under s3://somo/check."""
    toml = folder / "check.toml"
    toml.write_text(declaration)
    environment = {
        **os.environ,
        **stack.s3().environment(),
        "SOMO_SOURCES": "s3://somo/sources",
        "PREFECT_API_URL": stack.environment["PREFECT_API_URL"],
        "PREFECT_API_AUTH_STRING": stack.secrets()["PREFECT_API_AUTH_STRING"],
        "OMP_NUM_THREADS": "1",
    }
    command = [Path(sys.executable).with_name("somo"), "run", toml, "--root", "s3://somo/check", "--until", "produce"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr


def opened(stack: Stack, version: str = "tiny/v1.0.0") -> xr.Dataset:
    """What a version shows to those who may read it."""
    admin = stack.s3().environment()
    options = {
        "key": admin["AWS_ACCESS_KEY_ID"],
        "secret": admin["AWS_SECRET_ACCESS_KEY"],
        "endpoint_url": stack.place.url("s3"),
    }
    url = f"s3://somo/{version}/soil_moisture.zarr"
    with xr.open_zarr(url, chunks=None, zarr_format=3, storage_options=options) as store:
        return store[["soil_moisture", "soil_moisture_std", "status"]].load()


def test_the_schedule_fires_and_the_run_outlives_postgres_and_prefects_server(stack: Stack) -> None:
    wait_for(stack, "first network", lambda: objects(stack, "tiny/models/"), 300)
    by_hand = fire(stack, "update")
    stack.kill("postgres", signal.SIGINT)
    time.sleep(OUTAGE_SECONDS)
    stack.start_service("postgres")
    stack.kill("prefect-server")
    stack.start_service("prefect-server")
    stack.wait("prefect-server")
    wait_for(stack, "two runs", lambda: len(runs(stack, "COMPLETED")) >= 2, 600)
    first, second = runs(stack, "COMPLETED")[:2]
    assert first["auto_scheduled"]
    assert runs(stack, "FAILED", "CRASHED") == []
    assert second["start_time"] >= first["end_time"]
    assert second["total_run_time"] < 15
    assert ended(stack, by_hand)["state"]["type"] == "COMPLETED"
    assert {"tiny/v1.0.0/soil_moisture.zarr/zarr.json", "tiny/v1.0.0/report/index.html"} <= set(
        objects(stack, "tiny/v1.0.0/")
    )
    deployment = api(stack, "/deployments/name/update/Tiny-update")
    api(stack, f"/deployments/{deployment['id']}/pause_deployment", {})
    wait_for(stack, "end of what the schedule fired", lambda: not runs(stack, "PENDING", "RUNNING"), 120)


def test_artifacts_tell_plan_progress_and_summary(stack: Stack) -> None:
    artifacts = {a["key"]: a for a in api(stack, "/artifacts/latest/filter", {})}
    assert {"plan", "dask-dashboard", "summary"} <= set(artifacts)
    assert "median r" in artifacts["summary"]["data"]
    assert artifacts["regions"]["data"] == 100


def test_everybody_reads_what_is_published_and_nothing_else(stack: Stack) -> None:
    endpoint = stack.place.url("s3")
    with urllib.request.urlopen(f"{endpoint}/somo/tiny/viewer/status.json", timeout=10) as answer:
        assert {s["state"] for s in json.load(answer)["stages"]} == {"done"}
    keys = stack.s3().client().list_objects_v2(Bucket="somo", Prefix="tiny/models/")["Contents"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{endpoint}/somo/{keys[0]['Key']}", timeout=10)
    put = urllib.request.Request(f"{endpoint}/somo/tiny/v1.0.0/new", data=b"x", method="PUT")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(put, timeout=10)


def test_the_service_writes_its_prefix_alone(stack: Stack) -> None:
    service = stack.s3().client("service")
    service.put_object(Bucket="somo", Key="tiny/allowed", Body=b"x")
    with pytest.raises(service.exceptions.ClientError, match="AccessDenied"):
        service.put_object(Bucket="somo", Key="other/refused", Body=b"x")


def test_strangers_reach_neither_prefect_nor_dask(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        api(stack, "/deployments/filter", {}, authorised=False)
    context = ssl.create_default_context(cafile=str(stack.folder / "secrets" / "dask" / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", stack.place.ports["dask-scheduler"]), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        encrypted.sendall(b"x")
        encrypted.recv(1)


def test_dask_is_measured_by_those_who_log_in(stack: Stack) -> None:
    request = urllib.request.Request(f"{stack.place.url('dask-scheduler', port='dashboard')}/metrics")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10)
    login = base64.b64encode(stack.secrets()[DASHBOARD_LOGIN].encode()).decode()
    request.add_header("Authorization", f"Basic {login}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert b"dask_scheduler_workers" in answer.read()


def test_no_port_of_any_service_gives_another_user_anything(stack: Stack) -> None:
    before = objects(stack, "")
    ports, sockets = doors(process.pid for process in stack.processes.values() if process.poll() is None)
    assert {address for address, _ in ports} == {"127.0.0.1"}
    assert {stack.place.ports[name] for name in ("s3", "filer", "postgres", "prefect-server", "dask-scheduler")} <= {
        port for _, port in ports
    }
    given = tried([port for _, port in ports], sockets)
    named = {port: name for name, port in stack.place.ports.items()}
    answers = {named[int(port)]: {gift.split(":")[0] for gift in gifts} for port, gifts in given.items()}
    # S3 says that it lives and that there is nothing for strangers to list; Prefect hands out its page with the login.
    pages = answers.pop("prefect-server")
    assert answers == {"s3": {"GET /status", "GET /"}}
    assert not any(path.startswith(("GET /api/", "POST")) or "docs" in path or "openapi" in path for path in pages)
    assert objects(stack, "") == before


def test_data_logs_and_secrets_are_the_owners_alone(stack: Stack) -> None:
    for name in ("secrets", "logs", "data/s3", "data/postgres"):
        assert (stack.folder / name).stat().st_mode & 0o077 == 0, name


def test_each_process_holds_its_own_secrets_and_no_more(stack: Stack) -> None:
    held = stack.secrets()
    for name, process in stack.processes.items():
        if process.poll() is None and name != "postgres":
            found = psutil.Process(process.pid).environ()
            assert {key for key in held if held[key] in found.values()} == {
                key for key in held if held[key] in {held[own] for own in stack.services[name].secret}
            }, name


def test_an_update_as_of_the_day_before_midnight_takes_no_later_day(stack: Stack, tiny_sources: Path) -> None:
    add_days(stack, tiny_sources, 3)
    before = lasting_objects(stack)
    assert ended(stack, fire(stack, "update", day="2004-12-31"))["state"]["type"] == "COMPLETED"
    assert lasting_objects(stack) == before


def lasting_objects(stack: Stack) -> dict[str, str]:
    """Key -> ETag of the product's objects, without what every run writes: its lease, and when it ended."""
    every_run = (".lease.json", "viewer/status.json")
    return {key: tag for key, tag in objects(stack, "tiny/").items() if not key.endswith(every_run)}


def test_three_more_days_appear_and_nothing_else_changes_although_dask_dies(stack: Stack) -> None:
    there, before = opened(stack), lasting_objects(stack)
    run = fire(stack, "update")
    wait_for(stack, "new references", lambda: lasting_objects(stack).keys() - before.keys(), 300)
    stack.kill("dask-scheduler")
    stack.start_service("dask-scheduler")
    assert ended(stack, run)["state"]["type"] == "COMPLETED"
    now, after = opened(stack), lasting_objects(stack)
    assert now["time"].values[-3:].astype("M8[D]").tolist() == [dt.date(2005, 1, day) for day in (1, 2, 3)]
    xr.testing.assert_identical(now.isel(time=slice(0, -3)).drop_attrs(), there.drop_attrs())
    land = np.isfinite(there["soil_moisture"].isel(time=0))
    assert np.isfinite(now["soil_moisture"].isel(time=slice(-3, None)).where(land, 0)).all()
    overwritten = {key for key, tag in before.items() if after.get(key, tag) != tag}
    # Documents tell of the new days, and the pictures show the latest one; no shard is among them.
    shown_anew = (".json", "README.md", "thumbnail.png", "_latest.tif")
    assert [key for key in overwritten if not key.endswith(shown_anew) and "/report/" not in key] == []
    assert {key.split("/")[1] for key in before.keys() - after.keys()} <= {"states"}
    assert {key.split("/")[1] for key in after.keys() - before.keys()} == {"references", "states", "v1.0.0"}


def test_a_killed_worker_leaves_a_crashed_run_and_the_next_one_goes_on(stack: Stack, tmp_path: Path) -> None:
    models = set(objects(stack, "tiny/models/"))
    killed = fire(stack, "retrain", **RETRAINED)
    wait_for(stack, "a network", lambda: set(objects(stack, "tiny/models/")) - models, 300)
    stack.kill("prefect-worker")
    at = time.monotonic()
    stack.start_service("prefect-worker")
    resumed = fire(stack, "retrain", **RETRAINED)
    retrained = SERVED.read_text().replace('version = "1.0.0"', 'version = "1.1.0"').replace("epochs = 2", "epochs = 1")
    made_by_hand(stack, tmp_path, retrained)
    wait_for(stack, "crashed", lambda: runs(stack, "CRASHED"), CRASH_SECONDS - (time.monotonic() - at))
    assert [run["id"] for run in runs(stack, "CRASHED")] == [killed]
    assert ended(stack, resumed)["state"]["type"] == "COMPLETED"
    shards = [objects(stack, f"{root}/v1.1.0/soil_moisture.zarr/soil_moisture/c") for root in ("tiny", "check")]
    assert len(shards[0]) >= 12
    assert list(shards[0].values()) == list(shards[1].values())


def test_days_made_through_all_faults_are_those_of_an_undisturbed_run(stack: Stack, tmp_path: Path) -> None:
    made_by_hand(stack, tmp_path, SERVED.read_text())
    xr.testing.assert_equal(opened(stack), opened(stack, "check/v1.0.0"))


def test_a_released_version_is_the_one_that_readers_get(stack: Stack) -> None:
    assert ended(stack, fire(stack, "release", version="1.1.0"))["state"]["type"] == "COMPLETED"
    with urllib.request.urlopen(f"{stack.place.url('s3')}/somo/tiny/latest.json", timeout=10) as answer:
        assert json.load(answer)["version"] == "1.1.0"
    # The front door is open, and so is the picture that shared links show.
    for key in ("index.html", "preview.png"):
        with urllib.request.urlopen(f"{stack.place.url('s3')}/somo/tiny/{key}", timeout=10) as answer:
            assert answer.status == 200
    artifacts = {a["key"]: a for a in api(stack, "/artifacts/latest/filter", {})}
    assert artifacts["release"]["description"] == "Released 1.1.0"


def test_validation_on_demand_makes_a_lost_section_again(stack: Stack) -> None:
    section = "tiny/v1.0.0/report/overview.json"
    tag = objects(stack, section)[section]
    stack.s3().client().delete_object(Bucket="somo", Key=section)
    assert ended(stack, fire(stack, "validate"))["state"]["type"] == "COMPLETED"
    assert objects(stack, section) == {section: tag}


def test_failures_are_told(stack: Stack, told: tuple[str, list[dict]]) -> None:
    assert ended(stack, fire(stack, "release", version="9.9.9"))["state"]["type"] == "FAILED"
    wait_for(stack, "two messages", lambda: len(told[1]) >= 2, 60)
    crashed, failed = sorted((message["text"] for message in told[1]), reverse=True)
    assert crashed.startswith("retrain Tiny 1.1.0, ")
    assert "Crashed: no sign of life for 90 s: its process died, or cannot reach Prefect's server" in crashed
    assert failed.startswith("release Tiny 9.9.9, ")
    assert "v9.9.9: collection.json is missing; run `somo run`" in failed


def test_no_secret_in_logs_bucket_or_artifacts(stack: Stack) -> None:
    secrets = {value.encode() for value in stack.secrets().values()}
    secrets |= {stack.s3().environment(name)["AWS_SECRET_ACCESS_KEY"].encode() for name in ("admin", "service")}
    texts = {path.name: path.read_bytes() for path in (stack.folder / "logs").iterdir()}
    client = stack.s3().client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="somo"):
        for entry in page.get("Contents", []):
            texts[entry["Key"]] = client.get_object(Bucket="somo", Key=entry["Key"])["Body"].read()
    for kind in ("artifacts", "logs", "flow_runs", "deployments"):
        texts[kind] = json.dumps(api(stack, f"/{kind}/filter", {})).encode()
    assert [name for name, text in texts.items() if any(secret in text for secret in secrets)] == []
