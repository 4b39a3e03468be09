"""A sensor's values -> its daily means, which are stored, so that every file is read once.

No rule of a product enters them: layers, days, scaling and the least number of values a day are decided later.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from somo.core.variables import SOIL_MOISTURE
from somo.insitu.errors import SensorError
from somo.insitu.reading import read_recordings
from somo.insitu.sensor import Reader, Recording, Sensor

DAY_S = 86_400
TEXTS = ("key", "network", "station", "name", "downloaded", "note", "problem")
NUMBERS = ("latitude", "longitude", "depth_from_m", "depth_to_m", "highest")
COUNTS = ("good_values", "above_range", "a_day")


@dataclass(frozen=True, eq=False)
class DailySensor:
    """One sensor and its daily means.

    Attributes
    ----------
    key : hash of its files (`Recording.key`)
    network, station, name, latitude, longitude, depth_from_m, depth_to_m, downloaded, note, problem : as of `Sensor`
    good_values : values that are good, finite and not negative
    above_range : how many of them are above 1 m3 m-3, and so no volumetric soil moisture
    highest : the highest of them, m3 m-3
    a_day : values a day that the sampling step gives; 0 if there are none
    day : [n] datetime64[D], ascending
    mean : [n] m3 m-3, mean of the day's good values
    count : [n] number of the day's good values
    """

    key: str
    network: str
    station: str
    name: str
    latitude: float
    longitude: float
    depth_from_m: float
    depth_to_m: float
    downloaded: str = ""
    note: str = ""
    problem: str = ""
    good_values: int = 0
    above_range: int = 0
    highest: float = float("nan")
    a_day: int = 0
    day: NDArray[np.datetime64] = field(default_factory=lambda: np.empty(0, "M8[D]"))
    mean: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    count: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))


def daily_means(
    time: NDArray[np.datetime64], value: NDArray[np.float64], good: NDArray[np.bool_]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64], NDArray[np.int32]]:
    """Mean and number of the good, finite, non-negative values of each UTC day; equal times count once.

    Parameters
    ----------
    time, value, good : [n] datetime64 in any order, m3 m-3, accepted by the archive's quality control

    Returns
    -------
    [day] datetime64[D] ascending, [day] mean in m3 m-3, [day] number of values
    """
    time, value = _usable(time, value, good)
    day, number, count = np.unique(time.astype("M8[D]"), return_inverse=True, return_counts=True)
    total = np.bincount(number, weights=value, minlength=len(day))
    return day, total / np.maximum(count, 1), count.astype(np.int32)


def _usable(
    time: NDArray[np.datetime64], value: NDArray[np.float64], good: NDArray[np.bool_]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:
    """Times and values that count, in order of time; of equal times the first."""
    use = good & np.isfinite(value) & (value >= 0)
    # Files of one sensor may hold the same time twice; counted twice, it would help a day to its least number.
    time, first = np.unique(time[use], return_index=True)
    return time, value[use][first]


def values_a_day(time: NDArray[np.datetime64]) -> int:
    """Values a day that the usual step between times gives: 24 of hourly ones, 1 of daily or rarer ones."""
    if len(time) == 0:
        return 0
    # NumPy's `unique` of single times goes through a hash table, which took a third of the reading of a sensor.
    distances = np.diff(np.sort(time))
    steps = distances[distances > np.timedelta64(0, "s")] / np.timedelta64(1, "s")
    # The median, since a gap of months between two values says nothing of the step in which the sensor measures.
    return max(1, round(DAY_S / float(np.median(steps)))) if len(steps) else 1


def to_daily(sensor: Sensor, key: str) -> DailySensor:
    """Daily means of a sensor."""
    day, mean, count = daily_means(sensor.time, sensor.value, sensor.good)
    _, value = _usable(sensor.time, sensor.value, sensor.good)
    same = ("network", "station", "latitude", "longitude", "depth_from_m", "depth_to_m", "downloaded", "note")
    return DailySensor(
        key=key,
        name=sensor.name,
        **{name: getattr(sensor, name) for name in same},
        problem=sensor.problem,
        good_values=len(value),
        above_range=int((value > SOIL_MOISTURE.valid_max).sum()),
        highest=float(value.max()) if len(value) else float("nan"),
        # A logger writes rows without a value of this sensor too, which would make a daily sensor seem to be hourly.
        a_day=values_a_day(sensor.time[np.isfinite(sensor.value) & (sensor.value >= 0)]),
        day=day,
        mean=mean,
        count=count,
    )


def read_daily(reader: Reader, recordings: Sequence[Recording]) -> Iterator[DailySensor]:
    """Daily means of recordings in stored order; files that cannot be used become a sensor that says why.

    What the network or the file system refuses is raised: it says nothing about the files.
    """
    for recording, contents in read_recordings(recordings):
        try:
            if isinstance(contents, SensorError):
                raise contents
            sensor = reader.read_sensor(recording, contents)
        except SensorError as error:
            sensor = Sensor.unread(recording, str(error))
        yield to_daily(sensor, recording.key)


def encode(sensors: Iterable[DailySensor]) -> bytes:
    """Parquet with a row a sensor, its days, means and counts as lists."""
    rows = list(sensors)
    columns: dict[str, pa.Array] = {name: pa.array([getattr(s, name) for s in rows], pa.string()) for name in TEXTS}
    columns |= {name: pa.array([getattr(s, name) for s in rows], pa.float64()) for name in NUMBERS}
    columns |= {name: pa.array([getattr(s, name) for s in rows], pa.int64()) for name in COUNTS}
    ends = pa.array(np.cumsum([0, *(len(s.day) for s in rows)]), pa.int32())
    series = {
        "day": np.concatenate([np.empty(0, np.int32), *(s.day.astype(np.int64).astype(np.int32) for s in rows)]),
        "mean": np.concatenate([np.empty(0), *(s.mean for s in rows)]),
        "count": np.concatenate([np.empty(0, np.int32), *(s.count for s in rows)]),
    }
    columns |= {name: pa.ListArray.from_arrays(ends, pa.array(values)) for name, values in series.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def decode(data: bytes) -> list[DailySensor]:
    """The sensors of `encode`."""
    table = pq.read_table(io.BytesIO(data))
    plain = {name: table[name].to_pylist() for name in (*TEXTS, *NUMBERS, *COUNTS)}
    lists = {name: table[name].combine_chunks() for name in ("day", "mean", "count")}
    ends = np.concatenate([[0], np.cumsum(lists["day"].value_lengths().to_numpy())]).astype(int)
    flat = {name: column.flatten().to_numpy() for name, column in lists.items()}
    names = {f.name for f in fields(DailySensor)}
    sensors = []
    for i in range(table.num_rows):
        series = slice(ends[i], ends[i + 1])
        sensors.append(
            DailySensor(
                **{name: column[i] for name, column in plain.items() if name in names},
                day=flat["day"][series].astype("M8[D]"),
                mean=flat["mean"][series],
                count=flat["count"][series],
            )
        )
    return sensors
