"""`somo doctor` before a first run: what it finds good, and the sentence for what it does not."""

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from flows.cluster import connecting
from flows.command import cli
from flows.service.checkup import doctor
from flows.service.checkup.doctor import examine
from somo.product.cluster import KubernetesPods, SchedulerAddress, SlurmJobs
from somo.product.declaration import Product
from tests.publish import made


@pytest.fixture
def product() -> Product:
    return made.product("2016-01-01", "2016-03-31")


def problems(product: Product, root: object, stack: bool = False) -> dict[str, str]:
    return {finding.what: finding.told for finding in examine(product, str(root), stack) if not finding.good}


def test_a_machine_that_can_run_is_told_so(product: Product, tmp_path: Path) -> None:
    findings = {finding.what: finding for finding in examine(product, str(tmp_path))}
    assert list(findings) == ["versions", "credentials", "a put and a read", "clock", "free disk", "cluster", "GPU"]
    assert all(finding.good for finding in findings.values())
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_a_run_would_refuse_is_a_problem(product: Product, tmp_path: Path) -> None:
    pods = product.model_copy(update={"cluster": KubernetesPods()})
    assert "accept_plain_tcp = true" in problems(pods, tmp_path)["cluster"]
    accepted = product.model_copy(update={"cluster": KubernetesPods(accept_plain_tcp=True)})
    assert "cluster" not in problems(accepted, tmp_path)


def test_a_shared_folder_in_the_hands_of_others_is_a_problem(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    shared = tmp_path / "shared"
    jobs = product.model_copy(update={"cluster": SlurmJobs(shared_folder=str(shared))})
    assert "cluster" not in problems(jobs, tmp_path)
    assert list(shared.iterdir()) == []
    shared.chmod(0o777)
    assert "may be written by others" in problems(jobs, tmp_path)["cluster"]


def test_something_else_at_the_schedulers_port_is_a_problem(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        declared = product.model_copy(update={"cluster": SchedulerAddress(address=address)})
        # Dask's own client would wait for its first word for ever.
        assert f"{address}: cannot be reached (no answer)" in problems(declared, tmp_path)["cluster"]


@pytest.mark.s3
def test_a_real_bucket_is_written_and_its_clock_compared(product: Product, s3_root: str) -> None:
    assert problems(product, s3_root) == {}


def test_what_is_missing_is_told_with_the_remedy(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TOO_NEW", {"prefect": (3, 0)})
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(1, 1, 1e9))
    monkeypatch.setattr(doctor, "CLOCK_SECONDS", -1)
    (tmp_path / "file").write_text("no folder")
    absent = product.model_copy(update={"cluster": SchedulerAddress(address="tls://127.0.0.1:9")})
    told = problems(absent, tmp_path / "file" / "root")
    assert "does not work with Prefect; install one below 3.0" in told["versions"]
    assert "cannot be written" in told["a put and a read"]
    assert "1.0 GB free for temporary files, 5 are wanted; name another folder in TMPDIR" in told["free disk"]
    assert "tls://127.0.0.1:9: nobody answers" in told["cluster"]
    assert "s away from the store's; set it" in problems(product, tmp_path)["clock"]
    monkeypatch.setenv("PATH", str(tmp_path))
    elsewhere = product.model_copy(update={"cluster": SlurmJobs()})
    assert "sbatch, squeue, scancel, scontrol not on the PATH" in problems(elsewhere, tmp_path)["cluster"]


def test_the_command_fails_where_something_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMO_TINY", str(tmp_path))
    monkeypatch.setenv("SOMO_CLUSTER_ADDRESS", "tls://127.0.0.1:9")
    tiny = Path(__file__).parents[1] / "tiny.toml"
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", str(tiny), "--root", str(tmp_path)])
    assert ended.value.code == 1
    assert "PROBLEM cluster: tls://127.0.0.1:9: nobody answers" in capfd.readouterr().out
