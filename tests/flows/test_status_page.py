"""The status page in a real browser, as a reader sees it on a phone."""

import json
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser import chromium, needs_chromium

PAGE = Path(__file__).parents[2] / "flows" / "status.html"
FAILURE = f"s3://bucket/{'a' * 60}/{'b' * 60}.nc: no such file; check the URL"
STATUS = {
    "product": "Made",
    "version": "1.0.0",
    "run": "failed",
    "failure": FAILURE,
    "written": "2026-11-27T06:00:00Z",
    "stages": [{"name": "ingest", "state": "missing", "bytes": 1200, "detail": f"{'c' * 60}.nc"}],
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests have no log of requests."""


@pytest.mark.service
@needs_chromium
def test_a_failure_fits_a_phone_and_the_page_is_dark_in_the_dark(tmp_path: Path) -> None:
    shutil.copy(PAGE, tmp_path)
    (tmp_path / "status.json").write_text(json.dumps(STATUS))
    said: list[str] = []
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server,
        chromium() as browser,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://127.0.0.1:{server.server_port}/status.html")
        page.wait_for_selector("td.missing")
        overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        text = page.inner_text("body")
        server.shutdown()
    assert overflow <= 0
    assert paper == "rgb(20, 24, 29)"
    assert FAILURE in text and "1.20 kB" in text
    assert said == []
