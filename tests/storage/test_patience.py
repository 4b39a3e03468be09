"""The one policy of trying again: what is repeated, what is not, and every kind of request through a broken network."""

import errno
import json
import os
import subprocess
import sys
import time

import aiohttp
import pytest
from yarl import URL

from flows.service.s3server import S3Server
from somo.storage import patience
from somo.storage.patience import StorageError, UnreachableError, is_passing, no_longer_than, patiently
from tests.faults.fault_proxy import FaultProxy

EVERY_REQUEST = """
import json, sys, warnings
import numpy as np, zarr
warnings.simplefilter("ignore")
from somo.storage.byte_ranges import open_blocks
from somo.storage.client import filesystem, zarr_store
from somo.storage.listing import copy_objects
from somo.storage.objects import exists, fingerprint, join, put, read_bytes
root, results = sys.argv[1], []
for number in range(6):
    url = join(root, f"folder/{number}.bin")
    results.append(exists(url))
    put(url, bytes([number]) * 1000)
    results += [exists(url), read_bytes(url)[:2].hex(), fingerprint(url).split("-")[0]]
    fs, path = filesystem(url)
    with fs.open(path, "rb") as file:
        results.append(file.read(3).hex())
    results.append(open_blocks(url).read(4).hex())
fs, folder = filesystem(join(root, "folder"))
fs.invalidate_cache()
results += [len(fs.find(folder)), len(fs.ls(folder)), fs.du(folder)]
for number in range(40):
    put(join(root, f"many/{number}"), bytes([number]))
fs, many = filesystem(join(root, "many"))
# Hundreds of requests of which a third breaks would never succeed together.
results.append(sum(content[0] for content in fs.cat([f"{many}/{number}" for number in range(40)]).values()))
copy_objects(join(root, "many"), [(f"{number}", f"copy/{number}") for number in range(40)])
fs.invalidate_cache()
results.append(len(fs.ls(f"{many}/copy")))
store = zarr_store(join(root, "a.zarr"), read_only=False)
zarr.create_array(store, shape=(40,), chunks=(4,), dtype="i2")[:] = np.arange(40)
results.append(int(zarr.open_array(zarr_store(join(root, "a.zarr")), mode="r")[:].sum()))
print(json.dumps(results))
"""


def response_error(status: int) -> aiohttp.ClientResponseError:
    url = URL("http://127.0.0.1/x")
    request = aiohttp.RequestInfo(url, "GET", headers={}, real_url=url)  # type: ignore[arg-type]
    return aiohttp.ClientResponseError(request, (), status=status)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(errno.EBUSY, "SlowDown"), True),
        (response_error(503), True),
        (response_error(429), True),
        (response_error(403), False),
        (response_error(404), False),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (OSError(errno.ENOSPC, "full"), False),
        (UnreachableError("given up already"), False),
        (ValueError(), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, passing: bool) -> None:
    assert is_passing(error) is passing


def test_a_request_is_repeated_until_it_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.001)
    failures = [ConnectionResetError(), TimeoutError(), OSError(errno.EBUSY, "SlowDown")]

    def request() -> int:
        if failures:
            raise failures.pop()
        return 7

    assert patiently("s3://bucket/key", request) == 7


def test_patience_ends_with_the_url_and_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)
    attempts: list[float] = []

    def request() -> None:
        attempts.append(time.monotonic())
        raise ConnectionRefusedError(111, "refused")

    with pytest.raises(UnreachableError, match=r"s3://bucket/key: cannot be reached .*refused.*check the network"):
        patiently("s3://bucket/key", request, patience_s=0.1)
    assert 2 < len(attempts) < 8


def test_whoever_has_less_time_than_the_store_deserves_gives_up_sooner() -> None:
    began = time.monotonic()
    with pytest.raises(UnreachableError), no_longer_than(0.1), no_longer_than(60):
        patiently("s3://bucket/key", lambda: (_ for _ in ()).throw(ConnectionResetError()))
    assert time.monotonic() - began < patience.PATIENCE_S / 2


def test_another_failure_keeps_its_type_and_is_not_repeated() -> None:
    attempts: list[int] = []

    def request() -> None:
        attempts.append(1)
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours"):
        patiently("s3://bucket/key", request)
    assert attempts == [1] and not issubclass(PermissionError, StorageError)


@pytest.mark.s3
@pytest.mark.fault
def test_every_kind_of_request_survives_a_network_that_breaks_one_in_three(s3: S3Server, s3_root: str) -> None:
    with FaultProxy(int(s3.endpoint.rsplit(":", 1)[1]), share=1 / 3, seed=5, stall_s=0.1) as proxy:
        answers = {}
        for name, endpoint in (("undisturbed", s3.endpoint), ("broken", f"http://127.0.0.1:{proxy.port}")):
            environment = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
            command = [sys.executable, "-c", EVERY_REQUEST, f"{s3_root}/{name}"]
            run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=240)
            assert run.returncode == 0, run.stderr[-2000:]
            answers[name] = json.loads(run.stdout)
        assert proxy.broken > 10
    assert answers["broken"] == answers["undisturbed"]
