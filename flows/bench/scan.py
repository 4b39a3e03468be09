"""Benchmark of scanning: 18 years of hourly ERA5-Land in monthly files referenced by two workers, and one day more.

The files are small, but have everything that a scan reads of the Climate Data Store's: as many steps and chunks as a
month of Europe, the versions as texts, the scalar `number`. Prints what `make bench PART=scan` reports and writes
`bench/scan.json`.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from distributed import Client
from rich.table import Table

from flows.bench.costs import used
from flows.cluster.connecting import cluster
from flows.console import output
from flows.environment import export
from flows.service.s3server import S3Server
from flows.stages.ingest import reference
from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.storage.listing import listing
from somo.storage.objects import join
from somo.synthetic.delivered import write_cds

FIRST_YEAR = 2003
WORKERS = 2
EDGES = {"west": 0.0, "east": 2.4, "south": 45.0, "north": 46.6}
# A month of Europe, 744 x 471 x 711, is cut by h5py's own guess into about 16 x 8 x 8 chunks.
CHUNK, CHUNKS_A_MONTH = (47, 2, 3), 16 * 8 * 8


@dataclass(frozen=True)
class Scanned:
    """What referencing took.

    Attributes
    ----------
    files : that were scanned
    chunks : in these files
    core_seconds : of client and workers together
    """

    files: int
    chunks: int
    seconds: float
    core_seconds: float


def declare(root: str, last: np.datetime64) -> Product:
    """Hourly temperature from the first year's first day to `last`."""
    source = {"url": join(root, "era5-land/t2m_{year}_{month}.nc"), "variable": "t2m", "units": "K"}
    return Product.model_validate(
        {
            "name": "bench",
            "period": {"start": f"{FIRST_YEAR}-02-01", "end": str(last)},
            "grid": {"kind": "regular", **EDGES, "step_deg": 0.1},
            "forcing": {"air_temperature": {**source, "frequency": "sub-daily", "kind": "instantaneous"}},
            "static": {"elevation": {"url": join(root, "static.nc"), "variable": "elevation"}},
            "insitu": [{"name": "none", "url": join(root, "insitu")}],
            "targets": {"scaling": "none"},
            "sequence": {"lookback": 10, "predict_last_n": 10},
            "cluster": {"workers": WORKERS},
        }
    )


def write_month(root: str, month: np.datetime64, last: np.datetime64) -> None:
    """The hours of a month up to the day `last`."""
    grid = Grid.regular(**EDGES, step_deg=0.1)
    stop = min((month + 1).astype("M8[D]"), last + 1)
    hours = np.arange(month.astype("M8[D]"), stop).astype("M8[h]")[:, None] + np.arange(24).astype("m8[h]")
    noise = np.random.default_rng(int(month.astype(int))).normal(283, 5, (hours.size, *grid.shape))
    url = join(root, f"era5-land/t2m_{str(month).replace('-', '_')}.nc")
    write_cds(url, grid, "t2m", hours.ravel(), noise.astype("float32"), CHUNK)


def scan(root: str, last: np.datetime64, client: Client) -> Scanned:
    """Reference everything up to a day; what an earlier pass has scanned is there."""
    folder = join(root, "references", "scans")
    scans_before, used_before, began = len(listing(folder)), used(client), time.perf_counter()
    reference(declare(root, last), root, client)
    seconds, core_seconds = time.perf_counter() - began, float((used(client) - used_before)[0])
    files = len(listing(folder)) - scans_before
    return Scanned(files, files * CHUNKS_A_MONTH, seconds, core_seconds)


def main(years: Annotated[int, typer.Option(help="Years of hourly values.")] = 18) -> None:
    """Run the benchmark, print the table and write the JSON."""
    last = np.datetime64(f"{FIRST_YEAR + years - 1}-12-30", "D")
    months = np.arange(f"{FIRST_YEAR}-01", f"{FIRST_YEAR + years}-01", dtype="M8[M]")
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(Path(folder)) as server:
        export(server.environment())
        root = f"s3://{server.bucket}/scan"
        for month in months:
            write_month(root, month, last)
        with cluster(declare(root, last)) as client:
            # Workers import what they need with their first task, which is no part of the speed of scanning.
            warm = join(root, "warm")
            write_month(warm, months[0], last)
            write_month(warm, months[1], np.datetime64(f"{FIRST_YEAR}-02-15"))
            scan(warm, np.datetime64(f"{FIRST_YEAR}-02-15"), client)
            passes = {f"{years} years": scan(root, last, client)}
            write_month(root, months[-1], last + 1)
            passes["one day more"] = scan(root, last + 1, client)
    if passes["one day more"].files != 1:
        raise RuntimeError(f"a day more had {passes['one day more'].files} files scanned instead of the one it is in")
    _report(passes)


def _report(passes: dict[str, Scanned]) -> None:
    title = f"hourly ERA5-Land in monthly files of {CHUNKS_A_MONTH} chunks, {WORKERS} workers"
    table = Table("", *passes, title=title)
    table.add_row("files scanned", *(str(p.files) for p in passes.values()))
    table.add_row("seconds", *(f"{p.seconds:.1f}" for p in passes.values()))
    table.add_row("core-seconds", *(f"{p.core_seconds:.1f}" for p in passes.values()))
    table.add_row("files a second", *(f"{p.files / p.seconds:.1f}" for p in passes.values()))
    table.add_row("core-milliseconds a file", *(f"{1000 * p.core_seconds / p.files:.0f}" for p in passes.values()))
    output.print(table)
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "scan.json").write_text(json.dumps({name: asdict(p) for name, p in passes.items()}, indent=1))


if __name__ == "__main__":
    typer.run(main)
