"""Prefect's server for one run: for its user alone, ended with the process, and named where it cannot start."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows import server_of_run

# Starts the server, tries its doors and says who it was.
TRIED = """
import os, urllib.error, urllib.request
import psutil
from flows.environment import prepare_prefect, server_is_named
from flows.server_of_run import start_server

prepare_prefect()
assert not server_is_named()
wait = start_server()
wait()
url = os.environ["PREFECT_API_URL"]
for path in ("/flows/count", "/docs"):
    try:
        urllib.request.urlopen(urllib.request.Request(url + path, data=b"{}"))
    except urllib.error.HTTPError as error:
        print(path, error.code)
from prefect.client.orchestration import get_client
print("flows", get_client(sync_client=True).read_flows())
server = psutil.Process().children()[0].pid
print("server", server)
print("gets-ctrl-c", os.getpgid(server) == os.getpgid(0))
"""


def test_it_answers_its_run_alone_and_ends_with_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
    environment["PREFECT_HOME"] = str(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", TRIED], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said == {
        "/flows/count": "401",
        "/docs": "404",
        "flows": "[]",
        "server": said["server"],
        "gets-ctrl-c": "False",
    }
    assert not psutil.pid_exists(int(said["server"]))
    assert done.stderr == ""


def test_one_that_cannot_start_is_told_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("where a folder should be")
    environment["PREFECT_HOME"] = str(tmp_path / "file")
    wait = server_of_run.start_server()
    with pytest.raises(server_of_run.StackError, match=r"for this run ended with status .* PREFECT_HOME"):
        wait()
    assert "file" in capfd.readouterr().err
