"""The state of a training run after an epoch, kept in the bucket so that another process can go on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from somo.storage.client import filesystem
from somo.storage.objects import exists, put, read_bytes


@dataclass(frozen=True, eq=False)
class Progress:
    """Where a run stands.

    Attributes
    ----------
    epoch : epochs done
    best_epoch, best_score : the epoch with the smallest score on the held-back cells
    history : per epoch, loss on the fitted cells and score
    weights : parameters by name
    best : parameters of the best epoch; empty if nothing is held back
    moments : Adam's first and second moments and step by parameter name
    """

    epoch: int
    best_epoch: int
    best_score: float
    history: tuple[tuple[float, float], ...]
    weights: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    moments: Mapping[str, Mapping[str, Tensor]]

    @classmethod
    def start(cls, weights: Mapping[str, Tensor]) -> Self:
        """The state before the first epoch."""
        return cls(0, 0, float("inf"), (), _copied(weights), {}, {})

    def after(
        self, loss: float, score: float, keep_best: bool, net: nn.Module, optimiser: torch.optim.Optimizer
    ) -> Self:
        """The state after one more epoch."""
        epoch, better = self.epoch + 1, score < self.best_score or not keep_best
        weights = _copied(net.state_dict())
        moments = {name: _copied(optimiser.state[p]) for name, p in net.named_parameters()}
        return type(self)(
            epoch,
            epoch if better else self.best_epoch,
            score if better else self.best_score,
            (*self.history, (loss, score)),
            weights,
            (weights if better else self.best) if keep_best else {},
            moments,
        )

    def over(self, epochs: int, patience: int | None) -> bool:
        """Whether the run has done its epochs, or `patience` of them without a better score."""
        return self.epoch >= epochs or (patience is not None and self.epoch - self.best_epoch >= patience)

    def restore(self, optimiser: torch.optim.Optimizer, parameters: list[tuple[str, nn.Parameter]]) -> None:
        """Put Adam's moments back."""
        for name, parameter in parameters:
            if name in self.moments:
                optimiser.state[parameter] = {
                    # Adam counts its steps in a tensor that stays on the CPU, whatever device the weights are on.
                    key: value.to(parameter.device if value.ndim else "cpu")
                    for key, value in _copied(self.moments[name]).items()
                }


def write_progress(url: str, progress: Progress) -> None:
    """Keep the state in one object."""
    tensors = {f"weights/{name}": w for name, w in progress.weights.items()}
    tensors |= {f"best/{name}": w for name, w in progress.best.items()}
    tensors |= {
        f"moments/{name}/{key}": tensor
        for name, of_weight in progress.moments.items()
        for key, tensor in of_weight.items()
    }
    numbers = [progress.epoch, progress.best_epoch, progress.best_score, progress.history]
    put(url, safetensors.torch.save({k: t.clone() for k, t in tensors.items()}, {"progress": json.dumps(numbers)}))


def read_progress(url: str) -> Progress | None:
    """The state kept at `url`; None where there is none or where it cannot be read, so that the run starts afresh."""
    if not exists(url):
        return None
    data = read_bytes(url)
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError:
        # A damaged state: to begin anew costs time, to stop would need a person.
        return None
    # safetensors.torch.load gives the tensors alone; the metadata lie in the header, whose length the file begins with.
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    epoch, best_epoch, best_score, history = json.loads(header["__metadata__"]["progress"])
    moments: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("moments/"):
            _, parameter, key = name.split("/")
            moments.setdefault(parameter, {})[key] = tensor
    weights, best = (
        {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        for prefix in ("weights/", "best/")
    )
    return Progress(epoch, best_epoch, best_score, tuple(map(tuple, history)), weights, best, moments)


def forget(url: str) -> None:
    """Remove the state of a run that has ended."""
    fs, path = filesystem(url)
    if exists(url):
        fs.rm_file(path)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: t.detach().cpu().clone() for name, t in tensors.items()}
