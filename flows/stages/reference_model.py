"""The reference model that sensors are scaled to: its layers read like forcing, where there are sensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.watching import completed
from flows.results import naming_reference, reference_days
from flows.stages.ingest import reference
from somo.core.grid import Grid
from somo.core.variables import SOIL_MOISTURE
from somo.forcing.dataset import open_forcing
from somo.insitu.rules import Key, Place
from somo.insitu.scaling import mean_over, overlap_weights
from somo.product.declaration import Product, ProductError
from somo.product.inputs import Forcing, Source
from somo.product.method import Sequence as Days
from somo.product.static import Static

# Values of the reference model that one task reads.
BLOCK_VALUES = 20_000_000


@dataclass(frozen=True)
class ReferenceModel:
    """A reference model whose files were checked: they cover the product's cells and the days of scaling.

    Attributes
    ----------
    weights : share of each reference layer in a layer of the product, by the layer's name
    layers : of each reference layer, the product with it as its only forcing, and its reference sets by domain
    """

    weights: dict[str, NDArray[np.float64]]
    layers: list[tuple[Product, dict[str, dict[str, str]]]]


def open_reference(product: Product, root: str, client: Client) -> ReferenceModel:
    """Reference the files of the reference model and check them, without reading a value.

    Raises
    ------
    ForcingError
        if they do not cover the cells and days that scaling needs; it names the reference layer
    """
    depths = [(r.top_m, r.bottom_m) for r in product.targets.reference]
    weights = {layer.name: overlap_weights(layer, depths) for layer in product.layers}
    layers = []
    for layer in product.targets.reference:
        declared = _as_forcing(product, layer.source)
        with naming_reference(layer):
            references = reference(declared, root, client)
            for domain in product.grids():
                open_forcing(declared, domain, references[domain])
        layers.append((declared, references))
    return ReferenceModel(weights, layers)


def read_reference(
    model: ReferenceModel, keys: Sequence[Key], places: Mapping[str, Place], client: Client
) -> dict[Key, pd.Series]:
    """The reference model's daily soil moisture (m3 m-3) where there are sensors, brought to the product's layers."""
    cells = {domain: sorted({c for d, c, _ in keys if d == domain}) for domain in places}
    # [reference layer][domain]: day by cell
    tables: list[dict[str, pd.DataFrame]] = []
    for declared, references in model.layers:
        tables.append({})
        for domain in (d for d, inside in cells.items() if inside):
            grid = places[domain].grid
            # Brought onto the product's cells where the declaration says how; else read at its own nodes.
            onto = grid if declared.sources[SOIL_MOISTURE.name].regrid else None
            at = grid.centres(cells[domain])
            days, values = _read_at(declared, domain, references[domain], at, onto, client)
            tables[-1][domain] = pd.DataFrame(values, index=days, columns=cells[domain])
    return {key: _brought_to(model.weights[key[2]], [t[key[0]][key[1]] for t in tables]) for key in keys}


def _brought_to(weights: NDArray[np.float64], layers: Sequence[pd.Series]) -> pd.Series:
    """Weighted mean of the reference layers of a cell, over the days that all of them have."""
    common = pd.concat(layers, axis=1, join="inner")
    columns = [common.iloc[:, i].to_numpy() for i in range(common.shape[1])]
    return pd.Series(mean_over(columns, weights), index=common.index)


def _as_forcing(product: Product, source: Source) -> Product:
    """The product with one layer of the reference model as its only forcing and without spin-up."""
    return product.model_copy(
        update={
            "forcing": {SOIL_MOISTURE.name: Forcing(source=source)},
            "domains": {n: domain.model_copy(update={"forcing": {}}) for n, domain in product.domains.items()},
            # A declaration has features; those of the product may be computed of forcing that is not here.
            "static": {SOIL_MOISTURE.name: Static(computed="mean", of=SOIL_MOISTURE.name)},
            "period": reference_days(product),
            "training": product.training.model_copy(update={"period": None}),
            "sequence": Days(lookback=1, predict_last_n=1),
            # Frozen ground is told from a temperature, which is not among the forcing here.
            "frozen": None,
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
    values_from = dict(completed(futures, f"{source.variable} of {domain} for scaling"))
    return pd.DatetimeIndex(ds["time"].to_numpy()), np.concatenate([values_from[first] for first, _ in blocks])


def _read_block(
    days: tuple[int, int],
    product: Product,
    domain: str,
    references: dict[str, str],
    cell: NDArray[np.int64],
    onto: Grid | None,
) -> tuple[int, NDArray[np.float32]]:
    """The first of some days, and [day, cell] of all of them."""
    block = open_forcing(product, domain, references, cells=onto)[SOIL_MOISTURE.name].isel(time=slice(*days))
    return days[0], block.compute(scheduler="synchronous").to_numpy().reshape(days[1] - days[0], -1)[:, cell]
