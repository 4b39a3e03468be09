"""The uncertainty is learnt from folds alone, and judged without any error of the fold that it is judged on."""

import numpy as np
import pandas as pd
import pytest

from flows.stages.learning.calibration import calibrate
from somo.learn.uncertainty import fit_uncertainty
from somo.product.inputs import Period
from tests.flows.stages.learning.test_search import product
from tests.learn import made

DECLARED = product().model_copy(update={"period": Period(start="2019-12-21", end="2020-06-17")})

FOLDS = np.arange(12) % 3
IMPORTANCE = np.random.default_rng(0).uniform(0.1, 1, (3, 2, 4))


def out_of_fold(noise: float = 0.02) -> pd.DataFrame:
    data = made.training_set()
    g = np.random.default_rng(1)
    parts = []
    for number, layer in enumerate(data.layers):
        day, cell = np.nonzero(np.isfinite(data.y[number].numpy()))
        y = data.y[number].numpy()[day, cell].astype(float)
        parts.append(
            pd.DataFrame(
                {
                    "domain": "home",
                    "cell": cell,
                    "layer": layer,
                    "time": data.first_day + day,
                    "y": y,
                    "y_hat": y,
                    "fold": FOLDS[cell],
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    return table.assign(y_hat=table["y"] + noise * g.normal(size=len(table)))


def test_a_fold_is_judged_without_its_own_errors_and_importance() -> None:
    """A fold whose errors and importance become others' changes its own uncertainty nowhere, all others' somewhere."""
    data, table = made.training_set(), out_of_fold()
    judged, _ = calibrate(DECLARED, data, FOLDS, IMPORTANCE, table)
    own = table["fold"] == 1
    changed = table.assign(y=table["y"].where(~own, table["y_hat"] + 5 * (table["y"] - table["y_hat"])))
    importance = IMPORTANCE.copy()
    importance[1] = IMPORTANCE[1, :, ::-1]
    again, _ = calibrate(DECLARED, data, FOLDS, importance, changed)
    np.testing.assert_array_equal(again["uncertainty"][own], judged["uncertainty"][own])
    assert (again["uncertainty"][~own] != judged["uncertainty"][~own]).mean() > 0.99


def test_known_noise_is_covered_and_the_published_one_knows_all_folds() -> None:
    table, by_layer = calibrate(DECLARED, made.training_set(), FOLDS, IMPORTANCE, out_of_fold())
    assert table["uncertainty"].median() == pytest.approx(0.02, rel=0.1)
    held = (table["y"] - table["y_hat"]).abs() <= 1.645 * table["uncertainty"]
    assert held.mean() == pytest.approx(0.9, abs=0.02)
    rows = table[table["layer"] == "layer2"]
    direct = fit_uncertainty("layer2", rows["y"], rows["y_hat"], rows["dissimilarity"], rows["cell"].to_numpy())
    assert [uncertainty.layer for uncertainty in by_layer] == ["layer1", "layer2"]
    np.testing.assert_allclose(by_layer[1].standard(rows["y_hat"], 0.3), direct.standard(rows["y_hat"], 0.3), rtol=1e-3)


def test_a_single_fold_with_targets_leaves_its_rows_without_a_judged_uncertainty() -> None:
    table = out_of_fold()
    alone = table[(table["layer"] == "layer1") | (table["fold"] == 0)]
    judged, _ = calibrate(DECLARED, made.training_set(), FOLDS, IMPORTANCE, alone)
    missing = judged["uncertainty"].isna()
    assert (missing == (judged["layer"] == "layer2")).all()
