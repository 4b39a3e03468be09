"""Production runs that are killed at random moments; every run is forked from a process that has imported everything.

`python -m tests.faults.killed_runs SETTING.json MOMENTS...` runs once per moment (seconds) and kills the run then,
looks after each kill at what an anonymous reader sees, and finally lets one run finish. Prints one line each.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import xarray as xr
from distributed import Client, LocalCluster

from flows.stages.produce import produce
from somo.forcing.dataset import Inputs
from somo.product.declaration import Product


def run(setting: dict) -> None:
    """One whole run with an in-process cluster."""
    inputs = {"home": Inputs(**setting["inputs"])}
    product = Product.model_validate_json(setting["product"])
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        produce(product, setting["root"], inputs, setting["models"], client)


def seen(root: str, endpoint: str | None) -> str:
    """Hash of all values that an anonymous reader finds, or "nothing"."""
    options = {"anon": True, "endpoint_url": endpoint} if endpoint else None
    try:
        store = xr.open_zarr(
            f"{root}/v1.0.0/soil_moisture.zarr", consolidated=True, chunks=None, storage_options=options
        )
    except FileNotFoundError:
        return "nothing"
    with store:
        digest = hashlib.sha256()
        for name in ("time", "status", "soil_moisture", "soil_moisture_std"):
            digest.update(store[name].values.tobytes())
        return digest.hexdigest()


def forked(action, wait_s: float | None = None) -> int:
    """Exit status of an action in a forked process, killed after `wait_s` seconds."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    give_up = time.monotonic() + (wait_s if wait_s is not None else 600)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > give_up:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(0.005)


def main() -> None:
    setting = json.loads(Path(sys.argv[1]).read_text())

    def look() -> None:
        print("saw", seen(setting["root"], setting["endpoint"]), flush=True)

    for moment in sys.argv[2:]:
        print("ended", forked(lambda: run(setting), float(moment)), flush=True)
        forked(look)
    print("ended", forked(lambda: run(setting)), flush=True)
    forked(look)


if __name__ == "__main__":
    main()
