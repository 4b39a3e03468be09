"""Triple collocation: the error of each of three estimates of one quantity, none of them taken as the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Collocated:
    """Errors of three estimates.

    Attributes
    ----------
    error_std : standard deviation of the random error of each, in its own units; NaN where the variance is negative
    r : correlation of each with the unknown truth (extended triple collocation); negative for one that goes against
        both others
    n : days on which all three have a value
    """

    error_std: tuple[float, float, float]
    r: tuple[float, float, float]
    n: int


def triple_collocation(x: ArrayLike, y: ArrayLike, z: ArrayLike, least: int = 30) -> Collocated:
    """Errors of three series from their covariances Q (Stoffelen 1998; McColl et al. 2014).

    var(error of x) = Qxx - Qxy Qxz / Qyz and r(x)^2 = Qxy Qxz / (Qxx Qyz); y and z alike. Holds where the errors are
    independent of each other and of the truth. NaN for fewer than `least` days or where the covariances contradict.
    """
    series = np.stack([np.asarray(s, np.float64) for s in (x, y, z)])
    series = series[:, np.isfinite(series).all(0)]
    n = series.shape[1]
    if n < least:
        return Collocated((np.nan,) * 3, (np.nan,) * 3, n)
    q = np.cov(series)
    errors, correlations = [], []
    for a in range(3):
        b, c = (k for k in range(3) if k != a)
        # Covariances that contradict each other divide by zero or give a negative variance: both become NaN below.
        with np.errstate(divide="ignore", invalid="ignore"):
            signal = q[a, b] * q[a, c] / q[b, c]
            noise, share = q[a, a] - signal, signal / q[a, a]
        errors.append(float(np.sqrt(noise)) if noise >= 0 else np.nan)
        # The covariances give r squared alone: one estimate that is wet when the two others are dry is as far from the
        # truth as its sign says, not as close as its square does.
        sign = -1 if q[a, b] < 0 and q[a, c] < 0 else 1
        correlations.append(sign * float(np.sqrt(share)) if 0 <= share <= 1 else np.nan)
    return Collocated((errors[0], errors[1], errors[2]), (correlations[0], correlations[1], correlations[2]), n)
