"""Conditional writes and the lease, on a folder and on a real S3 server."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from somo.storage import lease
from somo.storage.conditional import ChangedError, put_version, read_version
from somo.storage.lease import LeaseError, leased, put_visible, stop_if_lost
from somo.storage.objects import exists, join, read_bytes

BOTH = pytest.mark.parametrize("kind", ["folder", pytest.param("s3", marks=pytest.mark.s3)])


@pytest.fixture
def root(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return str(tmp_path) if kind == "folder" else request.getfixturevalue("s3_root")


@BOTH
def test_of_many_writers_one_comes_first(root: str) -> None:
    url = join(root, "latest.json")
    assert read_version(url) == (None, "")

    def write(number: int, former: str) -> int:
        try:
            put_version(url, f"{number} after {former}".encode(), former)
        except ChangedError:
            return 0
        return 1

    for _ in range(2):  # the first time there is nothing, the second time there is something
        former = read_version(url)[1]
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(lambda number, former=former: write(number, former), range(6))) == 1
    content, version = read_version(url)
    put_version(url, b"last", version)
    assert content != b"last"
    assert read_bytes(url) == b"last"
    with pytest.raises(ChangedError, match=r"latest\.json: was written by another one meanwhile"):
        put_version(url, b"late", version)


@BOTH
def test_a_second_run_is_told_who_writes(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.5)
    url = join(root, ".lease.json")
    with (
        leased(url, "run of Tiny 1.0.0"),
        pytest.raises(LeaseError, match=rf"run of Tiny 1\.0\.0 \(process {os.getpid()} on .*writes there"),
        leased(url, "another"),
    ):
        pass
    assert not exists(url)


def test_a_lease_whose_holder_fell_silent_is_taken_over_and_the_holder_writes_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 600.0)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.3)
    url, page = str(tmp_path / ".lease.json"), str(tmp_path / "zarr.json")
    with leased(url, "the first"):
        put_visible(page, b"by the first")
        successor = threading.Thread(target=take_over, args=(url, page))
        successor.start()
        successor.join()
        with pytest.raises(LeaseError, match="has lost its lease"):
            put_visible(page, b"by the first, late")
        assert read_bytes(page) == b"by its successor"


def test_a_renewal_that_arrived_without_an_answer_does_not_cost_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / ".lease.json")
    with leased(url, "run"):
        holder = lease._held.get()
        assert holder is not None
        with monkeypatch.context() as outage:

            def unanswered(*_: object) -> None:
                raise OSError("the store is silent")

            # What was put has arrived; the outage begins before the holder learns its version.
            outage.setattr(lease, "read_version", unanswered)
            with pytest.raises(OSError, match="silent"):
                holder.renew()
        holder.renew()
    assert not exists(url)


def take_over(url: str, page: str) -> None:
    with leased(url, "its successor"):
        put_visible(page, b"by its successor")


def test_a_holder_that_is_told_to_stop_writes_no_more_and_lets_the_next_one_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    url, page = str(tmp_path / ".lease.json"), str(tmp_path / "zarr.json")
    declared_dead = threading.Event()
    with leased(url, "the first", lambda: "Prefect holds it for Crashed" if declared_dead.is_set() else ""):
        put_visible(page, b"by the first")
        declared_dead.set()
        deadline = time.monotonic() + 10
        while exists(url):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(LeaseError, match="Prefect holds it for Crashed"):
            put_visible(page, b"by the first, late")
        take_over(url, page)
        with pytest.raises(LeaseError, match="Prefect holds it for Crashed"):
            stop_if_lost()
    assert read_bytes(page) == b"by its successor"


def test_a_holder_that_was_killed_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    url = str(tmp_path / ".lease.json")
    program = (
        f"from somo.storage.lease import leased\nimport os, signal\n"
        f"with leased({url!r}, 'killed'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert json.loads(read_bytes(url))["purpose"] == "killed"
    with leased(url, "the next"):
        assert json.loads(read_bytes(url))["purpose"] == "the next"


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = str(tmp_path / "zarr.json")
    with leased(str(tmp_path / ".lease.json"), "run"):
        monkeypatch.setattr(lease.time, "time", lambda: 4e9)
        put_visible(page, b"after the jump")
    assert read_bytes(page) == b"after the jump"
