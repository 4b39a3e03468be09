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
from somo.validate.depths import depth_of, layer_names
from somo.validate.matching import summarise
from somo.validate.metrics import METRICS, scores
from somo.validate.published import Published, at_cells
from somo.validate.sections.figures import COLOURS, UNITS, canvas, draw_boxes, svg
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

# The paper draws one random land cell of every segment of 20 x 20 cells (Fig 5b).
SEGMENT = 20
# On a small grid the segments shrink, so that its shorter side still has so many of them.
LEAST_SEGMENTS = 5
LEAST_DAYS = 30


def independent_stations(judged: Judged) -> Section:
    """Section `fig5a` of a version."""
    targets, sensors = judged.independent_stations()
    return independent_section(judged.published, judged.product.name, judged.compared, targets, sensors)


def everywhere(judged: Judged) -> Section:
    """Section `fig5b` of a version."""
    return everywhere_section(judged.common, judged.product.name, judged.compared_in_common)


def collocation(judged: Judged) -> Section:
    """Section `collocation` of a version."""
    return collocation_section(judged.common, judged.product.name, judged.compared_in_common)


def independent_section(
    published: Published, name: str, compared: Mapping[str, xr.Dataset], targets: pd.DataFrame, sensors: pd.DataFrame
) -> Section:
    """Every product against stations that were kept out of training; cells used in training are left out and listed.

    Parameters
    ----------
    name : of the product that is judged
    compared : fields [time, lat, lon] by layer of every other product
    targets, sensors : of the independent archives

    Raises
    ------
    Impossible
        if no sensor can be used, all cells were used in training, or none has enough days
    """
    used = set(published.targets["cell"][published.targets["domain"] == "home"])
    home = targets[targets["domain"] == "home"]
    if home.empty:
        dropped = sensors[~sensors["kept"]]["reason"].value_counts()
        reasons_text = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise Impossible(
            f"no independent sensor measures in the predicted domain ({reasons_text or 'all are elsewhere'})"
        )
    left_out = sorted({int(c) for c in home["cell"]} & used)
    unseen = home[~home["cell"].isin(left_out)].rename(columns={"value": "y"})
    if unseen.empty:
        raise Impossible(f"all {len(left_out)} cells of the independent stations were used in training")
    cells, names = np.sort(unseen["cell"].unique()), (name, *compared)
    estimates = estimates_at(published, name, compared, cells)
    skill = score_cells(estimates, {layer: measured_at(unseen, layer, e) for layer, e in estimates.items()})
    if skill.empty:
        raise Impossible(f"no cell of the independent stations has {LEAST_DAYS} measured days among the published ones")
    # Of the cells that are judged: others may lie in further domains, or in cells that were learnt from.
    judged_sensors = sensors[sensors["kept"] & (sensors["domain"] == "home") & sensors["cell"].isin(cells)]
    stations = judged_sensors.drop_duplicates(["network", "station"])
    caption = (
        f"Correlation and ubRMSD ({UNITS}) against stations that no network has seen ({len(stations)} stations, "
        f"{len(cells)} cells). {_left_out(published.grid, left_out)} {_BOX} "
        f"All products interpolated bilinearly. n = {len(unseen)} measured cell-days, "
        f"{unseen['time'].min():%Y-%m-%d} to {unseen['time'].max():%Y-%m-%d}."
    )
    return _section("fig5a", caption, skill, names, {"left_out": left_out})


def everywhere_section(published: Published, name: str, compared: Mapping[str, xr.Dataset], seed: int = 0) -> Section:
    """Every product against the average of all, at one random land cell of every segment of the map."""
    cells, side = segment_cells(published, seed)
    estimates = estimates_at(published, name, compared, cells)
    skill = score_cells(estimates, {layer: average(e) for layer, e in estimates.items() if e.sizes["model"] > 1})
    if skill.empty:
        raise Impossible(f"no land cell has {LEAST_DAYS} days on which this product and all others have a value")
    caption = (
        f"Correlation and ubRMSD ({UNITS}) against the average of all products, itself among them, at one random land "
        f"cell of every segment of {side} x {side} cells, on days that all have. {_BOX} n = {len(cells)} cells, "
        f"{int(skill['n'].sum())} product-cell-days, {published.period}."
    )
    return _section("fig5b", caption, skill, (name, *compared), {"cells": len(cells)})


def collocation_section(published: Published, name: str, compared: Mapping[str, xr.Dataset], seed: int = 0) -> Section:
    """Random error and correlation with the truth of this product, from all triplets with two others."""
    cells, side = segment_cells(published, seed)
    table = collocation_table(estimates_at(published, name, compared, cells))
    layers = [layer for layer in published.layers if (table["layer"] == layer).any()]
    if not layers:
        raise Impossible("no layer for which two other products stand")
    if table["r"].isna().all():
        raise Impossible(f"no cell has {LEAST_DAYS} days on which this product and two others have a value")
    metrics = {"r": "correlation r with the truth", "error_std": f"standard deviation of the error ({UNITS})"}
    triplets = dict.fromkeys(table["triplet"], COLOURS[0])
    figure = _boxes(table[table["layer"].isin(layers)], "triplet", triplets, metrics)
    caption = (
        f"Triple collocation of {name} with two other products each (named beside the box), which takes none for the "
        "truth and holds where their errors are independent: where this product shares weather, a reference model or "
        "measurements with one of the two, its error looks smaller and r higher than they are. "
        f"{_BOX} n = {len(cells)} cells, one in every segment of {side} x {side}, {published.period}."
    )
    median = table.groupby(["layer", "triplet"])[["r", "error_std"]].median().round(4).reset_index()
    median_r = {f"{r['layer']} {r['triplet']}": float(r["r"]) for r in median.to_dict("records")}
    return Section("collocation", caption, svg(figure), table, median, {"r": median_r})


def estimates_at(
    published: Published, name: str, compared: Mapping[str, xr.Dataset], cells: NDArray[np.int64]
) -> dict[str, xr.DataArray]:
    """[model, cell, time] series of every product that stands for a layer, by layer; this product first."""
    estimates = {}
    for layer in published.layers:
        this_product = published.at_cells(cells, layer)
        others = {m: at_cells(ds[layer], published.grid, cells) for m, ds in compared.items() if layer in ds}
        values = np.stack([this_product.values, *(other.values for other in others.values())])
        coords = {"model": [name, *others], "cell": cells, "time": this_product["time"].values}
        estimates[layer] = xr.DataArray(values, coords, ("model", "cell", "time"))
    return estimates


def measured_at(targets: pd.DataFrame, layer: str, like: xr.DataArray) -> NDArray[np.float64]:
    """[cell, time] targets of a layer at the cells and days of an array, NaN where there is none."""
    wide = targets[targets["layer"] == layer].pivot(index="cell", columns="time", values="y")
    return wide.reindex(index=like["cell"].values, columns=pd.DatetimeIndex(like["time"].values)).to_numpy(np.float64)


def average(estimates: xr.DataArray) -> NDArray[np.float64]:
    """[cell, time] mean over products, NaN on days that one of them lacks."""
    return estimates.mean("model", skipna=False).values.astype(np.float64)


def score_cells(estimates: Mapping[str, xr.DataArray], y: Mapping[str, NDArray[np.float64]]) -> pd.DataFrame:
    """Metrics of every product at every cell with at least 30 pairs: layer, model, cell, `METRICS`, n."""
    rows = []
    for layer, measured in y.items():
        for model in estimates[layer]["model"].values:
            for k, cell in enumerate(estimates[layer]["cell"].values):
                cell_scores = scores(measured[k], estimates[layer].sel(model=model).values[k])
                if cell_scores["n"] >= LEAST_DAYS:
                    rows.append({"layer": layer, "model": str(model), "cell": int(cell), **cell_scores})
    return pd.DataFrame(rows, columns=["layer", "model", "cell", *METRICS, "n"])


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


def collocation_table(estimates: Mapping[str, xr.DataArray]) -> pd.DataFrame:
    """Triple collocation of the first product with every two others: layer, cell, triplet, r, error_std, n."""
    rows = []
    for layer, series in estimates.items():
        for a, b in combinations(range(1, series.sizes["model"]), 2):
            names = f"{series['model'].values[a]} and {series['model'].values[b]}"
            for k, cell in enumerate(series["cell"].values):
                x, y, z = (series.values[model, k] for model in (0, a, b))
                c = triple_collocation(x, y, z, LEAST_DAYS)
                rows.append((layer, int(cell), names, c.r[0], c.error_std[0], c.n))
    return pd.DataFrame(rows, columns=["layer", "cell", "triplet", "r", "error_std", "n"])


_BOX = "Box: 0.2 to 0.8 quantile over cells, line: median, triangle: mean; n = cells."


def _section(
    name: str, caption: str, skill: pd.DataFrame, models: tuple[str, ...], findings: dict[str, object]
) -> Section:
    table = summarise(skill, ("layer", "model"), ("pearson_r", "ubrmsd", "bias"))
    wide = table.pivot_table(index=["layer", "model"], columns="metric", values="value").round(3)
    counts = table.groupby(["layer", "model"])[["cells", "days"]].max()
    shown = counts.join(wide).reset_index().rename(columns={"days": "cell-days"})
    shown = shown.sort_values(["layer", "model"], key=lambda c: c.map(models.index) if c.name == "model" else c)
    medians = {f"{r['layer']} {r['model']}": float(r["pearson_r"]) for r in shown.to_dict("records")}
    colours = {model: COLOURS[k % len(COLOURS)] for k, model in enumerate(models)}
    figure = _boxes(skill, "model", colours, {"pearson_r": "correlation r", "ubrmsd": f"ubRMSD ({UNITS})"})
    return Section(name, caption, svg(figure), skill, shown, {"pearson_r": medians, **findings})


def _boxes(table: pd.DataFrame, by: str, colours: Mapping[str, str], metrics: Mapping[str, str]) -> Figure:
    """One row a layer and one column a metric (column of the table -> label); a box for every value of `by`."""
    layers = layer_names(table)
    names = {layer: [n for n in colours if ((table["layer"] == layer) & (table[by] == n)).any()] for layer in layers}
    heights = [0.8 + 0.27 * len(names[layer]) for layer in layers]
    with canvas(len(layers), len(metrics), 10.0, sum(heights), sharex="col", height_ratios=heights) as (figure, axes):
        for row, layer in enumerate(layers):
            layer_table = table[table["layer"] == layer].set_index(by)
            # The axis is one for all layers, so that their boxes compare; its numbers stand below each.
            for column, (metric, label) in enumerate(metrics.items()):
                groups = {name: layer_table.loc[[name], metric].to_numpy() for name in names[layer]}
                draw_boxes(axes[row, column], groups, colours)
                axes[row, column].set(title=depth_of(layer), xlabel=label)
                axes[row, column].tick_params(labelbottom=True)
    return figure


def _left_out(grid: Grid, cells: list[int]) -> str:
    if not cells:
        return "None of these cells was used in training."
    lat, lon = grid.centres(np.array(cells))
    named = [f"{a:.2f} N {o:.2f} E" for a, o in zip(lat, lon, strict=True)]
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return f"Cells used in training are left out: {', '.join(named[:8])}{more}."
