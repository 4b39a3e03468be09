"""Benchmark of in-situ archives: a zip of long hourly series on a local S3 server, read by a cluster, and again.

The archive holds what the ISMN delivers: soil moisture at depths inside and outside of the layers, and another variable
beside it. Stations lie in it in no order. `python -m flows.bench.stations --gb 1` prints the bytes asked for beside
those of the members needed, the memory of client and workers, core-seconds a GB, and the same with everything kept;
it writes `bench/stations.json`.
"""

import json
import os
import resource
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import typer
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from rich.table import Table

from flows.bench.read import european
from flows.console import output
from flows.environment import export
from flows.results import daily_folder
from flows.service.s3server import S3Server
from flows.stages.archives import plan_reading, read_archive
from somo.insitu import reading
from somo.product.inputs import Insitu
from somo.storage import byte_ranges
from somo.storage.objects import join, put_file

HOURS = 24 * 365 * 15
# Two of these were placed in inches, and the last one lies in no layer.
DEPTHS_M = (0.05, 0.1016, 0.2, 0.508, 1.0)
VARIABLES = ("sm", "ts")
WORKERS = 2
GOALS = {"read_factor": 1.1, "second_share": 0.1}
NOISE = 0.002
DECIMALS, FIRST_DECIMAL = 4, len("2005/01/01 00:00 0.")


@dataclass(frozen=True)
class Measured:
    """What one pass over the archive cost.

    Attributes
    ----------
    seconds : of the pass as a whole
    core_seconds : of client and workers together
    archive_bytes : asked for from the archive, its directory included
    client_bytes, worker_bytes : largest resident memory of the client during the pass, and of a worker
    client_before : resident memory of the client as the pass began
    sensors : that have daily means
    """

    seconds: float
    core_seconds: float
    archive_bytes: int
    client_bytes: int
    client_before: int
    worker_bytes: int
    sensors: int


def write_archive(path: Path, gigabytes: float) -> None:
    """Write a zip of that size, station after station in shuffled order."""
    rng = np.random.default_rng(0)
    lines = _lines()
    numbers = rng.permutation(100_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in numbers:
            for variable in VARIABLES:
                for depth in DEPTHS_M:
                    archive.writestr(*_member(f"S{number:05d}", variable, depth, lines, rng))
                    assert archive.fp is not None
                    if archive.fp.tell() > gigabytes * 1e9:
                        return


def _lines() -> NDArray[np.uint8]:
    """[hour, byte] the lines of a file, with zeros for the decimals of its values."""
    times = np.datetime64("2005-01-01T00:00") + np.arange(HOURS).astype("m8[h]")
    clocks = (t.replace("-", "/").replace("T", " ") for t in np.datetime_as_string(times, unit="m").tolist())
    text = "".join(f"{clock} 0.0000 G M\n" for clock in clocks)
    return np.frombuffer(text.encode(), np.uint8).reshape(HOURS, -1).copy()


def _member(
    station: str, variable: str, depth: float, lines: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[str, bytes]:
    """Name and bytes of one file in the ISMN's layout of header and values."""
    lat, lon = rng.uniform(40, 60), rng.uniform(0, 20)
    values = 0.25 + 0.05 * np.sin(np.arange(HOURS) / 24 / 20) + rng.normal(0, NOISE, HOURS)
    numbers = np.round(values * 10_000).astype(int)
    for place in range(DECIMALS):
        lines[:, FIRST_DECIMAL + place] = ord("0") + numbers // 10 ** (DECIMALS - 1 - place) % 10
    head = f"NET NET {station} {lat:.5f} {lon:.5f} 100.0 {depth:.4f} {depth:.4f} Probe\n"
    name = f"NET/{station}/NET_NET_{station}_{variable}_{depth:.6f}_{depth:.6f}_Probe_20050101_20191231.stm"
    return name, head.encode() + lines.tobytes()


_asked: list[int] = []
"""Bytes of the requests for ranges of the archive that this process has made."""


def count_requests() -> None:
    """Let this process count the bytes it asks for."""
    plain = byte_ranges.read_range

    def counted(url: str, expected: str, offset: int, size: int) -> bytes:
        _asked.append(size)
        return plain(url, expected, offset, size)

    # `reading` has taken the function's name over when it was imported.
    for module in (byte_ranges, reading):
        patch.object(module, "read_range", counted).start()


def usage() -> tuple[int, int, float]:
    """Bytes asked for, largest resident memory in bytes, and processor seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    # ru_maxrss of a process begins with its parent's; the kernel's high-water mark is its own.
    status = Path("/proc/self/status").read_text()
    highest_kb = int(status.split("VmHWM:")[1].split()[0])
    return sum(_asked), highest_kb * 1024, used.ru_utime + used.ru_stime


def forget_highest_memory() -> None:
    """Let the kernel's high-water mark of this process begin anew: writing the archive takes more than reading it."""
    Path("/proc/self/clear_refs").write_text("5")


@contextmanager
def workers() -> Iterator[Client]:
    """A fresh cluster of processes of one thread, which count what they ask for."""
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.run(count_requests)
        yield client


def read_once(archive: Insitu, root: str) -> Measured:
    """List and read an archive as the targets stage does."""
    layers = european().layers
    with workers() as client:
        forget_highest_memory()
        first = [usage(), *client.run(usage).values()]
        began = time.perf_counter()
        sensors = read_archive(plan_reading(archive, layers, daily_folder(root, archive)), client)
        seconds = time.perf_counter() - began
        last = [usage(), *client.run(usage).values()]
    return Measured(
        seconds=seconds,
        core_seconds=sum(b[2] - a[2] for a, b in zip(first, last, strict=True)),
        archive_bytes=sum(b[0] - a[0] for a, b in zip(first, last, strict=True)),
        client_bytes=last[0][1],
        client_before=first[0][1],
        worker_bytes=max(u[1] for u in last[1:]),
        sensors=sum(len(s.day) > 0 for s in sensors),
    )


def main(gb: Annotated[float, typer.Option(help="Size of the archive.")] = 0.1) -> None:
    """Run the benchmark, print what it shows and write the JSON."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(Path(folder, "s3")) as server:
        export(server.environment())
        root = f"s3://{server.bucket}/stations"
        local = Path(folder, "archive.zip")
        write_archive(local, gb)
        put_file(local, join(root, "archive.zip"))
        local.unlink()
        archive = Insitu(name="net", url=join(root, "archive.zip"))
        layers = european().layers
        plan = plan_reading(archive, layers, join(root, "nothing"))
        recordings = [recording for task in plan.tasks for recording in task]
        packed = [m.packed for recording in recordings for m in recording.members if m.packed]
        needed, inflated = sum(p.compressed for p in packed), sum(p.size for p in packed)
        count_requests()
        passes = {"first": read_once(archive, root), "again": read_once(archive, root)}
    _report(gb, len(plan.tasks), needed, inflated, passes)


def _report(gb: float, tasks: int, needed: int, inflated: int, passes: dict[str, Measured]) -> None:
    first, again = passes["first"], passes["again"]
    shown = Table("", *passes, title=f"{gb:g} GB zip, {first.sensors} sensors, {tasks} tasks, {WORKERS} workers")
    shown.add_row("bytes asked for / needed", *(f"{m.archive_bytes / needed:.3f}" for m in passes.values()))
    shown.add_row("core-seconds / inflated GB", *(f"{m.core_seconds / inflated * 1e9:.1f}" for m in passes.values()))
    shown.add_row("seconds", *(f"{m.seconds:.1f}" for m in passes.values()))
    shown.add_row("client as it began, MB", *(f"{m.client_before / 1e6:.0f}" for m in passes.values()))
    shown.add_row("client, MB", *(f"{m.client_bytes / 1e6:.0f}" for m in passes.values()))
    shown.add_row("worker, MB", *(f"{m.worker_bytes / 1e6:.0f}" for m in passes.values()))
    output.print(shown)
    result = {
        "gb": gb, "needed_bytes": needed, "inflated_bytes": inflated, "cores": os.cpu_count(), "goals": GOALS,
        "read_factor": first.archive_bytes / needed, "second_share": again.seconds / first.seconds,
        **{name: asdict(measured) for name, measured in passes.items()},
    }  # fmt: skip
    Path("bench").mkdir(exist_ok=True)
    Path("bench/stations.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    # Workers count in the module of this name; functions of `__main__` would be sent to them by value, each on its own.
    from flows.bench import stations

    typer.run(stations.main)
