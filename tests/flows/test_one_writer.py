"""One root, one product, one writer: other products, other users and other versions of the code."""

import json
import os
from pathlib import Path

import pytest

from flows import one_writer as module
from flows.command.models import search
from flows.environment import load_product
from flows.one_writer import OWNER, changed_since, made_with, one_writer
from somo.product.declaration import Product, ProductError
from somo.storage import lease
from somo.storage.lease import LeaseError
from tests.flows.conftest import TINY
from tests.publish import made


@pytest.fixture
def product() -> Product:
    return made.product("2016-01-01", "2016-03-31")


@pytest.fixture(params=["disk", pytest.param("s3", marks=pytest.mark.s3)])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "root") if request.param == "disk" else request.getfixturevalue("s3_root")


def test_a_root_belongs_to_one_product(product: Product, root: str) -> None:
    with one_writer(product, root, "run"):
        pass
    other = product.model_copy(update={"name": "Other"})
    message = rf"holds the product {product.name}, and this one is Other: .* give another --root"
    with pytest.raises(ProductError, match=message), one_writer(other, root, "run"):
        pass
    # Another version of the same product shares the root.
    with one_writer(product.model_copy(update={"version": "9.0.0"}), root, "run"):
        pass


def test_a_second_run_or_release_is_told_who_is_at_work(
    product: Product, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.4)
    with (
        one_writer(product, root, "release"),
        pytest.raises(LeaseError, match=rf"release of {product.name} .*\(process {os.getpid()} on "),
        one_writer(product, root, "run"),
    ):
        pass


def test_a_search_is_a_writer_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.4)
    monkeypatch.setenv("SOMO_TINY", str(tmp_path / "no sources are read"))
    root = str(tmp_path / "root")
    with one_writer(load_product(TINY), root, "run"), pytest.raises(LeaseError, match=r"run of Tiny .*writes there"):
        search(TINY, root)


def test_an_upgrade_is_told_before_the_work(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with one_writer(product, str(tmp_path), "run"):
        pass
    former = json.loads((tmp_path / OWNER).read_text())
    assert changed_since(former, made_with()) == []
    upgraded = {
        "packages": {**former["packages"], "torch": "99.0"},
        "formats": {**former["formats"], "models": 99},
    }
    monkeypatch.setattr(module, "made_with", lambda: upgraded)
    packages_sentence, formats_sentence = changed_since(former, upgraded)
    assert packages_sentence == (
        f"since the last run in this root: torch {former['packages']['torch']} is 99.0 now; finished results are kept"
    )
    assert formats_sentence.endswith(
        "it makes again every network, and with them the days of a version that is not complete"
    )
    with one_writer(product, str(tmp_path), "run"):
        assert json.loads((tmp_path / OWNER).read_text())["formats"]["models"] == 99
    # What was told once is written down, and told no more.
    assert changed_since(json.loads((tmp_path / OWNER).read_text()), upgraded) == []


@pytest.mark.parametrize("damaged", [b"", b"[]", b'{"nam', b"{}"])
def test_a_damaged_signature_is_named(product: Product, tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / OWNER).write_bytes(damaged)
    with (
        pytest.raises(ProductError, match=r"product\.json is damaged .*remove it if the root is this product's"),
        one_writer(product, str(tmp_path), "run"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a link that belongs to another user")
def test_links_that_another_user_prepared_lead_no_result_elsewhere(product: Product, tmp_path: Path) -> None:
    victim, root = tmp_path / "victim", tmp_path / "root"
    for folder in (victim, root, root / "v1.0.0"):
        folder.mkdir()
    link = root / "v1.0.0" / "soil_moisture.zarr"
    link.symlink_to(victim)
    os.lchown(link, 65534, 65534)
    with (
        pytest.raises(ProductError, match=r"soil_moisture\.zarr is a link that another user \(65534\) has made"),
        one_writer(product, str(root), "run"),
    ):
        pass
    assert list(victim.iterdir()) == [] and not (root / OWNER).exists()
    link.unlink()
    link.symlink_to(victim)
    with one_writer(product, str(root), "run"):
        assert (root / OWNER).exists()


def test_a_root_that_everybody_may_write_is_refused(product: Product, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with (
        pytest.raises(ProductError, match=r"may be written by every user of this machine.*chmod o-w"),
        one_writer(product, str(tmp_path), "run"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
