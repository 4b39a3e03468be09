"""Experiments of the validation that need the models: each is many Dask tasks, kept by what they are made from."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from distributed import Client, Future
from numpy.typing import NDArray

from flows.runtime import completed, gpu_resources
from flows.train import Group, load_layers, member_of, score_fold, train_network
from somo.core.product import Product
from somo.core.storage import exists, join, put, read_bytes
from somo.learn.baseline import ridge_predict
from somo.learn.checkpoint import member_stem, read_ensemble, write_checkpoint
from somo.learn.ealstm import cascade, load, pick_device
from somo.learn.fit import Run, fit, predict_blocks
from somo.learn.folds import hold_back, temporal_split
from somo.learn.samples import TrainingSet, Window, read_training_set
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
from somo.validate.section import parquet

MOST_CELLS, MOST_SAMPLES = 60, 1200
SEEDS = (0, 1)
LATER_SHARE = 0.3
"""Share of the learnt days, at their end, on which the temporal split is scored."""
BATCH = 256


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
    samples = _samples(learnt)
    days = intact_days(len(samples.x_d))
    urls = {n: learnt.url("memory", f"{n}.npy") for n in days}
    tasks = {url: (_shuffled, learnt, n) for n, url in urls.items()}
    _run_missing(tasks, "memory of the soil", client)
    return memory_table(samples, {n: _read_array(url) for n, url in urls.items()})


def importance(learnt: Learnt, client: Client) -> pd.DataFrame:
    """Skill lost with each input; one task an input and seed."""
    samples = _samples(learnt)
    whole = learnt.url("memory", f"{len(samples.x_d)}.npy")
    urls = {(name, seed): learnt.url("importance", f"{name}.{seed}.npy") for name in inputs(samples) for seed in SEEDS}
    tasks: dict[str, tuple] = {url: (_exchanged, learnt, *key) for key, url in urls.items()}
    tasks[whole] = (_shuffled, learnt, len(samples.x_d))
    _run_missing(tasks, "importance of inputs", client)
    return importance_table(samples, _read_array(whole), {key: _read_array(url) for key, url in urls.items()})


def transfer(product: Product, learnt: Learnt, client: Client) -> tuple[pd.DataFrame, str]:
    """Predictions in a region that was not learnt from, and in words which.

    A product that learns from further domains is learnt from those alone and judged at home; else the western half of
    its cells is learnt from and the eastern half is judged.
    """
    data = read_training_set(learnt.samples)
    at_home = np.array([d == product.home for d in data.domain])
    if at_home.any() and not at_home.all():
        judged, told = at_home, f"learnt from {', '.join(product.domains)} alone, judged at home"
    else:
        middle = float(np.median(data.lon))
        judged, told = data.lon > middle, f"learnt west of {middle:.1f}°, judged east of it"
    folds = np.where(judged, 0, 1)
    url = learnt.url("transfer.parquet")
    if not exists(url):
        group = Group(learnt.url("transfer"), 0, 1000, product.training.fold_members)
        _train_group(product, learnt, folds, group, client)
        resources = gpu_resources(client)
        table = client.submit(score_fold, product, learnt.samples, folds, group, pure=False, resources=resources)
        put(url, parquet(table.result()))
    return pd.read_parquet(io.BytesIO(read_bytes(url))), told


def _train_group(product: Product, learnt: Learnt, folds: NDArray[np.int64], group: Group, client: Client) -> None:
    above: list[Future] = []
    for layer in product.layers:
        above += [
            client.submit(
                train_network, product, learnt.samples, folds, group, layer.name, member, list(above),
                pure=False, resources=gpu_resources(client),
            )
            for member in range(group.members)
        ]  # fmt: skip
    for _ in completed(above, "train for transfer"):
        pass


def later(product: Product, learnt: Learnt, client: Client) -> pd.DataFrame:
    """Predictions for the last days, learnt from the days before them at the same cells."""
    url = learnt.url("later.parquet")
    if not exists(url):
        above: list[Future] = []
        for layer in product.layers:
            above += [
                client.submit(
                    train_earlier, product, learnt, layer.name, member, list(above),
                    pure=False, resources=gpu_resources(client),
                )
                for member in range(product.training.fold_members)
            ]  # fmt: skip
        for _ in completed(above, "train on earlier days"):
            pass
        resources = gpu_resources(client)
        stems = client.gather(above)
        table = client.submit(score_later, product, learnt, stems, pure=False, resources=resources)
        put(url, parquet(table.result()))
    return pd.read_parquet(io.BytesIO(read_bytes(url)))


def train_earlier(product: Product, learnt: Learnt, layer: str, member: int, above: list[str]) -> str:
    """Train one network on the earlier days of all cells unless its checkpoint exists; returns its stem."""
    stem = member_stem(learnt.url("later"), layer, member)
    if exists(f"{stem}.json"):
        return stem
    torch.set_num_threads(1)
    device, training = pick_device(), product.training
    data = read_training_set(learnt.samples)
    cells = np.flatnonzero(data.cells_with(layer))
    seed = training.seed * 10_007 + 2000 * 101 + member
    held = hold_back(data.lat[cells], data.lon[cells], training.held_back, training.fold_distance_km, seed)
    upper = load_layers([name for name in data.layers if member_of(above, name)], above, device)
    days = ~later_days(product, data)
    run = Run(layer, member, seed, cells[~held], cells[held], days=days, upper=upper)
    checkpoint = fit(
        data, run, product.network, product.sequence, training, device,
        resume=f"{stem}.progress", provenance={"samples": learnt.samples, "earlier": True},
    )  # fmt: skip
    write_checkpoint(stem, checkpoint)
    return stem


def later_days(product: Product, data: TrainingSet) -> NDArray[np.bool_]:
    """[day] True on the days that the temporal split is scored on."""
    return temporal_split(data.n_days, Window.of(product.sequence, data.n_days).first, LATER_SHARE)


def score_later(product: Product, learnt: Learnt, stems: list[str]) -> pd.DataFrame:
    """Targets on the later days beside the predictions of networks and of a ridge regression on earlier days."""
    torch.set_num_threads(1)
    data = read_training_set(learnt.samples)
    networks = load_layers(list(data.layers), stems, pick_device())
    cells = np.arange(len(data.cell))
    first = Window.of(product.sequence, data.n_days).first
    y_hat = predict_blocks(list(networks.values()), data, cells, product.sequence, first).numpy()
    judged = later_days(product, data)
    earlier = _with_targets(data, ~judged)
    tables = []
    for k, layer in enumerate(data.layers):
        ridge = ridge_predict(earlier, layer, np.flatnonzero(earlier.cells_with(layer)), cells, first)
        y = np.where(judged[:, None], data.y[k].numpy(), np.nan)
        day, cell = np.nonzero(np.isfinite(y) & np.isfinite(y_hat[k]))
        known = {"domain": np.array(data.domain, object)[cell], "cell": data.cell[cell], "layer": layer}
        time = (data.first_day + day).astype("datetime64[ns]")
        found = {"y": y[day, cell], "y_hat": y_hat[k, day, cell], "y_ridge": ridge[day, cell], "fold": 0}
        tables.append(pd.DataFrame({**known, "time": time, **found}))
    return pd.concat(tables, ignore_index=True)


def _with_targets(data: TrainingSet, days: NDArray[np.bool_]) -> TrainingSet:
    """The training set with the targets of some days only."""
    values = {name: getattr(data, name) for name in data.__dataclass_fields__}
    values["y"] = torch.where(torch.as_tensor(days)[None, :, None], data.y, torch.nan)
    return TrainingSet(**values)


def predictor(models: str) -> Predict:
    """The ensemble as a function of forcing and static features."""
    torch.set_num_threads(1)
    device = pick_device()
    layers = [[load(member, device) for member in members] for members in read_ensemble(models).layers.values()]

    def predict(x_d: Array, x_s: Array) -> Array:
        parts = []
        for start in range(0, x_d.shape[1], BATCH):
            part = slice(start, start + BATCH)
            y = cascade(layers, torch.from_numpy(np.ascontiguousarray(x_d[:, part])), torch.from_numpy(x_s[part]))
            parts.append(np.stack([members[:, -1].cpu().numpy() for members in y]))
        return np.concatenate(parts, axis=-1)

    return predict


def _samples(learnt: Learnt) -> Samples:
    """The days of the training set that the experiments look at."""
    data = read_training_set(learnt.samples)
    sequence = next(iter(read_ensemble(learnt.models).layers.values()))[0].sequence
    y = data.y.numpy()
    known = np.isfinite(y).any(0)
    known[: sequence.spinup_days] = False
    day, cell = choose(known, MOST_CELLS, MOST_SAMPLES, seed=0).T
    steps = day - sequence.spinup_days + np.arange(sequence.lookback)[:, None]
    x_d, x_s = data.x_d.numpy()[steps, cell], data.x_s.numpy()[cell]
    return Samples(data.layers, data.dynamic, data.static, x_d, x_s, y[:, day, cell], cell)


def _shuffled(learnt: Learnt, intact: int) -> Array:
    return predict_with_history(_samples(learnt), predictor(learnt.models), intact, seed=0)


def _exchanged(learnt: Learnt, name: str, seed: int) -> Array:
    return predict_without(_samples(learnt), predictor(learnt.models), name, seed)


def _run_missing(tasks: Mapping[str, Sequence], description: str, client: Client) -> None:
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
    return np.load(io.BytesIO(read_bytes(url)), allow_pickle=False)
