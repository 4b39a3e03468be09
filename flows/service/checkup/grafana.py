"""What an operator sees in Grafana: one dashboard, its source of numbers, and how Grafana finds both.

`python -m flows.service.checkup.grafana` writes the files into infra/grafana/; they are checked in.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "infra" / "grafana"
# Where Grafana's image looks for what it is given at its start.
PROVISIONED = "/etc/grafana/provisioning"
SOURCE = {"type": "prometheus", "uid": "somo"}
ROW_HEIGHT, COLUMNS, WIDTH = 8, 3, 8
# title -> (expression, unit of Grafana, legend)
PANELS = {
    "Throughput": ("somo_work_per_second", "ops", "{{work}}"),
    "Done": ("somo_work_done / somo_work_total", "percentunit", "{{work}}"),
    "Time left": ("somo_work_seconds_left", "s", "{{work}}"),
    "Requests asked again, a second": ("rate(somo_requests_repeated_total[5m])", "ops", "all workers"),
    "Memory of all workers": ("somo_workers_memory_bytes", "bytes", "all workers"),
    "Memory of the worker nearest to its limit": ("somo_worker_memory_share", "percentunit", "share of its limit"),
    "Age of the newest day": ("time() - somo_newest_day_timestamp_seconds", "s", "{{product}}"),
    "Since the last run that ended well": ("time() - somo_run_ended_timestamp_seconds", "s", "{{product}}"),
    "Failed runs": ("somo_run_failed", "none", "{{product}}: {{error}}"),
    "Workers": ("dask_scheduler_workers", "none", "{{state}}"),
    "Tasks": ("dask_scheduler_tasks", "none", "{{state}}"),
    "Free disk of workers": ("somo_free_bytes", "bytes", "where workers spill"),
    "Services that answer": ("up", "none", "{{job}}"),
}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    return {
        "uid": "somo",
        "title": "SoMo",
        "schemaVersion": 39,
        "refresh": "15s",
        "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, title, *drawn) for number, (title, drawn) in enumerate(PANELS.items())],
    }


def _panel(number: int, title: str, expression: str, unit: str, legend: str) -> dict[str, Any]:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * ROW_HEIGHT, "w": WIDTH, "h": ROW_HEIGHT},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": expression, "legendFormat": legend, "datasource": SOURCE}],
    }


def documents() -> Mapping[Path, str]:
    """Every file that is made here, with its text."""
    source = {
        "name": "Prometheus",
        **SOURCE,
        "access": "proxy",
        "url": "http://prometheus:9090",
        "basicAuth": True,
        "basicAuthUser": "somo",
        # Grafana fills this in from its own environment, so that no password lies in the file.
        "secureJsonData": {"basicAuthPassword": "${SOMO_PROMETHEUS_PASSWORD}"},
    }
    provider = {"name": "somo", "type": "file", "options": {"path": f"{PROVISIONED}/dashboards"}}
    service = {
        "image": "grafana/grafana:11.6.0",
        "environment": {
            "GF_SECURITY_ADMIN_PASSWORD": "${SOMO_GRAFANA_PASSWORD:?choose one}",
            "SOMO_PROMETHEUS_PASSWORD": "${SOMO_PROMETHEUS_PASSWORD:?what follows the colon in DASK_SOMO__LOGIN}",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
        },
        "volumes": [f"./grafana/{name}:{PROVISIONED}/{name}:ro" for name in ("datasources", "dashboards")],
        "ports": ["127.0.0.1:3000:3000"],
        "restart": "unless-stopped",
    }
    described = {
        FOLDER / "datasources" / "prometheus.yaml": {"apiVersion": 1, "datasources": [source]},
        FOLDER / "dashboards" / "somo.yaml": {"apiVersion": 1, "providers": [provider]},
        FOLDER.parent / "compose.grafana.yaml": {"services": {"grafana": service}},
    }
    header = "# Made by `python -m flows.service.checkup.grafana`; change that instead.\n"
    texts = {path: header + yaml.safe_dump(body, sort_keys=False, width=120) for path, body in described.items()}
    return {**texts, FOLDER / "dashboards" / "somo.json": json.dumps(dashboard(), indent=1) + "\n"}


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
