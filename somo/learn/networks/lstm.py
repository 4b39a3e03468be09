"""An ordinary LSTM whose daily input is the forcing of the day and the static features of the cell, side by side."""

import torch
from torch import Tensor, nn

from somo.product.network import Lstm, NetworkKind


class LSTM(nn.Module):
    """LSTM of one layer with a dense head, from h = c = 0.

    [i, f, g, o] = W [x_t, x_s] + U h + b;  c = sigmoid(f) c + sigmoid(i) tanh(g);  h = sigmoid(o) tanh(c)
    (Kratzert et al. 2019, HESS 23, 5089: the LSTM with static inputs that the entity-aware one is compared with).

    Parameters
    ----------
    n_dynamic, n_static : number of inputs per day and per cell
    hidden : number H of hidden units
    dropout : share of hidden units zeroed before the head while training
    forget_bias : initial bias of the forget gate
    """

    def __init__(self, n_dynamic: int, n_static: int, hidden: int, dropout: float, forget_bias: float) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(n_dynamic + n_static, hidden)
        with torch.no_grad():
            # torch adds two biases and orders the gates i, f, g, o.
            self.recurrent.get_parameter("bias_ih_l0")[hidden : 2 * hidden] = forget_bias
            self.recurrent.get_parameter("bias_hh_l0")[hidden : 2 * hidden] = 0
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Normalised prediction [n, B] of the last n days (all of them when `last_n` is None).

        Parameters
        ----------
        x_d : [T, B, D] normalised daily inputs
        x_s : [B, S] normalised static inputs
        """
        h, _ = self.recurrent(torch.cat([x_d, x_s.to(x_d.dtype).expand(len(x_d), -1, -1)], dim=2))
        h = h if last_n is None else h[-last_n:]
        prediction: Tensor = self.head(self.dropout(h)).squeeze(-1)
        return prediction


def build(n_dynamic: int, n_static: int, settings: NetworkKind) -> LSTM:
    """A network with fresh weights."""
    assert isinstance(settings, Lstm)
    return LSTM(n_dynamic, n_static, settings.hidden, settings.dropout, settings.forget_bias)
