"""A run that is killed leaves nothing running behind it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path

import psutil
import pytest

from flows import leftovers
from flows.leftovers import end_with_this_process, scratch_prefix
from tests.flows.conftest import TINY

STARTED_SECONDS, GONE_SECONDS = 120, 30


def command_line(process: psutil.Process) -> str:
    """What a process was started with; nothing of one that has ended since it was listed."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_what_a_killed_run_has_spilled_goes_with_it(tmp_path: Path, environment: MutableMapping[str, str]) -> None:
    environment["TMPDIR"] = str(tmp_path)
    (tmp_path / "somo-dask-of-another-run").mkdir()
    watchers = len(leftovers._watchers)
    end_with_this_process()
    spilled = tmp_path / f"{scratch_prefix()}dask-x" / "storage"
    spilled.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"{scratch_prefix()}link").symlink_to(tmp_path / "elsewhere")
    (watcher,) = leftovers._watchers[watchers:]
    # As the kernel does at the end of a process, whatever ended it.
    assert watcher.stdin is not None
    watcher.stdin.close()
    assert watcher.wait(60) == 0
    assert not spilled.parent.exists()
    assert (tmp_path / "somo-dask-of-another-run").exists() and (tmp_path / "elsewhere").exists()


@pytest.mark.fault
def test_a_killed_run_leaves_no_server_and_no_worker(tiny_sources: Path, tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("somo"), "run", TINY, "--root", tmp_path / "root"]
    environment = {**os.environ, "SOMO_TINY": str(tiny_sources), "PREFECT_HOME": str(tmp_path / "prefect")}
    run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    started: list[psutil.Process] = []
    deadline = time.monotonic() + STARTED_SECONDS
    while not any("uvicorn" in command_line(process) for process in started):
        assert run.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
        started = [process for process in psutil.Process(run.pid).children(recursive=True) if process.is_running()]
    run.send_signal(signal.SIGKILL)
    run.wait()
    _, remaining = psutil.wait_procs(started, GONE_SECONDS)
    # Where nothing collects orphans, as in a container without an init, one that has ended stays listed as a zombie.
    assert [process for process in remaining if process.status() != psutil.STATUS_ZOMBIE] == []
