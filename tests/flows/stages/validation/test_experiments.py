"""Experiments on a few invented cells; networks are run again here in plain numpy, and scored by numpy alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from flows.cluster.watching import completed
from flows.stages.train import Group, cross_validate, folds_of, submit_group
from flows.stages.validation.experiments import Learnt, importance, judged_region, later, memory, samples_of, transfer
from somo.learn.checkpoint import read_checkpoint, write_ensemble
from somo.learn.samples import write_training_set
from somo.learn.trained import member_stem
from somo.validate.sections.section import Impossible
from somo.validate.sections.skill import split_section
from tests.flows.stages.learning.test_search import product
from tests.learn import made

LAYERS = ("layer1", "layer2")
SPINUP, BLOCK = made.SEQUENCE.spinup_days, made.SEQUENCE.predict_last_n


def run_in_numpy(checkpoint, x_d, x_s):
    """[day, cell] m3 m-3 of one network from zero state: the equations of Kratzert et al. (2019), written out."""
    w = {name: tensor.double().numpy() for name, tensor in checkpoint.weights.items()}
    dynamic, static, target = (getattr(checkpoint.scaling, part) for part in ("dynamic", "static", "target"))
    columns = [np.log1p(x_d[..., k].clip(0)) if t else x_d[..., k] for k, t in enumerate(dynamic.transforms)]
    z_d = (np.stack(columns, -1) - dynamic.mean) / dynamic.std
    gate = sigmoid((x_s - static.mean) / static.std @ w["weight_sh"] + w["bias_s"])
    h = c = np.zeros_like(gate)
    days = []
    for x in z_d:
        f, o, g = np.split(h @ w["weight_hh"] + x @ w["weight_ih"] + w["bias"], 3, axis=1)
        c = sigmoid(f) * c + gate * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        days.append(h @ w["head.0.weight"][0] + w["head.0.bias"])
    y = np.array(days) * target.std[0] + target.mean[0]
    return y if checkpoint.clip is None else y.clip(checkpoint.clip)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def predict_in_numpy(url, data, cells):
    """[layer, day, cell] of the networks under a URL, one member a layer, block by block."""
    networks = [read_checkpoint(member_stem(url, layer, 0)) for layer in LAYERS]
    x_s = data.x_s.double().numpy()[cells]
    y = np.full((len(LAYERS), data.n_days, len(cells)), np.nan)
    for start in range(SPINUP, data.n_days, BLOCK):
        x_d = data.x_d[start - SPINUP : start + BLOCK].double().numpy()[:, cells]
        for k, network in enumerate(networks):
            found = run_in_numpy(network, x_d, x_s)
            y[k, start : start + BLOCK] = found[SPINUP:]
            x_d = np.concatenate([x_d, found[..., None]], axis=-1)
    return y


def median_r(y, y_hat):
    """Median over cells of the correlation over the days with a target: [layer] of [layer, day, cell]."""
    found = []
    for layer in range(len(y)):
        pairs = [(y[layer, :, k], y_hat[layer, :, k]) for k in range(y.shape[2])]
        known = [np.isfinite(a) & np.isfinite(b) for a, b in pairs]
        found.append(np.median([np.corrcoef(a[n], b[n])[0, 1] for (a, b), n in zip(pairs, known, strict=True)]))
    return found


def reported(pairs):
    """Median r by layer as the report shows it."""
    skill = split_section(pairs, "figS3", "How.").findings["network"]
    return [skill[layer]["pearson_r"] for layer in LAYERS]


@pytest.fixture(scope="module")
def data():
    return made.training_set()


@pytest.fixture(scope="module")
def declared():
    return product()


@pytest.fixture(scope="module")
def learnt(data, declared, client, tmp_path_factory):
    """Samples, and an ensemble of one member that learnt from all of them."""
    folder = tmp_path_factory.mktemp("learnt")
    found = Learnt(str(folder / "models"), str(folder / "samples.safetensors"))
    write_training_set(found.samples, data)
    group = Group(found.models, None, 9, 1)
    list(completed(list(submit_group(declared, found.samples, np.zeros(12, int), group, client)), "train"))
    write_ensemble(found.models, LAYERS, 1, {})
    return found


def test_cross_validation_scores_equal_a_direct_computation(data, declared, learnt, client, tmp_path):
    folds = folds_of(declared, data)
    groups = [Group(str(tmp_path / str(k)), k, k, 1) for k in range(2)]
    futures = [f for group in groups for f in submit_group(declared, learnt.samples, folds, group, client)]
    list(completed(futures, "train"))
    importance = cross_validate(declared, learnt.samples, folds, groups, str(tmp_path), client)
    y_hat = np.full(data.y.shape, np.nan)
    for k in range(2):
        cells = np.flatnonzero(folds == k)
        assert read_checkpoint(member_stem(groups[k].url, "layer1", 0)).provenance["cells"] == 12 - len(cells)
        y_hat[:, :, cells] = predict_in_numpy(groups[k].url, data, cells)
    direct = median_r(data.y.numpy(), y_hat)
    assert reported(pd.read_parquet(tmp_path / "crossval.parquet")) == pytest.approx(direct, abs=1e-3)
    assert importance.shape == (2, 2, 4)
    assert (importance.mean(0)[:, 0] > 0).all()


def test_transfer_scores_equal_a_direct_computation(data, declared, learnt, client):
    pairs, told = transfer(declared, learnt, client)
    east = np.flatnonzero(data.lon > 10)
    assert told == "learnt west of 10.0°, judged east of it"
    assert sorted(pairs["cell"].unique()) == east.tolist()
    url = learnt.url("transfer")
    assert read_checkpoint(member_stem(url, "layer2", 0)).provenance["cells"] == 6
    direct = median_r(data.y.numpy()[:, :, east], predict_in_numpy(url, data, east))
    assert reported(pairs) == pytest.approx(direct, abs=1e-3)


def test_products_with_further_domains_are_judged_at_home(data, declared):
    two = replace(data, domain=("us",) * 5 + ("home",) * 7)
    judged, told = judged_region(declared, two)
    assert judged.tolist() == [False] * 5 + [True] * 7
    assert told.endswith("alone, judged at home")


def test_neighbours_are_not_parted_by_the_meridian_of_a_transfer(data, declared):
    lon = np.array([8.0, 9.0, 9.98, 10.02, 10.05, 12.0])
    six = replace(data, domain=("home",) * 6, lat=np.full(6, 50.0), lon=lon)
    assert judged_region(declared, six)[0].tolist() == [False, False, False, True, True, True]
    training = declared.training.model_copy(update={"fold_distance_km": 5.0})
    judged, told = judged_region(declared.model_copy(update={"training": training}), six)
    assert judged.tolist() == [False, False, True, True, True, True]
    assert told == "learnt west of 10.0°, judged east of it, neighbours closer than 5 km on one side"


def test_later_scores_equal_a_direct_computation(data, declared, learnt, client):
    """Of the 180 days that can be predicted, the last 54 are judged by networks without targets on them."""
    pairs = later(declared, learnt, client)
    assert pairs["time"].min() >= pd.Timestamp(data.first_day + np.timedelta64(146, "D"))
    y = data.y.numpy()[:, 146:]
    assert len(pairs) == np.isfinite(y).sum()
    every = np.arange(12)
    direct = median_r(y, predict_in_numpy(learnt.url("later"), data, every)[:, 146:])
    assert reported(pairs) == pytest.approx(direct, abs=1e-3)
    earlier = data.y[0, SPINUP:146]
    fitted = read_checkpoint(member_stem(learnt.url("later"), "layer1", 0)).scaling.target
    assert fitted.mean[0] == pytest.approx(float(np.nanmean(data.y[0, :146])), abs=1e-6)
    assert float(earlier.nanmean()) != pytest.approx(float(data.y[0].nanmean()), abs=1e-6)


def test_memory_and_importance_begin_at_the_run_with_all_inputs(data, learnt, client):
    """The intact run is that of the networks run here over each sample's lookback."""
    table = memory(learnt, client)
    samples = samples_of(learnt)
    x_d, x_s = samples.x_d.astype(float), samples.x_s.astype(float)
    surface = run_in_numpy(read_checkpoint(member_stem(learnt.models, "layer1", 0)), x_d, x_s)
    x_d = np.concatenate([x_d, surface[..., None]], axis=-1)
    deep = run_in_numpy(read_checkpoint(member_stem(learnt.models, "layer2", 0)), x_d, x_s)
    intact = np.load(learnt.url("memory", "21.npy"))[:, 0]
    np.testing.assert_allclose(intact, [surface[-1], deep[-1]], atol=1e-5)
    whole = table[table["intact_days"] == 21].set_index("layer")
    assert (whole["pearson_r_relative"] == 1).all()
    assert whole["cells"].tolist() == [12, 12]
    lost = importance(learnt, client)
    assert set(lost["input"]) == {*data.dynamic, *data.static}
    assert set(lost["seed"]) == {0, 1}
    before = {p: p.stat().st_mtime_ns for p in Path(learnt.url("memory")).iterdir()}
    pd.testing.assert_frame_equal(memory(learnt, client), table)
    assert {p: p.stat().st_mtime_ns for p in Path(learnt.url("memory")).iterdir()} == before
    rain = lost[(lost["layer"] == "layer1") & (lost["input"] == "precipitation")]
    assert (rain["rmsd_rise"] > 0).all()


@pytest.fixture
def poor(learnt, tmp_path):
    """The same models with other samples."""

    def write(samples):
        url = str(tmp_path / "samples.safetensors")
        write_training_set(url, samples)
        return replace(learnt, samples=url, models=str(tmp_path / "models"))

    return write


def without(data, layer, cells=slice(None), days=slice(None)):
    y = data.y.clone()
    y[layer, days, cells] = torch.nan
    return replace(data, y=y)


def test_an_empty_side_is_told(data, declared, poor, client):
    one_place = replace(data, lon=np.full(12, 3.0))
    with pytest.raises(Impossible, match=r"west of 3.0°, judged east of it: the side to judge has no target"):
        transfer(declared, poor(one_place), client)
    with pytest.raises(Impossible, match="the side to learn from has no target of layer2"):
        transfer(declared, poor(without(data, 1, slice(0, 6))), client)
    with pytest.raises(Impossible, match="all but the last 30% of the days: the side to learn from has no target of"):
        later(declared, poor(without(data, 0, days=slice(SPINUP, 146))), client)


def test_too_few_days_for_the_lookback_are_told(data, learnt, poor, client):
    early = without(data, slice(None), days=slice(SPINUP, None))
    with pytest.raises(Impossible, match="no measured day has the 21 days of forcing before it"):
        memory(replace(poor(early), models=learnt.models), client)
