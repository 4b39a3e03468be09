"""When a process began, told so that no change of the machine's clock can make it another process."""

from contextlib import suppress
from pathlib import Path

import psutil

# Place of a process's start among the fields of /proc/PID/stat behind its name (proc(5): starttime is the 22nd).
START_FIELD = 19


def start_of(pid: int) -> float | None:
    """A number that a process keeps and that none after it with its number has; None if there is no such process.

    On Linux these are the kernel's ticks since the machine began. psutil adds the time of that beginning by the clock,
    which is another one once the clock was set: a process that lives would be taken for one that has ended.
    """
    with suppress(OSError):
        # The name is the program's own choice and may hold blanks and brackets: what is counted begins behind it.
        return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[START_FIELD])
    if Path("/proc/self/stat").exists():
        return None
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None
