"""The in-situ stage: archives -> daily targets per cell and layer, and the table of sensors kept and dropped."""

import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import pandas as pd
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows.ingest import reference
from flows.runtime import completed, console
from somo.core.grid import Grid
from somo.core.product import Forcing, Insitu, Product, ProductError, Source, content_hash
from somo.core.product import Sequence as Days
from somo.core.storage import exists, fingerprint, join, put, read_bytes
from somo.core.variables import SOIL_MOISTURE
from somo.forcing.dataset import Inputs, open_forcing
from somo.insitu.ismn import list_stations, read_stations
from somo.insitu.targets import (
    Key,
    Place,
    Rules,
    Series,
    apply_rules,
    drop_totals,
    mean_over,
    overlap_weights,
    require_kept,
    scale,
    sensor_table,
    target_table,
)

TASKS_PER_WORKER = 8


def build_targets(
    product: Product, root: str, inputs: Mapping[str, Inputs], client: Client, role: str = "training"
) -> str:
    """Write `targets/<hash>.parquet` and `targets/<hash>.sensors.parquet` unless they exist; returns the first's URL.

    `role` selects the archives: those to learn from, or the independent ones that validation compares with.
    """
    archives = [a for a in product.insitu if a.role == role]
    url = targets_url(product, root, inputs, role)
    if exists(url):
        return url
    places = read_places(product, inputs)
    series = [s for archive in archives for s in read_series(product, archive, places, client)]
    scaling = product.targets.scaling if role == "training" else "none"
    keys = sorted({s.key for s in series if not s.reason})
    found = read_reference(product, root, keys, places, client) if scaling == "reference" else {}
    scaled = scale(series, scaling, found, product.targets.min_days)
    sensors = sensor_table(scaled)
    require_kept(sensors, {a.name: a.url for a in archives})
    put(sensors_url(url), _parquet(sensors))
    put(url, _parquet(target_table(scaled)))
    console.print(f"targets: {', '.join(f'{count} {name}' for name, count in drop_totals(sensors).items())}")
    return url


def targets_url(product: Product, root: str, inputs: Mapping[str, Inputs], role: str = "training") -> str:
    """Where the targets of these archives, rules and cells are kept."""
    archives = [(a.model_dump_json(), fingerprint(a.url)) for a in product.insitu if a.role == role]
    cells = {domain: i.static.rsplit("/", 1)[-1] for domain, i in inputs.items()}
    name = content_hash(archives, product.layers, product.targets, product.period, cells)
    return join(root, "targets", f"{name}.parquet")


def sensors_url(targets: str) -> str:
    """Where the table of sensors that belongs to a table of targets is kept."""
    return targets.removesuffix(".parquet") + ".sensors.parquet"


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
    rules = Rules(
        layers=product.layers,
        min_days=product.targets.min_days,
        min_subdaily=archive.min_subdaily,
        first=pd.Timestamp(product.period.start),
        last=pd.Timestamp(product.period.end) if product.period.end else pd.Timestamp.max,
    )
    stations = list_stations(archive.url)
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
    return [apply_rules(s, rules, places) for s in read_stations(archive.url, stations, archive.name)]


def read_reference(
    product: Product, root: str, keys: Sequence[Key], places: Mapping[str, Place], client: Client
) -> dict[Key, pd.Series]:
    """The reference model's daily soil moisture (m3 m-3) where there are sensors, brought to the product's layers."""
    depths = [(r.top_m, r.bottom_m) for r in product.targets.reference]
    weights = {layer.name: overlap_weights(layer, depths) for layer in product.layers}
    cells = {domain: sorted({c for d, c, _ in keys if d == domain}) for domain in places}
    series: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    days: dict[str, pd.DatetimeIndex] = {}
    for k, layer in enumerate(product.targets.reference):
        declared = _as_forcing(product, layer.source)
        references = reference(declared, root, client)
        for domain in (d for d, inside in cells.items() if inside):
            at = places[domain].grid.centres(cells[domain])
            days[domain], values = _read_at(declared, domain, references[domain], at, client, f"reference {k + 1}")
            for i, cell in enumerate(cells[domain]):
                series.setdefault((domain, cell), []).append(values[:, i])
    return {
        (domain, cell, layer): pd.Series(mean_over(series[domain, cell], weights[layer]), index=days[domain])
        for domain, cell, layer in keys
    }


def _as_forcing(product: Product, source: Source) -> Product:
    """The product with one layer of the reference model as its only forcing, over the days that scaling looks at."""
    return product.model_copy(
        update={
            "forcing": {SOIL_MOISTURE.name: Forcing(source=source)},
            "period": product.training.period or product.period,
            "training": product.training.model_copy(update={"period": None}),
            "sequence": Days(lookback=1, predict_last_n=1),
        }
    )


def _read_at(
    product: Product,
    domain: str,
    references: dict[str, str],
    at: tuple[NDArray[np.float64], NDArray[np.float64]],
    client: Client,
    description: str,
) -> tuple[pd.DatetimeIndex, NDArray[np.float32]]:
    """[day, point] soil moisture at latitudes and longitudes; one task a block of days."""
    ds = open_forcing(product, domain, references)
    cell = Grid(ds["lat"].to_numpy(), ds["lon"].to_numpy(), product.grids()[domain].step_deg).nearest(*at)
    if (cell < 0).any():
        i = int(np.argmax(cell < 0))
        raise ProductError(
            f"{product.sources[SOIL_MOISTURE.name].url}: has no cell at {at[0][i]:g} N, {at[1][i]:g} E of domain "
            f"{domain!r}, where there is a sensor; give reference files on the product's grid"
        )
    edges = np.cumsum([0, *ds.chunks["time"]])
    blocks = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    futures = client.map(
        _read_block, blocks, product=product, domain=domain, references=references, cell=cell, pure=False
    )
    for _ in completed(futures, f"{description} of {domain}"):
        pass
    return pd.DatetimeIndex(ds["time"].to_numpy()), np.concatenate(client.gather(futures))


def _read_block(
    days: tuple[int, int], product: Product, domain: str, references: dict[str, str], cell: NDArray[np.int64]
) -> NDArray[np.float32]:
    block = open_forcing(product, domain, references)[SOIL_MOISTURE.name].isel(time=slice(*days))
    return block.compute(scheduler="synchronous").to_numpy().reshape(days[1] - days[0], -1)[:, cell]


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
