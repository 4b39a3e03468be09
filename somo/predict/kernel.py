"""The EA-LSTM's recurrence for prediction on a CPU: one matrix product and nine elementwise passes a day, in place.

i = sigma(W_i x_s + b_i);  [f, o, g] = W x_t + U h + b;  c = sigma(f) c + i tanh(g);  h = sigma(o) tanh(c)
(Kratzert et al. 2019, HESS 23, 5089, equations 6-12).

With tanh(z) = 2 sigma(2 z) - 1 all gates are one sigmoid over contiguous memory, a quarter of the time of a tanh: the
rows of g are doubled, c is carried as 2c and h as h / 2, and the factors go into the weights. The fused LSTM kernels
also multiply the input gate's zeros, a quarter of their product.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from somo.learn.ealstm import EALSTM, Forward

HEAD_DAYS = 32
"""Days that pass the dense head together; always as many, so that no day's rounding depends on how many follow."""


@dataclass(frozen=True, eq=False)
class CpuForward:
    """The same answer as a `Forward`, faster on a CPU without gradients.

    Attributes
    ----------
    forward : the member, float32 on the CPU
    matrix : [H + D + 1, 3H] weights f, o, g for the row vector [h / 2, x_t, 1], in the dtype of the products
    """

    forward: Forward
    matrix: Tensor

    @classmethod
    def of(cls, forward: Forward) -> "CpuForward":
        matrix = _matrix(forward.network)
        return cls(forward, matrix.to(forward.dtype))

    @torch.inference_mode()
    def __call__(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Soil moisture [n, B], m3 m-3, of the last n days (all when None), float32.

        Parameters
        ----------
        x_d : [T, B, D] daily inputs in physical units
        x_s : [B, S] static inputs in physical units
        """
        scaling, clip = self.forward.scaling, self.forward.clip
        z = self._normalised(scaling.dynamic.apply(x_d), scaling.static.apply(x_s))
        y = scaling.target.invert(z.unsqueeze(-1)).squeeze(-1)
        y = y if last_n is None else y[-last_n:]
        return y if clip is None else y.clamp(min=clip)

    def _normalised(self, x_d: Tensor, x_s: Tensor) -> Tensor:
        network = self.forward.network
        days, cells, _ = x_d.shape
        inflow = 4 * torch.sigmoid(x_s @ network.weight_sh + network.bias_s)
        recurrence = _Recurrence(self.matrix, inflow, x_d.shape[2])
        y, h = torch.empty(days, cells), torch.zeros(HEAD_DAYS, cells, network.hidden)
        for start in range(0, days, HEAD_DAYS):
            count = min(HEAD_DAYS, days - start)
            for i in range(count):
                recurrence.step(x_d[start + i], h[i])
            y[start : start + count] = network.head(2 * h).squeeze(-1)[:count]
        return y


def _matrix(network: EALSTM) -> Tensor:
    with torch.no_grad():
        whole = torch.cat([2 * network.weight_hh, network.weight_ih, network.bias[None]])
        whole[:, 2 * network.hidden :] *= 2
        return whole


class _Recurrence:
    """State of a batch of cells and its buffers."""

    def __init__(self, matrix: Tensor, inflow: Tensor, dynamic: int) -> None:
        cells, hidden = inflow.shape
        self.matrix, self.inflow = matrix, inflow
        self.state = torch.zeros(cells, hidden + dynamic + 1, dtype=matrix.dtype)
        self.state[:, -1] = 1
        self.h, self.x = self.state[:, :hidden], self.state[:, hidden:-1]
        self.c_twice, self.squashed = torch.zeros(cells, hidden), torch.empty(cells, hidden)
        self.product = torch.empty(cells, 3 * hidden, dtype=matrix.dtype)
        self.gates = torch.empty(cells, 3 * hidden)
        self.f, self.o, self.g = self.gates.split(hidden, dim=1)

    def step(self, x_t: Tensor, h_half: Tensor) -> None:
        """One day: inputs [B, D] -> h / 2 [B, H]."""
        self.x.copy_(x_t)
        torch.mm(self.state, self.matrix, out=self.product)
        torch.sigmoid(self.product, out=self.gates)
        self.g.sub_(0.5)
        self.c_twice.mul_(self.f).addcmul_(self.inflow, self.g)
        torch.sigmoid(self.c_twice, out=self.squashed)
        self.squashed.sub_(0.5)
        torch.mul(self.o, self.squashed, out=h_half)
        self.h.copy_(h_half)
