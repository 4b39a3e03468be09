"""Benchmark of looking: status, plan, manifest and verification of many regions, whose shards hold one cell each.

These commands read lists and documents, which are as long as those of the products that they imitate: 18 years of
Europe in some 340 regions, and of the land of the globe at 0.1 degree in some 14,000. Prints what `make bench` reports
and writes `bench/status.json`.
"""

import json
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

from distributed import Client

from flows.bench import long_record
from flows.bench.produce import machine, write_models
from flows.cluster.connecting import cluster
from flows.console import console
from flows.results import version_url
from flows.stages.ingest import ingest
from flows.stages.produce import produce
from flows.stages.production.plan import prepare
from flows.stages.production.price import pending
from flows.stages.production.region import open_job
from flows.stages.production.work import Job, Work
from flows.stages.publish import describe_changed
from somo.predict import regions as rg
from somo.product.declaration import Product
from somo.product.layout import shard_key
from somo.publish.front_door import INDEX
from somo.publish.manifest import pointer, rewritten_objects, write_manifest
from somo.publish.verifying import verify
from somo.storage.listing import listed_once
from somo.storage.objects import join, put
from somo.synthetic.europe import World, domains_of

YEARS = (2002, 2021)
# Rows and columns of tiles, of which about four fifths hold land.
SIZES = {"Europe, 18 years": 5, "the globe at 0.1 degree, 18 years": 31}
GOALS_S = {"Europe, 18 years": 1.0, "the globe at 0.1 degree, 18 years": 10.0}


def main(sizes: dict[str, int] | None = None) -> dict[str, object]:
    """Run it all; smaller sizes are for trying the benchmark."""
    report: dict[str, object] = {"machine": machine()}
    for name, size in (sizes or SIZES).items():
        with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder:
            report[name] = looked_at(folder, size, GOALS_S.get(name))
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "status.json").write_text(json.dumps(report, indent=1))
    console.print_json(data=report)
    return report


def looked_at(root: str, size: int, goal_s: float | None) -> dict[str, object]:
    """Seconds of plan, status, manifest and verification of a record with `size` tiles along each side."""
    declared = long_record.declared(root, (size, size), 1, *YEARS)
    # Tiles of one cell would be laid out one by one: nothing is predicted here, so that nothing is.
    chunks = declared.chunks.model_copy(update={"read_factor": 1e9})
    product = declared.model_copy(update={"chunks": chunks})
    world = World.make(domains_of((size, size), 1)[0], 0)
    long_record.write_sources(root, world, YEARS[0], date(YEARS[1], 9, 24))
    models = write_models(product, join(root, "models", "bench"))
    with cluster(product) as client:
        inputs = ingest(product, root, client)
        write_regions(product, root, models, client)
        produce(product, root, inputs, models, client)
        version = version_url(product, root)
        digest = write_manifest(version, describe_changed(version, client))
    put(join(root, INDEX), b"<p>a record of the benchmark</p>")
    put(join(root, "catalog.json"), b"{}")
    put(join(root, "latest.json"), pointer(product.version, {f"v{product.version}": digest}, {}, b"{}"))
    ways: dict[str, Callable[[], object]] = {
        "plan": lambda: prepare(product, root, inputs, models),
        "status of production": lambda: pending(product, root, inputs, models),
        "manifest": lambda: rewritten_objects(version),
        "verify": lambda: list(verify(root, anon=False)),
    }
    regions = len(rg.read_manifest(rg.manifest_url(root, product.version)))
    seconds = {way: timed(look) for way, look in ways.items()}
    seconds_by_way = ", ".join(f"{way} {taken:.2f} s" for way, taken in seconds.items())
    console.print(f"{regions} regions: {seconds_by_way}" + ("" if goal_s is None else f" (goal {goal_s:.0f} s each)"))
    return {"regions": regions, **seconds}


def write_regions(product: Product, root: str, models: str, client: Client) -> None:
    """Equal shards and their entries for every region."""
    wanted = prepare(product, root, ingest(product, root, client), models)
    opened, shards = open_job(wanted.job), dict[int, dict[str, bytes]]()
    for work in wanted.work:
        days = work.region.days.stop - work.region.days.start
        if days not in shards:
            land = opened.land[work.region.rows, work.region.columns]
            shards[days] = long_record.encoded(opened.layout, land, days, False, opened.fields)
        write_region(wanted.job, work, shards[days])


def write_region(job: Job, work: Work, shards: dict[str, bytes]) -> None:
    """What `produce_region` leaves behind, without states."""
    region = work.region
    for name, shard in shards.items():
        put(join(job.store, shard_key(name, job.side, region.block, region.tile)), shard)
    objects = {field: rg.Written.of(shard) for field, shard in shards.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))


def timed(look: Callable[[], object]) -> float:
    """Seconds of one look, in which each folder is listed once."""
    started = time.perf_counter()
    with listed_once():
        look()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
