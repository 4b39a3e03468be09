"""The ordinary LSTM against its equations, one step after the other."""

import pytest
import torch

from somo.learn.networks.lstm import LSTM, build
from somo.product.network import Lstm


def by_its_equations(net: LSTM, x_d: torch.Tensor, x_s: torch.Tensor) -> torch.Tensor:
    """[T, B] by a loop that shares nothing with torch's LSTM but the weights."""
    recurrent = net.recurrent
    h = c = torch.zeros(x_d.shape[1], recurrent.hidden_size)
    predictions = []
    for x_t in x_d:
        inflow = torch.cat([x_t, x_s], dim=1) @ recurrent.weight_ih_l0.t() + recurrent.bias_ih_l0
        i, f, g, o = (inflow + h @ recurrent.weight_hh_l0.t() + recurrent.bias_hh_l0).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        predictions.append((h @ net.head.weight.t() + net.head.bias)[:, 0])
    return torch.stack(predictions)


def test_equals_its_equations():
    torch.manual_seed(0)
    net = build(3, 2, Lstm(hidden=5, dropout=0.0))
    x_d, x_s = torch.randn(11, 4, 3), torch.randn(4, 2)
    with torch.no_grad():
        torch.testing.assert_close(net(x_d, x_s), by_its_equations(net, x_d, x_s), rtol=0, atol=1e-6)
        torch.testing.assert_close(net(x_d, x_s, 3), net(x_d, x_s)[-3:], rtol=0, atol=0)


def test_one_unit_by_hand():
    """One unit, one day, inputs 1 and 0.5: i = o = s(1.5), g = tanh(1.5); h = o tanh(i g), y = 2 h."""
    net = build(1, 1, Lstm(hidden=1, dropout=0.0))
    with torch.no_grad():
        net.recurrent.weight_ih_l0.fill_(1.0)
        net.recurrent.bias_ih_l0[[0, 2, 3]] = 0.0
        net.recurrent.bias_hh_l0.zero_()
        net.head.weight.fill_(2.0)
        net.head.bias.zero_()
        y = net(torch.ones(1, 1, 1), torch.full((1, 1), 0.5))
    i = o = 0.8175745
    assert y.item() == pytest.approx(2 * o * torch.tanh(torch.tensor(i * 0.9051483)).item(), abs=1e-6)


def test_forgets_slowly_at_first():
    biases = build(3, 2, Lstm(hidden=4, forget_bias=3.0)).recurrent
    assert torch.equal((biases.bias_ih_l0 + biases.bias_hh_l0)[4:8], torch.full((4,), 3.0))
