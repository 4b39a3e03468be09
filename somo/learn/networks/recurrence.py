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
    # torch leaves `apply` without types.
    states: Tensor = _Recurrence.apply(x_d, i, weight_ih, weight_hh, bias)  # type: ignore[no-untyped-call]
    return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_d: Tensor, i: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor) -> Tensor:
        (days, cells, dynamic), hidden = x_d.shape, i.shape[1]
        matrix = torch.cat([2 * weight_hh, weight_ih, bias[None]])
        # Gate g is asked at twice its argument, for tanh(z) = 2 sigmoid(2 z) - 1; `backward` undoes it.
        matrix[:, 2 * hidden :] *= 2
        state = x_d.new_ones(days + 1, cells, hidden + dynamic + 1)
        state[0, :, :hidden] = 0
        state[:-1, :, hidden:-1] = x_d
        gates, squashed = x_d.new_empty(days, cells, 3 * hidden), x_d.new_empty(days, cells, hidden)
        c = x_d.new_zeros(days + 1, cells, hidden)
        inflow, centred, half = 4 * i, torch.empty_like(i), i.new_tensor(0.5)
        u = state[1:, :, :hidden]
        # All days' views come from one call each: cut day by day they cost as much as an elementwise pass.
        by_day = (state[:-1], gates, *gates.split(hidden, 2), c[:-1], c[1:], squashed, u)
        for state_t, gates_t, f, o, g, c_before, c_t, squashed_t, u_t in zip(*by_day, strict=True):
            torch.mm(state_t, matrix, out=gates_t)
            gates_t.sigmoid_()
            torch.mul(c_before, f, out=c_t).addcmul_(inflow, torch.sub(g, half, out=centred))
            torch.sigmoid(c_t, out=squashed_t)
            torch.sub(squashed_t, half, out=centred)
            u_t.copy_(centred.mul_(o))
        ctx.save_for_backward(state, gates, c, squashed, inflow, matrix)
        return 2 * u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:
        state, gates, c, squashed, inflow, matrix = ctx.saved_tensors
        hidden = inflow.shape[1]
        d_z, d_inflow = _through_time(2 * outputs[0], gates, c, squashed, inflow, matrix[:hidden].t().contiguous())
        d_matrix = state[:-1].flatten(0, 1).t() @ d_z.flatten(0, 1)
        d_matrix[:, 2 * hidden :] *= 2
        # Nothing is learnt of the forcing, so its gradient, a product over all days, is not computed.
        return None, 4 * d_inflow, d_matrix[hidden:-1], 2 * d_matrix[:hidden], d_matrix[-1]


def _through_time(
    d_outputs: Tensor, gates: Tensor, c: Tensor, squashed: Tensor, inflow: Tensor, back: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the gates before their sigmoid [T, B, 3H] and of the inflow [B, H], from those of u [T, B, H]."""
    d_z, d_inflow, d_c = torch.empty_like(gates), torch.zeros_like(inflow), torch.zeros_like(inflow)
    d_u, scratch, half = torch.empty_like(inflow), torch.empty_like(inflow), inflow.new_tensor(0.5)
    hidden = inflow.shape[1]
    following = torch.zeros_like(d_z[0])
    by_day = (d_outputs, gates, *gates.split(hidden, 2), d_z, *d_z.split(hidden, 2), c[:-1], squashed)
    for d_output, gate, f, o, g, d_gate, d_f, d_o, d_g, c_before, q in reversed(list(zip(*by_day, strict=True))):
        torch.addmm(d_output, following, back, out=d_u)
        d_c += _slope(torch.mul(d_u, o, out=scratch), q, grad_input=scratch)
        torch.mul(torch.sub(q, half, out=scratch), d_u, out=d_o)
        torch.mul(d_c, c_before, out=d_f)
        torch.mul(d_c, inflow, out=d_g)
        following = _slope(d_gate, gate, grad_input=d_gate)
        d_inflow.addcmul_(d_c, torch.sub(g, half, out=scratch))
        d_c *= f
    return d_z, d_inflow
