"""The web page in a real browser against a real S3 server."""

from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

import somo
from flows.service.access import open_bucket
from flows.stages.countries import write_regions
from flows.stages.publish import write_drought, write_papers, write_series
from somo.forcing.dataset import Inputs
from somo.publish import manifest
from somo.publish.catalog import catalog_document, version_documents
from somo.publish.reader import open_zarr
from somo.publish.store.latest import publish_latest
from somo.publish.viewer import is_built, publish_viewer
from somo.storage.objects import join, put
from tests.browser import chromium, needs_chromium
from tests.publish import made

pytestmark = [
    pytest.mark.service,
    needs_chromium,
    pytest.mark.skipif(not is_built(), reason="the page is not built; make viewer"),
]


def declared():
    """Four years of the product that the page shows."""
    # Few large shards: making four years of small ones takes two minutes and tests nothing more.
    cut = {"time": 73, "lat": 3, "lon": 4, "tile_lat": 6, "tile_lon": 8}
    yearly = {"lookback": 30, "predict_last_n": 365}
    # Names whose order by letters is another one than by depth.
    layers = [{"name": "top", "top_m": 0, "bottom_m": 0.1}, {"name": "below", "top_m": 0.1, "bottom_m": 0.3}]
    return made.product(start="2010-01-01", end="2013-12-31", chunks=cut, sequence=yearly, layers=layers)


@pytest.fixture(scope="module")
def root(s3, client):
    """A released version of four years with drought, open to anyone."""
    root = f"s3://{s3.bucket}/{uuid4().hex[:8]}"
    made_from = declared()
    version_url = made.write_store(made_from, root, uncertain=True)
    write_series(made_from, version_url, client)
    write_drought(made_from, version_url, client)
    write_regions(made_from, version_url, client)
    inputs = {"home": Inputs({}, join(root, "static/a.nc"))}
    write_papers(made_from, root, version_url, inputs, join(root, "targets/a.parquet"), join(root, "models/a"))
    released(made_from, root, version_url)
    return root


def released(product, root, version_url):
    """Put beside a version what its page asks for, and open it to anyone."""
    publish_latest(product, version_url)
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    for name, document in version_documents(product, somo.open(root, "1.0.0", anon=False), entries).items():
        put(join(version_url, name), manifest.encode(document))
    catalog = manifest.encode(catalog_document(product, ["1.0.0"]))
    put(join(root, "latest.json"), manifest.pointer("1.0.0", publish_viewer(root), {"1.0.0": "2026-11-22"}, catalog))
    open_bucket(root)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(root, s3, browser):
    """The page, and everything that it asked for or complained about."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.address = f"{s3.endpoint}/{root.removeprefix('s3://')}/viewer/index.html"
    yield page
    page.context.close()
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
    assert any("/latest.zarr/soil_moisture/c" in url for url in page.asked)
    assert not any("/soil_moisture.zarr/soil_moisture/c" in url for url in page.asked)
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
    quantities = (
        "soil_moisture_uncertainty",
        "soil_moisture_std",
        "dissimilarity",
        "applicability",
        "frozen",
        "anomaly",
    )
    for quantity in (*quantities, "probability_d1", "drought_class"):
        page.select_option("#quantity", quantity)
        shown(page, quantity, 1, "2012-02-29")
    assert page.inner_text("#message") == "Drought class, 10–30 cm, 30 days to 2012-02-29"
    assert "D4" in page.inner_text("#legend")
    assert "against 2010–2013, 4 years" in page.inner_text("#legend")


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
    table = pd.read_csv(path, comment="#", index_col="time", parse_dates=True)
    cell = somo.open(root, "1.0.0").isel(depth=0, lat=3, lon=4)
    assert list(table.index) == list(cell["time"].to_index())
    np.testing.assert_allclose(table["soil_moisture"], cell["soil_moisture"], atol=1e-6)
    np.testing.assert_allclose(table["standard_uncertainty"], cell["soil_moisture_uncertainty"], atol=1e-6)
    assert set(table["status"]) == {"final"}
    assert list(table["frozen"] == "yes") == list(cell["frozen"] == 1)
    head = path.read_text().split("time,")[0]
    assert all(
        word in head
        for word in ("m3 m-3".replace("3 m-3", "³ m⁻³"), "version 1.0.0", "UTC", "Licence: CC-BY-4.0", "Cite: ")
    )


@pytest.mark.parametrize(
    ("quantity", "stored"),
    [
        ("anomaly", "anomaly"),
        ("drought_class", "percentile"),
        ("probability_d1", "probability_d1"),
        # Four years are too few to tell it.
        ("probability_d4", "probability_d4"),
    ],
)
def test_the_drought_of_a_cell_computed_on_the_page_is_that_of_the_store(page, root, tmp_path, quantity, stored):
    page.goto(f"{page.address}#quantity={quantity}&lat=45.25&lon=5.45")
    page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(tmp_path / "drought.csv")
    table = pd.read_csv(tmp_path / "drought.csv", comment="#", index_col="time", parse_dates=True)
    drought = open_zarr(join(root, "v1.0.0/drought.zarr"))[stored].isel(depth=0, lat=3, lon=4)
    assert list(table.index) == list(drought["time"].to_index())
    np.testing.assert_allclose(table.iloc[:, 0], drought, atol=0.01)


def test_a_country_has_its_series_and_the_share_of_its_area_in_drought(page, root, tmp_path):
    from playwright.sync_api import expect

    """Chosen by name, drawn, restored by its link, and saved as the store holds it."""
    page.goto(f"{page.address}#date=2012-06-20")
    shown(page, "soil_moisture", 0, "2012-06-20")
    page.select_option("#region", label="France")
    page.wait_for_selector('body[data-series="0 region 250"]', timeout=20_000)
    assert page.inner_text("#place") == "France · 0–10 cm"
    assert page.inner_text("#regionwords").startswith("France. Soil moisture, 0–10 cm, 2012-06-20: mean 0.")
    page.wait_for_url(lambda url: "region=250" in url)
    group = open_zarr(join(root, "v1.0.0/regions.zarr")).sel(region=250).isel(depth=0)
    table = saved_table(page, tmp_path)
    np.testing.assert_allclose(table["mean_soil_moisture"], group["soil_moisture"], atol=1e-6)
    page.select_option("#quantity", "drought_class")
    shown(page, "drought_class", 0, "2012-06-20")
    table = saved_table(page, tmp_path)
    assert list(table.index) == list(group["window"].to_index())
    np.testing.assert_allclose(table.iloc[:, 4], 100 * group["drought_area_share"].isel(drought_class=5), atol=0.01)
    assert "area in D1 or drier" in page.inner_text("#reading")
    page.reload()
    page.wait_for_selector('body[data-series="0 region 250"]', timeout=20_000)
    expect(page.locator("#region")).to_have_value("250")
    page.select_option("#region", label="the whole map")
    page.wait_for_selector("body:not([data-series])")


def saved_table(page, folder):
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(folder / "saved.csv")
    return pd.read_csv(folder / "saved.csv", comment="#", index_col="time", parse_dates=True)


def test_the_link_restores_the_view(page):
    page.goto(
        f"{page.address}#date=2011-07-04&layer=2&quantity=soil_moisture_std&lat=45.25&lon=5.45&zoom=2&lon0=5.4&lat0=45.3"
    )
    shown(page, "soil_moisture_std", 1, "2011-07-04")
    page.wait_for_selector('body[data-series="1 3 4"]', timeout=20_000)
    page.wait_for_url(lambda url: "date=2011-07-04" in url and "zoom=2.00" in url)


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


def test_no_map_stands_under_the_name_of_another(page):
    """A slow day that is overtaken never appears, and the former one leaves while the next is on its way."""
    page.goto(f"{page.address}#date=2013-12-31")
    shown(page, "soil_moisture", 0, "2013-12-31")
    page.evaluate("window.names = []")
    page.evaluate(
        """() => {
            const { dataset } = document.body
            const names = () => [document.getElementById("date").value, dataset.shown ?? "", dataset.state].join("|")
            new MutationObserver(() => window.names.push(names()))
                .observe(document.body, { attributes: true, attributeFilter: ["data-shown", "data-state"] })
        }"""
    )
    held = []
    holding = [True]
    page.route("**/soil_moisture/c/**", lambda route: held.append(route) if holding else route.continue_())
    page.fill("#date", "2010-02-03")
    page.wait_for_selector('body[data-state="loading"]')
    assert page.inner_text("#message") == "Reading Soil moisture, 0–10 cm, 2010-02-03 …"
    assert page.get_attribute("body", "data-shown") is None
    holding.clear()
    page.fill("#date", "2013-12-30")
    shown(page, "soil_moisture", 0, "2013-12-30")
    for route in held:
        route.continue_()
    page.wait_for_timeout(800)
    assert page.inner_text("#message") == "Soil moisture, 0–10 cm, 2013-12-30"
    drawn = [name.split("|") for name in page.evaluate("window.names")]
    assert all(date in text for date, text, _ in drawn if text)


def test_drought_before_its_first_window_is_an_empty_map_that_says_so(page):
    page.goto(f"{page.address}#date=2010-01-05&quantity=drought_class")
    page.wait_for_selector('body[data-state="empty"]', timeout=20_000)
    assert page.inner_text("#message") == "No window of 30 days ends by 2010-01-05: there is nothing to show yet."
    assert page.get_attribute("body", "data-shown") is None


def test_addresses_are_followed_and_copied_at_once(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{page.address}#date=2013-12-31&lat=10&lon=99")
    shown(page, "soil_moisture", 0, "2013-12-31")
    assert "10 N 99 E lies outside the grid" in page.inner_text("#message")
    page.evaluate("location.hash = '#date=2011-07-04&layer=2&lat=45.25&lon=5.45'")
    shown(page, "soil_moisture", 1, "2011-07-04")
    page.wait_for_selector('body[data-series="1 3 4"]', timeout=20_000)
    page.fill("#date", "2011-07-05")
    page.click("#link")
    assert "date=2011-07-05&layer=2" in page.evaluate("navigator.clipboard.readText()")


def test_the_recipe_for_r_names_the_layer_as_its_files_do(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{page.address}#layer=2")
    shown(page, "soil_moisture", 1, "2013-12-31")
    page.click("#code summary")
    page.click("#as-r")
    page.wait_for_selector("#as-r:text('Copied')")
    recipe = page.evaluate("navigator.clipboard.readText()")
    assert "/v1.0.0/netcdf/Made_below_2013.nc" in recipe and 'ncvar_get(file, "below"' in recipe
