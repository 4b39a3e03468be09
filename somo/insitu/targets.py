"""Series of sensors -> targets per cell and layer, and the table of sensors kept and dropped."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import pyarrow as pa

from somo.core.words import counted
from somo.insitu import rules
from somo.insitu.errors import InsituError
from somo.insitu.rules import Key, Series
from somo.insitu.same_sensor import IN_TWO_ARCHIVES
from somo.product.inputs import FEWEST_SUBDAILY, Insitu, Layer

TARGET_COLUMNS = ("domain", "cell", "layer", "time", "value", "count")
SENSOR_COLUMNS = (
    *("archive", "network", "station", "sensor", "latitude", "longitude", "depth_from_m", "depth_to_m"),
    *("layer", "domain", "cell", "valid_days", "kept", "reason"),
)
DAILY_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("archive", "network", "station", "sensor")),
        *((name, pa.float64()) for name in ("latitude", "longitude", "depth_from_m", "depth_to_m")),
        *(("layer", pa.string()), ("time", pa.timestamp("ns")), ("value", pa.float64()), ("count", pa.int32())),
    ]
)
"""Of unscaled daily means in long form: m3 m-3, degrees, and the number of values of each day."""
KEPT = "kept"
REMEDIES = {
    rules.NO_DEPTH: "the depths in the archive",
    rules.NO_LAYER: "depth_from_m, which are metres, and [[layers]]",
    rules.OUTSIDE: "the places of the stations, grid and domains",
    rules.NO_LAND: "where forcing and static features have values",
    rules.NO_GOOD: "the archive's flags, or quality and good of the table",
    rules.ABOVE: "units",
    rules.FEW_DAYS: "min_subdaily, targets.min_days and the period",
    rules.STUCK: "targets.max_equal_share",
}
"""What to check by the heading of a reason; a file or row that cannot be used says it itself."""


def target_table(series: Iterable[Series]) -> pd.DataFrame:
    """Mean over the kept series of each cell and layer by day, with their number; columns `TARGET_COLUMNS`."""
    usable = sorted((s for s in series if not s.reason), key=lambda s: s.key)
    means = [_cell_mean(key, list(group)) for key, group in groupby(usable, key=lambda s: s.key)]
    if not means:
        return pd.DataFrame(columns=list(TARGET_COLUMNS))
    return pd.concat(means, ignore_index=True)


def _cell_mean(key: Key, group: list[Series]) -> pd.DataFrame:
    values = pd.concat([s.daily for s in group], axis=1, sort=True)
    mean, count = values.mean(axis=1), values.count(axis=1)
    columns = {"time": mean.index, "value": mean.to_numpy(np.float32), "count": count.to_numpy(np.int32)}
    domain, cell, layer = key
    return pd.DataFrame({"domain": domain, "cell": np.int64(cell), "layer": layer, **columns})


def sensor_table(series: Iterable[Series]) -> pd.DataFrame:
    """One row per sensor, kept or dropped with its reason; columns `SENSOR_COLUMNS`.

    The reason of a sensor in use names a fault for which it was not dropped: a line that cannot be read, an older
    download beside a newer one.
    """
    plain = [c for c in SENSOR_COLUMNS if c not in ("valid_days", "kept", "reason")]
    rows = [
        {column: getattr(s, column) for column in plain}
        | {"valid_days": len(s.daily), "kept": not s.reason, "reason": s.reason or s.note}
        for s in series
    ]
    return pd.DataFrame(rows, columns=list(SENSOR_COLUMNS))


def daily_table(series: Series) -> pa.Table:
    """Daily means of one series in long form; columns `DAILY_SCHEMA`."""
    days = len(series.daily)
    count = np.zeros(days, np.int32) if series.count is None else series.count.to_numpy(np.int32)
    values = {"time": series.daily.index.to_numpy("M8[ns]"), "value": series.daily.to_numpy(np.float64), "count": count}
    # What tells of the sensor is the same on every day: Arrow repeats it in a fiftieth of the time that pandas takes.
    columns = [
        pa.array(values[column.name], column.type, from_pandas=True)
        if column.name in values
        else pa.repeat(pa.scalar(getattr(series, column.name), column.type), days)
        for column in DAILY_SCHEMA
    ]
    return pa.Table.from_arrays(columns, schema=DAILY_SCHEMA)


def drop_totals(sensors: pd.DataFrame) -> dict[str, int]:
    """Number of sensors by reason ("kept" for those in use), largest first; they add up to all sensors."""
    totals = headings(sensors).value_counts()
    return {str(name): int(count) for name, count in totals.items()}


def headings(sensors: pd.DataFrame) -> pd.Series:
    """[sensor] heading of its reason, without the numbers and names after the colon; "kept" for those in use."""
    is_in_use = sensors["kept"].astype(bool)
    return sensors["reason"].astype(str).str.split(":").str[0].where(~is_in_use, KEPT)


def unusable_archives(sensors: pd.DataFrame, urls: Mapping[str, str]) -> list[str]:
    """A sentence for each archive without a usable sensor, except where its sensors are counted in another archive.

    Parameters
    ----------
    urls : URL by archive name
    """
    sentences = []
    for archive, url in urls.items():
        archive_sensors = sensors[sensors["archive"] == archive]
        if archive_sensors["kept"].any() or (headings(archive_sensors) == IN_TWO_ARCHIVES).any():
            continue
        count = len(archive_sensors)
        none = "its 1 sensor cannot be used" if count == 1 else f"none of its {count} sensors can be used"
        sentences.append(f"{archive} ({url}): {none}: {_totals_and_remedies(archive_sensors)}")
    return sentences


def _totals_and_remedies(sensors: pd.DataFrame) -> str:
    """Numbers of sensors by reason, and what to check for these reasons; the first of what cannot be used is quoted."""
    totals = drop_totals(sensors)
    causes = "; ".join(f"{count} x {reason}" for reason, count in totals.items())
    remedies = [REMEDIES[heading] for heading in totals if heading in REMEDIES]
    unreadable = sensors.loc[headings(sensors) == rules.UNREADABLE, ["station", "reason"]].head(1).astype(str)
    quoted = "".join(f" ({station}: {reason.partition(': ')[2]})" for station, reason in unreadable.to_numpy())
    return f"{causes}{quoted}" + (f"; check {', '.join(remedies)}" if remedies else "")


def dropped_sensors(sensors: pd.DataFrame, most: int) -> list[str]:
    """Names and reasons of the first dropped sensors, those whose files or rows are wrong first.

    Parameters
    ----------
    sensors : table of `sensor_table`
    most : sensors that are named; a last line tells how many more there are
    """
    dropped = sensors[~sensors["kept"].astype(bool)]
    is_mistake = dropped["reason"].map(rules.is_mistake).astype(bool)
    in_order = pd.concat([dropped[is_mistake], dropped[~is_mistake]])
    columns = in_order[["network", "station", "sensor", "reason"]].head(most).astype(str).to_numpy()
    names = [f"{network}, {station}, {sensor}: {reason}" for network, station, sensor, reason in columns]
    return [*names, f"and {len(dropped) - most} more"] if len(dropped) > most else names


def days_left_out(series: Iterable[Series], first: pd.Timestamp, last: pd.Timestamp) -> list[str]:
    """A sentence for each archive with daily means before or after the days that are learnt from.

    Parameters
    ----------
    series : of the archives that are learnt from
    first, last : the days that are learnt from
    """
    sentences = []
    for archive, group in groupby(sorted(series, key=lambda s: s.archive), key=lambda s: s.archive):
        usable = [s for s in group if not s.reason or s.reason.startswith(rules.FEW_DAYS)]
        before, after = sum(s.days_before for s in usable), sum(s.days_after for s in usable)
        total = before + after + sum(len(s.daily) for s in usable)
        sides = [
            f"{count} of {counted(total, 'daily mean')} lie {side} {day:%Y-%m-%d}"
            for count, side, day in ((before, "before", first), (after, "after", last))
            if count
        ]
        if sides:
            sentences.append(
                f"{archive}: {' and '.join(sides)} and are not learnt from; training.period = {{ start = ..., "
                "end = ... } would use them, if there is forcing for these days"
            )
    return sentences


def layers_without_sensors(sensors: pd.DataFrame, layers: Sequence[Layer]) -> list[str]:
    """A sentence for each layer in which no sensor is kept: nothing can be learnt of it.

    Parameters
    ----------
    sensors : those of the archives that are learnt from
    """
    learnt = set(sensors.loc[sensors["kept"], "layer"])
    return [
        f"{layer.name} ({100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm): no sensor is kept and nothing can be "
        "learnt of it; add sensors at that depth, or list [[layers]] without it: a product that lists none has three"
        for layer in layers
        if layer.name not in learnt
    ]


def unknown_networks(sensors: pd.DataFrame, archives: Iterable[Insitu]) -> list[str]:
    """A sentence for each archive whose `min_subdaily` names a network that it does not hold."""
    told = []
    for archive in archives:
        declared = archive.min_subdaily
        held = sensors.loc[sensors["archive"] == archive.name, "network"]
        if isinstance(declared, dict) and (unknown := sorted(declared.keys() - {*held})):
            told.append(
                f"{archive.name}: min_subdaily names {', '.join(unknown)}, of which the archive holds no sensor; its "
                f"networks are {', '.join(sorted({*held})) or 'none'}, and those that are not named need "
                f"{FEWEST_SUBDAILY} values a day"
            )
    return told


def require_kept(sensors: pd.DataFrame, urls: Mapping[str, str], table: str) -> list[str]:
    """Refuse archives of which no sensor at all can be used; returns a warning for each that has none.

    Parameters
    ----------
    urls : URL by archive name
    table : where the table of sensors is
    """
    warnings = unusable_archives(sensors, urls)
    if not sensors["kept"].any():
        raise InsituError("\n".join([*warnings, f"every sensor and its reason: {table}"]))
    return warnings
