"""What a production will cost, worked out before it starts, and what the last one took."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flows.stages.production.plan import Production, prepare
from flows.stages.production.work import Work
from somo.forcing.dataset import Inputs
from somo.learn.uncertainty import UNCERTAINTY as CALIBRATION
from somo.predict.regions import Entry, read_manifest
from somo.product.declaration import Product
from somo.storage.listing import listed_once
from somo.storage.objects import exists, join, put, read_bytes
from somo.storage.patience import StorageError

# Bytes of a shard for each of its raw bytes, where none of its region was written before: measured on a year.
SHARD_SHARE = 0.3


@dataclass(frozen=True)
class Price:
    """What it costs to bring a version's store up to date with its forcing.

    Attributes
    ----------
    days : of the product that are computed
    steps : cells times days times networks, spin-up among them
    objects : that are written, copies among them
    bytes : that are written, and of which states are read
    seconds : by the rate of the last production; None if none was measured
    """

    days: int
    steps: int
    objects: int
    bytes: int
    seconds: float | None

    def __str__(self) -> str:
        time = "no rate measured yet" if self.seconds is None else f"about {_duration(self.seconds)}"
        return (
            f"{self.days} days to compute, {self.steps / 1e6:.3g} million steps, {self.objects} objects of "
            f"{self.bytes / 1e6:.3g} MB to write, {time}"
        )


def pending(product: Product, root: str, inputs: Mapping[str, Inputs], models: str) -> tuple[list[str], int]:
    """What is missing of the store, with its price, and how many days readers will see once it is there."""
    with listed_once():
        wanted = prepare(product, root, inputs, models)
        if wanted.work:
            return [f"{len(wanted.work)} regions from {wanted.work[0].region.name} ({price_of(wanted)})"], len(
                wanted.status
            )
    return ([] if wanted.complete else ["the store's metadata"]), len(wanted.status)


def price_of(wanted: Production) -> Price:
    """The price of the missing regions, if the states that were kept can be used."""
    networks, hidden = wanted.trained.networks, wanted.trained.network.hidden
    entries = read_manifest(wanted.job.manifest) if wanted.work else {}
    land = wanted.static["land"].values.astype(bool)
    # A shard of mean, spread and, of networks that know it, uncertainty; one of frozen ground; and the region's record.
    fields = 2 + exists(join(wanted.job.models, CALIBRATION)) + (wanted.product.frozen is not None)
    days, steps, size, objects = set[int](), 0, 0, len(wanted.copies)
    for work in wanted.work:
        region = work.region
        cells = int(land[region.rows, region.columns].sum())
        missing = np.flatnonzero(work.missing)
        days |= {region.days.start + int(day) for day in missing}
        steps += cells * networks * steps_of(work, wanted)
        # Two float32 a hidden unit, h and c. A region whose days are all final keeps no state.
        state = 8 * cells * networks * hidden if work.final_days < wanted.layout.days else 0
        size += shard_bytes(entries.get(region.name), wanted, work) + state
        objects += fields + 1 + bool(state)
    return Price(len(days), steps, objects, size, _seconds(wanted, steps))


def steps_of(work: Work, wanted: Production) -> int:
    """Days of forcing that one network runs through for one cell of a region."""
    sequence = wanted.product.sequence
    missing, total = np.flatnonzero(work.missing), 0
    for offset in range(0, len(work.kept), sequence.predict_last_n):
        inside = missing[(missing >= offset) & (missing < offset + sequence.predict_last_n)]
        if len(inside):
            usable = [state.days for state in work.states if offset <= state.days <= inside[0]]
            total += int(inside[-1]) + 1 - (max(usable) if usable else offset - sequence.lookback + 1)
    return total


def shard_bytes(entry: Entry | None, wanted: Production, work: Work) -> int:
    """Bytes of a region's shards: for each day as many as when last written, else a share of the raw bytes."""
    days = len(work.status)
    if entry is not None and len(entry.status):
        return int(sum(written.size for written in entry.objects.values()) * days / len(entry.status))
    return int(SHARD_SHARE * 2 * 2 * wanted.layout.layers * days * work.region.cells)


def write_rate(root: str, steps: int, seconds: float, workers: int) -> None:
    """Remember how fast the last production was."""
    put(_rate_url(root), json.dumps({"steps": steps, "seconds": round(seconds, 3), "workers": workers}).encode())


def _rate_url(root: str) -> str:
    return join(root, "states", "rate.json")


def _seconds(wanted: Production, steps: int) -> float | None:
    """Time for so many steps on the declared workers, at the last rate of one worker."""
    root = wanted.job.states.rsplit("/states/", 1)[0]
    if not steps or not exists(_rate_url(root)):
        return None
    try:
        rate = json.loads(read_bytes(_rate_url(root)))
        return float(steps * rate["seconds"] / max(rate["steps"], 1))
    except (StorageError, ValueError, KeyError):
        return None


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"
