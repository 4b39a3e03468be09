"""A tiny product with invented forcing files and an untrained ensemble, for tests of production."""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from somo.core.grid import Grid
from somo.learn.checkpoint import Checkpoint, upper_input, write_checkpoint, write_ensemble
from somo.learn.networks.ealstm import EALSTM
from somo.learn.normalising import Scaler, Scaling
from somo.learn.uncertainty import UNCERTAINTY, Uncertainty, fit_uncertainty, write_uncertainties
from somo.product.declaration import Product
from somo.storage.objects import join, put_file

STATIC = ("elevation", "mean_precipitation")


def product(sources: str, **changes) -> Product:
    """Two layers and two members over 8 x 12 cells in six tiles; sequences of 10 days of spin-up and 20 days."""
    return Product.model_validate(
        {
            "name": "Tiny",
            "period": {"start": "2020-01-15", "end": "2020-03-04"},
            "grid": {"kind": "regular", "west": 5, "east": 6.2, "south": 45, "north": 45.8, "step_deg": 0.1},
            "layers": [
                {"name": "layer1", "top_m": 0, "bottom_m": 0.1},
                {"name": "layer2", "top_m": 0.1, "bottom_m": 0.3},
            ],
            "forcing": {
                "air_temperature": {"url": f"{sources}/t2m_{{year}}.nc", "variable": "t2m", "units": "K"},
                "precipitation": {"url": f"{sources}/tp_{{year}}.nc", "variable": "tp", "units": "mm d-1"},
            },
            "static": {
                "elevation": {"url": f"{sources}/elevation.nc", "variable": "z"},
                "mean_precipitation": {"computed": "mean", "of": "precipitation"},
            },
            "insitu": [{"name": "net", "url": "net"}],
            "targets": {"scaling": "none"},
            # Half of the days are below 7 degrees C, so that an eighth of them counts as frozen.
            "frozen": {"variable": "air_temperature", "below_c": 7.0},
            "network": {"hidden": 8, "dropout": 0.0},
            "sequence": {"lookback": 11, "predict_last_n": 20},
            "training": {"period": {"start": "2020-01-12", "end": "2020-01-31"}, "members": 2},
            "chunks": {"days": 20, "time": 5, "lat": 4, "lon": 4, "tile_lat": 4, "tile_lon": 4},
            "cluster": {"workers": 2, "memory_gb": 2},
            **changes,
        }
    )


def grid(declared: Product) -> Grid:
    return Grid.regular(**declared.grid.model_dump(exclude={"kind"}))


def write_sources(declared: Product, sources: str, folder: Path, last: str = "2020-03-31", seed: int = 0) -> None:
    """Daily forcing of 2020 up to a day, and elevation; the tile in the south-east and one cell are sea.

    The values of a day do not depend on how many days follow.
    """
    cells = grid(declared)
    times = pd.date_range("2020-01-01", last)
    draw = np.random.default_rng(seed).normal(size=(2, 366, *cells.shape))[:, : len(times)]
    sea = np.zeros(cells.shape, bool)
    sea[4:, 8:] = sea[0, 0] = True
    fields = {"t2m": 280 + 5 * draw[0], "tp": np.maximum(0, 4 * draw[1])}
    coordinates = {"lat": cells.lat, "lon": cells.lon}
    for name, values in fields.items():
        values[:, sea] = np.nan
        array = xr.DataArray(values.astype("float32"), {"time": times, **coordinates}, ("time", "lat", "lon"), name)
        encoding = {name: {"chunksizes": (1, *cells.shape), "zlib": True, "_FillValue": np.float32(-9999)}}
        _put(array.to_dataset(), encoding, folder / f"{name}_2020.nc", sources)
    z = xr.DataArray(np.linspace(0, 900, cells.size).reshape(cells.shape), coordinates, ("lat", "lon"), "z")
    _put(z.to_dataset(), {}, folder / "elevation.nc", sources)


def _put(ds: xr.Dataset, encoding: dict, local: Path, sources: str) -> None:
    ds.to_netcdf(local, engine="h5netcdf", encoding=encoding)
    if str(local.parent) != sources:
        put_file(local, join(sources, local.name))


def write_ensemble_of(declared: Product, url: str, seed: int = 0, members: int | None = None) -> str:
    """Members with random weights; returns the URL of the ensemble."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _write_members(declared, url, members)


def _write_members(declared: Product, url: str, members: int | None) -> str:
    count = members or declared.training.members
    dynamic = declared.inputs
    for layer in declared.layers:
        for k in range(count):
            write_checkpoint(join(url, layer.name, f"member{k}"), _member(declared, layer.name, k, dynamic))
        dynamic = (*dynamic, upper_input(layer.name))
    write_ensemble(url, tuple(layer.name for layer in declared.layers), count, {})
    return url


def _member(declared: Product, layer: str, k: int, dynamic: tuple[str, ...]) -> Checkpoint:
    network = EALSTM(len(dynamic), len(declared.static), declared.network.hidden, forget_bias=1.0)
    weights = {name: w + 0.3 * torch.randn(w.shape) / w.shape[-1] ** 0.5 for name, w in network.state_dict().items()}
    means = {"air_temperature": 280.0, "precipitation": 0.7, "net_radiation": 60.0, "skin_temperature": 280.0}
    stds = {"air_temperature": 5.0, "precipitation": 0.7, "net_radiation": 60.0, "skin_temperature": 6.0}
    scaling = Scaling(
        Scaler(
            dynamic,
            tuple("log1p" if n == "precipitation" else "" for n in dynamic),
            tuple(means.get(n, 0.25) for n in dynamic),
            tuple(stds.get(n, 0.1) for n in dynamic),
        ),
        Scaler(
            tuple(declared.static),
            ("",) * len(declared.static),
            (400.0,) * len(declared.static),
            (300.0,) * len(declared.static),
        ),
        Scaler((layer,), ("",), (0.25,), (0.08,)),
    )
    return Checkpoint(layer, k, weights, scaling, declared.sequence, declared.network)


def write_calibration_of(declared: Product, url: str, seed: int = 0) -> tuple[Uncertainty, ...]:
    """An uncertainty of every layer and a map of dissimilarity, beside an ensemble."""
    cells, layers = grid(declared), [layer.name for layer in declared.layers]
    g = np.random.default_rng(seed)
    y_hat, known = g.uniform(0.1, 0.4, 500), g.uniform(0, 1, 500)
    y = y_hat + 0.03 * g.normal(size=500) * (1 + known)
    fitted = tuple(fit_uncertainty(name, y, y_hat, known, np.arange(500)) for name in layers)
    write_uncertainties(join(url, UNCERTAINTY), fitted)
    index = g.uniform(0, 2, (len(layers), *cells.shape)).astype("float32")
    dims = ("layer", "lat", "lon")
    area = {"dissimilarity": (dims, index), "inside": (dims, (index < 1).astype("int8"))}
    coordinates = {"layer": layers, "lat": cells.lat, "lon": cells.lon}
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder) / "applicability.nc"
        xr.Dataset(area, coordinates).to_netcdf(local, engine="h5netcdf")
        put_file(local, join(url, local.name))
    return fitted
