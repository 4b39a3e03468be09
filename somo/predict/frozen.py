"""Whether the ground counts as frozen, from a daily temperature of its surface."""

import numpy as np
from numpy.typing import NDArray

from somo.product.method import Frozen

ZERO_CELSIUS_K = 273.15


def is_frozen(kelvin: NDArray[np.float32], declared: Frozen) -> NDArray[np.int8]:
    """[day, cell] 1 where the temperature was below the declared limit on each of the last days, else 0.

    Parameters
    ----------
    kelvin : [declared.days - 1 + day, cell] daily means in K, of the days to tell of and those before them
    """
    # In float32 as the temperatures are, so that no rounding between the types decides about a day at the limit.
    below = kelvin < np.float32(declared.below_c + ZERO_CELSIUS_K)
    windows = np.lib.stride_tricks.sliding_window_view(below, declared.days, axis=0)
    return np.asarray(windows.all(axis=-1), np.int8)
