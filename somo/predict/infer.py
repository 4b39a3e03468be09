"""Forcing of some cells -> soil moisture of every layer: all members, layer by layer, from zero state."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from somo.learn.checkpoint import Ensemble
from somo.learn.networks.ealstm import cascade, load
from somo.predict.kernel import CpuForward
from somo.product.method import Sequence as SequenceSettings

Member = Callable[[Tensor, Tensor], Tensor]
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


def load_runner(ensemble: Ensemble, precision: str = "float32") -> Runner:
    """Members on the GPU of this process if it has one, else on one CPU thread."""
    dtype = PRECISIONS[precision]
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        return Runner([[load(m, "cuda", dtype) for m in layer] for layer in ensemble.layers.values()], GPU_BATCH)
    torch.set_num_threads(1)
    return Runner(
        [[CpuForward.of(load(m, "cpu", dtype)) for m in layer] for layer in ensemble.layers.values()], CPU_BATCH
    )


def has_bfloat16() -> bool:
    """Whether this process multiplies bfloat16 natively: on its GPU, or by its processor's AVX-512 or AMX."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
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
    cells = x_d.shape[1]
    mean = np.empty((len(runner.layers), days, cells), np.float32)
    std = np.zeros_like(mean)
    for first_day in range(0, days, sequence.predict_last_n):
        block = slice(first_day, min(first_day + sequence.predict_last_n, days))
        window = slice(first_day, block.stop + sequence.lookback - 1)
        for first_cell in range(0, cells, runner.batch):
            part = slice(first_cell, first_cell + runner.batch)
            x = torch.from_numpy(np.ascontiguousarray(x_d[window, part]))
            for layer, y in enumerate(cascade(runner.layers, x, torch.from_numpy(x_s[part]))):
                members = y[:, -(block.stop - block.start) :]
                mean[layer, block, part] = members.mean(0).cpu().numpy()
                if len(members) > 1:
                    std[layer, block, part] = members.std(0).cpu().numpy()
    return mean, std


def scratch_bytes(members: int, layers: int, hidden: int, days: int, dynamic: int, batch: int = CPU_BATCH) -> int:
    """Upper bound of what one batch needs beside the arrays of the region, on a CPU."""
    series = days * batch * (3 * (dynamic + layers) + 2 * members * layers)
    return 4 * (series + 12 * batch * hidden)
