"""Whether the published uncertainty is true at cells that the networks had not seen."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from somo.validate.depths import depth_of, layer_names
from somo.validate.intervals import JUDGED, LEVELS, WIDTHS, judge, with_constant_width, with_groups
from somo.validate.matching import KEYS
from somo.validate.published import Published
from somo.validate.sections.figures import COLOURS, UNITS, canvas, svg
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

# The gate's default bounds for the coverage of the 90 % interval: between them it is drawn as good.
WANTED = (0.85, 0.95)


def uncertainty(judged: Judged) -> Section:
    """Section `uncertainty` of a version."""
    return uncertainty_section(judged.published)


def uncertainty_section(published: Published) -> Section:
    """Coverage, interval score and CRPS, with reliability, by layer, wetness, season, dissimilarity and network.

    Raises
    ------
    Impossible
        if the models do not know their uncertainty, or no other fold could judge it
    """
    pairs = published.crossval.dropna(subset=["y", "y_hat"])
    if "uncertainty" not in pairs or pairs["uncertainty"].isna().all():
        raise Impossible("the models do not know their uncertainty: none was learnt from folds")
    pairs = with_constant_width(pairs.dropna(subset=["uncertainty"]).reset_index(drop=True))
    sensors = published.sensors
    table = judge(pairs, with_groups(pairs, sensors[sensors["kept"]][[*KEYS, "network"]]))
    days = pd.DatetimeIndex(pairs["time"])
    caption = (
        "Top: share of measurements inside the central interval of mean and stated standard deviation, against the "
        "share that is stated; on the line the uncertainty is true, below the line it is too small. Bottom: share "
        f"inside the {JUDGED:.0%} interval with its 95 % bootstrap interval over cells, by thirds of wetness and of "
        "dissimilarity to the training cells, and by season; the band is 85 to 95 %. The uncertainty and the constant "
        f"width of a cell are learnt without its fold. Scores ({UNITS}): means over {len(pairs)} cell-days, "
        f"{days.min():%Y-%m-%d} to {days.max():%Y-%m-%d}; smaller is better. Interval score: width of "
        f"the {JUDGED:.0%} interval, and {2 / (1 - JUDGED):.0f} times what a measurement lies outside of it. CRPS: the "
        "absolute error, for a forecast that is a distribution."
    )
    return Section("uncertainty", caption, svg(_figure(table)), table, readable(table), findings(table))


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of layer, stated width and group; coverage with its interval, scores without one."""
    rows = []
    keys = ["layer", "width", "by", "group"]
    chosen = table[(table["by"] == "all") | (table["width"] == "uncertainty")]
    for (layer, width, by, group), group_scores in chosen.groupby(keys, observed=True, sort=False):
        metric = group_scores.set_index("metric")
        score = metric["value"].astype(float)
        row = {"layer": layer, "width of the interval": width, "of": group if by == "all" else f"{by}: {group}"}
        row |= {"cells": int(group_scores["cells"].max()), "cell-days": int(group_scores["days"].max())}
        for level in LEVELS:
            value, low, high = metric.loc[f"coverage_{100 * level:g}", ["value", "low", "high"]]
            wide = f" [{low:.2f}, {high:.2f}]" if level == JUDGED else ""
            row[f"inside {level:.0%}"] = f"{value:.3f}{wide}"
        row["interval score 90 %"] = f"{score['interval_score']:.4f}"
        row["CRPS"] = f"{score['crps']:.4f}"
        rows.append(row)
    return pd.DataFrame(rows).sort_values("layer", kind="stable", ignore_index=True)


def findings(table: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """{stated width: {layer: {metric: value}}} over all rows, for machines."""
    all_rows = table[table["by"] == "all"]
    scores: dict[str, dict[str, dict[str, float]]] = {}
    for (width, layer), layer_scores in all_rows.groupby(["width", "layer"], observed=True):
        scores.setdefault(str(width), {})[str(layer)] = dict(
            zip(layer_scores["metric"], layer_scores["value"], strict=True)
        )
    return scores


def _figure(table: pd.DataFrame) -> Figure:
    layers = layer_names(table)
    with canvas(2, len(layers), 3.6 * len(layers), 6.4) as (figure, axes):
        for column, layer in enumerate(layers):
            _draw_reliability(axes[0, column], table[(table["layer"] == layer) & (table["by"] == "all")], layer)
            chosen = (table["layer"] == layer) & (table["width"] == "uncertainty") & (table["by"] != "network")
            _draw_groups(axes[1, column], table[chosen & (table["metric"] == f"coverage_{100 * JUDGED:g}")])
        axes[0, 0].legend(loc="upper left", fontsize=7.5)
    return figure


def _draw_reliability(ax: Axes, scores: pd.DataFrame, layer: str) -> None:
    ax.plot([0, 1], [0, 1], color="#888888", linewidth=0.8)
    for colour, width in zip(COLOURS, WIDTHS, strict=False):
        inside = [scores[(scores["width"] == width) & (scores["metric"] == f"coverage_{100 * v:g}")] for v in LEVELS]
        if all(len(value) for value in inside):
            ax.plot(LEVELS, [value["value"].iloc[0] for value in inside], marker="o", color=colour, label=width)
    ax.set(
        title=depth_of(layer), xlabel="stated share", ylabel="share of measurements inside", xlim=(0.4, 1), ylim=(0, 1)
    )


def _draw_groups(ax: Axes, scores: pd.DataFrame) -> None:
    names = [
        group if by == "all" else f"{by}: {group}" for by, group in zip(scores["by"], scores["group"], strict=True)
    ]
    places = range(len(names))
    ax.axvspan(*WANTED, color="#dddddd", zorder=0)
    ax.hlines(places, scores["low"], scores["high"], color=COLOURS[0], linewidth=1.2)
    ax.scatter(scores["value"], places, s=16, color=COLOURS[0], zorder=3)
    ax.set(
        xlabel=f"share inside the {JUDGED:.0%} interval",
        xlim=(0.5, 1),
        yticks=list(places),
        yticklabels=names,
    )
    ax.invert_yaxis()
