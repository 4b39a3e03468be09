"""Predictive standard uncertainty, learnt from the errors of out-of-fold predictions and calibrated on them.

Within the range of the folds, ln u is linear in the predicted mean, its square and the root of the dissimilarity to
the training cells; the coefficients minimise the continuous ranked probability score of a normal distribution. A factor
then makes mean +- 1.645 u hold 90 % of the errors (split conformal prediction, Vovk et al. 2005), and more of them
where few cells decide on it. Beyond the largest dissimilarity between folds no error was ever seen: there the variance
grows to that of a prediction that knows nothing of the cell. Candidates and measurements are in docs/method.md.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import erf, stdtrit

from somo.learn import LearnError
from somo.storage.objects import exists, join, put, read_bytes

FORMAT = 1
UNCERTAINTY = "uncertainty.json"
LEVEL, STANDARD_WIDTH = 0.9, 1.6448536269514722
"""The interval that is calibrated: the central 90 % of a normal distribution reach 1.645 standard deviations."""
# Errors that the coefficients are fitted to; more are thinned evenly, for four coefficients need no millions.
MOST_ERRORS = 200_000
# Two windows deviate from their mean by one and the same number: three are the fewest that have a climatology.
LEAST_WINDOWS = 3
# On the squared slopes, divided by the number of cells, for the days of a cell err alike.
# On eu-basins 0.2 to 0.5 score best out of fold (0.90 to 0.98 of one constant width; 0.004 leaves slopes of four
# basins' noise and 85 % inside, 2 leaves none); hundreds of cells do not notice it.
PENALTY = 0.5
# Degrees of freedom that stand for infinitely many, where all cells err equally much.
MOST_FREEDOM = 1e6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Uncertainty:
    """How uncertain the predictions of one layer are.

    Attributes
    ----------
    layer : name of the soil layer
    centre, width : mean and standard deviation of the predictions that it was fitted on, m3 m-3
    low, high : range of those predictions, m3 m-3; predictions outside have the uncertainty of its ends
    root_centre, root_width : mean and standard deviation of the root of their dissimilarity index
    farthest : largest dissimilarity index among them
    coefficients : of ln u: constant, prediction, its square, root of the dissimilarity (never negative)
    factor : that makes mean +- 1.645 u hold 90 % of the errors, wider where it rests on few cells
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
        sigma: Floats = self.factor * np.exp(constant + slope * z + curvature * z**2)
        return sigma

    def of_cells(self, dissimilarity: ArrayLike) -> tuple[Floats, Floats]:
        """The factor that a cell's dissimilarity decides, and the variance added where it exceeds that of all folds.

        A cell without an index counts as unlike every training cell.
        """
        # Without features there is no index; to call such a cell like the others would promise too much.
        index = np.nan_to_num(np.asarray(dissimilarity, float), nan=np.inf)
        root = (np.sqrt(np.minimum(index, self.farthest)) - self.root_centre) / self.root_width
        # Where every cell has its like in another fold the farthest is 0, and any distance is beyond it.
        # Squares that overflow are infinite, and what is infinitely far is as unknown as can be.
        with np.errstate(over="ignore"):
            beyond = np.square(np.maximum(index - self.farthest, 0) / max(self.farthest, np.finfo(float).tiny))
        return np.exp(self.coefficients[3] * root), self.ignorance * -np.expm1(-beyond)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "Uncertainty":
        """The uncertainty that `dataclasses.asdict` made a table of."""
        a, b, c, d = value["coefficients"]
        return cls(**{**value, "coefficients": (a, b, c, d)})


def fit_uncertainty(
    layer: str, y: ArrayLike, y_hat: ArrayLike, dissimilarity: ArrayLike, cell: NDArray[np.integer]
) -> Uncertainty:
    """Learn and calibrate the uncertainty of one layer.

    Parameters
    ----------
    y, y_hat : [n] targets and predictions of networks that have not seen their cells, m3 m-3
    dissimilarity : [n] index of each prediction's cell with respect to the cells of the other folds
    cell : [n] number of each prediction's cell

    Raises
    ------
    LearnError
        if there is no prediction beside a target
    """
    columns = np.stack([np.asarray(column, np.float64) for column in (y, y_hat, dissimilarity)])
    usable = np.isfinite(columns).all(axis=0)
    (target, mean, index), cell = columns[:, usable], np.asarray(cell)[usable]
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
    penalty = PENALTY / len(np.unique(cell))
    fitted = {**asdict(draft), "coefficients": _coefficients(draft, error, mean, root, penalty)}
    standardised = error / Uncertainty(**fitted).standard(mean, index)
    return Uncertainty(**{**fitted, "factor": conformal_factor(standardised) * few_cells_factor(standardised, cell)})


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
    # n + 1, since the next error may lie beyond all of these: split conformal prediction's correction for few errors.
    rank = min(math.ceil(level * (len(ordered) + 1)), len(ordered))
    return max(float(ordered[rank - 1]) / STANDARD_WIDTH, np.finfo(float).tiny)


def few_cells_factor(standardised: ArrayLike, cell: NDArray[np.integer]) -> float:
    """By which an interval must be wider because a few cells, which err unequally, decide on its width.

    The mean square of the errors is itself an estimate, as uncertain as cells differ: with the degrees of freedom that
    its variance between cells leaves (Satterthwaite 1946, Biometrics Bulletin 2, 110) Student's t replaces the normal
    distribution. Days do not count, for the days of a cell err alike.

    Parameters
    ----------
    standardised : [n] absolute errors over their standard uncertainty
    cell : [n] number of each error's cell

    Returns
    -------
    1.003 for the 249 cells of us-grid, 1.01 for the 61 of us-stations, 1.03 for four basins; 1 for a single cell, whose
    difference from others nothing tells
    """
    _, number, days = np.unique(cell, return_inverse=True, return_counts=True)
    mean_squares = np.bincount(number, np.square(np.asarray(standardised, float))) / days
    if len(mean_squares) < 2:
        return 1.0
    variance = float(mean_squares.var(ddof=1)) / len(mean_squares)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Cells that all err alike have no variance: 0 / 0 where they do not err at all, else infinite freedom.
        freedom = np.nan_to_num(2 * mean_squares.mean() ** 2 / np.float64(variance), nan=MOST_FREEDOM)
    return float(stdtrit(min(freedom, MOST_FREEDOM), (1 + LEVEL) / 2)) / STANDARD_WIDTH


def anomaly_share(
    error: ArrayLike, uncertainty: ArrayLike, cell: NDArray[np.int64], day: NDArray[np.int64], window_days: int
) -> float:
    """Share of the uncertainty that is left in a window's deviation from its cell's long-term mean.

    An error that a cell has on all days is in its climatology too: a deviation from that climatology does not show it.

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
    of_enough_windows = windows[member] >= LEAST_WINDOWS
    if not of_enough_windows.any():
        return 1.0
    deviation = means - (np.bincount(member, means) / windows)[member]
    # The mean is taken from the same windows, which makes deviations from it too small: n / (n - 1) mends that.
    variance = np.square(deviation) * (windows / np.maximum(windows - 1, 1))[member]
    return min(1.0, math.sqrt(variance[of_enough_windows].mean() / np.square(stated[of_enough_windows]).mean()))


def crps(error: ArrayLike, sigma: ArrayLike) -> Floats:
    """Continuous ranked probability score of normal distributions (Gneiting & Raftery 2007, JASA 102, 359, eq. 21)."""
    sigma = np.asarray(sigma, float)
    z = np.asarray(error, float) / sigma
    score: Floats = sigma * (z * erf(z / math.sqrt(2)) + 2 * _density(z) - 1 / math.sqrt(math.pi))
    return score


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


def uncertainty_of_member(checkpoint: str, layer: str) -> Uncertainty | None:
    """Calibration of the layer of a member, `.../layer1/member0`; None where its ensemble has none, as if imported."""
    url = join(checkpoint.rstrip("/").rsplit("/", 2)[0], UNCERTAINTY)
    if not exists(url):
        return None
    return next((uncertainty for uncertainty in read_uncertainties(url) if uncertainty.layer == layer), None)


def _coefficients(
    draft: Uncertainty, error: Floats, y_hat: Floats, root: Floats, penalty: float
) -> tuple[float, float, float, float]:
    """Coefficients of ln u with the least mean score and penalty on squared slopes."""
    thin = slice(None, None, -(-len(error) // MOST_ERRORS))
    # In units of the typical error the coefficients are near zero, where the search begins.
    typical = max(float(np.sqrt(np.square(error).mean())), 1e-6)
    z = (y_hat[thin] - draft.centre) / draft.width
    q = (root[thin] - draft.root_centre) / draft.root_width
    design = np.stack([np.ones_like(z), z, z**2, q], axis=1)
    scaled = error[thin] / typical

    def loss(b: Floats) -> tuple[float, Floats]:
        # A first step of the search may be wild: e^8 typical errors either way are wide enough, and nothing overflows.
        sigma = np.exp(np.clip(design @ b, -8, 8))
        # d CRPS / d sigma = 2 density(z) - 1 / sqrt(pi), and d sigma / d b = sigma times the design.
        slope = (2 * _density(scaled / sigma) - 1 / math.sqrt(math.pi)) * sigma
        score = float(crps(scaled, sigma).mean() + (penalties * b**2).sum())
        return score, design.T @ slope / len(scaled) + 2 * penalties * b

    # The constant is free: pulling it to zero would narrow or widen all intervals alike.
    penalties = penalty * np.array([0.0, 1.0, 1.0, 1.0])
    # A cell less like the training cells is never better known, whatever a few cells' luck says.
    bounds = [(None, None), (None, None), (None, None), (0, None)]
    constant, slope, curvature, distance = minimize(
        loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=bounds
    ).x.tolist()
    return constant + math.log(typical), slope, curvature, distance


def _density(z: Floats) -> Floats:
    return np.exp(-np.square(z) / 2) / math.sqrt(2 * math.pi)


def _width(values: Floats) -> float:
    """Standard deviation, 1 where nothing varies."""
    spread = float(values.std())
    return spread if spread > 1e-9 else 1.0
