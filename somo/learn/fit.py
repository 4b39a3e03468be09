"""One training run: masked loss, Adam with a schedule, early stopping, resumed from its last epoch."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from somo.learn import LearnError
from somo.learn.checkpoint import Checkpoint, upper_input
from somo.learn.networks.forward import Forward, cascade
from somo.learn.networks.register import build_network
from somo.learn.normalising import Scaling, fit_scaler
from somo.learn.resume import Progress, forget, read_progress, write_progress
from somo.learn.samples import TrainingSet, Window, batches, blocks, draw
from somo.product.method import Sequence as SequenceSettings
from somo.product.method import Training
from somo.product.network import NetworkKind

# Small cases have epochs of a fraction of a second, which must not be spent on writing their state to a bucket.
SAVE_SECONDS = 5.0
EVALUATION_CELLS = 256

Report = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class Run:
    """What one training run learns.

    Attributes
    ----------
    layer : the layer whose targets it fits
    member : number in the ensemble
    seed : of initial weights, sequences, dropout and noise
    cells : [n] indices of the cells it fits
    held : [m] indices of the cells that stop it; empty to run all epochs
    days : [day] which days' targets may be used; all of them when None
    upper : the networks of the layers above, whose mean soil moisture is a further input
    """

    layer: str
    member: int
    seed: int
    cells: NDArray[np.int64]
    held: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    days: NDArray[np.bool_] | None = None
    upper: Mapping[str, list[Forward]] = field(default_factory=dict)


def fit(
    data: TrainingSet,
    run: Run,
    network: NetworkKind,
    sequence: SequenceSettings,
    training: Training,
    device: torch.device | str = "cpu",
    resume: str | None = None,
    report: Report | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Checkpoint:
    """Train one network.

    Parameters
    ----------
    resume : URL where the state after an epoch is kept; a run that finds one there goes on from it
    report : called after every epoch with its number and the mean squared error (normalised) on the held-back cells, or
        on the fitted ones if none are held back

    Raises
    ------
    LearnError
        if there is no cell or no target to fit, or the loss is not finite
    """
    trainer = _Trainer(data, run, network, sequence, training, torch.device(device))
    progress = trainer.begin(read_progress(resume) if resume else None)
    saved = time.monotonic()
    while not progress.over(training.epochs, training.patience if len(run.held) else None):
        progress = trainer.epoch(progress)
        if report:
            report(progress.epoch, progress.history[-1][1])
        if resume and time.monotonic() - saved > SAVE_SECONDS:
            write_progress(resume, progress)
            saved = time.monotonic()
    if resume:
        forget(resume)
    facts: dict[str, Any] = {
        "seed": run.seed,
        "epochs": progress.epoch,
        "best_epoch": progress.best_epoch,
        "score": progress.best_score,
    }
    facts |= {"cells": len(run.cells), "held_back": len(run.held), "history": progress.history, "device": str(device)}
    # Without held-back cells no epoch is known to be the best one: the last one counts.
    weights = progress.best if progress.best else progress.weights
    return Checkpoint(
        run.layer, run.member, weights, trainer.scaling, sequence, network, provenance={**facts, **(provenance or {})}
    )


class _Trainer:
    """The arrays of one run on its device, and one epoch over them."""

    def __init__(
        self,
        data: TrainingSet,
        run: Run,
        network: NetworkKind,
        sequence: SequenceSettings,
        training: Training,
        device: torch.device,
    ) -> None:
        self.run, self.training, self.device = run, training, device
        self.window = Window.of(sequence, data.n_days)
        y = _usable(data, run, self.window)
        self.scaling = fit_scaling(data, run, y, training.static_limit)
        self.x_d = data.x_d.to(device)
        self.x_s = data.x_s.to(device)
        self.z_s = self.scaling.static.apply(self.x_s)
        # Inputs of a deeper layer hold what the upper networks predict in each sequence: they are made batch by batch.
        self.z_d = self.scaling.dynamic.apply(self.x_d) if not run.upper else None
        self.y = self.scaling.target.apply(y.unsqueeze(-1)).squeeze(-1).to(device)
        self.cells, self.held = torch.as_tensor(run.cells), torch.as_tensor(run.held)
        # The process's own random numbers stay as they were: several runs share a worker and must not depend on order.
        with torch.random.fork_rng(_forked(device)):
            torch.manual_seed(run.seed)
            self.net = build_network(len(self.scaling.dynamic.names), len(data.static), network).to(device)
        decay = training.weight_decay
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=training.learning_rate, weight_decay=decay)

    def begin(self, progress: Progress | None) -> Progress:
        """Go on where an earlier process stopped, or start from fresh weights."""
        if progress is None:
            return Progress.start(self.net.state_dict())
        self.net.load_state_dict(progress.weights)
        progress.restore(self.optimiser, list(self.net.named_parameters()))
        return progress

    def epoch(self, progress: Progress) -> Progress:
        """One pass over the sequences; its random numbers depend on seed and epoch alone."""
        with torch.random.fork_rng(_forked(self.device)):
            # 100,003 is more than any number of epochs, so that no two seeds share the random numbers of an epoch.
            torch.manual_seed(self.run.seed * 100_003 + progress.epoch + 1)
            loss = self._learn(progress.epoch)
        score = self._score() if len(self.held) else loss
        if not math.isfinite(score):
            raise LearnError(
                f"{self.run.layer}: loss is {score} after epoch {progress.epoch + 1}; lower training.learning_rate"
            )
        return progress.after(loss, score, len(self.held) > 0, self.net, self.optimiser)

    def _learn(self, epoch: int) -> float:
        generator = torch.Generator().manual_seed(self.run.seed * 100_003 + epoch + 1)
        pairs = draw(self.y.cpu(), self.cells, self.window, generator)
        self.net.train()
        total = count = 0.0
        epoch_batches = list(batches(pairs, self.training.batch_size))
        for i, (cell, day) in enumerate(epoch_batches):
            rate = rate_factor(self.training.schedule, (epoch + i / len(epoch_batches)) / self.training.epochs)
            for group in self.optimiser.param_groups:
                group["lr"] = self.training.learning_rate * rate
            squares, n_targets = self._squares(cell.to(self.device), day.to(self.device))
            self.optimiser.zero_grad()
            # Over the targets that are there: sequences have gaps, which would otherwise weaken a batch's step.
            (squares / n_targets).backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), self.training.clip_norm)
            self.optimiser.step()
            total, count = total + squares.item(), count + n_targets.item()
        return total / max(count, 1)

    @torch.no_grad()
    def _score(self) -> float:
        self.net.eval()
        total = count = 0.0
        for cell, day in batches(blocks(self.y.cpu(), self.held, self.window), EVALUATION_CELLS):
            squares, n_targets = self._squares(cell.to(self.device), day.to(self.device))
            total, count = total + squares.item(), count + n_targets.item()
        return total / max(count, 1)

    def _squares(self, cell: Tensor, day: Tensor) -> tuple[Tensor, Tensor]:
        """Sum of squared errors and number of targets of some sequences."""
        z_d, z_s = self._inputs(cell, day), self.z_s[cell]
        if self.net.training and self.training.input_noise:
            z_d = z_d + self.training.input_noise * torch.randn_like(z_d)
        if self.net.training and self.training.static_noise:
            z_s = z_s + self.training.static_noise * torch.randn_like(z_s)
        y = self.window.targets(self.y, cell, day)
        has_target = ~y.isnan()
        # In float32 on a GPU too: cuDNN trains batches of 64 sequences 5 times as fast in it as in bfloat16 on an H200,
        # and those of 1024 as fast (docs/benchmarks.md).
        error = self.net(z_d, z_s, self.window.n) - y.nan_to_num()
        return (error.square() * has_target).sum(), has_target.sum()

    def _inputs(self, cell: Tensor, day: Tensor) -> Tensor:
        """Normalised inputs [T, B, D]; with the layers above run over these very sequences from zero state."""
        if self.z_d is not None:
            return self.window.inputs(self.z_d, cell, day)
        x_d = self.window.inputs(self.x_d, cell, day)
        above = cascade(list(self.run.upper.values()), x_d, self.x_s[cell])
        means = torch.stack([members.mean(0) for members in above], dim=-1)
        return self.scaling.dynamic.apply(torch.cat([x_d, means], dim=-1)).clone()


def _usable(data: TrainingSet, run: Run, window: Window) -> Tensor:
    """Targets [day, cell] of the run's layer on the days it may use."""
    y = data.y[data.layers.index(run.layer)]
    if run.days is not None:
        y = torch.where(torch.as_tensor(run.days)[:, None], y, torch.nan)
    if len(run.cells) == 0:
        raise LearnError(f"{run.layer}: no training cells; lower training.folds or training.held_back, or add stations")
    if y[window.first :, run.cells].isnan().all():
        raise LearnError(
            f"{run.layer}: all targets of its {len(run.cells)} training cells are missing from day "
            f"{window.first + 1} of the forcing on; shorten sequence.lookback or add measurements"
        )
    return y


def fit_scaling(data: TrainingSet, run: Run, y: Tensor, static_limit: float | None) -> Scaling:
    """Scalers from the run's own training cells; soil moisture of upper layers by those layers' target statistics."""
    dynamic = fit_scaler(data.dynamic, data.x_d[:, run.cells])
    for layer, members in run.upper.items():
        target = members[0].scaling.target
        dynamic = dynamic.extended(upper_input(layer), target.mean[0], target.std[0])
    static = fit_scaler(data.static, data.x_s[run.cells], static_limit)
    return Scaling(dynamic, static, fit_scaler((run.layer,), y[:, run.cells].unsqueeze(-1)))


def rate_factor(schedule: str, progress: float) -> float:
    """Learning rate relative to its largest value at a fraction of the run.

    one-cycle: cosine from 1/25 up over the first 0.3, then down to 0 (Smith & Topin 2018, arXiv:1708.07120);
    step: 1, 1/2 from one third on, 1/10 from five sixths on (Kratzert et al. 2019: epochs 10 and 25 of 30).
    """
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return 1.0 if progress < 1 / 3 else 0.5 if progress < 5 / 6 else 0.1
    if progress < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - math.cos(math.pi * progress / 0.3)) / 2
    return (1 + math.cos(math.pi * (progress - 0.3) / 0.7)) / 2


def members_mean(members: Tensor) -> Tensor:
    """[day, cell] of [member, day, cell]."""
    return members.mean(0)


def members_spread(members: Tensor) -> Tensor:
    """Standard deviation (ddof 1) over members, [day, cell] of [member, day, cell]."""
    return members.std(0)


def predict_blocks(
    layers: Sequence[list[Forward]],
    data: TrainingSet,
    cells: NDArray[np.int64],
    sequence: SequenceSettings,
    first: int,
    statistic: Callable[[Tensor], Tensor] = members_mean,
) -> Tensor:
    """Members' mean of every layer [layer, day, cell] as the product makes it; NaN before the first block.

    Blocks of `predict_last_n` days are counted from day `first`, each from zero state.

    Parameters
    ----------
    first : index of the product's first day among the days of the forcing
    statistic : of the members of a layer, [member, day, cell] -> [day, cell], m3 m-3
    """
    result = torch.full((len(layers), data.n_days, len(cells)), torch.nan)
    for batch in torch.arange(len(cells)).split(EVALUATION_CELLS):
        chosen = torch.as_tensor(cells)[batch]
        for start in range(first, data.n_days, sequence.predict_last_n):
            stop = min(start + sequence.predict_last_n, data.n_days)
            days = slice(start - sequence.spinup_days, stop - sequence.lag_days)
            by_layer = [statistic(m) for m in cascade(list(layers), data.x_d[days][:, chosen], data.x_s[chosen])]
            # Inputs begin with the spin-up, whose predictions are no product: the last days alone are kept.
            result[:, start:stop, batch] = torch.stack(by_layer)[:, start - stop :].cpu()
    return result


def _forked(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
