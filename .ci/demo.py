"""What each stage of the demo costs: seconds on the clock, and seconds of processor, which count under load too.

Usage: `python .ci/demo.py FOLDER`; stages that FOLDER holds already cost next to nothing.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

from flows.service.demo import prepare
from flows.status import STAGES


def processor_seconds() -> float:
    """Seconds that finished child processes, and theirs, spent on processors."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main(folder: Path) -> None:
    """Invent the demo's sources, then run it a stage at a time, each in a process of its own."""
    begin = time.monotonic(), time.process_time()
    declaration = prepare(folder)
    print(f"{'sources':10} {time.monotonic() - begin[0]:6.0f} s  {time.process_time() - begin[1]:6.0f} s of processor")
    somo = Path(sys.executable).with_name("somo")
    total = time.monotonic() - begin[0]
    for stage in STAGES:
        begin = time.monotonic(), processor_seconds()
        subprocess.run([somo, "run", declaration, "--root", folder / "bucket", "--until", stage, "-q"], check=True)
        seconds = time.monotonic() - begin[0]
        total += seconds
        print(f"{stage:10} {seconds:6.0f} s  {processor_seconds() - begin[1]:6.0f} s of processor", flush=True)
    print(f"{'in all':10} {total:6.0f} s, of which five starts of the command and of Prefect that `somo demo` spares")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
