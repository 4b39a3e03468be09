"""The report in a real browser."""

from pathlib import Path

import pytest

from somo.validate.published import open_published
from somo.validate.report.page import write_report
from somo.validate.sections.series import series_section
from somo.validate.sections.skill import split_section
from tests.browser import chromium, needs_chromium

AXE = Path(__file__).parents[3] / "somo/publish/viewer/node_modules/axe-core/axe.min.js"


@pytest.mark.service
@needs_chromium
def test_report_opens_without_errors_and_sorts(version, tmp_path):
    published = open_published(version, ("layer1", "layer2", "layer3"))
    sections = [split_section(published.crossval, "figS3", "How."), series_section(published)]
    about = {"title": "Made", "version": "1.0.0", "period": published.period, "url": published.url}
    page_url = write_report(sections, str(tmp_path), about)
    said: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("requestfailed", lambda request: said.append(request.url))
        page.goto(f"file://{page_url}")
        widths = page.eval_on_selector_all("img", "images => images.map(i => i.naturalWidth)")
        page.get_by_role("button", name="correlation r", exact=True).click()
        first = page.locator("tbody tr").first.inner_text()
        heads = page.locator("th").all_inner_texts()
        page.set_viewport_size({"width": 390, "height": 844})
        overflow = page.evaluate("document.documentElement.scrollWidth") - 390
        beyond = page.eval_on_selector_all(
            "figure img", "images => images.map(i => i.getBoundingClientRect().right - 390)"
        )
        full_size = page.locator("figure a:has(img)").evaluate_all(
            "links => links.map(link => link.getAttribute('href'))"
        )
        violations = [accessibility(page, scheme) for scheme in ("light", "dark")] if AXE.is_file() else []
    assert said == []
    assert overflow <= 0
    assert max(beyond) <= 0 and full_size == ["figS3.svg", "series.svg"]
    assert not any(violations), violations
    assert {"NSE", "ubRMSD (m³ m⁻³)", "bias (m³ m⁻³)"} <= set(heads)
    assert len(widths) == 2 and min(widths) > 200
    assert "layer3" in first and "ridge" in first


def accessibility(page, scheme):
    """What axe-core finds wrong with a page on light or dark ground."""
    page.emulate_media(color_scheme=scheme)
    page.add_script_tag(path=AXE)
    return [f"{v['id']}: {v['nodes'][0]['html']}" for v in page.evaluate("axe.run()")["violations"]]
