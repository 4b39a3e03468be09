"""How uncertain the predictions are, learnt from the folds alone: beside the ensemble, and judged fold by fold."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.stages.learning.applicability import area_of, climate_days
from somo.learn.applicability import dissimilarity_between_folds
from somo.learn.importance import spread_importance
from somo.learn.samples import TrainingSet
from somo.learn.uncertainty import Uncertainty, anomaly_share, fit_uncertainty
from somo.product.declaration import Product

Floats = NDArray[np.float64]


def calibrate(
    product: Product, data: TrainingSet, folds: NDArray[np.int64], importance: Floats, table: pd.DataFrame
) -> tuple[pd.DataFrame, list[Uncertainty]]:
    """Learn every layer's uncertainty from out-of-fold predictions, and judge that way of learning it out of fold.

    Parameters
    ----------
    folds : [cell] fold of every training cell
    importance : [fold, layer, input feature] by every fold's networks at the cells that they have not seen
    table : out-of-fold predictions: domain, cell, layer, time, y, y_hat, fold

    Returns
    -------
    the table with `dissimilarity` of each cell to those of other folds, and `uncertainty` (m3 m-3) as learnt without
    any error or importance of its own fold; and the uncertainty of every layer, learnt from all folds
    """
    training_cells = pd.MultiIndex.from_arrays([list(data.domain), data.cell])
    position = training_cells.get_indexer(pd.MultiIndex.from_frame(table[["domain", "cell"]]))
    columns = table.assign(dissimilarity=np.float32("nan"), uncertainty=np.float32("nan"))
    by_layer = []
    for number, layer in enumerate(data.layers):
        rows = np.flatnonzero((table["layer"] == layer).to_numpy())
        weights = spread_importance(importance[:, number], len(data.dynamic))
        between = partial(_between_folds, data, climate_days(product, data), layer, folds)
        errors = _Errors(layer, table.iloc[rows], position[rows], weights, between)
        index = errors.dissimilarity(np.ones(len(weights), bool))
        fitted = fit_uncertainty(layer, errors.table["y"], errors.table["y_hat"], index, errors.cells)
        by_layer.append(replace(fitted, anomaly_share=errors.anomaly_share(fitted, index, product.drought.window_days)))
        columns.loc[columns.index[rows], "dissimilarity"] = index.astype(np.float32)
        columns.loc[columns.index[rows], "uncertainty"] = errors.judged_out_of_fold().astype(np.float32)
    return columns, by_layer


@dataclass(frozen=True, eq=False)
class _Errors:
    """Out-of-fold predictions of one layer.

    Attributes
    ----------
    table : y, y_hat, fold
    cells : [row] position of its cell in the training set
    weights : [fold, cell feature] importance that each fold's networks give to what tells cells apart
    between_folds : weights of features -> [cell] dissimilarity to the cells of other folds
    """

    layer: str
    table: pd.DataFrame
    cells: NDArray[np.intp]
    weights: Floats
    between_folds: Callable[[Floats], Floats]

    def dissimilarity(self, judges: NDArray[np.bool_]) -> Floats:
        """[row] dissimilarity of its cell, features weighed as the networks of some folds do."""
        return self.between_folds(self.weights[judges].mean(0))[self.cells]

    def anomaly_share(self, fitted: Uncertainty, index: Floats, window_days: int) -> float:
        """Share of the uncertainty that is left in anomalies of windows."""
        y, y_hat = self.table["y"].to_numpy(float), self.table["y_hat"].to_numpy(float)
        day = (self.table["time"].to_numpy() - np.datetime64(0, "D")) // np.timedelta64(1, "D")
        return anomaly_share(y - y_hat, fitted.standard(y_hat, index), self.cells, day.astype(np.int64), window_days)

    def judged_out_of_fold(self) -> Floats:
        """[row] standard uncertainty, learnt without any error or importance of the row's own fold.

        NaN where no other fold has a prediction beside a target.
        """
        fold_of_row = self.table["fold"].to_numpy()
        y, y_hat = self.table["y"].to_numpy(), self.table["y_hat"].to_numpy()
        uncertainty = np.full(len(y), np.nan)
        for fold in np.unique(fold_of_row):
            judged = fold_of_row == fold
            if not judged.all():
                index = self.dissimilarity(np.arange(len(self.weights)) != fold)
                learnt = fit_uncertainty(self.layer, y[~judged], y_hat[~judged], index[~judged], self.cells[~judged])
                uncertainty[judged] = learnt.standard(y_hat[judged], index[judged])
        return uncertainty


def _between_folds(
    data: TrainingSet, days: slice, layer: str, folds: NDArray[np.int64], weights: Floats
) -> NDArray[np.float64]:
    """[cell] dissimilarity of the layer's training cells to those of other folds; NaN of other cells."""
    index = np.full(len(data.cell), np.nan)
    chosen = data.cells_with(layer)
    area = area_of(data, days, layer, folds, weights)
    index[chosen] = dissimilarity_between_folds(area.cells, folds[chosen]) / area.mean_distance
    return index
