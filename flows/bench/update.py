"""Benchmark of an update: 18 published years of the full European grid, and what one day more costs, stage by stage.

The years are published quickly: their values are invented, and so is the networks' state after the last day, which
costs what a real one costs. Then forcing arrives: one day, ten days, and a provisional day that is revised; and one day
more without the states, as a fresh start. Prints what `make bench` reports and writes `bench/update.json`.
"""

import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from distributed import Client

from flows.bench.produce import FEATURES, MEMBERS, declare, machine, write_models
from flows.cluster.connecting import cluster
from flows.cluster.watching import completed
from flows.console import console
from flows.stages import publish as stage
from flows.stages.ingest import ingest
from flows.stages.produce import produce
from flows.stages.production.continuing import segment_files
from flows.stages.production.plan import prepare
from flows.stages.production.price import price_of
from flows.stages.production.region import Job, Opened, RegionForcing, Work, open_job
from flows.stages.validation.gate_blocks import block_evidence
from somo.predict import regions as rg
from somo.predict.states import State, day_digests, write_state
from somo.product.declaration import Product
from somo.product.layout import other_side
from somo.publish.manifest import write_manifest
from somo.publish.store import maps as store
from somo.storage.listing import Object, listed_once, listing
from somo.storage.objects import join
from somo.synthetic.europe import FULL_SIZE, World, domains_of
from somo.synthetic.files import AIR, LONGWAVE, RAIN, SKIN, Packed, write_static, year_file
from somo.validate.gate.evidence import gather
from somo.validate.published import Published, open_soil

YEARS = tuple(range(2002, 2022))
PUBLISHED_UNTIL = date(2021, 9, 30)
PROVISIONAL_DAYS = 2
OF = {AIR: "air_temperature", SKIN: "skin_temperature", RAIN: "precipitation", LONGWAVE: "net_longwave"}
SCALE = {RAIN: 1e-3, LONGWAVE: 86_400.0}
"""From the invented weather's mm and W m-2 to the files' m and J m-2."""


@dataclass(frozen=True)
class Cost:
    """What one stage of an update took.

    Attributes
    ----------
    written, copied : objects and bytes; a copy is one that storage made by itself
    read_bytes : that this process and its workers have read of files
    peak_bytes : most memory that one of them has held since it began
    """

    stage: str
    seconds: float
    written: int
    written_bytes: int
    copied: int
    copied_bytes: int
    read_bytes: int
    peak_bytes: int


def main(size: tuple[int, int] = FULL_SIZE, years: Sequence[int] = YEARS, tile: int = 0) -> dict[str, object]:
    """Run it all; smaller sizes, years and tiles are for trying the benchmark."""
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder:
        product = declared(folder, size, tile, years)
        world, last = World.make(domains_of(size, 1)[0], 0), min(PUBLISHED_UNTIL, date(years[-1], 9, 30))
        write_sources(folder, world, years, last)
        models = write_models(product, join(folder, "models", "bench"))
        with cluster(product) as client:
            inputs = ingest(product, folder, client)
            publish_quickly(product, folder, inputs, models, client)
            update(product, folder, models, client)
            report: dict[str, object] = {
                "machine": machine(),
                "updates": measured(product, folder, world, models, last, client),
            }
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "update.json").write_text(json.dumps(report, indent=1))
    console.print_json(data=report)
    return report


def measured(
    product: Product, root: str, world: World, models: str, last: date, client: Client
) -> dict[str, dict[str, object]]:
    """Cost of every stage of each update, by what arrived."""
    updates = {}
    arrivals = {
        "nothing": (last, 0),
        "one day": (last + timedelta(1), 0),
        "one day, first copies made": (last + timedelta(2), 0),
        "ten days": (last + timedelta(12), 0),
        "a provisional day revised": (last + timedelta(12), 1),
        "one day, without states": (last + timedelta(13), 0),
    }
    for name, (day, seed) in arrivals.items():
        if name != "nothing":
            month = replace_month(root, world, day, seed)
            console.print(f"{name}: forcing until {day}, {month} files written")
        if name == "one day, without states":
            for url in Path(root, "states").rglob("*.state"):
                url.unlink()
        updates[name] = update(product, root, models, client)
    return updates


def declared(root: str, size: tuple[int, int], tile: int, years: Sequence[int]) -> Product:
    """The product of the benchmark of production over many years, its forcing in monthly files, open at its end."""
    raw = declare(root, size, tile).model_dump(mode="json", exclude_none=True)
    learnt = {"start": f"{years[1]}-01-01", "end": f"{years[1]}-12-31"}
    forcing = {}
    for name, variable in {"air_temperature": AIR, "skin_temperature": SKIN, "precipitation": RAIN,
                           "net_radiation": LONGWAVE}.items():  # fmt: skip
        kind = {"kind": "accumulated"} if variable in SCALE else {}
        url = f"{join(root, 'forcing')}/{variable.name}_{{year}}{{month}}.nc"
        forcing[name] = {"url": url, "variable": variable.name, "units": variable.units, **kind}
    forcing["air_temperature"]["provisional_days"] = PROVISIONAL_DAYS  # type: ignore[assignment]
    open_period = {"start": f"{years[1]}-01-01"}
    return Product.model_validate(
        {**raw, "period": open_period, "forcing": forcing, "training": {"members": MEMBERS, "period": learnt}}
    )


def write_sources(root: str, world: World, years: Sequence[int], last: date) -> None:
    """Monthly files of forcing: the last two years are weather, those before repeat one day of each month."""
    land = world.land.land
    features = {name: np.where(land, getattr(world.land, name), np.nan) for name in FEATURES}
    write_static(root, "static/home.nc", world.domain.grid, features, False)
    for month in pd.period_range(f"{years[0]}-01", last, freq="M"):
        write_month(root, world, month, last, repeat=month.year < last.year - 1)


def replace_month(root: str, world: World, last: date, seed: int) -> int:
    """Write the files of the month of a day anew, and those of the month before if it is new; returns their number."""
    months = pd.period_range(last - timedelta(12), last, freq="M")
    for month in months:
        write_month(root, world, month, last, warmer=0.1 * seed)
    return len(months) * len(OF)


def write_month(
    root: str, world: World, month: pd.Period, last: date, repeat: bool = False, warmer: float = 0.0
) -> None:
    """The files of one month as far as a day; `warmer`, in K, revises the last day."""
    stop = min(month.end_time.date(), last) + timedelta(1)
    days = np.arange(np.datetime64(month.start_time, "D"), np.datetime64(stop, "D"))
    numbers = [int(day.astype(int)) for day in (days[:1] if repeat else days)]
    weather = [world.weather.day(number) for number in numbers]
    for variable, attribute in OF.items():
        maps = np.stack([getattr(day, attribute) * SCALE.get(variable, 1.0) for day in weather])
        maps = np.where(world.land.land, np.broadcast_to(maps, (len(days), *maps.shape[1:])), np.nan)
        if variable is AIR and warmer:
            maps[-1] += warmer
        _write(root, world, f"forcing/{variable.name}_{month:%Y%m}.nc", days, variable, maps)


def _write(root: str, world: World, path: str, days: np.ndarray, variable: Packed, maps: np.ndarray) -> None:
    with year_file(root, path, world.domain.grid, days.astype("M8[h]"), (variable,), False) as file:
        file.append(variable, maps)


def publish_quickly(product: Product, root: str, inputs: Mapping, models: str, client: Client) -> None:
    """Write invented shards, entries and states for every region, which production then shows as its own."""
    wanted = prepare(product, root, inputs, models)
    futures = [client.submit(invent_region, wanted.job, work, wanted.layout.days, pure=False) for work in wanted.work]
    for _ in completed(futures, "invented regions"):
        pass


def invent_region(job: Job, work: Work, block_days: int) -> None:
    """What `produce_region` leaves behind, of values that nobody predicted: three digits of a place's and a day's."""
    opened = open_job(job)
    region, layout = work.region, opened.layout
    land = opened.land[region.rows, region.columns]
    days = np.arange(region.days.start, region.days.stop) % 365
    smooth = (1500 + 500 * np.sin(2 * np.pi * days / 365)).astype(np.int16)[:, None, None] + np.indices(land.shape).sum(
        0
    )
    values = np.where(land, smooth, store.FILL).astype(np.int16)
    fields = {name: np.broadcast_to(values, (layout.layers, *values.shape)) for name in store.FIELDS}
    written = store.write_region(job.store, layout, region.block, region.tile, fields, job.side)
    if work.final_days < block_days:
        write_state(job.states, region.name, invented_state(opened, job, work))
    objects = {field: rg.Written.of(data) for field, data in written.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))


def invented_state(opened: Opened, job: Job, work: Work) -> State:
    """A state that has seen the forcing until the last final day, and remembers nothing of it."""
    product, region = opened.product, work.region
    rows = product.sequence.lookback - 1 + work.final_days
    begins = product.period.start + timedelta(region.days.start - product.sequence.spinup_days)
    forcing = RegionForcing(opened, job, region, begins)
    x_d = forcing.read(0, rows)
    files = segment_files(job.product, job.references, begins, rows)
    shape = (MEMBERS * len(product.layers), 2, x_d.shape[1], product.network.hidden)
    return State(work.final_days, day_digests(x_d), files, np.zeros(shape, np.float32))


def update(product: Product, root: str, models: str, client: Client) -> dict[str, object]:
    """Bring everything up to the forcing; what each stage cost, and what the plan said before."""
    version, costs = join(root, f"v{product.version}"), list[Cost]()

    def timed(name: str, call: Callable[[], object]) -> object:
        with observed(name, root, client, costs):
            return call()

    inputs = timed("ingest", lambda: ingest(product, root, client))
    assert isinstance(inputs, Mapping)
    with listed_once():
        started = time.perf_counter()
        wanted = prepare(product, root, inputs, models)
        price, planned = price_of(wanted), time.perf_counter() - started
    timed("produce", lambda: produce(product, root, inputs, models, client))
    timed("series", lambda: stage.write_series(product, version, client))
    timed("drought", lambda: stage.write_drought(product, version, client))
    timed("checksums", lambda: write_manifest(version, stage.describe_changed(version, client)))
    timed("gate", lambda: gather(opened_for_gate(product, version), product.region_days, block_evidence(product, root)))
    return {
        "plan": {**asdict(price), "seconds_to_plan": planned},
        "stages": {cost.stage: {k: v for k, v in asdict(cost).items() if k != "stage"} for cost in costs},
        "seconds": sum(cost.seconds for cost in costs),
    }


def opened_for_gate(product: Product, version: str) -> Published:
    """The store without the tables of validation, which the gate's evidence does not look at."""
    layers, empty = tuple(layer.name for layer in product.layers), pd.DataFrame()
    return Published(version, layers, open_soil(version, layers), empty, empty, empty)


@contextmanager
def observed(name: str, root: str, client: Client, costs: list[Cost]) -> Iterator[None]:
    """Add what happens inside to the costs."""
    objects, reads = dict(listing(root)), bytes_read(client)
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    changed = {key: found for key, found in listing(root).items() if objects.get(key) != found}
    copies = {key for key, found in changed.items() if _is_copy(key, found, objects)}
    sizes = {key: found.size for key, found in changed.items()}
    written = [sizes[key] for key in sizes.keys() - copies]
    copied = [sizes[key] for key in copies]
    costs.append(
        Cost(name, seconds, len(written), sum(written), len(copied), sum(copied), bytes_read(client) - reads,
             peak_bytes(client))
    )  # fmt: skip


def _is_copy(key: str, found: Object, objects: Mapping[str, Object]) -> bool:
    return other_side(key) != key and objects.get(other_side(key)) == found


def bytes_read(client: Client) -> int:
    """Bytes that this process and its workers have read of files since they began."""
    return _bytes_read() + sum(client.run(_bytes_read).values())


def _bytes_read() -> int:
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["rchar"])


def peak_bytes(client: Client) -> int:
    """Most memory that this process or a worker has held."""
    return max(_peak_bytes(), *client.run(_peak_bytes).values())


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
