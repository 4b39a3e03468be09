"""The EA-LSTM's recurrence on a CPU with its gradient worked out by hand: in-place passes over saved buffers.

i = sigmoid(x_s W_s + b_s);  [f, o, g] = x_t W + h U + b;  c = sigmoid(f) c + i tanh(g);  h = sigmoid(o) tanh(c)
(Kratzert et al. 2019, HESS 23, 5089, equations 6-12).

With tanh(z) = 2 sigmoid(2 z) - 1 all gates are one sigmoid over contiguous memory: the columns of g are doubled, c is
carried as C = 2c and h as u = h / 2, and the factors go into the weights. Backward, with q = sigmoid(C):

    dC += du o q (1 - q);  do = du (q - 1/2);  df = dC C_before;  dg = dC 4i;  d(4i) += dC (g - 1/2);  dC *= f

where the gates' own slopes s (1 - s) follow, and the weights' gradient is one product over all days at the end.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_slope = torch.ops.aten.sigmoid_backward.grad_input
"""_slope(d, s, grad_input=out): out = d s (1 - s)."""


def recurrence(x_d: Tensor, i: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
    """Hidden states [T, B, H] from h = c = 0; differentiable once, in all but `x_d`.

    Parameters
    ----------
    x_d : [T, B, D] normalised daily inputs
    i : [B, H] input gate
    weight_ih, weight_hh, bias : [D, 3H], [H, 3H], [3H] of the gates f, o, g
    """
    return _Recurrence.apply(x_d, i, weight_ih, weight_hh, bias)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_d: Tensor, i: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
        (days, cells, dynamic), hidden = x_d.shape, i.shape[1]
        matrix = torch.cat([2 * weight_hh, weight_ih, bias[None]])
        matrix[:, 2 * hidden :] *= 2
        state = x_d.new_ones(days + 1, cells, hidden + dynamic + 1)
        state[0, :, :hidden] = 0
        state[:-1, :, hidden:-1] = x_d
        gates, squashed = x_d.new_empty(days, cells, 3 * hidden), x_d.new_empty(days, cells, hidden)
        c = x_d.new_zeros(days + 1, cells, hidden)
        inflow, centred = 4 * i, torch.empty_like(i)
        for t in range(days):
            torch.mm(state[t], matrix, out=gates[t])
            f, o, g = gates[t].sigmoid_().split(hidden, 1)
            torch.mul(c[t], f, out=c[t + 1]).addcmul_(inflow, torch.sub(g, 0.5, out=centred))
            torch.sigmoid(c[t + 1], out=squashed[t])
            torch.sub(squashed[t], 0.5, out=centred)
            state[t + 1, :, :hidden] = centred.mul_(o)
        ctx.save_for_backward(state, gates, c, squashed, inflow, matrix)
        return 2 * state[1:, :, :hidden]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        state, gates, c, squashed, inflow, matrix = ctx.saved_tensors
        hidden = inflow.shape[1]
        d_z, d_inflow = _through_time(2 * outputs[0], gates, c, squashed, inflow, matrix[:hidden].t().contiguous())
        d_matrix = state[:-1].flatten(0, 1).t() @ d_z.flatten(0, 1)
        d_matrix[:, 2 * hidden :] *= 2
        return None, 4 * d_inflow, d_matrix[hidden:-1], 2 * d_matrix[:hidden], d_matrix[-1]


def _through_time(
    d_outputs: Tensor, gates: Tensor, c: Tensor, squashed: Tensor, inflow: Tensor, back: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the gates before their sigmoid [T, B, 3H] and of the inflow [B, H], from those of u [T, B, H]."""
    d_z, d_inflow, d_c = torch.empty_like(gates), torch.zeros_like(inflow), torch.zeros_like(inflow)
    d_u, part = torch.empty_like(inflow), torch.empty_like(inflow)
    hidden = inflow.shape[1]
    for t in reversed(range(len(gates))):
        d_u.copy_(d_outputs[t])
        if t + 1 < len(gates):
            d_u.addmm_(d_z[t + 1], back)
        (f, o, g), (d_f, d_o, d_g) = gates[t].split(hidden, 1), d_z[t].split(hidden, 1)
        d_c += _slope(torch.mul(d_u, o, out=part), squashed[t], grad_input=part)
        _slope(torch.sub(squashed[t], 0.5, out=part).mul_(d_u), o, grad_input=d_o)
        _slope(torch.mul(d_c, c[t], out=part), f, grad_input=d_f)
        _slope(torch.mul(d_c, inflow, out=part), g, grad_input=d_g)
        d_inflow.addcmul_(d_c, torch.sub(g, 0.5, out=part))
        d_c *= f
    return d_z, d_inflow
