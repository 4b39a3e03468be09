"""The compose file as an operator starts it: up, the health of every service, one update, a webhook, down.

It needs podman and the image (`make image`). Where images of PostgreSQL and Prometheus cannot be had, `SOMO_TEST_BASE`
names one with Debian's packages of both.
"""

import base64
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flows.cluster.workers import IMAGE
from flows.service.containers import DEPLOYED, PLACE
from flows.service.credentials import identities, write_credentials
from tests.flows.containers.engine import Compose, is_possible

INFRA = Path(__file__).parents[3] / "infra"
SERVED = Path(__file__).parents[1] / "service.toml"
IMAGE_USER = 10001
pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(not is_possible(), reason="needs root, podman and the image (make image)"),
]
# The official image's first start, in the words of its contract: POSTGRES_* and PGDATA, socket in /var/run/postgresql.
FIRST_START = """#!/bin/bash
set -eu
mkdir -p "$PGDATA" /var/run/postgresql
chown postgres "$PGDATA" /var/run/postgresql
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" > /tmp/password
    runuser -u postgres -- initdb $POSTGRES_INITDB_ARGS -U "$POSTGRES_USER" --auth=scram-sha-256 \\
        --pwfile=/tmp/password "$PGDATA"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
fi
exec runuser -u postgres -- "$@"
"""


# A chat service on the network of the containers: it says on its output what it is sent.
CHAT_PORT = 8065
CHAT = f"""
import http.server
class Chat(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("", {CHAT_PORT}), Chat).serve_forever()
"""


@pytest.fixture(scope="module")
def compose(tiny_sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    folder = tmp_path_factory.mktemp("compose")
    held = write_credentials(folder / "secrets", PLACE, DEPLOYED["SOMO_ROOT"])
    for path in (folder / "secrets").rglob("*"):
        os.chown(path, IMAGE_USER, IMAGE_USER)
    os.chown(folder / "secrets", IMAGE_USER, IMAGE_USER)
    (folder / "product.toml").write_text(SERVED.read_text().replace("${SOMO_SOURCES}", "s3://somo/sources"))
    settings = {
        "SOMO_UPDATE_CRON": "0 0 1 1 *",
        "SOMO_CLUSTER_MEMORY_GB": "3",
        "SOMO_WEBHOOK": f"http://chat:{CHAT_PORT}/",
    }
    chat = {"image": IMAGE, "command": ["python", "-c", CHAT]}
    made = Compose(INFRA / "compose.yaml", folder, {**held, **settings}, images(folder), {"chat": chat})
    try:
        yield made
    finally:
        made.down()


def images(folder: Path) -> dict[str, str]:
    """Images in place of those that no registry gives here."""
    base = os.environ.get("SOMO_TEST_BASE")
    if not base:
        return {}
    named = {}
    for name, entry in (("postgres:15", '["/start"]'), ("prom/prometheus:v2.42.0", '["prometheus"]')):
        (folder / "start").write_text(FIRST_START)
        (folder / "start").chmod(0o755)
        (folder / "Dockerfile").write_text(f"FROM {base}\nCOPY start /start\nENTRYPOINT {entry}\n")
        tag = f"localhost/somo-test-{name.partition(':')[0].replace('/', '-')}"
        built = subprocess.run(
            ["buildah", "bud", "--isolation", "chroot", "-t", tag, str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert built.returncode == 0, built.stderr
        named[name] = tag
    return named


def test_every_service_is_healthy(compose: Compose) -> None:
    ready = compose.up()
    print({name: f"{seconds:.0f} s" for name, seconds in ready.items()})
    assert set(ready) >= {"s3", "postgres", "prefect-server", "dask-scheduler", "dask-worker", "prefect-worker"}
    with urllib.request.urlopen("http://127.0.0.1:4200/", timeout=20) as page:
        assert page.status == 200
    assert compose.inside("prefect-worker", "sh", "-c", "touch ~/written && echo done") == "done\n"
    # The bucket was made by S3's own health check; nobody else may make one.
    assert yaml.safe_load(Path(compose.folder / "secrets/s3/s3.json").read_text())["identities"][1]["name"] == "service"


def test_an_update_makes_the_product(compose: Compose, tiny_sources: Path) -> None:
    s3 = identities(compose.folder / "secrets" / "s3", PLACE, DEPLOYED["SOMO_ROOT"])
    for path in tiny_sources.rglob("*"):
        if path.is_file() and path.parts[len(tiny_sources.parts)] in ("forcing", "static", "insitu"):
            key = f"sources/{path.relative_to(tiny_sources)}"
            s3.client().put_object(Bucket="somo", Key=key, Body=path.read_bytes())
    state = fired(compose, "update", {})
    assert state["type"] == "COMPLETED", (state, compose.logs("prefect-worker"))
    # Prefect tells nobody of an event that the database has refused.
    assert "dropping" not in compose.logs("prefect-server")
    listed = s3.client().list_objects_v2(Bucket="somo", Prefix="product/v1.0.0/report/index.html")
    assert listed["KeyCount"] == 1


def test_a_failure_is_told_to_the_webhook(compose: Compose) -> None:
    assert fired(compose, "release", {"version": "9.9.9"})["type"] == "FAILED"
    deadline = time.monotonic() + 60
    while "release Tiny 9.9.9" not in (told := compose.logs("chat")):
        assert time.monotonic() < deadline, (told, compose.logs("prefect-server"))
        time.sleep(1)
    assert "v9.9.9: collection.json is missing; run `somo run`" in json.loads(told.splitlines()[-1])["text"]


def fired(compose: Compose, flow: str, parameters: dict) -> dict:
    """Start a deployment as its button does; returns the state in which its run has ended."""
    deployment = api(compose, f"/deployments/name/{flow}/Tiny-{flow}")["id"]
    asked = {"state": {"type": "SCHEDULED"}, "parameters": parameters}
    run = api(compose, f"/deployments/{deployment}/create_flow_run", asked)["id"]
    deadline = time.monotonic() + 900
    while (state := api(compose, f"/flow_runs/{run}")["state"])["type"] not in ("COMPLETED", "FAILED", "CRASHED"):
        assert time.monotonic() < deadline, compose.logs("prefect-worker")
        time.sleep(3)
    return state


def api(compose: Compose, path: str, body: dict | None = None) -> dict:
    """Ask Prefect's API as its interface does."""
    request = urllib.request.Request(f"http://127.0.0.1:4200/api{path}", headers={"Content-Type": "application/json"})
    login = compose.variables["PREFECT_API_AUTH_STRING"]
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    if body is not None:
        request.data = json.dumps(body).encode()
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
