"""Pure arithmetic of features: dryness, classes, gaps, statistics within cells."""

import numpy as np
from numpy.typing import NDArray

from somo.forcing.sources import ForcingError
from somo.product.static import Static

LATENT_HEAT_J_KG = 2.45e6
DAY_SECONDS = 86_400


def aridity(net_radiation_w_m2: NDArray[np.floating], precipitation_mm_d: NDArray[np.floating]) -> NDArray[np.float64]:
    """Long-term net radiation over precipitation, both as water (Budyko's dryness index).

    Radiation is expressed as the water that it could evaporate: 1 W m-2 = 86400 / 2.45e6 mm d-1. Cells without rain are
    given 0.01 mm d-1.
    """
    water = np.asarray(net_radiation_w_m2, float) * DAY_SECONDS / LATENT_HEAT_J_KG
    dryness: NDArray[np.float64] = water / np.maximum(np.asarray(precipitation_mm_d, float), 0.01)
    return dryness


def static_features(
    name: str, declared: Static, values: NDArray[np.floating], land: NDArray[np.bool_]
) -> dict[str, NDArray[np.float32]]:
    """Features of one declared static: classes turned into 0/1 columns, gaps filled with the mean over land cells.

    Parameters
    ----------
    values : [lat, lon], NaN where missing
    land : [lat, lon] cells that have forcing

    Raises
    ------
    ForcingError
        naming a class that occurs on land but is not declared
    """
    values = np.asarray(values, "float32")
    columns = {name: values}
    if declared.categories:
        has_value = np.isfinite(values)
        if len(odd := np.setdiff1d(values[land & has_value], declared.categories)):
            raise ForcingError(f"static.{name}: class {odd[0]:g} occurs in {declared.url}; add it to categories")
        columns = {f"{name}_{c}": np.where(has_value, values == c, np.nan) for c in declared.categories}
    if declared.gaps == "mean":
        columns = {column: fill_gaps(v, land) for column, v in columns.items()}
    return {column: v.astype("float32") for column, v in columns.items()}


def fill_gaps(values: NDArray[np.floating], land: NDArray[np.bool_]) -> NDArray[np.floating]:
    """[lat, lon] values in which land cells without one have the mean of the other land cells."""
    has_value = np.isfinite(values)
    if not (land & has_value).any():
        return values
    return np.where(land & ~has_value, values[land & has_value].mean(dtype="float64"), values)
