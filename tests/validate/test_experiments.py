import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from somo.validate.experiments import (
    Samples,
    choose,
    importance_table,
    inputs,
    intact_days,
    memory_days,
    memory_table,
    predict_with_history,
    predict_without,
    shuffled_history,
)

LOOKBACK = 128
MEMORY = {"layer1": 5.0, "layer2": 15.0, "layer3": 40.0}


def weights(days):
    """A soil that forgets with a scale of `days`: what it remembers of each day of the lookback, the last day last."""
    return np.exp(-np.arange(LOOKBACK)[::-1] / days)


def forgetful(x_d, x_s):
    """The invented soil itself, as a model with two equal members: rain remembered, sand drains."""
    rain, sand = x_d[:, :, 0], x_s[:, 0]
    return np.stack([[np.einsum("t,ts->s", weights(m), rain) - 3 * sand] * 2 for m in MEMORY.values()])


@pytest.fixture(scope="module")
def samples():
    generator = np.random.default_rng(0)
    n = 3000
    x_d = generator.gamma(0.5, 2.0, (LOOKBACK, n, 2)).astype(np.float32)
    x_s = generator.normal(size=(n, 2)).astype(np.float32)
    y = forgetful(x_d, x_s)[:, 0]
    cell = np.repeat(np.arange(10), n // 10)
    x_s[:, 0] = x_s[cell * 300, 0]
    return Samples(
        tuple(MEMORY), ("rain", "wind"), ("sand", "forest"), x_d, x_s, forgetful(x_d, x_s)[:, 0] + 0 * y, cell
    )


@given(st.integers(1, 20), st.integers(0, 99))
def test_shuffling_keeps_the_last_days_and_all_days(intact, seed):
    x_d = np.random.default_rng(seed).normal(size=(20, 3, 2)).astype(np.float32)
    changed = shuffled_history(x_d, intact, np.random.default_rng(seed))
    assert (changed[20 - intact :] == x_d[20 - intact :]).all()
    for sample in range(3):
        assert sorted(map(tuple, changed[:, sample])) == sorted(map(tuple, x_d[:, sample]))


def test_skill_falls_where_the_memory_of_the_soil_says(samples):
    """Of a sum of w x over independent days the last n keep sum w^2 of n / sum w^2, shuffled ones (sum w)^2 / days."""
    predictions = {n: predict_with_history(samples, forgetful, n, seed=1) for n in intact_days(LOOKBACK)}
    table = memory_table(samples, predictions)
    for layer, scale in MEMORY.items():
        w2 = weights(scale) ** 2
        here = table[(table["layer"] == layer) & (table["member"] == 0)].set_index("intact_days")
        for n in here.index:
            kept = w2[LOOKBACK - n :].sum() / w2.sum()
            w = weights(scale)[: LOOKBACK - n]
            shuffled = len(w) * w.mean() ** 2 / w2.sum() if len(w) else 0.0
            assert here.loc[n, "pearson_r_relative"] == pytest.approx(kept + shuffled, abs=0.06)
    found = memory_days(table)
    assert found["layer1"] < found["layer2"] < found["layer3"]
    assert found["layer1"] == pytest.approx(7.4, abs=1.5)


def test_whole_history_is_the_unshuffled_run(samples):
    whole = predict_with_history(samples, forgetful, LOOKBACK, seed=0)
    assert (whole == forgetful(samples.x_d, samples.x_s)).all()
    table = memory_table(samples, {LOOKBACK: whole})
    assert table["pearson_r_relative"].tolist() == pytest.approx([1.0] * 6)
    assert set(table["cells"]) == {10}
    assert set(table["n"]) == {3000}


def test_one_lucky_member_of_an_ensemble_without_skill_tells_no_memory(samples):
    noise = np.random.default_rng(2)

    def mostly_noise(x_d, x_s):
        return np.stack([np.stack([layer[0], *noise.normal(size=(2, len(layer[0])))]) for layer in forgetful(x_d, x_s)])

    predictions = {n: predict_with_history(samples, mostly_noise, n, seed=1) for n in (1, 16, LOOKBACK)}
    table = memory_table(samples, predictions)
    assert table["pearson_r_relative"].isna().all()
    assert np.isnan(list(memory_days(table).values())).all()


def test_only_inputs_that_matter_cost_skill(samples):
    whole = forgetful(samples.x_d, samples.x_s)
    without = {(name, s): predict_without(samples, forgetful, name, s) for name in inputs(samples) for s in (0, 1)}
    table = importance_table(samples, whole, without)
    drop = table.groupby("input")["r_drop"].mean()
    assert drop["rain"] > 0.3
    assert drop["sand"] > 0.05
    assert drop[["wind", "forest"]].abs().max() < 1e-6
    assert (table[table["input"] == "wind"]["rmsd_rise"].abs() < 1e-6).all()


def test_same_seed_same_answer(samples):
    first, again = (predict_with_history(samples, forgetful, 7, seed=5) for _ in range(2))
    assert (first == again).all()
    assert (first != predict_with_history(samples, forgetful, 7, seed=6)).any()


def test_days_intact_span_the_lookback():
    assert intact_days(365)[0] == 1
    assert intact_days(365)[-1] == 365
    assert intact_days(1) == [1]


@given(st.integers(0, 50), st.integers(1, 8), st.integers(1, 60))
def test_samples_are_known_and_spread_evenly(seed, most_cells, most_samples):
    known = np.random.default_rng(seed).random((40, 6)) < 0.5
    known[:, 2] = False
    chosen = choose(known, most_cells, most_samples, seed)
    assert known[chosen[:, 0], chosen[:, 1]].all()
    assert len(np.unique(chosen, axis=0)) == len(chosen)
    assert len(np.unique(chosen[:, 1])) <= most_cells
