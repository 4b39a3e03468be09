"""Try doors, with the standard library alone: `python attack.py '[[PORT, ...], [SOCKET, ...]]'` prints what was given.

Every port is asked in plain HTTP, in TLS without a certificate, and as gRPC and PostgreSQL ask. Status 2xx, a frame of
HTTP/2 or an accepted connection of a database are gifts; 400 to 404, 405, a closed connection and a TLS alert are none.
"""

import http.client
import json
import os
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

REQUESTS = [
    ("GET", path)
    for path in (
        "/", "/status", "/metrics", "/health", "/json/counts.json", "/info/main/workers.html",
        "/docs", "/openapi.json", "/redoc", "/api/openapi.json", "/api/docs", "/api/admin/settings",
        "/api/v1/status/config",
        "/dir/status", "/dir/assign", "/cluster/status", "/vol/status", "/stats/counter", "/ui/index.html",
        "/buckets/", "/buckets/somo/", "/buckets/somo/tiny/latest.json", "/debug/pprof/", "/somo", "/somo?policy",
    )
] + [
    ("PUT", "/buckets/somo/tiny/latest.json"), ("POST", "/buckets/somo/tiny/latest.json"),
    ("PUT", "/somo/tiny/latest.json"),
    ("DELETE", "/buckets/somo/tiny/latest.json"), ("DELETE", "/somo/tiny/latest.json"), ("DELETE", "/somo"),
    ("POST", "/somo/tiny/x?uploads"), ("PUT", "/somo?policy"), ("PUT", "/mine"),
    ("POST", "/col/delete?collection=somo"),
    ("POST", "/?Action=ListUsers&Version=2010-05-08"), ("POST", "/vol/grow?count=1"), ("POST", "/api/flows/filter"),
    ("POST", "/api/deployments/filter"), ("POST", "/-/quit"), ("POST", "/submit"),
]  # fmt: skip
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
SETTINGS_FRAME = 4
POSTGRES_START = b"\x00\x00\x00\x26\x00\x03\x00\x00user\x00prefect\x00database\x00postgres\x00\x00"


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def ask(port: int, encrypted: bool, method: str, path: str) -> str | None:
    """What a request was given, "" if it was refused, None if nobody speaks HTTP behind the port."""
    try:
        if encrypted:
            door = http.client.HTTPSConnection("127.0.0.1", port, timeout=3, context=trusting())
        else:
            door = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
        headers = {"Origin": "https://elsewhere.example"}
        door.request(method, path, body=b"{}" if method in ("PUT", "POST") else None, headers=headers)
        answer = door.getresponse()
        length = len(answer.read())
        return f"{method} {path}: {answer.status}, {length} bytes" if answer.status < 400 else ""
    except (OSError, http.client.HTTPException):
        return None


def cross_origin(port: int) -> str | None:
    """Whether a page from elsewhere may delete here."""
    try:
        door = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
        headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "DELETE"}
        door.request("OPTIONS", "/somo/tiny/latest.json", headers=headers)
        answer = door.getresponse()
        methods = answer.headers.get("Access-Control-Allow-Methods", "")
        allowed = answer.headers.get("Access-Control-Allow-Origin") in ("*", headers["Origin"])
        changing = allowed and {"PUT", "DELETE"} & set(methods.split(", "))
        return f"a page of any origin may {methods}" if changing else None
    except (OSError, http.client.HTTPException):
        return None


def speak(port: int, message: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=3) as door:
            door.sendall(message)
            return door.recv(64)
    except OSError:
        return b""


def protocols(port: int) -> list[str]:
    gifts = []
    answer = speak(port, PREFACE)
    if len(answer) > SETTINGS_FRAME - 1 and answer[3] == SETTINGS_FRAME and not answer.startswith(b"HTTP"):
        gifts.append("speaks HTTP/2 (gRPC) without TLS")
    answer = speak(port, POSTGRES_START)
    if answer.startswith(b"R") and answer[5:9] == bytes(4):
        gifts.append("PostgreSQL lets in without a password")
    # A Dask scheduler or worker without TLS says first which compression and which Python it has.
    if b"compression" in speak(port, b""):
        gifts.append("speaks Dask without TLS")
    return gifts


def try_port(port: int) -> list[str]:
    gifts = protocols(port)
    for encrypted in (False, True):
        if ask(port, encrypted, *REQUESTS[0]) is None and ask(port, encrypted, *REQUESTS[0]) is None:
            continue
        gifts += [answer for request in REQUESTS if (answer := ask(port, encrypted, *request))]
    return [*gifts, deletion] if (deletion := cross_origin(port)) else gifts


def try_socket(path: str) -> list[str]:
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(3)
        try:
            door.connect(path)
        except OSError:
            return []
    return ["connects"]


if __name__ == "__main__":
    ports, sockets = json.loads(sys.argv[1])
    with ThreadPoolExecutor(8) as pool:
        given = dict(zip(map(str, ports), pool.map(try_port, ports), strict=True))
    given |= {path: try_socket(path) for path in sockets}
    print(json.dumps({"uid": os.getuid(), "given": {door: gifts for door, gifts in given.items() if gifts}}))
