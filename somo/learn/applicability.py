"""Where a model applies: dissimilarity of a cell to the training cells (Meyer & Pebesma 2021, MEE 12, 1620)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from somo.learn import LearnError


@dataclass(frozen=True, eq=False)
class Applicability:
    """The training cells in the space of the importance-weighted features, and how far from them is too far.

    Attributes
    ----------
    names : features
    mean, std : [feature] statistics over the training cells
    weights : [feature] importance, relative
    cells : [training cell, feature] normalised and weighted
    mean_distance : mean distance between two training cells
    threshold : largest dissimilarity index inside the area of applicability
    """

    names: tuple[str, ...]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    weights: NDArray[np.float64]
    cells: NDArray[np.float64]
    mean_distance: float
    threshold: float

    def dissimilarity(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """[cell] distance to the nearest training cell over the mean distance of training cells; NaN stays NaN.

        Parameters
        ----------
        features : [cell, feature] in the order of `names`, units as in training
        """
        result = np.full(len(features), np.nan)
        has_all_features = np.isfinite(features).all(axis=1)
        scaled = (features[has_all_features].astype(float) - self.mean) / self.std * self.weights
        result[has_all_features] = cKDTree(self.cells).query(scaled)[0] / self.mean_distance
        return result

    def inside(self, features: NDArray[np.floating]) -> NDArray[np.bool_]:
        """[cell] whether the dissimilarity index is at most the threshold."""
        return self.dissimilarity(features) <= self.threshold


def fit_applicability(
    names: tuple[str, ...],
    features: NDArray[np.floating],
    importance: NDArray[np.floating],
    folds: NDArray[np.int64],
) -> Applicability:
    """Area of applicability of models trained on some cells.

    Parameters
    ----------
    names : features
    features : [training cell, feature]
    importance : [feature] not negative; all zero counts as all equal
    folds : [training cell] fold of the cross-validation; the threshold is the largest dissimilarity between folds that
        is no outlier, i.e. at most the upper quartile plus 1.5 interquartile ranges

    Raises
    ------
    LearnError
        if there are no two different training cells, or only one fold
    """
    features = features.astype(float)
    std = features.std(axis=0)
    # A feature that is the same at all training cells would divide by zero; with 1 it tells no cells apart. The same is
    # told relative to its values, for in their units all of them may be tiny.
    std[std <= 1e-9 * np.abs(features).max(axis=0, initial=0)] = 1.0
    mean = features.mean(axis=0)
    weights = np.clip(importance, 0, None).astype(float)
    weights = weights / weights.max() if weights.max() > 0 else np.ones(len(names))
    cells = (features - mean) / std * weights
    distances = pdist(cells)
    if len(cells) < 2 or distances.mean() == 0 or len(np.unique(folds)) < 2:
        raise LearnError(
            f"{len(cells)} training cells in {len(np.unique(folds))} folds with {len(np.unique(cells, axis=0))} "
            "different sets of features: they have no distance; add stations or static features that differ"
        )
    # A box plot's upper whisker, as Meyer & Pebesma have it: one odd training cell must not make every cell known.
    between = dissimilarity_between_folds(cells, folds) / distances.mean()
    low, high = np.percentile(between, [25, 75])
    threshold = between[between <= high + 1.5 * (high - low)].max()
    return Applicability(names, mean, std, weights, cells, float(distances.mean()), float(threshold))


def dissimilarity_between_folds(cells: NDArray[np.float64], folds: NDArray[np.int64]) -> NDArray[np.float64]:
    """[cell] distance of each training cell to the nearest one of another fold."""
    result = np.empty(len(cells))
    for fold in np.unique(folds):
        in_fold = folds == fold
        result[in_fold] = cKDTree(cells[~in_fold]).query(cells[in_fold])[0]
    return result
