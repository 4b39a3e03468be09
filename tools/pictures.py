"""Pictures of the README, made from the demo: `make pictures` after `make demo` and `somo release`.

Usage: python tools/pictures.py DEMO_BUCKET FOLDER
"""

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from flows.environment import export
from flows.service.access import open_bucket
from flows.service.s3server import S3Server
from somo.storage.client import filesystem

# Debian's own: playwright's browsers need a download.
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
WIDTH, HEIGHT = 1280, 860


def main(bucket: str, folder: str) -> None:
    """Serve the demo's bucket from a real S3 server and photograph its page, as a reader sees it."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, S3Server(data) as server, sync_playwright() as playwright:
        export(server.environment())
        root = f"s3://{server.bucket}/demo"
        fs, path = filesystem(root)
        fs.put(f"{bucket.rstrip('/')}/", f"{path}/", recursive=True)
        open_bucket(root)
        chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        address = f"{server.endpoint}/{server.bucket}/demo/viewer/index.html"
        page.goto(f"{address}#date=2005-07-15&layer=1&quantity=soil_moisture&lat=50.25&lon=10.25")
        page.wait_for_load_state("networkidle")
        # The chart is drawn after the last request.
        page.wait_for_timeout(3000)
        page.screenshot(path=str(Path(folder) / "page.png"))
        chromium.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
