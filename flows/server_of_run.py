"""Prefect's server for one run from the command line, started while the command imports what it needs.

Prefect would start such a server by itself, but only once a flow is called, and imports the whole server into the
command's own process before. Here both begin at once, which saves a third of the time until the first stage begins.
"""

import atexit
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPException
from secrets import token_urlsafe
from socket import create_server
from urllib.request import urlopen

from flows.environment import environment_with, export, spare_loopback
from flows.service.errors import StackError

# It took 22 s on a machine that had not read its files yet, and a busy one takes a multiple of that.
START_SECONDS = 600
# It ends within a second; a run that is over waits no longer for one that hangs.
END_SECONDS = 10


def start_server() -> Callable[[], None]:
    """Start a server that ends with this process, and tell Prefect, which is not yet imported, of it.

    Returns
    -------
    callable
        waits until the server answers; raises StackError if it ends before
    """
    spare_loopback()
    # A socket that listens already: no other process can take its port, and who connects early waits in its queue.
    with create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        # Every user of the machine reaches the port.
        login = f"somo:{token_urlsafe(18)}"
        server = subprocess.Popen(
            [
                sys.executable, "-m", "uvicorn", "--factory", "flows.service.prefect_server:create_for_a_run",
                "--fd", str(listening.fileno()), "--log-level", "error", "--lifespan", "on",
            ],
            pass_fds=[listening.fileno()],
            # Ctrl+C is for the run, which tells the server of its end before it ends it. Without a server it tried for
            # a minute and a half, and said that a connection was refused.
            start_new_session=True,
            env=environment_with({"PREFECT_SERVER_API_AUTH_STRING": login, "PREFECT_SERVER_UI_ENABLED": "false"}),
        )  # fmt: skip
    # Registered before Prefect is imported, so that what Prefect sends at the end is sent before.
    atexit.register(_end, server)
    export({"PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": login})
    return lambda: _wait(server, f"{address}/health")


def _wait(server: subprocess.Popen[bytes], health: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(health, timeout=5):
                return
        except (OSError, HTTPException):
            time.sleep(0.1)
    how = f"ended with status {server.returncode}" if server.returncode is not None else "does not answer"
    raise StackError(
        f"Prefect's server for this run {how}; what it wrote stands above. It keeps its database in PREFECT_HOME, by "
        "default ~/.prefect, which must be writable; PREFECT_API_URL names a server that runs elsewhere"
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
