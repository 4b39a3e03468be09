import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.learn.checkpoint import read_ensemble
from somo.learn.networks.forward import load
from somo.predict import infer as module
from somo.predict.infer import infer, load_runner
from somo.product.method import Sequence
from tests.predict import made

LOOKBACK, N = 11, 20


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("models"))
    return read_ensemble(made.write_ensemble_of(made.product("src"), url))


@pytest.fixture(scope="module")
def runner(ensemble):
    return load_runner(ensemble)


def forcing(days, cells=5, lag=0, seed=0):
    rng = np.random.default_rng(seed)
    shape = (days + LOOKBACK - 1, cells)
    x_d = np.stack([280 + 5 * rng.normal(size=shape), np.maximum(0, 4 * rng.normal(size=shape))], axis=-1)
    return x_d.astype("float32"), rng.uniform(0, 900, (cells, 2)).astype("float32")


def by_another_road(ensemble, x_d, x_s, n):
    """Every sequence and member on its own with the fused network; [layer, member, day, cell]."""
    layers = []
    x_d = torch.from_numpy(x_d)
    days = len(x_d) - LOOKBACK + 1
    upper = []
    for members in ensemble.layers.values():
        results = [[] for _ in members]
        means = []
        for s, first in enumerate(range(0, days, n)):
            x = x_d[first : min(first + n, days) + LOOKBACK - 1]
            x = torch.cat([x, *(u[s] for u in upper)], dim=2)
            y = [load(m)(x, torch.from_numpy(x_s)) for m in members]
            means.append(sum(y).unsqueeze(-1) / len(y))
            for result, series in zip(results, y, strict=True):
                result.append(series[LOOKBACK - 1 :])
        upper.append(means)
        layers.append(torch.stack([torch.cat(r) for r in results]))
    return torch.stack(layers).numpy()


@pytest.mark.parametrize("days", [20, 50, 7])
def test_every_layer_and_member(ensemble, runner, days):
    x_d, x_s = forcing(days)
    mean, std = infer(runner, x_d, x_s, days, Sequence(lookback=LOOKBACK, predict_last_n=N))
    members = by_another_road(ensemble, x_d, x_s, N)
    assert mean.shape == std.shape == (2, days, 5)
    np.testing.assert_allclose(mean, members.mean(axis=1), atol=2e-6)
    np.testing.assert_allclose(std, members.std(axis=1, ddof=1), atol=2e-6)


def test_many_to_one(ensemble, runner):
    x_d, x_s = forcing(4)
    mean, _ = infer(runner, x_d, x_s, 4, Sequence(lookback=LOOKBACK, predict_last_n=1))
    np.testing.assert_allclose(mean, by_another_road(ensemble, x_d, x_s, 1).mean(axis=1), atol=2e-6)


def test_a_block_keeps_its_days_when_it_is_completed(runner):
    x_d, x_s = forcing(20)
    sequence = Sequence(lookback=LOOKBACK, predict_last_n=N)
    part = infer(runner, x_d[: 13 + LOOKBACK - 1], x_s, 13, sequence)
    whole = infer(runner, x_d, x_s, 20, sequence)
    for a, b in zip(part, whole, strict=True):
        assert np.array_equal(a, b[:, :13])


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 4), seed=st.integers(0, 99))
def test_tiles_equal_the_whole_map(runner, cut, seed):
    x_d, x_s = forcing(20, seed=seed)
    sequence = Sequence(lookback=LOOKBACK, predict_last_n=N)
    whole = infer(runner, x_d, x_s, 20, sequence)
    parts = [infer(runner, x_d[:, p], x_s[p], 20, sequence) for p in (slice(0, cut), slice(cut, 5))]
    for k in (0, 1):
        np.testing.assert_allclose(whole[k], np.concatenate([p[k] for p in parts], axis=2), atol=1e-6)


def test_small_batches_change_nothing(runner):
    x_d, x_s = forcing(20)
    sequence = Sequence(lookback=LOOKBACK, predict_last_n=N)
    small = infer(module.Runner(runner.layers, 2), x_d, x_s, 20, sequence)
    np.testing.assert_allclose(small[0], infer(runner, x_d, x_s, 20, sequence)[0], atol=1e-6)


def test_a_single_member_has_no_spread(tmp_path):
    url = made.write_ensemble_of(made.product("src"), str(tmp_path), members=1)
    x_d, x_s = forcing(20)
    _, std = infer(load_runner(read_ensemble(url)), x_d, x_s, 20, Sequence(lookback=LOOKBACK, predict_last_n=N))
    assert (std == 0).all()


def test_the_network_runs_on_one_thread(runner):
    assert torch.get_num_threads() == 1


@settings(max_examples=25, deadline=None)
@given(cells=st.integers(1, 40), cut=st.integers(0, 25), last=st.integers(26, 30), seed=st.integers(0, 99))
def test_a_sequence_in_two_stretches_has_the_bytes_of_one(runner, cells, cut, last, seed):
    x_d, x_s = forcing(last - LOOKBACK + 1, cells, seed=seed)
    whole = module.run_stretch(runner, x_d, x_s, last - cut, keep_after=cut)
    again = module.run_stretch(runner, x_d[cut:], x_s, last - cut, whole.memory)
    assert whole.memory.shape == (4, 2, cells, 8)
    assert np.array_equal(whole.mean, again.mean)
    assert np.array_equal(whole.std, again.std)
    assert (whole.steps, again.steps) == (last * cells * 4, (last - cut) * cells * 4)


def test_a_stretch_of_bfloat16_goes_on_with_its_bytes(ensemble):
    runner = load_runner(ensemble, "bfloat16")
    x_d, x_s = forcing(20, 7)
    whole = module.run_stretch(runner, x_d, x_s, 12, keep_after=18)
    again = module.run_stretch(runner, x_d[18:], x_s, 12, whole.memory)
    assert np.array_equal(whole.mean, again.mean)
    assert np.array_equal(whole.std, again.std)


def test_runners_that_begin_anew_refuse_a_memory(ensemble):
    fused = module.Runner([[load(m) for m in layer] for layer in ensemble.layers.values()], 64)
    x_d, x_s = forcing(20)
    assert not fused.continues
    with pytest.raises(ValueError, match="continue on a CPU alone"):
        module.run_stretch(fused, x_d, x_s, 20, keep_after=3)
    assert module.run_stretch(fused, x_d, x_s, 20).memory is None
