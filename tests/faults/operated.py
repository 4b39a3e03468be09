"""A running stack as its tests see it: Prefect's API, the bucket, runs fired by hand, days of forcing added."""

import base64
import io
import json
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import xarray as xr

from flows.service.stack import Stack

ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
Run = dict[str, Any]


def api(stack: Stack, path: str, body: dict[str, Any] | None = None, authorised: bool = True) -> Any:
    """Ask Prefect's API as its interface does."""
    request = urllib.request.Request(f"{stack.place.url('prefect-server')}/api{path}")
    if authorised:
        user = stack.secrets()["PREFECT_API_AUTH_STRING"]
        request.add_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


def fire(stack: Stack, flow: str, **parameters: Any) -> str:
    """Start a deployment as its button does; returns the run's id."""
    deployment = api(stack, f"/deployments/name/{flow}/Tiny-{flow}")["id"]
    body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
    return api(stack, f"/deployments/{deployment}/create_flow_run", body)["id"]


def runs(stack: Stack, *states: str) -> list[Run]:
    """Runs in some states, in order of their start."""
    body = {"flow_runs": {"state": {"type": {"any_": list(states)}}}, "sort": "START_TIME_ASC"}
    return api(stack, "/flow_runs/filter", body)


def wait_for(stack: Stack, what: str, look: Any, seconds: float) -> Any:
    """The first true answer of `look`; services that end meanwhile are started again, as containers are."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s; see {stack.folder}/logs"
        stack.revive()
        time.sleep(0.5)
    return found


def ended(stack: Stack, run: str, seconds: float = 600) -> Run:
    """A run once it has ended."""

    def look() -> Run | None:
        found = api(stack, f"/flow_runs/{run}")
        return found if found["state"]["type"] in ENDED else None

    return wait_for(stack, f"run {run}", look, seconds)


def objects(stack: Stack, prefix: str) -> dict[str, str]:
    """Key -> ETag of every object whose key begins so."""
    # Closed: the server waits for connections at its end.
    with closing(stack.s3().client()) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket="somo", Prefix=prefix)
        return {entry["Key"]: entry["ETag"] for page in pages for entry in page.get("Contents", [])}


def put_sources(stack: Stack, folder: Path) -> None:
    """Put the sources of the product into the bucket, where the service may read them and not write."""
    client = stack.s3().client()
    for path in folder.rglob("*"):
        if path.is_file() and path.parts[len(folder.parts)] in ("forcing", "static", "insitu"):
            client.put_object(Bucket="somo", Key=f"sources/{path.relative_to(folder)}", Body=path.read_bytes())


def add_days(stack: Stack, folder: Path, count: int) -> None:
    """Provide forcing for the first days of 2005, with the weather of a year before."""
    for variable in ("t2m", "tp"):
        with xr.open_dataset(
            folder / "forcing" / "home" / f"{variable}_2004.nc",
            engine="h5netcdf", decode_times=False, mask_and_scale=False,
        ) as year:  # fmt: skip
            days = year.isel(time=slice(0, count)).load()
        hours = days["time"].copy(data=days["time"].values + 366 * 24)
        buffer = io.BytesIO()
        encoding = {variable: {"chunksizes": (count, 8, 10), "zlib": True}}
        days.assign_coords(time=hours).to_netcdf(buffer, engine="h5netcdf", encoding=encoding)
        key = f"sources/forcing/home/{variable}_2005.nc"
        stack.s3().client().put_object(Bucket="somo", Key=key, Body=buffer.getvalue())
