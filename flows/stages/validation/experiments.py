"""Experiments of the validation that need the models: each is many Dask tasks, kept by what they are made from."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.connecting import gpu_resources
from flows.cluster.watching import completed
from flows.stages.train import Group, beside_targets, group_networks, later_days, score_fold, submit_group
from somo.learn.baseline import ridge_predict
from somo.learn.checkpoint import read_ensemble
from somo.learn.fit import predict_blocks
from somo.learn.folds import neighbour_groups
from somo.learn.networks.forward import cascade, load, pick_device
from somo.learn.samples import TrainingSet, Window, read_training_set
from somo.product.declaration import Product
from somo.product.method import Sequence
from somo.storage.objects import exists, join, put, read_bytes
from somo.validate.experiments import (
    Array,
    Predict,
    Samples,
    choose,
    importance_table,
    inputs,
    intact_days,
    memory_table,
    predict_with_history,
    predict_without,
)
from somo.validate.sections.section import Impossible, parquet

MOST_CELLS, MOST_SAMPLES = 60, 1200
SEEDS = (0, 1)
# Share of the learnt days, at their end, on which the temporal split is scored.
LATER_SHARE = 0.3
BATCH = 256
# A function of the arguments that follow it.
ArrayCall = tuple[Callable[..., Array], *tuple[object, ...]]


@dataclass(frozen=True)
class Learnt:
    """What was learnt, and from what.

    Attributes
    ----------
    models : URL of the ensemble
    samples : URL of the training set
    """

    models: str
    samples: str

    def url(self, *name: str) -> str:
        """Where the result of an experiment is kept."""
        return join(self.models, "experiments", *name)


def memory(learnt: Learnt, client: Client) -> pd.DataFrame:
    """Skill by the number of days of forcing left intact; one task a number of days."""
    samples = samples_of(learnt)
    days = intact_days(len(samples.x_d))
    urls = {n: learnt.url("memory", f"{n}.npy") for n in days}
    tasks: dict[str, ArrayCall] = {url: (_shuffled, learnt, n) for n, url in urls.items()}
    _run_missing(tasks, "memory of the soil", client)
    return memory_table(samples, {n: _read_array(url) for n, url in urls.items()})


def importance(learnt: Learnt, client: Client) -> pd.DataFrame:
    """Skill lost with each input; one task an input and seed."""
    samples = samples_of(learnt)
    intact_url = learnt.url("memory", f"{len(samples.x_d)}.npy")
    urls = {(name, seed): learnt.url("importance", f"{name}.{seed}.npy") for name in inputs(samples) for seed in SEEDS}
    tasks: dict[str, ArrayCall] = {url: (_exchanged, learnt, *key) for key, url in urls.items()}
    tasks[intact_url] = (_shuffled, learnt, len(samples.x_d))
    _run_missing(tasks, "importance of inputs", client)
    return importance_table(samples, _read_array(intact_url), {key: _read_array(url) for key, url in urls.items()})


def transfer(product: Product, learnt: Learnt, client: Client) -> tuple[pd.DataFrame, str]:
    """Predictions in a region that was not learnt from, and a sentence that names the region.

    A product that learns from further domains is learnt from those alone and judged at home; else the western half of
    its cells is learnt from and the eastern half is judged.
    """
    data = read_training_set(learnt.samples)
    judged, description = judged_region(product, data)
    folds = np.where(judged, 0, 1)
    url = learnt.url("transfer.parquet")
    if not exists(url):
        require_sides(product, data, ~judged[None, :], judged[None, :], description)
        # 1000 and 2000 (in `later`) lie far from the numbers of folds and ensemble, so that no seed is used twice.
        group = Group(learnt.url("transfer"), 0, 1000, product.training.fold_members)
        _train(product, learnt, folds, group, client)
        resources = gpu_resources(client)
        table = client.submit(score_fold, product, learnt.samples, folds, group, pure=False, resources=resources)
        put(url, parquet(table.result()))
    return pd.read_parquet(io.BytesIO(read_bytes(url))), description


def judged_region(product: Product, data: TrainingSet) -> tuple[NDArray[np.bool_], str]:
    """[cell] True where the transfer is judged, and a sentence that names both sides."""
    at_home = np.array([d == product.home for d in data.domain])
    if at_home.any() and not at_home.all():
        return at_home, f"learnt from {' and '.join(f'“{name}”' for name in product.domains)} alone, judged at home"
    middle, apart_km = float(np.median(data.lon)), product.training.fold_distance_km
    # Neighbours on both sides of the meridian would be no other region; a group of them lies where its centre is.
    group = neighbour_groups(data.lat, data.lon, apart_km)
    centre = np.bincount(group, data.lon) / np.bincount(group)
    near = f", neighbours closer than {apart_km:g} km on one side" if apart_km else ""
    return centre[group] > middle, f"learnt west of {middle:.1f}°, judged east of it{near}"


def require_sides(
    product: Product, data: TrainingSet, learnt: NDArray[np.bool_], judged: NDArray[np.bool_], description: str
) -> None:
    """Require targets of every layer on the side that is learnt from, and of some layer on the other.

    Only days that can be predicted count.

    Parameters
    ----------
    learnt, judged : [day, cell] the two sides, or what can be broadcast to it

    Raises
    ------
    Impossible
        naming the layer and the side
    """
    has_target = np.isfinite(data.y.numpy())
    has_target[:, : Window.of(product.sequence, data.n_days).first] = False
    for k, layer in enumerate(data.layers):
        if not (has_target[k] & learnt).any():
            raise Impossible(f"{description}: the side to learn from has no target of {layer}")
    if not (has_target & judged).any():
        raise Impossible(f"{description}: the side to judge has no target")


def _train(product: Product, learnt: Learnt, folds: NDArray[np.int64], group: Group, client: Client) -> None:
    """Train the networks of a group that do not exist yet."""
    for _ in completed(list(submit_group(product, learnt.samples, folds, group, client)), "train for an experiment"):
        pass


def later(product: Product, learnt: Learnt, client: Client) -> pd.DataFrame:
    """Predictions for the last days, learnt from the days before them at the same cells."""
    url = learnt.url("later.parquet")
    if not exists(url):
        data = read_training_set(learnt.samples)
        judged = later_days(product, data, LATER_SHARE)[:, None]
        require_sides(product, data, ~judged, judged, f"learnt from all but the last {LATER_SHARE:.0%} of the days")
        group = Group(learnt.url("later"), None, 2000, product.training.fold_members, later_share=LATER_SHARE)
        _train(product, learnt, np.zeros(len(data.cell), np.int64), group, client)
        resources = gpu_resources(client)
        table = client.submit(score_later, product, learnt.samples, group, pure=False, resources=resources)
        put(url, parquet(table.result()))
    return pd.read_parquet(io.BytesIO(read_bytes(url)))


def score_later(product: Product, samples: str, group: Group) -> pd.DataFrame:
    """Targets on the later days beside the predictions of networks and of a ridge regression on earlier days."""
    data = read_training_set(samples)
    networks = group_networks(data, group)
    cells = np.arange(len(data.cell))
    first = Window.of(product.sequence, data.n_days).first
    y_hat = predict_blocks(networks, data, cells, product.sequence, first).numpy()
    judged = torch.as_tensor(later_days(product, data, group.later_share))[None, :, None]
    earlier = replace(data, y=torch.where(judged, torch.nan, data.y))
    late = replace(data, y=torch.where(judged, data.y, torch.nan))
    tables = []
    for k, layer in enumerate(data.layers):
        ridge = ridge_predict(earlier, layer, np.flatnonzero(earlier.cells_with(layer)), cells, first)
        tables.append(beside_targets(late, layer, cells, y_hat[k], ridge))
    return pd.concat(tables, ignore_index=True).assign(fold=0)


def predictor(models: str) -> Predict:
    """The ensemble as a function of forcing and static features."""
    # Workers are one process a core: more threads would compete with the tasks beside this one.
    torch.set_num_threads(1)
    device = pick_device()
    layers = [[load(member, device) for member in members] for members in read_ensemble(models).layers.values()]

    def predict(x_d: Array, x_s: Array) -> Array:
        predictions = []
        for start in range(0, x_d.shape[1], BATCH):
            cells = slice(start, start + BATCH)
            y = cascade(layers, torch.from_numpy(np.ascontiguousarray(x_d[:, cells])), torch.from_numpy(x_s[cells]))
            predictions.append(np.stack([members[:, -1].cpu().numpy() for members in y]))
        return np.concatenate(predictions, axis=-1)

    return predict


def samples_of(learnt: Learnt) -> Samples:
    """The days of the training set that the experiments look at."""
    data, sequence = _data_of(learnt)
    y = data.y.numpy()
    day, cell = _chosen(data, sequence)
    steps = day - sequence.spinup_days + np.arange(sequence.lookback)[:, None]
    x_d, x_s = data.x_d.numpy()[steps, cell], data.x_s.numpy()[cell]
    return Samples(data.layers, data.dynamic, data.static, x_d, x_s, y[:, day, cell], cell)


def sampled_period(learnt: Learnt) -> str:
    """First and last day that the experiments look at, for captions."""
    data, sequence = _data_of(learnt)
    day, _ = _chosen(data, sequence)
    first, last = data.first_day + np.array([day.min(), day.max()], "timedelta64[D]")
    return f"{first} to {last}"


def _data_of(learnt: Learnt) -> tuple[TrainingSet, Sequence]:
    networks = next(iter(read_ensemble(learnt.models).layers.values()))
    return read_training_set(learnt.samples), networks[0].sequence


def _chosen(data: TrainingSet, sequence: Sequence) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Day and cell [sample] of the samples."""
    usable = np.isfinite(data.y.numpy()).any(0)
    usable[: sequence.spinup_days] = False
    if not usable.any():
        raise Impossible(
            f"no measured day has the {sequence.lookback} days of forcing before it that the networks need"
        )
    day, cell = choose(usable, MOST_CELLS, MOST_SAMPLES, seed=0).T
    return day, cell


def _shuffled(learnt: Learnt, intact: int) -> Array:
    return predict_with_history(samples_of(learnt), predictor(learnt.models), intact, seed=0)


def _exchanged(learnt: Learnt, name: str, seed: int) -> Array:
    return predict_without(samples_of(learnt), predictor(learnt.models), name, seed)


def _run_missing(tasks: Mapping[str, ArrayCall], description: str, client: Client) -> None:
    """Compute the arrays that do not exist yet, one task each; every one is kept as it arrives."""
    futures = [
        client.submit(_keep, url, call, *arguments, pure=False, resources=gpu_resources(client))
        for url, (call, *arguments) in tasks.items()
        if not exists(url)
    ]
    for _ in completed(futures, description):
        pass


def _keep(url: str, call: Callable[..., Array], *arguments: object) -> None:
    buffer = io.BytesIO()
    np.save(buffer, call(*arguments), allow_pickle=False)
    put(url, buffer.getvalue())


def _read_array(url: str) -> Array:
    array: Array = np.load(io.BytesIO(read_bytes(url)), allow_pickle=False)
    return array
