"""Production stage: models and forcing -> the version's Zarr store, region by region on the cluster."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows.runtime import completed, console
from somo.core.grid import Grid
from somo.core.layout import Layout
from somo.core.product import Product, content_hash
from somo.core.storage import checksum, join
from somo.forcing.dataset import Inputs, open_forcing, read_forcing
from somo.forcing.static import open_static
from somo.forcing.store import open_store
from somo.learn.checkpoint import Ensemble, read_ensemble
from somo.predict import regions as rg
from somo.predict.infer import Runner, infer, load_runner, scratch_bytes
from somo.publish import zarr as store

DAY_S = 86_400
PROCESS_BYTES = 700_000_000


class ProductionError(ValueError):
    """A production that cannot start; the text names both sides and the remedy."""


@dataclass(frozen=True)
class Job:
    """What every region of one production has in common; small, and the key of what a worker keeps open."""

    product: str
    references: tuple[tuple[str, str], ...]
    static: str
    models: str
    store: str
    manifest: str


@dataclass(frozen=True)
class Opened:
    """A job's inputs, opened once per worker process."""

    product: Product
    layout: Layout
    forcing: xr.Dataset
    features: NDArray[np.float32]
    land: NDArray[np.bool_]
    runner: Runner


@dataclass(frozen=True)
class Work:
    """One region to produce.

    Attributes
    ----------
    inputs : hash of what it is made from
    status : [day] as it will be published
    kept : [day] whether readers see the day's values already and they must not change
    """

    region: rg.Region
    inputs: str
    status: NDArray[np.int8]
    kept: NDArray[np.bool_]


@lru_cache(maxsize=1)
def open_job(job: Job) -> Opened:
    """Open forcing, static features and members."""
    product = Product.model_validate_json(job.product)
    static = open_static(job.static)
    ensemble = read_ensemble(job.models)
    land = static["land"].values.astype(bool)
    return Opened(
        product,
        Layout.of(product, land.shape),
        open_forcing(product, product.home, dict(job.references)),
        np.stack([static[name].values for name in ensemble.static], axis=-1),
        land,
        load_runner(ensemble, product.prediction.precision),
    )


def produce_region(job: Job, work: Work) -> int:
    """Predict and write one region; returns the number of cells times days predicted."""
    opened = open_job(job)
    region = work.region
    packed = predict_region(opened, region)
    if work.kept.any():
        for name, values in packed.items():
            seen = store.read_packed(job.store, name, _leading(region.days, work.kept), (region.rows, region.columns))
            days = np.flatnonzero(work.kept)
            values[:, days] = seen[:, days]
    written = store.write_region(job.store, opened.layout, region.block, region.tile, packed)
    objects = {key: rg.Written.of(data) for key, data in written.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))
    return int(opened.land[region.rows, region.columns].sum()) * (region.days.stop - region.days.start)


def _leading(days: slice, kept: NDArray[np.bool_]) -> slice:
    return slice(days.start, days.start + int(np.flatnonzero(kept)[-1]) + 1)


def predict_region(opened: Opened, region: rg.Region) -> dict[str, NDArray[np.int16]]:
    """Packed mean and standard deviation [layer, day, row, column] of one region."""
    product, sequence = opened.product, opened.product.sequence
    land = opened.land[region.rows, region.columns]
    first = product.period.start + dt.timedelta(days=region.days.start)
    last = product.period.start + dt.timedelta(days=region.days.stop - 1)
    x_d = read_forcing(
        opened.forcing,
        product.inputs,
        first - dt.timedelta(days=sequence.spinup_days),
        last - dt.timedelta(days=sequence.lag_days),
        region.rows,
        region.columns,
        opened.land,
    )
    x_s = opened.features[region.rows, region.columns][land]
    days = region.days.stop - region.days.start
    results = infer(opened.runner, x_d[:, land.ravel()], x_s, days, sequence)
    return {name: _spread(store.pack(values), land) for name, values in zip(store.FIELDS, results, strict=True)}


def _spread(values: NDArray[np.int16], land: NDArray[np.bool_]) -> NDArray[np.int16]:
    """[layer, day, land cell] -> [layer, day, row, column], filled over the sea."""
    field = np.full((*values.shape[:2], *land.shape), store.FILL, np.int16)
    field[..., land] = values
    return field


def produce(product: Product, root: str, inputs: Mapping[str, Inputs], models: str, client: Client) -> str:
    """Predict what is missing, then show it to readers in one put; returns the URL of the version.

    Raises
    ------
    ProductionError
        if models and product contradict, the version was made otherwise, or a region exceeds the workers' memory
    """
    home = inputs[product.home]
    job = Job(
        product.model_dump_json(),
        tuple(sorted(home.references.items())),
        home.static,
        models,
        store.store_url(root, product.version),
        rg.manifest_url(root, product.version),
    )
    ensemble, static = read_ensemble(models), open_static(home.static)
    require_matching(product, ensemble, static, models)
    status = forcing_status(product, home.references)
    seen = store.read_visible(job.store)
    visible = np.zeros(0, np.int8) if seen is None else seen.status
    status[: len(visible)] = np.minimum(status[: len(visible)], visible)
    work = remaining(product, job, static, models, status, visible)
    if work:
        announce(product, work, ensemble, client)
        futures = [client.submit(produce_region, job, w, pure=False) for w in work]
        for _ in completed(futures, "regions"):
            pass
    if work or seen is None or not np.array_equal(status, visible):
        show(product, job, static, status)
    return join(root, f"v{product.version}")


def require_matching(product: Product, ensemble: Ensemble, static: xr.Dataset, models: str) -> None:
    """Refuse models that were trained on other inputs, layers or sequences than the product declares."""
    pairs = {
        "layers": (tuple(ensemble.layers), tuple(layer.name for layer in product.layers)),
        "dynamic inputs": (ensemble.dynamic, product.inputs),
        "static features": (ensemble.static, tuple(static.attrs["features"].split(","))),
        "sequence": (ensemble.sequence, product.sequence),
    }
    for what, (trained, declared) in pairs.items():
        if trained != declared:
            raise ProductionError(
                f"{models}: trained with {what} {trained}, the product declares {declared}; run the train stage again"
            )


def forcing_status(product: Product, references: Mapping[str, str]) -> NDArray[np.int8]:
    """Status of every day that can be predicted, from the product's first."""
    times = open_forcing(product, product.home, references)["time"].values
    last = times[-1].astype("datetime64[D]")
    first = np.datetime64(product.period.start)
    end = last + np.timedelta64(product.sequence.lag_days, "D")
    if product.period.end is not None:
        end = min(end, np.datetime64(product.period.end))
    return np.zeros(int((end - first).astype(int)) + 1, np.int8)


def remaining(
    product: Product,
    job: Job,
    static: xr.Dataset,
    models: str,
    status: NDArray[np.int8],
    visible: NDArray[np.int8],
) -> list[Work]:
    """Regions that are not there yet, or not as they should be."""
    land = static["land"].values.astype(bool)
    layout = Layout.of(product, land.shape)
    manifest = rg.read_manifest(job.manifest)
    intact = rg.intact_objects(job.store, manifest)
    method = method_hash(product, static, models, layout)
    hashes = {
        block: content_hash(method, forcing_of(product, dict(job.references), layout.block_days(block, len(status))))
        for block in range(layout.blocks(len(status)))
    }
    todo = rg.to_do(rg.regions(layout, len(status), land), manifest, hashes, status, visible, intact)
    works = []
    for region in todo:
        entry = manifest.get(region.name)
        whole = entry is not None and all(intact.get(k) == w.md5 for k, w in entry.objects.items())
        seen = visible[region.days]
        kept = np.zeros(region.days.stop - region.days.start, bool)
        kept[: len(seen)] = whole & (seen == status[region.days][: len(seen)])
        works.append(Work(region, hashes[region.block], status[region.days], kept))
    return works


def method_hash(product: Product, static: xr.Dataset, models: str, layout: Layout) -> str:
    """What all regions of a version share: models, cells, features, sequence and arithmetic."""
    values = b"".join(
        static[name].values.tobytes() for name in ("lat", "lon", "land", *static.attrs["features"].split(","))
    )
    return content_hash(
        models.rstrip("/").rsplit("/", 1)[-1], checksum(values), product.period.start, layout,
        product.sequence, product.prediction, product.layers, product.inputs,
    )  # fmt: skip


def forcing_of(product: Product, references: Mapping[str, str], days: slice) -> list[tuple[str, str]]:
    """Source files, with fingerprints, that the days of a block are made from."""
    origin = (product.period.start - dt.date(1970, 1, 1)).days
    start = (origin + days.start - product.sequence.spinup_days) * DAY_S
    stop = (origin + days.stop + 1) * DAY_S
    used = set()
    for url in references.values():
        index = open_store(url).index
        for name, mark, _, first, count in index["files"]:
            if first < stop and first + count * index["step"] > start:
                used.add((name, mark))
    return sorted(used)


def announce(product: Product, work: list[Work], ensemble: Ensemble, client: Client) -> None:
    """Say what the run will read, write and need, and refuse it where a worker is too small.

    Raises
    ------
    ProductionError
        naming the memory a region needs and the worker has
    """
    largest = max(work, key=lambda w: w.region.cells).region
    needed = region_bytes(product, ensemble, largest)
    workers = client.scheduler_info(n_workers=-1)["workers"]
    for name, worker in workers.items():
        if 0 < worker["memory_limit"] < needed:
            raise ProductionError(
                f"a region of {largest.cells} cells needs {needed / 1e9:.1f} GB, worker {name} has "
                f"{worker['memory_limit'] / 1e9:.1f} GB; choose smaller chunks.tile_lat and tile_lon, or raise "
                "cluster.memory_gb"
            )
    spinup = product.sequence.spinup_days
    read = sum(w.region.cells * (w.region.days.stop - w.region.days.start + spinup) for w in work)
    console.print(
        f"produce: {len(work)} regions on {len(workers)} workers; reads {4 * read * len(product.inputs) / 1e9:.2f} "
        f"GB of forcing as float32, writes {2 * len(work)} objects, needs {needed / 1e9:.2f} GB of memory per worker"
    )


def region_bytes(product: Product, ensemble: Ensemble, region: rg.Region) -> int:
    """Memory that one region needs in a worker, with the process itself."""
    days = region.days.stop - region.days.start
    length = days + product.sequence.spinup_days
    forcing = 3 * 4 * length * region.cells * len(product.inputs)
    results = (2 * 4 + 4 * 2 + 8) * len(product.layers) * days * region.cells
    members = max(len(m) for m in ensemble.layers.values())
    scratch = scratch_bytes(members, len(product.layers), product.network.hidden, length, len(product.inputs))
    return PROCESS_BYTES + forcing + results + scratch


def show(product: Product, job: Job, static: xr.Dataset, status: NDArray[np.int8]) -> None:
    """Put the metadata that makes all days visible."""
    grid = Grid(static["lat"].values, static["lon"].values, product.grid.step_deg)
    inside = np.repeat(static["land"].values.astype(np.int8)[None], len(product.layers), axis=0)
    store.publish(job.store, store.template(product, grid, status, inside), Layout.of(product, grid.shape))
