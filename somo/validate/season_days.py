"""Which days make a season of a year, and means over them."""

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
# Two thirds of a season's 90 to 92 days: fewer would let one wet or dry month stand for three.
LEAST_DAYS = 60
# Satellites see a place every third day, and clouds or frost take half of what is left.
LEAST_IN_MONTH = 5


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


def seasonal_means(field: xr.DataArray, season: str = "JJA", has_gaps: bool = False) -> xr.DataArray:
    """[year, ...] mean of a daily field over one season of each year; years that lack a month of it are left out.

    December belongs to the winter of the year after.

    Parameters
    ----------
    has_gaps : whether cells may lack days that the field has; a season is then NaN where a cell lacks one of its months
    """
    days = pd.DatetimeIndex(field["time"].values)
    is_in_season = season_days(days, season)
    season_field, years = field.isel(time=np.flatnonzero(is_in_season)), years_of(days)[is_in_season]
    labelled = season_field.assign_coords(year=("time", years))
    if not is_in_season.any():
        return labelled.swap_dims(time="year").drop_vars("time")
    means = labelled.groupby("year").mean()
    return means.where(_has_every_month(season_field, years)) if has_gaps else means


def _has_every_month(season_field: xr.DataArray, years: NDArray[np.int64]) -> xr.DataArray:
    """[year, ...] whether a cell has values in each month, lest one that files or clouds leave stand for three."""
    month = 100 * years + pd.DatetimeIndex(season_field["time"].values).month
    days = season_field.notnull().assign_coords(month=("time", month)).groupby("month").sum()
    seen = (days >= LEAST_IN_MONTH).assign_coords(year=("month", days["month"].values // 100))
    return seen.groupby("year").all()
