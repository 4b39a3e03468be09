"""The demo's product by two local workers and by two jobs of a real SLURM on loopback: wall time, and what differs.

`python -m tests.flows.cluster.slurm_demo [FOLDER]`, as root, with Debian's packages slurm-wlm and munge.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from flows.service.demo import prepare
from somo.storage.objects import checksum
from tests.flows.cluster.slurm_server import slurm


def main(folder: Path) -> None:
    """Make it twice in a folder, and print what was compared."""
    declaration = prepare(folder)
    seconds = {"local": timed(declaration, folder, "local", {})}
    with slurm(folder / "slurm") as variables:
        shared = {"SOMO_CLUSTER_SHARED_FOLDER": str(folder / "shared")}
        seconds["slurm"] = timed(declaration, folder, "slurm", variables | shared)
    local, jobs = (checksums(folder / f"bucket-{kind}" / "v1.0.0") for kind in ("local", "slurm"))
    differing = sorted(key for key in local.keys() | jobs.keys() if local.get(key) != jobs.get(key))
    print(", ".join(f"{kind} {time_taken:.0f} s" for kind, time_taken in seconds.items()))
    print(f"{len(local)} objects of the version, of which {len(differing)} differ: {', '.join(differing) or 'none'}")
    print("lineage.json tells the cluster, and manifest.json the checksum of lineage.json")


def timed(declaration: Path, folder: Path, kind: str, variables: dict[str, str]) -> float:
    """Seconds of `somo run` with two workers of a kind."""
    settings = {"SOMO_CLUSTER_KIND": kind, "SOMO_CLUSTER_WORKERS": "2", "OMP_NUM_THREADS": "1", **variables}
    program = Path(sys.executable).with_name("somo")
    started = time.perf_counter()
    subprocess.run(
        [program, "run", declaration, "--root", folder / f"bucket-{kind}", "-q"], env=os.environ | settings, check=True
    )
    return time.perf_counter() - started


def checksums(version: Path) -> dict[str, str]:
    """Checksum of every object of a version, by its key."""
    return {
        str(path.relative_to(version)): checksum(path.read_bytes()) for path in version.rglob("*") if path.is_file()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="somo-slurm-")).resolve())
