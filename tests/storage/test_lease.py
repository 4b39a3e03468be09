"""Conditional writes and the lease, on a folder and on a real S3 server."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from s3fs.errors import translate_boto_error

from somo.storage import conditional, lease
from somo.storage.client import filesystem
from somo.storage.conditional import ChangedError, put_version, read_version, remove_version
from somo.storage.lease import Lease, LeaseError, leased, put_visible, stop_if_lost
from somo.storage.objects import exists, join, put, read_bytes
from somo.storage.patience import UnreachableError

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


def test_a_clock_that_was_set_makes_no_living_holder_a_dead_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moment in which a process began is told by the machine's clock, unless one asks the kernel otherwise."""
    url = str(tmp_path / ".lease.json")
    with leased(url, "run"):
        content = json.loads(read_bytes(url))
        began = psutil.Process().create_time()
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1e9)
        assert abs(psutil.Process().create_time() - began) > 1
        assert not lease._is_gone(content)
        assert lease._is_gone({**content, "start": content["start"] - 1})


@BOTH
def test_of_an_object_that_changed_meanwhile_nothing_is_removed(root: str) -> None:
    url = join(root, ".lease.json")
    put_version(url, b"mine", "")
    version_of_mine = read_version(url)[1]
    put_version(url, b"another's", version_of_mine)
    with pytest.raises(ChangedError):
        remove_version(url, version_of_mine)
    assert read_bytes(url) == b"another's"
    remove_version(url, read_version(url)[1])
    assert not exists(url)


@pytest.mark.parametrize(("code", "late"), [("NoSuchKey", True), ("PreconditionFailed", True), ("NoSuchBucket", False)])
def test_a_lease_that_somebody_removed_is_lost_and_no_silence_of_the_store(code: str, late: bool) -> None:
    """Amazon answers a write over a version that is gone with 404, which s3fs makes a missing file of."""
    answer = ClientError({"Error": {"Code": code, "Message": "At least one of the pre-conditions"}}, "PutObject")
    assert conditional._is_late(translate_boto_error(answer)) is late


def test_a_holder_that_was_stopped_while_it_renewed_does_not_take_its_successors_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = str(tmp_path / ".lease.json")
    successors = json.dumps({"owner": "another"}).encode()
    with leased(url, "the first"):
        holder = lease._held.get()
        assert holder is not None
        with monkeypatch.context() as stopped:

            def put_and_stop(place: str, data: bytes, former: str) -> None:
                # Minutes go by between the put and the question for its version.
                put_version(place, data, former)
                put(place, successors)

            stopped.setattr(lease, "put_version", put_and_stop)
            with pytest.raises(LeaseError, match="has lost its lease"):
                holder.renew()
        with pytest.raises(LeaseError):
            put_visible(str(tmp_path / "zarr.json"), b"late")
    assert read_bytes(url) == successors


def test_a_put_that_waited_for_its_store_asks_for_the_lease_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may be repeated for longer than a lease lasts: another run may have begun to write meanwhile."""
    url, page = str(tmp_path / ".lease.json"), str(tmp_path / "zarr.json")
    with leased(url, "the first"):

        def put_during_outage(place: str, data: bytes) -> None:
            monkeypatch.setattr(lease, "put", put)
            put(url, json.dumps({"owner": "another"}).encode())
            raise UnreachableError(f"{place}: cannot be reached")

        monkeypatch.setattr(lease, "put", put_during_outage)
        with pytest.raises(LeaseError, match="somebody whose lease cannot be read writes there now"):
            put_visible(page, b"late")
    assert not exists(page)


def test_after_a_short_outage_the_holder_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = str(tmp_path / "zarr.json")
    with leased(str(tmp_path / ".lease.json"), "run"):

        def put_during_outage(place: str, data: bytes) -> None:
            monkeypatch.setattr(lease, "put", put)
            raise UnreachableError(f"{place}: cannot be reached")

        monkeypatch.setattr(lease, "put", put_during_outage)
        put_visible(page, b"after the outage")
    assert read_bytes(page) == b"after the outage"


def test_what_nobody_foresaw_does_not_end_the_renewing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.02)
    renewed = threading.Event()
    questions: list[int] = []

    def why() -> str:
        questions.append(1)
        if len(questions) == 1:
            raise RuntimeError("a library says what it never said before")
        renewed.set()
        return ""

    with leased(str(tmp_path / ".lease.json"), "run", why):
        assert renewed.wait(10)


@pytest.mark.parametrize("damaged", [b"", b"[]", b"{}", b'{"purpose": '])
def test_a_damaged_lease_is_watched_and_then_taken_over(
    damaged: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.01)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.05)
    (tmp_path / ".lease.json").write_bytes(damaged)
    with leased(str(tmp_path / ".lease.json"), "run"):
        assert json.loads((tmp_path / ".lease.json").read_bytes())["purpose"] == "run"


def test_a_lease_that_ends_while_it_is_looked_at_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run may end in the very moment in which the second one looks."""
    monkeypatch.setattr("fsspec.implementations.local.LocalFileSystem.exists", lambda *_, **__: True)
    assert read_version(str(tmp_path / ".lease.json")) == (None, "")


def test_a_stranger_cannot_hold_the_lock_of_conditional_writes(tmp_path: Path) -> None:
    """Whoever can open a file can lock it, and every run would wait for ever."""
    put_version(str(tmp_path / "latest.json"), b"{}", "")
    assert not stat.S_IMODE((tmp_path / ".latest.json.lock").stat().st_mode) & 0o007


def test_no_lease_is_written_without_a_holder(tmp_path: Path) -> None:
    Lease(str(tmp_path / ".lease.json"), "never taken").give_back()
    assert list(tmp_path.iterdir()) == []


def test_work_that_is_done_does_not_fail_by_the_lost_answer_to_the_end_of_its_lease(
    s3_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3_root}/.lease.json"
    patient, _ = filesystem(url)
    fs = patient._fs
    asked = fs.call_s3

    def answer_is_lost(method: str, **arguments: object) -> object:
        answer = asked(method, **arguments)
        if method == "delete_object":
            raise ConnectionClosedError(endpoint_url=url)
        return answer

    monkeypatch.setattr(fs, "call_s3", answer_is_lost)
    with leased(url, "a release"):
        assert read_version(url)[0] is not None
    assert read_version(url) == (None, "")
    put_version(url, b"{}", "")
    with pytest.raises(UnreachableError, match=r"\.lease\.json"):
        remove_version(url, read_version(url)[1])
