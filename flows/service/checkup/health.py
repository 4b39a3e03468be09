"""Whether a service answers, asked in the same way on this machine and inside a container."""

import base64
import http.client
import socket
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Health:
    """One question that a healthy service answers.

    Attributes
    ----------
    url : answers 200; `tcp://host:port` is a port that opens
    login : name of the secret variable that holds `user:password` for it
    body : JSON that is sent; without it, the question is a GET
    contains : text of a healthy answer
    """

    url: str
    login: str = ""
    body: str = ""
    contains: str = ""

    @property
    def port(self) -> int:
        """Port that is asked."""
        return urlsplit(self.url).port or 80

    def good(self, held: Mapping[str, str], timeout_s: float = 2) -> bool:
        """Ask from this process; `held` are the secret variables."""
        place = urlsplit(self.url)
        if place.scheme == "tcp":
            with socket.socket() as probe:
                probe.settimeout(timeout_s)
                return probe.connect_ex((place.hostname or "", place.port or 0)) == 0
        request = urllib.request.Request(self.url, self.body.encode() or None, {"Content-Type": "application/json"})
        if self.login:
            request.add_header("Authorization", "Basic " + base64.b64encode(held[self.login].encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return self.contains.encode() in answer.read()
        # A server that is ending may cut its answer short.
        except (OSError, http.client.HTTPException):
            return False

    def command(self, service: str) -> list[str]:
        """The question as a command for the service's own container: its address is loopback, its login a variable."""
        url = self.url.replace(f"//{service}:", "//127.0.0.1:")
        ask = f"import base64, os, urllib.request as u; r = u.Request({url!r}, {self.body.encode() or None!r})"
        if self.body:
            ask += "; r.add_header('Content-Type', 'application/json')"
        if self.login:
            coded = f"base64.b64encode(os.environ[{self.login!r}].encode()).decode()"
            ask += f"; r.add_header('Authorization', 'Basic ' + {coded})"
        return ["python", "-c", f"{ask}; assert {self.contains.encode()!r} in u.urlopen(r, timeout=8).read()"]
