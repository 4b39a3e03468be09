"""What a killed run has started does not outlive it: a small process waits for the run's end and ends what is left.

`somo run` starts Prefect's server and Dask's processes, which end with it. After SIGKILL nobody tells them to. The
watcher knows them by a variable that they inherit, and the run by a pipe that the kernel closes, however it ends.
"""

import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

from flows.environment import SAFE_PATH, export, inherited

MARK = "SOMO_RUN_MARK"
END_SECONDS = 5
# Keeps the pipe to the watcher open for as long as this process lives, and no longer.
_watchers: list[subprocess.Popen[bytes]] = []


def end_with_this_process() -> None:
    """Let everything that this process starts from now on end with it."""
    # A run that another run has started ends with that one, whose watcher knows it by the same mark.
    if inherited(MARK):
        return
    mark = uuid4().hex
    # The watcher and Prefect's server are started by `python -m`, which would look into the working folder first.
    export(SAFE_PATH)
    # Not a child of the run's own group: Ctrl+C is for the run, which then ends what it has started by itself.
    watcher = subprocess.Popen(
        [sys.executable, "-m", "flows.leftovers", mark], stdin=subprocess.PIPE, start_new_session=True
    )
    export({MARK: mark})
    _watchers.append(watcher)


def scratch_prefix() -> str:
    """What names of temporary folders begin with that are to go with this run, however it ends."""
    return f"somo-{inherited(MARK).get(MARK, '')}-"


def marked(mark: str) -> list[psutil.Process]:
    """Processes that have inherited a run's mark."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark:
                processes.append(process)
    return processes


def main(mark: str) -> None:
    """Wait for the end of the run that holds the other end of standard input, then end what has its mark."""
    # The pipe ends when the run does.
    sys.stdin.buffer.read()
    for process in marked(mark):
        with suppress(psutil.Error):
            process.terminate()
    # Looked for again: a process may have started another one before it ended.
    for process in psutil.wait_procs(marked(mark), END_SECONDS)[1]:
        with suppress(psutil.Error):
            process.kill()
    # They hold what workers have spilled and unpacked, which may be gigabytes. A link of this name is nobody's of us.
    for folder in Path(tempfile.gettempdir()).glob(f"somo-{mark}-*"):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
