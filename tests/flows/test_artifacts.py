"""What is shown of a run in Prefect, on the status page and to Prometheus is what was meant and what happened."""

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from flows import artifacts, pipeline
from flows.artifacts import as_it_is
from flows.cluster.errors import ClusterError
from flows.environment import load_product
from flows.failures import RunError
from flows.one_writer import sign
from flows.status import STAGES, Stage
from somo.forcing.sources import ForcingError
from somo.product.declaration import Product
from somo.storage.patience import StorageError
from tests.flows.conftest import TINY

HOSTILE = "no column in ![](https://elsewhere.example/x) <script>alert(1)</script> [here](javascript:alert(1))"


@pytest.mark.parametrize("text", [HOSTILE, f"```\n{HOSTILE}", f"````` {HOSTILE} ```"])
def test_names_with_markup_are_shown_as_text(text: str) -> None:
    fence, *lines, last = as_it_is(text).split("\n")
    marks = fence.removesuffix("text")
    assert set(marks) == {"`"} and last == marks
    assert "\n".join(lines) == text
    assert marks not in text


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    monkeypatch.setenv("SOMO_TINY", str(tmp_path / "not there yet"))
    return load_product(TINY)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What goes to Prefect by its key, and to Prometheus as "measures"."""
    sent: dict[str, Any] = {}

    @contextmanager
    def scheduler(_: object) -> Iterator[str]:
        yield "scheduler of the service"

    def tell_end(_: object, product: str, newest_day_s: float | None, failure: str = "") -> None:
        sent["measures"] = product, failure

    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda text, key, **_: sent.update({key: text}))
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: logging.getLogger("run"))
    monkeypatch.setattr(artifacts, "running_scheduler", scheduler)
    monkeypatch.setattr(artifacts, "tell_end", tell_end)
    return sent


def page(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "viewer" / "status.json").read_bytes())
    return content


def test_a_provider_who_is_late_is_told_everywhere(product: Product, told: dict[str, Any], tmp_path: Path) -> None:
    """An update looks for its files before it starts any work."""
    root = tmp_path / "root"
    sign(product, str(root))
    with pytest.raises(ForcingError):
        pipeline.take(product, str(root))
    assert "t2m_" in told["failure"] and told["measures"] == ("Tiny", "ForcingError")
    assert page(root)["run"] == "failed" and "t2m_" in page(root)["failure"] and page(root)["stages"] == []


def test_nothing_is_told_on_the_page_of_another_product(product: Product, told: dict[str, Any], tmp_path: Path) -> None:
    sign(product.model_copy(update={"name": "Other"}), str(tmp_path / "root"))
    for root in (tmp_path / "root", tmp_path / "nobody has written here"):
        with pytest.raises(ForcingError):
            pipeline.take(product, str(root))
        assert not (root / "viewer").exists()


def done() -> list[Stage]:
    return [Stage(name, "done", "all") for name in STAGES]


def test_a_cluster_that_is_away_is_told_everywhere(
    product: Product, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise ClusterError("Dask scheduler tls://h:1: cannot be reached; start it")

    stages = [*done()[:-1], Stage(STAGES[-1], "missing", "the report")]
    monkeypatch.setattr(pipeline, "read_status", lambda *_: stages)
    monkeypatch.setattr(artifacts, "read_status", lambda *_: stages)
    monkeypatch.setattr(pipeline, "cluster", away)
    with pytest.raises(ClusterError):
        pipeline.take(product, str(tmp_path))
    assert "tls://h:1" in told["failure"] and told["measures"] == ("Tiny", "ClusterError")
    assert page(tmp_path)["run"] == "failed" and page(tmp_path)["stages"][-1]["state"] == "missing"


def test_a_run_with_nothing_to_do_has_ended_well_and_starts_no_cluster(
    product: Product, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would know otherwise: after two days an alert says that no run had ended, and a failure stays for ever."""

    def started(_: object) -> None:
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(pipeline, "read_status", lambda *_: done())
    monkeypatch.setattr(pipeline, "cluster", started)
    assert pipeline.take(product, str(tmp_path)) is False
    assert told == {"measures": ("Tiny", "")}
    assert page(tmp_path)["run"] == "ended" and len(page(tmp_path)["stages"]) == len(STAGES)


def test_the_page_says_what_a_run_is_at_work_on(
    product: Product, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of which only the first stage was done before; it fails in the fourth."""
    stages = [Stage("ingest", "done", "all"), *(Stage(name, "waiting", "for it") for name in STAGES[1:])]
    stages[2] = Stage("train", "missing", "missing: the ensemble")
    seen = []

    def journey(*_: object) -> Iterator[str]:
        for name in STAGES[:3]:
            seen.append([(stage["state"], stage["detail"]) for stage in page(tmp_path)["stages"]])
            assert page(tmp_path)["run"] == "running"
            yield name
        raise ForcingError("t2m_2004.nc: is truncated")

    @contextmanager
    def cluster(_: object) -> Iterator[Client]:
        with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
            yield client

    monkeypatch.setattr(pipeline, "read_status", lambda *_: stages)
    monkeypatch.setattr(artifacts, "read_status", lambda *_: stages)
    monkeypatch.setattr(artifacts, "tell_progress", lambda *_: None)
    monkeypatch.setattr(artifacts, "dashboard_link", lambda _: None)
    monkeypatch.setattr(pipeline, "cluster", cluster)
    monkeypatch.setattr(pipeline, "journey", journey)
    with pytest.raises(ForcingError):
        pipeline.take(product, str(tmp_path))
    for_it, ensemble = ("waiting", "for it"), ("missing", "missing: the ensemble")
    assert seen == [
        [("at work", "all"), for_it, ensemble, *[for_it] * 3],
        [("done", "all"), ("at work", "for it"), ensemble, *[for_it] * 3],
        [("done", "all"), ("done", "by this run"), ("at work", "the ensemble"), *[for_it] * 3],
    ]
    assert page(tmp_path)["run"] == "failed" and page(tmp_path)["stages"][3]["state"] == "waiting"


def test_a_signature_in_an_error_reaches_nobody(
    product: Product, told: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect keeps the text of what leaves a flow or task, in its log and as the state that a webhook is told."""
    signed = "https://h/t2m.nc?X-Amz-Signature=ab12"

    def refused(*_: object) -> None:
        raise StorageError(f"{signed}: the server refuses it (403 Forbidden)")

    sign(product, str(tmp_path))
    monkeypatch.setattr(pipeline, "read_status", refused)
    with pytest.raises(RunError, match=r"t2m\.nc\?\.\.\. the server refuses it") as failed:
        pipeline.take(product, str(tmp_path))
    for text in ("".join(traceback.format_exception(failed.value)), told["failure"], page(tmp_path)["failure"]):
        assert "refuses it" in text and "ab12" not in text
    # What the alerts tell apart.
    assert told["measures"] == ("Tiny", "StorageError")
