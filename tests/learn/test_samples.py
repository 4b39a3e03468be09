from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from somo.learn import LearnError
from somo.learn.samples import Window, blocks, draw, read_training_set, require_complete, write_training_set
from somo.product.method import Sequence
from tests.learn import made


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 15), st.sampled_from([0, 1]), st.integers(1, 60), st.integers(0, 99))
def test_sequences_cover_every_predictable_target(lookback, n, lag, n_days, seed):
    sequence = Sequence(lookback=lookback, predict_last_n=n, lag_days=lag)
    if n_days <= sequence.spinup_days:
        with pytest.raises(LearnError, match=r"shorten sequence\.lookback"):
            Window.of(sequence, n_days)
        return
    window, generator = Window.of(sequence, n_days), torch.Generator().manual_seed(seed)
    y = torch.where(torch.rand(n_days, 3, generator=generator) < 0.5, torch.nan, 1.0)
    for pairs in (draw(y, torch.arange(3), window, generator), blocks(y, torch.arange(3), window)):
        seen = torch.zeros(n_days, 3, dtype=torch.bool)
        for cell, day in pairs.tolist():
            assert window.first <= day <= n_days - window.n
            assert not y[day : day + window.n, cell].isnan().all()
            seen[day : day + window.n, cell] = True
        assert seen[window.first :][~y[window.first :].isnan()].all()


def test_inputs_of_a_day_are_its_lookback():
    """Day 7 with lookback 3 is predicted from days 5, 6, 7; with one day's lag from days 4, 5, 6."""
    x, cell, day = torch.arange(10.0)[:, None, None].expand(10, 2, 1), torch.tensor([1]), torch.tensor([7])
    for lag, want in ((0, [5, 6, 7, 8]), (1, [4, 5, 6, 7])):
        window = Window.of(Sequence(lookback=3, predict_last_n=2, lag_days=lag), 10)
        assert window.inputs(x, cell, day).flatten().tolist() == want
        assert window.targets(x[..., 0], cell, day).flatten().tolist() == [7, 8]


def test_kept_and_read_back_alike(tmp_path):
    data = made.training_set()
    write_training_set(str(tmp_path / "s.safetensors"), data)
    again = read_training_set(str(tmp_path / "s.safetensors"))
    assert (again.first_day, again.dynamic, again.layers, again.domain) == (
        data.first_day, data.dynamic, data.layers, data.domain,
    )  # fmt: skip
    assert torch.equal(again.x_d, data.x_d)
    assert torch.equal(again.y.nan_to_num(-1), data.y.nan_to_num(-1))
    assert np.array_equal(again.lat, data.lat)


def broken(**changes):
    return replace(made.training_set(), **changes)


def test_bad_input_is_named():
    data = made.training_set()
    x_d, x_s, y = data.x_d.clone(), data.x_s.clone(), data.y.clone()
    x_d[9, 3, 1], x_s[2, 0], y[1] = torch.nan, torch.nan, torch.nan
    with pytest.raises(LearnError, match=r"forcing.air_temperature: missing on 2019-12-10 at cell 3 of home \(45.4"):
        require_complete(broken(x_d=x_d))
    with pytest.raises(LearnError, match=r"static.sand: missing at cell 2 of home"):
        require_complete(broken(x_s=x_s))
    with pytest.raises(LearnError, match="layer2: all targets are missing"):
        require_complete(broken(y=y))
    with pytest.raises(LearnError, match="no training cells"):
        require_complete(broken(cell=data.cell[:0]))
    require_complete(data)
