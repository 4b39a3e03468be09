"""Training data of a product, and the sequences that are cut from it as views."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from somo.learn import LearnError
from somo.product.method import Sequence
from somo.storage.objects import put, read_bytes


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Everything that is learnt from, in physical units.

    Attributes
    ----------
    first_day : day of the first forcing
    dynamic, static, layers : names along the last axis of `x_d`, of `x_s` and the first axis of `y`
    domain : [cell] name of the domain of each cell
    cell : [cell] flat id of each cell in its domain's grid
    lat, lon : [cell] centres in degrees
    x_d : [day, cell, dynamic] forcing
    x_s : [cell, static] static features
    y : [layer, day, cell] daily target, m3 m-3, NaN where there is none
    """

    first_day: np.datetime64
    dynamic: tuple[str, ...]
    static: tuple[str, ...]
    layers: tuple[str, ...]
    domain: tuple[str, ...]
    cell: NDArray[np.int64]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    x_d: Tensor
    x_s: Tensor
    y: Tensor

    @property
    def n_days(self) -> int:
        """Days of the forcing."""
        return self.x_d.shape[0]

    def where(self, i: int) -> str:
        """A cell in words."""
        return f"cell {self.cell[i]} of {self.domain[i]} ({self.lat[i]:g} N, {self.lon[i]:g} E)"

    def cells_with(self, layer: str) -> NDArray[np.bool_]:
        """[cell] whether a cell has any target in a layer."""
        return ~self.y[self.layers.index(layer)].isnan().all(0).numpy()


def require_complete(data: TrainingSet) -> None:
    """Refuse a training set that cannot be learnt from.

    Raises
    ------
    LearnError
        naming what is missing: cells, targets of a layer, a day of forcing, a static feature
    """
    if len(data.cell) == 0:
        raise LearnError("no training cells: no sensor was kept in any cell; see the reasons in the table of sensors")
    for layer in data.layers:
        if not data.cells_with(layer).any():
            raise LearnError(
                f"{layer}: all targets are missing; add sensors at that depth, or list [[layers]] without it: a "
                "product that lists none has three"
            )
    if (gap := data.x_d.isnan()).any():
        day, cell, variable = (int(i[0]) for i in gap.nonzero(as_tuple=True))
        date = data.first_day + np.timedelta64(day, "D")
        raise LearnError(
            f"forcing.{data.dynamic[variable]}: missing on {date} at {data.where(cell)}; provide "
            "complete forcing or leave its stations out"
        )
    if (gap := data.x_s.isnan()).any():
        cell, feature = (int(i[0]) for i in gap.nonzero(as_tuple=True))
        raise LearnError(
            f'static.{data.static[feature]}: missing at {data.where(cell)}; complete the file or declare gaps = "mean"'
        )


def write_training_set(url: str, data: TrainingSet) -> None:
    """Keep a training set as one safetensors object, so that every worker reads the same."""
    tensors = {
        "x_d": data.x_d,
        "x_s": data.x_s,
        "y": data.y,
        "cell": torch.from_numpy(data.cell),
        "lat": torch.from_numpy(data.lat),
        "lon": torch.from_numpy(data.lon),
    }
    # Metadata of safetensors are texts.
    metadata = {
        "first_day": str(data.first_day),
        "dynamic": json.dumps(data.dynamic),
        "static": json.dumps(data.static),
        "layers": json.dumps(data.layers),
        "domain": json.dumps(data.domain),
    }
    put(url, safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()}, metadata=metadata))


def read_training_set(url: str) -> TrainingSet:
    """The training set kept at a URL."""
    data = read_bytes(url)
    # safetensors.torch.load gives the tensors alone; the metadata lie in the header, whose length the file begins with.
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    tensors = safetensors.torch.load(data)
    dynamic, static, layers, domain = (
        tuple(json.loads(metadata[key])) for key in ("dynamic", "static", "layers", "domain")
    )
    cell, lat, lon = (tensors[key].numpy() for key in ("cell", "lat", "lon"))
    x_d, x_s, y = (tensors[key] for key in ("x_d", "x_s", "y"))
    first_day = np.datetime64(metadata["first_day"], "D")
    return TrainingSet(first_day, dynamic, static, layers, domain, cell, lat, lon, x_d, x_s, y)


@dataclass(frozen=True)
class Window:
    """Where a sequence's days lie, counted from the first day of the forcing.

    Attributes
    ----------
    spinup : days of forcing before the first supervised day's own inputs end (`lookback - 1`)
    lag : days by which the inputs precede the day they predict
    n : supervised days, fewer than declared where the forcing is shorter
    last_start : largest admissible first supervised day, as an index of days
    """

    spinup: int
    lag: int
    n: int
    last_start: int

    @classmethod
    def of(cls, sequence: Sequence, n_days: int) -> "Window":
        """The window of sequences over `n_days` days of forcing.

        Raises
        ------
        LearnError
            if not one day can be predicted
        """
        first = sequence.spinup_days
        n = min(sequence.predict_last_n, n_days - first)
        if n < 1:
            raise LearnError(
                f"{n_days} days of forcing, but sequence.lookback {sequence.lookback} needs {first} days before the "
                f"first predicted one; shorten sequence.lookback to at most {n_days - sequence.lag_days}"
            )
        return cls(sequence.lookback - 1, sequence.lag_days, n, n_days - n)

    @property
    def first(self) -> int:
        """First day that can be predicted."""
        return self.spinup + self.lag

    @property
    def length(self) -> int:
        """Days of forcing in one sequence."""
        return self.spinup + self.n

    def inputs(self, x: Tensor, cell: Tensor, day: Tensor) -> Tensor:
        """[length, B, feature] of x [day, cell, feature] for sequences whose first supervised day is `day` [B]."""
        steps = torch.arange(self.length, device=x.device)[:, None] + (day - self.first)[None, :]
        return x[steps, cell[None, :]]

    def targets(self, y: Tensor, cell: Tensor, day: Tensor) -> Tensor:
        """[n, B] of y [day, cell]."""
        return y[torch.arange(self.n, device=y.device)[:, None] + day[None, :], cell[None, :]]


def draw(y: Tensor, cells: Tensor, window: Window, generator: torch.Generator) -> Tensor:
    """One epoch's sequences [n, 2] (cell, first supervised day) in random order.

    Every cell's predictable days are covered by blocks of n days whose phase is drawn anew, the first and last block
    pushed inside; blocks without any target are left out.

    Parameters
    ----------
    y : [day, cell] target
    cells : indices of the cells to draw from
    """
    # One possible block: drawing phases would only repeat it.
    if window.last_start == window.first:
        days = torch.full((len(cells), 1), window.first)
    else:
        count = -(-(window.last_start - window.first) // window.n) + 1
        phase = torch.randint(0, window.n, (len(cells), 1), generator=generator)
        days = (window.first - phase + window.n * torch.arange(count + 1)).clamp(window.first, window.last_start)
    pairs = torch.stack([cells[:, None].expand_as(days).flatten(), days.flatten()], dim=1)
    # Blocks that were pushed inside may coincide.
    pairs = _supervised(y, torch.unique(pairs, dim=0), window)
    return pairs[torch.randperm(len(pairs), generator=generator)]


def blocks(y: Tensor, cells: Tensor, window: Window) -> Tensor:
    """Sequences [n, 2] that cover every target of some cells by consecutive blocks, the last one pushed inside."""
    days = torch.arange(window.first, window.last_start + window.n, window.n).clamp(max=window.last_start)
    return _supervised(y, torch.cartesian_prod(cells, torch.unique(days)), window)


def _supervised(y: Tensor, pairs: Tensor, window: Window) -> Tensor:
    # Running counts tell any block's number of targets by one subtraction, however long the blocks are.
    targets_before = torch.cat([y.new_zeros(1, y.shape[1]), (~y.isnan()).float().cumsum(0)])
    cell, day = pairs.t()
    return pairs[targets_before[day + window.n, cell] > targets_before[day, cell]]


def batches(pairs: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """(cell, day) of `size` sequences at a time."""
    for batch in pairs.split(size):
        yield batch[:, 0], batch[:, 1]
