import json
import pickle
from pathlib import Path

import pytest
import torch

from somo.learn import LearnError
from somo.learn.checkpoint import Ensemble, read_checkpoint, read_ensemble, write_checkpoint, write_ensemble
from somo.learn.trained import member_stem, read_trained
from tests.learn import made
from tests.learn.networks.test_ealstm import checkpoint


@pytest.fixture
def stem(tmp_path):
    stem = str(tmp_path / "member0")
    write_checkpoint(stem, checkpoint("layer1", ("precipitation", "air_temperature"), 0))
    return stem


def change(stem, **values):
    path = f"{stem}.json"
    with Path(path).open() as file:
        described = json.load(file) | values
    with Path(path).open("w") as file:
        json.dump(described, file)


def test_read_back_alike(stem):
    written, read = checkpoint("layer1", ("precipitation", "air_temperature"), 0), read_checkpoint(stem)
    assert read.scaling == written.scaling
    assert (read.sequence, read.network, read.clip) == (made.SEQUENCE, made.NETWORK, 0.0)
    assert all(torch.equal(read.weights[name], w.cpu()) for name, w in written.weights.items())
    assert read_checkpoint(f"{stem}.safetensors").dynamic == ("precipitation", "air_temperature")


def test_another_version(stem):
    change(stem, format=99)
    with pytest.raises(LearnError, match=r"checkpoint format 99, this somo reads 1"):
        read_checkpoint(stem)


def test_other_features(stem):
    with Path(f"{stem}.json").open() as file:
        scaling = json.load(file)["scaling"]
    scaling["dynamic"] = {k: v[:1] if isinstance(v, list) else v for k, v in scaling["dynamic"].items()}
    change(stem, scaling=scaling)
    with pytest.raises(LearnError, match=r"weight_ih has shape \(2, 24\), its features .* make \(1, 24\)"):
        read_checkpoint(stem)


@pytest.mark.parametrize("suffix", ["safetensors", "json"])
def test_truncated(stem, suffix):
    path = f"{stem}.{suffix}"
    with Path(path).open("rb") as file:
        data = file.read()
    with Path(path).open("wb") as file:
        file.write(data[: len(data) // 2])
    with pytest.raises(LearnError, match="truncated"):
        read_checkpoint(stem)


@pytest.mark.parametrize("save", [lambda f: pickle.dump({}, f), lambda f: torch.save({"a": torch.ones(1)}, f)])
def test_a_pickle_is_not_opened(stem, save):
    with Path(f"{stem}.safetensors").open("wb") as file:
        save(file)
    with pytest.raises(LearnError, match="a pickle, which can run code"):
        read_checkpoint(stem)


def test_unknown_key(stem):
    change(stem, surprise=1)
    with pytest.raises(LearnError, match="keys missing or unknown: surprise"):
        read_checkpoint(stem)


def test_ensemble_is_seen_when_complete(tmp_path):
    url = str(tmp_path)
    for layer, dynamic in (("layer1", ("precipitation",)), ("layer2", ("precipitation", "soil_moisture_layer1"))):
        write_checkpoint(member_stem(url, layer, 0), checkpoint(layer, dynamic, 0))
    with pytest.raises(LearnError, match="no complete ensemble"):
        read_ensemble(url)
    write_ensemble(url, ("layer1", "layer2"), 1, {})
    ensemble: Ensemble = read_ensemble(url)
    assert list(ensemble.layers) == ["layer1", "layer2"]
    trained = read_trained(url)
    assert (trained.layers, trained.members, trained.networks) == (("layer1", "layer2"), 1, 2)
    assert (trained.dynamic, trained.static) == (ensemble.dynamic, ensemble.static) == (("precipitation",), ("a", "b"))
    assert (trained.sequence, trained.network) == (ensemble.sequence, ensemble.layers["layer1"][0].network)
    ensemble.require(("precipitation",), ("a", "b"))
    with pytest.raises(LearnError, match="trained on static features a, b, given b, a"):
        ensemble.require(("precipitation",), ("b", "a"))


@pytest.mark.parametrize(
    ("content", "told"),
    [("", "truncated or not JSON"), ('{"format": 1, "layers": []}', "names no layers or no members")],
)
def test_a_damaged_description_of_an_ensemble_is_named(tmp_path, content, told):
    (tmp_path / "ensemble.json").write_text(content)
    with pytest.raises(LearnError, match=rf"ensemble\.json: {told}"):
        read_trained(str(tmp_path))
