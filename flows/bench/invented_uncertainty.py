"""An invented calibration and map of dissimilarity, with which untrained networks produce an uncertainty too."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xarray as xr

from flows.stages.learning.applicability import APPLICABILITY
from somo.forcing.dataset import Inputs
from somo.forcing.statics.static_file import open_static
from somo.learn.uncertainty import UNCERTAINTY, fit_uncertainty, write_uncertainties
from somo.product.declaration import Product
from somo.storage.objects import join, put_file

CALIBRATED_ERRORS = 3_000


def write_invented_uncertainty(product: Product, models: str, inputs: Mapping[str, Inputs]) -> None:
    """A calibration of every layer and a map of dissimilarity beside an ensemble, as training would leave them."""
    random = np.random.default_rng(0)
    y_hat, index = random.uniform(0.05, 0.45, CALIBRATED_ERRORS), random.uniform(0, 1, CALIBRATED_ERRORS)
    y = y_hat + 0.03 * random.normal(size=CALIBRATED_ERRORS) * (0.5 + index)
    names = [layer.name for layer in product.layers]
    cell = np.arange(CALIBRATED_ERRORS) // 30
    write_uncertainties(join(models, UNCERTAINTY), [fit_uncertainty(name, y, y_hat, index, cell) for name in names])
    static = open_static(inputs[product.home].static)
    of_cells = random.uniform(0, 1, (len(names), *static["land"].shape)).astype("float32")
    dims, coordinates = ("layer", "lat", "lon"), {"layer": names, "lat": static["lat"], "lon": static["lon"]}
    area = {"dissimilarity": (dims, of_cells), "inside": (dims, (of_cells < 0.9).astype("int8"))}
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder:
        path = Path(folder, APPLICABILITY)
        xr.Dataset(area, coordinates).to_netcdf(path, engine="h5netcdf")
        put_file(path, join(models, APPLICABILITY))
