"""The in-situ stage: archives -> daily targets per cell and layer, and the table of sensors kept and dropped."""

import io
from collections.abc import Iterator, Mapping
from itertools import islice

import numpy as np
import pandas as pd
import xarray as xr
from distributed import Client

from flows.cluster.watching import completed
from flows.console import console
from flows.results import scaling_days, sensors_url, targets_url
from flows.stages.reference_model import read_reference
from somo.core.grid import Grid
from somo.forcing.dataset import Inputs
from somo.insitu import cosmos, ismn
from somo.insitu.targets import (
    Place,
    Rules,
    Series,
    apply_rules,
    drop_totals,
    require_kept,
    scale,
    sensor_table,
    target_table,
)
from somo.product.declaration import Product
from somo.product.inputs import Insitu
from somo.storage.objects import exists, put, read_bytes

READERS = {"ismn": ismn, "cosmos": cosmos}
TASKS_PER_WORKER = 8


def build_targets(
    product: Product, root: str, inputs: Mapping[str, Inputs], client: Client, role: str = "training"
) -> str:
    """Write `targets/<hash>.parquet` and `targets/<hash>.sensors.parquet` unless they exist; returns the first's URL.

    `role` selects the archives: those to learn from, or the independent ones that validation compares with, which are
    never scaled.
    """
    archives = [a for a in product.insitu if a.role == role]
    url = targets_url(product, root, inputs, role)
    if exists(url):
        return url
    places = read_places(product, inputs)
    series = [s for archive in archives for s in read_series(product, archive, places, client)]
    scaling = product.targets.scaling if role == "training" else "none"
    keys = sorted({s.key for s in series if not s.reason})
    reference = read_reference(product, root, keys, places, client) if scaling == "reference" else {}
    scaled = scale(series, scaling, reference, product.targets.min_days)
    sensors = sensor_table(scaled)
    if role == "training":
        require_kept(sensors, {a.name: a.url for a in archives})
    put(sensors_url(url), _parquet(sensors))
    put(url, _parquet(target_table(scaled)))
    console.print(f"{role} sensors: {', '.join(f'{count} {name}' for name, count in drop_totals(sensors).items())}")
    return url


def read_places(product: Product, inputs: Mapping[str, Inputs]) -> dict[str, Place]:
    """Every domain's grid and cells with forcing, as its static file has them."""
    places = {}
    for domain, declared in product.grids().items():
        with xr.open_dataset(io.BytesIO(read_bytes(inputs[domain].static)), engine="h5netcdf") as static:
            lat, lon = static["lat"].to_numpy().astype(np.float64), static["lon"].to_numpy().astype(np.float64)
            places[domain] = Place(Grid(lat, lon, declared.step_deg), static["land"].to_numpy() == 1)
    return places


def read_series(product: Product, archive: Insitu, places: Mapping[str, Place], client: Client) -> list[Series]:
    """Daily series of every sensor of an archive; groups of stations are read by the workers."""
    days = scaling_days(product) if archive.role == "training" else product.period
    rules = Rules(
        layers=product.layers,
        min_days=product.targets.min_days,
        min_subdaily=archive.min_subdaily,
        first=pd.Timestamp(days.start),
        last=pd.Timestamp(days.end) if days.end else pd.Timestamp.max,
    )
    stations = READERS[archive.format].list_stations(archive.url)
    workers = max(len(client.scheduler_info(n_workers=-1)["workers"]), 1)
    groups = list(_groups(stations, -(-len(stations) // (workers * TASKS_PER_WORKER))))
    futures = client.map(_read_group, groups, archive=archive, rules=rules, places=places, pure=False)
    return [s for part in completed(futures, f"stations of {archive.name}") for s in part]


def _groups(stations: Mapping[str, tuple[str, ...]], size: int) -> Iterator[dict[str, tuple[str, ...]]]:
    items = iter(stations.items())
    while group := dict(islice(items, size)):
        yield group


def _read_group(
    stations: Mapping[str, tuple[str, ...]], archive: Insitu, rules: Rules, places: Mapping[str, Place]
) -> list[Series]:
    sensors = READERS[archive.format].read_stations(archive.url, stations, archive.name)
    return [apply_rules(s, rules, places) for s in sensors]


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
