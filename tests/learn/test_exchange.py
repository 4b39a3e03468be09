import pickle
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.command.models import app
from somo.learn import LearnError
from somo.learn.checkpoint import write_checkpoint
from somo.learn.exchange import from_state_dict, import_checkpoint, read_description, read_state_dict, to_state_dict
from somo.learn.networks.forward import load
from somo.learn.uncertainty import UNCERTAINTY, Uncertainty, fit_uncertainty, uncertainty_of_member, write_uncertainties
from tests.learn.networks.test_ealstm import random_network, their_weights

DESCRIBED = """
source = "made up"
clip = 0.0
target = { name = "layer1", mean = 0.2, std = 0.1 }
sequence = { lookback = 365, predict_last_n = 1 }
[[dynamic]]
name = "precipitation"
transform = "log1p"
mean = 0.7
std = 0.9
[[dynamic]]
name = "air_temperature"
mean = 283
std = 8
[[static]]
name = "sand"
mean = 40
std = 10
"""


def kratzert_weights(net):
    state = {name: p.detach() for name, p in net.named_parameters()}
    names = {n: f"lstm.{n}" for n in ("weight_ih", "weight_hh", "weight_sh", "bias", "bias_s")}
    return {
        **{theirs: state[ours] for ours, theirs in names.items()},
        "fc.weight": state["head.0.weight"],
        "fc.bias": state["head.0.bias"],
    }


@pytest.mark.parametrize("theirs", [kratzert_weights, their_weights])
def test_there_and_back(theirs):
    net = random_network(2, 1, 4)
    weights = from_state_dict(theirs(net))
    assert all(torch.equal(weights[name], p) for name, p in net.state_dict().items())
    style = "kratzert" if theirs is kratzert_weights else "neuralhydrology"
    back = to_state_dict(weights, style)
    assert all(torch.equal(back[name], p) for name, p in theirs(net).items())


def kratzert_cell(w, x_d, x_s):
    """The original's forward, written from its paper: gates f, o, g; the last day's output."""
    i = torch.sigmoid(x_s @ w["lstm.weight_sh"] + w["lstm.bias_s"])
    h = c = torch.zeros_like(i)
    for x in x_d:
        f, o, g = torch.chunk(torch.addmm(w["lstm.bias"], h, w["lstm.weight_hh"]) + x @ w["lstm.weight_ih"], 3, 1)
        c = torch.sigmoid(f) * c + i * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
    return (h @ w["fc.weight"].t() + w["fc.bias"])[:, 0]


def test_a_published_model_predicts_as_it_did(tmp_path):
    net = random_network(2, 1, 4).cpu()
    path, toml = tmp_path / "model.pt", tmp_path / "model.toml"
    torch.save(kratzert_weights(net), path)
    toml.write_text(DESCRIBED)
    checkpoint = import_checkpoint(read_state_dict(str(path)), read_description(str(toml)), "layer1", 0)
    x_d, x_s = torch.rand(30, 5, 2) * 20 + torch.tensor([0.0, 270.0]), torch.rand(5, 1) * 80
    z_d = torch.stack([(torch.log1p(x_d[..., 0]) - 0.7) / 0.9, (x_d[..., 1] - 283) / 8], dim=-1)
    want = (kratzert_cell(kratzert_weights(net), z_d, (x_s - 40) / 10) * 0.1 + 0.2).clamp(min=0)
    torch.testing.assert_close(load(checkpoint)(x_d, x_s, 1)[0], want, atol=1e-6, rtol=0)
    assert checkpoint.sequence.lag_days == 0


def test_an_exported_member_comes_back_with_its_limits_and_its_calibration(tmp_path):
    """Weights in another style and the description beside them predict as the member did, to the bit."""
    net = random_network(2, 1, 4).cpu()
    (tmp_path / "model.toml").write_text(DESCRIBED + "\n")
    described = read_description(str(tmp_path / "model.toml"))
    first = import_checkpoint(kratzert_weights(net), described, "layer1", 0)
    limited = replace(first.scaling, static=replace(first.scaling.static, limit=1.5))
    member = replace(first, scaling=limited, clip=None)
    g = np.random.default_rng(0)
    y_hat, index, cell = g.uniform(0.1, 0.4, 300), g.uniform(0, 1, 300), np.arange(300) // 10
    uncertainty = fit_uncertainty("layer1", y_hat + g.normal(0, 0.03, 300), y_hat, index, cell)
    stem = str(tmp_path / "ensemble" / "layer1" / "member0")
    write_checkpoint(stem, member)
    assert uncertainty_of_member(stem, "layer1") is None
    write_uncertainties(str(tmp_path / "ensemble" / UNCERTAINTY), [uncertainty])
    exported = CliRunner().invoke(app, ["export", stem, "--to", str(tmp_path / "out.safetensors")])
    assert exported.exit_code == 0, exported.output
    carried = read_description(str(tmp_path / "out.toml"))
    back = import_checkpoint(read_state_dict(str(tmp_path / "out.safetensors")), carried, "layer1", 0)
    assert back.scaling == member.scaling
    assert back.sequence == member.sequence
    assert Uncertainty.from_dict(carried.uncertainty) == uncertainty
    x_d, x_s = torch.rand(30, 5, 2) * 20 + torch.tensor([0.0, 270.0]), torch.rand(5, 1) * 80
    torch.testing.assert_close(load(back)(x_d, x_s), load(member)(x_d, x_s).clamp(min=0), atol=0, rtol=0)


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"lstm.bias": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(LearnError, match="not a file of tensors alone"):
        read_state_dict(str(tmp_path / "evil.pt"))


def test_contradictions_are_named(tmp_path):
    toml = tmp_path / "model.toml"
    toml.write_text(DESCRIBED)
    with pytest.raises(LearnError, match="take 3 dynamic inputs, the description lists 2: precipitation, air_temp"):
        import_checkpoint(kratzert_weights(random_network(3, 1, 4)), read_description(str(toml)), "layer1", 0)
    with pytest.raises(LearnError, match="are of no EA-LSTM known here"):
        from_state_dict({"what": torch.ones(1)})
    toml.write_text(DESCRIBED.replace("std = 10", "std = 0"))
    with pytest.raises(LearnError, match=r"static.0.std"):
        read_description(str(toml))
    with pytest.raises(LearnError, match="EA-LSTM with one dense layer"):
        to_state_dict(random_network(2, 1, 4, head_layers=2).state_dict(), "kratzert")


class Harm:
    """What a pickle runs when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_that_would_run_code_are_refused(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Harm(ran), protocol=2))
    torch.save({"lstm.weight_ih": Harm(ran)}, tmp_path / "zipped.pt")
    (tmp_path / "disguised.safetensors").write_bytes(pickle.dumps(Harm(ran), protocol=2))
    for name, words in (
        ("bare.pt", "not a file of tensors alone"),
        ("zipped.pt", "not a file of tensors alone"),
        ("disguised.safetensors", "not a safetensors file"),
    ):
        with pytest.raises(LearnError, match=rf"{name}: {words}"):
            read_state_dict(str(tmp_path / name))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("header_bytes", "described"),
    [
        (2**62, b"{}"),
        (90_000_000, b"{}"),
        (None, b'{"a": {"dtype": "F32", "shape": [1099511627776], "data_offsets": [0, 4]}}'),
        (None, b'{"a": {"dtype": "F32", "shape": [100], "data_offsets": [0, 400]}}'),
        (None, b'{"a": {"dtype": "F32", "shape": [0, 1152921504606846976], "data_offsets": [0, 0]}}'),
        (None, b"[" * 100_000),
    ],
)
def test_a_false_header_of_safetensors_is_refused(tmp_path, header_bytes, described):
    length = struct.pack("<Q", len(described) if header_bytes is None else header_bytes)
    (tmp_path / "false.safetensors").write_bytes(length + described + bytes(4))
    with pytest.raises(LearnError, match=r"false\.safetensors: not a safetensors file"):
        read_state_dict(str(tmp_path / "false.safetensors"))


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        # 40 GB once it is copied
        (torch.zeros(1).expand(100_000, 100_000), "says that it has 10000000000 numbers and holds fewer"),
        (torch.tensor([0.5, float("nan")]), "holds numbers that are not finite"),
        (torch.zeros(3, 3).to_sparse(), "not an array of real numbers"),
        (torch.zeros(2, dtype=torch.complex64), "not an array of real numbers"),
        (torch.zeros(2, device="meta"), "not an array of real numbers"),
    ],
)
def test_tensors_that_are_no_plain_numbers_are_named(tmp_path, tensor, words):
    torch.save({"lstm.bias": tensor}, tmp_path / "w.pt")
    with pytest.raises(LearnError, match=rf"w\.pt: lstm\.bias {words}|w\.pt: lstm\.bias is .*{words}"):
        read_state_dict(str(tmp_path / "w.pt"))
