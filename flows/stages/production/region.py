"""One region on a worker: read its forcing, predict all layers and members, write its shards and its entry."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flows.console import console
from flows.stages.learning.applicability import calibrated_dissimilarity
from flows.stages.production.continuing import Days, run_sequence, segment_files
from flows.stages.production.work import Job, Produced, Work
from somo.forcing.dataset import open_forcing, read_forcing
from somo.forcing.statics.static_file import open_static
from somo.learn.checkpoint import read_ensemble
from somo.learn.uncertainty import UNCERTAINTY as CALIBRATION
from somo.learn.uncertainty import read_uncertainties
from somo.predict import regions as rg
from somo.predict.frozen import is_frozen
from somo.predict.infer import Runner, infer, load_runner
from somo.predict.states import remove_states, write_state
from somo.predict.uncertainty import PackedUncertainty
from somo.product.declaration import Product
from somo.product.layout import FROZEN, Layout
from somo.product.method import Frozen
from somo.publish.attributes import UNCERTAINTY
from somo.publish.store import maps as store
from somo.storage.objects import join


@dataclass(frozen=True)
class Opened:
    """A job's inputs, opened once per worker process.

    Attributes
    ----------
    features : [row, column, static] in the order of the networks' inputs
    land : [row, column] cells to predict
    uncertainty : None of models without it
    """

    product: Product
    layout: Layout
    forcing: xr.Dataset
    features: NDArray[np.float32]
    land: NDArray[np.bool_]
    runner: Runner
    uncertainty: PackedUncertainty | None

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the packed fields of a region."""
        return store.FIELDS if self.uncertainty is None else store.UNCERTAIN_FIELDS


# A worker outlives a run: what it had opened for the former one is let go.
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
        open_uncertainty(product, job.models),
    )


def open_uncertainty(product: Product, models: str) -> PackedUncertainty | None:
    """The uncertainty of the models in every cell of the map; None of models that do not know it."""
    index = calibrated_dissimilarity(product, models)
    if index is None:
        return None
    layers = read_uncertainties(join(models, CALIBRATION))
    return PackedUncertainty.of(layers, index, store.STEP, store.UNCERTAINTY_STEP, store.FILL)


@dataclass(frozen=True)
class RegionForcing:
    """Forcing of one sequence of a region; rows count its days from `begins`."""

    opened: Opened
    job: Job
    region: rg.Region
    begins: dt.date

    def read(self, first_row: int, stop_row: int) -> NDArray[np.float32]:
        """[row, land cell, variable] of the rows from the first to the second (excluded)."""
        first, last = (self.begins + dt.timedelta(days=row) for row in (first_row, stop_row - 1))
        region, names, land = self.region, self.opened.product.inputs, self.opened.land
        place = region.rows, region.columns
        x_d = read_forcing(self.opened.forcing, names, first, last, *place, land)
        return x_d[:, land[place].ravel()]

    def files(self, rows: int) -> tuple[str, ...]:
        """Hash of the source files of every segment of the first rows."""
        return segment_files(self.job.product, self.job.references, self.begins, rows)


def produce_region(job: Job, work: Work) -> Produced:
    """Predict the days of one region that readers do not have for good, and write its shards, state and entry."""
    opened, region = open_job(job), work.region
    land = opened.land[region.rows, region.columns]
    shape = opened.layout.layers, len(work.status), *land.shape
    fields = {name: np.full(shape, store.FILL) for name in opened.fields}
    missing = {name: ~read_published(job.store, work, name, values, land) for name, values in fields.items()}
    produced = predict_missing(opened, job, work, fields, missing)
    frozen = opened.product.frozen
    shards = {**fields, **({FROZEN: flag_frozen(opened, frozen, job, work, land)} if frozen else {})}
    written = store.write_region(job.store, opened.layout, region.block, region.tile, shards, job.side)
    objects = {field: rg.Written.of(data) for field, data in written.items()}
    rg.write_entry(job.manifest, region, rg.Entry(work.inputs, tuple(work.status.tolist()), objects))
    return produced


def predict_missing(
    opened: Opened,
    job: Job,
    work: Work,
    fields: dict[str, NDArray[np.int16]],
    missing: dict[str, NDArray[np.bool_]],
) -> Produced:
    """Fill the missing days of a region's packed fields, sequence by sequence, and keep the networks' state.

    Parameters
    ----------
    fields : packed [layer, day, row, column] by name
    missing : [day] by name
    """
    product, region = opened.product, work.region
    land = opened.land[region.rows, region.columns]
    features = opened.features[region.rows, region.columns][land]
    wanted_days = np.logical_or.reduce(list(missing.values()))
    produced = Produced(int(land.sum()) * len(wanted_days))
    for offset in range(0, len(wanted_days), product.sequence.predict_last_n):
        wanted = offset + np.flatnonzero(wanted_days[offset : offset + product.sequence.predict_last_n])
        if not len(wanted):
            continue
        first, stop = int(wanted[0]), int(wanted[-1]) + 1
        days = Days(offset, first, stop, work.final_days, product.sequence.lookback - 1)
        begins = product.period.start + dt.timedelta(days=region.days.start + offset - product.sequence.spinup_days)
        run = run_sequence(opened.runner, days, features, work.states, RegionForcing(opened, job, region, begins))
        predicted = pack_fields((run.stretch.mean, run.stretch.std), land)
        add_uncertainty(opened, region, predicted, land)
        for name, packed in predicted.items():
            span = np.flatnonzero(missing[name][first:stop])
            fields[name][:, first + span] = packed[:, span]
        remove_states(run.rejected)
        if run.state is not None and job.states:
            write_state(job.states, region.name, run.state)
        produced = produced.plus(run)
    return produced


def flag_frozen(opened: Opened, frozen: Frozen, job: Job, work: Work, land: NDArray[np.bool_]) -> NDArray[np.int8]:
    """[day, row, column] whether the ground counts as frozen, filled over the sea; kept days as readers see them."""
    product, region = opened.product, work.region
    flags = np.full((len(work.status), *land.shape), store.NO_FLAG)
    wanted = np.flatnonzero(~read_published(job.store, work, FROZEN, flags, land))
    if len(wanted):
        first, last = int(wanted[0]), int(wanted[-1])
        begins = product.period.start + dt.timedelta(days=region.days.start - product.sequence.lag_days)
        start, stop = (begins + dt.timedelta(days=day) for day in (first - frozen.days + 1, last))
        place = region.rows, region.columns
        kelvin = read_forcing(opened.forcing, (frozen.variable,), start, stop, *place, opened.land)
        below = is_frozen(kelvin[:, land.ravel(), 0], frozen)
        flags[wanted[:, None], *np.nonzero(land)] = below[wanted - first]
    return flags


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


def add_uncertainty(
    opened: Opened, region: rg.Region, fields: dict[str, NDArray[np.int16]], land: NDArray[np.bool_]
) -> None:
    """Put the packed uncertainty of packed means beside them, where the models know it."""
    if opened.uncertainty is not None:
        mean = fields["soil_moisture"]
        fields[UNCERTAINTY] = np.full_like(mean, store.FILL)
        packed = opened.uncertainty.packed(mean[..., land], region.rows, region.columns, land)
        fields[UNCERTAINTY][..., land] = packed


def read_published(url: str, work: Work, name: str, values: store.Packed, land: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Put the published values of the kept days into a field.

    Returns
    -------
    [day] whether the field holds the day now; no day where the published shard is damaged
    """
    region, days = work.region, np.flatnonzero(work.kept)
    if not len(days):
        return work.kept
    window = slice(region.days.start, region.days.start + int(days[-1]) + 1)
    try:
        published = store.read_packed(url, name, window, (region.rows, region.columns))[..., days, :, :]
    except (ValueError, RuntimeError) as error:
        console.print(f"{url}: {name} of region {region.name} is damaged ({error}) and is predicted anew")
        return np.zeros_like(work.kept)
    # Zarr fills a shard that is missing without an error, and on land no value is the fill value.
    if (published[..., land] == store.fill_of(name)).any():
        return np.zeros_like(work.kept)
    values[..., days, :, :] = published
    return work.kept
