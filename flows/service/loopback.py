"""The published part of a folder on loopback, for a browser: what anyone may read of a bucket, and no more."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from flows.service.access import is_public

START_SECONDS = 30


class PublishedFiles(StaticFiles):
    """Files with byte ranges, which Starlette answers; only those that a bucket's policy would show to anyone."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """The file behind a path; none where readers of the bucket would see none."""
        return super().lookup_path(path) if is_public(Path(path).as_posix()) else ("", None)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a bucket that is a folder; gives the address of its page.

    Loopback is open to every user of the machine: what is not published, as models and samples, is not served.

    Raises
    ------
    OSError
        where the server does not start
    """
    application = Starlette(routes=[Mount("/", PublishedFiles(directory=folder))])
    config = uvicorn.Config(application, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    # Only a process's main thread may handle signals, and Ctrl-C ends the command that waits there.
    thread = threading.Thread(target=server.run, name="somo-loopback", daemon=True)
    thread.start()
    try:
        patience = time.monotonic() + START_SECONDS
        while not server.started:
            if not thread.is_alive() or time.monotonic() > patience:
                raise OSError("the bucket cannot be served on 127.0.0.1: no port was given; try again")
            time.sleep(0.01)
        (listening,) = (socket for started in server.servers for socket in started.sockets)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
