import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from somo.learn import LearnError
from somo.learn.fit import Run, fit, fit_scaling, predict_blocks, rate_factor
from somo.learn.networks.forward import load, pick_device
from somo.learn.resume import read_progress
from somo.learn.samples import Window
from somo.product.method import Sequence
from tests.learn import made

DEVICE = pick_device()
CELLS = np.arange(9)


def learn(data, run, training=made.TRAINING, **options):
    return fit(data, run, made.NETWORK, made.SEQUENCE, training, DEVICE, **options)


def same(a, b) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def test_learns_what_cells_it_has_not_seen_do():
    data = made.training_set(20, 300)
    training = made.TRAINING.model_copy(update={"epochs": 25})
    run = Run("layer1", 0, 0, np.arange(16))
    layers = [[load(learn(data, run, training), DEVICE)]]
    test = np.arange(16, 20)
    y_hat = predict_blocks(layers, data, test, made.SEQUENCE, made.SEQUENCE.spinup_days)[0]
    y = data.y[0][:, test]
    known = ~(y.isnan() | y_hat.isnan())
    r = [np.corrcoef(y[known[:, i], i], y_hat[known[:, i], i])[0, 1] for i in range(4)]
    assert np.median(r) > 0.8


def test_same_seed_same_weights():
    data = made.training_set()
    first = learn(data, Run("layer1", 0, 3, CELLS))
    assert same(first, learn(data, Run("layer1", 0, 3, CELLS)))
    assert not same(first, learn(data, Run("layer1", 0, 4, CELLS)))


def test_targets_of_other_cells_and_days_do_not_matter():
    data = made.training_set()
    days = np.arange(data.n_days) < 150
    y = data.y.clone()
    y[:, :, 9:], y[:, 150:] = 0.9, 0.9
    run = Run("layer1", 0, 3, CELLS, days=days)
    assert same(learn(data, run), learn(replace(data, y=y), run))


def test_scaling_is_fitted_on_training_cells_only():
    data = made.training_set()
    x_d, x_s = data.x_d.clone(), data.x_s.clone()
    x_d[:, 9:], x_s[9:] = 1e3, 1e3
    run, y = Run("layer1", 0, 0, CELLS), data.y[0]
    assert fit_scaling(replace(data, x_d=x_d, x_s=x_s), run, y, None) == fit_scaling(data, run, y, None)


def test_a_run_that_died_goes_on_as_if_it_had_not(tmp_path, monkeypatch):
    monkeypatch.setattr("somo.learn.fit.SAVE_SECONDS", -1.0)
    data, url = made.training_set(), str(tmp_path / "progress")
    run = Run("layer1", 0, 3, CELLS[:7], CELLS[7:])

    def die(epoch: int, score: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(data, run, resume=url, report=die)
    progress = read_progress(url)
    assert progress is not None
    assert progress.epoch == 2
    epochs: list[int] = []
    resumed = learn(data, run, resume=url, report=lambda epoch, score: epochs.append(epoch))
    assert epochs == [3]
    assert read_progress(url) is None
    assert same(resumed, learn(data, run))


def test_stops_when_held_back_cells_no_longer_gain():
    data = made.training_set()
    y = data.y.clone()
    y[:, :, 7:9] = torch.rand(y[:, :, 7:9].shape, generator=torch.Generator().manual_seed(0)) * 50
    training = made.TRAINING.model_copy(update={"epochs": 30, "patience": 2, "schedule": "constant"})
    facts = learn(replace(data, y=y), Run("layer1", 0, 0, CELLS[:7], CELLS[7:]), training).provenance
    assert facts["epochs"] == facts["best_epoch"] + 2 < 30
    assert facts["score"] == min(score for _, score in facts["history"])


def test_blocks_equal_the_training_forward_of_the_same_days():
    data, sequence = made.training_set(), made.SEQUENCE
    checkpoint = learn(data, Run("layer1", 0, 0, CELLS))
    forward, window = load(checkpoint), Window.of(sequence, data.n_days)
    y_hat = predict_blocks([[forward]], data, CELLS, sequence, window.first)[0]
    net = forward.network
    cell, day = torch.as_tensor(CELLS), torch.full((9,), window.first + sequence.predict_last_n)
    z_d = checkpoint.scaling.dynamic.apply(window.inputs(data.x_d, cell, day))
    with torch.no_grad():
        z = net(z_d, checkpoint.scaling.static.apply(data.x_s[CELLS]), window.n)
    trained = checkpoint.scaling.target.invert(z.unsqueeze(-1)).squeeze(-1).clamp(min=0)
    assert torch.equal(y_hat[int(day[0]) : int(day[0]) + window.n], trained)


def test_moving_block_borders_by_whole_blocks_changes_nothing():
    data, sequence = made.training_set(), made.SEQUENCE
    forward, first = load(learn(data, Run("layer1", 0, 0, CELLS))), sequence.spinup_days
    whole = predict_blocks([[forward]], data, CELLS, sequence, first)
    later = predict_blocks([[forward]], data, CELLS, sequence, first + 2 * sequence.predict_last_n)
    assert torch.equal(whole[:, first + 2 * sequence.predict_last_n :], later[:, first + 2 * sequence.predict_last_n :])
    elsewhere = predict_blocks([[forward]], data, CELLS, sequence, first + 7)
    assert not torch.allclose(whole[:, first + 40 :], elsewhere[:, first + 40 :], atol=1e-7)


def test_lower_layer_takes_the_mean_of_the_upper_members():
    data = made.training_set()
    upper = {"layer1": [load(learn(data, Run("layer1", k, k, CELLS)), DEVICE) for k in range(2)]}
    lower = learn(data, Run("layer2", 0, 0, CELLS, upper=upper))
    assert lower.dynamic == ("precipitation", "air_temperature", "soil_moisture_layer1")
    target = upper["layer1"][0].scaling.target
    assert (lower.scaling.dynamic.mean[2], lower.scaling.dynamic.std[2]) == (target.mean[0], target.std[0])


def test_records_shorter_than_a_sequence_are_used_whole():
    data = made.training_set()
    sequence = Sequence(lookback=21, predict_last_n=1000)
    checkpoint = fit(data, Run("layer1", 0, 0, CELLS), made.NETWORK, sequence, made.TRAINING, DEVICE)
    y_hat = predict_blocks([[load(checkpoint)]], data, CELLS, sequence, 20)[0]
    assert not y_hat[20:].isnan().any()


def test_bad_input_is_named():
    data = made.training_set()
    with pytest.raises(LearnError, match="layer1: no training cells"):
        learn(data, Run("layer1", 0, 0, CELLS[:0]))
    y = data.y.clone()
    y[:, :, 9:] = torch.nan
    with pytest.raises(LearnError, match="all targets of its 3 training cells are missing"):
        learn(replace(data, y=y), Run("layer1", 0, 0, np.arange(9, 12)))
    huge = made.TRAINING.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(LearnError, match=r"lower training\.learning_rate"):
        learn(data, Run("layer1", 0, 0, CELLS), huge)


def test_one_cell_is_enough_to_learn():
    assert learn(made.training_set(), Run("layer1", 0, 0, CELLS[:1])).provenance["cells"] == 1


def test_schedules():
    assert [rate_factor("step", p) for p in (0.0, 0.4, 0.9)] == [1.0, 0.5, 0.1]
    assert rate_factor("one-cycle", 0.0) == pytest.approx(1 / 25)
    assert rate_factor("one-cycle", 0.3) == pytest.approx(1.0)
    assert rate_factor("one-cycle", 0.65) == pytest.approx(0.5)
    assert rate_factor("constant", 0.5) == 1.0


LARGE = """
import resource, torch, numpy as np
from somo.product.method import Sequence, Training
from somo.product.network import Ealstm
from somo.learn.fit import Run, fit
from somo.learn.samples import TrainingSet
cells, days, inputs = 1500, 7305, 6
y = torch.full((1, days, cells), torch.nan)
# Memory is that of all days of all cells and of one batch: cells with targets for four batches show what 1,500 would,
# which took a minute.
y[0, 3650:4015, :400] = torch.rand(365, 400)
data = TrainingSet(
    np.datetime64("2000-01-01"), tuple(f"d{i}" for i in range(inputs)), ("s",), ("layer1",), ("home",) * cells,
    np.arange(cells), np.zeros(cells), np.zeros(cells),
    torch.rand(days, cells, inputs), torch.rand(cells, 1), y,
)
training = Training(epochs=1, batch_size=256, held_back=0.0)
fit(data, Run("layer1", 0, 0, np.arange(cells)), Ealstm(hidden=128), Sequence(), training, torch.device("cpu"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def test_twenty_years_of_a_region_train_in_four_gigabytes():
    """1,500 cells with six inputs, in a process of its own whose memory is counted from its start."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) < 4.0, done.stdout
