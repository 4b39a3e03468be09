"""Levels of held-back cells against one mean everywhere, by hand."""

import numpy as np
import pandas as pd
import pytest

from somo.validate.report.verdict import verdict
from somo.validate.sections.level import level_section
from somo.validate.sections.section import Impossible

DAYS = pd.date_range("2015-01-01", periods=4)
SWING = np.array([-0.02, 0.01, 0.02, -0.01])
LEVELS = (0.1, 0.2, 0.3, 0.4)


def pairs(predicted, levels=LEVELS):
    """Four days of one cell a level, each cell in a fold of its own."""
    rows = []
    for cell, (y, y_hat) in enumerate(zip(levels, predicted, strict=True)):
        series = {"time": DAYS, "y": y + SWING, "y_hat": y_hat + SWING, "fold": cell}
        rows.append(pd.DataFrame({"domain": "home", "cell": cell, "layer": "top", **series}))
    return pd.concat(rows, ignore_index=True)


def test_scores_by_hand():
    scores = level_section(pairs([0.12, 0.18, 0.32, 0.38]), "none").findings["layers"]["top"]
    assert scores["rmsd"] == pytest.approx(0.02)
    # Each cell against the mean of the other three: 0.3, 0.8/3, 0.7/3 and 0.2.
    errors = np.array([0.1 - 0.3, 0.2 - 0.8 / 3, 0.3 - 0.7 / 3, 0.4 - 0.2])
    assert scores["rmsd of one mean"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert (scores["cells"], scores["told apart"]) == (4, True)


def test_the_verdict_says_in_words_whether_levels_are_told_apart():
    good = level_section(pairs([0.12, 0.18, 0.32, 0.38]), "none")
    bad = level_section(pairs([0.38, 0.12, 0.18, 0.32]), "none")
    assert verdict([good], {"top": "0-5 cm"})[0].startswith("0-5 cm: levels are told apart (r 0.9")
    assert 'these stations do not support levels: scaling = "pooled" would be honest' in verdict([bad], {})[0]
    assert verdict([bad], {})[0] in bad.caption
    model = level_section(pairs([0.38, 0.12, 0.18, 0.32]), "reference")
    assert "of the reference model are not told apart" in model.caption and "pooled" not in model.caption


@pytest.mark.parametrize("predicted", [[0.5, 0.6, 0.7, 0.8], [0.26, 0.255, 0.245, 0.24]])
def test_a_correlation_alone_or_a_small_error_alone_tells_no_levels_apart(predicted):
    """All too wet by 0.4 in the right order; and near the mean of all in the order turned round."""
    assert not level_section(pairs(predicted), "none").findings["layers"]["top"]["told apart"]


def test_two_cells_are_too_few_to_tell_levels_apart():
    assert not level_section(pairs([0.1, 0.2], levels=(0.1, 0.2)), "none").findings["layers"]["top"]["told apart"]


def test_pooled_series_and_single_folds_have_no_levels_to_judge():
    with pytest.raises(Impossible, match="one mean and spread a layer"):
        level_section(pairs(LEVELS), "pooled")
    with pytest.raises(Impossible, match="two folds"):
        level_section(pairs(LEVELS).assign(fold=0), "none")
