"""The web page in a real browser against a real S3 server."""

import shutil
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import somo
from flows.service.access import open_bucket
from flows.stages.publish import write_drought, write_papers, write_series
from somo.forcing.dataset import Inputs
from somo.publish import manifest
from somo.publish.catalog import catalog_document, version_documents
from somo.publish.reader import open_zarr
from somo.publish.viewer import is_built, publish_viewer
from somo.storage.objects import join, put
from tests.publish import made

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; apt-get install chromium"),
    pytest.mark.skipif(not is_built(), reason="the page is not built; make viewer"),
]


@pytest.fixture(scope="module")
def root(s3, client):
    """A released version of four years with drought, open to anyone."""
    root = f"s3://{s3.bucket}/{uuid4().hex[:8]}"
    declared = made.product(start="2010-01-01", end="2013-12-31")
    version_url = made.write_store(declared, root)
    write_series(declared, version_url, client)
    write_drought(declared, version_url, client)
    inputs = {"home": Inputs({}, join(root, "static/a.nc"))}
    write_papers(declared, root, version_url, inputs, join(root, "targets/a.parquet"), join(root, "models/a"))
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    for name, document in version_documents(declared, somo.open(root, "1.0.0", anon=False), entries).items():
        put(join(version_url, name), manifest.encode(document))
    catalog = manifest.encode(catalog_document(declared, ["1.0.0"]))
    put(join(root, "latest.json"), manifest.pointer("1.0.0", publish_viewer(root), {"1.0.0": "2026-11-22"}, catalog))
    open_bucket(root)
    return root


@pytest.fixture
def page(root, s3):
    """The page, and everything that it asked for or complained about."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.asked, page.complaints = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.address = f"{s3.endpoint}/{root.removeprefix('s3://')}/viewer/index.html"
        yield page
        outside = [url for url in page.asked if urlsplit(url).hostname not in ("127.0.0.1", None)]
        assert outside == []
        assert page.complaints == []


def shown(page, quantity, layer, date):
    page.wait_for_selector(f'body[data-shown="{quantity} {layer} {date}"]', timeout=20_000)


def pixel(page, x, y):
    """Colour of the map at a point in CSS pixels."""
    return page.evaluate(
        """([x, y]) => {
            const copy = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true })
            copy.drawImage(document.getElementById("map"), x, y, 1, 1, 0, 0, 1, 1)
            return [...copy.getImageData(0, 0, 1, 1).data]
        }""",
        [x, y],
    )


def test_a_day_is_drawn_and_every_control_changes_it(page):
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    box = page.locator("#map").bounding_box()
    middle = (box["width"] / 2, box["height"] / 2)
    first = pixel(page, *middle)
    assert first[3] == 255
    page.fill("#date", "2012-02-29")
    shown(page, "soil_moisture", 0, "2012-02-29")
    assert pixel(page, *middle) != first
    page.focus("#map")
    page.keyboard.press("2")
    shown(page, "soil_moisture", 1, "2012-02-29")
    for quantity in ("soil_moisture_std", "anomaly", "drought_class"):
        page.select_option("#quantity", quantity)
        shown(page, quantity, 1, "2012-02-29")
    assert page.inner_text("#message") == "2012-02-29 · 30 days to 2012-02-29"
    assert "D4" in page.inner_text("#legend")


def test_the_clicked_series_is_that_of_the_store(page, root, tmp_path):
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + 5, box["y"] + box["height"] / 2 + 5)
    page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
    assert "45.25° N, 5.45° E" in page.inner_text("#place")
    with page.expect_download() as waiting:
        page.click("#csv")
    path = tmp_path / "series.csv"
    waiting.value.save_as(path)
    table = pd.read_csv(path, comment="#", index_col="date", parse_dates=True)
    cell = somo.open(root, "1.0.0").isel(depth=0, lat=3, lon=4)
    assert list(table.index) == list(cell["time"].to_index())
    for name in ("soil_moisture", "soil_moisture_std"):
        np.testing.assert_allclose(table[name], cell[name], atol=1e-6)
    drought = open_zarr(join(root, "v1.0.0/drought.zarr")).isel(depth=0, lat=3, lon=4)
    middle_of_window = table["climatology"]["2011-05-15"]
    assert middle_of_window == pytest.approx(float(drought["climatology_mean"].sel(season=150)), abs=1e-4)


def test_the_link_restores_the_view(page):
    page.goto(
        f"{page.address}#date=2011-07-04&layer=2&quantity=soil_moisture_std&lat=45.25&lon=5.45&zoom=2&lon0=5.4&lat0=45.3"
    )
    shown(page, "soil_moisture_std", 1, "2011-07-04")
    page.wait_for_selector('body[data-series="1 3 4"]', timeout=20_000)
    page.wait_for_function("location.hash.includes('date=2011-07-04') && location.hash.includes('zoom=2.00')")


def test_playback_steps_through_days(page):
    page.goto(f"{page.address}#date=2013-12-20")
    shown(page, "soil_moisture", 0, "2013-12-20")
    page.evaluate(
        """() => {
            window.drawn = []
            new MutationObserver(() => window.drawn.push(document.body.dataset.shown.slice(-10)))
                .observe(document.body, { attributes: true, attributeFilter: ["data-shown"] })
        }"""
    )
    page.select_option("#step", "1")
    page.focus("#map")
    page.keyboard.press("Space")
    for _ in range(200):
        page.wait_for_timeout(100)
        if page.evaluate("window.drawn.length") >= 4:
            break
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    drawn = list(dict.fromkeys(page.evaluate("window.drawn")))
    assert drawn[:3] == ["2013-12-21", "2013-12-22", "2013-12-23"]


def test_the_keyboard_alone_reaches_a_series(page):
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    page.focus("#map")
    for key in ("ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.wait_for_selector('body[data-series="0 4 5"]', timeout=20_000)
    page.keyboard.press(",")
    shown(page, "soil_moisture", 0, "2013-12-30")
    assert "2013-12-30" in page.inner_text("#reading")


def test_the_page_is_published_whole_and_can_be_checked(root, tmp_path):
    folder = str(tmp_path)
    published = publish_viewer(folder)
    entries = manifest.read_manifest(join(folder, "viewer"))
    assert "index.html" in entries
    assert published["viewer"] == manifest.checksum(Path(folder, "viewer/manifest.json").read_bytes())
    assert publish_viewer(folder) == published
