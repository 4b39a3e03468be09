"""What Prometheus reads and when it calls, as its own programs understand it."""

import math
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from distributed import Client
from prometheus_client import CollectorRegistry

from flows.cluster.measures import Measures, free_disk_bytes, tell_end, tell_progress
from flows.cluster.watching import Progressed
from flows.service.checkup.alerts import RULES, rules
from flows.service.credentials import write_credentials
from flows.service.services import DASHBOARD_LOGIN, PREFECT_SECRETS, Place

PROMTOOL = shutil.which("promtool")
CASES = """
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series:
      - {series: 'somo_run_failed{product="T", error="ValidationError"}', values: "1x20"}
      - {series: 'somo_run_ended_timestamp_seconds{product="T"}', values: "0x4000"}
      - {series: 'somo_run_ended_timestamp_seconds{product="U"}', values: "0x10 _x4000"}
      - {series: 'somo_free_bytes', values: "1000000000x20"}
      - {series: 'up{job="dask"}', values: "1x20"}
      - {series: 'up{job="prefect"}', values: "0x20"}
    alert_rule_test:
      - {eval_time: 5m, alertname: SomoRunFailed, exp_alerts: []}
      - {eval_time: 5m, alertname: SomoBucketUnreachable, exp_alerts: []}
      - {eval_time: 1h, alertname: SomoNoUpdate, exp_alerts: []}
      - eval_time: 5m
        alertname: SomoGateFailed
        exp_alerts: [{exp_labels: {product: T, error: ValidationError}, exp_annotations: {summary: "T: the release
          gate refuses the new days, readers keep the former ones; see the report"}}]
      - eval_time: 2900m
        alertname: SomoNoUpdate
        exp_alerts:
          - exp_labels: {product: T}
            exp_annotations: {summary: "T had no run that ended well for 2 days; see the last one in Prefect"}
          # Its scheduler was started again and has been told of no run since.
          - exp_labels: {product: U}
            exp_annotations: {summary: "U had no run that ended well for 2 days; see the last one in Prefect"}
      - eval_time: 10m
        alertname: SomoServiceDown
        exp_alerts: [{exp_labels: {job: prefect}, exp_annotations: {summary: "prefect does not answer; look at its
          log"}}]
      - eval_time: 10m
        alertname: SomoDiskFull
        exp_alerts: [{exp_annotations: {summary: "less than 5 GB are free where workers spill; make room before workers
          fail"}}]
"""


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is in Debian's package prometheus")
def test_prometheus_takes_its_settings_and_the_rules_call_when_they_should(tmp_path: Path) -> None:
    place = Place(hosts="127.0.0.1", bind="127.0.0.1", data=str(tmp_path), secrets=str(tmp_path / "secrets"))
    held = write_credentials(tmp_path / "secrets", place, "s3://somo/t")
    folder = tmp_path / "secrets" / "prometheus"
    for job, login in (("dask", DASHBOARD_LOGIN), ("prefect", PREFECT_SECRETS[0])):
        assert held[login].endswith(f":{(folder / f'password-{job}').read_text()}")
    checked = subprocess.run(
        [str(PROMTOOL), "check", "config", str(folder / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout
    (tmp_path / "rules.yml").write_text(rules())
    (tmp_path / "cases.yml").write_text(CASES)
    tried = subprocess.run(
        [str(PROMTOOL), "test", "rules", "cases.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tried.returncode == 0, tried.stdout + tried.stderr


def test_memory_that_stands_in_for_a_disk_is_no_disk_that_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `/tmp` of its container, 4 GB on a machine of 8, the alert of a full disk would never end."""
    place = tmp_path / "dask"
    place.mkdir()
    for fstype, is_disk in (("ext4", True), ("tmpfs", False)):
        monkeypatch.setattr(psutil, "disk_partitions", partial(mounts, {"/": "overlay", str(tmp_path): fstype}))
        assert math.isnan(free_disk_bytes(place)) is not is_disk
    assert math.isnan(free_disk_bytes(tmp_path))


def mounts(file_systems: dict[str, str], **_: bool) -> list[SimpleNamespace]:
    return [SimpleNamespace(mountpoint=place, fstype=fstype) for place, fstype in file_systems.items()]


def test_the_scheduler_shows_what_runs_tell_it(client: Client) -> None:
    registry = CollectorRegistry()
    scheduler = client.cluster.scheduler
    client.sync(_add, scheduler, Measures(registry, scheduler))
    tell_progress(client, Progressed("regions", 3, 12, 6.0))
    tell_end(client, "T", 86_400.0)
    _until(lambda: registry.get_sample_value("somo_newest_day_timestamp_seconds", {"product": "T"}) == 86_400)
    assert registry.get_sample_value("somo_work_seconds_left", {"work": "regions"}) == 18
    assert registry.get_sample_value("somo_work_per_second", {"work": "regions"}) == 0.5
    tell_end(client, "T", None, "ValidationError")
    failed = {"product": "T", "error": "ValidationError"}
    _until(lambda: registry.get_sample_value("somo_run_failed", failed) == 1)
    tell_end(client, "T", 172_800.0)
    _until(lambda: registry.get_sample_value("somo_run_failed", failed) is None)
    client.sync(_remove, scheduler)


async def _add(scheduler, plugin) -> None:
    scheduler.add_plugin(plugin, name=plugin.name)


async def _remove(scheduler) -> None:
    scheduler.remove_plugin(Measures.name)


def _until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
