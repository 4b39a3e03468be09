"""The report's sentences on what speaks against a version."""

import pandas as pd
import pytest

from somo.validate.gate.checks import Result
from somo.validate.report.page import render
from somo.validate.report.verdict import verdict
from somo.validate.sections.section import Section

DEPTHS = {"layer1": "0–10 cm", "layer2": "10–30 cm"}


def judged(**findings):
    return [Section(name, "c", b"", pd.DataFrame(), findings=numbers) for name, numbers in findings.items()]


def test_skill_without_seasons_is_told():
    sections = judged(groups={"r_of_value": {"layer1": 0.9}, "r_of_anomaly": {"layer2": 0.37, "layer1": 0.85}})
    (sentence,) = verdict(sections, DEPTHS)
    assert sentence.endswith("the median correlation is 0.85 at 0–10 cm, 0.37 at 10–30 cm.")


def test_another_region_is_told_beside_the_baseline():
    network = {"layer1": {"pearson_r": 0.85}, "layer2": {"pearson_r": 0.9}}
    ridge = {"layer1": {"pearson_r": 0.875}, "layer2": {"pearson_r": 0.8}}
    (sentence,) = verdict(judged(fig4={"network": network, "ridge baseline": ridge}), DEPTHS)
    assert "0.85 (not above the baseline's 0.88) at 0–10 cm" in sentence
    assert "0.90 (above the baseline's 0.80) at 10–30 cm" in sentence


@pytest.mark.parametrize(("own", "is_told"), [(0.11, True), (0.1, True), (0.09, False)])
def test_an_uncertainty_no_sharper_than_a_constant_is_told(own, is_told):
    stated = {"layer1": {"coverage_90": 0.9, "interval_score": own}}
    constant = {"layer1": {"coverage_90": 0.9, "interval_score": 0.1}}
    sentences = verdict(judged(uncertainty={"uncertainty": stated, "constant width": constant}), DEPTHS)
    assert any("no sharper than one constant width" in s and "0–10 cm" in s for s in sentences) == is_told


def test_other_products_at_independent_stations_are_told():
    medians = {"layer1 SoMo": 0.98, "layer1 v 1": 0.99, "layer2 SoMo": 0.8}
    sentences = verdict(judged(fig5a={"pearson_r": medians, "left_out": []}), DEPTHS)
    assert sentences == [
        "0–10 cm: at independent stations the median correlation is 0.98, that of v 1 0.99.",
        "10–30 cm: at independent stations the median correlation is 0.80.",
    ]


def test_the_gates_words_name_depths_and_truths_are_words():
    shown = pd.DataFrame({"layer": ["layer1"], "rmsd": [0.01], "rmsd of one mean": [0.02], "told apart": [True]})
    section = Section("level", "c", b"", pd.DataFrame(), shown)
    about = {"title": "A", "version": "1", "period": "2015"}
    gate = [Result("skill", True, "median r layer1 0.888, mylayer1 1, layer10 2")]
    page = render([section], about, gate, DEPTHS)
    assert "median r 0–10 cm 0.888, mylayer1 1, layer10 2" in page
    assert "RMSD (m³ m⁻³)" in page and "RMSD of one mean (m³ m⁻³)" in page
    assert "<td>yes</td>" in page and "True" not in page
