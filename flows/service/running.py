"""Which processes a stack has started: one stack a folder, and nothing of a killed one in the way of the next."""

import fcntl
import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from flows.cluster.private_files import write_private
from flows.cluster.security import foreign
from flows.service.errors import StackError
from somo.storage.processes import start_of

END_SECONDS = 20


def lock(folder: Path) -> IO[str]:
    """Hold a folder for one stack; the lock ends with the process that holds it.

    Raises
    ------
    StackError
        naming the process that holds it, or that the folder is in the hands of others
    """
    if reason := foreign(folder):
        raise StackError(f"{folder}: {reason}, who could put their own secrets there; give another --folder")
    # Not emptied by being opened: it names the holder to whoever comes second. Closed to others, since whoever may open
    # a file may hold its lock.
    file = os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+")
    (folder / "lock").chmod(0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StackError(
            f"{folder}: a stack runs in this folder already (process {holder}); stop it, or give another --folder"
        ) from error
    file.truncate(0)
    file.write(str(psutil.Process().pid))
    file.flush()
    return file


def write_down(folder: Path, processes: Mapping[str, int]) -> None:
    """Write down which processes run, with when they started: a number is given again to others."""
    started = {name: [pid, start] for name, pid in processes.items() if (start := start_of(pid)) is not None}
    write_private(folder / "processes.json", json.dumps(started).encode())


def end_leftovers(folder: Path) -> list[str]:
    """End what a stack that was killed has left running in this folder; returns the names of those services."""
    path = folder / "processes.json"
    if not path.exists():
        return []
    left = dict[str, psutil.Process]()
    try:
        written_down = json.loads(path.read_text())
    except ValueError:
        # It is written in one step: only a machine that lost its power leaves half of it, and no process at all.
        written_down = {}
    for name, (pid, start) in written_down.items():
        if start_of(pid) == start:
            with suppress(psutil.NoSuchProcess):
                left[name] = psutil.Process(pid)
    trees = [each for process in left.values() for each in (*process.children(recursive=True), process)]
    for process in trees:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(trees, END_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    path.unlink()
    return list(left)


def require_free(ports: Mapping[str, int]) -> None:
    """Refuse to start where another program listens on a port of ours.

    Raises
    ------
    StackError
        naming service, port and, where it may be known, the program
    """
    for name, port in ports.items():
        with socket.socket() as probe:
            # Connections that ended a moment ago hold a port for a minute; a server may listen there all the same.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise StackError(
                    f"{name}: port {port} is taken{_by(port)}; end what listens there, which may be another "
                    "stack, and start again"
                ) from error


def listens(processes: Iterable[int], port: int) -> bool:
    """Whether one of these processes, or one that they have started, listens on a port."""
    ours = set[int]()
    for pid in processes:
        with suppress(psutil.NoSuchProcess):
            ours |= {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
    return not ours.isdisjoint(_listening(port))


def _listening(port: int) -> list[int]:
    """Processes that listen on a port, as far as this user may know them."""
    return [c.pid for c in psutil.net_connections("tcp")
            if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid]  # fmt: skip


def _by(port: int) -> str:
    for pid in _listening(port):
        with suppress(psutil.Error):
            return f" by {psutil.Process(pid).name()} (process {pid})"
    return ""
