"""Dashboard and alert rules name measurements that the running services really give."""

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client

from flows.cluster.connecting import running_scheduler
from flows.cluster.dashboard import new_login
from flows.cluster.measures import TellRepeats, tell_end, tell_progress
from flows.cluster.watching import Progressed
from flows.service.checkup import alerts, grafana
from somo.storage import patience
from somo.storage.patience import patiently
from tests.publish import made

# What PromQL itself means by these words; `up` is Prometheus' own measurement of what it scrapes.
OF_PROMQL = {"max_over_time", "time", "max", "sum", "by", "rate", "up"}
READY_SECONDS = 60


def measurements(expression: str) -> set[str]:
    """Names of measurements in a PromQL expression, without labels and their values."""
    plain = re.sub(r"\{.*?\}|\[.*?\]|by \(.*?\)", "", expression)
    return set(re.findall(r"[a-z_]{2,}", plain)) - OF_PROMQL


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Address, dashboard and login of a scheduler as the service starts it, with one worker."""
    login, file = new_login(), folder / "scheduler.json"
    environment = {**os.environ, "DASK_SOMO__LOGIN": login}
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
    guarded = ["--dashboard-address", "127.0.0.1:0", "--preload", "flows.cluster.dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-dashboard", "--no-nanny"]
    started = [
        subprocess.Popen([*dask, *guarded, "--scheduler-file", str(file)], env=environment, stderr=subprocess.DEVNULL),
        subprocess.Popen([*worker, "--scheduler-file", str(file)], stderr=subprocess.DEVNULL),
    ]
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not file.exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        described = json.loads(file.read_text())
        yield described["address"], f"http://127.0.0.1:{described['services']['dashboard']}", login
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(20)


def scraped(url: str, login: str) -> dict[str, float]:
    """Measurements as Prometheus scrapes them, by name with labels."""
    request = urllib.request.Request(f"{url}/metrics")
    request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def asked_again() -> None:
    """A request that fails twice, as on a worker."""
    failures = iter((ConnectionError("cut"), ConnectionError("cut"), None))

    def request() -> None:
        if (failure := next(failures)) is not None:
            raise failure

    patience.FIRST_PAUSE_S = 0.01
    patiently("s3://somo/x", request)


def test_every_name_is_one_that_the_scheduler_gives(tmp_path: Path) -> None:
    expressions = [expression for expression, _, _ in grafana.PANELS.values()]
    expressions += [condition for condition, _, _ in alerts.RULES.values()]
    wanted = set().union(*map(measurements, expressions))
    assert len(wanted) >= 12
    with scheduler(tmp_path) as (address, dashboard, login), Client(address, set_as_default=False) as client:
        client.wait_for_workers(1, timeout=READY_SECONDS)
        client.register_plugin(TellRepeats())
        tell_progress(client, Progressed("regions", 3, 12, 6.0))
        tell_end(client, "T", 86_400.0)
        tell_end(client, "T", None, "ValidationError")
        # A run that finds nothing to do comes for this one sentence, and what it says has to arrive before it is gone.
        declared = made.product().model_copy(update={"cluster": {"kind": "address", "address": address}})
        with running_scheduler(declared) as short_lived:
            assert short_lived is not None
            tell_end(short_lived, "nothing to do", 86_400.0)
        client.submit(asked_again).result(READY_SECONDS)
        deadline = time.monotonic() + READY_SECONDS
        while (given := scraped(dashboard, login)).get("somo_requests_repeated_total") != 2:
            assert time.monotonic() < deadline, given
            time.sleep(0.2)
    assert wanted - {name.partition("{")[0] for name in given} == set()
    assert given['somo_run_ended_timestamp_seconds{product="nothing to do"}'] > 1.7e9
    assert given["somo_workers_memory_bytes"] > 10e6 and 0 < given["somo_worker_memory_share"] < 1


def test_the_files_are_what_the_module_makes() -> None:
    for path, text in grafana.documents().items():
        assert path.read_text() == text, f"{path}: run `python -m flows.service.checkup.grafana`"


@pytest.mark.parametrize("title", ["Throughput", "Time left", "Age of the newest day"])
def test_panels_are_drawn_from_the_provisioned_source(title: str) -> None:
    (panel,) = (panel for panel in grafana.dashboard()["panels"] if panel["title"] == title)
    source = grafana.documents()[grafana.FOLDER / "datasources" / "prometheus.yaml"]
    assert f"uid: {panel['datasource']['uid']}" in source
