"""Skill on data that was held back: spatial folds (Fig S3), later years (Fig S4), another region (Fig 4)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from somo.validate.depths import depth_of, layer_names
from somo.validate.matching import KEYS, LEAST_DAYS, anomalies, cell_means, cell_scores, summarise, wide_to_models
from somo.validate.metrics import scores
from somo.validate.sections.figures import (
    COLOURS,
    UNITS,
    canvas,
    colour_bar,
    draw_density,
    draw_identity,
    svg,
)
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

MODELS = {"network": "y_hat", "ridge baseline": "y_ridge"}
# Points whose standard deviation in m3 m-3 is smaller are equal but for rounding, and have neither r nor NSE.
LEAST_STD = 1e-6
SHOWN = ("pearson_r", "ubrmsd", "bias", "nse")


def held_back_cells(judged: Judged) -> Section:
    """Section `figS3` of a version."""
    apart = judged.product.training.fold_distance_km
    near = f", those closer than {apart:g} km together" if apart else ""
    how = f"Out-of-fold predictions of a spatial cross-validation: whole cells are held back{near}."
    return split_section(judged.published.crossval, "figS3", how)


def transfer(judged: Judged) -> Section:
    """Section `fig4` of a version."""
    pairs, where = judged.transfer()
    return split_section(pairs, "fig4", f"Predictions in another region: {where}.")


def later_days(judged: Judged) -> Section:
    """Section `figS4` of a version."""
    pairs, period = judged.later_days()
    return split_section(pairs, "figS4", f"Predictions for {period}.")


def split_section(pairs: pd.DataFrame, name: str, how: str) -> Section:
    """Figure and table of one way to hold data back.

    Parameters
    ----------
    pairs : domain, cell, layer, time, y, y_hat, fold and, where a baseline was fitted, y_ridge
    how : how the data were held back, for the caption

    Raises
    ------
    Impossible
        if no measurement has a prediction
    """
    pairs = pairs.dropna(subset=["y", "y_hat"])
    if pairs.empty:
        raise Impossible("no measured day of a held-back cell has a prediction")
    models = {label: column for label, column in MODELS.items() if column in pairs}
    table = skill_table(pairs, models)
    if table.empty:
        raise Impossible(f"no held-back cell has {LEAST_DAYS} measured days with a prediction")
    pairs = pairs.astype({"layer": "category"})
    figure = _figure(pairs)
    counts = pairs.groupby(["domain", "cell"], observed=True).ngroups
    days = pd.DatetimeIndex(pairs["time"])
    caption = (
        f"{how} Top: mean of every cell over its days; bottom: every day, as counts per bin. In each panel "
        f"r, NSE and RMSD ({UNITS}) of the points drawn. n = {counts} cells and {len(pairs)} cell-days of all layers, "
        f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}. Table: median over cells of at least {LEAST_DAYS} days, with "
        "its 95 % bootstrap interval. "
        f"{_terms(models)}"
    )
    medians = findings(table)
    for layer, count in cells_above_baseline(pairs, models).items():
        medians["network"][layer]["cells_above_baseline"] = count
    return Section(name, caption, svg(figure), table, readable(table), medians)


def cells_above_baseline(pairs: pd.DataFrame, models: dict[str, str]) -> dict[str, int]:
    """At how many cells of each layer the network's correlation is above the baseline's; empty without a baseline.

    Medians over cells may differ by less than cells do: the count says whether most cells agree.
    """
    if "ridge baseline" not in models:
        return {}
    complete = wide_to_models(pairs.dropna(subset=list(models.values())), models)
    cells = cell_scores(complete, metrics=("pearson_r",), by=(*KEYS, "model"))
    wide = cells.pivot(index=list(KEYS), columns="model", values="pearson_r")
    above = wide["network"] > wide["ridge baseline"]
    return {str(layer): int(count) for layer, count in above.groupby(level="layer").sum().items()}


def _terms(models: dict[str, str]) -> str:
    """What the words of the table mean to somebody who meets them first in this report."""
    anomaly = "Anomaly r: correlation of the differences from a centred 31-day mean, which no season lifts."
    baseline = " Ridge baseline: linear regression with a penalty on large coefficients, on the same inputs and folds."
    return anomaly + (baseline if "ridge baseline" in models else "")


def skill_table(pairs: pd.DataFrame, models: dict[str, str]) -> pd.DataFrame:
    """Median skill over cells, its columns as in the last line; fold -1 is all folds, `of` is value or anomaly."""
    by = (*KEYS, "model", "fold")
    tables = []
    complete = pairs.dropna(subset=list(models.values()))
    deviations = anomalies(complete, ["y", *models.values()])
    for of, frame in (("value", complete), ("anomaly", deviations)):
        cells = cell_scores(wide_to_models(frame, models), by=by)
        every = summarise(cells, ("layer", "model")).assign(fold=-1)
        tables += [summary.assign(of=of) for summary in (every, summarise(cells, ("layer", "model", "fold")))]
    columns = ["layer", "model", "fold", "of", "metric", "value", "low", "high", "cells", "days"]
    return pd.concat(tables, ignore_index=True)[columns]


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of layer and model, columns of metric with interval, folds as a range."""
    rows = []
    for (layer, model), group in table[table["of"] == "value"].groupby(["layer", "model"], observed=True):
        all_folds, folds = group[group["fold"] < 0].set_index("metric"), group[group["fold"] >= 0]
        row = {
            "layer": layer,
            "model": model,
            "cells": int(all_folds["cells"].max()),
            "cell-days": int(all_folds["days"].max()),
        }
        for metric in SHOWN:
            value, low, high = all_folds.loc[metric, ["value", "low", "high"]]
            # The `z` writes 0.000 where rounding leaves -0.000.
            row[metric] = f"{value:z.3f} [{low:z.3f}, {high:z.3f}]"
        anomaly = table[(table["of"] == "anomaly") & (table["fold"] < 0) & (table["metric"] == "pearson_r")]
        anomaly_r = anomaly[(anomaly["layer"] == layer) & (anomaly["model"] == model)]["value"]
        row["anomaly r"] = f"{anomaly_r.iloc[0]:.3f}" if len(anomaly_r) else "–"
        by_fold = folds[folds["metric"] == "pearson_r"].sort_values("fold")
        if len(by_fold) > 1:
            row["pearson_r by fold"] = " ".join(f"{v:.2f}" for v in by_fold["value"])
        rows.append(row)
    return pd.DataFrame(rows)


def findings(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """{model: {layer: {metric: median over cells}}} with `cells` and `days`, for machines."""
    all_folds = table[(table["fold"] < 0) & (table["of"] == "value")]
    medians: dict[str, dict[str, dict[str, float]]] = {}
    for (model, layer), group in all_folds.groupby(["model", "layer"], observed=True):
        values = dict(zip(group["metric"], group["value"].astype(float), strict=True))
        counts = {"cells": int(group["cells"].max()), "days": int(group["days"].max())}
        medians.setdefault(str(model), {})[str(layer)] = {**values, **counts}
    return medians


def _figure(pairs: pd.DataFrame) -> Figure:
    layers = layer_names(pairs)
    means = cell_means(pairs, ["y", "y_hat"])
    with canvas(2, len(layers), 3.4 * len(layers), 6.9) as (figure, axes):
        for column, layer in enumerate(layers):
            cells, days = means[means["layer"] == layer], pairs[pairs["layer"] == layer]
            top, bottom = axes[:, column]
            draw_identity(top, cells[["y", "y_hat"]].to_numpy().ravel())
            top.scatter(cells["y"], cells["y_hat"], s=14, color=COLOURS[0], alpha=0.7, linewidths=0)
            labels = {"xlabel": f"measured ({UNITS})", "ylabel": f"predicted ({UNITS})"}
            top.set(title=f"{depth_of(layer)}: cell means", **labels)
            drawn = draw_density(bottom, days["y"].to_numpy(), days["y_hat"].to_numpy())
            bottom.set(
                title=f"{depth_of(layer)}: all days", xlabel=f"measured ({UNITS})", ylabel=f"predicted ({UNITS})"
            )
            for ax, points in ((top, cells), (bottom, days)):
                ax.text(0.03, 0.97, _numbers(points), transform=ax.transAxes, va="top", fontsize=7.5)
        colour_bar(figure, drawn, axes[1].tolist(), "cell-days per bin", extend="neither")
    return figure


def _numbers(points: pd.DataFrame) -> str:
    s = scores(points["y"].to_numpy(), points["y_hat"].to_numpy(), ("pearson_r", "nse", "rmsd"))
    varies = points["y"].std(ddof=0) > LEAST_STD and np.isfinite(s["pearson_r"])
    r, nse = (f"{s[name]:.2f}" if varies else "–" for name in ("pearson_r", "nse"))
    return f"r {r}\nNSE {nse}\nRMSD {s['rmsd']:.3f}\nn {s['n']}"
