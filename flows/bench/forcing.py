"""Benchmark of forcing: opening 18 years of references, and reading a tile in place and laid out by tile.

All files lie on a local S3 server. References are opened by a fresh process after its imports. Two years of a tile are
read by a process that has read them before, as a worker reads one tile after the other, and stand beside the same
numbers read with nothing but h5netcdf or zarr. Prints what `make bench` reports and writes `bench/forcing.json`.
"""

import datetime as dt
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table

from flows.bench.regridded import CASES, measure_all
from flows.cluster.connecting import cluster
from flows.console import output
from flows.environment import export
from flows.service.s3server import S3Server
from flows.stages.ingest import lay_out_by_tile, reference
from somo.core.grid import Grid
from somo.forcing.by_tile.cube import Slab
from somo.forcing.by_tile.tiling import plan_slabs
from somo.forcing.dataset import daily_arrays
from somo.product.declaration import Product
from somo.storage.objects import join
from somo.synthetic.files import AIR, LONGWAVE, RAIN, SKIN, year_file

YEARS = range(2003, 2021)
READ_YEARS = (2010, 2011)
EDGES = {"west": 0, "east": 19.2, "south": 40, "north": 52}
TILE = (60, 96)
REPEATS = 7
SOURCES = {"air_temperature": AIR, "skin_temperature": SKIN, "precipitation": RAIN, "net_radiation": LONGWAVE}
NAME, STORED = "air_temperature", AIR.name
# Milliseconds of opening; of both ways to read, times the plain read.
GOALS = {"open": 1000.0, "tile in place": 1.2, "tile laid out": 1.2} | {case.name: 1.5 for case in CASES}

CHILD = """
import json, sys, time
import dask.array, fsspec, h5netcdf, numpy as np, pint, s3fs, xarray, zarr
from somo.product.declaration import Product
from somo.storage.client import zarr_store
from somo.forcing.references.decoding import decode
from somo.forcing.dataset import open_forcing, read_forcing
task = json.loads(sys.stdin.read())
product, rows, columns = Product.model_validate(task["product"]), *(slice(0, n) for n in task["tile"])
source_rows, source_columns = (slice(*edges) for edges in task["window"])

def opened():
    return open_forcing(product, product.home, task["references"], by_tile=True)

def ours(ds):
    return read_forcing(ds, [task["name"]], *task["days"], rows, columns)

def with_h5netcdf():
    years = []
    for url in task["files"]:
        with fsspec.open(url) as remote, h5netcdf.File(remote) as file:
            variable = file.variables[task["stored"]]
            names = ("scale_factor", "add_offset", "_FillValue")
            attrs = {name: (float(variable.attrs[name]), "f8") for name in names}
            years.append(decode(variable[:, source_rows, source_columns], attrs))
    return np.concatenate(years)

def with_eccodes():
    import eccodes  # not above: it brings a PROJ of its own, beside which pyproj's crashes
    days = []
    for url in task["files"]:
        with fsspec.open(url) as remote:
            content = memoryview(remote.read())
        while content:
            message = eccodes.codes_new_from_message(bytes(content))
            columns, length = (eccodes.codes_get(message, key) for key in ("Ni", "totalLength"))
            field = eccodes.codes_get_values(message).reshape(-1, columns)
            days.append(field[source_rows, source_columns].astype("float32"))
            eccodes.codes_release(message)
            content = content[length:]
    return np.stack(days)

def with_zarr():
    slabs = []
    for slab in task["slabs"]:
        stored = zarr.open_array(zarr_store(slab["url"]), mode="r")
        slabs.append(decode(stored[slice(*slab["days"]), rows, columns], slab["attrs"]))
    return np.concatenate(slabs)
"""
OURS = "ds = opened(); ours(ds)", "ours(ds)"
TIMED = """
{before}
began = time.perf_counter()
values = {read}
taken = 1000 * (time.perf_counter() - began)
print(taken, sum(values.sizes.values()) if hasattr(values, "sizes") else float(np.nansum(values, dtype=float)))
"""


def main() -> dict[str, object]:
    """Run the benchmark, print what it found and write the JSON."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(Path(folder)) as server:
        export(server.environment())
        root = f"s3://{server.bucket}"
        product = declare(root)
        write_sources(product, root)
        with cluster(product) as client:
            references = reference(product, root, client)[product.home]
            task = describe(product, references)
            plain = {name: (f"{name}()", f"{name}()") for name in ("with_h5netcdf", "with_zarr")}
            timings = measure(task, {"open": ("", "opened()")})
            timings |= measure(task, {"tile in place": OURS, "tile in place, h5netcdf": plain["with_h5netcdf"]})
            lay_out_by_tile(product, references, client)
            timings |= measure(task, {"tile laid out": OURS, "tile laid out, zarr": plain["with_zarr"]})
            timings |= measure_all(join(root, "regridded"), client, TILE)
    return report(timings)


def declare(root: str) -> Product:
    """Four variables of 18 years on a grid of four tiles, each read from files of some maps a chunk."""
    return Product.model_validate(
        {
            "name": "bench",
            "period": {"start": f"{YEARS[1]}-01-01", "end": f"{YEARS[-1]}-12-30"},
            "grid": {"kind": "regular", **EDGES, "step_deg": 0.1},
            "forcing": {
                name: {"url": join(root, f"forcing/{v.name}_{{year}}.nc"), "variable": v.name, "units": v.units, **kind}
                for name, v in SOURCES.items()
                for kind in [{"kind": "accumulated"} if v.units.startswith(("J", "m")) else {}]
            },
            "static": {"elevation": {"url": join(root, "static.nc"), "variable": "elevation"}},
            "insitu": [{"name": "none", "url": join(root, "insitu")}],
            "targets": {"scaling": "none"},
            "sequence": {"lookback": 365, "predict_last_n": 365},
            "chunks": {"lat": TILE[0], "lon": TILE[1], "tile_lat": TILE[0], "tile_lon": TILE[1], "read_factor": 1},
            "cluster": {"workers": 2},
        }
    )


def write_sources(product: Product, root: str) -> None:
    """One invented year of weather, over and over."""
    grid = Grid.regular(EDGES["west"], EDGES["east"], EDGES["south"], EDGES["north"], product.grid.step_deg)
    rough = np.random.default_rng(0).normal(0, 1, (366, *grid.shape)).astype(np.float32)
    for variable in SOURCES.values():
        # Noise of two thousand steps of the packing, so that no chunk compresses to next to nothing.
        values = variable.offset + 2000 * variable.scale * rough
        for year in YEARS:
            days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="M8[D]")
            path = f"forcing/{variable.name}_{year}.nc"
            with year_file(root, path, grid, days.astype("M8[h]"), (variable,), False) as file:
                file.append(variable, values[: len(days)])


def describe(product: Product, references: dict[str, str]) -> dict[str, object]:
    """Product, references, tile, days, files and slabs, as the reading processes get them on their standard input."""
    first, stop = np.datetime64(f"{READ_YEARS[0]}", "D"), np.datetime64(f"{READ_YEARS[-1] + 1}", "D")
    slabs = plan_slabs(daily_arrays(product, product.home, references)[NAME])
    days_by_slab = [(slab, _overlap(slab, int(first.astype(int)), int(stop.astype(int)))) for slab in slabs]
    return {
        "product": product.model_dump(mode="json"), "references": references, "tile": TILE, "name": NAME,
        "window": [[0, TILE[0]], [0, TILE[1]]],
        "stored": STORED, "days": [str(first), str(stop - 1)],
        "files": [product.sources[NAME].patterns[0].on(dt.date(year, 1, 1), "home") for year in READ_YEARS],
        "slabs": [{"url": s.url, "attrs": s.attrs, "days": days} for s, days in days_by_slab if days[0] < days[1]],
    }  # fmt: skip


def _overlap(slab: Slab, first: int, stop: int) -> tuple[int, int]:
    return max(first - slab.first_day, 0), min(stop - slab.first_day, slab.n_days)


def measure(task: dict[str, object], reads: dict[str, tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Median milliseconds, and the sum of what was read, of readings that take turns: (before, what is timed)."""
    task_json = json.dumps(task)
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in reads}
    for _ in range(REPEATS):
        for name, (preparation, read) in reads.items():
            code = CHILD + TIMED.format(before=preparation, read=read)
            command = [sys.executable, "-c", code]
            process = subprocess.run(command, input=task_json, capture_output=True, text=True, check=True)
            taken, total = map(float, process.stdout.split())
            runs[name].append((taken, total))
    return {name: (statistics.median(taken for taken, _ in each), each[0][1]) for name, each in runs.items()}


def report(timings: dict[str, tuple[float, float]]) -> dict[str, object]:
    """Print the table, write the JSON; what is compared must be the same numbers."""
    peers = {"tile in place": "tile in place, h5netcdf", "tile laid out": "tile laid out, zarr"}
    peers |= {case.name: case.peer for case in CASES}
    weighted = {case.name for case in CASES if case.regrid not in (None, "nearest")}
    table = Table("read", "ms", "times the plain read", "goal", title=f"forcing on {platform.machine()}")
    ratios = {}
    for name, (ms, total) in timings.items():
        if peer := peers.get(name):
            if name not in weighted:
                # To rounding: sums of many single-precision numbers depend on their order.
                np.testing.assert_allclose(total, timings[peer][1], rtol=1e-6)
            ratios[name] = ms / timings[peer][0]
        goal = GOALS.get(name)
        met = "" if goal is None else f"{goal:g}: {'met' if ratios.get(name, ms) <= goal else 'missed'}"
        table.add_row(name, f"{ms:.0f}", f"{ratios[name]:.2f}" if name in ratios else "", met)
    output.print(table)
    result: dict[str, object] = {"ms": {name: ms for name, (ms, _) in timings.items()}, "times the plain read": ratios}
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "forcing.json").write_text(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
