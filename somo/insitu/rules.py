"""The rules that make a sensor's daily means a series of a cell and layer, or name why they do not.

The rules of O et al. (2022), Sci Data 9:701, in this order: a layer that holds the whole depth interval; a cell with
forcing; values that are good and volumetric soil moisture; enough days of enough values; a sensor that is not stuck.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.words import counted
from somo.insitu.daily import DailySensor
from somo.product.inputs import Layer

Key = tuple[str, int, str]
"""Domain, flat cell id, layer."""

NO_DEPTH = "depth unknown"
NO_LAYER = "depth lies in no layer"
OUTSIDE = "outside every domain's grid"
NO_LAND = "cell has no forcing or static features"
NO_GOOD = "no value is flagged good"
ABOVE = "values above 1 m3 m-3"
FEW_DAYS = "too few valid days"
STUCK = "stuck sensor"
UNREADABLE = "cannot be used"
SWAPPED = "latitude and longitude swapped?"
IN_CENTIMETRES = "did you mean cm?"
ABOVE_SURFACE = "lies above the surface; depths are metres below it"

CENTIMETRES = 100.0
# Networks have probes down to 3 m; numbers from here on that are depths of a layer in centimetres are taken for those.
DEEPER_THAN_PROBES_M = 3.5
# Daily means of equal values differ by rounding alone.
EQUAL = 1e-9
# 0.29 m is 28.999999999999996 cm to a computer, and must be cut to 29 cm.
CUT_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Place:
    """One domain: its grid and which of its cells ([lat, lon]) have forcing and static features."""

    grid: Grid
    land: NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """What a sensor must satisfy.

    Attributes
    ----------
    layers : soil layers of the product
    min_days : valid days that a series needs
    max_equal_share : of neighbouring days with equal means, above which a sensor is stuck
    fewest_values : network and values a day of the sampling step -> values that a daily mean needs
    first, last : the days that count
    """

    layers: tuple[Layer, ...]
    min_days: int
    max_equal_share: float
    fewest_values: Callable[[str, int], int]
    first: pd.Timestamp
    last: pd.Timestamp


@dataclass(frozen=True, eq=False)
class Series:
    """A sensor after the rules: where it belongs and its daily means (m3 m-3 by day), or why it is dropped.

    Attributes
    ----------
    count : values of each day, by day
    downloaded : YYYYMMDD of its archive's files, empty if unknown
    note : faults for which the sensor is not dropped
    days_before, days_after : days with enough values before and after those that count
    """

    archive: str
    network: str
    station: str
    sensor: str
    latitude: float
    longitude: float
    depth_from_m: float
    depth_to_m: float
    layer: str
    domain: str
    cell: int
    daily: pd.Series
    reason: str = ""
    note: str = ""
    downloaded: str = ""
    count: pd.Series | None = None
    days_before: int = 0
    days_after: int = 0

    @property
    def key(self) -> Key:
        """Domain, flat cell id and layer that the series belongs to."""
        return self.domain, self.cell, self.layer


def whole_centimetres(depth_m: float) -> float:
    """A depth cut to whole centimetres: 4 inches, 0.1016 m, are 10 cm."""
    return float(np.floor(depth_m * CENTIMETRES + CUT_TOLERANCE))


def layer_of(depth_from_m: float, depth_to_m: float, layers: Iterable[Layer]) -> str:
    """Name of the layer that holds the whole depth interval, empty if none does.

    Depths count in whole centimetres, cut, so that sensors placed in inches lie where those beside them lie that were
    placed in centimetres. A point sensor on the border of two layers belongs to the shallower one.
    """
    top, bottom = sorted((whole_centimetres(depth_from_m), whole_centimetres(depth_to_m)))
    for layer in layers:
        above, below = layer.top_m * CENTIMETRES, layer.bottom_m * CENTIMETRES
        if above - CUT_TOLERANCE <= top and bottom <= below + CUT_TOLERANCE:
            return layer.name
    return ""


def locate(latitude: float, longitude: float, places: Mapping[str, Place]) -> tuple[str, int]:
    """First domain that has the point in a cell, and that cell's flat id; ("", -1) outside of all.

    On the border of cells, one with forcing and static features is taken.
    """
    for domain, place in places.items():
        cell = int(place.grid.nearest(latitude, longitude, place.land)[0])
        if cell >= 0:
            return domain, cell
    return "", -1


def apply_rules(sensor: DailySensor, archive: str, rules: Rules, places: Mapping[str, Place]) -> Series:
    """Daily series of a sensor in its cell and layer; a sensor that breaks a rule carries the first one it breaks."""
    domain, cell = locate(sensor.latitude, sensor.longitude, places)
    fewest = rules.fewest_values(sensor.network, sensor.a_day)
    index = pd.DatetimeIndex(sensor.day.astype("M8[ns]"))
    within = np.asarray((index >= rules.first) & (index <= rules.last))
    has_enough = sensor.count >= fewest
    enough = within & has_enough
    series = Series(
        archive=archive,
        network=sensor.network,
        station=sensor.station,
        sensor=sensor.name,
        latitude=sensor.latitude,
        longitude=sensor.longitude,
        depth_from_m=sensor.depth_from_m,
        depth_to_m=sensor.depth_to_m,
        layer=layer_of(sensor.depth_from_m, sensor.depth_to_m, rules.layers),
        domain=domain,
        cell=cell,
        daily=pd.Series(sensor.mean[enough], index[enough], dtype=np.float64),
        count=pd.Series(sensor.count[enough], index[enough], dtype=np.int32),
        note=sensor.note,
        downloaded=sensor.downloaded,
        days_before=int((has_enough & np.asarray(index < rules.first)).sum()),
        days_after=int((has_enough & np.asarray(index > rules.last)).sum()),
    )
    reason = _place_reason(sensor, series, rules, places) or _value_reason(
        sensor, series, rules, sensor.count[within], fewest
    )
    return replace(series, reason=reason)


def is_mistake(reason: str) -> bool:
    """Whether a reason shows that a table of stations or its files are wrong, and not that a sensor does not suit."""
    return reason.startswith(UNREADABLE) or any(hint in reason for hint in (SWAPPED, IN_CENTIMETRES, ABOVE_SURFACE))


def _place_reason(sensor: DailySensor, series: Series, rules: Rules, places: Mapping[str, Place]) -> str:
    if sensor.problem:
        return f"{UNREADABLE}: {sensor.problem}"
    if not series.layer:
        return NO_DEPTH if np.isnan(series.depth_from_m) else f"{NO_LAYER}: {_depth_and_hint(series, rules.layers)}"
    if series.cell < 0:
        place = f"{OUTSIDE}: {series.latitude:g} N, {series.longitude:g} E"
        is_reversed_inside = abs(series.longitude) <= 90 and locate(series.longitude, series.latitude, places)[0]
        return f"{place}; {SWAPPED} The reversed pair lies in the grid" if is_reversed_inside else place
    return "" if places[series.domain].land.flat[series.cell] else NO_LAND


def _depth_and_hint(series: Series, layers: Iterable[Layer]) -> str:
    """The depth interval, and what its numbers more likely are."""
    top, bottom = series.depth_from_m, series.depth_to_m
    depth = f"{top:g}-{bottom:g} m"
    if top < 0:
        return f"{depth} {ABOVE_SURFACE}"
    layer_in_cm = layer_of(top / CENTIMETRES, bottom / CENTIMETRES, layers)
    if bottom < DEEPER_THAN_PROBES_M or not layer_in_cm:
        return depth
    return f"{depth}; {IN_CENTIMETRES} {top / CENTIMETRES:g}-{bottom / CENTIMETRES:g} m lies in {layer_in_cm}"


def _value_reason(sensor: DailySensor, series: Series, rules: Rules, counts: NDArray[np.int32], fewest: int) -> str:
    """What is wrong with the values; `counts` are the numbers of values of all days of the period."""
    if sensor.good_values == 0:
        return f"{NO_GOOD}: {sensor.note}" if sensor.note else NO_GOOD
    if sensor.above_range:
        return (
            f"{ABOVE}: {sensor.above_range} of {sensor.good_values} good values, the highest {sensor.highest:g}; "
            "in percent or broken"
        )
    days = len(series.daily)
    if days < rules.min_days:
        if len(counts) >= rules.min_days:
            # Where most days have enough values it is not the sampling that is too coarse, but single days.
            if (usual := int(np.median(counts))) < fewest:
                return f"{FEW_DAYS}: {counted(usual, 'value')} a day, {fewest} needed"
            return f"{FEW_DAYS}: {days} of {len(counts)} days have {fewest} values, {rules.min_days} such days needed"
        text = f"{FEW_DAYS}: {counted(days, 'day')}, {rules.min_days} needed"
        if len(counts) or not len(sensor.day):
            return text
        return f"{text}; its days, {sensor.day[0]} to {sensor.day[-1]}, are not those of the declared period"
    share = equal_share(series.daily)
    if share > rules.max_equal_share:
        return f"{STUCK}: {share:.1%} of neighbouring days have the same mean"
    return ""


def equal_share(daily: pd.Series) -> float:
    """Share of days whose mean equals that of the day before, among days that have one; 0 if none has."""
    neighbours = np.diff(daily.index.to_numpy("M8[D]").astype(int)) == 1
    equal = np.abs(np.diff(daily.to_numpy())) <= EQUAL
    return float(equal[neighbours].mean()) if neighbours.any() else 0.0
