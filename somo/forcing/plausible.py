"""What only the numbers can tell: sums taken for other sums, units that no file names, fill values nobody declared."""

import numpy as np
from numpy.typing import NDArray

from somo.core.variables import Quantity
from somo.forcing.units import suggest_units

FILL_VALUES = (-9999.0, -9999.9, -999.0, -999.9, -99.0, -32768.0, -32767.0, 32767.0, 1e20, 9.969209968386869e36, -1e20)
"""What producers write where there is no value; the last but one is NetCDF's own default."""
FALL = 1e-3
"""Part of the largest value by which a sum may fall from step to step: packing rounds to 1.5e-5 of the range."""
ENOUGH_STEPS = 10
"""Steps at which a sum rose, none at which it fell, that prove a running sum: by chance once in 1,024."""


def rises_and_falls(values: NDArray[np.floating], times: NDArray[np.int64]) -> tuple[int, int]:
    """At how many steps a sum rises and falls from the one before it on the same day.

    Sums since 00 UTC never fall within a day. Values of both signs may do either and say nothing.

    Parameters
    ----------
    values : [step, ...] consecutive steps
    times : [step] seconds since 1970-01-01 of the ends of the steps
    """
    size = np.nanmax(np.abs(values), initial=0.0)
    limit = FALL * size
    if size == 0 or not np.isfinite(size) or (np.nanmin(values) < -limit and np.nanmax(values) > limit):
        return 0, 0
    # the sum that is complete at 00 UTC belongs to the day before
    same_day = np.diff((times - 1) // 86_400) == 0
    change = np.diff(np.abs(values).reshape(len(values), -1), axis=0)[same_day]
    return int((change > limit).any(axis=1).sum()), int((change < -limit).any(axis=1).sum())


def unlikely_units(
    quantity: Quantity, units: str, accumulated: bool, values: NDArray[np.floating]
) -> tuple[float, str] | None:
    """Mean of converted daily values and the units they more likely have, where no climate has such a mean.

    Parameters
    ----------
    units, accumulated : what the values were converted from
    """
    if not np.isfinite(values).any():
        return None
    mean = float(np.nanmean(values, dtype="float64"))
    limits = quantity.climate_min, quantity.climate_max
    if limits[0] <= mean <= limits[1] or mean == 0:
        return None
    better = suggest_units(quantity, units, accumulated, mean, mean, limits)
    return None if better is None else (mean, better)


def fill_value(value: float) -> float | None:
    """The usual fill value that a number is, if it is one."""
    same = [fill for fill in FILL_VALUES if np.isclose(value, fill, rtol=1e-6, atol=0)]
    return same[0] if same else None
