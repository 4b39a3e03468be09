"""The page as a tool: fingers, keys, search, files, readers who do not see it; and what it says in trouble."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import somo
from somo.publish import netcdf
from somo.storage.objects import join
from tests.publish import made
from tests.publish.store.test_series import derive
from tests.publish.test_viewer import browser, declared, page, pytestmark, released, root, shown  # noqa: F401

AXE = Path(__file__).parents[2] / "somo/publish/viewer/node_modules/axe-core/axe.min.js"
TOO_SMALL = """() => [...document.querySelectorAll("button, select, summary, nav a, input:not([type=checkbox])")]
    .filter((e) => e.checkVisibility()).map((e) => [e.id || e.textContent, e.getBoundingClientRect()])
    .filter(([, box]) => box.width < 44 || box.height < 44).map(([name]) => name)"""


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core; make viewer")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_accessible_and_fits_fingers(browser, page, width, scheme):  # noqa: F811
    # axe is put into the page, which its policy would refuse
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True)
    with context.new_page() as checked:
        checked.goto(f"{page.address}#lat=45.25&lon=5.45&quantity=drought_class")
        checked.wait_for_selector('body[data-series="0 3 4"]', timeout=30_000)
        checked.add_script_tag(path=AXE)
        found = checked.evaluate("axe.run()")
        assert [f"{v['id']}: {v['nodes'][0]['html']}" for v in found["violations"]] == []
        assert len(found["passes"]) > 30
        assert checked.evaluate(TOO_SMALL) == []
        assert checked.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_two_fingers_move_the_map_and_one_scrolls_the_page(browser, page):  # noqa: F811
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    with context.new_page() as phone:
        phone.goto(page.address)
        phone.wait_for_selector("body[data-shown]", timeout=30_000)
        box = phone.locator("#map").bounding_box()
        x, y = box["x"] + box["width"] / 2, min(box["y"] + box["height"] / 2, 700)
        fingers = context.new_cdp_session(phone)

        def touch(kind, *points):
            fingers.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
            )

        touch("touchStart", (x - 20, y), (x + 20, y))
        for step in range(1, 8):
            touch("touchMove", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
        touch("touchEnd")
        phone.wait_for_timeout(500)
        assert float(phone.evaluate("new URLSearchParams(location.hash.slice(1)).get('zoom')")) > 2
        assert phone.evaluate("scrollY") == 0
        zoomed = phone.evaluate("location.hash")
        touch("touchStart", (x, y))
        for step in range(1, 12):
            touch("touchMove", (x, y - 20 * step))
        touch("touchEnd")
        phone.wait_for_timeout(500)
        assert phone.evaluate("scrollY") > 50
        assert phone.evaluate("location.hash") == zoomed
    context.close()


def test_a_town_is_found_by_its_name_and_outside_the_grid_it_is_said(page):  # noqa: F811
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    page.fill("#search", "greno")
    page.locator("#found button", has_text="Grenoble (FR)").click()
    page.wait_for_selector('body[data-series="0 4 7"]', timeout=20_000)
    page.fill("#search", "hamburg")
    page.locator("#found", has_text="No town of 20,000 people and more begins so inside the grid").wait_for()
    page.fill("#search", "53.5 10.0")
    page.locator("#found button").click()
    assert "lies outside the grid" in page.inner_text("#message")


def test_a_grid_counted_from_0_has_its_towns_and_its_coast(page, s3):  # noqa: F811
    """Madrid, 3.7 degrees west of Greenwich, on cells from 355.9 to 356.7; in the corner of the sea there is land."""
    around_madrid = {"kind": "regular", "west": 355.9, "east": 356.7, "south": 40.1, "north": 40.7, "step_deg": 0.1}
    product = made.product(grid=around_madrid)
    elsewhere = f"s3://{s3.bucket}/from-0"
    version_url = made.write_store(product, elsewhere, days=40)
    derive(product, version_url)
    released(product, elsewhere, version_url)
    page.goto(f"{s3.endpoint}/{elsewhere.removeprefix('s3://')}/viewer/index.html")
    shown(page, "soil_moisture", 0, "2016-01-28")
    page.fill("#search", "madrid")
    page.locator("#found button", has_text="Madrid (ES)").click()
    page.wait_for_selector('body[data-series="0 2 3"]', timeout=20_000)
    assert "40.45° N, 3.75° W" in page.inner_text("#place")
    page.click('[data-zoom="all"]')
    page.wait_for_function("document.getElementById('regionwords').textContent === ''")
    page.focus("#map")
    for key in (*["ArrowLeft"] * 4, *["ArrowUp"] * 2):
        page.keyboard.press(key)
    page.locator("#hover", has_text="40.65° N, 4.05° W: land without values").wait_for()


def test_colours_are_fitted_and_can_be_set(page):  # noqa: F811
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    fitted = (
        float(page.get_by_label("Lowest colour").input_value()),
        float(page.get_by_label("Highest colour").input_value()),
    )
    assert 0 <= fitted[0] < fitted[1] <= 0.6
    page.get_by_label("Lowest colour").fill("0.123")
    page.get_by_label("Lowest colour").press("Tab")
    page.wait_for_timeout(300)
    assert "low=0.123" in page.evaluate("location.hash")
    page.fill("#date", "2013-06-01")
    shown(page, "soil_moisture", 0, "2013-06-01")
    assert page.get_by_label("Lowest colour").input_value() == "0.123"
    page.get_by_label("Lowest colour").fill("7")
    page.get_by_label("Lowest colour").press("Enter")
    page.locator("#message", has_text="The lowest colour has to stand for less than the highest").wait_for()
    assert page.get_by_label("Lowest colour").input_value() == "0.123"
    page.click("#fit")
    assert page.get_by_label("Lowest colour").input_value() != "0.123"


def test_a_summer_has_more_colours_than_the_driest_of_the_winter_before(page, root):  # noqa: F811
    """The latest day, whose map comes first, is one of December: other days move the ends apart, and none together."""
    ends = []
    page.goto(page.address)
    for day in ("2013-12-31", "2013-07-01", "2013-12-31"):
        page.fill("#date", day)
        shown(page, "soil_moisture", 0, day)
        ends.append([float(page.get_by_label(f"{end} colour").input_value()) for end in ("Lowest", "Highest")])
    summer = somo.open(root, "1.0.0")["soil_moisture"].isel(depth=0).sel(time="2013-07-01")
    assert ends[0][0] > float(summer.median())
    assert ends[1][0] < float(summer.quantile(0.05))
    assert ends[1][1] == ends[0][1]
    assert ends[2] == ends[1]


def tables_and_chunks(requests):
    """How often a shard's table of chunks and how often a chunk of the maps was asked for, so far."""
    maps = [r for r in requests if "/soil_moisture.zarr/soil_moisture/c/" in r.url]
    tables = [r for r in maps if r.headers["range"].startswith("bytes=-")]
    return len(tables), len(maps) - len(tables)


@pytest.mark.parametrize("saves_data", [False, True])
def test_whoever_turns_to_the_dates_finds_the_tables_of_chunks_read(page, saves_data):  # noqa: F811
    # The page of the fixture keeps their addresses alone.
    requests = []
    page.on("request", lambda request: requests.append(request))
    page.add_init_script(
        f"Object.defineProperty(navigator, 'connection', {{value: {{saveData: {str(saves_data).lower()}}}}})"
    )
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    assert tables_and_chunks(requests) == (0, 0)
    page.hover("#play")
    # A shard holds whole maps of 365 days, each in four chunks; the fifth begins with the last day.
    settle(page, lambda: tables_and_chunks(requests), (0 if saves_data else 1, 0))
    page.fill("#date", "2013-06-01")
    shown(page, "soil_moisture", 0, "2013-06-01")
    settle(page, lambda: tables_and_chunks(requests), (1 if saves_data else 3, 4))
    tables_before = []
    page.on("request", lambda r: tables_before.append(r) if r.headers.get("range", "").startswith("bytes=-") else None)
    page.fill("#date", "2012-06-01")
    shown(page, "soil_moisture", 0, "2012-06-01")
    # The table of these days was read ahead, and those of the year before follow.
    wanted = "/c/0/2/0/0" if saves_data else "/c/0/1/0/0"
    settle(page, lambda: [urlsplit(r.url).path[-len(wanted) :] for r in tables_before], [wanted])
    settle(page, lambda: tables_and_chunks(requests)[1], 8)


def settle(page, measured, expected):  # noqa: F811
    """Wait until what is measured is as expected, on a machine however busy, and see that it stays so."""
    for _ in range(100):
        if measured() == expected:
            break
        page.wait_for_timeout(200)
    page.wait_for_timeout(500)
    assert measured() == expected


def test_a_number_being_typed_outlives_what_arrives_meanwhile(page):  # noqa: F811
    waiting, arrived = [], []
    page.route("**/regions.zarr/**", lambda route: route.continue_() if arrived else waiting.append(route))
    with page.expect_request("**/regions.zarr/**"):
        page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    lowest = page.get_by_label("Lowest colour")
    lowest.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("0.1")
    page.evaluate("document.activeElement.dataset.same = 'yes'")
    arrived.append(True)
    for route in waiting:
        route.continue_()
    page.wait_for_selector("#region option:nth-child(2)", state="attached")
    page.keyboard.type("2")
    assert lowest.input_value() == "0.12"
    # A further day in the same colours is told anew, too.
    page.evaluate("window.location.hash = window.location.hash.replace('2013-12-31', '2013-06-01')")
    shown(page, "soil_moisture", 0, "2013-06-01")
    page.keyboard.type("3")
    assert lowest.input_value() == "0.123"
    assert page.evaluate("document.activeElement.dataset.same") == "yes"
    page.keyboard.press("Tab")
    page.wait_for_url("**low=0.123**")
    # The next field of the same legend has the focus.
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Highest colour"


@pytest.mark.parametrize("quantity", ["soil_moisture", "soil_moisture_uncertainty", "drought_class", "probability_d1"])
def test_the_numbers_along_a_chart_differ(page, quantity):  # noqa: F811
    """Numbers with too few digits would name several places of the axis alike."""
    page.add_init_script(
        """window.drawn = new Map()
        const fill = CanvasRenderingContext2D.prototype.fillText
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y, ...rest) {
            if (this.canvas.closest("#chart")) window.drawn.set([x, y].join(), text)
            return fill.call(this, text, x, y, ...rest)
        }
        const clear = CanvasRenderingContext2D.prototype.clearRect
        CanvasRenderingContext2D.prototype.clearRect = function (...box) {
            if (this.canvas.closest("#chart")) window.drawn.clear()
            return clear.call(this, ...box)
        }"""
    )
    page.goto(f"{page.address}#date=2012-06-01&lat=45.25&lon=5.45&quantity={quantity}")
    page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
    page.wait_for_timeout(300)
    numbers = [text for text in page.evaluate("[...window.drawn.values()]") if re.fullmatch(r"[-\d.]+", text)]
    ticks = [text for text in numbers if text not in ("2012", "2013")]
    assert len(ticks) >= 3
    assert len(set(map(float, ticks))) == len(ticks)
    assert ("the limits of classes D0 to D4" in page.inner_text("#placenote")) == (quantity == "drought_class")


def test_map_and_series_are_told_in_words_and_saved_as_pictures(page, root, tmp_path):  # noqa: F811
    page.goto(f"{page.address}#date=2012-02-29&lat=45.25&lon=5.45")
    page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
    words = page.text_content("#words")
    soil = somo.open(root, "1.0.0")["soil_moisture"].isel(depth=0).sel(time="2012-02-29").load()
    mean = float(soil.weighted(np.cos(np.deg2rad(soil["lat"]))).mean())
    ends = f"from {float(soil.min()):.3f} to {float(soil.max()):.3f}"
    assert words == f"Soil moisture, 0–10 cm, 2012-02-29: mean {mean:.3f} m³ m⁻³, {ends}; 44 cells."
    assert page.locator("#serieswords li").count() == 4
    # The map's picture ends with its colours, which nothing else of it would tell, above five lines of credits.
    colours = saved_picture(page, "#mappng", tmp_path)[-170:].reshape(-1, 3)
    for end in ([0x5B, 0x3A, 0x1D], [0x17, 0x30, 0x5F]):
        assert (abs(colours.astype(int) - end).max(axis=1) <= 3).sum() >= 12
    assert saved_picture(page, "#chartpng", tmp_path).shape[1] > 200
    page.select_option("#quantity", "drought_class")
    shown(page, "drought_class", 0, "2012-02-29")
    assert re.search(r"share of area none \d+ %, D0 \d+ %, D1 \d+ %", page.text_content("#words"))
    colours = saved_picture(page, "#mappng", tmp_path)[-170:].reshape(-1, 3)
    assert (colours == [0x6E, 0x0F, 0x1C]).all(axis=1).sum() > 100
    # Cells without soil moisture are neither like nor unlike: 44 of the 48 have some.
    page.select_option("#quantity", "applicability")
    shown(page, "applicability", 0, "2012-02-29")
    assert page.text_content("#words").endswith("share of area unlike 0 %, like 100 %; 44 cells.")


def saved_picture(page, button, folder):  # noqa: F811
    """Red, green and blue of every pixel of the picture that a button saves."""
    with page.expect_download() as waiting:
        page.click(button)
    waiting.value.save_as(folder / "picture.png")
    return np.asarray(Image.open(folder / "picture.png").convert("RGB"))


@pytest.mark.parametrize(("wanted", "taken"), [("2013-03-01", "2012-03-01"), ("2012-02-29", "2011-02-28")])
def test_the_view_as_r_of_a_year_without_a_file_says_whose_file_it_takes(page, root, wanted, taken):  # noqa: F811
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.route("**/collection.json", lambda route: with_years_before(int(wanted[:4]), route))
    page.goto(f"{page.address}#date={wanted}")
    shown(page, "soil_moisture", 0, wanted)
    page.click("#code summary")
    page.click("#as-r")
    code = page.evaluate("navigator.clipboard.readText()")
    assert f"# {wanted[:4]} is not complete and has no such file yet: this is {taken}\n" in code
    assert f"_top_{taken[:4]}.nc" in code
    assert f'which(days == "{taken}")' in code


def with_years_before(present, route):
    """Give the catalogue as it is while a year goes on: an item for each year before it, and the latest day's."""
    response = route.fetch()
    collection = response.json()
    names = (*map(str, range(2010, present)), "latest")
    collection["links"] = [{"rel": "item", "href": f"./items/{name}.json"} for name in names]
    route.fulfill(response=response, json=collection)


def test_the_numbers_of_the_colour_bar_stand_below_their_colours(page):  # noqa: F811
    page.goto(page.address)
    shown(page, "soil_moisture", 0, "2013-12-31")
    # At one moment: the bar is made anew when the regions' table arrives, and what was found before is then on no page.
    low, high, marks = page.evaluate(
        """() => {
            const bar = document.querySelector(".ramp").getBoundingClientRect()
            const end = (name) => document.querySelector(`[aria-label="${name} colour"]`).valueAsNumber
            const marks = [...document.querySelectorAll(".marks span")].map((mark) => {
                const box = mark.getBoundingClientRect()
                return [Number(mark.textContent), (box.x + box.width / 2 - bar.x) / bar.width]
            })
            return [end("Lowest"), end("Highest"), marks]
        }"""
    )
    assert len(marks) == 3
    for number, share in marks:
        assert number == pytest.approx(low + share * (high - low), abs=0.004)


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no R; apt-get install r-cran-ncdf4")
def test_the_view_as_r_gives_the_value_of_the_view(page, root, tmp_path):  # noqa: F811
    """In Debian's R, from the yearly file over http."""
    netcdf.publish_year(join(root, "v1.0.0"), declared(), declared().layers[0], 2012)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{page.address}#date=2012-02-29&lat=45.25&lon=5.45")
    page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
    on_page = page.inner_text("#reading").split(": ")[1].split(" ")[0]
    page.click("#code summary")
    page.click("#as-r")
    code = page.evaluate("navigator.clipboard.readText()")
    code += 'cat(sprintf("%.3f", c(series[days == "2012-02-29"], day[cell[1], cell[2]])))'
    done = subprocess.run(
        ["Rscript", "-e", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.split() == [on_page, on_page], done.stderr


def test_the_view_as_python_gives_the_value_of_the_view(page, s3):  # noqa: F811
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{page.address}#date=2012-02-29&lat=45.25&lon=5.45&layer=2")
    page.wait_for_selector('body[data-series="1 3 4"]', timeout=20_000)
    on_page = page.inner_text("#reading").split(": ")[1].split(" ")[0]
    page.click("#code summary")
    page.click("#as-python")
    code = page.evaluate("navigator.clipboard.readText()")
    asked = f"{code}\nprint(f'{{float(series.sel(time=\"2012-02-29\")):.3f}}')"
    clean = {"PATH": "/usr/bin:/bin", "MPLBACKEND": "agg"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", asked],
        capture_output=True,
        text=True,
        env=clean,
        check=False,
        timeout=120,
    )
    assert done.stdout.strip() == on_page, done.stderr


def test_a_shard_that_is_missing_or_damaged_is_said_and_can_be_tried_again(page):  # noqa: F811
    """Its values are not shown as sea, and what is shown after another try is right."""
    page.route("**/soil_moisture/c/**", lambda route: route.fulfill(status=404))
    page.goto(f"{page.address}#date=2012-02-29")
    page.wait_for_selector('body[data-state="failed"]', timeout=20_000)
    assert "2012-02-29 cannot be shown" in page.inner_text("#message")
    assert "is missing" in page.inner_text("#message")
    page.unroute("**/soil_moisture/c/**")
    page.route("**/soil_moisture/c/**", damage)
    page.click("#message button")
    page.locator("#message", has_text="checksum does not hold").wait_for()
    page.unroute("**/soil_moisture/c/**")
    page.click("#message button")
    shown(page, "soil_moisture", 0, "2012-02-29")
    page.complaints[:] = [text for text in page.complaints if "404" not in text]


def test_a_coast_that_does_not_come_leaves_the_map_and_can_be_tried_again(page):  # noqa: F811
    page.route("**/countries*.bin", lambda route: route.fulfill(status=404))
    page.goto(page.address)
    page.locator("#regionwords", has_text="Coast and countries cannot be read").wait_for()
    assert page.get_attribute("body", "data-state") == "ready"
    assert page.get_attribute("body", "data-shown") == "soil_moisture 0 2013-12-31"
    page.unroute("**/countries*.bin")
    page.click("#regionwords button")
    page.locator("#region option").nth(1).wait_for(state="attached")
    assert page.inner_text("#regionwords") == ""
    page.complaints[:] = [text for text in page.complaints if "404" not in text]


def test_a_page_in_the_place_of_the_metadata_is_called_so(page):  # noqa: F811
    """As the sign-in page of a wireless network is."""
    page.route("**/latest.json", lambda route: route.fulfill(body="<html>Welcome</html>"))
    page.goto(page.address)
    page.locator("#message", has_text="came as something else than JSON").wait_for()
    assert page.get_attribute("body", "data-state") == "failed"
    page.unroute("**/latest.json")
    page.click("#message button")
    shown(page, "soil_moisture", 0, "2013-12-31")


def damage(route):
    """Give the object with one of its first bits turned."""
    response = route.fetch()
    body = bytearray(response.body())
    body[len(body) // 2] ^= 1
    route.fulfill(response=response, body=bytes(body))


def test_offline_is_said_and_mended_when_the_network_is_back(page):  # noqa: F811
    page.goto(f"{page.address}#date=2013-12-31")
    shown(page, "soil_moisture", 0, "2013-12-31")
    page.context.set_offline(True)
    page.fill("#date", "2010-02-03")
    page.wait_for_selector('body[data-state="failed"]', timeout=20_000)
    assert "this device is offline" in page.inner_text("#message")
    page.context.set_offline(False)
    shown(page, "soil_moisture", 0, "2010-02-03")
    page.complaints[:] = [text for text in page.complaints if "ERR_INTERNET_DISCONNECTED" not in text]
