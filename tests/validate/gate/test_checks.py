from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from somo.product.declaration import Product
from somo.validate.gate import evidence as module
from somo.validate.gate.checks import require_passed, run_checks
from somo.validate.gate.continuity import shared_jumps
from somo.validate.gate.evidence import gather
from somo.validate.published import ValidationError, open_published

TILE = 4


@pytest.fixture(scope="module")
def product():
    source = {"url": "{year}.nc", "variable": "tp", "units": "mm d-1"}
    return Product.model_validate(
        {
            "name": "made",
            "period": {"start": "2014-01-01", "end": "2016-12-31"},
            "grid": {"kind": "regular", "west": 4, "east": 9, "south": 46, "north": 50, "step_deg": 0.5},
            "forcing": {"precipitation": source},
            "static": {"rain": {"computed": "mean", "of": "precipitation"}},
            "insitu": [{"name": "ISMN", "url": "archive.zip"}],
            "targets": {"scaling": "none"},
            "sequence": {"lookback": 100, "predict_last_n": 100},
            "chunks": {"lat": TILE, "lon": 5, "tile_lat": TILE, "tile_lon": 5},
        }
    )


def shift_tile(truth):
    truth[:, :, 4:8, 5:10] += 0.02
    return truth


def shift_region(truth):
    truth[1, 300:400, 4:8, 0:5] -= 0.02
    return truth


def shift_blocks(truth):
    truth[:, 500:600] += 0.02
    return truth


def shift_year(truth):
    truth[2, 730:] -= 0.02
    return truth


def punch_hole(truth):
    truth[1, 700, 5, 5] = np.nan
    return truth


def lose_tile(truth):
    truth[:, :, TILE : 2 * TILE, 5:10] = np.nan
    return truth


def flood(truth):
    truth[0, 10, 5, 5] = 1.2
    return truth


def failed(product, url, previous=None):
    return {r.check: r.text for r in run_checks(product, url, previous) if not r.passed}


def test_sound_version_passes(product, version):
    results = run_checks(product, version)
    assert {r.check for r in results} == {
        "range", "nan fraction", "tile seams", "block borders", "year ends", "skill", "applicability", "coverage",
    }  # fmt: skip
    assert [r for r in results if not r.passed] == []
    require_passed(results, version)


@pytest.mark.parametrize(
    ("damage", "check", "told"),
    [
        (shift_tile, "tile seams", r"tile \(1, 1\)|whole period"),
        (shift_region, "tile seams", r"layer2, tile \(1, 0\).*block 3"),
        (shift_blocks, "block borders", r"(?:2015-05-16|2015-08-24).*sequence\.lookback is too short"),
        (shift_year, "year ends", "2016-01-01 in layer3"),
        (punch_hole, "nan fraction", "layer2 at 47.25 N 6.75 E"),
        (lose_tile, "nan fraction", "worst layer1 at"),
        (flood, "range", "1.2000"),
    ],
)
def test_damage_is_caught_and_named(product, write_version, damage, check, told):
    found = failed(product, write_version(damage))
    assert check in found
    assert pd.Series([found[check]]).str.contains(told).all()


def test_drop_in_skill_is_caught(product, version, write_version):
    worse = write_version(noise=0.04)
    assert "layer3 0.9" in failed(product, worse, version)["skill"]
    assert "skill" not in failed(product, version, worse)


def test_all_failures_are_told_at_once(product, write_version, version):
    url = write_version(lambda truth: flood(punch_hole(truth)), noise=0.04)
    with pytest.raises(ValidationError, match=r"(?s)3 of 8 checks failed.*- range.*- nan fraction.*- skill"):
        require_passed(run_checks(product, url, version), url)


def test_missing_day_is_caught(product, write_version):
    url = write_version(drop_day=400)
    assert "2015-02-04 is followed by 2015-02-06" in failed(product, url)["year ends"]


def gathered(product, url, kept=None):
    published = open_published(url, tuple(layer.name for layer in product.layers))
    return gather(published, product.region_days, kept or {})


def test_evidence_is_that_of_plain_reductions(product, version):
    soil = open_published(version, ("layer1", "layer2", "layer3")).soil["soil_moisture"].load()
    evidence = gathered(product, version)
    assert (float(evidence.low), float(evidence.high)) == (float(soil.min()), float(soil.max()))
    np.testing.assert_array_equal(evidence.count, soil.notnull().sum("time"))
    means = soil.coarsen(time=product.region_days, boundary="pad").mean().transpose("depth", "time", "lat", "lon")
    np.testing.assert_allclose(evidence.means, means, rtol=1e-5)
    np.testing.assert_array_equal(evidence.jumps, shared_jumps(soil.transpose("depth", "time", "lat", "lon").values))


def test_blocks_that_will_not_change_are_looked_at_once(product, version, tmp_path, monkeypatch):
    kept = {block: str(tmp_path / f"{block}.npz") for block in range(9)}
    first, looked = gathered(product, version, kept), []
    look_at = module.look_at
    monkeypatch.setattr(module, "look_at", lambda soil, *days: looked.append(days) or look_at(soil, *days))
    again = gathered(product, version, kept)
    assert len(looked) == 2  # the tenth block and the days that follow it are not kept
    for a, b in zip(asdict(first).values(), asdict(again).values(), strict=True):
        np.testing.assert_array_equal(a, b)
    (tmp_path / "3.npz").write_bytes((tmp_path / "3.npz").read_bytes()[:-40])
    gathered(product, version, kept)
    assert looked[2] == (300, 400)
