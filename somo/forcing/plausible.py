"""Mistakes that only the numbers show: sums of another kind, units that no file names, fill values nobody declared."""

from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from somo.core.variables import Quantity
from somo.forcing.units import suggest_units

FLOAT_LIMIT = 3.4028234663852886e38
# What producers write where there is no value: NetCDF's default for floats is 9.97e36, GDAL's -3.4e38.
FILL_VALUES = (
    -9999.0, -9999.9, -999.0, -999.9, -99.0, -99.9, -32768.0, -32767.0, 32767.0, 65535.0, -2147483648.0, -2147483647.0,
    9999.0, 99999.0, -99999.0,
    9.969209968386869e36, 1e15, 1e20, 1e30, 1e36, -1e15, -1e20, -1e30, -1e34, FLOAT_LIMIT, -FLOAT_LIMIT,
)  # fmt: skip
# Part of the largest value by which a sum may fall from step to step: packing rounds to 1.5e-5 of the range.
FALL = 1e-3
# Part of the largest value above which a sum is of some size.
STANDING = 0.1
# Steps at which a sum rose, none at which it fell, that prove a running sum: by chance once in 1,024.
ENOUGH_STEPS = 10
# As rare as rain in single hours that ends at the same hour on three days: (1/24) squared.
FALLS_BY_CHANCE = 1 / 576


@dataclass(frozen=True)
class Changes:
    """At how many steps a sum rises and falls from the one before it, by the hour of UTC at which the step begins.

    Attributes
    ----------
    steps, rises, falls : [24] numbers of steps, of all and of those that rise or fall
    stands : [24] numbers of steps before which a sum of some size stands, which falls if it begins anew
    """

    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, "int64"))
    rises: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, "int64"))
    falls: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, "int64"))
    stands: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, "int64"))

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    def falls_but_at(self, hour: int) -> int:
        """Falls at other hours than the one at which a running sum begins anew."""
        return int(self.falls.sum() - self.falls[hour])

    @property
    def restarts(self) -> list[int]:
        """The hours at which a running sum begins anew: one, or several evenly spaced over the day; none of other sums.

        Sums of single steps fall at many hours. A sum that fell three times, always at the same hour, and rose at
        several other hours is a running sum: rain in single hours ends at the same hour on three days only once in 600
        times. Sunshine in single steps also rises and falls at fixed hours. It rises at fewer than a third of the other
        hours where a day has eight steps or more, and not at all of them where it has four.
        """
        hours, a_day = np.flatnonzero(self.falls).tolist(), int(np.count_nonzero(self.steps))
        is_regular = bool(hours) and all((hour - hours[0]) * len(hours) % 24 == 0 for hour in hours)
        others = a_day - len(hours)
        # Where a sum begins anew at every other step, as sums of 6 hours given every 3 hours do, the steps that fall
        # leave half of the hours to chance: it takes more of them to prove as much as three falls at one hour do.
        falls_by_chance = (len(hours) / max(1, a_day)) ** max(0, int(self.falls.sum()) - 1)
        proves = self.falls.sum() >= 3 if len(hours) < 3 else falls_by_chance < FALLS_BY_CHANCE
        needed = others / 3 if others >= 6 else others
        rising = self.rises if len(hours) < 3 else np.where(self.falls, 0, self.rises)
        is_running = proves and rising.sum() >= ENOUGH_STEPS
        return hours if is_regular and is_running and np.count_nonzero(rising) >= max(needed, 1) else []


def changes_of(values: NDArray[np.floating], times: NDArray[np.int64]) -> Changes:
    """At which hours sums rise and fall. Values of both signs may do either, so nothing is counted for them.

    Parameters
    ----------
    values : [step, ...] consecutive steps
    times : [step] seconds since 1970-01-01 of the ends of the steps
    """
    size = np.nanmax(np.abs(values), initial=0.0)
    limit = FALL * size
    if size == 0 or not np.isfinite(size) or (np.nanmin(values) < -limit and np.nanmax(values) > limit):
        return Changes()
    # the first step of a new sum begins where the one before it ends
    begin = times[:-1] % 86_400 // 3600
    sizes = np.abs(values).reshape(len(values), -1)
    change = np.diff(sizes, axis=0)
    stands = (sizes[:-1] > STANDING * size).any(axis=1)
    counted = (np.ones(len(begin), bool), (change > limit).any(axis=1), (change < -limit).any(axis=1), stands)
    return Changes(*(np.bincount(begin[at], minlength=24) for at in counted))


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
    same = [fill for fill in FILL_VALUES if np.isclose(float(value), fill, rtol=1e-6, atol=0)]
    return same[0] if same else None
