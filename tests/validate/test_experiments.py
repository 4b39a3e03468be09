import numpy as np
import pandas as pd
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


def swings(samples, changed=0):
    """Plus and minus one in turn, `changed` pairs of them with the other sign: r with the rest is 1 - 4 changed / n."""
    values = np.resize([1.0, -1.0], samples)
    values[: 2 * changed] *= -1
    return values.astype(np.float32)


def judged(cells, y):
    """Samples of one layer, of which the number of the cell and the measurement count."""
    empty = np.zeros((4, len(y), 0), np.float32)
    return Samples(("layer1",), (), (), empty, empty[0], np.asarray(y, np.float32)[None], np.asarray(cells))


def test_memory_by_hand():
    """Medians over the cells with ten samples and more: r of 1, 0.6 and -1; with one day intact 0.2 instead of 0.6."""
    cells = [0] * 10 + [1] * 10 + [2] * 10 + [3] * 9
    samples = judged(cells, [*swings(10), *swings(10), *swings(10), *swings(9)])
    intact, shuffled = (np.concatenate([swings(10), swings(10, k), -swings(10), swings(9)]) for k in (1, 2))
    table = memory_table(samples, {4: intact[None, None], 1: shuffled[None, None]}).set_index("intact_days")
    assert table["cells"].tolist() == [3, 3]
    assert table["n"].tolist() == [30, 30]
    assert table["pearson_r"].tolist() == pytest.approx([0.2, 0.6])
    assert table["nse"].tolist() == pytest.approx([-0.6, 0.2])
    assert table["pearson_r_relative"].tolist() == pytest.approx([1 / 3, 1])
    assert table["nse_relative"].tolist() == pytest.approx([-3, 1])


@pytest.mark.parametrize(("changed", "told"), [(223, True), (226, False)])
def test_there_is_no_ratio_to_a_correlation_below_a_tenth(changed, told):
    samples = judged([0] * 1000, swings(1000))
    table = memory_table(samples, {4: swings(1000, changed)[None, None]})
    assert table["pearson_r"].item() == pytest.approx(1 - 4 * changed / 1000, abs=1e-6)
    assert np.isfinite(table["pearson_r_relative"].item()) == told


def test_days_of_memory_by_hand():
    """Three members, of which the middle one counts: between 4 and 16 days three quarters of the way, by logarithms."""
    curves = {
        "between": (0.3, 0.8, 1.0),
        "at once": (0.96, 0.97, 1.0),
        "on a day": (0.3, 0.95, 1.0),
        "never": (0.1,) * 3,
    }
    table = pd.DataFrame(
        {"layer": layer, "member": member, "intact_days": days, "pearson_r_relative": share + off}
        for layer, shares in curves.items()
        for days, share in zip((1, 4, 16), shares, strict=True)
        for member, off in enumerate((-0.2, 0.0, 0.5))
    )
    expected = {"between": 4 * 4**0.75, "at once": 1, "on a day": 4, "never": np.nan}
    assert memory_days(table) == pytest.approx(expected, nan_ok=True)


def test_the_cost_of_an_input_by_hand():
    """Half too much throughout, and the order of the measurements turned round without the input."""
    samples = judged([0] * 4, [1, 2, 3, 4])
    whole, without = (np.array(values, np.float32)[None, None] for values in ([1.5, 2.5, 3.5, 4.5], [4, 3, 2, 1]))
    row = importance_table(samples, whole, {("rain", 7): without}).iloc[0]
    assert (row["input"], row["seed"], row["n"]) == ("rain", 7, 4)
    assert row["r_drop"] == pytest.approx(2)
    assert row["rmsd_rise"] == pytest.approx(np.sqrt(5) - 0.5)


def test_samples_are_as_many_as_were_asked_for():
    known = np.ones((12, 4), bool)
    known[1:, 3] = False
    days, cells = choose(known[:, :3], 2, 8, seed=0).T
    assert np.unique(cells, return_counts=True)[1].tolist() == [4, 4]
    assert (np.diff(days.reshape(2, 4)) == 3).all()
    # One of each cell where there are more cells than samples, whatever they have; all of a single one.
    assert len(choose(known, 4, 2, seed=0)) == 4
    assert len(choose(known[:, :1], 4, 6, seed=0)) == 6
    assert choose(np.zeros((5, 3), bool), 4, 6, seed=0).shape == (0, 2)


def test_days_intact_of_a_year_are_powers_of_one_ratio():
    """Of 365 to the power of k / 15, k from 0 to 15, the first two round to the same day."""
    assert intact_days(365) == [1, 2, 3, 5, 7, 11, 16, 23, 34, 51, 76, 112, 166, 246, 365]
