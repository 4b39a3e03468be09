"""The reference model that sensors are scaled to: its layers read like forcing, where there are sensors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.watching import completed
from flows.results import scaling_days
from flows.stages.ingest import reference
from somo.core.grid import Grid
from somo.core.variables import SOIL_MOISTURE
from somo.forcing.dataset import open_forcing
from somo.insitu.targets import Key, Place, mean_over, overlap_weights
from somo.product.declaration import Product, ProductError
from somo.product.inputs import Forcing, Source
from somo.product.method import Sequence as Days

BLOCK_VALUES = 20_000_000
"""Values of the reference model that one task reads."""


def read_reference(
    product: Product, root: str, keys: Sequence[Key], places: Mapping[str, Place], client: Client
) -> dict[Key, pd.Series]:
    """The reference model's daily soil moisture (m3 m-3) where there are sensors, brought to the product's layers."""
    depths = [(r.top_m, r.bottom_m) for r in product.targets.reference]
    weights = {layer.name: overlap_weights(layer, depths) for layer in product.layers}
    cells = {domain: sorted({c for d, c, _ in keys if d == domain}) for domain in places}
    series: dict[tuple[str, int], list[NDArray[np.float32]]] = {}
    days: dict[str, pd.DatetimeIndex] = {}
    for layer in product.targets.reference:
        declared = _as_forcing(product, layer.source)
        references = reference(declared, root, client)
        for domain in (d for d, inside in cells.items() if inside):
            grid = places[domain].grid
            # brought onto the product's cells where it says how; else read where it lies
            onto = grid if layer.source.regrid else None
            at = grid.centres(cells[domain])
            days[domain], values = _read_at(declared, domain, references[domain], at, onto, client)
            for i, cell in enumerate(cells[domain]):
                series.setdefault((domain, cell), []).append(values[:, i])
    return {
        (domain, cell, layer): pd.Series(mean_over(series[domain, cell], weights[layer]), index=days[domain])
        for domain, cell, layer in keys
    }


def _as_forcing(product: Product, source: Source) -> Product:
    """The product with one layer of the reference model as its only forcing and without spin-up."""
    return product.model_copy(
        update={
            "forcing": {SOIL_MOISTURE.name: Forcing(source=source)},
            "period": scaling_days(product),
            "training": product.training.model_copy(update={"period": None}),
            "sequence": Days(lookback=1, predict_last_n=1),
        }
    )


def _read_at(
    product: Product,
    domain: str,
    references: dict[str, str],
    at: tuple[NDArray[np.float64], NDArray[np.float64]],
    onto: Grid | None,
    client: Client,
) -> tuple[pd.DatetimeIndex, NDArray[np.float32]]:
    """[day, point] soil moisture at latitudes and longitudes; one task a block of days.

    Parameters
    ----------
    onto : cells that the reference model is brought onto; None to read it on its own
    """
    ds = open_forcing(product, domain, references, cells=onto)
    cell = Grid(ds["lat"].to_numpy(), ds["lon"].to_numpy(), product.grids()[domain].step_deg).nearest(*at)
    source = product.sources[SOIL_MOISTURE.name]
    if (cell < 0).any():
        i = int(np.argmax(cell < 0))
        raise ProductError(
            f"{source.url}: has no cell at {at[0][i]:g} N, {at[1][i]:g} E of domain {domain!r}, where there is a "
            "sensor; give reference files on the product's grid, or write targets.reference.regrid"
        )
    size = max(1, BLOCK_VALUES // (ds.sizes["lat"] * ds.sizes["lon"]))
    blocks = [(first, min(first + size, ds.sizes["time"])) for first in range(0, ds.sizes["time"], size)]
    futures = client.map(
        _read_block, blocks, product=product, domain=domain, references=references, cell=cell, onto=onto, pure=False
    )
    for _ in completed(futures, f"{source.variable} of {domain} for scaling"):
        pass
    return pd.DatetimeIndex(ds["time"].to_numpy()), np.concatenate(client.gather(futures))


def _read_block(
    days: tuple[int, int],
    product: Product,
    domain: str,
    references: dict[str, str],
    cell: NDArray[np.int64],
    onto: Grid | None,
) -> NDArray[np.float32]:
    block = open_forcing(product, domain, references, cells=onto)[SOIL_MOISTURE.name].isel(time=slice(*days))
    return block.compute(scheduler="synchronous").to_numpy().reshape(days[1] - days[0], -1)[:, cell]
