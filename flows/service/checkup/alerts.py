"""What Prometheus scrapes and when it calls: the files `prometheus.yml` and `rules.yml` of its settings."""

from typing import Any

import yaml

DAY_S = 86_400
NO_UPDATE_DAYS = 2
LOW_DISK_GB = 5
# As long as Prometheus keeps what it has scraped.
REMEMBERED = "30d"
# name -> (condition, how long it has to hold, what it says)
RULES = {
    "SomoNoUpdate": (
        # A scheduler that was started again knows of no run until the next one ends, which is what is waited for.
        f"time() - max by (product) (max_over_time(somo_run_ended_timestamp_seconds[{REMEMBERED}])) "
        f"> {NO_UPDATE_DAYS * DAY_S}", "5m",
        f"{{{{ $labels.product }}}} had no run that ended well for {NO_UPDATE_DAYS} days; see the last one in Prefect",
    ),
    "SomoGateFailed": (
        'somo_run_failed{error="ValidationError"} == 1', "1m",
        "{{ $labels.product }}: the release gate refuses the new days, readers keep the former ones; see the report",
    ),
    "SomoBucketUnreachable": (
        'somo_run_failed{error=~"UnreachableError|StorageError"} == 1', "1m",
        "{{ $labels.product }}: the bucket or a source cannot be read or written; its run's artifact `failure` says "
        "which (somo doctor)",
    ),
    "SomoRunFailed": (
        'somo_run_failed{error!~"ValidationError|UnreachableError|StorageError"} == 1', "1m",
        "{{ $labels.product }}: the last run failed with {{ $labels.error }}; its artifact `failure` says why",
    ),
    "SomoDiskFull": (
        f"somo_free_bytes < {LOW_DISK_GB * 10**9}", "5m",
        f"less than {LOW_DISK_GB} GB are free where workers spill; make room before workers fail",
    ),
    "SomoNoWorkers": (
        "sum(dask_scheduler_workers) == 0", "15m",
        "no Dask worker is connected, so that runs wait; look at the log of dask-worker",
    ),
    "SomoServiceDown": (
        "up == 0", "5m",
        "{{ $labels.job }} does not answer; look at its log",
    ),
}  # fmt: skip


def rules() -> str:
    """Alert rules, as Prometheus reads them."""
    listed = [
        {"alert": name, "expr": condition, "for": held, "annotations": {"summary": sentence}}
        for name, (condition, held, sentence) in RULES.items()
    ]
    return yaml.safe_dump({"groups": [{"name": "somo", "rules": listed}]}, sort_keys=False, width=120)


def settings(targets: dict[str, tuple[str, str, str]], folder: str) -> str:
    """Prometheus' own settings.

    Parameters
    ----------
    targets : job -> host and port, path of its measurements, user; its password is in the file `password-JOB`
    folder : where the files of its settings lie
    """
    scraped = [_scrape(job, *target, folder) for job, target in targets.items()]
    document = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": [f"{folder}/rules.yml"],
        "scrape_configs": scraped,
    }
    return yaml.safe_dump(document, sort_keys=False, width=120)


def _scrape(job: str, target: str, path: str, user: str, folder: str) -> dict[str, Any]:
    return {
        "job_name": job,
        "metrics_path": path,
        "basic_auth": {"username": user, "password_file": f"{folder}/password-{job}"},
        "static_configs": [{"targets": [target]}],
    }
