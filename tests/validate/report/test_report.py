import base64
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from somo.validate.gate.checks import Result
from somo.validate.report.page import render, write_report
from somo.validate.sections.section import Impossible, Section, read_section, text_section, write_section

ABOUT = {"title": "A & B", "version": "1.0.0", "period": "2014-01-01 to 2014-12-31"}
SECTION = Section(
    "figS3",
    "Skill <held back>, n = 2.",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    pd.DataFrame({"layer": ["layer1", "layer2"], "value": [0.5, float("nan")]}),
    pd.DataFrame({"layer": ["layer1"], "pearson_r": [0.5]}),
    {"network": {"layer1": {"pearson_r": 0.5, "nse": float("nan")}}},
)


def test_page_holds_everything_it_shows():
    page = render([SECTION], ABOUT)
    assert base64.b64encode(SECTION.figure).decode() in page
    assert "Skill &lt;held back&gt;" in page and "A &amp; B" in page
    assert not re.search(r"(src|href)=\"(https?:)?//", page)


def test_the_page_begins_with_the_verdict_and_what_the_gate_found():
    gate = [Result("range", True, "values 0.1..0.4"), Result("coverage", False, "holds 0.70 <")]
    depths = {"layer1": "0–10 cm"}
    page = render([SECTION], ABOUT, gate, depths)
    assert page.index("The gate refuses this version: 1 of 2 checks fail (coverage).") < page.index("<nav")
    assert "holds 0.70 &lt;" in page
    assert "<td>0–10 cm</td>" in page and "<td>layer1</td>" not in page
    assert re.search(r'<img alt="Spatial cross-validation[^"]*"', page)


def test_long_tables_are_folded_and_figures_lead_to_their_full_size():
    long = pd.DataFrame({"layer": ["layer1"] * 13, "pearson_r": [0.5] * 13})
    page = render([Section("figS3", "c", SECTION.figure, SECTION.table, long)], ABOUT)
    assert "<summary>Table of 13 rows</summary>" in page and page.count("<details>") == page.count("</details>") == 1
    assert re.search(r'<figure><a href="figS3.svg"><img [^>]*></a>\n<figcaption>', page)
    assert "<details>" not in render([SECTION], ABOUT)


def test_names_with_markup_are_shown_and_not_obeyed():
    hostile = "<script>alert(1)</script>"
    shown = pd.DataFrame({f"name {hostile}": [hostile], "pearson_r": [0.5]})
    section = Section("figS3", hostile, SECTION.figure, SECTION.table, shown)
    page = render([section], {**ABOUT, "title": hostile})
    assert hostile not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 6


def test_report_is_valid_json_without_nan(tmp_path):
    url = write_report([SECTION], str(tmp_path), ABOUT)
    assert Path(url).name == "index.html"
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["sections"][0]["network"]["layer1"] == {"pearson_r": 0.5, "nse": None}


def test_section_is_found_again_only_for_the_same_inputs(tmp_path):
    write_section(SECTION, str(tmp_path), inputs="a")
    again = read_section(str(tmp_path), "figS3", "a")
    assert again.figure == SECTION.figure
    pd.testing.assert_frame_equal(again.table, SECTION.table)
    pd.testing.assert_frame_equal(again.shown, SECTION.shown)
    assert read_section(str(tmp_path), "figS3", "b") is None
    assert read_section(str(tmp_path), "figS4") is None


@pytest.mark.parametrize("shown", [pd.DataFrame(), pd.DataFrame({"a": ["x"]})])
def test_section_without_numbers_has_no_table(shown):
    section = Section("series", "c", b"<svg/>", pd.DataFrame({"a": [1]}), shown)
    assert ("<table>" in render([section], ABOUT)) == (not shown.empty)


def test_section_in_words_says_why_and_is_found_again(tmp_path):
    section = text_section("fig7", Impossible("no cell of the predicted domain was learnt from"))
    write_section(section, str(tmp_path), "a")
    again = read_section(str(tmp_path), "fig7", "a")
    assert again.figure == b"" and again.table.empty
    page = render([again], ABOUT)
    assert "Not drawn: no cell of the predicted domain was learnt from." in page
    assert "<img" not in page and "fig7.parquet" not in page
    assert again.findings == {"not_drawn": "no cell of the predicted domain was learnt from"}
