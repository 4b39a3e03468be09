"""What `predict_last_n` costs and brings: one day against a whole block per sequence, for the same time of training.

`python -m flows.bench.sequence PRODUCT.toml --root URL --seconds 120` trains the product's first layer with n = 1 and
with n = lookback on the same folds and seeds, one process per core, each network for the same time by the clock, and
prints the skill at left-out cells. It writes `bench/sequence.json`.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from distributed import Client
from numpy.typing import NDArray
from rich.table import Table

from flows.cluster.connecting import cluster
from flows.cluster.watching import completed
from flows.console import output
from flows.environment import load_product
from flows.stages.ingest import ingest
from flows.stages.learning.samples import prepare
from flows.stages.targets import build_targets
from flows.stages.train import folds_of, split_cells
from somo.learn.fit import Run, fit, predict_blocks
from somo.learn.networks.forward import load, pick_device
from somo.learn.samples import TrainingSet, Window, draw, read_training_set
from somo.product.declaration import Product
from somo.product.method import Sequence as SequenceSettings
from somo.product.method import Training

# A short and a long run: what the second takes more is the time of its further steps alone.
PROBE_STEPS = 10, 60


@dataclass(frozen=True)
class Outcome:
    """One network, trained with one `predict_last_n` on all folds but one and judged there.

    Attributes
    ----------
    steps : batches it was trained on in the time given
    train_s, infer_s : seconds of training, and of predicting the left-out cells
    r, ubrmsd : [left-out cell] correlation and unbiased root mean squared difference, m3 m-3
    """

    n: int
    fold: int
    seed: int
    epochs: int
    steps: int
    train_s: float
    infer_s: float
    r: tuple[float, ...]
    ubrmsd: tuple[float, ...]


def main(
    product: Annotated[Path, typer.Argument(metavar="PRODUCT.toml")],
    root: Annotated[str, typer.Option(help="Where results go.")],
    seconds: Annotated[float, typer.Option(help="Training time of one network.")] = 120.0,
    seeds: Annotated[int, typer.Option(help="Networks per fold.")] = 1,
    blocks: Annotated[list[int] | None, typer.Option(help="Days per sequence; default: 1 and the lookback.")] = None,
) -> None:
    """Compare one supervised day per sequence with blocks of days, for equal training time.

    Example: `python -m flows.bench.sequence eu-basins.toml --root ROOT --blocks 365 --blocks 730 --blocks 1095`
    """
    declared = load_product(product)
    with cluster(declared) as client:
        inputs = ingest(declared, root, client)
        samples = prepare(declared, root, inputs, build_targets(declared, root, inputs, client), client)
        outcomes = compare(declared, samples, seconds, seeds, blocks or [1, declared.sequence.lookback], client)
    report = [summary(outcomes, n) for n in sorted({o.n for o in outcomes})]
    Path("bench").mkdir(exist_ok=True)
    result = {"product": declared.name, "seconds": seconds, "summary": report, "runs": [asdict(o) for o in outcomes]}
    Path("bench", "sequence.json").write_text(json.dumps(result, indent=1))
    table = Table(*report[0], title=f"{declared.name}, {declared.layers[0].name}: {seconds:g} s of training a network")
    for row in report:
        table.add_row(*(f"{value:.4g}" for value in row.values()))
    output.print(table)


def compare(
    product: Product, samples: str, seconds: float, seeds: int, blocks: list[int], client: Client
) -> list[Outcome]:
    """Every fold and seed with every number of days per sequence."""
    folds = folds_of(product, read_training_set(samples))
    futures = [
        client.submit(judge, product, samples, folds, fold, seed, n, seconds, pure=False)
        for seed in range(seeds)
        for fold in range(int(folds.max()) + 1)
        for n in blocks
    ]
    return list(completed(futures, "train with few and with many days per sequence"))


def judge(
    product: Product, samples: str, folds: NDArray[np.int64], fold: int, seed: int, n: int, seconds: float
) -> Outcome:
    """Train for a time, then score the fold left out."""
    torch.set_num_threads(1)
    data, layer, device = read_training_set(samples), product.layers[0].name, pick_device()
    sequence = product.sequence.model_copy(update={"predict_last_n": n})
    cells, _ = split_cells(product, data, folds, fold, layer, seed)
    run = Run(layer, 0, seed * 101 + fold, cells)
    training, share = budget(product, data, run, sequence, seconds, device)
    start = time.perf_counter()
    checkpoint = fit(thinned(data, run, sequence, share), run, product.network, sequence, training, device)
    trained = time.perf_counter()
    test = np.flatnonzero((folds == fold) & data.cells_with(layer))
    y_hat = predict_blocks([[load(checkpoint, device)]], data, test, sequence, sequence.spinup_days)[0].numpy()
    infer_s = time.perf_counter() - trained
    y = data.y[data.layers.index(layer)][:, test].numpy()
    scores = [_score(y[:, i], y_hat[:, i]) for i in range(len(test))]
    r, ubrmsd = (tuple(float(s[k]) for s in scores) for k in (0, 1))
    steps = training.epochs * _steps(thinned(data, run, sequence, share), run, sequence, training.batch_size)
    return Outcome(n, fold, seed, training.epochs, steps, trained - start, infer_s, r, ubrmsd)


def budget(
    product: Product, data: TrainingSet, run: Run, sequence: SequenceSettings, seconds: float, device: torch.device
) -> tuple[Training, float]:
    """Epochs that fit into the time, and the share of targets an epoch looks at if not even one epoch fits.

    The time of a step is what a longer run takes more than a shorter one, after one that warms up.
    """
    training = product.training.model_copy(update={"held_back": 0.0, "epochs": 1})
    steps_per_epoch = _steps(data, run, sequence, training.batch_size)

    def taken(steps: int) -> tuple[int, float]:
        probe = thinned(data, run, sequence, min(1.0, steps / steps_per_epoch))
        several = training.model_copy(update={"epochs": max(1, round(steps / steps_per_epoch))})
        start = time.perf_counter()
        fit(probe, run, product.network, sequence, several, device)
        return several.epochs * _steps(probe, run, sequence, training.batch_size), time.perf_counter() - start

    taken(PROBE_STEPS[0])
    (few, short), (many, long) = (taken(steps) for steps in PROBE_STEPS)
    per_step = max(long - short, 1e-6) / max(many - few, 1)
    steps = max(1, int((seconds - short) / per_step) + few)
    epochs = max(1, round(steps / steps_per_epoch))
    return training.model_copy(update={"epochs": epochs}), min(1.0, steps / steps_per_epoch)


def thinned(data: TrainingSet, run: Run, sequence: SequenceSettings, share: float) -> TrainingSet:
    """The training set with a share of its targets, where one sequence supervises one day; else all of it."""
    # A sequence that supervises one day vanishes with its target; a longer one would be run all the same.
    if share == 1.0 or sequence.predict_last_n > 1:
        return data
    drawn = torch.rand(data.y.shape, generator=torch.Generator().manual_seed(run.seed)) < share
    values = {name: getattr(data, name) for name in data.__dataclass_fields__}
    return TrainingSet(**{**values, "y": torch.where(drawn, data.y, torch.nan)})


def _steps(data: TrainingSet, run: Run, sequence: SequenceSettings, batch_size: int) -> int:
    """Batches of one epoch."""
    window = Window.of(sequence, data.n_days)
    y = data.y[data.layers.index(run.layer)]
    pairs = draw(y, torch.as_tensor(run.cells), window, torch.Generator().manual_seed(0))
    return max(1, -(-len(pairs) // batch_size))


def _score(y: NDArray[np.float32], y_hat: NDArray[np.float32]) -> tuple[float, float]:
    """Correlation and ubRMSD of one cell; NaN with fewer than three common days."""
    has_both = np.isfinite(y) & np.isfinite(y_hat)
    if has_both.sum() < 3:
        return np.nan, np.nan
    a, b = y[has_both].astype(float), y_hat[has_both].astype(float)
    r = np.corrcoef(a, b)[0, 1] if a.std() > 0 and b.std() > 0 else 0.0
    return r, float(np.std((b - b.mean()) - (a - a.mean())))


def summary(outcomes: list[Outcome], n: int) -> dict[str, float]:
    """Medians over left-out cells and means over networks."""
    chosen = [o for o in outcomes if o.n == n]
    return {
        "predict_last_n": n,
        "median r": float(np.nanmedian([r for o in chosen for r in o.r])),
        "median ubRMSD": float(np.nanmedian([u for o in chosen for u in o.ubrmsd])),
        "training s": float(np.mean([o.train_s for o in chosen])),
        "steps": float(np.mean([o.steps for o in chosen])),
        "inference s": float(np.mean([o.infer_s for o in chosen])),
        "cells": float(sum(len(o.r) for o in chosen)),
    }


if __name__ == "__main__":
    typer.run(main)
