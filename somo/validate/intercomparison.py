"""This product beside others: at independent stations (Fig 5a), everywhere (Fig 5b), by triple collocation."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.validate.collocation import triple_collocation
from somo.validate.figures import COLOURS, UNITS, canvas, draw_boxes, svg
from somo.validate.matching import cell_scores, summarise
from somo.validate.published import Published, ValidationError, series_at
from somo.validate.section import Section

SEGMENT = 20
"""Cells along the side of a segment of the map, of which one land cell is drawn."""
LEAST_SEGMENTS = 5
LEAST_DAYS = 30
BY = ("layer", "model", "cell")


def independent_section(
    published: Published, name: str, compared: Mapping[str, xr.Dataset], targets: pd.DataFrame, sensors: pd.DataFrame
) -> Section:
    """Every product against stations that were kept out of training; cells used in training are left out and listed.

    Parameters
    ----------
    name : of the product that is judged
    compared : fields [time, lat, lon] by layer of every other product
    targets, sensors : of the independent archives
    """
    used = set(published.targets["cell"][published.targets["domain"] == "home"])
    home = targets[targets["domain"] == "home"]
    left_out = sorted({int(c) for c in home["cell"]} & used)
    kept = home[~home["cell"].isin(left_out)].rename(columns={"value": "y"})
    if kept.empty:
        raise ValidationError(
            f"{published.url}: all {len(left_out)} cells of the independent stations were used in training; "
            'declare other archives with role = "independent"'
        )
    cells, names = np.sort(kept["cell"].unique()), (name, *compared)
    estimates = estimates_at(published, name, compared, cells)
    pairs = estimates.merge(kept[["cell", "layer", "time", "y"]], on=["cell", "layer", "time"])
    scores = cell_scores(pairs, BY, min_days=LEAST_DAYS)
    stations = sensors[sensors["kept"]].drop_duplicates(["network", "station"])
    caption = (
        f"Correlation and ubRMSD ({UNITS}) against stations that no network has seen ({len(stations)} stations, "
        f"{len(cells)} cells). Cells used in training are left out: {_listed(published.grid, left_out)}. {_BOX} "
        f"All products interpolated bilinearly. n = {len(kept)} measured cell-days, "
        f"{kept['time'].min():%Y-%m-%d} to {kept['time'].max():%Y-%m-%d}."
    )
    return _section("fig5a", "At independent stations (Fig 5a)", caption, scores, names, {"left_out": left_out})


def everywhere_section(published: Published, name: str, compared: Mapping[str, xr.Dataset], seed: int = 0) -> Section:
    """Every product against the average of all, at one random land cell of every segment of the map."""
    cells, side = segment_cells(published, seed)
    estimates = estimates_at(published, name, compared, cells)
    pairs = against_average(estimates)
    scores = cell_scores(pairs, BY, min_days=LEAST_DAYS)
    caption = (
        f"Correlation and ubRMSD ({UNITS}) against the average of all products at one random land cell of every "
        f"segment of {side} x {side} cells, on days that all have. {_BOX} n = {len(cells)} cells, "
        f"{len(pairs)} product-cell-days, {published.period}."
    )
    title, names = "Everywhere, against the average (Fig 5b)", (name, *compared)
    return _section("fig5b", title, caption, scores, names, {"cells": len(cells)})


def collocation_section(published: Published, name: str, compared: Mapping[str, xr.Dataset], seed: int = 0) -> Section:
    """Random error and correlation with the truth of this product, from all triplets with two others."""
    cells, side = segment_cells(published, seed)
    table = collocation_table(estimates_at(published, name, compared, cells), name)
    layers = [layer for layer in published.layers if (table["layer"] == layer).any()]
    if not layers:
        raise ValidationError(f"{published.url}: no layer for which two other products stand; declare more [[compare]]")
    with canvas(2, len(layers), 3.6 * len(layers) + 0.6, 5.6) as (figure, axes):
        for column, layer in enumerate(layers):
            here = table[table["layer"] == layer]
            for row, (metric, label) in enumerate({"r": "r with the truth", "error_std": f"error ({UNITS})"}.items()):
                groups = {
                    str(t).replace(" and ", "\n"): g[metric].to_numpy() for t, g in here.groupby("triplet", sort=True)
                }
                draw_boxes(axes[row, column], groups, dict(zip(groups, COLOURS * 4, strict=False)))
                axes[row, column].set(title=layer, ylabel=label)
    caption = (
        f"Triple collocation of {name} with two other products each (named under the box), which takes none for the "
        f"truth and holds where their errors are independent. {_BOX} n = {len(cells)} cells, one in every segment of "
        f"{side} x {side}, {published.period}."
    )
    median = table.groupby(["layer", "triplet"])[["r", "error_std"]].median().round(4).reset_index()
    found = {f"{r['layer']} {r['triplet']}": float(r["r"]) for r in median.to_dict("records")}
    return Section("collocation", "Triple collocation", caption, svg(figure), table, median, {"r": found})


def estimates_at(
    published: Published, name: str, compared: Mapping[str, xr.Dataset], cells: NDArray[np.int64]
) -> pd.DataFrame:
    """Series of every product: cell, time, layer, model, y_hat."""
    parts = []
    for layer in published.layers:
        own = published.at_cells(cells, layer).rename(columns={"soil_moisture": "y_hat"})
        parts.append(own.assign(layer=layer, model=name))
        for other, ds in compared.items():
            if layer in ds:
                field = ds[layer].rename("y_hat")
                parts.append(series_at(field, published.grid, cells).assign(layer=layer, model=other))
    return pd.concat(parts, ignore_index=True)


def segment_cells(published: Published, seed: int) -> tuple[NDArray[np.int64], int]:
    """One random land cell of every square segment, and the segment's side in cells: 20, fewer on small grids."""
    land = published.soil["soil_moisture"].isel(time=-1).notnull().any("depth").values
    side = max(1, min(SEGMENT, min(land.shape) // LEAST_SEGMENTS))
    generator = np.random.default_rng(seed)
    chosen = []
    for top in range(0, land.shape[0], side):
        for left in range(0, land.shape[1], side):
            row, column = np.nonzero(land[top : top + side, left : left + side])
            if len(row):
                k = generator.integers(len(row))
                chosen.append((top + row[k]) * land.shape[1] + left + column[k])
    return np.array(chosen, np.int64), side


def against_average(estimates: pd.DataFrame) -> pd.DataFrame:
    """Each product beside `y`, the mean of all products of its layer, on the days and cells where all have a value."""
    counts = estimates.groupby(["layer", "cell", "time"])["y_hat"].agg(["mean", "size"])
    models = estimates.groupby("layer")["model"].nunique()
    needed = models.reindex(counts.index.get_level_values("layer")).to_numpy()
    common = counts[(counts["size"].to_numpy() == needed) & (needed > 1)]
    return estimates.merge(common["mean"].rename("y").reset_index(), on=["layer", "cell", "time"])


def collocation_table(estimates: pd.DataFrame, name: str) -> pd.DataFrame:
    """Triple collocation of the product `name` with every two others: layer, cell, triplet, r, error_std, n."""
    rows = []
    for key, group in estimates.groupby(["layer", "cell"]):
        layer, cell = np.array(key, object)
        wide = group.pivot(index="time", columns="model", values="y_hat")
        others = [m for m in wide.columns if m != name]
        for a, b in combinations(others, 2):
            c = triple_collocation(wide[name], wide[a], wide[b], LEAST_DAYS)
            rows.append((layer, int(cell), f"{a} and {b}", c.r[0], c.error_std[0], c.n))
    return pd.DataFrame(rows, columns=["layer", "cell", "triplet", "r", "error_std", "n"])


_BOX = "Box: 0.2 to 0.8 quantile over cells, line: median, triangle: mean; n = cells."


def _section(
    name: str, title: str, caption: str, scores: pd.DataFrame, models: tuple[str, ...], found: dict[str, object]
) -> Section:
    table = summarise(scores, ("layer", "model"), ("pearson_r", "ubrmsd", "bias"))
    wide = table.pivot_table(index=["layer", "model"], columns="metric", values="value").round(3)
    counts = table.groupby(["layer", "model"])[["cells", "days"]].max()
    shown = counts.join(wide).reset_index()
    medians = {f"{r['layer']} {r['model']}": float(r["pearson_r"]) for r in shown.to_dict("records")}
    return Section(name, title, caption, svg(_boxes(scores, models)), scores, shown, {"pearson_r": medians, **found})


def _boxes(scores: pd.DataFrame, models: tuple[str, ...]) -> Figure:
    colours = {model: COLOURS[k % len(COLOURS)] for k, model in enumerate(models)}
    layers = sorted(scores["layer"].unique())
    with canvas(2, len(layers), max(0.85 * len(models) * len(layers), 4.5), 5.6) as (figure, axes):
        for column, layer in enumerate(layers):
            here = scores[scores["layer"] == layer]
            present = [m for m in models if (here["model"] == m).any()]
            for row, (metric, label) in enumerate({"pearson_r": "r", "ubrmsd": f"ubRMSD ({UNITS})"}.items()):
                groups = {m: here[here["model"] == m][metric].to_numpy() for m in present}
                draw_boxes(axes[row, column], groups, colours)
                axes[row, column].set(title=layer, ylabel=label)
    return figure


def _listed(grid: Grid, cells: list[int]) -> str:
    if not cells:
        return "none"
    lat, lon = grid.centres(np.array(cells))
    named = [f"{a:.2f} N {o:.2f} E" for a, o in zip(lat, lon, strict=True)]
    return ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
