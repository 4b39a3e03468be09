"""In-situ archives -> daily means of every sensor, which are kept by the hash of their files.

A change of layers, days or scaling reads no file again, nor does a run after an interruption: each task keeps what it
has read in one object, and only its name goes through the scheduler.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from distributed import Client

from flows.cluster.watching import completed
from somo.insitu.daily import DailySensor, decode, encode, read_daily, to_daily
from somo.insitu.reading import in_stored_order
from somo.insitu.rules import layer_of
from somo.insitu.same_sensor import join_downloads
from somo.insitu.sensor import Recording, Sensor
from somo.insitu.sources.readers import READERS
from somo.product.declaration import content_hash
from somo.product.inputs import Insitu, Layer
from somo.storage.client import filesystem
from somo.storage.objects import join, put, read_bytes

# Inflated bytes that one task reads: some seconds of work, so that any cluster has enough of them and little is lost
# with a worker.
LARGEST_TASK_BYTES = 2**26
SMALLEST_TASK_BYTES = 2**20
# A small archive is still cut into enough tasks for a cluster that is only starting.
FEWEST_TASKS = 64
READING_THREADS = 8


@dataclass(frozen=True)
class Reading:
    """What has to be read of an archive, and what is already kept.

    Attributes
    ----------
    archive : the archive as declared
    folder : URL of the folder of daily means
    recordings : every sensor by the names of its files
    stored : daily means that are kept, by key
    tasks : recordings to read, in stored order, cut into tasks
    """

    archive: Insitu
    folder: str
    recordings: tuple[Recording, ...]
    stored: dict[str, DailySensor]
    tasks: tuple[tuple[Recording, ...], ...]

    @property
    def bytes(self) -> int:
        """Inflated bytes that are still to be read."""
        return sum(recording.bytes for task in self.tasks for recording in task)


def plan_reading(archive: Insitu, layers: Sequence[Layer], folder: str) -> Reading:
    """List an archive and what is kept of it; files whose names show no layer of the product are not read."""
    recordings = tuple(READERS[archive.format].list_recordings(archive.url, archive.name))
    wanted = {r.key: r for r in recordings if _is_wanted(r, layers)}
    stored = {sensor.key: sensor for sensor in _read_stored(_stored_urls(folder)) if sensor.key in wanted}
    missing = in_stored_order(r for key, r in wanted.items() if key not in stored)
    return Reading(archive, folder, recordings, stored, tuple(_cut(missing)))


def _is_wanted(recording: Recording, layers: Sequence[Layer]) -> bool:
    named = recording.depth_m
    return not recording.problem and (named is None or bool(layer_of(*named, layers)))


def _cut(recordings: Sequence[Recording]) -> Iterator[tuple[Recording, ...]]:
    """Tasks by the bytes they read, whatever the cluster is at the moment: it may grow while they are done."""
    total = sum(r.bytes for r in recordings)
    most = min(max(total // FEWEST_TASKS, SMALLEST_TASK_BYTES), LARGEST_TASK_BYTES)
    task: list[Recording] = []
    size = 0
    for recording in recordings:
        if task and size + recording.bytes > most and not _shares_unpacking(task[-1], recording):
            yield tuple(task)
            task, size = [], 0
        task.append(recording)
        size += recording.bytes
    if task:
        yield tuple(task)


def _shares_unpacking(a: Recording, b: Recording) -> bool:
    """Whether both lie in one compressed zip inside of a zip, which every task that reads it has to inflate."""
    first, second = (r.members[0].packed for r in (a, b))
    if first is None or second is None or not first.inside:
        return False
    return (a.members[0].url, first.inside) == (b.members[0].url, second.inside)


def read_archive(reading: Reading, client: Client | None) -> list[DailySensor]:
    """Every sensor of an archive, of several downloads joined; what is missing is read and kept.

    Parameters
    ----------
    client : of the cluster that reads; without one this process does
    """
    if client is None:
        urls = [keep_daily(task, reading.archive.format, reading.folder) for task in reading.tasks]
    else:
        urls = list(_read_by_cluster(reading, client))
    sensors = dict(reading.stored)
    sensors.update((sensor.key, sensor) for sensor in _read_stored(urls))
    listed = [sensors.get(r.key) or to_daily(Sensor.unread(r, r.problem), r.key) for r in reading.recordings]
    return join_downloads(_with_places(listed))


def _read_by_cluster(reading: Reading, client: Client) -> Iterator[str]:
    futures = [
        client.submit(keep_daily, task, reading.archive.format, reading.folder, pure=False) for task in reading.tasks
    ]
    stations = [len({(r.network, r.station) for r in task}) for task in reading.tasks]
    amounts = {future.key: count for future, count in zip(futures, stations, strict=True)}
    yield from completed(futures, f"stations of {reading.archive.name}", amounts)


def keep_daily(recordings: Sequence[Recording], kind: str, folder: str) -> str:
    """Read recordings and keep their daily means in one object; returns its URL."""
    url = join(folder, f"{content_hash([r.key for r in recordings])}.parquet")
    put(url, encode(read_daily(READERS[kind], recordings)))
    return url


def _stored_urls(folder: str) -> list[str]:
    fs, path = filesystem(folder)
    # fsspec would answer with a listing from before the workers wrote.
    fs.invalidate_cache()
    try:
        names = fs.ls(path, detail=False)
    except FileNotFoundError:
        return []
    return sorted(join(folder, name.rsplit("/", 1)[-1]) for name in names if name.endswith(".parquet"))


def _read_stored(urls: Sequence[str]) -> Iterator[DailySensor]:
    """The sensors of objects of daily means; several objects are fetched at a time."""
    with ThreadPoolExecutor(READING_THREADS) as pool:
        for data in pool.map(read_bytes, urls):
            yield from decode(data)


def _with_places(sensors: Iterable[DailySensor]) -> list[DailySensor]:
    """Sensors that were not read get the place of the others of their station, where these have one."""
    listed = list(sensors)
    places: dict[tuple[str, str], set[tuple[float, float]]] = {}
    for sensor in listed:
        if not np.isnan(sensor.latitude):
            places.setdefault((sensor.network, sensor.station), set()).add((sensor.latitude, sensor.longitude))
    return [_placed(sensor, places.get((sensor.network, sensor.station), set())) for sensor in listed]


def _placed(sensor: DailySensor, places: set[tuple[float, float]]) -> DailySensor:
    if not np.isnan(sensor.latitude) or len(places) != 1:
        return sensor
    ((latitude, longitude),) = places
    return replace(sensor, latitude=latitude, longitude=longitude)
