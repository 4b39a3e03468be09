"""The page of a bucket that is a folder, on loopback: byte ranges, nothing unpublished, a real browser."""

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import somo
from flows.service.demo import page_of
from flows.service.loopback import served
from flows.stages.publish import write_series
from somo.publish import manifest
from somo.publish.catalog import catalog_document, version_documents
from somo.publish.viewer import is_built, publish_viewer
from somo.storage.objects import join, put
from tests.browser import chromium, needs_chromium
from tests.publish import made


@pytest.fixture(scope="module")
def bucket(tmp_path_factory, client):
    """A released version in a folder, beside a model that is not published."""
    root = str(tmp_path_factory.mktemp("served") / "bucket")
    declared = made.product()
    version_url = made.write_store(declared, root, uncertain=True)
    write_series(declared, version_url, client)
    entries = manifest.describe(version_url, manifest.list_objects(version_url))
    for name, document in version_documents(declared, somo.open(root, "1.0.0"), entries).items():
        put(join(version_url, name), manifest.encode(document))
    catalog = manifest.encode(catalog_document(declared, ["1.0.0"]))
    put(join(root, "latest.json"), manifest.pointer("1.0.0", publish_viewer(root), {"1.0.0": "2026-11-22"}, catalog))
    put(join(root, "models/secret.json"), b"{}")
    return Path(root)


@pytest.fixture(scope="module")
def address(bucket):
    with served(bucket) as address:
        yield address


def ask(url, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10)


@pytest.mark.parametrize(
    ("wanted", "part"),
    [("bytes=0-9", slice(0, 10)), ("bytes=5-", slice(5, None)), ("bytes=-7", slice(-7, None))],
)
def test_byte_ranges_are_those_of_the_file(bucket, address, wanted, part):
    content = (bucket / "latest.json").read_bytes()
    with ask(f"{address}/latest.json", Range=wanted) as answer:
        assert answer.status == 206 and answer.read() == content[part]
    with ask(f"{address}/latest.json") as answer:
        assert answer.status == 200 and answer.read() == content and answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("models/secret.json", {}, 404),
        ("v1.0.0/../models/secret.json", {}, 404),
        ("v1.0.0/%2e%2e/models/secret.json", {}, 404),
        ("viewer/..%2f..%2f..%2fetc/passwd", {}, 404),
        ("v1.0.0/none", {}, 404),
        ("latest.json", {"Range": "bytes=9999999-"}, 416),
    ],
)
def test_what_is_not_published_is_not_served(address, path, headers, status):
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{address}/{path}", **headers)
    refused.value.close()
    assert refused.value.code == status


def test_somo_opens_it_as_it_opens_the_folder(bucket, address):
    there, here = (somo.open(place)["soil_moisture"].isel(time=3) for place in (address, str(bucket)))
    np.testing.assert_array_equal(there.values, here.values)


def test_the_page_of_a_folder_that_is_not_served_says_how_to_open_it(bucket):
    with page_of(str(bucket), serves=False) as address:
        assert address.startswith(f"{bucket}/") and "somo demo --open" in address


@pytest.mark.service
@needs_chromium
@pytest.mark.skipif(not is_built(), reason="the page is not built; make viewer")
def test_a_browser_shows_a_day_and_a_series(bucket):
    with (
        page_of(str(bucket), serves=True) as address,
        chromium() as browser,
    ):
        page = browser.new_page()
        page.goto(f"{address}#lat=45.25&lon=5.45")
        page.wait_for_selector('body[data-shown="soil_moisture 0 2017-01-10"]', timeout=20_000)
        page.wait_for_selector('body[data-series="0 3 4"]', timeout=20_000)
