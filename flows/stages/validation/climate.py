"""Weather and climate of cells, for figures: from the static features where they hold it, else from the forcing."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from somo.core.variables import FORCING
from somo.forcing.dataset import Inputs, open_forcing
from somo.forcing.features import aridity
from somo.forcing.statics.static_file import climatology, open_static
from somo.product.declaration import Product
from somo.validate.published import Published
from somo.validate.sections.groups import climate_class

FREEZING_K = 273.15


def climate_table(product: Product, inputs: Mapping[str, Inputs], published: Published) -> pd.DataFrame:
    """Climate of every land cell at home and every training cell elsewhere: domain, cell, x, y, climate.

    x is aridity (mean net radiation over precipitation, as water), or mean precipitation where no radiation is
    declared; y is mean air temperature in degC. `attrs` name both; `climate` is the class of `climate_class`.
    """
    tables = []
    for domain, domain_inputs in inputs.items():
        static = open_static(domain_inputs.static)
        cells = np.flatnonzero(static["land"].values.ravel() == 1)
        if domain != product.home:
            trained = published.targets["cell"][published.targets["domain"] == domain]
            cells = np.intersect1d(cells, trained)
        means = climatology(static, "mean")
        if "air_temperature" in means:
            means["air_temperature"] -= FREEZING_K
        x = _aridity(static, means).ravel()[cells]
        t = means["air_temperature"].ravel()[cells] if "air_temperature" in means else np.full(len(cells), np.nan)
        classes = climate_class(t, x if _has_aridity(static, means) else np.full(len(cells), np.nan))
        tables.append(pd.DataFrame({"domain": domain, "cell": cells, "x": x, "y": t, "climate": classes}))
    table = pd.concat(tables, ignore_index=True)
    table.attrs = {"x": _x_label(static, means), "y": "mean air temperature (°C)"}
    return table


def _has_aridity(static: xr.Dataset, means: Mapping[str, np.ndarray]) -> bool:
    return "aridity" in static or {"net_radiation", "precipitation"} <= means.keys()


def _aridity(static: xr.Dataset, means: Mapping[str, np.ndarray]) -> np.ndarray:
    if "aridity" in static:
        return static["aridity"].values.astype(np.float64)
    if _has_aridity(static, means):
        return aridity(means["net_radiation"], means["precipitation"])
    return means.get("precipitation", np.full(static["land"].shape, np.nan))


def _x_label(static: xr.Dataset, means: Mapping[str, np.ndarray]) -> str:
    return "aridity (net radiation / precipitation)" if _has_aridity(static, means) else "mean precipitation (mm d⁻¹)"


def weather_at(product: Product, inputs: Mapping[str, Inputs], published: Published, cells: list[int]) -> pd.DataFrame:
    """Daily forcing of some cells at home over the published days: cell, time, precipitation, skin_temperature."""
    ds = open_forcing(product, product.home, inputs[product.home].references, by_tile=True)
    wanted = [n for n in ("precipitation", "skin_temperature") if n in ds and n in FORCING]
    days = published.soil["time"].values
    ds = ds[wanted].sel(time=slice(days[0], days[-1]))
    at_cell = []
    for cell in cells:
        row, column = divmod(cell, ds.sizes["lon"])
        # Slices of one cell, which reach the stored tiles: picking cells by number would read whole maps.
        series = ds.isel(lat=slice(row, row + 1), lon=slice(column, column + 1)).compute(scheduler="synchronous")
        at_cell.append(series.squeeze(("lat", "lon"), drop=True).to_dataframe().reset_index().assign(cell=cell))
    return pd.concat(at_cell, ignore_index=True)
