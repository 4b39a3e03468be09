"""Production stage: models and forcing -> the version's Zarr store, region by region on the cluster."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows import results
from flows.cluster.watching import completed
from flows.console import console
from flows.stages.applicability import APPLICABILITY
from flows.stages.region import Job, Work, produce_region
from somo.core.grid import Grid
from somo.forcing.by_tile.tiling import NOTHING, Touched, touched
from somo.forcing.daily import Window
from somo.forcing.dataset import EPOCH, Inputs, daily_arrays, open_forcing, provisional_days, source_files
from somo.forcing.statics.static_file import open_static
from somo.learn.checkpoint import Ensemble, read_ensemble
from somo.predict import regions as rg
from somo.predict.infer import has_bfloat16, scratch_bytes
from somo.product.declaration import Product, content_hash
from somo.product.layout import Layout
from somo.publish.attributes import FINAL, PROVISIONAL
from somo.publish.manifest import rewritten_objects
from somo.publish.store import maps as store
from somo.storage.client import filesystem
from somo.storage.objects import checksum, exists, join, local_copy
from somo.storage.patience import patiently

PROCESS_BYTES = 700_000_000


class ProductionError(ValueError):
    """A production that cannot start; the text names both sides and the remedy."""


@dataclass(frozen=True)
class Production:
    """The wanted state of a version's store, and what is missing.

    Attributes
    ----------
    status : [day] of every day that can be predicted, from the product's first
    visible : what readers see now
    damaged : whether metadata or a small array of the store is not the one whose checksum was taken
    """

    product: Product
    job: Job
    ensemble: Ensemble
    static: xr.Dataset
    layout: Layout
    method: str
    status: NDArray[np.int8]
    visible: store.Visible
    work: tuple[Work, ...]
    copies: tuple[tuple[str, str], ...]
    damaged: bool

    @property
    def complete(self) -> bool:
        """Whether readers see the wanted state."""
        seen = np.array_equal(self.status, self.visible.status) and not self.damaged
        return seen and not self.work and not self.copies


def produce(product: Product, root: str, inputs: Mapping[str, Inputs], models: str, client: Client) -> str:
    """Predict what is missing, then show it to readers in one put; returns the URL of the version.

    Raises
    ------
    ProductionError
        if models and product contradict, the version was made otherwise, or a region exceeds the workers' memory
    """
    wanted = prepare(product, root, inputs, models)
    if wanted.work:
        announce(wanted, client)
        futures = [client.submit(produce_region, wanted.job, work, pure=False) for work in wanted.work]
        for _ in completed(futures, "regions"):
            pass
        wanted = prepare(product, root, inputs, models)
        require_written(wanted)
    copy_objects(wanted.job.store, wanted.copies)
    if not wanted.complete:
        show(wanted)
    return results.version_url(product, root)


def require_written(wanted: Production) -> None:
    """Show nothing to readers unless every region is where it should be, with the bytes that its entry names."""
    if wanted.work:
        names = ", ".join(work.region.name for work in wanted.work[:3])
        raise ProductionError(
            f"{wanted.job.store}: {len(wanted.work)} regions are not as they were written ({names}, ...); run again, "
            "and look for another process that writes there"
        )


def pending(product: Product, root: str, inputs: Mapping[str, Inputs], models: str) -> tuple[list[str], int]:
    """Names of regions that are missing, and how many days readers will see once they are there."""
    wanted = prepare(product, root, inputs, models)
    missing = [f"region {work.region.name}" for work in wanted.work]
    return missing or ([] if wanted.complete else ["the store's metadata"]), len(wanted.status)


def prepare(product: Product, root: str, inputs: Mapping[str, Inputs], models: str) -> Production:
    """Compare what should be with what is; nothing is written."""
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
    layout = Layout.of(product, (static.sizes["lat"], static.sizes["lon"]))
    method = method_hash(product, static, models, layout)
    visible = store.read_visible(job.store) or store.Visible(np.zeros(0, np.int8), 0, method)
    require_same_method(product, job.store, visible, method)
    status = wanted_status(product, home.references, visible)
    plan, work = missing_work(product, job, static, layout, method, status, visible)
    return Production(
        product, replace(job, side=plan.side), ensemble, static, layout, method, status, visible, work, plan.copy,
        metadata_damaged(results.version_url(product, root)),
    )  # fmt: skip


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


def method_hash(product: Product, static: xr.Dataset, models: str, layout: Layout) -> str:
    """What all days of a version share: models, cells, features, sequence and arithmetic."""
    arrays = ("lat", "lon", "land", *static.attrs["features"].split(","))
    values = b"".join(static[name].values.tobytes() for name in arrays)
    return content_hash(
        models.rstrip("/").rsplit("/", 1)[-1], checksum(values), product.period.start, layout,
        product.sequence, product.prediction, product.layers, product.inputs,
    )  # fmt: skip


def require_same_method(product: Product, url: str, visible: store.Visible, method: str) -> None:
    """Refuse to mix days made with other models or settings into a published version."""
    if visible.method != method:
        raise ProductionError(
            f"{url}: version {product.version} was made with other models, features or sequences (method "
            f"{visible.method}, now {method}); a version never changes its method: declare a new version in the product"
        )


def wanted_status(product: Product, references: Mapping[str, str], visible: store.Visible) -> NDArray[np.int8]:
    """[day] final or provisional, of every day that the forcing allows; what is final to readers stays so.

    A day is provisional while any day of forcing that its sequence has seen by then is.

    Raises
    ------
    ProductionError
        if readers see days that the forcing no longer reaches
    """
    sequence, start = product.sequence, np.datetime64(product.period.start)
    times = open_forcing(product, product.home, references)["time"].values.astype("datetime64[D]")
    open_days = np.isin(times, provisional_days(product, references))
    days = int((times[-1] - start).astype(int)) + 1 + sequence.lag_days
    if product.period.end is not None:
        days = min(days, (product.period.end - product.period.start).days + 1)
    if days < visible.days:
        last, seen = (start + np.timedelta64(n - 1, "D") for n in (days, visible.days))
        raise ProductionError(
            f"version {product.version} shows days up to {seen}, forcing and period.end now reach {last}; "
            "published days are not withdrawn: restore the forcing or period.end, or declare a new version"
        )
    status = np.full(days, FINAL, np.int8)
    before = int((start - np.timedelta64(sequence.spinup_days, "D") - times[0]).astype(int))
    for first in range(0, days, sequence.predict_last_n):
        stop = min(first + sequence.predict_last_n, days)
        seen_open = np.logical_or.accumulate(open_days[before + first : before + stop + sequence.lookback - 1])
        status[first:stop][seen_open[sequence.lookback - 1 :]] = PROVISIONAL
    status[: visible.days][visible.status == FINAL] = FINAL
    return status


def missing_work(
    product: Product,
    job: Job,
    static: xr.Dataset,
    layout: Layout,
    method: str,
    status: NDArray[np.int8],
    visible: store.Visible,
) -> tuple[rg.Plan, tuple[Work, ...]]:
    """What is not there yet, or not as it should be."""
    wanted = rg.regions(layout, len(status), static["land"].values.astype(bool))
    manifest = rg.read_manifest(job.manifest)
    held = rg.held_objects(job.store, wanted, manifest)
    inputs = {
        block: content_hash(method, forcing_of(product, dict(job.references), layout.block_days(block, len(status))))
        for block in range(layout.blocks(len(status)))
    }
    plan = rg.plan(wanted, manifest, inputs, status, visible.status, visible.side, held)
    work = []
    for region in plan.predict:
        seen = visible.status[region.days]
        kept = np.zeros(region.days.stop - region.days.start, bool)
        kept[: len(seen)] = seen == status[region.days][: len(seen)]
        work.append(Work(region, inputs[region.block], status[region.days], kept))
    return plan, tuple(work)


def metadata_damaged(version_url: str) -> bool:
    """Whether an object of the store other than a shard is missing, or is not the one whose checksum was taken."""
    shards = tuple(f"{store.STORE}/{field}/c" for field in store.FIELDS)
    found = (key for key in rewritten_objects(version_url) if key.startswith(f"{store.STORE}/"))
    return any(not key.startswith(shards) for key in found)


def forcing_of(product: Product, references: Mapping[str, str], days: slice) -> list[tuple[str, str]]:
    """Source files, with fingerprints, that some days of the product are made from."""
    first, last = (
        product.period.start + dt.timedelta(days=day)
        for day in (days.start - product.sequence.spinup_days, days.stop - 1 - product.sequence.lag_days)
    )
    return source_files(product, references, first, last)


def announce(wanted: Production, client: Client) -> None:
    """Say what the run will read, write and need, and refuse it where workers cannot do it.

    Raises
    ------
    ProductionError
        naming the memory that a region needs and a worker has, or the arithmetic a processor lacks
    """
    product, regions = wanted.product, [work.region for work in wanted.work]
    workers = client.scheduler_info(n_workers=-1)["workers"]
    largest = max(regions, key=lambda r: r.cells)
    needed = region_bytes(product, wanted.ensemble, largest)
    for name, worker in workers.items():
        if 0 < worker["memory_limit"] < needed:
            raise ProductionError(
                f"a region of {largest.cells} cells needs {needed / 1e9:.1f} GB, worker {name} has "
                f"{worker['memory_limit'] / 1e9:.1f} GB; choose smaller chunks.tile_lat and tile_lon, or raise "
                "cluster.memory_gb"
            )
    if product.prediction.precision == "bfloat16":
        for name, able in client.run(has_bfloat16).items():
            if not able:
                raise ProductionError(
                    f'prediction.precision = "bfloat16": worker {name} has no bfloat16 arithmetic; use "float32"'
                )
    reads = forcing_read(wanted)
    console.print(
        f"produce: {len(regions)} regions on {len(workers)} workers; reads {reads.bytes / 1e9:.2f} GB of forcing in "
        f"{reads.chunks} chunks, writes {2 * len(regions)} objects, needs {needed / 1e9:.2f} GB of memory per worker"
    )


def forcing_read(wanted: Production) -> Touched:
    """Stored chunks of forcing that the missing regions are made from."""
    product, sequence = wanted.product, wanted.product.sequence
    arrays = daily_arrays(product, product.home, dict(wanted.job.references))
    needed = {part for name in product.inputs for part in product.forcing[name].sum_of or (name,)}
    first = (product.period.start - EPOCH).days - next(iter(arrays.values())).first_day
    windows: dict[tuple[int, int], list[Window]] = {}
    for region in (work.region for work in wanted.work):
        days = first + region.days.start - sequence.spinup_days, first + region.days.stop - sequence.lag_days
        windows.setdefault(days, []).append((region.rows, region.columns))
    readings = [(slice(*days), tiles) for days, tiles in windows.items()]
    return sum((touched(arrays[name], readings) for name in needed), NOTHING)


def region_bytes(product: Product, ensemble: Ensemble, region: rg.Region) -> int:
    """Memory that one region needs in a worker, with the process itself."""
    days = region.days.stop - region.days.start
    length = days + product.sequence.spinup_days
    forcing = 3 * 4 * length * region.cells * len(product.inputs)
    results = 24 * len(product.layers) * days * region.cells
    members = max(len(m) for m in ensemble.layers.values())
    scratch = scratch_bytes(members, len(product.layers), product.network.hidden, length, len(product.inputs))
    return PROCESS_BYTES + forcing + results + scratch


def copy_objects(url: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Copy objects inside a store, on the server where it can."""
    if not pairs:
        return
    fs, path = filesystem(url)
    sources, targets = ([f"{path}/{pair[i]}" for pair in pairs] for i in (0, 1))
    patiently(url, lambda: fs.copy(sources, targets))


def show(wanted: Production) -> None:
    """Put the metadata that makes all days visible."""
    product, static = wanted.product, wanted.static
    grid = Grid(static["lat"].values, static["lon"].values, product.grid.step_deg)
    template = store.template(product, grid, wanted.status, area_of_applicability(wanted), wanted.method)
    store.fill_empty(wanted.job.store, wanted.layout, store.FIELDS, len(wanted.status), wanted.job.side)
    store.publish(wanted.job.store, template, wanted.layout, wanted.job.side)


def area_of_applicability(wanted: Production) -> NDArray[np.int8]:
    """[layer, row, column] 1 where the models apply, as the train stage found; 0 of models without such a map."""
    url = join(wanted.job.models, APPLICABILITY)
    if not exists(url):
        return np.zeros((wanted.layout.layers, *wanted.layout.shape), np.int8)
    with local_copy(url) as path, xr.open_dataset(path, engine="h5netcdf") as area:
        return area["inside"].sel(layer=[layer.name for layer in wanted.product.layers]).values.astype(np.int8)
