"""The train stage: cross-validation over spatial folds, then the ensemble; every network is one Dask task."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from distributed import Client, Future
from numpy.typing import NDArray

from flows.cluster.connecting import gpu_resources
from flows.cluster.watching import completed
from flows.console import console
from flows.results import models_url
from flows.stages.learning.applicability import write_applicability
from flows.stages.learning.calibration import calibrate
from flows.stages.learning.samples import prepare
from somo.forcing.dataset import Inputs
from somo.learn.baseline import ridge_predict
from somo.learn.checkpoint import read_checkpoint, write_checkpoint, write_ensemble
from somo.learn.fit import Run, fit, members_spread, predict_blocks
from somo.learn.folds import hold_back, require_outside, spatial_folds, temporal_split
from somo.learn.importance import permutation_importance
from somo.learn.networks.forward import Forward, load, pick_device
from somo.learn.samples import TrainingSet, Window, read_training_set
from somo.learn.trained import ENSEMBLE, member_stem
from somo.learn.uncertainty import UNCERTAINTY, write_uncertainties
from somo.product.declaration import Product
from somo.storage.objects import exists, join, put, read_bytes
from somo.validate.matching import layer_skill

CROSSVAL = "crossval.parquet"
IMPORTANCE = "importance.json"
IMPORTANCE_DAYS = 730


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
    futures = [f for group in groups for f in submit_group(product, samples, folds, group, client)]
    for _ in completed(futures, "train networks"):
        pass
    importance = cross_validate(product, samples, folds, groups[:-1], url, client)
    write_calibration(product, url, data, folds, importance)
    write_applicability(product, url, data, folds, importance.mean(0), inputs)
    layers = tuple(layer.name for layer in product.layers)
    # Last of all: its file says that everything beside it is there.
    write_ensemble(url, layers, product.training.members, {"samples": samples, "targets": targets})
    return url


@dataclass(frozen=True)
class Group:
    """Networks that are trained on the same cells.

    Attributes
    ----------
    url : folder of their checkpoints
    fold : fold that is left out; None for the final ensemble
    number : distinguishes the seeds of groups
    members : networks per layer
    later_share : share of the days, at their end, whose targets are left out
    """

    url: str
    fold: int | None
    number: int
    members: int
    later_share: float = 0.0


def submit_group(
    product: Product, samples: str, folds: NDArray[np.int64], group: Group, client: Client
) -> Iterator[Future[str]]:
    """One task a network; a deeper layer's tasks wait for the layers above, whose prediction they take as input."""
    above: list[Future[str]] = []
    for depth, layer in enumerate(product.layers):
        tasks_of_layer = [
            client.submit(
                train_network, product, samples, folds, group, layer.name, member, list(above),
                # Upper layers go first, since those below them wait for their predictions.
                pure=False, priority=-depth, resources=gpu_resources(client),
            )
            for member in range(group.members)
        ]  # fmt: skip
        yield from tasks_of_layer
        above += tasks_of_layer


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
    # Workers are one process a core: more threads would compete with the networks beside this one.
    torch.set_num_threads(1)
    device = pick_device()
    data = read_training_set(samples)
    # No two networks of a product share a seed, as long as a group has at most 101 members.
    seed = product.training.seed * 10_007 + group.number * 101 + member
    cells, held = split_cells(product, data, folds, group.fold, layer, seed)
    upper = load_layers([name for name in data.layers if member_of(above, name)], above, device)
    days = ~later_days(product, data, group.later_share)
    run = Run(layer, member, seed, cells, held, days, upper)
    provenance = {"samples": samples, "fold": group.fold, "later_share": group.later_share}
    checkpoint = fit(
        data, run, product.network, product.sequence, product.training, device,
        resume=f"{stem}.progress", provenance=provenance,
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


def later_days(product: Product, data: TrainingSet, share: float) -> NDArray[np.bool_]:
    """[day] True on the last `share` of the days that can be predicted."""
    return temporal_split(data.n_days, Window.of(product.sequence, data.n_days).first, share)


def folds_of(product: Product, data: TrainingSet) -> NDArray[np.int64]:
    """Fold of every training cell, the same for all layers."""
    training = product.training
    folds = spatial_folds(data.lat, data.lon, training.folds, training.fold_distance_km, training.seed)
    for layer in data.layers:
        require_outside(layer, folds[data.cells_with(layer)], training.fold_distance_km)
    return folds


def cross_validate(
    product: Product, samples: str, folds: NDArray[np.int64], groups: list[Group], url: str, client: Client
) -> NDArray[np.float64]:
    """Write the table of predictions at cells that their networks have not seen.

    Returns
    -------
    [fold, layer, feature] importance of the forcing variables and static features by every fold's networks
    """
    resources = gpu_resources(client)
    futures = [
        client.submit(judge_fold, product, samples, folds, g, pure=False, resources=resources)
        for g in groups
        if not exists(join(g.url, IMPORTANCE))
    ]
    for _ in completed(futures, "predict held-back cells"):
        pass
    if not exists(join(url, CROSSVAL)):
        table = pd.concat([_read_table(join(g.url, CROSSVAL)) for g in groups], ignore_index=True)
        put(join(url, CROSSVAL), _parquet(table))
        network, ridge = (layer_skill(table, column)["pearson_r"] for column in ("y_hat", "y_ridge"))
        for layer in network.index:
            console.print(f"{layer}: median r {network[layer]:.3f}, ridge {ridge[layer]:.3f}")
    return np.stack([json.loads(read_bytes(join(g.url, IMPORTANCE))) for g in groups])


def write_calibration(
    product: Product, url: str, data: TrainingSet, folds: NDArray[np.int64], importance: NDArray[np.float64]
) -> None:
    """Learn the uncertainty from the table of out-of-fold predictions unless that was done, and add it to the table.

    Parameters
    ----------
    importance : [fold, layer, feature] as `cross_validate` returns it
    """
    if exists(join(url, UNCERTAINTY)):
        return
    table, uncertainties = calibrate(product, data, folds, importance, _read_table(join(url, CROSSVAL)))
    put(join(url, CROSSVAL), _parquet(table))
    write_uncertainties(join(url, UNCERTAINTY), uncertainties)


def judge_fold(product: Product, samples: str, folds: NDArray[np.int64], group: Group) -> None:
    """Write a fold's table of out-of-fold predictions and its networks' importance of features, which comes last."""
    put(join(group.url, CROSSVAL), _parquet(score_fold(product, samples, folds, group)))
    data, networks, test, first = _left_out(product, samples, folds, group)
    latest = max(first, data.n_days - IMPORTANCE_DAYS)
    learnt = np.flatnonzero(folds != group.fold)
    importance = permutation_importance(networks, data, test, learnt, product.sequence, latest)
    put(join(group.url, IMPORTANCE), json.dumps(importance.tolist()).encode())


def score_fold(
    product: Product, samples: str, folds: NDArray[np.int64], group: Group, earliest: int = 0
) -> pd.DataFrame:
    """Targets beside out-of-fold predictions of network and ridge regression, one row a cell, layer and day.

    The spread of the fold's members stands beside them where it has several. Days of the forcing before `earliest` are
    left out.
    """
    data, networks, test, first = _left_out(product, samples, folds, group)
    first = max(first, earliest)
    y_hat = predict_blocks(networks, data, test, product.sequence, first).numpy()
    spread = np.full_like(y_hat, np.nan)
    if group.members > 1:
        spread = predict_blocks(networks, data, test, product.sequence, first, members_spread).numpy()
    tables = []
    for i, layer in enumerate(data.layers):
        train_cells = np.flatnonzero(data.cells_with(layer) & (folds != group.fold))
        ridge = ridge_predict(data, layer, train_cells, test, first)
        tables.append(beside_targets(data, layer, test, y_hat[i], ridge, spread[i]))
    return pd.concat(tables, ignore_index=True).assign(fold=group.fold)


def _left_out(
    product: Product, samples: str, folds: NDArray[np.int64], group: Group
) -> tuple[TrainingSet, list[list[Forward]], NDArray[np.int64], int]:
    """The samples, a fold's networks, the cells they have not seen and the first day they can be judged on."""
    data = read_training_set(samples)
    return data, group_networks(data, group), np.flatnonzero(folds == group.fold), first_block(product, data)


def group_networks(data: TrainingSet, group: Group) -> list[list[Forward]]:
    """The trained networks of a group by layer, ready to run in a worker."""
    torch.set_num_threads(1)
    stems = [member_stem(group.url, layer, k) for layer in data.layers for k in range(group.members)]
    return list(load_layers(list(data.layers), stems, pick_device()).values())


def first_block(product: Product, data: TrainingSet) -> int:
    """Index of the first day that can be judged, such that blocks from there on meet those of the product."""
    begin = int((np.datetime64(product.period.start) - data.first_day).astype(int))
    spinup, n = product.sequence.spinup_days, product.sequence.predict_last_n
    return spinup + (begin - spinup) % n


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _read_table(url: str) -> pd.DataFrame:
    return pd.read_parquet(io.BytesIO(read_bytes(url)))


def beside_targets(
    data: TrainingSet,
    layer: str,
    test: NDArray[np.int64],
    y_hat: NDArray[np.float32],
    ridge: NDArray[np.float64],
    spread: NDArray[np.float32] | None = None,
) -> pd.DataFrame:
    """One row a target of some cells that has a prediction: domain, cell, layer, time, y, y_hat, y_ridge, spread.

    Parameters
    ----------
    test : indices of the cells
    y_hat, ridge : [day, test] predictions of the networks and of the baseline
    spread : [day, test] standard deviation over the members; None where it is not wanted
    """
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
            "spread": np.float32("nan") if spread is None else spread[day, cell],
        }
    )
