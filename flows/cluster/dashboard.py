"""Dask's dashboard behind a login: it shows code, logs and metrics to whoever asks, and knows no users.

`dask scheduler --preload flows.cluster.dashboard` takes the login from Dask's own settings (`somo.login`, from the
variable `DASK_SOMO__LOGIN`).
"""

import base64
import hmac
import secrets

import dask
import prometheus_client
from distributed import Scheduler
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.routing import Router
from tornado.web import Application, RequestHandler

from flows.cluster.measures import show_measures

USER = "somo"


def new_login() -> str:
    """A user with a new random password, as `user:password`."""
    return f"{USER}:{secrets.token_urlsafe(18)}"


def require_login(scheduler: Scheduler, login: str) -> None:
    """Let a scheduler's web server show pages, measurements and health only to those who log in.

    Parameters
    ----------
    login : `user:password`, compared as HTTP's basic authentication sends it
    """
    scheduler.http_server.request_callback = _Guarded(scheduler.http_application, login)


class _Guarded(Router):
    def __init__(self, application: Application, login: str) -> None:
        self._application = application
        self._header = "Basic " + base64.b64encode(login.encode()).decode()
        self._refusing = Application([(".*", _Refused)])

    def find_handler(self, request: HTTPServerRequest, **kwargs: object) -> HTTPMessageDelegate | None:
        sent = request.headers.get("Authorization", "")
        # Compared in constant time: how long a wrong password takes must not tell how much of it was right.
        chosen = self._application if hmac.compare_digest(sent.encode(), self._header.encode()) else self._refusing
        return chosen.find_handler(request, **kwargs)


class _Refused(RequestHandler):
    def prepare(self) -> None:
        self.set_status(401)
        self.set_header("WWW-Authenticate", 'Basic realm="Dask"')
        self.finish("log in")


async def dask_setup(scheduler: Scheduler) -> None:
    """What Dask calls when a scheduler starts that preloads this module."""
    require_login(scheduler, dask.config.get("somo.login"))
    show_measures(scheduler, prometheus_client.REGISTRY)
