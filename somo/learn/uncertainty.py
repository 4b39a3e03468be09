"""Predictive standard uncertainty, learnt from the errors of out-of-fold predictions and calibrated on them.

Within the range of the folds, ln u is linear in the predicted mean, its square and the root of the dissimilarity to
the training cells; the coefficients minimise the continuous ranked probability score of a normal distribution. A factor
then makes mean +- 1.645 u hold 90 % of the errors (split conformal prediction, Vovk et al. 2005). Beyond the largest
dissimilarity between folds no error was ever seen: there the variance grows to that of a prediction that knows nothing
of the cell. Candidates and measurements are in docs/method.md.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import erf

from somo.learn import LearnError
from somo.storage.objects import put, read_bytes

FORMAT = 1
UNCERTAINTY = "uncertainty.json"
LEVEL, STANDARD_WIDTH = 0.9, 1.6448536269514722
"""The interval that is calibrated: the central 90 % of a normal distribution reach 1.645 standard deviations."""
MOST_ERRORS = 200_000
"""Errors that the coefficients are fitted to; more are thinned evenly, for four coefficients need no millions."""
LEAST_WINDOWS = 3
PENALTY = 1e-3
"""On the squared coefficients; with it five training cells do not decide on steep slopes."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Uncertainty:
    """How uncertain the predictions of one layer are.

    Attributes
    ----------
    layer : name of the soil layer
    centre, width : mean and standard deviation of the predictions that it was fitted on, m3 m-3
    low, high : range of those predictions, m3 m-3; predictions outside count as at its ends
    root_centre, root_width : mean and standard deviation of the root of their dissimilarity index
    farthest : largest dissimilarity index among them
    coefficients : of ln u: constant, prediction, its square, root of the dissimilarity (never negative)
    factor : that makes mean +- 1.645 u hold 90 % of the errors
    ignorance : variance of the difference of two unrelated targets, (m3 m-3)2
    anomaly_share : of the uncertainty, that is left in a window's deviation from its cell's long-term mean
    """

    layer: str
    centre: float
    width: float
    low: float
    high: float
    root_centre: float
    root_width: float
    farthest: float
    coefficients: tuple[float, float, float, float]
    factor: float
    ignorance: float
    anomaly_share: float = 1.0

    def standard(self, mean: ArrayLike, dissimilarity: ArrayLike) -> Floats:
        """Standard uncertainty, m3 m-3, of predictions and dissimilarity indices that broadcast together."""
        by_cell, unknown = self.of_cells(dissimilarity)
        return np.sqrt(np.square(self.of_means(mean) * by_cell) + unknown)

    def of_means(self, mean: ArrayLike) -> Floats:
        """The part of the uncertainty that the predicted mean decides, m3 m-3."""
        z = (np.clip(np.asarray(mean, float), self.low, self.high) - self.centre) / self.width
        constant, slope, curvature, _ = self.coefficients
        return self.factor * np.exp(constant + slope * z + curvature * z**2)

    def of_cells(self, dissimilarity: ArrayLike) -> tuple[Floats, Floats]:
        """The factor that a cell's dissimilarity decides, and the variance added beyond all dissimilarity of the folds.

        A cell without an index counts as unlike every training cell.
        """
        index = np.nan_to_num(np.asarray(dissimilarity, float), nan=np.inf)
        root = (np.sqrt(np.minimum(index, self.farthest)) - self.root_centre) / self.root_width
        beyond = np.maximum(index - self.farthest, 0) / max(self.farthest, np.finfo(float).tiny)
        return np.exp(self.coefficients[3] * root), self.ignorance * -np.expm1(-np.square(beyond))

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Uncertainty":
        a, b, c, d = value["coefficients"]
        return cls(**{**value, "coefficients": (a, b, c, d)})


def fit_uncertainty(layer: str, y: ArrayLike, y_hat: ArrayLike, dissimilarity: ArrayLike) -> Uncertainty:
    """Learn and calibrate the uncertainty of one layer.

    Parameters
    ----------
    y, y_hat : [n] targets and predictions of networks that have not seen their cells, m3 m-3
    dissimilarity : [n] index of each prediction's cell with respect to the cells of the other folds

    Raises
    ------
    LearnError
        if there is no prediction beside a target
    """
    columns = np.stack([np.asarray(column, np.float64) for column in (y, y_hat, dissimilarity)])
    target, mean, index = columns[:, np.isfinite(columns).all(axis=0)]
    if not len(target):
        raise LearnError(
            f"{layer}: no out-of-fold prediction has a target, so no uncertainty can be calibrated; add measurements "
            "after the first sequence.lookback days"
        )
    error, root = np.abs(target - mean), np.sqrt(index)
    draft = Uncertainty(
        layer, float(mean.mean()), _width(mean), float(mean.min()), float(mean.max()),
        float(root.mean()), _width(root), float(index.max()), (0.0, 0.0, 0.0, 0.0), 1.0, 2 * float(target.var()),
    )  # fmt: skip
    fitted = {**asdict(draft), "coefficients": _coefficients(draft, error, mean, root)}
    standardised = error / Uncertainty(**fitted).standard(mean, index)
    return Uncertainty(**{**fitted, "factor": conformal_factor(standardised)})


def conformal_factor(standardised: ArrayLike, level: float = LEVEL) -> float:
    """By which a standard uncertainty must be multiplied so that its interval holds `level` of the errors.

    Parameters
    ----------
    standardised : [n] absolute errors over their standard uncertainty
    level : of which the interval reaches 1.645 standard uncertainties when it is 0.9

    Returns
    -------
    the ceil(level (n + 1))-th smallest error over the interval's width, at most the largest; never zero
    """
    ordered = np.sort(np.asarray(standardised, float))
    rank = min(math.ceil(level * (len(ordered) + 1)), len(ordered))
    return max(float(ordered[rank - 1]) / STANDARD_WIDTH, np.finfo(float).tiny)


def anomaly_share(
    error: ArrayLike, uncertainty: ArrayLike, cell: NDArray[np.int64], day: NDArray[np.int64], window_days: int
) -> float:
    """Share of the uncertainty that is left in a window's deviation from its cell's long-term mean.

    What a prediction errs by throughout is in its climatology too, and makes no anomaly.

    Parameters
    ----------
    error, uncertainty : [n] out-of-fold errors and their standard uncertainty, m3 m-3
    cell, day : [n] where and when

    Returns
    -------
    root mean square of windows' mean errors about their cell's mean, over that of their mean uncertainty; 1 where no
    cell has three windows, and at most 1
    """
    window = np.asarray(day, np.int64) // window_days
    keys, group = np.unique(np.stack([np.asarray(cell, np.int64), window]), axis=1, return_inverse=True)
    days = np.bincount(group)
    means = np.bincount(group, np.asarray(error, float)) / days
    stated = np.bincount(group, np.asarray(uncertainty, float)) / days
    _, member, windows = np.unique(keys[0], return_inverse=True, return_counts=True)
    known = windows[member] >= LEAST_WINDOWS
    if not known.any():
        return 1.0
    deviation = means - (np.bincount(member, means) / windows)[member]
    variance = np.square(deviation) * (windows / np.maximum(windows - 1, 1))[member]
    return min(1.0, math.sqrt(variance[known].mean() / np.square(stated[known]).mean()))


def crps(error: ArrayLike, sigma: ArrayLike) -> Floats:
    """Continuous ranked probability score of normal distributions (Gneiting & Raftery 2007, JASA 102, 359, eq. 21)."""
    sigma = np.asarray(sigma, float)
    z = np.asarray(error, float) / sigma
    return sigma * (z * erf(z / math.sqrt(2)) + 2 * _density(z) - 1 / math.sqrt(math.pi))


def write_uncertainties(url: str, uncertainties: Sequence[Uncertainty]) -> None:
    """Keep the uncertainty of every layer beside the ensemble."""
    layers = [asdict(uncertainty) for uncertainty in uncertainties]
    put(url, json.dumps({"format": FORMAT, "layers": layers}, indent=1).encode())


def read_uncertainties(url: str) -> tuple[Uncertainty, ...]:
    """The uncertainty of every layer.

    Raises
    ------
    LearnError
        if the file is of another version
    """
    described = json.loads(read_bytes(url))
    if described.get("format") != FORMAT:
        raise LearnError(f"{url}: format {described.get('format')!r}, this somo reads {FORMAT}; train again")
    return tuple(Uncertainty.from_dict(layer) for layer in described["layers"])


def _coefficients(draft: Uncertainty, error: Floats, y_hat: Floats, root: Floats) -> tuple[float, float, float, float]:
    """Coefficients of ln u with the least mean score."""
    thin = slice(None, None, -(-len(error) // MOST_ERRORS))
    typical = max(float(np.sqrt(np.square(error).mean())), 1e-6)
    z = (y_hat[thin] - draft.centre) / draft.width
    q = (root[thin] - draft.root_centre) / draft.root_width
    design = np.stack([np.ones_like(z), z, z**2, q], axis=1)
    scaled = error[thin] / typical

    def loss(b: Floats) -> tuple[float, Floats]:
        sigma = np.exp(np.clip(design @ b, -8, 8))
        # d CRPS / d sigma = 2 density(z) - 1 / sqrt(pi), and d sigma / d b = sigma times the design.
        slope = (2 * _density(scaled / sigma) - 1 / math.sqrt(math.pi)) * sigma
        penalty = PENALTY * np.array([0.0, 1.0, 1.0, 1.0])
        value = float(crps(scaled, sigma).mean() + (penalty * b**2).sum())
        return value, design.T @ slope / len(scaled) + 2 * penalty * b

    bounds = [(None, None), (None, None), (None, None), (0, None)]
    found = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]) + math.log(typical), float(found[1]), float(found[2]), float(found[3])


def _density(z: Floats) -> Floats:
    return np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)


def _width(values: Floats) -> float:
    """Standard deviation, 1 where nothing varies."""
    spread = float(values.std())
    return spread if spread > 1e-9 else 1.0
