"""Production stage: models and forcing -> the version's Zarr store, region by region on the cluster."""

import time
from collections.abc import Mapping

import numpy as np
from distributed import Client

from flows import results
from flows.cluster.connecting import expected_workers
from flows.cluster.watching import completed
from flows.console import console
from flows.stages.learning.applicability import calibrated_dissimilarity, inside_area
from flows.stages.production.plan import Production, ProductionError, prepare
from flows.stages.production.price import price_of, write_rate
from flows.stages.production.region import produce_region
from flows.stages.production.work import Produced
from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.forcing.by_tile.tiling import NOTHING, Touched, touched
from somo.forcing.daily import Window
from somo.forcing.dataset import Inputs, daily_arrays
from somo.forcing.days.covered import EPOCH
from somo.learn.trained import Trained
from somo.learn.uncertainty import UNCERTAINTY as CALIBRATION
from somo.learn.uncertainty import read_uncertainties
from somo.predict import regions as rg
from somo.predict.infer import has_bfloat16, scratch_bytes
from somo.predict.states import list_states, remove_states
from somo.product.declaration import Product
from somo.product.layout import FROZEN
from somo.publish.attributes import UNCERTAINTY
from somo.publish.store import maps as store
from somo.storage.listing import copy_objects
from somo.storage.objects import join

PROCESS_BYTES = 700_000_000


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
        started = time.monotonic()
        futures = [client.submit(produce_region, wanted.job, work, pure=False) for work in wanted.work]
        total = sum(completed(futures, "regions"), Produced(0))
        write_rate(root, total.steps, time.monotonic() - started, expected_workers(client))
        console.print(
            f"produce: {total.steps} steps of a cell and network; {total.continued} sequences went on from a state, "
            f"{total.begun} began anew, {total.rejected} states were damaged or had seen other forcing"
        )
        # Compared once more with what the store now holds: a worker that reported success may have lost its object.
        wanted = prepare(product, root, inputs, models)
        require_written(wanted)
    copy_objects(wanted.job.store, wanted.copies)
    if not wanted.complete:
        show(wanted)
        forget_states(wanted)
        rg.write_index(wanted.job.manifest)
    return results.version_url(product, root)


def forget_states(wanted: Production) -> None:
    """Remove the states that later runs need no more, once their days are visible: all but the latest of each region.

    A region whose days are all final and complete needs none.
    """
    layout, days, useful = wanted.layout, len(wanted.status), {}
    for block in range(layout.blocks(days)):
        status = wanted.status[layout.block_days(block, days)]
        final = int(np.append(status == FINAL, False).argmin())
        useful[f"b{block:04d}"] = final if final < layout.days else -1
    states = list_states(wanted.job.states)
    latest = {s.region: s.url for s in states if s.days <= useful.get(s.region.split("-")[0], -1)}
    remove_states([s for s in states if latest.get(s.region) != s.url])


def require_written(wanted: Production) -> None:
    """Show nothing to readers unless every region is where it should be, with the bytes that its entry names.

    Raises
    ------
    ProductionError
        naming the first of the regions that are not
    """
    if wanted.work:
        names = ", ".join(work.region.name for work in wanted.work[:3])
        raise ProductionError(
            f"{wanted.job.store}: {len(wanted.work)} regions are not as they were written ({names}, ...); run again, "
            "and look for another process that writes there"
        )


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
    needed = region_bytes(product, wanted.trained, largest)
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
    console.print(f"produce: {price_of(wanted)}")
    console.print(
        f"produce: {len(regions)} regions on {expected_workers(client)} workers; "
        f"reads {reads.bytes / 1e9:.2f} GB of forcing in {reads.chunks} chunks, "
        f"writes {len(daily_fields(wanted)) * len(regions)} objects, "
        f"needs {needed / 1e9:.2f} GB of memory per worker"
    )


def forcing_read(wanted: Production) -> Touched:
    """Stored chunks of forcing that the missing regions are made from."""
    product, sequence = wanted.product, wanted.product.sequence
    arrays = daily_arrays(product, product.home, dict(wanted.job.references))
    read_variables = {term for name in product.inputs for term in product.forcing[name].terms or (name,)}
    windows: dict[tuple[int, int], list[Window]] = {}
    for region in (work.region for work in wanted.work):
        days = region.days.start - sequence.spinup_days, region.days.stop - sequence.lag_days
        windows.setdefault(days, []).append((region.rows, region.columns))
    total = NOTHING
    for name, array in arrays.items():
        if name.split(".then.")[0] in read_variables:
            first = (product.period.start - EPOCH).days - array.first_day
            readings = [
                (slice(max(0, first + begin), min(array.n_days, first + end)), tiles)
                for (begin, end), tiles in windows.items()
            ]
            total += touched(array, [(days, tiles) for days, tiles in readings if days.start < days.stop])
    return total


def region_bytes(product: Product, trained: Trained, region: rg.Region) -> int:
    """Memory that one region needs in a worker, with the process itself."""
    days: int = region.days.stop - region.days.start
    length = days + product.sequence.spinup_days
    forcing = 3 * 4 * length * region.cells * len(product.inputs)
    results = 32 * len(product.layers) * days * region.cells
    scratch = scratch_bytes(trained.members, len(product.layers), product.network.hidden, length, len(product.inputs))
    return PROCESS_BYTES + forcing + results + scratch


def show(wanted: Production) -> None:
    """Put the metadata that makes all days visible."""
    product, static = wanted.product, wanted.static
    grid = Grid(static["lat"].values, static["lon"].values, product.grid.step_deg)
    inside = inside_area(product, wanted.job.models)
    if inside is None:
        inside = np.zeros((wanted.layout.layers, *wanted.layout.shape), np.int8)
    index = calibrated_dissimilarity(product, wanted.job.models)
    template = store.template(product, grid, wanted.status, inside, wanted.method, index)
    if index is not None:
        layers = read_uncertainties(join(wanted.job.models, CALIBRATION))
        template[UNCERTAINTY].attrs["anomaly_share"] = [round(layer.anomaly_share, 4) for layer in layers]
    store.fill_empty(wanted.job.store, wanted.layout, daily_fields(wanted), len(wanted.status), wanted.job.side)
    store.publish(wanted.job.store, template, wanted.layout, wanted.job.side)


def daily_fields(wanted: Production) -> tuple[str, ...]:
    """Names of the packed fields that every region has: imported models do not know their uncertainty."""
    is_calibrated = calibrated_dissimilarity(wanted.product, wanted.job.models) is not None
    fields = store.UNCERTAIN_FIELDS if is_calibrated else store.FIELDS
    return (*fields, FROZEN) if wanted.product.frozen else fields
