"""EA-LSTM (Kratzert et al. 2019) on fused LSTM kernels or its own recurrence, and the plain loop they must equal."""

from typing import Literal

import torch
from torch import Tensor, nn

from somo.learn.networks.recurrence import recurrence
from somo.product.network import Ealstm, NetworkKind

Road = Literal["fused", "recurrence", "loop"]
# Cells times hidden units up to which the fused kernel trains faster on one thread of a CPU, as workers train.
# `OMP_NUM_THREADS=1 make bench PART=learn` compares both; its batches of 64 cells have twice as many.
CACHED = 4_096


class EALSTM(nn.Module):
    """Entity-aware LSTM whose input gate depends on the static features alone, with a dense head.

    i = sigmoid(x_s W_s + b_s);  [f, o, g] = x_t W + h U + b;  c = sigmoid(f) c + i tanh(g);  h = sigmoid(o) tanh(c),
    from h = c = 0 (Kratzert et al. 2019, HESS 23, 5089, equations 6-12).

    Parameters
    ----------
    n_dynamic, n_static : number D of inputs per day and S of inputs per cell
    hidden : number H of hidden units
    dropout : share of hidden units zeroed before the head while training
    forget_bias : initial bias of the forget gate
    head_layers : dense layers after the LSTM; all but the last keep H units and are rectified
    """

    def __init__(
        self,
        n_dynamic: int,
        n_static: int,
        hidden: int,
        dropout: float = 0.0,
        forget_bias: float = 5.0,
        head_layers: int = 1,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.weight_ih = nn.Parameter(nn.init.orthogonal_(torch.empty(n_dynamic, 3 * hidden)))
        # Kratzert's code begins so: the identity for every gate, and a forget bias of 5, which keeps 99 % of c a day.
        # Both are written into zeros: on the device `meta`, torch.eye and torch.cat import PyTorch's compiler, which
        # cost every process that reads a checkpoint two seconds.
        self.weight_hh = nn.Parameter(torch.zeros(hidden, 3 * hidden))
        self.weight_sh = nn.Parameter(nn.init.orthogonal_(torch.empty(n_static, hidden)))
        self.bias = nn.Parameter(torch.zeros(3 * hidden))
        with torch.no_grad():
            for gate in self.weight_hh.chunk(3, dim=1):
                gate.diagonal().fill_(1.0)
            self.bias[:hidden] = forget_bias
        self.bias_s = nn.Parameter(torch.zeros(hidden))
        self.dropout = nn.Dropout(dropout)
        inner = [module for _ in range(head_layers - 1) for module in (nn.Linear(hidden, hidden), nn.ReLU())]
        self.head = nn.Sequential(*inner, nn.Linear(hidden, 1))

    def forward(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None, road: Road | None = None) -> Tensor:
        """Normalised prediction [n, B] of the last n days (all of them when `last_n` is None).

        Parameters
        ----------
        x_d : [T, B, D] normalised daily inputs
        x_s : [B, S] normalised static inputs
        road : how the hidden states are computed; None for the fastest: `recurrence` for training on a CPU in full
            precision where the gates of a day outgrow its cache, else `fused`
        """
        if road is None:
            large = torch.is_grad_enabled() and x_d.shape[1] * self.hidden > CACHED
            road = "recurrence" if large and x_d.device.type == "cpu" and x_d.dtype.itemsize >= 4 else "fused"
        h = {"fused": self.states_fused, "recurrence": self.states_recurrence, "loop": self.states_loop}[road](x_d, x_s)
        h = h if last_n is None else h[-last_n:]
        # Whatever the recurrence ran in, the head adds up in the weights' own precision.
        prediction: Tensor = self.head(self.dropout(h.to(self.bias.dtype))).squeeze(-1)
        return prediction

    def states_recurrence(self, x_d: Tensor, x_s: Tensor) -> Tensor:
        """Hidden states [T, B, H] by the recurrence with its gradient worked out by hand."""
        i = torch.sigmoid(x_s @ self.weight_sh + self.bias_s)
        return recurrence(x_d, i, self.weight_ih, self.weight_hh, self.bias)

    def states_fused(self, x_d: Tensor, x_s: Tensor) -> Tensor:
        """Hidden states [T, B, H] by the framework's fused kernel (oneDNN, cuDNN), in the dtype of `x_d`."""
        n_steps, n_batch, _ = x_d.shape
        x = torch.cat([x_d, x_s.to(x_d.dtype).expand(n_steps, -1, -1)], dim=2)
        zero = x.new_zeros(1, n_batch, self.hidden)
        weights = [w.to(x.dtype) for w in self._lstm_weights()]
        if x.is_cuda:
            weights = _contiguous(weights)
        # torch.nn.LSTM keeps weights of its own; this call takes assembled ones and passes their gradients on.
        return torch._VF.lstm(x, (zero, zero), weights, True, 1, 0.0, self.training, False, False)[0]

    def _lstm_weights(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """This network as an ordinary LSTM over [x_t, x_s]: [4H, D+S], [4H, H], [4H], [4H]; gates i, f, g, o.

        The input gate has zero weights on x_t and h, the other gates have zero weights on x_s.
        """
        w_f, w_o, w_g = self.weight_ih.t().chunk(3)
        u_f, u_o, u_g = self.weight_hh.t().chunk(3)
        b_f, b_o, b_g = self.bias.chunk(3)
        w_s = self.weight_sh.t()
        dynamic = torch.cat([w_f.new_zeros(w_f.shape), w_f, w_g, w_o])
        static = torch.cat([w_s, w_s.new_zeros(3 * self.hidden, w_s.shape[1])])
        recurrent = torch.cat([u_f.new_zeros(u_f.shape), u_f, u_g, u_o])
        bias = torch.cat([self.bias_s, b_f, b_g, b_o])
        # torch's LSTM adds two biases; this network has one.
        return torch.cat([dynamic, static], dim=1), recurrent, bias, torch.zeros_like(bias)

    def states_loop(self, x_d: Tensor, x_s: Tensor) -> Tensor:
        """Hidden states [T, B, H] by one step after the other: the second road that the others must equal."""
        i = torch.sigmoid(x_s @ self.weight_sh + self.bias_s)
        h = c = x_d.new_zeros(x_d.shape[1], self.hidden)
        states = []
        for x_t in x_d:
            f, o, g = (h @ self.weight_hh + x_t @ self.weight_ih + self.bias).chunk(3, dim=1)
            c = torch.sigmoid(f) * c + i * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states)


def _contiguous(weights: list[Tensor]) -> list[Tensor]:
    """The same weights as views of one buffer, which is how cuDNN takes them without a copy and a warning."""
    flat = torch.cat([w.flatten() for w in weights])
    return [piece.view_as(w) for piece, w in zip(flat.split([w.numel() for w in weights]), weights, strict=True)]


def build(n_dynamic: int, n_static: int, settings: NetworkKind) -> EALSTM:
    """A network with fresh weights."""
    assert isinstance(settings, Ealstm)
    return EALSTM(n_dynamic, n_static, settings.hidden, settings.dropout, settings.forget_bias, settings.head_layers)
