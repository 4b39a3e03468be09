"""Reading archives: what is kept by the hash of its files, what is read again, tasks, bytes from a real S3 server."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
from distributed import Client

from flows.cluster.watching import Progressed, watching
from flows.results import daily_folder
from flows.stages import archives
from flows.stages.archives import plan_reading, read_archive
from somo.insitu import reading
from somo.product.inputs import Insitu, Layer
from tests.insitu.made import header_values, stm_name, write_zip

LAYERS = (Layer(name="layer1", top_m=0.0, bottom_m=0.1), Layer(name="layer2", top_m=0.1, bottom_m=0.3))
ROWS = [(f"2020/01/{d:02d} {h:02d}:00", 0.2 + 0.001 * d, "G") for d in range(1, 10) for h in range(24)]
DEPTHS = ((0.05, 0.05), (0.2, 0.2), (0.6, 0.6))


def files(stations: int) -> dict[str, str]:
    return {
        stm_name("NET", f"S{i:02d}", depth, "Probe", "20200101_20200109"): header_values(
            ROWS, depth, station=f"S{i:02d}"
        )
        for i in range(stations)
        for depth in DEPTHS
    }


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of every request for a range of an archive."""
    sizes: list[int] = []
    plain = reading.read_range

    def counted(url: str, version: str, start: int, size: int) -> bytes:
        sizes.append(size)
        return plain(url, version, start, size)

    monkeypatch.setattr(reading, "read_range", counted)
    return sizes


def test_a_change_of_layers_reads_what_is_new_and_nothing_twice(tmp_path: Path, reads: list[int]) -> None:
    archive = Insitu(name="net", url=write_zip(tmp_path / "a.zip", files(4)))
    folder = daily_folder(str(tmp_path / "root"), archive)
    first = read_archive(plan_reading(archive, LAYERS[:1], folder), None)
    assert sum(len(s.day) > 0 for s in first) == 4 and len(first) == 12 and reads
    reads.clear()
    again = read_archive(plan_reading(archive, LAYERS[:1], folder), None)
    assert reads == [] and [s.key for s in again] == [s.key for s in first]
    np.testing.assert_array_equal(np.concatenate([s.mean for s in again]), np.concatenate([s.mean for s in first]))
    more = read_archive(plan_reading(archive, LAYERS, folder), None)
    assert len(reads) > 0 and sum(len(s.day) > 0 for s in more) == 8
    changed = files(4) | {next(iter(files(1))): header_values(ROWS[:48], station="S00")}
    archive = Insitu(name="net", url=write_zip(tmp_path / "b.zip", changed))
    assert sum(map(len, plan_reading(archive, LAYERS, folder).tasks)) == 1


def test_an_interruption_keeps_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALLEST_TASK_BYTES", 1)
    archive = Insitu(name="net", url=write_zip(tmp_path / "a.zip", files(4)))
    folder = daily_folder(str(tmp_path / "root"), archive)
    plan = plan_reading(archive, LAYERS, folder)
    assert len(plan.tasks) == 8 and plan.bytes > 0
    for task in plan.tasks[:3]:
        archives.keep_daily(task, "ismn", folder)
    resumed = plan_reading(archive, LAYERS, folder)
    assert len(resumed.stored) == 3 and resumed.tasks == plan.tasks[3:]
    assert sum(len(s.day) > 0 for s in read_archive(resumed, None)) == 8


def test_the_cluster_reads_what_one_process_reads(tmp_path: Path, client: Client) -> None:
    archive = Insitu(name="net", url=write_zip(tmp_path / "a.zip", files(4)))
    seen: list[Progressed] = []
    with watching(seen.append):
        ours = read_archive(plan_reading(archive, LAYERS, daily_folder(str(tmp_path / "1"), archive)), client)
    alone = read_archive(plan_reading(archive, LAYERS, daily_folder(str(tmp_path / "2"), archive)), None)
    for a, b in zip(ours, alone, strict=True):
        assert (a.key, a.station) == (b.key, b.station)
        np.testing.assert_array_equal(a.mean, b.mean)
    assert (seen[-1].description, seen[-1].done, seen[-1].total) == ("stations of net", 4, 4)


def test_tasks_follow_the_bytes_and_not_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALLEST_TASK_BYTES", 1)
    archive = Insitu(name="net", url=write_zip(tmp_path / "a.zip", files(40)))
    tasks = plan_reading(archive, LAYERS, str(tmp_path / "root")).tasks
    assert archives.FEWEST_TASKS <= len(tasks) <= 80 and sum(map(len, tasks)) == 80
    monkeypatch.setattr(archives, "LARGEST_TASK_BYTES", 1)
    assert len(plan_reading(archive, LAYERS, str(tmp_path / "root")).tasks) == 80


def test_sensors_that_are_not_read_have_the_place_of_their_station(tmp_path: Path) -> None:
    archive = Insitu(name="net", url=write_zip(tmp_path / "a.zip", files(1)))
    sensors = read_archive(plan_reading(archive, LAYERS, str(tmp_path / "root")), None)
    assert [(s.depth_from_m, s.latitude, len(s.day)) for s in sensors if s.depth_from_m == 0.6] == [(0.6, 50.0, 0)]


@pytest.mark.s3
def test_members_of_a_zip_on_s3(tmp_path: Path, s3_root: str, reads: list[int]) -> None:
    fs, path = fsspec.url_to_fs(s3_root)
    fs.pipe(f"{path}/a.zip", Path(write_zip(tmp_path / "a.zip", files(3))).read_bytes())
    archive = Insitu(name="net", url=f"{s3_root}/a.zip")
    sensors = read_archive(plan_reading(archive, LAYERS, daily_folder(s3_root, archive)), None)
    assert sum(len(s.day) == 9 for s in sensors) == 6 and len(reads) == 1
    assert plan_reading(archive, LAYERS, daily_folder(s3_root, archive)).tasks == ()
