from dataclasses import replace

import pytest

from somo.validate.gate.checks import Coverage
from somo.validate.gate.evidence import gather
from somo.validate.published import Published, open_published
from somo.validate.sections.section import Impossible
from somo.validate.sections.uncertainty import uncertainty_section
from tests.validate.conftest import LAYERS


def told(published: Published) -> str | None:
    """What the gate's check says where it fails."""
    result = Coverage(0.85, 0.95).run(published, gather(published, 400, {}))
    return None if result.passed else result.text


@pytest.fixture(scope="module")
def judged(version):
    """A version that states its noise of 0.01 m3 m-3, in the store and beside its out-of-fold predictions."""
    published = open_published(version, LAYERS)
    soil = published.soil.assign(soil_moisture_uncertainty=published.soil["soil_moisture_std"])
    index = published.crossval["cell"].rank(pct=True)
    return replace(published, soil=soil, crossval=published.crossval.assign(uncertainty=0.01, dissimilarity=index))


def test_section_finds_a_true_uncertainty_true(judged) -> None:
    section = uncertainty_section(judged)
    for layer in LAYERS:
        assert section.findings["uncertainty"][layer]["coverage_90"] == pytest.approx(0.9, abs=0.01)
        assert section.findings["constant width"][layer]["crps"] > 0
    assert set(section.shown["layer"]) == set(LAYERS)
    assert {"all", "wetness: dry", "season: JJA", "dissimilarity: unlike", "network: NETA"} <= set(section.shown["of"])
    assert section.figure.startswith(b"<?xml")


def test_section_says_when_nothing_is_known(version) -> None:
    with pytest.raises(Impossible, match="none was learnt from folds"):
        uncertainty_section(open_published(version, LAYERS))


def test_gate_holds_back_an_interval_that_is_too_narrow_or_too_wide(judged) -> None:
    assert told(judged) is None
    assert "holds layer1 0.5" in told(replace(judged, crossval=judged.crossval.assign(uncertainty=0.0045)))
    assert "0.9" in told(replace(judged, crossval=judged.crossval.assign(uncertainty=0.02)))
    assert "no held-back cell" in told(replace(judged, crossval=judged.crossval.drop(columns="uncertainty")))
    one_fold = judged.crossval.assign(
        uncertainty=judged.crossval["uncertainty"].where(judged.crossval["layer"] != "layer3")
    )
    assert "no held-back cell was judged by one in layer3" in told(replace(judged, crossval=one_fold))
    imported = replace(judged, soil=judged.soil.drop_vars("soil_moisture_uncertainty"))
    assert told(replace(imported, crossval=imported.crossval.assign(uncertainty=0.001))) is None
