"""Another user of the same machine, without any credentials: what every door says to them."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from distributed import Client, Security

ATTACK = Path(__file__).with_name("attack.py")


def as_nobody(program: Path, *arguments: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a Python file as the user `nobody`; by one who is not root, as oneself with an empty environment."""
    other = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    # This process's Python and the file may lie in a home that nobody enters, hence the system's and the file's text.
    python = "/usr/bin/python3" if other else sys.executable
    command = [python, "-I", "-c", program.read_text(), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", env={"HOME": "/"}, timeout=timeout_s, **other
    )


def doors(processes: Iterable[int]) -> tuple[list[tuple[str, int]], list[str]]:
    """Addresses with port, and Unix sockets, on which some processes and all they started listen."""
    tree = [q for pid in processes for p in [psutil.Process(pid)] for q in [p, *p.children(recursive=True)]]
    listening, sockets = [], set()
    for process in tree:
        # PostgreSQL ends a process with each connection.
        with suppress(psutil.NoSuchProcess):
            listening += [c.laddr for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
            sockets |= {c.laddr for c in process.net_connections("unix") if str(c.laddr).startswith("/")}
    return sorted({(address.ip, address.port) for address in listening}), sorted(map(str, sockets))


def tried(ports: Sequence[int], sockets: Sequence[str]) -> dict[str, list[str]]:
    """What a stranger was given, by port or socket; a refusal is nothing."""
    done = as_nobody(ATTACK, json.dumps([list(ports), list(sockets)]))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert os.geteuid() != 0 or answer["uid"] != 0
    return answer["given"]


def listening_ports(processes: Iterable[int]) -> set[int]:
    addresses, _ = doors(processes)
    return {port for _, port in addresses}


def require_closed(client: Client, ports_of_other_tests: set[int]) -> None:
    """No port of a run's scheduler and workers gives another user anything; without certificates nobody runs code."""
    ports = listening_ports([os.getpid(), *client.run(os.getpid).values()]) - ports_of_other_tests
    workers = [urlsplit(address).port for address in client.scheduler_info(n_workers=-1)["workers"]]
    scheduler = client.scheduler_info()["address"]
    assert {urlsplit(scheduler).port, *workers} <= ports
    assert tried(sorted(ports), []) == {}
    with pytest.raises((OSError, TypeError, RuntimeError)):
        # Never Dask's default: one that is refused closes later, and would then name a scheduler that is gone.
        Client(scheduler, timeout=3, security=Security(require_encryption=False), set_as_default=False).close()
    assert urllib.request.Request(client.dashboard_link).host.startswith("somo:")
