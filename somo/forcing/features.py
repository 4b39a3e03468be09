"""Pure arithmetic from what sources hold to what the network sees: daily values, climatology, static features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.core.product import Source, Static
from somo.forcing.sources import ForcingError

LATENT_HEAT_J_KG = 2.45e6
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class DailySteps:
    """Which steps make a day: from `first` steps after its 00 UTC, every `stride` steps, `count` of them, reduced."""

    first: int
    stride: int
    count: int
    total: bool


def daily_steps(source: Source, step_seconds: int) -> DailySteps:
    """How a source's steps become days (UTC).

    An accumulation is stamped with the end of its interval, so the value at 00 UTC belongs to the day before: a sum
    since the start of the day (ERA5-Land) is complete there, sums per step run from just after 00 UTC to the next 00
    UTC. Instantaneous values are averaged from 00 UTC to before the next.
    """
    per_day = DAY_SECONDS // step_seconds
    if source.frequency == "daily":
        return DailySteps(0, 1, 1, False)
    if source.kind == "instantaneous":
        return DailySteps(0, 1, per_day, False)
    if source.accumulation == "day":
        return DailySteps(per_day, per_day, 1, False)
    return DailySteps(1, 1, per_day, True)


def to_daily(values: NDArray[np.floating], steps: DailySteps) -> NDArray[np.floating]:
    """[day * count, ...] steps of whole days -> [day, ...] their total or mean; a missing step makes the day missing."""
    if steps.count == 1:
        return values
    days = values.reshape(-1, steps.count, *values.shape[1:])
    reduced = days.sum(axis=1, dtype="float64") if steps.total else days.mean(axis=1, dtype="float64")
    return reduced.astype(values.dtype)


def aridity(net_radiation_w_m2: NDArray[np.floating], precipitation_mm_d: NDArray[np.floating]) -> NDArray[np.float64]:
    """Long-term net radiation over precipitation, both as water (Budyko's dryness index).

    Radiation becomes the water it could evaporate: 1 W m-2 = 86400 / 2.45e6 mm d-1. Rain-free cells count 0.01 mm d-1.
    """
    water = np.asarray(net_radiation_w_m2, float) * DAY_SECONDS / LATENT_HEAT_J_KG
    return water / np.maximum(np.asarray(precipitation_mm_d, float), 0.01)


def static_features(
    name: str, declared: Static, values: NDArray[np.floating], expected: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    """Features of one declared static: gaps filled, classes turned into 0/1 columns.

    Parameters
    ----------
    values : [lat, lon], NaN where missing
    expected : [lat, lon] cells that have forcing

    Raises
    ------
    ForcingError
        naming the missing class
    """
    values = np.asarray(values, "float32")
    if declared.categories:
        given = values[expected & np.isfinite(values)]
        if len(odd := np.setdiff1d(given, declared.categories)):
            raise ForcingError(f"static.{name}: class {odd[0]:g} occurs in {declared.url}; add it to categories")
        known = np.isfinite(values)
        return {
            f"{name}_{c}": np.where(known, values == c, 0.0 if declared.gaps == "mean" else np.nan).astype("float32")
            for c in declared.categories
        }
    if declared.gaps == "mean":
        inside = values[expected & np.isfinite(values)]
        if inside.size:
            values = np.where(expected & ~np.isfinite(values), inside.mean(dtype="float64"), values).astype("float32")
    return {name: values}
