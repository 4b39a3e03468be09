"""What a version's store should hold, what it holds, and the regions that are missing between the two."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flows.stages.production.work import Job, Work
from somo.core.status import FINAL, PROVISIONAL
from somo.forcing.dataset import Inputs, open_forcing, provisional_days, source_files
from somo.forcing.statics.static_file import open_static
from somo.learn.trained import Trained, read_trained
from somo.predict import regions as rg
from somo.predict.states import list_states, states_url
from somo.product.declaration import Product, content_hash
from somo.product.layout import SEPARATORS, Layout, shard_key
from somo.publish.manifest import read_manifest, recorded, rewritten_objects
from somo.publish.store import maps as store
from somo.storage.objects import checksum, exists, join
from somo.storage.patience import StorageError


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
    trained: Trained
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
        same_days = np.array_equal(self.status, self.visible.status)
        # A shard that was lost twice is made on a side that holds all others already: only the pointer has to move.
        same_side = self.job.side == self.visible.side
        return same_days and same_side and not self.damaged and not self.work and not self.copies


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
    trained, static = read_trained(models), open_static(home.static)
    require_matching(product, trained, static, models)
    layout = Layout.of(product, (static.sizes["lat"], static.sizes["lon"]))
    method = method_hash(product, static, models, layout)
    job = replace(job, states=states_url(root, method))
    visible = read_shown(job.store) or store.Visible(np.zeros(0, np.int8), 0, method)
    require_same_method(product, job.store, visible, method)
    status = wanted_status(product, home.references, visible)
    plan, work = missing_work(product, job, static, layout, method, status, visible)
    return Production(
        product, replace(job, side=plan.side), trained, static, layout, method, status, visible, work, plan.copy,
        metadata_damaged(join(root, f"v{product.version}")),
    )  # fmt: skip


def read_shown(url: str) -> store.Visible | None:
    """What readers of the store see; None if they see nothing yet.

    Raises
    ------
    StorageError
        if the object that says which days are final is missing
    """
    shown = store.read_visible(url)
    # zarr takes a missing object for zeros, which say that every day is final: provisional ones would stay for good.
    if shown is not None and not exists(key := join(url, f"status/c{SEPARATORS[shown.side]}0")):
        raise StorageError(
            f"{key}: is missing, and nothing else says which days may still change; restore it from a copy of the "
            "bucket, or declare a new version"
        )
    return shown


def require_matching(product: Product, trained: Trained, static: xr.Dataset, models: str) -> None:
    """Refuse models that were trained on other inputs, layers or sequences than the product declares.

    Raises
    ------
    ProductionError
        naming what differs, as trained and as declared
    """
    pairs = {
        "layers": (trained.layers, tuple(layer.name for layer in product.layers)),
        "dynamic inputs": (trained.dynamic, product.inputs),
        "static features": (trained.static, tuple(static.attrs["features"].split(","))),
        "sequence": (trained.sequence, product.sequence),
    }
    for kind, (learnt, declared) in pairs.items():
        if learnt != declared:
            raise ProductionError(
                f"{models}: trained with {kind} {learnt}, the product declares {declared}; run the train stage again"
            )


def method_hash(product: Product, static: xr.Dataset, models: str, layout: Layout) -> str:
    """Hash of what all days of a version share: models, cells, features, sequence and arithmetic."""
    arrays = ("lat", "lon", "land", *static.attrs["features"].split(","))
    content = b"".join(static[name].values.tobytes() for name in arrays)
    return content_hash(
        models.rstrip("/").rsplit("/", 1)[-1], checksum(content), product.period.start, layout,
        product.sequence, product.prediction, product.layers, product.inputs,
        # Left out where no ground is masked, so that versions from before there was a mask keep their method.
        *([product.frozen] if product.frozen else []),
    )  # fmt: skip


def require_version_for(product: Product, root: str, inputs: Mapping[str, Inputs], models: str) -> None:
    """Refuse networks that are not yet trained where the version shows days that were made otherwise.

    Trained for hours they could not be used: so where a station was added, or the network changed, without a new
    version.

    Parameters
    ----------
    models : where the networks will be

    Raises
    ------
    ProductionError
        naming both methods
    """
    store_url = store.store_url(root, product.version)
    visible = store.read_visible(store_url)
    if visible is not None:
        static = open_static(inputs[product.home].static)
        layout = Layout.of(product, (static.sizes["lat"], static.sizes["lon"]))
        require_same_method(product, store_url, visible, method_hash(product, static, models, layout))


def require_same_method(product: Product, url: str, visible: store.Visible, method: str) -> None:
    """Refuse to mix days made with other models or settings into a published version.

    Raises
    ------
    ProductionError
        naming both methods
    """
    if visible.method != method:
        raise ProductionError(
            f"{url}: version {product.version} was made with other models, features or sequences (method "
            f"{visible.method}, now {method}); a version never changes its method, and stations, training or network "
            "that differ make other models: declare a new version in the product"
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
        last, last_seen = (start + np.timedelta64(n - 1, "D") for n in (days, visible.days))
        raise ProductionError(
            f"version {product.version} shows days up to {last_seen}, forcing and period.end now reach {last}; "
            "published days are not withdrawn: restore the forcing or period.end, or declare a new version"
        )
    status = np.full(days, FINAL, np.int8)
    spinup_begins = int((start - np.timedelta64(sequence.spinup_days, "D") - times[0]).astype(int))
    for first in range(0, days, sequence.predict_last_n):
        stop = min(first + sequence.predict_last_n, days)
        days_of_forcing = slice(spinup_begins + first, spinup_begins + stop + sequence.lookback - 1)
        seen_open = np.logical_or.accumulate(open_days[days_of_forcing])
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
    """The plan of a version's regions, and the work for those that are missing or not as they should be."""
    wanted = rg.regions(layout, len(status), static["land"].values.astype(bool))
    manifest = rg.read_manifest(job.manifest)
    held = rg.held_objects(job.store, wanted, manifest, recorded_in(job.store))
    inputs = {
        block: content_hash(method, forcing_of(product, dict(job.references), layout.block_days(block, len(status))))
        for block in range(layout.blocks(len(status)))
    }
    plan = rg.plan(wanted, manifest, inputs, status, visible.status, visible.side, held)
    states = list_states(job.states) if plan.predict else []
    work = []
    for region in plan.predict:
        shown = visible.status[region.days]
        kept_days = np.zeros(region.days.stop - region.days.start, bool)
        kept_days[: len(shown)] = shown == FINAL
        states_of_region = tuple(state for state in states if state.region == region.name)
        entry = manifest.get(region.name)
        is_shown = entry is not None and np.array_equal(entry.status, shown)
        keys = [shard_key(field, visible.side, region.block, region.tile) for field in entry.objects] if entry else []
        readable = not is_shown or held.issuperset(keys)
        work.append(Work(region, inputs[region.block], status[region.days], kept_days, states_of_region, readable))
    return plan, tuple(work)


def recorded_in(store_url: str) -> rg.Recorded:
    """What the version's manifest says of the objects of its store."""
    version_url, name = store_url.rsplit("/", 1)
    entries = read_manifest(version_url)

    def sha256(key: str, size: int, version: str) -> str | None:
        entry = recorded(entries, f"{name}/{key}", (size, version))
        return None if entry is None else entry.sha256

    return sha256


def metadata_damaged(version_url: str) -> bool:
    """Whether an object of the store other than a shard is missing, or is not the one whose checksum was taken."""
    shards = tuple(f"{store.STORE}/{field}/c" for field in store.DAILY)
    rewritten = (key for key in rewritten_objects(version_url) if key.startswith(f"{store.STORE}/"))
    return any(not key.startswith(shards) for key in rewritten)


def forcing_of(product: Product, references: Mapping[str, str], days: slice) -> list[tuple[str, str]]:
    """Source files, with fingerprints, that some days of the product are made from."""
    first, last = (
        product.period.start + dt.timedelta(days=day)
        for day in (days.start - product.sequence.spinup_days, days.stop - 1 - product.sequence.lag_days)
    )
    return source_files(product, references, first, last)
