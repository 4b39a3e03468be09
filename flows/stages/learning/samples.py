"""The samples of a product: forcing, static features and targets of its training cells in one object."""

import datetime as dt
import io
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from flows.cluster.watching import completed
from flows.results import learnt_days, samples_url
from somo.forcing.dataset import Inputs, open_forcing, open_grid
from somo.forcing.statics.static_file import open_static
from somo.learn.samples import TrainingSet, require_complete, write_training_set
from somo.product.declaration import Product
from somo.storage.objects import exists, read_bytes

BLOCK_DAYS = 366


def prepare(product: Product, root: str, inputs: Mapping[str, Inputs], targets: str, client: Client) -> str:
    """Collect forcing, static features and targets of the training cells in one object; returns its URL."""
    url = samples_url(product, root, inputs, targets)
    if not exists(url):
        data = _collect(product, inputs, pd.read_parquet(io.BytesIO(read_bytes(targets))), client)
        require_complete(data)
        write_training_set(url, data)
    return url


def _collect(product: Product, inputs: Mapping[str, Inputs], targets: pd.DataFrame, client: Client) -> TrainingSet:
    first, last = learnt_days(product)
    layers = [layer.name for layer in product.layers]
    targets = targets[targets["time"].between(pd.Timestamp(first), pd.Timestamp(last))]
    cells = targets[["domain", "cell"]].drop_duplicates().sort_values(["domain", "cell"], ignore_index=True)
    forcing, static, lat, lon = [], [], [], []
    names: tuple[str, ...] = ()
    for domain, chosen in cells.groupby("domain")["cell"]:
        grid = open_grid(product, str(domain), inputs[str(domain)].references)
        ids = chosen.to_numpy()
        forcing.append(_read_cells(product, str(domain), inputs[str(domain)], ids, client))
        features = open_static(inputs[str(domain)].static)
        names = tuple(features.attrs["features"].split(","))
        static.append(np.stack([features[name].values.ravel()[ids] for name in names], axis=-1))
        lat.append(grid.centres(ids)[0])
        lon.append(grid.centres(ids)[1])
    # The forcing of one domain may end before that of another.
    days = min(len(values) for values in forcing) if forcing else 0
    empty = np.zeros(0)
    return TrainingSet(
        first_day=np.datetime64(first),
        dynamic=product.inputs,
        static=names,
        layers=tuple(layers),
        domain=tuple(cells["domain"]),
        cell=cells["cell"].to_numpy(np.int64, copy=True),
        lat=np.concatenate([*lat, empty]),
        lon=np.concatenate([*lon, empty]),
        x_d=torch.from_numpy(np.concatenate([values[:days] for values in forcing], axis=1))
        if forcing
        else torch.zeros(0, 0, 0),
        x_s=torch.from_numpy(np.concatenate(static).astype(np.float32)) if static else torch.zeros(0, 0),
        y=torch.from_numpy(target_array(targets, cells, layers, np.datetime64(first), days)),
    )


def target_array(
    targets: pd.DataFrame, cells: pd.DataFrame, layers: list[str], first: np.datetime64, days: int
) -> NDArray[np.float32]:
    """[layer, day, cell] of the long table of targets."""
    y = np.full((len(layers), days, len(cells)), np.nan, np.float32)
    row = pd.MultiIndex.from_frame(cells).get_indexer(pd.MultiIndex.from_frame(targets[["domain", "cell"]]))
    layer = pd.Index(layers).get_indexer(pd.Index(targets["layer"]))
    day = (targets["time"].to_numpy().astype("datetime64[D]") - first).astype(int)
    inside = (layer >= 0) & (day >= 0) & (day < days)
    y[layer[inside], day[inside], row[inside]] = targets["value"].to_numpy(np.float32)[inside]
    return y


def _read_cells(
    product: Product, domain: str, inputs: Inputs, cells: NDArray[np.int64], client: Client
) -> NDArray[np.float32]:
    """[day, cell, variable] of a domain's training cells; one task a block of days."""
    first, last = learnt_days(product)
    starts = [first + dt.timedelta(n) for n in range(0, (last - first).days + 1, BLOCK_DAYS)]
    futures = [
        client.submit(
            read_block,
            product,
            domain,
            inputs,
            cells,
            start,
            min(start + dt.timedelta(BLOCK_DAYS - 1), last),
            pure=False,
        )
        for start in starts
    ]
    values_from = dict(completed(futures, f"forcing of training cells in {domain}"))
    return np.concatenate([values_from[start] for start in starts])


def read_block(
    product: Product, domain: str, inputs: Inputs, cells: NDArray[np.int64], first: dt.date, last: dt.date
) -> tuple[dt.date, NDArray[np.float32]]:
    """The first of some days, and [day, cell, variable] of some cells over all of them."""
    ds = open_forcing(product, domain, inputs.references).sel(time=slice(np.datetime64(first), np.datetime64(last)))
    row, column = (xr.DataArray(i, dims="cell") for i in np.divmod(cells, ds.sizes["lon"]))
    # A task has one core of its worker; threads of xarray's would compete with the tasks beside it.
    chosen = ds[list(product.inputs)].isel(lat=row, lon=column).compute(scheduler="synchronous")
    return first, np.stack([chosen[name].transpose("time", "cell").values for name in product.inputs], axis=-1)
