"""Figures of the experiments with the model itself: memory (Fig 3) and importance of inputs (Fig S2)."""

import numpy as np
import pandas as pd

from somo.product.method import Sequence
from somo.validate.depths import depth_of, layer_names
from somo.validate.experiments import KEPT, LEAST_SAMPLES, memory_days
from somo.validate.sections.figures import COLOURS, canvas, legend_below, svg
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

RELATIVE = {"pearson_r_relative": "r relative to the intact run", "nse_relative": "NSE relative to the intact run"}


def memory(judged: Judged) -> Section:
    """Section `fig3` of a version."""
    return memory_section(judged.memory(), judged.product.sequence, judged.sampled_period)


def importance(judged: Judged) -> Section:
    """Section `figS2` of a version."""
    return importance_section(judged.importance(), judged.sampled_period)


def memory_section(table: pd.DataFrame, sequence: Sequence, period: str) -> Section:
    """Skill by the number of days left intact, all layers; `table` as `experiments.memory_table` gives it.

    Parameters
    ----------
    period : first and last sampled day, for the caption

    Raises
    ------
    Impossible
        if no layer has enough sampled days, or skill, to be compared
    """
    if table["pearson_r_relative"].isna().all():
        raise Impossible(
            f"no layer has {LEAST_SAMPLES} sampled days in a cell and skill in the run with all days intact"
        )
    days, lookback = memory_days(table), sequence.lookback
    # With a lag the forcing ends on the day before the one that is predicted.
    last = f"t-n-{sequence.lag_days}" if sequence.lag_days else "t-n"
    with canvas(1, 2, 9.5, 3.9) as (figure, axes):
        for ax, (column, label) in zip(axes[0], RELATIVE.items(), strict=True):
            for k, layer in enumerate(layer_names(table)):
                curve = _band(table[table["layer"] == layer], "intact_days", column)
                ax.fill_between(curve.index, curve[0.2], curve[0.8], color=COLOURS[k], alpha=0.2, linewidth=0)
                ax.plot(curve.index, curve[0.5], color=COLOURS[k], marker="o", markersize=3, label=depth_of(layer))
                if column == "pearson_r_relative" and np.isfinite(days[layer]):
                    ax.axvline(days[layer], color=COLOURS[k], linewidth=0.8, linestyle=":")
            ax.axhline(1, color="#888888", linewidth=0.8)
            ax.set(xscale="log", xlabel="days of forcing left intact", ylabel=label)
            ticks = [*(day for day in (1, 3, 10, 30, 100) if 1.5 * day <= lookback), lookback]
            ax.set_xticks(ticks, [str(day) for day in ticks])
            # A logarithmic axis may label its minor ticks too, which would stand among the chosen ones.
            ax.minorticks_off()
            ax.set_ylim(max(table[column].min() if table[column].notna().any() else 0.0, -0.5) - 0.05, 1.08)
        legend_below(figure, axes[0, 0])
    members, n = table["member"].nunique(), int(table["n"].max())
    caption = (
        f"Skill left when the forcing of days t-{sequence.spinup_days} to {last} is put in random order and the "
        f"last n days stay intact. Line: median over {members} members of the ensemble; band: 0.2 to 0.8 quantile. "
        f"Scores are medians over {int(table['cells'].max())} cells that the ensemble learnt from, n = {n} sampled "
        f"cell-days, {period}. "
        f"Dotted: days for {KEPT:.0%} of r."
    )
    shown = pd.DataFrame(
        {"layer": list(days), f"days for {KEPT:.0%} of r": [f"{v:.0f}" if v == v else "–" for v in days.values()]}
    )
    intact_skill = (
        table[table["intact_days"] == table["intact_days"].max()].groupby("layer")[["pearson_r", "nse"]].median()
    )
    shown = shown.join(intact_skill.rename(columns={"pearson_r": "r intact", "nse": "NSE intact"}), on="layer")
    return Section("fig3", caption, svg(figure), table, shown, {"memory_days": days})


def importance_section(table: pd.DataFrame, period: str) -> Section:
    """Skill lost with each input, all layers; `table` as `experiments.importance_table` gives it.

    Parameters
    ----------
    period : first and last sampled day, for the caption

    Raises
    ------
    Impossible
        if no layer has samples that vary
    """
    if table["r_drop"].isna().all():
        raise Impossible("no layer has two sampled days that differ")
    layers = layer_names(table)
    order = table.groupby("input")["rmsd_rise"].mean().sort_values().index
    # One axis for all layers, so that their bars compare.
    with canvas(1, len(layers), 3.6 * len(layers), 0.9 + 0.26 * len(order), sharex="all") as (figure, axes):
        for k, (ax, layer) in enumerate(zip(axes[0], layers, strict=True)):
            spread = _band(table[table["layer"] == layer], "input", "r_drop")
            spread = spread.reindex(order)
            middle = spread[0.5].to_numpy()
            ax.barh(range(len(order)), middle, color=COLOURS[k], alpha=0.8)
            error = np.abs([middle - spread[0.2], spread[0.8] - middle])
            ax.errorbar(middle, range(len(order)), xerr=error, fmt="none", ecolor="#222222", elinewidth=0.8)
            names = [name.replace("_", " ") for name in order]
            ax.set_yticks(range(len(order)), names if k == 0 else [])
            ax.tick_params(axis="y", length=0)
            ax.set(title=depth_of(layer), xlabel="loss of r")
            ax.grid(axis="y", visible=False)
    repeats = table["seed"].nunique() * table["member"].nunique()
    caption = (
        "Loss of r when one input is taken from another sample drawn at random, over all samples together, at cells "
        "that the ensemble learnt from. "
        f"Bar: median, line: 0.2 to 0.8 quantile of {repeats} repeats (members and seeds). "
        f"n = {int(table['n'].max())} sampled cell-days a layer, {period}."
    )
    median = table.groupby(["layer", "input"])["r_drop"].median()
    median_drops = {layer: {str(k): float(v) for k, v in median[layer].items()} for layer in layers}
    return Section("figS2", caption, svg(figure), table, findings={"r_drop": median_drops})


def _band(table: pd.DataFrame, by: str, column: str) -> pd.DataFrame:
    """0.2, 0.5 and 0.8 quantiles of a column for every value of `by`."""
    groups = table.groupby(by)[column]
    return pd.DataFrame({q: groups.quantile(q) for q in (0.2, 0.5, 0.8)})
