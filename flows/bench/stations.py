"""Benchmark of in-situ archives: a zip of long hourly series on a local S3 server, read by a cluster, and again.

The archive holds what the ISMN delivers: soil moisture at depths inside and outside of the layers, and another variable
beside it. Stations lie in it in no order. `python -m flows.bench.stations --gb 1` prints the bytes asked for beside
those of the members needed, the memory of client and workers, core-seconds a GB, and the same with everything kept:
of the reader of the targets stage, and of the command `somo sensors` as people type it. It writes
`bench/stations.json`.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import pandas as pd
import psutil
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
# The declaration of a group that looks at its stations before it has any forcing: its three layers are those of
# `european`.
TYPED_PRODUCT = """
name = "typed"
period = {{ start = 2005-01-01, end = 2019-12-31 }}
grid = {{ kind = "regular", west = 0, east = 20, south = 40, north = 60, step_deg = 0.1 }}
targets = {{ scaling = "none" }}
forcing.air_temperature = {{ url = "nowhere/{{year}}.nc", variable = "t2m", units = "K" }}
static.elevation = {{ url = "nowhere.nc", variable = "z" }}
insitu = [{{ name = "net", url = "{url}" }}]
"""
SAMPLING_SECONDS = 0.2
NOISE = 0.002
DECIMALS, FIRST_DECIMAL = 4, len("2005/01/01 00:00 0.")


@dataclass(frozen=True)
class Measured:
    """What one pass over the archive cost.

    Attributes
    ----------
    seconds : of the pass as a whole
    core_seconds : of client and workers together
    archive_bytes : asked for from the archive, its directory included; of the command all that the server sent
    client_bytes, worker_bytes : largest resident memory of the client during the pass, and of a worker
    client_before : resident memory of the client as the pass began; of the command 0
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


class CountingRelay:
    """A port of this machine that passes everything on to a server's, and counts the bytes that come back.

    The command and its workers are processes of their own, in which nothing is to be patched.
    """

    def __init__(self, server_port: int) -> None:
        self.server_port, self.port, self.returned_bytes = server_port, 0, 0
        self.loop = asyncio.new_event_loop()
        self.listening = threading.Event()
        threading.Thread(target=self.loop.run_until_complete, args=(self._serve(),), daemon=True).start()
        self.listening.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.server_port)
        await asyncio.gather(self._pass_on(reader, to_server, False), self._pass_on(from_server, writer, True))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool) -> None:
        # Either side may hang up at any time; then the other one is told so.
        with suppress(ConnectionError):
            while piece := await reader.read(2**18):
                self.returned_bytes += len(piece) * counts
                writer.write(piece)
                await writer.drain()
        writer.close()


def type_command(url: str, folder: Path, root: str, environment: Mapping[str, str], relay: CountingRelay) -> Measured:
    """Run `somo sensors product.toml -o FILE --daily FILE` in a process of its own."""
    (folder / "product.toml").write_text(TYPED_PRODUCT.format(url=url))
    command = [str(Path(sys.executable).with_name("somo")), "sensors", "product.toml", "--root", root]
    returned_bytes, began = relay.returned_bytes, time.perf_counter()
    process = subprocess.Popen(
        [*command, "-o", "sensors.csv", "--daily", "daily.parquet"],
        cwd=folder, stdout=subprocess.DEVNULL,
        env={**environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"},
    )  # fmt: skip
    highest = dict[int, int]()
    ended = 0
    while not ended:
        with suppress(psutil.NoSuchProcess):
            for running in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
                highest[running.pid] = max(_highest_bytes(running.pid), highest.get(running.pid, 0))
        time.sleep(SAMPLING_SECONDS)
        # The processor seconds of a process include those of the workers that it has waited for.
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}; its own words stand above")
    return Measured(
        seconds=seconds,
        core_seconds=used.ru_utime + used.ru_stime,
        archive_bytes=relay.returned_bytes - returned_bytes,
        client_bytes=highest.pop(process.pid),
        client_before=0,
        # A small archive is read by the command's own process.
        worker_bytes=max(highest.values(), default=0),
        sensors=int(pd.read_csv(folder / "sensors.csv")["kept"].sum()),
    )


def _highest_bytes(pid: int) -> int:
    """High-water mark of a process's resident memory; 0 for one that has ended."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 if "VmHWM:" in status else 0
    return 0


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
        relay = CountingRelay(server.port)
        for name in ("command", "command again"):
            passes[name] = type_command(archive.url, Path(folder), join(root, "typed"), dict(os.environ), relay)
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
        "command_read_factor": passes["command"].archive_bytes / needed,
        "command_second_share": passes["command again"].core_seconds / passes["command"].core_seconds,
        **{name: asdict(measured) for name, measured in passes.items()},
    }  # fmt: skip
    Path("bench").mkdir(exist_ok=True)
    Path("bench/stations.json").write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    # Workers count in the module of this name; functions of `__main__` would be sent to them by value, each on its own.
    from flows.bench import stations

    typer.run(stations.main)
