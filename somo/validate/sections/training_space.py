"""Where the measurements are, on the map and among the climates of the land (Fig 2)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from somo.validate.depths import depth_of, layer_names
from somo.validate.published import Published
from somo.validate.sections.coast import counted_as
from somo.validate.sections.figures import COLOURS, canvas, frame_map, legend_below, map_extent, svg
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Section

# A map of a few stations inland shows at least so much around them, so that coasts tell where on Earth they are.
LEAST_WIDTH_DEG, LEAST_HEIGHT_DEG = 60.0, 30.0
DOMAIN_COLOURS = (COLOURS[5], COLOURS[0], COLOURS[2], COLOURS[3])


def training_space(judged: Judged) -> Section:
    """Section `fig2` of a version."""
    return training_section(judged.published, judged.climate)


def training_section(published: Published, climate: pd.DataFrame) -> Section:
    """Map, climate space and counts of the cells that were learnt from.

    Parameters
    ----------
    climate : domain, cell, x, y of every land cell at home and every training cell elsewhere; `x` and `y` are climate
        means whose names with units are `climate.attrs["x"]` and `["y"]`
    """
    sensors = published.sensors[published.sensors["kept"]]
    cells = sensors.groupby(["domain", "cell"], observed=True)[["latitude", "longitude"]].mean().reset_index()
    counts = training_counts(published.targets)
    domains = [str(d) for d in cells["domain"].unique()]
    colours = dict(zip(["home", *(d for d in domains if d != "home")], DOMAIN_COLOURS * len(domains), strict=False))
    with canvas(2, 2, 10.5, 8.6) as (figure, axes):
        _maps(axes[0, 0], published, cells[cells["domain"] == "home"], colours)
        away = cells[cells["domain"] != "home"]
        if len(away):
            _box_map(axes[0, 1], away, colours)
        else:
            _days_by_year(axes[0, 1], published.targets)
        _space(axes[1, 0], climate, cells, colours)
        _bars(axes[1, 1], counts, colours)
        legend_below(figure, axes[1, 0])
    days = pd.DatetimeIndex(published.targets["time"])
    total = counts.groupby("layer")[["cells", "days"]].sum().reset_index()
    caption = (
        "Cells that were learnt from: on the map (top), among the climates of all land cells of the predicted domain "
        f"(bottom left) and their number by layer and domain (bottom right). n = {len(cells)} cells, "
        f"{len(sensors)} sensors kept of {len(published.sensors)}, {int(counts['days'].sum())} cell-days, "
        f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}. "
        "Coast: Natural Earth."
    )
    counts_by_layer = {
        str(r["layer"]): {"cells": int(r["cells"]), "days": int(r["days"])} for r in total.to_dict("records")
    }
    table = climate.merge(cells, on=["domain", "cell"], how="left").assign(training=lambda t: t["latitude"].notna())
    shown = counts.rename(columns={"days": "cell-days"})
    return Section("fig2", caption, svg(figure), table, shown, counts_by_layer)


def training_counts(targets: pd.DataFrame) -> pd.DataFrame:
    """Cells and days with a target: domain, layer, cells, days."""
    groups = targets.groupby(["domain", "layer"], observed=True)
    return groups.agg(cells=("cell", "nunique"), days=("time", "size")).reset_index()


def _maps(ax: Axes, published: Published, cells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    extent = west, east, _, _ = map_extent(published.grid)
    longitude = counted_as(cells["longitude"].to_numpy(np.float64), west, east)
    _cells(ax, cells.assign(longitude=longitude), colours)
    frame_map(ax, extent, f"{len(cells)} training cells at home")


def _cells(ax: Axes, cells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    shown = [colours[str(domain)] for domain in cells["domain"]]
    ax.scatter(cells["longitude"], cells["latitude"], s=16, c=shown, linewidths=0, zorder=4)


def _box_map(ax: Axes, cells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    _cells(ax, cells, colours)
    title = f"training cells in {', '.join(str(d) for d in cells['domain'].unique())}"
    west, east = _widened(cells["longitude"], LEAST_WIDTH_DEG)
    south, north = _widened(cells["latitude"], LEAST_HEIGHT_DEG)
    frame_map(ax, (west, east, max(south, -90.0), min(north, 90.0)), f"{len(cells)} {title}")


def _widened(degrees: pd.Series, least: float) -> tuple[float, float]:
    """Ends of a stretch of degrees around the cells, with two to spare, and at least so long."""
    low, high = float(degrees.min()) - 2, float(degrees.max()) + 2
    spare = max(0.0, least - (high - low)) / 2
    return low - spare, high + spare


def _space(ax: Axes, climate: pd.DataFrame, cells: pd.DataFrame, colours: Mapping[str, str]) -> None:
    land = climate[climate["domain"] == "home"]
    ax.plot(land["x"], land["y"], "s", color="#bbbbbb", markersize=3, label="all land cells", rasterized=True)
    training = climate.merge(cells[["domain", "cell"]], on=["domain", "cell"])
    for domain, group in training.groupby("domain", observed=True):
        colour = colours[str(domain)]
        ax.plot(group["x"], group["y"], "o", color=colour, markersize=4, label=f"training cells, {domain}")
    ax.set(xlabel=climate.attrs["x"], ylabel=climate.attrs["y"], title="climates")


def _bars(ax: Axes, counts: pd.DataFrame, colours: Mapping[str, str]) -> None:
    layers, domains = layer_names(counts), sorted(counts["domain"].unique())
    width = 0.8 / len(domains)
    for k, domain in enumerate(domains):
        domain_counts = counts[counts["domain"] == domain].set_index("layer").reindex(layers)
        at = np.arange(len(layers)) + (k - (len(domains) - 1) / 2) * width
        ax.bar(at, domain_counts["cells"].fillna(0), width * 0.9, color=colours[str(domain)], label=str(domain))
        for x, (_, row) in zip(at, domain_counts.iterrows(), strict=True):
            if row["cells"] > 0:
                text = f"{int(row['cells'])} cells\n{int(row['days']):,} days"
                ax.text(x, row["cells"], text, ha="center", va="bottom", fontsize=7)
    ax.set_xticks(range(len(layers)), [depth_of(layer) for layer in layers])
    ax.margins(y=0.18)
    ax.set(ylabel="cells", title="cells and cell-days with a target")
    ax.grid(axis="x", visible=False)
    _legend_under(ax, len(domains))


def _days_by_year(ax: Axes, targets: pd.DataFrame) -> None:
    years = (
        targets.groupby([pd.DatetimeIndex(targets["time"]).year, "layer"], observed=True).size().unstack(fill_value=0)
    )
    bottom = np.zeros(len(years))
    for k, layer in enumerate(layer_names(targets)):
        ax.bar(years.index, years[layer], bottom=bottom, color=COLOURS[k], label=depth_of(layer))
        bottom += years[layer].to_numpy()
    ax.set(ylabel="cell-days", title="targets by year")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    _legend_under(ax, len(years.columns))


def _legend_under(ax: Axes, entries: int) -> None:
    ax.legend(fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=entries)
