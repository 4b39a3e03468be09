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

MEAN, UNCERTAINTY = "soil_moisture", "soil_moisture_uncertainty"
# What is drawn from top to bottom: its short word, its name on the colour bar, its colours.
ROWS = {
    MEAN: ("mean", "soil moisture", SOIL_MAP),
    UNCERTAINTY: ("uncertainty", "standard uncertainty", SPREAD_MAP),
    "soil_moisture_std": ("spread", "spread of the members", SPREAD_MAP),
}


def overview(judged: Judged) -> Section:
    """Section `overview` of a version."""
    return overview_section(judged.settled)


def overview_section(published: Published) -> Section:
    """Mean soil moisture, mean uncertainty where it is known, and mean spread of every layer over the days."""
    rows = {name: row for name, row in ROWS.items() if name in published.soil}
    soil = published.soil[list(rows)].mean("time").compute()
    grid, layers = published.grid, published.layers
    width, height = map_size(grid)
    with canvas(len(rows), len(layers), width * len(layers), len(rows) * (height + 0.9)) as (figure, axes):
        for row, (name, (word, quantity, colours)) in enumerate(rows.items()):
            for column, depth in enumerate(map(depth_of, layers)):
                field, ax = soil[name][column], axes[row, column]
                # One scale for all layers would leave a deep layer, which hardly varies, a single colour.
                ends = _limits(field) if name == MEAN else (0.0, float(np.nanquantile(field, 0.98)) or 0.01)
                drawn = draw_map(ax, field.values, grid, colours, ends, f"{depth}: {word}")
                colour_bar(figure, drawn, ax, f"{quantity} ({UNITS})", extend="both" if name == MEAN else "max")
    cells = int(np.isfinite(soil[MEAN][0]).sum())
    uncertainty = (
        "of its standard uncertainty (middle: the truth lies within 1.645 of it in nine cases of ten) "
        if UNCERTAINTY in rows
        else ""
    )
    caption = (
        f"Mean of the published soil moisture (top), {uncertainty}and of the spread of its members (bottom) over all "
        "days until the end of the last whole block of days. The spread says how much training depends on chance, not "
        "how far values are from the truth. Every layer has colours of its own. "
        f"n = {cells} land cells, {published.soil.sizes['time']} days, {published.period}. Coast: Natural Earth."
    )
    return Section("overview", caption, svg(figure), _tidy(soil, layers))


def _limits(field: xr.DataArray) -> tuple[float, float]:
    # A few extreme cells would leave hardly any colours for all the others.
    low, high = np.nanquantile(field, (0.02, 0.98)) if np.isfinite(field).any() else (0.0, 1.0)
    return float(low), float(max(high, low + 1e-3))


def _tidy(fields: xr.Dataset, layers: tuple[str, ...]) -> pd.DataFrame:
    named = fields.drop_vars("depth", errors="ignore").assign_coords(depth=list(layers)).rename(depth="layer")
    return named.to_dataframe().dropna(how="all", subset=list(fields.data_vars)).reset_index()
