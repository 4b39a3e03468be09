"""Files on a real web server that fails, forbids, cannot range or has its files replaced: read, or named so."""

import http.server
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from somo.forcing.dataset import open_forcing
from somo.forcing.sources import ForcingError
from somo.storage import patience, web
from somo.storage.objects import exists, local_copy
from somo.storage.patience import StorageError, UnreachableError

CHUNKED = {"dtype": "float32", "zlib": True, "chunksizes": (61, 4, 5)}


class Server(http.server.SimpleHTTPRequestHandler):
    """A folder with range requests; `behaviour` may answer instead."""

    def __init__(self, *arguments, behaviour, counts, **options):
        self.behaviour, self.counts = behaviour, counts
        super().__init__(*arguments, **options)

    def do_GET(self):
        self._answer(body=True)

    def do_HEAD(self):
        self._answer(body=False)

    def _answer(self, body):
        self.counts.append(self.path)
        status = self.behaviour(self)
        if status == -1:  # has answered already
            return
        if status:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        try:
            data = Path(self.translate_path(self.path)).read_bytes()
        except OSError:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        if asked and not getattr(self.behaviour, "whole", False):
            first, last = (int(n) for n in asked.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}")
            data = data[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hash(self.behaviour.version)}"' if hasattr(self.behaviour, "version") else '"1"')
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *words):
        """Nothing is printed."""


@contextmanager
def serving(folder, behaviour=lambda handler: 0):
    """URL of a server of a folder, and the paths asked for."""
    counts = []
    handler = partial(Server, directory=str(folder), behaviour=behaviour, counts=counts)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", counts
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", 1.0)


def _product(sources, url, **changes):
    return sources.product(source={"url": f"{url}/t2m_{{year}}.nc"}, **changes)


def test_a_server_that_is_busy_once_in_three_requests(sources, references, root):
    for year in (2003, 2004):
        sources.write(year, CHUNKED)
    turn = iter(range(10**6))
    with serving(sources.folder, lambda handler: 503 if next(turn) % 3 == 0 else 0) as (url, _):
        product = _product(sources, url)
        got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003, 2004))


def test_names_are_asked_for_where_a_server_lists_nothing(sources, references, root):
    sources.write(2003, CHUNKED)
    with serving(sources.folder) as (url, asked):
        product = _product(sources, url, end="2003-12-31")
        references(product, root)
        assert "/" not in asked
        with pytest.raises(ForcingError, match=r"http://.*/t2m_2004\.nc: no such file"):
            references(_product(sources, url), root)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_forbids_is_named_so(sources, references, root, status):
    sources.write(2003, CHUNKED)
    with (
        serving(sources.folder, lambda handler: status) as (url, _),
        pytest.raises(StorageError, match=rf"t2m_2003\.nc: the server refuses it \({status}.*~/\.netrc"),
    ):
        references(_product(sources, url, end="2003-12-31"), root)


def test_a_server_without_range_requests_is_named_so(sources, references, root):
    sources.write(2003, CHUNKED)

    def behaviour(handler):
        return 0

    behaviour.whole = True
    with (
        serving(sources.folder, behaviour) as (url, _),
        pytest.raises(StorageError, match=r"t2m_2003\.nc: the server gives whole files only .*no range requests"),
    ):
        references(_product(sources, url, end="2003-12-31"), root)


def test_a_server_that_stays_away_is_no_damage(sources, references, root, impatient):
    sources.write(2003, CHUNKED)
    with (
        serving(sources.folder, lambda handler: 503 if handler.command == "GET" else 0) as (url, _),
        pytest.raises(StorageError, match=r"t2m_2003\.nc: cannot be reached \(the server answers 503"),
    ):
        references(_product(sources, url, end="2003-12-31"), root)


def test_a_file_replaced_after_its_scan_is_named_so(sources, references, root):
    sources.write(2003, CHUNKED)

    def behaviour(handler):
        return 0

    behaviour.version = "first"
    with serving(sources.folder, behaviour) as (url, _):
        product = _product(sources, url, end="2003-12-31")
        ds = open_forcing(product, "home", references(product, root))
        behaviour.version = "second"
        with pytest.raises(StorageError, match=r"t2m_2003\.nc: was replaced while it was read"):
            ds["air_temperature"].compute()


def test_a_login_page_is_no_data(sources, references, root):
    (sources.folder / "t2m_2003.nc").write_text("<html><title>Earthdata Login</title></html>")
    with (
        serving(sources.folder) as (url, _),
        pytest.raises(ForcingError, match=r"t2m_2003\.nc: is an HTML page \(Earthdata Login\)"),
    ):
        references(_product(sources, url, end="2003-12-31"), root)


def test_a_store_of_zarr_on_a_web_server(sources, references, root):
    sources.write(2003)
    with xr.open_dataset(sources.path(2003)) as ds:
        ds.load().drop_encoding().to_zarr(sources.folder / "t2m.zarr", zarr_format=2)
    with serving(sources.folder) as (url, _):
        product = sources.product(end="2003-12-31", source={"url": f"{url}/t2m.zarr"})
        got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003))


def test_a_document_that_is_too_large_is_not_downloaded(tmp_path):
    (tmp_path / "zarr.json").write_bytes(b"[" * 5000)
    with serving(tmp_path) as (url, _):
        assert web.content(f"{url}/zarr.json", 5000) == b"[" * 5000
        with pytest.raises(StorageError, match=r"zarr\.json: has 5000 bytes, and 4999 are read"):
            web.content(f"{url}/zarr.json", 4999)


@pytest.mark.parametrize(
    ("status", "error", "words"), [(503, UnreachableError, "cannot be reached"), (403, StorageError, "refuses")]
)
def test_a_server_that_fails_is_not_one_without_the_file(tmp_path, impatient, status, error, words):
    (tmp_path / "europe.zip").write_bytes(b"PK")
    with serving(tmp_path) as (url, _):
        assert exists(f"{url}/europe.zip") and not exists(f"{url}/africa.zip")
        with local_copy(f"{url}/europe.zip") as path:
            assert path.read_bytes() == b"PK"
    with serving(tmp_path, lambda handler: status) as (url, _):
        with pytest.raises(error, match=rf"europe\.zip: .*{words}"):
            exists(f"{url}/europe.zip")
        with pytest.raises(error, match=rf"europe\.zip: .*{words}"), local_copy(f"{url}/europe.zip"):
            pass
