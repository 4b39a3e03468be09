"""Microsoft's storage: `az://` goes through obstore, which speaks to a small server with the emulator's addresses.

Azurite, Microsoft's emulator, is a program of Node.js and not installed here. The server answers the three requests of
the Blob service that are made (list, properties, range) as its documentation says, and refuses whoever does not sign.
"""

import email.utils
import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from xml.sax.saxutils import escape

import fsspec.config
import numpy as np
import pytest

from somo.forcing.dataset import open_forcing
from somo.forcing.sources import ForcingError
from somo.storage import byte_ranges
from somo.storage.client import filesystem
from somo.storage.patience import StorageError, UnreachableError

ACCOUNT, CONTAINER = "devstoreaccount1", "climate"
DATE = email.utils.formatdate(1_700_000_000, usegmt=True)


class BlobService(http.server.BaseHTTPRequestHandler):
    """One container, the files of a folder by their names."""

    def __init__(self, *arguments, folder: Path, **options) -> None:
        self.folder = folder
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        if not self.headers.get("Authorization", "").startswith(f"SharedKey {ACCOUNT}:"):
            self._answer(403, b"<Error><Code>AuthenticationFailed</Code></Error>")
        elif "comp=list" in address.query:
            self._answer(200, self._listing(dict(urllib.parse.parse_qsl(address.query))))
        else:
            self._blob(self.folder / urllib.parse.unquote(address.path).removeprefix(f"/{ACCOUNT}/{CONTAINER}/"))

    do_HEAD = do_GET

    def _blob(self, path: Path) -> None:
        if not path.is_file():
            self._answer(404, b"<Error><Code>BlobNotFound</Code></Error>")
            return
        content, tag = path.read_bytes(), f'"{path.stat().st_mtime_ns:x}"'
        if self.headers.get("If-Match", tag) != tag:
            self._answer(412, b"<Error><Code>ConditionNotMet</Code></Error>")
            return
        headers = {"ETag": tag, "Last-Modified": DATE, "x-ms-blob-type": "BlockBlob"}
        if asked := self.headers.get("Range"):
            first, last = (int(place) for place in asked.removeprefix("bytes=").split("-"))
            headers["Content-Range"] = f"bytes {first}-{min(last, len(content) - 1)}/{len(content)}"
            self._answer(206, content[first : last + 1], headers)
        else:
            self._answer(200, content, headers)

    def _listing(self, query: dict[str, str]) -> bytes:
        prefix = query.get("prefix", "")
        blobs = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        names = {str(path.relative_to(self.folder)): path for path in blobs}
        described = "".join(
            f"<Blob><Name>{escape(name)}</Name><Properties><Last-Modified>{DATE}</Last-Modified>"
            f"<Content-Length>{path.stat().st_size}</Content-Length><Etag>{path.stat().st_mtime_ns:x}</Etag>"
            "<Content-Type>application/octet-stream</Content-Type></Properties></Blob>"
            for name, path in names.items()
            if name.startswith(prefix) and ("delimiter" not in query or "/" not in name[len(prefix) :])
        )
        return f"<EnumerationResults><Blobs>{described}</Blobs><NextMarker/></EnumerationResults>".encode()

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, text in {**(headers or {}), "Content-Length": str(len(content)), "Date": DATE}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *words: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def azure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder of a container that `az://climate` names."""
    folder = tmp_path / "container"
    (folder / "era5").mkdir(parents=True)
    handler = partial(BlobService, folder=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", address)
        settings = {"config": {"use_emulator": "true"}, "client_options": {"allow_http": True}}
        monkeypatch.setattr(fsspec.config, "conf", {})
        fsspec.config.set_conf_env(fsspec.config.conf, {"FSSPEC_AZ": json.dumps(settings)})
        _forget_stores()
        yield folder
        _forget_stores()
        server.shutdown()


def _forget_stores() -> None:
    # The emulator has another address in each test, and clients of a container are kept.
    for kept in (byte_ranges.opened, byte_ranges._cloud):
        kept.cache_clear()
    filesystem(f"az://{CONTAINER}")[0].clear_instance_cache()


def test_files_in_microsofts_storage_read_as_local_ones(sources, references, root, azure):
    sources.write(2003, {"dtype": "float32", "zlib": True, "chunksizes": (61, 4, 5)})
    (azure / "era5" / "t2m_2003.nc").write_bytes(sources.path(2003).read_bytes())
    product = sources.product(end="2003-12-31", source={"url": f"az://{CONTAINER}/era5/t2m_{{year}}.nc"})
    ds = open_forcing(product, "home", references(product, root))
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003))
    sources.write(2003, {"dtype": "float32", "zlib": True, "complevel": 9, "chunksizes": (61, 4, 5)})
    (azure / "era5" / "t2m_2003.nc").write_bytes(sources.path(2003).read_bytes())
    with pytest.raises(ForcingError, match=r"az://climate/era5/t2m_2003\.nc: was replaced after it was referenced"):
        ds["air_temperature"].compute()


def test_a_missing_file_in_microsofts_storage_is_named(sources, references, root, azure):
    product = sources.product(end="2003-12-31", source={"url": f"az://{CONTAINER}/era5/t2m_{{year}}.nc"})
    with pytest.raises(ForcingError, match=r"az://climate/era5/t2m_2003\.nc: no such file"):
        references(product, root)


def test_a_refusal_of_microsofts_storage_is_named(sources, references, root, azure, monkeypatch):
    unsigned = {"config": {"use_emulator": "true", "skip_signature": "true"}, "client_options": {"allow_http": True}}
    fsspec.config.set_conf_env(fsspec.config.conf, {"FSSPEC_AZ": json.dumps(unsigned)})
    _forget_stores()
    product = sources.product(end="2003-12-31", source={"url": f"az://{CONTAINER}/era5/t2m_{{year}}.nc"})
    with pytest.raises(
        StorageError, match=r"az://climate/era5.*the store refuses it \(403\); give credentials .*FSSPEC_AZ"
    ):
        references(product, root)


def test_a_missing_name_of_the_account_is_no_trouble_of_the_network(monkeypatch):
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    monkeypatch.setattr(fsspec.config, "conf", {})
    container = "az://nobodys-container"
    with pytest.raises(StorageError, match="Account must be specified; set AZURE_STORAGE_ACCOUNT_NAME") as error:
        fs, path = filesystem(f"{container}/era5")
        fs.ls(path)
    assert not isinstance(error.value, UnreachableError)
