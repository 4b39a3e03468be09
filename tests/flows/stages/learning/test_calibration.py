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


def test_every_layer_has_its_own_importance_and_share_of_anomalies() -> None:
    """Where one feature alone tells cells apart, the dissimilarity is the distance along it over the mean distance."""
    data, importance = made.training_set(), np.zeros((3, 2, 4))
    importance[:, 0, 2], importance[:, 1, 3] = 1.0, 1.0
    # Errors that a cell has on all days make no anomalies; those of the second layer differ from window to window.
    table = out_of_fold(0.0)
    g = np.random.default_rng(2)
    day = (table["time"].to_numpy() - data.first_day) // np.timedelta64(1, "D")
    own, by_window = g.normal(0, 0.03, 12), g.normal(0, 0.03, (12, 20))
    cell = table["cell"].to_numpy()
    error = np.where(table["layer"] == "layer1", own[cell], by_window[cell, day // 20])
    judged, by_layer = calibrate(DECLARED, data, FOLDS, importance, table.assign(y_hat=table["y"] + error))
    for layer, feature in (("layer1", 0), ("layer2", 1)):
        values = data.x_s[:, feature].numpy().astype(float)
        apart = np.abs(values[:, None] - values)
        nearest = np.where(FOLDS[:, None] == FOLDS, np.inf, apart).min(axis=1)
        mean_distance = apart[np.triu_indices(12, 1)].mean()
        rows = judged[judged["layer"] == layer]
        expected = nearest[rows["cell"]] / mean_distance
        np.testing.assert_allclose(rows["dissimilarity"], expected, rtol=1e-5)
    assert by_layer[0].anomaly_share < 0.1
    assert by_layer[1].anomaly_share > 0.3
