"""Whether the product tells apart how wet one place is beside another, at cells that its networks had not seen."""

import numpy as np
import pandas as pd

from somo.validate.depths import depth_of, in_declared_order
from somo.validate.matching import KEYS, cell_means
from somo.validate.metrics import pearson_r, rmsd
from somo.validate.sections.figures import UNITS
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section
from somo.validate.sections.stations import SIGNIFICANT, probability_by_chance

POOLED = (
    "The series of all stations were given one mean and spread a layer, so that this product tells no levels apart and "
    "none can be judged."
)


def level(judged: Judged) -> Section:
    """Section `level` of a version."""
    return level_section(judged.published.crossval, judged.product.targets.scaling)


def level_section(pairs: pd.DataFrame, scaling: str) -> Section:
    """Table and words: means of held-back cells against one mean everywhere, by layer.

    Parameters
    ----------
    pairs : domain, cell, layer, time, y, y_hat (m3 m-3) and fold
    scaling : as in `targets.scaling`

    Raises
    ------
    Impossible
        if every series was given the same level, or no layer has held-back cells in two folds
    """
    if scaling == "pooled":
        raise Impossible(POOLED.removesuffix("."))
    means = cell_means(pairs, ["y", "y_hat"], (*KEYS, "fold"))
    layers = {str(layer): cells for layer, cells in means.groupby("layer", observed=True, sort=False)}
    level_scores = {layer: scores_of(cells) for layer, cells in layers.items() if cells["fold"].nunique() > 1}
    if not level_scores:
        raise Impossible("no layer has held-back cells in two folds")
    shown = pd.DataFrame([{"layer": layer, **scores} for layer, scores in level_scores.items()])
    caption = (
        f"Mean of every held-back cell over its days, measured against predicted: correlation and RMSD ({UNITS}), "
        "beside the RMSD of one mean everywhere, which is that of the cells of all other folds. Levels are told apart "
        "where the RMSD is the smaller one and the correlation is more than chance (two-sided "
        f"p < {SIGNIFICANT:g}). {' '.join(verdicts(level_scores, scaling))}"
    )
    return Section("level", caption, b"", means, shown, {"scaling": scaling, "layers": level_scores})


def scores_of(cells: pd.DataFrame) -> dict[str, float | bool]:
    """Scores of the means of one layer's cells: columns y, y_hat (m3 m-3) and fold, at least two folds."""
    y, y_hat = (cells[column].to_numpy(np.float64) for column in ("y", "y_hat"))
    folds = cells["fold"].to_numpy()
    # The cell itself and its neighbours, which share its fold, would make the benchmark better than any reader has it.
    one_mean = np.array([y[folds != fold].mean() for fold in folds])
    r, error, constant_error = float(pearson_r(y, y_hat)), float(rmsd(y, y_hat)), float(rmsd(y, one_mean))
    is_told_apart = bool(error < constant_error and r > 0 and probability_by_chance(r, len(y)) < SIGNIFICANT)
    numbers = {"cells": len(y), "pearson_r": r, "rmsd": error, "rmsd of one mean": constant_error}
    return {**numbers, "told apart": is_told_apart}


def verdicts(layers: dict[str, dict[str, float | bool]], scaling: str) -> list[str]:
    """A sentence a layer on whether levels are told apart, with the remedy where they are not."""
    sentences = []
    for layer in in_declared_order(layers):
        scores = layers[layer]
        numbers = (
            f"r {scores['pearson_r']:.2f}, RMSD {scores['rmsd']:.3f} against {scores['rmsd of one mean']:.3f} of one "
            f"mean everywhere, {scores['cells']} cells"
        )
        if scores["told apart"]:
            text = "levels are told apart"
        elif scaling == "none":
            text = 'these stations do not support levels: scaling = "pooled" would be honest'
        else:
            text = "the levels of the reference model are not told apart at cells that the networks had not seen"
        sentences.append(f"{depth_of(layer)}: {text} ({numbers}).")
    return sentences
