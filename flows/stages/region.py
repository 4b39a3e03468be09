"""One region on a worker: read its forcing, predict all layers and members, write its shards and its entry."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flows.console import console
from somo.forcing.dataset import open_forcing, read_forcing
from somo.forcing.statics.static_file import open_static
from somo.learn.checkpoint import read_ensemble
from somo.predict import regions as rg
from somo.predict.infer import Runner, infer, load_runner
from somo.product.declaration import Product
from somo.product.layout import Layout
from somo.publish.store import maps as store
from somo.storage.patience import patiently


@dataclass(frozen=True)
class Job:
    """What all regions of one production have in common; small, and the key of what a worker keeps open.

    Attributes
    ----------
    product : the declaration as JSON
    references : (variable, URL of its reference set)
    static, models, store, manifest : URLs
    side : namespace that the shards are written in (`somo.product.layout`)
    """

    product: str
    references: tuple[tuple[str, str], ...]
    static: str
    models: str
    store: str
    manifest: str
    side: int = 0


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


@dataclass(frozen=True)
class Opened:
    """A job's inputs, opened once per worker process.

    Attributes
    ----------
    features : [row, column, static] in the order of the networks' inputs
    land : [row, column] cells to predict
    """

    product: Product
    layout: Layout
    forcing: xr.Dataset
    features: NDArray[np.float32]
    land: NDArray[np.bool_]
    runner: Runner


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
        open_forcing(product, product.home, dict(job.references), by_tile=True),
        np.stack([static[name].values for name in ensemble.static], axis=-1),
        land,
        load_runner(ensemble, product.prediction.precision),
    )


def produce_region(job: Job, work: Work) -> int:
    """Predict and write one region; returns the number of cells times days it holds."""
    opened, region = patiently(job.store, lambda: open_job(job)), work.region
    x_d, x_s, land = patiently(job.store, lambda: read_inputs(opened, region))
    fields = predict(opened, x_d, x_s, land, region.days.stop - region.days.start)
    if work.kept.any():
        keep_visible(job.store, work, fields, land)
    written = store.write_region(job.store, opened.layout, region.block, region.tile, fields, job.side)
    objects = {field: rg.Written.of(data) for field, data in written.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))
    return int(land.sum()) * (region.days.stop - region.days.start)


def read_inputs(
    opened: Opened, region: rg.Region
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Forcing [spin-up + days - lag, land cell, variable], features [land cell, static], land [row, column]."""
    product, sequence = opened.product, opened.product.sequence
    first, last = (
        product.period.start + dt.timedelta(days=day)
        for day in (region.days.start - sequence.spinup_days, region.days.stop - 1 - sequence.lag_days)
    )
    x_d = read_forcing(opened.forcing, product.inputs, first, last, region.rows, region.columns, opened.land)
    land = opened.land[region.rows, region.columns]
    return x_d[:, land.ravel()], opened.features[region.rows, region.columns][land], land


def predict(
    opened: Opened, x_d: NDArray[np.float32], x_s: NDArray[np.float32], land: NDArray[np.bool_], days: int
) -> dict[str, NDArray[np.int16]]:
    """Packed mean and standard deviation [layer, day, row, column], filled over the sea."""
    return pack_fields(infer(opened.runner, x_d, x_s, days, opened.product.sequence), land)


def pack_fields(
    results: tuple[NDArray[np.float32], NDArray[np.float32]], land: NDArray[np.bool_]
) -> dict[str, NDArray[np.int16]]:
    """Mean and standard deviation [layer, day, land cell] -> packed [layer, day, row, column] by name."""
    fields = {}
    for name, values in zip(store.FIELDS, results, strict=True):
        fields[name] = np.full((*values.shape[:2], *land.shape), store.FILL, np.int16)
        fields[name][..., land] = store.pack(values)
    return fields


def keep_visible(url: str, work: Work, fields: dict[str, NDArray[np.int16]], land: NDArray[np.bool_]) -> None:
    """Put the published values of the kept days into a region, unless the published shard is damaged."""
    region, days = work.region, np.flatnonzero(work.kept)
    window = slice(region.days.start, region.days.start + int(days[-1]) + 1)
    for name, values in fields.items():
        try:
            seen = store.read_packed(url, name, window, (region.rows, region.columns))[:, days]
        except (ValueError, RuntimeError) as error:
            console.print(f"{url}: {name} of region {region.name} is damaged ({error}) and is predicted anew")
            continue
        if not (seen[..., land] == store.FILL).any():
            values[:, days] = seen
