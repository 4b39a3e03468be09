import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.learn.checkpoint import Checkpoint
from somo.learn.networks.ealstm import EALSTM, Road, cascade, load, pick_device
from somo.learn.normalising import Scaler, Scaling
from tests.learn import made

DEVICE = pick_device()
FAST_ROADS: tuple[Road, ...] = ("fused", "recurrence")


def random_network(n_dynamic: int, n_static: int, hidden: int, seed: int = 0, head_layers: int = 1) -> EALSTM:
    torch.manual_seed(seed)
    net = EALSTM(n_dynamic, n_static, hidden, head_layers=head_layers)
    for parameter in net.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return net.to(DEVICE)


def inputs(net: EALSTM, n_days: int, n_batch: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    x_d = torch.randn(n_days, n_batch, net.weight_ih.shape[0], generator=g)
    x_s = torch.randn(n_batch, net.weight_sh.shape[0], generator=g)
    return x_d.to(DEVICE), x_s.to(DEVICE)


def gradients(net: EALSTM, x_d: torch.Tensor, x_s: torch.Tensor, road: Road | None = None) -> dict[str, torch.Tensor]:
    net.zero_grad()
    net(x_d, x_s, road=road).square().mean().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters()}


def require_equal_roads(net: EALSTM, x_d: torch.Tensor, x_s: torch.Tensor) -> None:
    loop, want = gradients(net, x_d, x_s, "loop"), net(x_d, x_s, road="loop").detach()
    for road in FAST_ROADS:
        net.train()
        torch.testing.assert_close(net(x_d, x_s, road=road), want, atol=1e-5, rtol=0)
        for name, gradient in gradients(net, x_d, x_s, road).items():
            torch.testing.assert_close(gradient, loop[name], atol=1e-4, rtol=0)
        net.eval()
        with torch.inference_mode():
            torch.testing.assert_close(net(x_d, x_s, road=road), want, atol=1e-5, rtol=0)


def test_one_step_by_hand():
    """D = S = H = 1, one day, x_t = 1, x_s = 2: i = s(2 * 0.5 - 1) = 0.5; o = s(0.5 + 0.25), g = -0.5 + 1."""
    net = EALSTM(1, 1, 1).to(DEVICE)
    with torch.no_grad():
        net.weight_ih.copy_(torch.tensor([[2.0, 0.5, -0.5]]))
        net.bias.copy_(torch.tensor([3.0, 0.25, 1.0]))
        net.weight_sh.fill_(0.5)
        net.bias_s.fill_(-1.0)
        net.head[0].weight.fill_(10.0)
        net.head[0].bias.fill_(1.0)
    h = 1 / (1 + math.exp(-0.75)) * math.tanh(0.5 * math.tanh(0.5))
    assert h == pytest.approx(0.679179 * 0.227032, abs=1e-6)
    one, two = torch.ones(1, 1, 1, device=DEVICE), torch.full((1, 1), 2.0, device=DEVICE)
    for road in (*FAST_ROADS, "loop"):
        assert net(one, two, road=road).item() == pytest.approx(1 + 10 * h, abs=1e-5)


def test_second_step_remembers_by_the_forget_gate():
    """All weights 0 but the biases: c_1 = i g, c_2 = f c_1 + i g with f = s(b_f)."""
    net = EALSTM(1, 1, 1).to(DEVICE)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
        net.bias.copy_(torch.tensor([math.log(3.0), 0.0, 1.0]))
        net.head[0].weight.fill_(1.0)
    i, f, o, g = 0.5, 0.75, 0.5, math.tanh(1.0)
    want = [o * math.tanh(i * g), o * math.tanh(f * i * g + i * g)]
    got = net(torch.zeros(2, 1, 1, device=DEVICE), torch.zeros(1, 1, device=DEVICE))
    assert got.flatten().tolist() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (5, 3, 128, 30, 4), (1, 4, 3, 7, 1), (4, 1, 1, 1, 6)])
def test_every_road_equals_the_loop(shape):
    n_dynamic, n_static, hidden, n_days, n_batch = shape
    net = random_network(n_dynamic, n_static, hidden)
    require_equal_roads(net, *inputs(net, n_days, n_batch))


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3, st.integers(1, 25), st.integers(1, 7)), st.integers(0, 2**31))
def test_every_road_equals_the_loop_for_any_shape(shape, seed):
    n_dynamic, n_static, hidden, n_days, n_batch = shape
    net = random_network(n_dynamic, n_static, hidden, seed)
    require_equal_roads(net, *inputs(net, n_days, n_batch, seed + 1))


# Whoever imports NeuralHydrology first compiles it, and is told of its strings that should be raw.
@pytest.mark.filterwarnings("ignore:invalid escape sequence")
@pytest.mark.parametrize("shape", [(4, 3, 16, 20, 5), (1, 1, 1, 1, 1)])
def test_equals_neuralhydrology(shape, tmp_path):
    config = pytest.importorskip("neuralhydrology.utils.config")
    from neuralhydrology.modelzoo.ealstm import EALSTM as TheirEALSTM

    n_dynamic, n_static, hidden, n_days, n_batch = shape
    net = random_network(n_dynamic, n_static, hidden)
    theirs = TheirEALSTM(config.Config(neuralhydrology_settings(n_dynamic, n_static, hidden))).to(DEVICE)
    theirs.load_state_dict(their_weights(net))
    x_d, x_s = inputs(net, n_days, n_batch)
    data = {"x_d": {f"d{i}": x_d[..., i : i + 1].transpose(0, 1) for i in range(n_dynamic)}, "x_s": x_s}
    y = theirs(data)["y_hat"][..., 0].t()
    torch.testing.assert_close(net(x_d, x_s), y, atol=1e-5, rtol=0)
    y.square().mean().backward()
    ours = gradients(net, x_d, x_s)
    torch.testing.assert_close(ours["weight_hh"], theirs.dynamic_gates.weight_hh.grad, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours["weight_ih"], theirs.dynamic_gates.weight_ih.grad, atol=1e-4, rtol=0)
    torch.testing.assert_close(ours["weight_sh"], theirs.input_gate.weight.grad.t(), atol=1e-4, rtol=0)


def neuralhydrology_settings(n_dynamic: int, n_static: int, hidden: int) -> dict:
    return {
        "model": "ealstm",
        "head": "regression",
        "hidden_size": hidden,
        "output_dropout": 0.0,
        "target_variables": ["y"],
        "dynamic_inputs": [f"d{i}" for i in range(n_dynamic)],
        "static_attributes": [f"s{i}" for i in range(n_static)],
        "initial_forget_bias": 1.0,
        "use_basin_id_encoding": False,
        "predict_last_n": 1,
        "seq_length": 5,
    }


def their_weights(net: EALSTM) -> dict[str, torch.Tensor]:
    """Spelled out here, apart from the import and export that they also check."""
    state = {name: p.detach() for name, p in net.named_parameters()}
    return {
        "dynamic_gates.weight_ih": state["weight_ih"],
        "dynamic_gates.weight_hh": state["weight_hh"],
        "dynamic_gates.bias": state["bias"],
        "input_gate.weight": state["weight_sh"].t(),
        "input_gate.bias": state["bias_s"],
        "head.net.0.weight": state["head.0.weight"],
        "head.net.0.bias": state["head.0.bias"],
    }


def test_initial_weights():
    net = EALSTM(4, 3, 6, forget_bias=5.0)
    assert torch.equal(net.weight_hh, torch.eye(6).repeat(1, 3))
    assert net.bias.tolist() == [5.0] * 6 + [0.0] * 12
    assert torch.equal(net.bias_s, torch.zeros(6))
    torch.testing.assert_close(net.weight_ih @ net.weight_ih.t(), torch.eye(4))
    torch.testing.assert_close(net.weight_sh @ net.weight_sh.t(), torch.eye(3))


def test_head_of_two_layers_is_rectified_in_between():
    net = random_network(2, 2, 4, head_layers=2)
    x_d, x_s = inputs(net, 6, 3)
    h = net.states_fused(x_d, x_s)
    want = torch.relu(h @ net.head[0].weight.t() + net.head[0].bias) @ net.head[2].weight.t() + net.head[2].bias
    torch.testing.assert_close(net(x_d, x_s, last_n=2), want[-2:, :, 0], atol=1e-6, rtol=0)


def checkpoint(layer: str, dynamic: tuple[str, ...], seed: int, clip: float | None = 0.0) -> Checkpoint:
    net = random_network(len(dynamic), 2, made.NETWORK.hidden, seed).cpu()
    scaler = Scaler(dynamic, ("log1p",) + ("",) * (len(dynamic) - 1), (1.0,) * len(dynamic), (2.0,) * len(dynamic))
    scaling = Scaling(
        scaler, Scaler(("a", "b"), ("", ""), (0.0, 1.0), (1.0, 1.0)), Scaler((layer,), ("",), (0.2,), (0.5,))
    )
    return Checkpoint(layer, 0, dict(net.state_dict()), scaling, made.SEQUENCE, made.NETWORK, clip)


def test_physical_units_in_and_out():
    loaded = checkpoint("layer1", ("precipitation", "air_temperature"), 0)
    forward = load(loaded)
    x_d, x_s = torch.rand(5, 3, 2) * 9, torch.rand(3, 2)
    z_d = torch.stack([(torch.log1p(x_d[..., 0]) - 1) / 2, (x_d[..., 1] - 1) / 2], dim=-1)
    y = forward.network(z_d, x_s - torch.tensor([0.0, 1.0])) * 0.5 + 0.2
    torch.testing.assert_close(forward(x_d, x_s), y.clamp(min=0).detach())
    torch.testing.assert_close(forward(x_d, x_s, last_n=2), forward(x_d, x_s)[-2:])


def test_clips_at_its_limit_only():
    """A head bias of -1 puts most predictions below 0: 0.5 (-1 + w h) + 0.2."""
    loaded = [checkpoint("layer1", ("precipitation",), 3, clip) for clip in (None, 0.0)]
    for each in loaded:
        each.weights["head.0.bias"].fill_(-1.0)
    free, held = (load(each) for each in loaded)
    x_d, x_s = torch.rand(20, 5, 1) * 30, torch.randn(5, 2) * 3
    assert free(x_d, x_s).min() < 0
    torch.testing.assert_close(held(x_d, x_s), free(x_d, x_s).clamp(min=0))


def test_cascade_feeds_the_members_mean_downward():
    upper = [load(checkpoint("layer1", ("precipitation",), seed)) for seed in (0, 1)]
    lower = [load(checkpoint("layer2", ("precipitation", "soil_moisture_layer1"), 2))]
    x_d, x_s = torch.rand(6, 4, 1), torch.rand(4, 2)
    first, second = cascade([upper, lower], x_d, x_s)
    mean = (upper[0](x_d, x_s) + upper[1](x_d, x_s)) / 2
    assert torch.equal(first, torch.stack([member(x_d, x_s) for member in upper]))
    torch.testing.assert_close(second[0], lower[0](torch.cat([x_d, mean[..., None]], dim=2), x_s))


@pytest.mark.skipif(
    DEVICE.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="no bfloat16 here"
)
def test_bfloat16_stays_close():
    loaded = checkpoint("layer1", ("precipitation",), 0)
    x_d, x_s = torch.rand(50, 8, 1) * 9, torch.rand(8, 2)
    half = load(loaded, DEVICE, torch.bfloat16)(x_d, x_s)
    torch.testing.assert_close(half, load(loaded, DEVICE)(x_d, x_s), atol=0.01, rtol=0)
