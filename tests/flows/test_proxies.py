"""Servers that a run or a service starts on this machine are reached without the proxy of its network."""

import http.server
import threading
import urllib.request
from collections.abc import MutableMapping

import pytest

from flows.environment import spare_loopback
from flows.service.checkup.health import Health


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("former", ["", "example.org,localhost"])
def test_what_listens_on_loopback_is_not_asked_through_a_proxy(
    former: str, environment: MutableMapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a network lets its machines out by a proxy alone, no service became healthy and no run began."""
    # It reads the variables once a process.
    monkeypatch.setattr(urllib.request, "_opener", None)
    environment.pop("NO_PROXY", None)
    # Nobody listens on this port.
    environment |= {"http_proxy": "http://127.0.0.1:9", "no_proxy": former}
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        asked = Health(f"http://127.0.0.1:{server.server_port}/")
        before = asked.good({})
        spare_loopback()
        after = asked.good({})
        server.shutdown()
        thread.join()
    assert (before, after) == (False, True)
    assert environment["no_proxy"] == environment["NO_PROXY"] == ",".join(filter(None, (former, "127.0.0.1")))
    spare_loopback()
    assert environment["no_proxy"].count("127.0.0.1") == 1
