"""A service that is started and stopped again and again: what is left of it.

`python -m tests.faults.restarts --times 20` starts every service in a folder of its own, waits until all are healthy,
stops them, and compares processes, ports, sockets and temporary files with those before. Ends with status 1 if anything
is left. `make restarts TIMES=20` does the same.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from flows.service.s3server import GRPC_OFFSET, PARTS
from flows.service.stack import free_place, operated

SERVED = Path(__file__).parents[1] / "flows" / "service.toml"


@dataclass(frozen=True)
class Remains:
    """What a stack in a folder has on this machine.

    Attributes
    ----------
    processes : their command lines
    listening : ports of the stack that somebody listens on
    sockets : paths of Unix sockets
    files : temporary files and folders
    """

    processes: frozenset[str]
    listening: frozenset[int]
    sockets: frozenset[str]
    files: frozenset[str]

    def besides(self, former: "Remains") -> dict[str, list[str]]:
        """What is there now and was not before, by kind."""
        kinds = ("processes", "listening", "sockets", "files")
        added = {kind: sorted(map(str, getattr(self, kind) - getattr(former, kind))) for kind in kinds}
        return {kind: names for kind, names in added.items() if names}


def remains(folder: Path, ports: dict[str, int]) -> Remains:
    """Look at the machine; processes are ours by their home, which is the folder of the stack."""
    processes = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(folder):
                processes.add(f"{process.pid} {' '.join(process.cmdline())[:120]}")
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    bound = {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines()[1:] if "/" in line}
    own_files = {str(path) for path in (folder / "tmp").rglob("*")}
    own_files |= {str(path) for path in (folder / "data" / "scratch").glob("somo-stack-*")}
    # SeaweedFS' sockets lie in a folder that all users share, others' servers' among them: ours have our ports.
    shared_files = {
        str(path) for part in PARTS for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{ports[part] + GRPC_OFFSET}.sock")
    }
    return Remains(
        frozenset(processes), frozenset(listening & set(ports.values())),
        frozenset(path for path in bound if path.startswith(str(folder))), frozenset(own_files | shared_files),
    )  # fmt: skip


def restart(folder: Path, times: int) -> dict[str, list[str]]:
    """Start and stop all services as often as asked; returns what is left at the end, by kind."""
    ports = free_place()
    stack = operated(folder / "stack", SERVED, "s3://somo/restarts", ports)
    home = stack.folder
    (home / "tmp").mkdir(parents=True)
    # PostgreSQL is another user where root starts it.
    (home / "tmp").chmod(0o1777)
    os.environ["TMPDIR"] = str(home / "tmp")
    before = remains(home, ports)
    for turn in range(1, times + 1):
        began = time.monotonic()
        # Whatever ends this script ends the services too.
        with stack:
            healthy = time.monotonic()
            started = remains(home, ports)
            assert len(started.listening) >= 6 and started.processes, "services are healthy and none is seen"
        left = remains(home, ports).besides(before)
        print(
            f"{turn}: healthy after {healthy - began:.0f} s with {len(started.processes)} processes, stopped after "
            f"{time.monotonic() - healthy:.0f} s, left {left or 'nothing'}",
            flush=True,
        )
    shutil.rmtree(stack.place.database, ignore_errors=True)
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description="Start and stop the service and say what is left of it.")
    parser.add_argument("--times", type=int, default=20)
    os.environ.setdefault("SOMO_SOURCES", "s3://somo/sources")
    with tempfile.TemporaryDirectory(prefix="restarts-") as folder:
        Path(folder).chmod(0o755)
        sys.exit(bool(restart(Path(folder), parser.parse_args().times)))


if __name__ == "__main__":
    main()
