"""Forcing of some cells -> soil moisture of every layer: all members, layer by layer, from zero state."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from somo.learn.checkpoint import Checkpoint, Ensemble
from somo.learn.networks.architecture import Kernel
from somo.learn.networks.forward import Forward, cascade, load
from somo.learn.networks.register import ARCHITECTURES
from somo.product.method import Sequence as SequenceSettings

Member = Forward | Kernel
# Cells run together: on a CPU few enough that their gates stay in a core's cache, on a GPU enough to keep it busy.
CPU_BATCH, GPU_BATCH = 192, 8192
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Runner:
    """Members of each layer, ready to run, and how many cells run together.

    The number of cells is fixed by the device and not by the memory, so that equal regions give equal bytes; memory is
    bounded by it (`scratch_bytes`).
    """

    layers: list[list[Member]]
    batch: int

    @property
    def continues(self) -> bool:
        """Whether a sequence may be run in parts: by kernels, in which a day is the same arithmetic on the same shapes.

        cuDNN chooses its kernels by the length of a sequence, and they may round differently: a GPU begins anew.
        """
        return not any(isinstance(member, Forward) for layer in self.layers for member in layer)


@dataclass(frozen=True, eq=False)
class Stretch:
    """Days of one sequence that were run in one go.

    Attributes
    ----------
    mean, std : [layer, day, cell] m3 m-3, over the members
    memory : [network, 2, cell, hidden] float32 of every member after the wanted day, layer by layer; or None
    steps : days times cells times networks that were computed
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    memory: NDArray[np.float32] | None
    steps: int


def load_runner(ensemble: Ensemble, precision: str = "float32") -> Runner:
    """Members on the GPU of this process if it has one, else on one CPU thread."""
    dtype = PRECISIONS[precision]
    if torch.cuda.is_available():
        # TF32 keeps ten bits of a product: then a GPU would publish other values than a CPU.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        return Runner([[load(m, "cuda", dtype) for m in layer] for layer in ensemble.layers.values()], GPU_BATCH)
    # Workers are processes of one thread, one a core: more threads would only take turns with the neighbours'.
    torch.set_num_threads(1)
    return Runner([[_on_cpu(m, dtype) for m in layer] for layer in ensemble.layers.values()], CPU_BATCH)


def _on_cpu(member: Checkpoint, dtype: torch.dtype) -> Member:
    """The fastest road of a member on a CPU."""
    kernel, forward = ARCHITECTURES[member.network.kind].kernel, load(member, "cpu", dtype)
    return forward if kernel is None else kernel(forward)


def has_bfloat16() -> bool:
    """Whether this process multiplies bfloat16 natively: on its GPU, or by its processor's AVX-512 or AMX."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def infer(
    runner: Runner, x_d: NDArray[np.float32], x_s: NDArray[np.float32], days: int, sequence: SequenceSettings
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation over members (ddof 1; 0 of a single member), m3 m-3.

    Parameters
    ----------
    x_d : [spin-up + days - lag, cell, dynamic] forcing in physical units, from `spinup_days` before the first day
    x_s : [cell, static] physical units
    days : days to predict
    sequence : as the members were trained

    Returns
    -------
    mean, std : [layer, day, cell]
    """
    mean = np.empty((len(runner.layers), days, x_d.shape[1]), np.float32)
    std = np.empty_like(mean)
    for first_day in range(0, days, sequence.predict_last_n):
        block = slice(first_day, min(first_day + sequence.predict_last_n, days))
        # Every block has its own spin-up from zero state, as in training: no value depends on how days were cut up.
        x = x_d[first_day : block.stop + sequence.lookback - 1]
        stretch = run_stretch(runner, x, x_s, block.stop - block.start)
        mean[:, block], std[:, block] = stretch.mean, stretch.std
    return mean, std


def run_stretch(
    runner: Runner,
    x_d: NDArray[np.float32],
    x_s: NDArray[np.float32],
    days: int,
    memory: NDArray[np.float32] | None = None,
    keep_after: int | None = None,
) -> Stretch:
    """Run days of one sequence, from zero state or from where an earlier stretch stopped, batch by batch of cells.

    Parameters
    ----------
    x_d : [day, cell, dynamic] forcing in physical units
    x_s : [cell, static] physical units
    days : the last days of `x_d`, whose soil moisture is wanted
    memory : [network, 2, cell, hidden] of the day before; None for a sequence that begins here
    keep_after : number of days of `x_d` after which the networks' memory is wanted; None for none

    Raises
    ------
    ValueError
        if a memory is given to or wanted of a runner that cannot continue
    """
    # A GPU rounds by the length of a sequence: days that go on from a memory would not have the bytes of a fresh start.
    if not runner.continues and (memory is not None or keep_after is not None):
        raise ValueError("sequences continue on a CPU alone; begin this one from zero state")
    cells = x_d.shape[1]
    mean = np.empty((len(runner.layers), days, cells), np.float32)
    std = np.zeros_like(mean)
    memory_by_batch, networks = [], sum(len(layer) for layer in runner.layers)
    for first_cell in range(0, cells, runner.batch):
        batch = slice(first_cell, first_cell + runner.batch)
        x, features = torch.from_numpy(np.ascontiguousarray(x_d[:, batch])), torch.from_numpy(x_s[batch])
        former = None if memory is None else torch.from_numpy(memory[:, :, batch])
        y_by_layer, batch_memory = _run_batch(runner, x, features, former, keep_after)
        memory_by_batch += [] if batch_memory is None else [batch_memory]
        for layer, y in enumerate(y_by_layer):
            members = y[:, -days:]
            mean[layer, :, batch] = mean_of(members).cpu().numpy()
            if len(members) > 1:
                std[layer, :, batch] = members.std(0).cpu().numpy()
    later_memory = np.concatenate(memory_by_batch, axis=2) if memory_by_batch else None
    return Stretch(mean, std, later_memory, len(x_d) * cells * networks)


def _run_batch(
    runner: Runner, x_d: Tensor, x_s: Tensor, former: Tensor | None, keep_after: int | None
) -> tuple[list[Tensor], NDArray[np.float32] | None]:
    """Per layer [member, day, cell], and the memory [network, 2, cell, hidden] after a number of days."""
    if not runner.continues:
        return cascade(runner.layers, x_d, x_s), None
    y_by_layer, memory_by_network, network = [], [], 0
    for layer in runner.layers:
        y_by_member = []
        for member in layer:
            assert not isinstance(member, Forward)
            memory = None if former is None else former[network]
            y, later_memory = member.advance(x_d, x_s, memory, keep_after)
            y_by_member.append(y)
            memory_by_network += [] if later_memory is None else [later_memory]
            network += 1
        y_by_layer.append(torch.stack(y_by_member))
        x_d = torch.cat([x_d, mean_of(y_by_layer[-1]).unsqueeze(-1)], dim=2)
    return y_by_layer, torch.stack(memory_by_network).numpy() if memory_by_network else None


def mean_of(members: Tensor) -> Tensor:
    """Mean of [member, ...] added up one member after the other.

    torch.mean adds in another order where an array ends than in its middle, so that a day's value would depend on how
    many days were run together.
    """
    total = members[0].clone()
    for member in members[1:]:
        total += member
    return total / len(members)


def scratch_bytes(members: int, layers: int, hidden: int, days: int, dynamic: int, batch: int = CPU_BATCH) -> int:
    """Upper bound of what one batch needs beside the arrays of the region, on a CPU."""
    series = days * batch * (3 * (dynamic + layers) + 2 * members * layers)
    return 4 * (series + 12 * batch * hidden)
