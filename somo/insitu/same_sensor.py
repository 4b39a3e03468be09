"""Sensors that were delivered more than once: joined within an archive, counted once across archives."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from somo.core.grid import EARTH_RADIUS_KM, distance_km
from somo.insitu.daily import DailySensor
from somo.insitu.rules import Series, whole_centimetres

# Coordinates of one station differ by the digits they are written with: three decimals are 0.06 km either way.
SAME_PLACE_KM = 0.12
# Daily means of one sensor from two providers differ by rounding, by a flag here or there and by the hours of a day.
AGREEING_M3M3 = 0.005
AGREEING_SHARE = 0.9
LEAST_COMMON_DAYS = 30
IN_TWO_ARCHIVES = "counted once"


def join_downloads(sensors: Iterable[DailySensor]) -> list[DailySensor]:
    """One sensor for each network, station, instrument, depth and place of an archive, in the order of their first.

    Of two downloads the newer counts from its first to its last day, and the older one outside of that.
    """
    groups: dict[tuple[str, str, str, float, float], list[list[DailySensor]]] = defaultdict(list)
    ordered: list[list[DailySensor]] = []
    for sensor in sensors:
        same = groups[_identity(sensor)]
        group = next((g for g in same if all(_is_one_sensor(other, sensor) for other in g)), None)
        if group is None or sensor.problem or group[0].problem:
            group = []
            same.append(group)
            ordered.append(group)
        group.append(sensor)
    return [_joined(group) for group in ordered]


def _identity(sensor: DailySensor) -> tuple[str, str, str, float, float]:
    depths = (sensor.depth_from_m, sensor.depth_to_m)
    top, bottom = (-1.0 if np.isnan(d) else whole_centimetres(d) for d in depths)
    # Headers and names of files write one instrument as `Hydraprobe II` and `Hydraprobe-II`.
    instrument = "".join(c for c in sensor.name.lower() if c.isalnum())
    return sensor.network, sensor.station, instrument, top, bottom


def _is_same_place(a: DailySensor, b: DailySensor) -> bool:
    return bool(distance_km(a.latitude, a.longitude, b.latitude, b.longitude) <= SAME_PLACE_KM)


def _is_one_sensor(a: DailySensor, b: DailySensor) -> bool:
    """Whether two sensors of one identity are one.

    Without a day of download, as in tables of own stations, there is none to prefer: values of the same days that
    disagree are those of two instruments. Files that were cut by years may share a day at most, where clocks are ahead
    of UTC.
    """
    if not _is_same_place(a, b):
        return False
    if a.downloaded or b.downloaded:
        return True
    _, i, j = np.intersect1d(a.day, b.day, return_indices=True)
    return len(i) < 2 or _agreeing(a.mean[i], b.mean[j]) >= AGREEING_SHARE


def _agreeing(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Share of days whose means agree."""
    return float((np.abs(a - b) <= AGREEING_M3M3).mean())


def _joined(group: Sequence[DailySensor]) -> DailySensor:
    if len(group) == 1:
        return group[0]
    newest, *older = sorted(group, key=lambda s: (s.downloaded, len(s.day)), reverse=True)
    # What a newer download has replaced altogether, such as values in percent, says nothing of the sensor any more.
    counted, chosen, overlaps = [newest], [np.ones(len(newest.day), bool)], False
    for sensor in older:
        # Each download covers its own days: between two of them there may be years that a third one holds.
        covered = np.any([_covers(other, sensor.day) for other in counted], axis=0)
        overlaps |= bool(covered.any())
        if not covered.all():
            counted.append(sensor)
            chosen.append(~covered)
    day, mean, count = (
        np.concatenate([getattr(s, name)[days] for s, days in zip(counted, chosen, strict=True)])
        for name in ("day", "mean", "count")
    )
    order = np.argsort(day, kind="stable")
    notes = [s.note for s in counted if s.note]
    if overlaps:
        downloads = f"of {len(group)} downloads the newest was taken where they overlap ({newest.downloaded[:8]})"
        notes.append(downloads if newest.downloaded else f"{len(group)} series of it agree and count once")
    return replace(
        newest,
        day=day[order],
        mean=mean[order],
        count=count[order],
        note="; ".join(dict.fromkeys(notes)),
        good_values=sum(s.good_values for s in counted),
        above_range=sum(s.above_range for s in counted),
        highest=float(np.fmax.reduce([s.highest for s in counted])),
    )


def _covers(sensor: DailySensor, day: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """[n] whether a sensor's series counts on a day: its first to its last where it was downloaded, else its own."""
    if not sensor.downloaded:
        return np.isin(day, sensor.day)
    return (day >= sensor.day.min()) & (day <= sensor.day.max()) if len(sensor.day) else np.zeros(len(day), bool)


def count_once(series: Sequence[Series], min_days: int) -> list[Series]:
    """The series with every sensor that lies in two archives left in one of them, which its reason names.

    It is the same sensor where place, depth and either all names or overlapping daily means agree. The newer download
    is taken, else the one of more days; days that it does not reach stay with the other archive.

    Parameters
    ----------
    min_days : least number of valid days with which the rest of the other series remains a series
    """
    result = list(series)
    for i, j in _near_pairs(result):
        first, second = result[i], result[j]
        if first.reason or second.reason or not _is_same(first, second):
            continue
        taken, left = (j, i) if _is_better(second, first) else (i, j)
        result[left] = _without(result[left], result[taken], min_days)
    return result


def _near_pairs(series: Sequence[Series]) -> Iterator[tuple[int, int]]:
    """Pairs of usable series of different archives at one place and depth, in order."""
    by_depth: dict[tuple[float, float], list[int]] = defaultdict(list)
    for i, s in enumerate(series):
        if not s.reason:
            by_depth[whole_centimetres(s.depth_from_m), whole_centimetres(s.depth_to_m)].append(i)
    pairs = []
    for numbers in by_depth.values():
        # Straight distances between points of the sphere hold at the date line and the poles too, where degrees do not.
        lat, lon = (np.radians([getattr(series[i], axis) for i in numbers]) for axis in ("latitude", "longitude"))
        points = EARTH_RADIUS_KM * np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)
        near = cKDTree(points).query_pairs(SAME_PLACE_KM)
        pairs += [(numbers[min(p)], numbers[max(p)]) for p in near]
    return (pair for pair in sorted(pairs) if series[pair[0]].archive != series[pair[1]].archive)


def _is_same(a: Series, b: Series) -> bool:
    common = pd.concat([a.daily, b.daily], axis=1, join="inner").to_numpy()
    if len(common) == 0:
        return False
    if (a.network, a.station, a.sensor) == (b.network, b.station, b.sensor):
        return True
    return len(common) >= LEAST_COMMON_DAYS and _agreeing(common[:, 0], common[:, 1]) >= AGREEING_SHARE


def _is_better(a: Series, b: Series) -> bool:
    """Whether a series is the newer download, or has more days where that is unknown or equal."""
    if a.downloaded and b.downloaded and a.downloaded != b.downloaded:
        return a.downloaded > b.downloaded
    return len(a.daily) > len(b.daily)


def _without(left: Series, taken: Series, min_days: int) -> Series:
    """A series without the days from the first to the last of another one, which is taken in its place."""
    where = f"in archive {taken.archive!r} as {taken.network}/{taken.station}, which is taken"
    outside = (left.daily.index < taken.daily.index[0]) | (left.daily.index > taken.daily.index[-1])
    if outside.sum() < min_days:
        return replace(left, reason=f"{IN_TWO_ARCHIVES}: also {where}")
    note = "; ".join(filter(None, (left.note, f"{IN_TWO_ARCHIVES}: {int((~outside).sum())} days are also {where}")))
    count = None if left.count is None else left.count[outside]
    return replace(left, daily=left.daily[outside], count=count, note=note)
