"""Files on plain web servers: their version, and ranges of their bytes of that version.

A login is taken from `~/.netrc`, as NASA's Earthdata and others document it, or a bearer token from
`FSSPEC_HTTPS='{"client_kwargs": {"headers": {"Authorization": "Bearer TOKEN"}}}'`, the setting that fsspec has for it;
where a host has both, the token is sent. After a redirect to another host neither goes with it: that host gets what
`~/.netrc` has for itself.
"""

from functools import lru_cache
from typing import Any

import fsspec.config
import requests

from somo.storage.patience import StorageError, patiently

# Seconds to wait for a connection, and between two packets.
TIMEOUT_S = (20, 120)
# Answers of a server that is busy or restarted: asked again.
PASSING = {408, 425, 429, 500, 502, 503, 504}
ABSENT = {404, 410}
# requests keeps 10 by default, and drops and opens connections anew when more threads ask at once.
CONNECTIONS = 16


def version(url: str) -> str | None:
    """Size and version (ETag or date) of a file, None if the server has none.

    Raises
    ------
    StorageError
        if the server forbids it, asks for a login, or stays out of reach
    """
    response = _ask_without_body(url)
    if response is None:
        return None
    size = response.headers.get("Content-Range", "").rpartition("/")[2] or response.headers.get("Content-Length")
    if size is None or not size.isdigit():
        raise StorageError(f"{url}: the server does not say how large it is; download the file and declare its path")
    return f"{size}-{_mark(response)}"


def exists(url: str) -> bool:
    """Whether the server has a file.

    Raises
    ------
    StorageError
        if the server forbids it, asks for a login, or stays out of reach: none of them says that there is no file
    """
    return _ask_without_body(url) is not None


def _ask_without_body(url: str) -> requests.Response | None:
    """What the server says of a file that it allows to read; None if it has none."""
    response = _ask(url, "HEAD")
    if response is not None and response.status_code in {403, 405, 501}:
        # Some servers and most presigned URLs allow GET alone.
        response = _ask(url, "GET", {"Range": "bytes=0-0"})
    if response is not None:
        _require_allowed(url, response)
    return response


def content(url: str, most: int) -> bytes | None:
    """All bytes of a small file, None if the server has none.

    Parameters
    ----------
    most : largest number of bytes that is read

    Raises
    ------
    StorageError
        if the server forbids it, asks for a login, or stays out of reach, or if the file is larger
    """
    response = _ask(url, "GET", most=most)
    if response is None:
        return None
    _require_allowed(url, response)
    if (size := _length(response)) > most:
        raise StorageError(f"{url}: has {size} bytes, and {most} are read of a file of its kind; get it again")
    return response.content


def read_range(url: str, expected: str, offset: int, size: int) -> bytes:
    """`size` bytes at `offset` of a file that has the version `expected`.

    Raises
    ------
    StorageError
        if the server has no range requests, forbids it, has another version now, or stays out of reach
    """
    response = _ask(url, "GET", {"Range": f"bytes={offset}-{offset + size - 1}"})
    if response is None:
        raise StorageError(f"{url}: is not on the server any more; restore it or run ingest again")
    _require_allowed(url, response)
    # A server without range requests sends the whole file for every range: 200 instead of 206.
    if response.status_code == 200:
        raise StorageError(
            f"{url}: the server gives whole files only and no parts of them (no range requests); download the files "
            "and declare their path, or ask for another server"
        )
    mark = expected.split("-", 1)[1]
    if response.status_code == 416 or _mark(response) not in {mark, ""}:
        raise StorageError(f"{url}: was replaced while it was read ({mark}, now {_mark(response)}); run again")
    return response.content


def _length(response: requests.Response) -> int:
    """Bytes of the body, as the server says before it sends them."""
    return int(response.headers.get("Content-Length", 0))


def _ask(
    url: str, method: str, headers: dict[str, str] | None = None, most: int | None = None
) -> requests.Response | None:
    """The server's answer; None if there is no such file. Its body is not read where it has more bytes than `most`."""

    def ask() -> requests.Response:
        try:
            with _session(url.partition("://")[0]).request(
                method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=True, stream=True
            ) as response:
                if response.status_code in PASSING:
                    raise ConnectionError(f"the server answers {response.status_code} {response.reason}")
                # Read inside the patience, since a connection may break off in the body; but a whole file that comes
                # instead of a range is not read.
                wanted = most is None or _length(response) <= most
                if wanted and method == "GET" and (response.status_code == 206 or not headers):
                    _ = response.content
                return response
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise ConnectionError(str(error)) from error

    response = patiently(url, ask)
    return None if response.status_code in ABSENT else response


def _require_allowed(url: str, response: requests.Response) -> None:
    if response.status_code in {401, 403, 407}:
        raise StorageError(
            f"{url}: the server refuses it ({response.status_code} {response.reason}); give a login in ~/.netrc or a "
            "token in FSSPEC_HTTPS, and check that the account may read it"
        )
    if response.status_code >= 400 and response.status_code != 416:
        raise StorageError(f"{url}: the server answers {response.status_code} {response.reason}; check the URL")


def _mark(response: requests.Response) -> str:
    """What tells a file's present bytes from former ones: its ETag, else its date, else nothing."""
    headers = response.headers
    # The same ETag may come with and without the mark W/, as where a proxy compresses.
    return (headers.get("ETag") or headers.get("Last-Modified") or "").removeprefix("W/").strip('"').replace(" ", "_")


def client_settings(scheme: str) -> dict[str, Any]:
    """fsspec's `client_kwargs` of "http" or "https" alone: a token for the one does not go in clear over the other."""
    declared: dict[str, Any] = fsspec.config.conf.get(scheme, {}).get("client_kwargs", {})
    # aiohttp, which reads Zarr stores, looks into ~/.netrc only if it is told to, and refuses a login beside a token.
    has_token = any(name.lower() == "authorization" for name in declared.get("headers", {}))
    return {"trust_env": not has_token, **declared}


@lru_cache(maxsize=2)
def _session(scheme: str) -> requests.Session:
    """The process's connections, with the headers that fsspec's setting names."""
    session = requests.Session()
    session.mount(f"{scheme}://", requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS))
    # Compressed on the way, a file would have another length and other ranges.
    session.headers["Accept-Encoding"] = "identity"
    session.headers.update(client_settings(scheme).get("headers", {}))
    if "Authorization" in session.headers:
        session.auth = _as_it_is
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from putting a login of ~/.netrc in the place of the token."""
    return request
