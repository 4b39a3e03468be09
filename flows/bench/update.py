"""Benchmark of an update: 18 published years of the full European grid, and what one day more costs, stage by stage.

The record is made quickly (`flows.bench.long_record`). Then forcing arrives: one day, another, ten days, and a
provisional day that is revised; and one day more without the states, as a fresh start. At the end one day, and a run
that finds nothing new, as the command that people type. Prints what `make bench` reports and writes
`bench/update.json`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import tomli_w
from distributed import Client

from flows.bench import long_record
from flows.bench.costs import Cost, observed
from flows.bench.produce import machine
from flows.cluster.connecting import cluster
from flows.cluster.watching import completed
from flows.console import console
from flows.results import version_url
from flows.stages.ingest import ingest
from flows.stages.produce import produce
from flows.stages.production.plan import Production, prepare
from flows.stages.production.price import price_of
from flows.stages.production.region import produce_region
from flows.stages.production.work import Produced
from flows.stages.publish import publish, publishing
from flows.stages.release import follow, point
from flows.stages.targets import build_targets
from flows.stages.train import train
from flows.stages.validate import pending_sections, validate
from flows.stages.validation.gate_blocks import block_evidence
from flows.status import read_status
from somo.product.declaration import Product
from somo.publish.manifest import NAME
from somo.storage.listing import listed_once
from somo.storage.objects import checksum, join, put, read_bytes
from somo.synthetic.europe import FULL_SIZE, World, domains_of
from somo.validate.gate.evidence import look_at
from somo.validate.published import open_soil

YEARS = (2002, 2021)
# Month and day of the last published day: in the second half of a block, the dearer one.
PUBLISHED_UNTIL = (9, 24)
# Tiles that begin anew where the states are deleted, one a worker; the others' time follows from their cells.
FRESH_TILES = 2


def main(size: tuple[int, int] = FULL_SIZE, years: tuple[int, int] = YEARS, tile: int = 0) -> dict[str, object]:
    """Run it all; smaller sizes, years and tiles are for trying the benchmark."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder:
        product = long_record.declared(folder, size, tile, *years)
        world, last = World.make(domains_of(size, 1)[0], 0), date(years[1], *PUBLISHED_UNTIL)
        started = time.perf_counter()
        long_record.write_sources(folder, world, years[0], last)
        with cluster(product) as client:
            make_record(product, folder, client)
            console.print(f"the record took {time.perf_counter() - started:.0f} s to make")
            report: dict[str, Any] = {"machine": machine(), "updates": measured(product, folder, world, last, client)}
        # What was measured stays where the commands below are ended.
        write_report(report)
        # Publishes the day that was only predicted above, so that one day is new for the next.
        run_command(product, folder)
        long_record.replace_months(folder, world, last + timedelta(14))
        report["one day, as a command"] = {"seconds": run_command(product, folder)}
        report["nothing new, as a command"] = {"seconds": run_command(product, folder)}
    write_report(report)
    console.print_json(data=report)
    return report


def write_report(report: dict[str, Any]) -> None:
    """Write `bench/update.json`."""
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "update.json").write_text(json.dumps(report, indent=1))


def make_record(product: Product, root: str, client: Client) -> None:
    """Publish and release the invented years."""
    inputs = ingest(product, root, client)
    targets = build_targets(product, root, inputs, client)
    build_targets(product, root, inputs, client, role="independent")
    models = long_record.invent_models(product, root, inputs, targets)
    long_record.invent_days(product, root, inputs, models, client)
    version = produce(product, root, inputs, models, client)
    publish(product, root, version, inputs, targets, models, client)
    long_record.invent_report(product, root)
    validate(product, root, version, client)
    keep_evidence(product, root)
    folder, day = f"v{product.version}", f"{date.today()}"
    digest = checksum(read_bytes(join(version, NAME)))
    point(product, root, {}, product.version, {folder: digest}, {product.version: day})


def keep_evidence(product: Product, root: str) -> None:
    """What the gate keeps of old blocks: they hold the same values, so that the second is looked at for all of them."""
    layers, days = tuple(layer.name for layer in product.layers), product.region_days
    soil = open_soil(version_url(product, root), layers)["soil_moisture"].transpose("depth", "time", "lat", "lon")
    urls = block_evidence(product, root)
    evidence = look_at(soil, days, 2 * days).to_bytes() if len(urls) > 2 else b""
    for block, url in urls.items():
        if evidence and block < max(urls):
            put(url, evidence)


def measured(product: Product, root: str, world: World, last: date, client: Client) -> dict[str, object]:
    """Cost of every stage of each update, by what arrived."""
    updates: dict[str, object] = {"nothing": update(product, root, client)}
    arrivals = {
        "one day, first copies made": (1, 0.0),
        "one day": (2, 0.0),
        "ten days": (12, 0.0),
        "a provisional day revised": (12, 0.1),
    }
    for name, (days, warmer) in arrivals.items():
        files = long_record.replace_months(root, world, last + timedelta(days), warmer)
        console.print(f"{name}: forcing until {last + timedelta(days)}, {files} files written")
        updates[name] = update(product, root, client)
    long_record.replace_months(root, world, last + timedelta(13))
    updates["one day, prediction without states"] = begun_anew(product, root, client)
    return updates


def update(product: Product, root: str, client: Client) -> dict[str, object]:
    """Bring everything up to the forcing; what each stage cost, and what the plan said before."""
    costs: list[Cost] = []
    steps = stages(product, root, client)
    about: dict[str, object] = {}
    while True:
        with observed("", root, client, costs):
            step = next(steps, None)
        name, figures = step or ("", {})
        costs[-1] = replace(costs[-1], stage=name)
        about |= figures
        if step is None:
            break
    costs.pop()
    console.print("  ".join(f"{cost.stage} {cost.seconds:.1f} ({cost.cpu_seconds:.1f})" for cost in costs), "s (CPU)")
    return {
        **about,
        "stages": {cost.stage: {k: v for k, v in asdict(cost).items() if k != "stage"} for cost in costs},
        "seconds": sum(cost.seconds for cost in costs),
        "cpu_seconds": sum(cost.cpu_seconds for cost in costs),
    }


def stages(product: Product, root: str, client: Client) -> Iterator[tuple[str, dict[str, object]]]:
    """The journey of `flows.pipeline`, publication and validation by their steps; yields what was done, and figures."""
    with listed_once():
        done = all(stage.done for stage in read_status(product, root))
    yield "status", {"done before": done}
    if done:
        return
    inputs = ingest(product, root, client)
    yield "ingest", {}
    targets = build_targets(product, root, inputs, client)
    models = train(product, root, inputs, targets, client)
    yield "targets and train", {}
    with listed_once():
        price = price_of(prepare(product, root, inputs, models))
    yield "plan", {"price": asdict(price)}
    version = produce(product, root, inputs, models, client)
    yield "produce", {}
    for name in publishing(product, root, version, inputs, targets, models, client):
        yield name, {}
    sections = pending_sections(product, version)
    validate(product, root, version, client)
    yield "report", {"sections": sections}
    follow(product, root)
    yield "gate", {}


def begun_anew(product: Product, root: str, client: Client) -> dict[str, object]:
    """Time of predicting a day without states, of some tiles, and of all tiles by their share of the cells."""
    inputs = ingest(product, root, client)
    targets = build_targets(product, root, inputs, client)
    wanted = prepare(product, root, inputs, train(product, root, inputs, targets, client))
    works = [replace(work, states=()) for work in wanted.work]
    cells = [land_cells(wanted, index) for index in range(len(works))]
    chosen = sorted(range(len(works)), key=lambda index: cells[index])[len(works) // 2 :][:FRESH_TILES]
    started = time.perf_counter()
    futures = [client.submit(produce_region, wanted.job, works[index], pure=False) for index in chosen]
    total = sum(completed(futures, "regions without states"), Produced(0))
    seconds = time.perf_counter() - started
    share = sum(cells[index] for index in chosen) / sum(cells)
    return {"seconds": seconds, "share_of_cells": share, "seconds_of_all": seconds / share, "steps": total.steps}


def land_cells(wanted: Production, index: int) -> int:
    """Cells that a missing region predicts."""
    region = wanted.work[index].region
    return int(wanted.static["land"].values[region.rows, region.columns].sum())


def run_command(product: Product, root: str) -> float:
    """Seconds of `somo run`, as typed in a terminal: Python, Prefect and the cluster are started for it."""
    path = Path(root, "bench.toml")
    path.write_text(tomli_w.dumps(product.model_dump(mode="json", exclude_none=True)))
    somo = Path(sys.executable).with_name("somo")
    started = time.perf_counter()
    subprocess.run([somo, "run", path, "--root", root], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - started
    if pending := [stage.name for stage in read_status(product, root) if not stage.done]:
        raise RuntimeError(f"`somo run` left {', '.join(pending)} undone, so that its time says nothing")
    return seconds


if __name__ == "__main__":
    main()
