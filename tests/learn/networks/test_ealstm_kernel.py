import pytest
import torch

from somo.learn.checkpoint import Checkpoint
from somo.learn.networks.ealstm import EALSTM
from somo.learn.networks.ealstm_kernel import CpuForward
from somo.learn.networks.forward import load
from somo.learn.normalising import Scaler, Scaling
from somo.product.method import Sequence
from somo.product.network import Ealstm

DAYS, CELLS, HIDDEN = 45, 7, 16


def checkpoint(head_layers=1, clip=None):
    torch.manual_seed(1)
    network = EALSTM(3, 2, HIDDEN, forget_bias=1.0, head_layers=head_layers)
    weights = {k: w + 0.3 * torch.randn_like(w) for k, w in network.state_dict().items()}
    dynamic = Scaler(("air_temperature", "precipitation", "x"), ("", "log1p", ""), (280.0, 0.5, 0.0), (8.0, 0.7, 1.0))
    scaling = Scaling(
        dynamic, Scaler(("a", "b"), ("", ""), (1.0, 2.0), (3.0, 4.0)), Scaler(("y",), ("",), (0.2,), (0.1,))
    )
    return Checkpoint("layer1", 0, weights, scaling, Sequence(), Ealstm(hidden=HIDDEN, head_layers=head_layers), clip)


@pytest.fixture
def inputs():
    torch.manual_seed(2)
    x_d = torch.stack([280 + 8 * torch.randn(DAYS, CELLS), 3 * torch.rand(DAYS, CELLS), torch.randn(DAYS, CELLS)], 2)
    return x_d, torch.randn(CELLS, 2)


@pytest.mark.parametrize("head_layers", [1, 2])
def test_equals_the_fused_network(inputs, head_layers):
    forward = load(checkpoint(head_layers))
    torch.testing.assert_close(CpuForward.of(forward)(*inputs), forward(*inputs), rtol=0, atol=2e-6)


def test_equals_the_plain_loop(inputs):
    forward = load(checkpoint())
    scaling = forward.scaling
    x_d, x_s = scaling.dynamic.apply(inputs[0]), scaling.static.apply(inputs[1])
    with torch.no_grad():
        plain = scaling.target.invert(forward.network(x_d, x_s, road="loop").unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(CpuForward.of(forward)(*inputs), plain, rtol=0, atol=2e-6)


def test_one_unit_by_hand():
    """One hidden unit, one day: i = s(0.5), f = s(1), o = s(2), g = tanh(3); c = i g, h = o tanh(c), y = 2 h + 1."""
    weights = {
        "weight_ih": torch.tensor([[1.0, 2.0, 3.0]]),
        "weight_hh": torch.zeros(1, 3),
        "weight_sh": torch.tensor([[0.5]]),
        "bias": torch.zeros(3),
        "bias_s": torch.zeros(1),
        "head.0.weight": torch.tensor([[2.0]]),
        "head.0.bias": torch.tensor([1.0]),
    }
    plain = Scaler(("x",), ("",), (0.0,), (1.0,))
    member = Checkpoint("layer1", 0, weights, Scaling(plain, plain, plain), Sequence(), Ealstm(hidden=1), None)
    y = CpuForward.of(load(member))(torch.ones(1, 1, 1), torch.ones(1, 1))
    i, o, g = 0.6224593, 0.8807971, 0.9950548
    assert y.item() == pytest.approx(2 * o * torch.tanh(torch.tensor(i * g)).item() + 1, abs=1e-6)


def test_last_days_and_clip(inputs):
    low = load(checkpoint(clip=0.21))
    y = CpuForward.of(low)(*inputs, last_n=5)
    assert y.shape == (5, CELLS)
    assert y.min() == pytest.approx(0.21)
    torch.testing.assert_close(y, low(*inputs, last_n=5), rtol=0, atol=2e-6)


def test_a_cell_does_not_depend_on_its_neighbours(inputs):
    forward = CpuForward.of(load(checkpoint()))
    alone = torch.cat([forward(inputs[0][:, i : i + 1], inputs[1][i : i + 1]) for i in range(CELLS)], dim=1)
    torch.testing.assert_close(forward(*inputs), alone, rtol=0, atol=1e-6)


def test_days_that_follow_change_nothing(inputs):
    forward = CpuForward.of(load(checkpoint()))
    assert torch.equal(forward(*inputs)[:33], forward(inputs[0][:33], inputs[1]))


def test_bfloat16_stays_close(inputs):
    exact = load(checkpoint())(*inputs)
    rounded = CpuForward.of(load(checkpoint(), dtype=torch.bfloat16))(*inputs)
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.01
