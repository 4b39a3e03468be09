"""Ridge regression on exponentially filtered forcing: what the network has to beat."""

import numpy as np
from numpy.typing import NDArray

from somo.learn.normalising import transformed
from somo.learn.samples import TrainingSet

TIME_SCALES_DAYS = (1, 3, 7, 15, 30, 60)
PENALTY = 10.0


def exponential_filter(x: NDArray[np.float64], days: float) -> NDArray[np.float64]:
    """q_t = a q_{t-1} + (1 - a) x_t with a = exp(-1 / days), q_0 = x_0, along the first axis (Wagner et al. 1999)."""
    # Importing scipy.signal takes a second, which every worker that never fits a baseline spares.
    from scipy.signal import lfilter

    a = np.exp(-1 / days)
    # lfilter's own initial state is zero, as if the days before had had neither rain nor warmth.
    start = (a * x[0])[None]
    filtered: NDArray[np.float64]
    filtered, _ = lfilter([1 - a], [1, -a], x, axis=0, zi=start)
    return filtered


def baseline_features(data: TrainingSet, cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """[day, cell, feature]: forcing (precipitation as ln(1 + P)) on every time scale, then the statics."""
    forcing = transformed(data.dynamic, data.x_d[:, cells]).double().numpy()
    filtered = [exponential_filter(forcing, days) for days in TIME_SCALES_DAYS]
    static = data.x_s[cells].double().numpy()
    return np.concatenate([*filtered, np.broadcast_to(static, (data.n_days, *static.shape))], axis=-1)


def ridge_predict(
    data: TrainingSet, layer: str, train: NDArray[np.int64], test: NDArray[np.int64], first: int
) -> NDArray[np.float64]:
    """[day, cell] prediction for the test cells by a regression fitted on the train cells from day `first` on.

    Features are z-scored on the training cells; the penalty on the squared coefficients is 10.
    """
    x = baseline_features(data, train)[first:]
    y = data.y[data.layers.index(layer)][first:, train].double().numpy()
    mean, std = x.mean((0, 1)), x.std((0, 1))
    # Relative to the values, as for the networks: a constant must not be blown up, whatever its units.
    std[std <= 1e-9 * np.maximum(x.max((0, 1)), -x.min((0, 1)))] = 1.0
    has_target = np.isfinite(y)
    z, target = (x[has_target] - mean) / std, y[has_target]
    gram = z.T @ z + PENALTY * np.eye(z.shape[1])
    # Targets are centred and no constant is fitted, so that the penalty does not pull predictions towards zero.
    weights = np.linalg.solve(gram, z.T @ (target - target.mean()))
    prediction: NDArray[np.float64] = ((baseline_features(data, test) - mean) / std) @ weights + target.mean()
    return prediction
