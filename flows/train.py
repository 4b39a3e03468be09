"""The train stage: cross-validation over spatial folds, then the ensemble; every network is one Dask task."""

import datetime as dt
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import xarray as xr
from distributed import Client, Future
from numpy.typing import NDArray

from flows.runtime import completed, console, gpu_resources
from somo.core.product import Product, content_hash
from somo.core.storage import exists, join, put, read_bytes
from somo.forcing.dataset import Inputs, open_forcing, open_grid
from somo.forcing.static import climate_period, open_static
from somo.learn.baseline import ridge_predict
from somo.learn.checkpoint import ENSEMBLE, member_stem, read_checkpoint, write_checkpoint, write_ensemble
from somo.learn.ealstm import Forward, load, pick_device
from somo.learn.fit import Run, fit, predict_blocks
from somo.learn.folds import hold_back, spatial_folds
from somo.learn.samples import TrainingSet, read_training_set, require_complete, write_training_set

FORMAT = 1
BLOCK_DAYS = 366
CROSSVAL = "crossval.parquet"


def train(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str, client: Client) -> str:
    """Cross-validate and train the ensemble unless it exists; returns the URL of `models/<hash>`.

    Networks that an earlier run finished are kept, and one that it left behind goes on from its last epoch.
    """
    samples = prepare(product, root, inputs, targets, client)
    url = models_url(product, root, inputs, targets)
    if exists(join(url, ENSEMBLE)):
        return url
    data = read_training_set(samples)
    folds = folds_of(product, data)
    groups = [Group(join(url, "folds", str(k)), k, k, product.training.fold_members) for k in range(folds.max() + 1)]
    groups.append(Group(url, None, len(groups), product.training.members))
    futures = [f for group in groups for f in _submit(product, samples, folds, group, client)]
    for _ in completed(futures, "train networks"):
        pass
    _cross_validate(product, samples, folds, groups[:-1], url, client)
    layers = tuple(layer.name for layer in product.layers)
    write_ensemble(url, layers, product.training.members, {"samples": samples, "targets": targets})
    return url


def models_url(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str) -> str:
    """Where the networks learnt from these inputs and targets with these settings are kept."""
    samples = samples_url(product, root, inputs, targets)
    settings = (product.network, product.sequence, product.training, product.period.start)
    return join(root, "models", content_hash(FORMAT, samples.rsplit("/", 1)[-1], *settings))


@dataclass(frozen=True)
class Group:
    """Networks that are trained on the same cells.

    Attributes
    ----------
    url : folder of their checkpoints
    fold : fold that is left out; None for the final ensemble
    number : distinguishes the seeds of groups
    members : networks per layer
    """

    url: str
    fold: int | None
    number: int
    members: int


def _submit(product: Product, samples: str, folds: NDArray[np.int64], group: Group, client: Client) -> Iterator[Future]:
    """One task a network; a deeper layer's tasks wait for the layers above, whose prediction they take as input."""
    above: list[Future] = []
    for depth, layer in enumerate(product.layers):
        here = [
            client.submit(
                train_network, product, samples, folds, group, layer.name, member, list(above),
                pure=False, priority=-depth, resources=gpu_resources(client),
            )
            for member in range(group.members)
        ]  # fmt: skip
        yield from here
        above += here


def train_network(
    product: Product,
    samples: str,
    folds: NDArray[np.int64],
    group: Group,
    layer: str,
    member: int,
    above: list[str],
) -> str:
    """Train one network unless its checkpoint exists; returns the checkpoint's stem.

    `above` are the stems of the upper layers' networks, which exist when this runs.
    """
    stem = member_stem(group.url, layer, member)
    if exists(f"{stem}.json"):
        return stem
    torch.set_num_threads(1)
    device = pick_device()
    data = read_training_set(samples)
    seed = product.training.seed * 10_007 + group.number * 101 + member
    cells, held = split_cells(product, data, folds, group.fold, layer, seed)
    upper = load_layers([name for name in data.layers if member_of(above, name)], above, device)
    run = Run(layer, member, seed, cells, held, upper=upper)
    checkpoint = fit(
        data, run, product.network, product.sequence, product.training, device,
        resume=f"{stem}.progress", provenance={"samples": samples, "fold": group.fold},
    )  # fmt: skip
    write_checkpoint(stem, checkpoint)
    return stem


def member_of(stems: list[str], layer: str) -> list[str]:
    """The stems that belong to a layer."""
    return [stem for stem in stems if stem.rsplit("/", 2)[-2] == layer]


def load_layers(layers: list[str], stems: list[str], device: torch.device) -> dict[str, list[Forward]]:
    """Networks of some layers, ready to run."""
    return {layer: [load(read_checkpoint(stem), device) for stem in member_of(stems, layer)] for layer in layers}


def split_cells(
    product: Product, data: TrainingSet, folds: NDArray[np.int64], fold: int | None, layer: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the cells to fit a layer on and of those that stop the training, none of them in the fold left out."""
    inside = np.flatnonzero(data.cells_with(layer) & (folds != (-1 if fold is None else fold)))
    training = product.training
    held = hold_back(data.lat[inside], data.lon[inside], training.held_back, training.fold_distance_km, seed)
    return inside[~held], inside[held]


def folds_of(product: Product, data: TrainingSet) -> NDArray[np.int64]:
    """Fold of every training cell, the same for all layers."""
    training = product.training
    return spatial_folds(data.lat, data.lon, training.folds, training.fold_distance_km, training.seed)


def _cross_validate(
    product: Product, samples: str, folds: NDArray[np.int64], groups: list[Group], url: str, client: Client
) -> None:
    """Write the table of predictions at cells that their networks have not seen."""
    if exists(join(url, CROSSVAL)):
        return
    futures = [
        client.submit(score_fold, product, samples, folds, g, pure=False, resources=gpu_resources(client))
        for g in groups
    ]
    for _ in completed(futures, "predict held-back cells"):
        pass
    table = pd.concat(client.gather(futures), ignore_index=True)
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    put(join(url, CROSSVAL), buffer.getvalue())
    for layer, part in table.groupby("layer", sort=False):
        console.print(f"{layer}: median r {_median_r(part, 'y_hat'):.3f}, ridge {_median_r(part, 'y_ridge'):.3f}")


def _median_r(table: pd.DataFrame, column: str) -> float:
    by_cell = table.groupby(["domain", "cell"])[["y", column]]
    return float(np.nanmedian([part["y"].corr(part[column]) for _, part in by_cell if len(part) > 2] or [np.nan]))


def score_fold(product: Product, samples: str, folds: NDArray[np.int64], group: Group) -> pd.DataFrame:
    """Targets beside out-of-fold predictions of network and ridge regression, one row a cell, layer and day."""
    torch.set_num_threads(1)
    data = read_training_set(samples)
    test = np.flatnonzero(folds == group.fold)
    stems = [member_stem(group.url, layer, k) for layer in data.layers for k in range(group.members)]
    networks = load_layers(list(data.layers), stems, pick_device())
    first = max(product.sequence.spinup_days, (np.datetime64(product.period.start) - data.first_day).astype(int))
    y_hat = predict_blocks(list(networks.values()), data, test, product.sequence, first).numpy()
    tables = []
    for i, layer in enumerate(data.layers):
        train_cells = np.flatnonzero(data.cells_with(layer) & (folds != group.fold))
        ridge = ridge_predict(data, layer, train_cells, test, first)
        tables.append(_rows(data, layer, test, y_hat[i], ridge))
    return pd.concat(tables, ignore_index=True).assign(fold=group.fold)


def _rows(
    data: TrainingSet, layer: str, test: NDArray[np.int64], y_hat: NDArray[np.float32], ridge: NDArray[np.float64]
) -> pd.DataFrame:
    y = data.y[data.layers.index(layer)][:, test].numpy()
    day, cell = np.nonzero(np.isfinite(y) & np.isfinite(y_hat))
    return pd.DataFrame(
        {
            "domain": np.array(data.domain, object)[test[cell]],
            "cell": data.cell[test[cell]],
            "layer": layer,
            "time": (data.first_day + day).astype("datetime64[ns]"),
            "y": y[day, cell],
            "y_hat": y_hat[day, cell],
            "y_ridge": ridge[day, cell].astype(np.float32),
        }
    )


def prepare(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str, client: Client) -> str:
    """Collect forcing, static features and targets of the training cells in one object; returns its URL."""
    url = samples_url(product, root, inputs, targets)
    if not exists(url):
        data = _collect(product, inputs, pd.read_parquet(io.BytesIO(read_bytes(targets))), client)
        require_complete(data)
        write_training_set(url, data)
    return url


def samples_url(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str) -> str:
    """Where the samples of these inputs and targets are kept."""
    names = {
        d: (i.static.rsplit("/", 1)[-1], sorted(r.rsplit("/", 2)[-2:] for r in i.references.values()))
        for d, i in inputs.items()
    }
    key = content_hash(FORMAT, targets.rsplit("/", 1)[-1], sorted(names.items()), product.inputs, learnt_days(product))
    return join(root, "samples", f"{key}.safetensors")


def learnt_days(product: Product) -> tuple[dt.date, dt.date]:
    """First day of forcing and last day of target that are learnt from."""
    first, last = climate_period(product)
    earliest = product.period.start - dt.timedelta(product.sequence.spinup_days)
    if product.training.period is not None:
        first = first - dt.timedelta(product.sequence.spinup_days)
    return max(first, earliest), last


def _collect(product: Product, inputs: Mapping[str, Inputs], targets: pd.DataFrame, client: Client) -> TrainingSet:
    first, last = learnt_days(product)
    layers = [layer.name for layer in product.layers]
    targets = targets[targets["time"].between(pd.Timestamp(first), pd.Timestamp(last))]
    cells = targets[["domain", "cell"]].drop_duplicates().sort_values(["domain", "cell"], ignore_index=True)
    forcing, static, lat, lon = [], [], [], []
    names: tuple[str, ...] = ()
    for domain, chosen in cells.groupby("domain")["cell"]:
        grid = open_grid(product, str(domain), inputs[str(domain)].references)
        ids = chosen.to_numpy()
        forcing.append(_read_cells(product, str(domain), inputs[str(domain)], ids, client))
        features = open_static(inputs[str(domain)].static)
        names = tuple(features.attrs["features"].split(","))
        static.append(np.stack([features[name].values.ravel()[ids] for name in names], axis=-1))
        lat.append(grid.centres(ids)[0])
        lon.append(grid.centres(ids)[1])
    days = min(len(part) for part in forcing) if forcing else 0
    empty = np.zeros(0)
    return TrainingSet(
        first_day=np.datetime64(first),
        dynamic=product.inputs,
        static=names,
        layers=tuple(layers),
        domain=tuple(cells["domain"]),
        cell=cells["cell"].to_numpy(np.int64, copy=True),
        lat=np.concatenate([*lat, empty]),
        lon=np.concatenate([*lon, empty]),
        x_d=torch.from_numpy(np.concatenate([part[:days] for part in forcing], axis=1))
        if forcing
        else torch.zeros(0, 0, 0),
        x_s=torch.from_numpy(np.concatenate(static).astype(np.float32)) if static else torch.zeros(0, 0),
        y=torch.from_numpy(target_array(targets, cells, layers, np.datetime64(first), days)),
    )


def target_array(
    targets: pd.DataFrame, cells: pd.DataFrame, layers: list[str], first: np.datetime64, days: int
) -> NDArray[np.float32]:
    """[layer, day, cell] of the long table of targets."""
    y = np.full((len(layers), days, len(cells)), np.nan, np.float32)
    row = pd.MultiIndex.from_frame(cells).get_indexer(pd.MultiIndex.from_frame(targets[["domain", "cell"]]))
    layer = pd.Index(layers).get_indexer(pd.Index(targets["layer"]))
    day = (targets["time"].to_numpy().astype("datetime64[D]") - first).astype(int)
    inside = (layer >= 0) & (day >= 0) & (day < days)
    y[layer[inside], day[inside], row[inside]] = targets["value"].to_numpy(np.float32)[inside]
    return y


def _read_cells(
    product: Product, domain: str, inputs: Inputs, cells: NDArray[np.int64], client: Client
) -> NDArray[np.float32]:
    """[day, cell, variable] of a domain's training cells; one task a block of days."""
    first, last = learnt_days(product)
    starts = [first + dt.timedelta(n) for n in range(0, (last - first).days + 1, BLOCK_DAYS)]
    futures = [
        client.submit(
            read_block,
            product,
            domain,
            inputs,
            cells,
            start,
            min(start + dt.timedelta(BLOCK_DAYS - 1), last),
            pure=False,
        )
        for start in starts
    ]
    for _ in completed(futures, f"forcing of training cells in {domain}"):
        pass
    return np.concatenate(client.gather(futures))


def read_block(
    product: Product, domain: str, inputs: Inputs, cells: NDArray[np.int64], first: dt.date, last: dt.date
) -> NDArray[np.float32]:
    """[day, cell, variable] of some cells over some days."""
    ds = open_forcing(product, domain, inputs.references).sel(time=slice(np.datetime64(first), np.datetime64(last)))
    row, column = (xr.DataArray(i, dims="cell") for i in np.divmod(cells, ds.sizes["lon"]))
    chosen = ds[list(product.inputs)].isel(lat=row, lon=column).compute(scheduler="synchronous")
    return np.stack([chosen[name].transpose("time", "cell").values for name in product.inputs], axis=-1)
