"""Web servers that demand a token or a login: both are sent to the host they are for, and to no other."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec.config
import numpy as np
import pytest
import xarray as xr

from somo.forcing.dataset import open_forcing
from somo.storage import web
from somo.storage.patience import StorageError
from tests.forcing.references.test_web import CHUNKED, serving

TOKEN = "Bearer abc"
LOGIN = "Basic " + base64.b64encode(b"me:secret").decode()


@pytest.fixture
def no_logins(tmp_path, monkeypatch) -> Iterator[None]:
    """No token, and a `.netrc` of this test alone; connections are made anew, since they remember the token."""
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("")
    monkeypatch.setattr(fsspec.config, "conf", {})
    web._session.cache_clear()
    yield
    web._session.cache_clear()


def give_token(monkeypatch, scheme: str = "http") -> None:
    """What the environment variable FSSPEC_HTTP, or FSSPEC_HTTPS, sets."""
    settings = json.dumps({"client_kwargs": {"headers": {"Authorization": TOKEN}}})
    fsspec.config.set_conf_env(fsspec.config.conf, {f"FSSPEC_{scheme.upper()}": settings})


def give_login(tmp_path, host: str) -> None:
    """A login in `.netrc`."""
    (tmp_path / "netrc").write_text(f"machine {host} login me password secret\n")


def demanding(authorization: str):
    """Behaviour of a server that answers 401 to whoever does not send this, and remembers what was sent."""

    def behaviour(handler) -> int:
        behaviour.sent.append(handler.headers.get("Authorization"))
        return 0 if behaviour.sent[-1] == authorization else 401

    behaviour.sent = []
    return behaviour


def read(sources, references, root, url):
    product = sources.product(end="2003-12-31", source={"url": f"{url}/t2m_{{year}}.nc"})
    return open_forcing(product, "home", references(product, root))["air_temperature"].values


@pytest.mark.usefixtures("no_logins")
@pytest.mark.parametrize("way", ["token", "netrc", "both"])
def test_a_token_or_a_login_is_sent(sources, references, root, tmp_path, monkeypatch, way):
    sources.write(2003, CHUNKED)
    if way != "netrc":
        give_token(monkeypatch)
    if way != "token":
        give_login(tmp_path, "127.0.0.1")
    with serving(sources.folder, demanding(LOGIN if way == "netrc" else TOKEN)) as (url, _):
        np.testing.assert_array_equal(read(sources, references, root, url), sources.plain(2003))


@pytest.mark.usefixtures("no_logins")
@pytest.mark.parametrize("way", ["token", "netrc"])
def test_zarr_stores_behind_a_login(sources, references, root, tmp_path, monkeypatch, way):
    sources.write(2003)
    with xr.open_dataset(sources.path(2003)) as ds:
        ds.load().drop_encoding().to_zarr(sources.folder / "t2m.zarr", zarr_format=2)
    if way == "netrc":
        give_login(tmp_path, "127.0.0.1")
    else:
        give_token(monkeypatch)
    with serving(sources.folder, demanding(LOGIN if way == "netrc" else TOKEN)) as (url, _):
        product = sources.product(end="2003-12-31", source={"url": f"{url}/t2m.zarr"})
        got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003))


@pytest.mark.usefixtures("no_logins")
def test_a_missing_login_is_named(sources, references, root):
    sources.write(2003, CHUNKED)
    with (
        serving(sources.folder, demanding(TOKEN)) as (url, _),
        pytest.raises(
            StorageError, match=r"t2m_2003\.nc: the server refuses it \(401 .*~/\.netrc or a token in FSSPEC"
        ),
    ):
        read(sources, references, root, url)


@contextmanager
def redirecting(sources, elsewhere: str, authorization: str) -> Iterator[str]:
    """URL of a server that demands a login and sends everyone on to another one."""
    demands = demanding(authorization)

    def behaviour(handler) -> int:
        if demands(handler):
            return 401
        handler.send_response(302)
        handler.send_header("Location", f"{elsewhere}{handler.path}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return -1

    with serving(sources.folder, behaviour) as (url, _):
        yield url


@pytest.mark.usefixtures("no_logins")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("way", ["token", "netrc"])
def test_a_redirect_takes_no_token_along(sources, references, root, tmp_path, monkeypatch, way, host):
    """As NASA's servers send readers on to a store of Amazon's; another port of one host is another server too."""
    sources.write(2003, CHUNKED)
    if way == "token":
        give_token(monkeypatch)
    else:
        give_login(tmp_path, "127.0.0.1")
    open_to_all = demanding("")
    with serving(sources.folder, lambda handler: open_to_all(handler) and 0) as (second, _):
        elsewhere = second.replace("127.0.0.1", host)
        with redirecting(sources, elsewhere, TOKEN if way == "token" else LOGIN) as url:
            np.testing.assert_array_equal(read(sources, references, root, url), sources.plain(2003))
    # `.netrc` knows no ports: what it has for a host goes to every server there.
    allowed = {None, LOGIN} if (way, host) == ("netrc", "127.0.0.1") else {None}
    assert open_to_all.sent and set(open_to_all.sent) <= allowed


@pytest.mark.usefixtures("no_logins")
def test_a_token_for_https_does_not_go_in_clear(sources, references, root, monkeypatch):
    sources.write(2003, CHUNKED)
    give_token(monkeypatch, "https")
    open_to_all = demanding("")
    with serving(sources.folder, lambda handler: open_to_all(handler) and 0) as (url, _):
        np.testing.assert_array_equal(read(sources, references, root, url), sources.plain(2003))
    assert open_to_all.sent and set(open_to_all.sent) == {None}
