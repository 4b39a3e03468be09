"""What results are named by: everything that decides their content, and nothing else."""

from pathlib import Path

from flows.results import models_url, targets_url
from somo.forcing.dataset import Inputs
from tests.publish import made

INPUTS = {"home": Inputs({}, "static/0123456789abcdef.nc")}


def test_independent_targets_are_named_by_the_rules_that_keep_their_sensors(tmp_path: Path) -> None:
    (tmp_path / "far.zip").write_bytes(b"stations")
    insitu = [{"name": "net", "url": "net"}, {"name": "far", "url": str(tmp_path / "far.zip"), "role": "independent"}]
    rules = ({}, {"min_days": 120}, {"max_equal_share": 0.5})
    products = [made.product(insitu=insitu, targets={"scaling": "none", **rule}) for rule in rules]
    assert len({targets_url(product, str(tmp_path), INPUTS, "independent") for product in products}) == 3


def test_models_are_named_by_the_windows_of_drought_that_they_are_calibrated_for() -> None:
    declared, the_default, longer = (
        made.product(drought={"min_years": 3, **window}) for window in ({}, {"window_days": 30}, {"window_days": 90})
    )
    url = models_url(declared, "/root", INPUTS, "/root/targets/a.parquet")
    assert models_url(the_default, "/root", INPUTS, "/root/targets/a.parquet") == url
    assert models_url(longer, "/root", INPUTS, "/root/targets/a.parquet") != url
