"""Sensors -> one scaled daily series per cell and layer, with a reason for every sensor that is left out.

The rules of O et al. (2022), Sci Data 9:701, in this order: values flagged good and not negative; daily means of enough
of them; a layer that holds the sensor's whole depth interval; enough valid days; the nearest cell; scaling to the
reference model, below zero missing; the mean of what shares a cell and layer. Everything here is a function of arrays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.insitu.sensor import InsituError, Sensor
from somo.product.inputs import Layer

Key = tuple[str, int, str]
"""Domain, flat cell id, layer."""

TARGET_COLUMNS = ("domain", "cell", "layer", "time", "value", "count")
SENSOR_COLUMNS = (
    *("archive", "network", "station", "sensor", "latitude", "longitude", "depth_from_m", "depth_to_m"),
    *("layer", "domain", "cell", "valid_days", "kept", "reason"),
)

NO_LAYER = "depth lies in no layer"
OUTSIDE = "outside every domain's grid"
NO_LAND = "cell has no forcing or static features"
NO_GOOD = "no value is flagged good"
FEW_DAYS = "too few valid days"
FEW_COMMON = "too few days in common with the reference"
CONSTANT = "constant series cannot be scaled"
NOTHING_LEFT = "no value is left after scaling"
UNREADABLE = "file cannot be read"

TOLERANCE_M = 1e-6
LEAST_STD = 1e-9


@dataclass(frozen=True, eq=False)
class Place:
    """One domain: its grid and which of its cells ([lat, lon]) have forcing and static features."""

    grid: Grid
    land: NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """What a sensor must satisfy: layers, valid days, valid sub-daily values a day, and the days that count."""

    layers: tuple[Layer, ...]
    min_days: int
    min_subdaily: int
    first: pd.Timestamp
    last: pd.Timestamp


@dataclass(frozen=True, eq=False)
class Series:
    """A sensor after the rules: where it belongs and its daily means (m3 m-3 by day), or the reason it is dropped."""

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

    @property
    def key(self) -> Key:
        return self.domain, self.cell, self.layer


def daily_means(
    time: NDArray[np.datetime64], value: NDArray[np.float64], good: NDArray[np.bool_], min_subdaily: int
) -> pd.Series:
    """Mean of the good, finite, non-negative values of each UTC day that has at least `min_subdaily` of them.

    Parameters
    ----------
    time, value, good : [n] datetime64, m3 m-3, accepted by the archive's quality control
    """
    use = good & np.isfinite(value) & (value >= 0)
    day, which, count = np.unique(time[use].astype("M8[D]"), return_inverse=True, return_counts=True)
    mean = np.bincount(which, weights=value[use], minlength=len(day)) / np.maximum(count, 1)
    enough = count >= min_subdaily
    return pd.Series(mean[enough], index=pd.DatetimeIndex(day[enough].astype("M8[ns]")), dtype=np.float64)


def layer_of(depth_from_m: float, depth_to_m: float, layers: Iterable[Layer]) -> str:
    """Name of the layer that holds the whole depth interval, empty if none does.

    A point sensor on the border of two layers belongs to the shallower one.
    """
    top, bottom = sorted((depth_from_m, depth_to_m))
    for layer in layers:
        if layer.top_m - TOLERANCE_M <= top and bottom <= layer.bottom_m + TOLERANCE_M:
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


def apply_rules(sensor: Sensor, rules: Rules, places: Mapping[str, Place]) -> Series:
    """Daily series of a sensor in its cell and layer; a sensor that breaks a rule carries the first one it breaks."""
    layer = layer_of(sensor.depth_from_m, sensor.depth_to_m, rules.layers)
    domain, cell = locate(sensor.latitude, sensor.longitude, places)
    daily = daily_means(sensor.time, sensor.value, sensor.good, rules.min_subdaily).loc[rules.first : rules.last]
    series = Series(
        archive=sensor.archive,
        network=sensor.network,
        station=sensor.station,
        sensor=sensor.name,
        latitude=sensor.latitude,
        longitude=sensor.longitude,
        depth_from_m=sensor.depth_from_m,
        depth_to_m=sensor.depth_to_m,
        layer=layer,
        domain=domain,
        cell=cell,
        daily=daily,
    )
    return replace(series, reason=_broken_rule(sensor, series, rules, places))


def _broken_rule(sensor: Sensor, series: Series, rules: Rules, places: Mapping[str, Place]) -> str:
    if sensor.problem:
        return f"{UNREADABLE}: {sensor.problem}"
    if not series.layer:
        return NO_LAYER
    if series.cell < 0:
        return OUTSIDE
    if not places[series.domain].land.flat[series.cell]:
        return NO_LAND
    if not (sensor.good & np.isfinite(sensor.value) & (sensor.value >= 0)).any():
        return NO_GOOD
    return FEW_DAYS if len(series.daily) < rules.min_days else ""


def overlap_weights(layer: Layer, reference: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """Share of each reference layer (top_m, bottom_m) in a layer: overlapping thickness over their sum.

    Raises
    ------
    InsituError
        if no reference layer overlaps
    """
    thickness = [max(0.0, min(layer.bottom_m, bottom) - max(layer.top_m, top)) for top, bottom in reference]
    if not sum(thickness) > TOLERANCE_M:
        raise InsituError(
            f"{layer.name} ({layer.top_m}-{layer.bottom_m} m): none of the reference layers {list(reference)} "
            "overlaps; add the missing depth under [[targets.reference]]"
        )
    return np.array(thickness) / sum(thickness)


def mean_over(values: Sequence[NDArray[np.floating]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[day] weighted mean of the reference layers; a layer of weight 0 may be missing."""
    return np.sum([w * np.asarray(v, np.float64) for v, w in zip(values, weights, strict=True) if w > 0], axis=0)


def scale_to_reference(series: Series, reference: pd.Series, min_days: int) -> Series:
    """Give a series the mean and standard deviation (ddof 1) of the reference over the days that both have.

    x' = mean_ref + (x - mean_x) std_ref / std_x for every day of the series; x' < 0 is left out.
    """
    both = pd.concat([series.daily, reference], axis=1, join="inner").dropna().to_numpy()
    if len(both) < min_days:
        return replace(series, reason=FEW_COMMON)
    mean, std = both.mean(axis=0), both.std(axis=0, ddof=1)
    return _rescaled(series, (mean[0], std[0]), (mean[1], std[1]))


def scale_pooled(group: Sequence[Series]) -> list[Series]:
    """Give every series of a layer the same mean and standard deviation: the means of the series' own (ddof 1).

    The spread between sensors' levels takes no part in the common standard deviation, so typical dynamics are kept.
    """
    own = [(float(s.daily.mean()), float(s.daily.std(ddof=1))) for s in group]
    varying = np.array([moments for moments in own if moments[1] > LEAST_STD]).reshape(-1, 2)
    mean, std = varying.mean(axis=0) if len(varying) else (0.0, 0.0)
    return [_rescaled(s, moments, (mean, std)) for s, moments in zip(group, own, strict=True)]


def _rescaled(series: Series, own: tuple[float, float], target: tuple[float, float]) -> Series:
    if not own[1] > LEAST_STD:
        return replace(series, reason=CONSTANT)
    daily = target[0] + (series.daily - own[0]) * target[1] / own[1]
    daily = daily[daily >= 0]
    return replace(series, daily=daily, reason="" if len(daily) else NOTHING_LEFT)


def scale(
    series: Iterable[Series],
    scaling: Literal["reference", "pooled", "none"],
    reference: Mapping[Key, pd.Series],
    min_days: int,
) -> list[Series]:
    """Scale the series that no rule has dropped; the others pass through.

    Parameters
    ----------
    reference : the reference model's daily series (m3 m-3) by domain, cell and layer; needed for "reference" alone
    """
    ordered = sorted(series, key=_order)
    if scaling == "none":
        return ordered
    kept = [s for s in ordered if not s.reason]
    dropped = [s for s in ordered if s.reason]
    if scaling == "pooled":
        groups = groupby(sorted(kept, key=lambda s: s.layer), key=lambda s: s.layer)
        scaled = [s for _, group in groups for s in scale_pooled(list(group))]
    else:
        nothing = pd.Series([], index=pd.DatetimeIndex([]), dtype=np.float64)
        scaled = [scale_to_reference(s, reference.get(s.key, nothing), min_days) for s in kept]
    return sorted(scaled + dropped, key=_order)


def _order(series: Series) -> tuple[str, str, str, float, float, str]:
    return (
        *(series.archive, series.network, series.station),
        *(np.nan_to_num(series.depth_from_m, nan=-1), np.nan_to_num(series.depth_to_m, nan=-1)),
        series.sensor,
    )


def target_table(series: Iterable[Series]) -> pd.DataFrame:
    """Mean over the kept series of each cell and layer by day, with their number; columns `TARGET_COLUMNS`."""
    kept = sorted((s for s in series if not s.reason), key=lambda s: s.key)
    parts = [_cell_mean(key, list(group)) for key, group in groupby(kept, key=lambda s: s.key)]
    if not parts:
        return pd.DataFrame(columns=list(TARGET_COLUMNS))
    return pd.concat(parts, ignore_index=True)


def _cell_mean(key: Key, group: list[Series]) -> pd.DataFrame:
    values = pd.concat([s.daily for s in group], axis=1, sort=True)
    mean, count = values.mean(axis=1), values.count(axis=1)
    columns = {"time": mean.index, "value": mean.to_numpy(np.float32), "count": count.to_numpy(np.int32)}
    domain, cell, layer = key
    return pd.DataFrame({"domain": domain, "cell": np.int64(cell), "layer": layer, **columns})


def sensor_table(series: Iterable[Series]) -> pd.DataFrame:
    """One row per sensor, kept or dropped with its reason; columns `SENSOR_COLUMNS`."""
    fields = [c for c in SENSOR_COLUMNS if c not in ("valid_days", "kept")]
    rows = [{f: getattr(s, f) for f in fields} | {"valid_days": len(s.daily), "kept": not s.reason} for s in series]
    return pd.DataFrame(rows, columns=list(SENSOR_COLUMNS))


def drop_totals(sensors: pd.DataFrame) -> dict[str, int]:
    """Number of sensors by reason ("kept" for those in use), largest first; they add up to all sensors."""
    reason = sensors["reason"].str.split(":").str[0].where(~sensors["kept"], "kept")
    return {str(name): int(count) for name, count in reason.value_counts().items()}


def require_kept(sensors: pd.DataFrame, where: Mapping[str, str]) -> None:
    """Refuse archives that keep no sensor at all, with what became of theirs.

    Parameters
    ----------
    where : URL by archive name
    """
    for archive, url in where.items():
        own = sensors[sensors["archive"] == archive]
        if own["kept"].any():
            continue
        totals = "; ".join(f"{count} x {reason}" for reason, count in drop_totals(own).items())
        raise InsituError(
            f"{archive} ({url}): none of its {len(own)} sensors can be used: {totals}; "
            "check grid and domains, min_subdaily, targets.min_days, the period and the archive's flags"
        )
