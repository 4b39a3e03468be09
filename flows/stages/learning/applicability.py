"""Where the networks apply: a map of dissimilarity to the training cells, written beside the ensemble."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.dataset import Inputs
from somo.forcing.statics.static_file import climate_period, climatology, open_static
from somo.learn.applicability import Applicability, fit_applicability
from somo.learn.importance import cell_features, spread_importance
from somo.learn.samples import TrainingSet
from somo.learn.uncertainty import UNCERTAINTY
from somo.product.declaration import Product
from somo.storage.objects import exists, join, local_copy, put_file, scratch_folder

APPLICABILITY = "applicability.nc"


def write_applicability(
    product: Product,
    url: str,
    data: TrainingSet,
    folds: NDArray[np.int64],
    importance: NDArray[np.float64],
    inputs: Mapping[str, Inputs],
) -> None:
    """Write `<url>/applicability.nc` unless it exists.

    It holds `dissimilarity` and `inside` [layer, lat, lon] of the predicted domain, `threshold` [layer] and
    `importance` [layer, feature].

    Parameters
    ----------
    importance : [layer, input feature] increase of the squared error, forcing variables before static features
    """
    if exists(join(url, APPLICABILITY)):
        return
    weights = spread_importance(importance, len(data.dynamic))
    days = climate_days(product, data)
    areas = [area_of(data, days, layer, folds, weights[i]) for i, layer in enumerate(data.layers)]
    features, static = map_features(product, inputs[product.home])
    shape = static["land"].shape
    index = np.stack([area.dissimilarity(features).reshape(shape) for area in areas])
    threshold = np.array([area.threshold for area in areas])
    inside = (index <= threshold[:, None, None]).astype("int8")
    ds = xr.Dataset(
        {
            "dissimilarity": (("layer", "lat", "lon"), index.astype("float32")),
            "inside": (("layer", "lat", "lon"), inside),
            "threshold": ("layer", threshold),
            "importance": (("layer", "feature"), weights),
        },
        {"layer": list(data.layers), "feature": list(areas[0].names), "lat": static["lat"], "lon": static["lon"]},
        {"references": "Meyer & Pebesma (2021), Methods in Ecology and Evolution 12, 1620"},
    )
    # HDF5 goes back in a file while writing it, which an object of a store does not allow.
    with scratch_folder() as folder:
        path = folder / APPLICABILITY
        ds.to_netcdf(path, engine="h5netcdf")
        put_file(path, join(url, APPLICABILITY))


def climate_days(product: Product, data: TrainingSet) -> slice:
    """The days of the climatology among those of the training set, which begin with spin-up."""
    first, last = (int((np.datetime64(day) - data.first_day).astype(int)) for day in climate_period(product))
    return slice(first, last + 1)


def area_of(
    data: TrainingSet, days: slice, layer: str, folds: NDArray[np.int64], importance: NDArray[np.float64]
) -> Applicability:
    """Area of applicability of one layer's networks; `days` are those of the climatology."""
    chosen = data.cells_with(layer)
    names, features = cell_features(data, days)
    return fit_applicability(names, features[chosen], importance, folds[chosen])


def map_features(product: Product, inputs: Inputs) -> tuple[NDArray[np.float64], xr.Dataset]:
    """[cell, feature] of every cell of the predicted domain as `cell_features` orders them, and its static file."""
    static = open_static(inputs.static)
    means, deviations = climatology(static, "mean"), climatology(static, "std")
    names = static.attrs["features"].split(",")
    columns = [*(means[v] for v in product.inputs), *(deviations[v] for v in product.inputs)]
    columns += [static[name].values for name in names]
    return np.stack([np.asarray(c, float).ravel() for c in columns], axis=-1), static


def inside_area(product: Product, models: str) -> NDArray[np.int8] | None:
    """[layer, row, column] 1 where the models apply; None of models without such a map."""
    inside = _read_area(product, models, "inside")
    return None if inside is None else inside.astype(np.int8)


def calibrated_dissimilarity(product: Product, models: str) -> NDArray[np.float32] | None:
    """[layer, row, column] dissimilarity of every cell; None of models that do not know their uncertainty."""
    if not exists(join(models, UNCERTAINTY)):
        return None
    index = _read_area(product, models, "dissimilarity")
    return None if index is None else index.astype(np.float32)


def _read_area(product: Product, models: str, name: str) -> NDArray[np.generic] | None:
    url = join(models, APPLICABILITY)
    if not exists(url):
        return None
    with local_copy(url) as path, xr.open_dataset(path, engine="h5netcdf") as area:
        return np.asarray(area[name].sel(layer=[layer.name for layer in product.layers]).values)
