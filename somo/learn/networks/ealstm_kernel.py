"""The EA-LSTM's recurrence for prediction on a CPU: one matrix product and eight elementwise passes a day, in place.

i = sigma(W_i x_s + b_i);  [f, o, g] = W x_t + U h + b;  c = sigma(f) c + i tanh(g);  h = sigma(o) tanh(c)
(Kratzert et al. 2019, HESS 23, 5089, equations 6-12).

With tanh(z) = 2 sigma(2 z) - 1 all gates are one sigmoid over contiguous memory, a quarter of the time of a tanh: the
rows of g are doubled, c is carried as 2c and h as h / 2, and the factors go into the weights. The fused LSTM kernels
also multiply the input gate's zeros, a quarter of their product.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from somo.learn.networks.ealstm import EALSTM

if TYPE_CHECKING:
    from somo.learn.networks.forward import Forward


@dataclass(frozen=True, eq=False)
class CpuForward:
    """The same answer as a `Forward`, faster on a CPU without gradients, and able to go on from a day it has reached.

    Attributes
    ----------
    forward : the member, float32 on the CPU
    matrix : [H + D + 1, 3H] weights f, o, g for the row vector [h / 2, x_t, 1], in the dtype of the products
    head : the network's dense head for h / 2
    """

    forward: "Forward"
    matrix: Tensor
    head: torch.nn.Sequential

    @classmethod
    def of(cls, forward: "Forward") -> "CpuForward":
        """The kernel of one member, which has to be an EA-LSTM."""
        assert isinstance(forward.network, EALSTM)
        return cls(forward, _matrix(forward.network).to(forward.dtype), _head(forward.network))

    @torch.inference_mode()
    def __call__(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Soil moisture [n, B], m3 m-3, of the last n days (all when None), float32.

        Parameters
        ----------
        x_d : [T, B, D] daily inputs in physical units
        x_s : [B, S] static inputs in physical units
        """
        y, _ = self.advance(x_d, x_s)
        return y if last_n is None else y[-last_n:]

    @torch.inference_mode()
    def advance(
        self, x_d: Tensor, x_s: Tensor, memory: Tensor | None = None, keep_after: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Soil moisture [T, B], m3 m-3, of days that follow a memory, and the memory after some of them.

        Every day is the same arithmetic on the same shapes, so a sequence in two calls gives the bytes of one call.

        Parameters
        ----------
        x_d, x_s : as in a call
        memory : [2, B, H] float32, 2c and h / 2 of the day before the first; None for a sequence that begins here, from
            zero
        keep_after : number of days after which the memory is wanted; None for none
        """
        scaling, clip = self.forward.scaling, self.forward.clip
        z, kept_memory = self._normalised(scaling.dynamic.apply(x_d), scaling.static.apply(x_s), memory, keep_after)
        y = scaling.target.invert(z.unsqueeze(-1)).squeeze(-1)
        return y if clip is None else y.clamp(min=clip), kept_memory

    def _normalised(
        self, x_d: Tensor, x_s: Tensor, memory: Tensor | None, keep_after: int | None
    ) -> tuple[Tensor, Tensor | None]:
        network = self.forward.network
        assert isinstance(network, EALSTM)
        # 2c takes 2 i tanh(g) = 2 i (2 sigma(2g) - 1) = 4 i (sigma(2g) - 1/2), hence four times the input gate.
        inflow = 4 * torch.sigmoid(x_s @ network.weight_sh + network.bias_s)
        recurrence = _Recurrence(self.matrix, inflow, x_d.shape[2], memory)
        inner, last = self.head[:-1], self.head[-1]
        assert isinstance(last, torch.nn.Linear)
        y = torch.empty(x_d.shape[:2])
        kept_memory = recurrence.memory() if keep_after == 0 else None
        for number, (x_t, y_t) in enumerate(zip(x_d, y, strict=True), start=1):
            # Into the row of the day itself: a list of days would be copied once more at the end.
            torch.addmv(last.bias, inner(recurrence.step(x_t)), last.weight[0], out=y_t)
            if number == keep_after:
                kept_memory = recurrence.memory()
        return y, kept_memory


def _matrix(network: EALSTM) -> Tensor:
    with torch.no_grad():
        matrix = torch.cat([2 * network.weight_hh, network.weight_ih, network.bias[None]])
        # tanh(z) = 2 sigma(2 z) - 1: the gate g is asked at twice its argument.
        matrix[:, 2 * network.hidden :] *= 2
        return matrix


def _head(network: EALSTM) -> torch.nn.Sequential:
    """The dense head for h / 2."""
    head = deepcopy(network.head)
    first = head[0]
    assert isinstance(first, torch.nn.Linear)
    with torch.no_grad():
        first.weight.mul_(2)
    return head


class _Recurrence:
    """State of a batch of cells and its buffers, as few as keep them in the processor's cache."""

    def __init__(self, matrix: Tensor, inflow: Tensor, dynamic: int, memory: Tensor | None = None) -> None:
        cells, hidden = inflow.shape
        self.matrix, self.inflow, self.half = matrix, inflow, torch.tensor(0.5)
        self.state = torch.zeros(cells, hidden + dynamic + 1, dtype=matrix.dtype)
        # The last column meets the row of biases, which so come with the one product.
        self.state[:, -1] = 1
        self.h, self.x = self.state[:, :hidden], self.state[:, hidden:-1]
        # Memory stays float32 where products are bfloat16, whose steps of 1/256 would swallow a slow drying.
        self.c_twice, self.h_half = torch.zeros(cells, hidden), torch.zeros(cells, hidden)
        if memory is not None:
            c_twice, h_half = memory
            self.c_twice.copy_(c_twice)
            self.h.copy_(self.h_half.copy_(h_half))
        self.gates = torch.empty(cells, 3 * hidden)
        # The same buffer where products are float32: `to` copies nothing then.
        self.product = self.gates.to(matrix.dtype)
        self.f, self.o, self.g = self.gates.split(hidden, dim=1)

    def memory(self) -> Tensor:
        """A copy of what the next day needs."""
        return torch.stack([self.c_twice, self.h_half])

    def step(self, x_t: Tensor) -> Tensor:
        """One day: inputs [B, D] -> h / 2 [B, H], in a buffer that the next day overwrites."""
        self.x.copy_(x_t)
        torch.mm(self.state, self.matrix, out=self.product)
        torch.sigmoid(self.product, out=self.gates)
        self.g.sub_(self.half)
        self.c_twice.mul_(self.f).addcmul_(self.inflow, self.g)
        torch.sigmoid(self.c_twice, out=self.h_half)
        self.h_half.sub_(self.half).mul_(self.o)
        self.h.copy_(self.h_half)
        return self.h_half
