"""The service as it is operated: real PostgreSQL, S3, Prefect and Dask over TLS, on this machine."""

import base64
import json
import shutil
import socket
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.stack import Stack, free_place
from tests.flows.conftest import TINY

pytestmark = [pytest.mark.service, pytest.mark.timeout(1500)]
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@pytest.fixture(scope="module")
def stack(tiny_sources: Path) -> Iterator[Stack]:
    """All services, with the tiny product deployed and its update firing every minute."""
    folder = Path(tempfile.mkdtemp(prefix="somo-stack-"))
    folder.chmod(0o755)
    environment = {"SOMO_TINY": str(tiny_sources), "SOMO_UPDATE_CRON": "* * * * *"}
    try:
        with Stack(folder, TINY, "s3://somo/tiny", environment, free_place(), workers=1) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def api(stack: Stack, path: str, body: dict[str, Any] | None = None, authorised: bool = True) -> Any:
    """Ask Prefect's API as its interface does."""
    request = urllib.request.Request(f"{stack.place.url('prefect-server')}/api{path}")
    if authorised:
        user = stack.secrets()["PREFECT_API_AUTH_STRING"]
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def ended_runs(stack: Stack, count: int, seconds: float) -> list[dict[str, Any]]:
    """The first runs to end, in order of their start."""
    deadline = time.monotonic() + seconds
    body = {"flow_runs": {"state": {"type": {"any_": list(ENDED)}}}, "sort": "START_TIME_ASC"}
    while len(found := api(stack, "/flow_runs/filter", body)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} runs ended; see {stack.folder}/logs"
        time.sleep(1)
    return found


def test_cron_fires_and_the_next_firing_finds_nothing_to_do(stack: Stack) -> None:
    first, second = ended_runs(stack, 2, 1200)[:2]
    assert (first["state"]["type"], second["state"]["type"]) == ("COMPLETED", "COMPLETED"), first["state"]["message"]
    assert second["total_run_time"] < 15
    keys = stack.s3().client().list_objects_v2(Bucket="somo", Prefix="tiny/v1.0.0/")["Contents"]
    assert {"tiny/v1.0.0/soil_moisture.zarr/zarr.json", "tiny/v1.0.0/report/index.html"} <= {k["Key"] for k in keys}


def test_artifacts_tell_plan_progress_and_summary(stack: Stack) -> None:
    ended_runs(stack, 1, 1200)
    artifacts = {a["key"]: a for a in api(stack, "/artifacts/latest/filter", {})}
    assert {"plan", "dask-dashboard", "summary"} <= set(artifacts)
    assert "median r" in artifacts["summary"]["data"]
    regions = next(a for key, a in artifacts.items() if key.startswith("progress-") and "region" in key)
    assert regions["data"] == 100


def test_everybody_reads_what_is_published_and_nothing_else(stack: Stack) -> None:
    ended_runs(stack, 1, 1200)
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
    context = ssl.create_default_context(cafile=str(stack.folder / "secrets" / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", stack.place.ports["dask-scheduler"]), timeout=10) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
        context.wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        encrypted.sendall(b"x")
        encrypted.recv(1)


def test_no_secret_in_logs_bucket_or_artifacts(stack: Stack) -> None:
    ended_runs(stack, 1, 1200)
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


def test_dask_is_measured(stack: Stack) -> None:
    with urllib.request.urlopen(f"{stack.place.url('dask-scheduler', port='dashboard')}/metrics", timeout=10) as answer:
        assert b"dask_scheduler_workers" in answer.read()
