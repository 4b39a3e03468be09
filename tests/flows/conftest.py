"""A tiny invented world, and the `somo` command run inside this process."""

import logging
import os
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client

from flows.command import cli
from flows.console import console
from flows.leftovers import MARK

TINY = Path(__file__).with_name("tiny.toml")

OF_A_RUN = {"PYTHONSAFEPATH", MARK, "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"}


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


@pytest.fixture
def environment() -> Iterator[MutableMapping[str, str]]:
    """Variables of this process, without those of a run, which the test may change."""
    former = dict(os.environ)
    for name in OF_A_RUN & former.keys():
        del os.environ[name]
    yield os.environ
    os.environ.clear()
    os.environ.update(former)


@pytest.fixture
def somo(
    client: Client, prefect_server: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Run the command as from a shell, on the session's Dask client and Prefect server.

    A shell's Prefect logs nothing below critical; this process has imported Prefect before it could be told so.
    """

    @contextmanager
    def cluster(product: object) -> Iterator[Client]:
        yield client

    monkeypatch.setattr("flows.pipeline.cluster", cluster)
    # Otherwise each command would start a server of its own.
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    # The mark of a run would stay in this process, and every run that a later test starts would take itself for a part
    # of this one and leave its ending to a watcher that waits for pytest's.
    monkeypatch.setattr("flows.command.making.end_with_this_process", lambda: None)
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    monkeypatch.setattr(console, "quiet", False)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return run
