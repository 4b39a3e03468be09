"""The in-situ stage: archives -> daily targets per cell and layer, and the table of sensors kept and dropped."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr
from distributed import Client

from flows.console import console
from flows.results import daily_folder, record_archives, scaling_days, sensors_url, targets_url
from flows.stages.archives import plan_reading, read_archive
from flows.stages.reference_model import open_reference, read_reference
from somo.core.grid import Grid
from somo.core.words import counted
from somo.forcing.dataset import Inputs
from somo.insitu.daily import DailySensor
from somo.insitu.rules import Place, Rules, Series, apply_rules
from somo.insitu.same_sensor import count_once
from somo.insitu.scaling import in_order, scale
from somo.insitu.targets import (
    days_left_out,
    drop_totals,
    dropped_sensors,
    layers_without_sensors,
    require_kept,
    sensor_table,
    target_table,
    unknown_networks,
)
from somo.product.declaration import Product
from somo.product.inputs import Insitu, Period, RegularGrid
from somo.storage.objects import exists, put, read_bytes

# Dropped sensors that a run names; faults of files and tables come first.
MOST_NAMED = 5


def build_targets(
    product: Product, root: str, inputs: Mapping[str, Inputs], client: Client, role: str = "training"
) -> str:
    """Write `targets/<hash>.parquet` and `targets/<hash>.sensors.parquet` unless they exist; returns the first's URL.

    `role` selects the archives: those to learn from, or the independent ones that validation compares with, which are
    never scaled.
    """
    archives = [a for a in product.insitu if a.role == role]
    scaling = product.targets.scaling if role == "training" else "none"
    record_archives(product, root, role)
    if exists(url := targets_url(product, root, inputs, role)):
        return url
    # Archives take hours where the reference model takes minutes, so it is asked first.
    model = open_reference(product, root, client) if scaling == "reference" else None
    # Its files have names by content now: targets of the same files at another place may be there already.
    if exists(url := targets_url(product, root, inputs, role)):
        return url
    places = read_places(product, inputs)
    readings = [plan_reading(a, product.layers, daily_folder(root, a)) for a in archives]
    for reading in readings:
        to_read = sum(map(len, reading.tasks))
        console.print(f"{reading.archive.name}: reading {to_read} of {counted(len(reading.recordings), 'sensor')}")
    sensors = [(reading.archive, read_archive(reading, client)) for reading in readings]
    series = to_series(product, sensors, places)
    keys = sorted({s.key for s in series if not s.reason})
    reference = read_reference(model, keys, places, client) if model else {}
    scaled = scale(series, scaling, reference, product.targets.min_days)
    table = sensor_table(scaled)
    put(sensors_url(url), _parquet(table))
    if role == "training":
        unusable = require_kept(table, {a.name: a.url for a in archives}, sensors_url(url))
        left_out = days_left_out(series, *first_and_last(scaling_days(product)))
        networks = unknown_networks(table, archives)
        for warning in [*unusable, *networks, *layers_without_sensors(table, product.layers), *left_out]:
            console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    put(url, _parquet(target_table(scaled)))
    console.print(f"{role} sensors: {', '.join(f'{count} {name}' for name, count in drop_totals(table).items())}")
    for line in dropped_sensors(table, MOST_NAMED):
        console.print(f"dropped: {line}", markup=False, soft_wrap=True)
    if not table["kept"].all():
        console.print("`somo sensors` with this declaration lists every sensor and its reason")
    return url


def first_and_last(period: Period) -> tuple[pd.Timestamp, pd.Timestamp]:
    """First and last day of a period, which may have no end."""
    return pd.Timestamp(period.start), pd.Timestamp(period.end) if period.end else pd.Timestamp.max


def read_places(product: Product, inputs: Mapping[str, Inputs]) -> dict[str, Place]:
    """Every domain's grid and cells with forcing, as its static file has them."""
    places = {}
    for domain, declared in product.grids().items():
        with xr.open_dataset(io.BytesIO(read_bytes(inputs[domain].static)), engine="h5netcdf") as static:
            lat, lon = static["lat"].to_numpy().astype(np.float64), static["lon"].to_numpy().astype(np.float64)
            places[domain] = Place(Grid(lat, lon, declared.step_deg), static["land"].to_numpy() == 1)
    return places


def declared_places(product: Product) -> dict[str, Place]:
    """Every domain's grid from the declaration alone, all of it land.

    Cells at the forcing's own coordinates are unknown without it: any place is taken to have one.
    """
    places = {}
    for domain, declared in product.grids().items():
        if isinstance(declared, RegularGrid):
            edges = declared.west, declared.east, declared.south, declared.north
        else:
            edges = -180.0, 180.0, -90.0, 90.0
        step = declared.step_deg if isinstance(declared, RegularGrid) else 1.0
        grid = Grid.regular(*edges, step)
        places[domain] = Place(grid, np.ones(grid.shape, bool))
    return places


def to_series(
    product: Product, sensors: Sequence[tuple[Insitu, Sequence[DailySensor]]], places: Mapping[str, Place]
) -> list[Series]:
    """Unscaled daily series of the sensors of archives of one role, each counted once."""
    series = []
    for archive, sensors_of_archive in sensors:
        days = scaling_days(product) if archive.role == "training" else product.period
        first, last = first_and_last(days)
        rules = Rules(
            layers=product.layers,
            min_days=product.targets.min_days,
            max_equal_share=product.targets.max_equal_share,
            fewest_values=archive.fewest_values,
            first=first,
            last=last,
        )
        series += [apply_rules(sensor, archive.name, rules, places) for sensor in sensors_of_archive]
    return sorted(count_once(series, product.targets.min_days), key=in_order)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
