"""Which days make a season of a year."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
# Two thirds of a season's 90 to 92 days: fewer would let one wet or dry month stand for three.
LEAST_DAYS = 60


def season_days(days: pd.DatetimeIndex, season: str) -> NDArray[np.bool_]:
    """[day] whether a day belongs to a season of which there is enough."""
    inside = np.isin(days.month, SEASONS[season])
    years = years_of(days)
    whole_years = [y for y in np.unique(years[inside]) if is_whole(days.month[inside & (years == y)])]
    return np.asarray(inside & np.isin(years, whole_years))


def years_of(days: pd.DatetimeIndex) -> NDArray[np.int64]:
    """[day] year of the season that a day belongs to."""
    return np.asarray(days.year + (days.month == 12))


def is_whole(months: pd.Index) -> bool:
    """Whether days in these months make a season."""
    return len(months) >= LEAST_DAYS and months.nunique() == 3
