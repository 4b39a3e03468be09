"""Benchmark of production: an invented Europe on its full grid, from S3 to S3, on one worker and on two.

A tenth of the tiles, spread over the domain, stands for a block of 365 days. Prints what `make bench` reports and
writes `bench/produce.json`.
"""

import heapq
import json
import platform
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from distributed import Client

from flows.bench.invented_uncertainty import write_invented_uncertainty
from flows.cluster.connecting import cluster
from flows.cluster.watching import completed
from flows.console import console
from flows.environment import export
from flows.service.s3server import S3Server
from flows.stages.ingest import ingest
from flows.stages.production.plan import Production, prepare
from flows.stages.production.region import add_uncertainty, open_job, pack_fields, read_inputs
from flows.stages.production.work import Job, Work
from somo.learn.checkpoint import Checkpoint, upper_input, write_checkpoint, write_ensemble
from somo.learn.networks.ealstm import EALSTM
from somo.learn.normalising import Scaler, Scaling, transform_of
from somo.predict import regions as rg
from somo.predict.infer import infer
from somo.product.declaration import Product
from somo.publish.attributes import UNCERTAINTY
from somo.publish.store import maps as store
from somo.storage.objects import join
from somo.synthetic.europe import FULL_SIZE, World, domains_of
from somo.synthetic.files import AIR, LONGWAVE, RAIN, SKIN, Packed, write_static, year_file

YEARS = (2003, 2004)
DAYS_18_YEARS = 6575
MEMBERS = 5
EVERY_TILE = 10
SLAB_DAYS = 20
# Cells of the European grid whose centre is land in Natural Earth 1:50m; the invented Europe has more.
LAND_CELLS = 122_751
# Days of a block for which the historical run's time is told; `flows.bench.sequence --blocks` tells their skill.
BLOCK_DAYS = (365, 730, 1095, 2190)
# NVIDIA's specification of float32 without tensor cores.
H100_FLOPS = 67e12
MEANS = {"air_temperature": 280.0, "skin_temperature": 280.0, "precipitation": 0.6, "net_radiation": -60.0}
FEATURES = ("elevation", "elevation_std", "forest", "short_vegetation", "sand_surface", "clay_surface")


@dataclass(frozen=True)
class Timing:
    """One region: seconds in its parts, its land cells, bytes written and the most memory its worker has held.

    The uncertainty's lookup, compression and writing stand apart from those of mean and spread.
    """

    read_s: float
    network_s: float
    write_s: float
    uncertainty_s: float
    cells: int
    written_bytes: int
    uncertainty_bytes: int
    peak_bytes: int


@dataclass(frozen=True)
class Result:
    """One run on a number of workers."""

    workers: int
    wall_s: float
    network_share: float
    read_share: float
    write_share: float
    cell_day_members_per_s: float
    peak_gb: float
    core_s_per_cell_step: float
    time_over_without_uncertainty: float
    bytes_over_without_uncertainty: float


def main(size: tuple[int, int] = FULL_SIZE, every: int = EVERY_TILE, tile: int = 0) -> dict[str, object]:
    """Run it all; smaller sizes and tiles are for trying the benchmark."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(folder) as server:
        export(server.environment())
        root = f"s3://{server.bucket}"
        product, results = declare(root, size, tile), []
        write_sources(root, size)
        models = write_models(product, join(root, "models", "bench"))
        with cluster(product) as client:
            inputs = ingest(product, root, client)
        write_invented_uncertainty(product, models, inputs)
        for workers in (1, 2):
            chosen = product.cluster.model_copy(update={"workers": workers})
            with cluster(product.model_copy(update={"cluster": chosen})) as client:
                wanted = prepare(product, join(root, f"workers-{workers}"), inputs, models)
                results.append(measure(wanted, every, workers, client))
        land = int(wanted.static["land"].sum())
        report = {"machine": machine(), "runs": [asdict(r) for r in results], **project(product, wanted, land, results)}
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "produce.json").write_text(json.dumps(report, indent=1))
    console.print_json(data=report)
    return report


def declare(root: str, size: tuple[int, int], tile: int) -> Product:
    """The product at scale: three layers, five members, 128 hidden units, a year a block."""
    europe = domains_of(size, 1)[0].grid
    static = join(root, "static/home.nc")
    (south, north), (west, east) = ((float(b.min()), float(b.max())) for b in europe.bounds())
    edges = {"west": west, "east": east, "south": south, "north": north}
    names = {"air_temperature": AIR, "skin_temperature": SKIN, "precipitation": RAIN, "net_radiation": LONGWAVE}
    url = join(root, "forcing/home")
    return Product.model_validate(
        {
            "name": "bench",
            "period": {"start": f"{YEARS[1]}-01-01", "end": f"{YEARS[1]}-12-30"},
            "grid": {"kind": "regular", **edges, "step_deg": europe.step_deg},
            "forcing": {
                name: {"url": f"{url}/{v.name}_{{year}}.nc", "variable": v.name, "units": v.units, **_kind(v)}
                for name, v in names.items()
            },
            "static": {
                **{name: {"url": static, "variable": name, "units": _unit(name)} for name in FEATURES},
                "precipitation_mean": {"computed": "mean", "of": "precipitation"},
                "aridity": {"computed": "aridity"},
            },
            "insitu": [{"name": "none", "url": join(root, "insitu")}],
            "targets": {"scaling": "none"},
            "training": {"members": MEMBERS},
            "cluster": {"workers": 2, "memory_gb": 4},
            "chunks": {"tile_lat": tile, "tile_lon": tile, "lat": tile, "lon": tile} if tile else {},
        }
    )  # fmt: skip


def _kind(variable: Packed) -> dict[str, str]:
    return {"kind": "accumulated"} if variable.units.startswith(("J", "m")) else {}


def _unit(feature: str) -> str:
    return "m" if feature.startswith("elevation") else "1"


def write_sources(root: str, size: tuple[int, int]) -> None:
    """Invented daily forcing in yearly files of one map a chunk, and static features."""
    world = World.make(domains_of(size, 1)[0], 0)
    grid, land = world.domain.grid, world.land.land
    features = {name: np.where(land, getattr(world.land, name), np.nan) for name in FEATURES}
    write_static(root, "static/home.nc", grid, features, False)
    for year in YEARS:
        days = np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="M8[D]")
        for variables, slabs in ((v, _weather(world, days, v)) for v in ((AIR, SKIN), (RAIN, LONGWAVE))):
            files = [
                year_file(root, f"forcing/home/{v.name}_{year}.nc", grid, days.astype("M8[h]"), (v,), False)
                for v in variables
            ]
            with files[0] as first, files[1] as second:
                for slab in slabs:
                    first.append(variables[0], np.where(land, slab[0], np.nan))
                    second.append(variables[1], np.where(land, slab[1], np.nan))


def _weather(world: World, days: np.ndarray, variables: Sequence[Packed]) -> Iterator[list[np.ndarray]]:
    """Slabs [day, lat, lon] of each variable, in the units of the files."""
    of = {
        AIR: lambda d: d.air_temperature,
        SKIN: lambda d: d.skin_temperature,
        RAIN: lambda d: d.precipitation / 1000,
        LONGWAVE: lambda d: d.net_longwave * 86_400,
    }
    for start in range(0, len(days), SLAB_DAYS):
        weather = [world.weather.day(int(day.astype(int))) for day in days[start : start + SLAB_DAYS]]
        yield [np.stack([of[v](day) for day in weather]) for v in variables]


def write_models(product: Product, url: str) -> str:
    """An ensemble of the real size with its initial weights; returns its URL."""
    torch.manual_seed(0)
    dynamic, static = product.inputs, tuple(product.static)
    for layer in product.layers:
        for k in range(MEMBERS):
            network = EALSTM(len(dynamic), len(static), product.network.hidden)
            transforms = tuple(transform_of(name) for name in dynamic)
            scaling = Scaling(
                Scaler(dynamic, transforms, tuple(MEANS.get(n, 0.25) for n in dynamic), (10.0,) * len(dynamic)),
                Scaler(static, tuple(transform_of(n) for n in static), (0.0,) * len(static), (500.0,) * len(static)),
                Scaler((layer.name,), (transform_of(layer.name),), (0.25,), (0.1,)),
            )
            member = Checkpoint(layer.name, k, network.state_dict(), scaling, product.sequence, product.network)
            write_checkpoint(join(url, layer.name, f"member{k}"), member)
        dynamic = (*dynamic, upper_input(layer.name))
    write_ensemble(url, tuple(layer.name for layer in product.layers), MEMBERS, {})
    return url


def timed_region(job: Job, work: Work) -> Timing:
    """Produce a region as `produce_region` does, and time each of its steps."""
    opened, region = open_job(job), work.region
    started = time.perf_counter()
    x_d, x_s, land = read_inputs(opened, region)
    read = time.perf_counter()
    results = infer(opened.runner, x_d, x_s, region.days.stop - region.days.start, opened.product.sequence)
    ran = time.perf_counter()
    fields = pack_fields(results, land)
    place = job.store, opened.layout, region.block, region.tile
    shards = store.write_region(*place, fields)
    mean_and_spread_written = time.perf_counter()
    add_uncertainty(opened, region, fields, land)
    shards |= store.write_region(*place, {UNCERTAINTY: fields[UNCERTAINTY]})
    uncertainty_written = time.perf_counter()
    objects = {field: rg.Written.of(data) for field, data in shards.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))
    sizes = {field: entry.size for field, entry in objects.items()}
    uncertainty_s = uncertainty_written - mean_and_spread_written
    return Timing(
        read - started, ran - read, time.perf_counter() - ran - uncertainty_s, uncertainty_s,
        int(land.sum()), sum(sizes.values()), sizes[UNCERTAINTY],
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )  # fmt: skip


def measure(wanted: Production, every: int, workers: int, client: Client) -> Result:
    """Produce some of the regions and add up where the time went."""
    # Workers open the job once, and then produce many regions: opening is no part of a region's time.
    client.run(open_job, wanted.job)
    # Spread over the domain, since tiles differ in their share of land.
    some = wanted.work[every // 2 :: every]
    start = time.perf_counter()
    futures = [client.submit(timed_region, wanted.job, work, pure=False) for work in some]
    timings = list(completed(futures, f"regions on {workers} workers"))
    wall = time.perf_counter() - start
    product, layers = wanted.product, len(wanted.product.layers)
    cells, days = sum(t.cells for t in timings), product.sequence.predict_last_n
    return Result(
        workers,
        wall,
        sum(t.network_s for t in timings) / (workers * wall),
        sum(t.read_s for t in timings) / (workers * wall),
        sum(t.write_s + t.uncertainty_s for t in timings) / (workers * wall),
        cells * days * MEMBERS * layers / wall,
        max(t.peak_bytes for t in timings) / 1e9,
        workers * wall / (cells * product.sequence.length * MEMBERS * layers),
        1 + sum(t.uncertainty_s for t in timings) / sum(t.read_s + t.network_s + t.write_s for t in timings),
        1 / (1 - sum(t.uncertainty_bytes for t in timings) / sum(t.written_bytes for t in timings)),
    )


def project(product: Product, wanted: Production, land: int, results: Sequence[Result]) -> dict[str, object]:
    """Wall time of 18 years of Europe from the measured rate, and the speed-up of two workers.

    Parameters
    ----------
    land : land cells of the invented grid, of whose tiles the real number of cells is a share
    """
    one, two = results
    networks = MEMBERS * len(product.layers)
    sequence = product.sequence
    blocks = [min(sequence.predict_last_n, DAYS_18_YEARS - d) for d in range(0, DAYS_18_YEARS, sequence.predict_last_n)]
    cells = [int(wanted.static["land"].values[w.region.rows, w.region.columns].sum()) for w in wanted.work]
    steps = [(sequence.lookback - 1 + days) * c * LAND_CELLS / land for days in blocks for c in cells]
    seconds = [two.core_s_per_cell_step * networks * s for s in steps]
    hidden, inputs = product.network.hidden, len(product.inputs) + len(product.static)
    # Four gates, each a product with the inputs and the hidden state; a multiplication and an addition count as two.
    flops = sum(steps) * networks * 2 * 4 * hidden * (hidden + inputs)
    by_block = {n: steps_per_day(n, sequence.lookback) for n in BLOCK_DAYS}
    return {
        "land_cells": LAND_CELLS,
        "hours_on_2_cores_by_predict_last_n": {
            n: two.core_s_per_cell_step * networks * LAND_CELLS * DAYS_18_YEARS * per_day / 2 / 3600
            for n, per_day in by_block.items()
        },
        "steps_per_day_by_predict_last_n": by_block,
        "speedup_of_two_workers": one.wall_s / two.wall_s,
        "hours_for_18_years": {
            "2 cores here": sum(seconds) / 2 / 3600,
            "100 such cores": makespan(seconds, 100) / 3600,
            "one H100 (specification, 67 TFLOP/s float32, arithmetic only; not measured)": flops / H100_FLOPS / 3600,
        },
    }


def steps_per_day(predict_last_n: int, lookback: int) -> float:
    """Steps of a network for each day of 18 years in blocks of so many days, spin-up included."""
    blocks = -(-DAYS_18_YEARS // predict_last_n)
    return (DAYS_18_YEARS + blocks * (lookback - 1)) / DAYS_18_YEARS


def makespan(seconds: Sequence[float], workers: int) -> float:
    """Time until all tasks are done when each free worker takes the next one."""
    free = [0.0] * workers
    for s in seconds:
        heapq.heapreplace(free, free[0] + s)
    return max(free)


def machine() -> str:
    """What the numbers were measured on."""
    processor = platform.processor() or platform.machine()
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()
