"""Maps of what was published."""

import numpy as np
import pandas as pd
import xarray as xr

from somo.validate.depths import depth_of
from somo.validate.published import Published
from somo.validate.sections.figures import (
    SOIL_MAP,
    SPREAD_MAP,
    UNITS,
    canvas,
    colour_bar,
    draw_map,
    map_size,
    svg,
)
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Section


def overview(judged: Judged) -> Section:
    """Section `overview` of a version."""
    return overview_section(judged.settled)


def overview_section(published: Published) -> Section:
    """Mean soil moisture and mean ensemble spread of every layer over the days of the field."""
    soil = published.soil[["soil_moisture", "soil_moisture_std"]].mean("time").compute()
    grid = published.grid
    width, height = map_size(grid)
    with canvas(2, len(published.layers), width * len(published.layers), 2 * height + 1.8) as (figure, axes):
        for k, depth in enumerate(map(depth_of, published.layers)):
            moisture, deviation = (soil[name][k] for name in ("soil_moisture", "soil_moisture_std"))
            spread = (0.0, float(np.nanquantile(deviation, 0.98)) or 0.01)
            # One scale for all layers would leave a deep layer, which hardly varies, a single colour.
            mean = draw_map(axes[0, k], moisture.values, grid, SOIL_MAP, _limits(moisture), f"{depth}: mean")
            std = draw_map(axes[1, k], deviation.values, grid, SPREAD_MAP, spread, f"{depth}: spread")
            colour_bar(figure, mean, axes[0, k], f"soil moisture ({UNITS})")
            colour_bar(figure, std, axes[1, k], f"spread of the members ({UNITS})", extend="max")
    cells = int(np.isfinite(soil["soil_moisture"][0]).sum())
    caption = (
        "Mean of the published soil moisture (top) and of the spread of its members (bottom) over all days until the "
        "end of the last whole block of days. The spread says how much training depends on chance, not how far values "
        "are from the truth. Every layer has colours of its own. "
        f"n = {cells} land cells, {published.soil.sizes['time']} days, {published.period}. Coast: Natural Earth."
    )
    table = _tidy(soil, published.layers)
    return Section("overview", caption, svg(figure), table)


def _limits(field: xr.DataArray) -> tuple[float, float]:
    # A few extreme cells would leave hardly any colours for all the others.
    low, high = np.nanquantile(field, (0.02, 0.98)) if np.isfinite(field).any() else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-3))


def _tidy(fields: xr.Dataset, layers: tuple[str, ...]) -> pd.DataFrame:
    named = fields.drop_vars("depth", errors="ignore").assign_coords(depth=list(layers)).rename(depth="layer")
    return named.to_dataframe().dropna(how="all", subset=list(fields.data_vars)).reset_index()
