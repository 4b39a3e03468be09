"""A run of the service while its PostgreSQL hangs: `python -m tests.faults.silent_database --seconds 130 --silence 90`.

Starts every service in a folder of its own, begins an update of the tiny product, stops PostgreSQL by SIGSTOP so that
its connections stay open and nothing answers, lets it go on, and follows the run to its end. Ends with status 1 unless
the run has completed in one go.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from flows.service.stack import Stack, free_place, operated
from somo.synthetic.europe import write_europe
from tests.faults.operated import api, ended, fire, objects, put_sources, wait_for

SERVED = Path(__file__).parents[1] / "flows" / "service.toml"


@contextmanager
def silent_database(stack: Stack) -> Iterator[None]:
    """PostgreSQL of a stack hangs as long as the block lasts: its connections stay open, and none is answered."""
    root = psutil.Process(stack.processes["postgres"].pid)
    # One process a connection, each in a group of its own: a signal to the stack's group would not reach them.
    processes = [root, *root.children(recursive=True)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def states_of(stack: Stack, run: str) -> list[str]:
    """What Prefect has held of a run, in order."""
    states = api(stack, f"/flow_run_states/?flow_run_id={run}")
    return [f"{state['name']} {state['message'] or ''}".strip() for state in sorted(states, key=_when)]


def _when(state: dict[str, str]) -> str:
    return state["timestamp"]


def hang(stack: Stack, seconds: float) -> list[str]:
    """An update whose database hangs for so long once its first network is trained; returns the states it has had."""
    run = fire(stack, "update")
    wait_for(stack, "first network", lambda: objects(stack, "tiny/models/"), 300)
    with silent_database(stack):
        time.sleep(seconds)
    resumed = time.monotonic()
    wait_for(stack, "Prefect's server", lambda: stack.healthy("prefect-server"), 120)
    ended(stack, run)
    print(f"ended {time.monotonic() - resumed:.0f} s after PostgreSQL went on", flush=True)
    return states_of(stack, run)


def main() -> None:
    parser = argparse.ArgumentParser(description="Let PostgreSQL hang during a run and say what becomes of it.")
    parser.add_argument("--seconds", type=float, default=130)
    parser.add_argument("--silence", type=int, default=90, help="SOMO_SILENT_SECONDS of the service")
    asked = parser.parse_args()
    os.environ |= {
        "SOMO_SOURCES": "s3://somo/sources", "SOMO_UPDATE_CRON": "0 0 1 1 *", "SOMO_CLUSTER_WORKERS": "1",
        "SOMO_SILENT_SECONDS": str(asked.silence),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="silent-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_europe(str(folder / "sources"), size=(8, 10), years=(2003, 2004), stations=12, hourly=())
        stack = operated(folder / "stack", SERVED, "s3://somo/tiny", free_place())
        try:
            stack.start("s3")
            put_sources(stack, folder / "sources")
            with stack:
                states = hang(stack, asked.seconds)
                print("\n".join(states))
                print("; ".join((stack.folder / "logs" / "run-watcher.log").read_text().splitlines()[-3:]))
        finally:
            stack.stop()
            shutil.rmtree(stack.place.database, ignore_errors=True)
    broken = [state for state in states if state.startswith(("Crashed", "Failed", "AwaitingRetry", "Retrying"))]
    sys.exit(bool(broken) or not states[-1].startswith("Completed"))


if __name__ == "__main__":
    main()
