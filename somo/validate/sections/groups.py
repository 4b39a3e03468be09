"""Skill by network, climate class and layer, of values and of 31-day anomalies, as validation services report it."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from somo.validate.depths import depth_of, layer_names
from somo.validate.matching import KEYS, LEAST_DAYS, anomalies, cell_scores, summarise
from somo.validate.published import Published
from somo.validate.sections.figures import COLOURS, canvas, draw_boxes, svg
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

CLIMATES = ("cold", "humid", "transitional", "dry")
COLD_BELOW_C = 5.0
HUMID_BELOW, DRY_ABOVE = 1.0, 2.0


def groups(judged: Judged) -> Section:
    """Section `groups` of a version."""
    return groups_section(judged.published, judged.climate)


def climate_class(temperature_c: np.ndarray, aridity: np.ndarray) -> np.ndarray:
    """Class of a cell: cold below 5 degC annual mean, else by aridity (net radiation over precipitation, as water).

    Humid below 1, dry above 2 (UNEP's and Budyko's limits of energy- and water-limited land), transitional between;
    "unknown" where the class would need a value that is missing.
    """
    by_aridity = np.select([aridity < HUMID_BELOW, aridity <= DRY_ABOVE, aridity > DRY_ABOVE], CLIMATES[1:], "unknown")
    return np.select([temperature_c < COLD_BELOW_C, temperature_c >= COLD_BELOW_C], ["cold", by_aridity], "unknown")


def groups_section(published: Published, classes: pd.DataFrame) -> Section:
    """Skill on held-back cells by network and by climate class.

    Parameters
    ----------
    classes : domain, cell, climate
    """
    pairs = published.crossval.dropna(subset=["y", "y_hat"])
    if pairs.empty:
        raise Impossible("no measured day of a held-back cell has a prediction")
    if cell_scores(pairs, metrics=()).empty:
        raise Impossible(f"no held-back cell has {LEAST_DAYS} measured days with a prediction")
    cells = pd.concat(
        [cell_scores(pairs).assign(of="value"), cell_scores(anomalies(pairs, ["y", "y_hat"])).assign(of="anomaly")]
    )
    labelled = pd.concat(
        [
            cells.merge(_networks(published.sensors), on=list(KEYS)).assign(by="network"),
            cells.merge(classes.rename(columns={"climate": "group"}), on=["domain", "cell"]).assign(by="climate"),
            cells.assign(by="all", group="all"),
        ],
        ignore_index=True,
    )
    table = summarise(labelled, ("by", "group", "layer", "of"))
    caption = (
        "Correlation r of held-back cells by climate class (top: daily values, bottom: differences from a centred "
        "31-day mean). Box: 0.2 to 0.8 quantile over cells, line: median, triangle: mean; n = cells. Table: medians by "
        f"network. {len(pairs)} cell-days, {_period(pairs)}."
    )
    figure = _figure(labelled[labelled["by"] != "network"], layer_names(pairs))
    return Section("groups", caption, svg(figure), table, _by_network(table), _findings(table))


def _networks(sensors: pd.DataFrame) -> pd.DataFrame:
    used_sensors = sensors[sensors["kept"]]
    return used_sensors[[*KEYS, "network"]].drop_duplicates().rename(columns={"network": "group"})


def _figure(labelled: pd.DataFrame, layers: list[str]) -> Figure:
    with canvas(2, len(layers), 3.6 * len(layers), 5.0, sharex="all") as (figure, axes):
        for column, layer in enumerate(layers):
            for row, of in enumerate(("value", "anomaly")):
                panel_cells = labelled[(labelled["layer"] == layer) & (labelled["of"] == of)]
                names = ["all", *(c for c in (*CLIMATES, "unknown") if (panel_cells["group"] == c).any())]
                values = {name: panel_cells[panel_cells["group"] == name]["pearson_r"].to_numpy() for name in names}
                draw_boxes(axes[row, column], values, dict(zip(names, COLOURS, strict=False)))
                title = f"{depth_of(layer)}: {'daily values' if of == 'value' else 'anomalies'}"
                axes[row, column].set(title=title, xlabel="correlation r")
                axes[row, column].tick_params(labelbottom=True)
    return figure


def _by_network(table: pd.DataFrame) -> pd.DataFrame:
    chosen = table[table["by"].isin(["network", "all"]) & table["metric"].isin(["pearson_r", "ubrmsd"])]
    wide = chosen.pivot_table(index=["group", "layer"], columns=["of", "metric"], values="value", observed=True)
    wide.columns = [f"{column[1]} of {'values' if column[0] == 'value' else 'anomalies'}" for column in wide.columns]
    counts = chosen[chosen["of"] == "value"].groupby(["group", "layer"], observed=True)[["cells", "days"]].max()
    return counts.join(wide.round(3)).reset_index().rename(columns={"group": "network", "days": "cell-days"})


def _findings(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    chosen = table[(table["by"] == "all") & (table["metric"] == "pearson_r")]
    medians: dict[str, dict[str, float]] = {}
    for row in chosen.to_dict("records"):
        medians.setdefault(f"r_of_{row['of']}", {})[str(row["layer"])] = float(row["value"])
    return medians


def _period(pairs: pd.DataFrame) -> str:
    return f"{pairs['time'].min():%Y-%m-%d} to {pairs['time'].max():%Y-%m-%d}"
