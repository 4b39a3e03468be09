"""Skill at every station that its network had not seen: where it is good, and whether it is more than chance."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from numpy.typing import NDArray
from scipy.special import stdtr

from somo.validate.depths import depth_of, layer_names
from somo.validate.matching import KEYS, cell_scores
from somo.validate.published import Published
from somo.validate.sections.coast import counted_as
from somo.validate.sections.figures import (
    SPREAD_MAP,
    canvas,
    colour_bar,
    frame_map,
    map_extent,
    map_size,
    svg,
)
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

METRICS = ("pearson_r", "ubrmsd", "bias")
SIGNIFICANT = 0.05
"""Two-sided level below which a correlation is called more than chance."""
LEAST_DAYS = 30


def stations(judged: Judged) -> Section:
    """Section `stations` of a version."""
    return stations_section(judged.published)


def effective_size(y: NDArray[np.float64], y_hat: NDArray[np.float64]) -> float:
    """Number of independent pairs that as many days stand for: n (1 - a b) / (1 + a b), at most n.

    Soil moisture of one day tells much of the next, so that n days hold fewer independent ones. a and b are the
    correlations of each series with itself a day later (Bretherton et al. 1999, J. Climate 12, 1990).
    """
    a, b = (_lag_one(series) for series in (y, y_hat))
    return float(min(len(y), len(y) * (1 - a * b) / (1 + a * b)))


def _lag_one(series: NDArray[np.float64]) -> float:
    deviation = series - series.mean()
    variance = (deviation**2).sum()
    return float((deviation[1:] * deviation[:-1]).sum() / variance) if variance > 0 else 0.0


def probability_by_chance(r: float, size: float) -> float:
    """Two-sided p of a correlation of `size` independent pairs, by Student's t; NaN of two or fewer."""
    if not np.isfinite(r) or size <= 2:
        return float("nan")
    freedom = size - 2
    # A perfect correlation would divide by zero.
    t = abs(r) * np.sqrt(freedom / max(1 - r**2, 1e-12))
    return float(2 * stdtr(freedom, -t))


def stations_section(published: Published) -> Section:
    """Map and table of the skill at every station.

    Raises
    ------
    Impossible
        if no held-back cell has enough days
    """
    pairs = published.crossval.dropna(subset=["y", "y_hat"])
    skill = cell_scores(pairs, metrics=METRICS, min_days=LEAST_DAYS)
    if skill.empty:
        raise Impossible(f"no held-back cell has {LEAST_DAYS} days with a measurement and a prediction")
    table = with_places(with_significance(skill, pairs), published.sensors)
    cells = table.drop_duplicates(list(KEYS))
    share = {
        layer: float(layer_cells["significant"].mean()) for layer, layer_cells in cells.groupby("layer", observed=True)
    }
    home = cells[cells["domain"] == "home"]
    layers = layer_names(cells)
    width, height = map_size(published.grid)
    with canvas(1, len(layers), width * len(layers), height + 1.0) as (figure, axes):
        for ax, layer in zip(axes[0], layers, strict=True):
            drawn = _map(ax, home[home["layer"] == layer], map_extent(published.grid))
            frame_map(ax, map_extent(published.grid), depth_of(layer))
        colour_bar(figure, drawn, axes[0].tolist(), "correlation r with the measurements", extend="min")
    shares_text = ", ".join(f"{value:.0%} at {depth_of(layer)}" for layer, value in share.items())
    caption = (
        f"Correlation r of held-back cells on the map of the predicted domain, n = {len(home)} cell-layers; large "
        f"where it is more than chance (two-sided p < {SIGNIFICANT:g}, days counted as the independent ones that they "
        f"stand for, which the table tells), small and edged in orange where it is not. More than chance: "
        f"{shares_text} of all {len(cells)} cell-layers of every domain. Stations "
        "that share a cell share its row's numbers. Coast: Natural Earth."
    )
    return Section("stations", caption, svg(figure), table, readable(table), {"significant": share})


def with_significance(skill: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """The table of skill with `independent_days`, `p` and `significant` of every cell and layer."""
    sizes = {}
    for key, group in pairs.sort_values("time").groupby(list(KEYS), observed=True):
        sizes[key] = effective_size(group["y"].to_numpy(np.float64), group["y_hat"].to_numpy(np.float64))
    size = [sizes[key] for key in skill[list(KEYS)].itertuples(index=False, name=None)]
    chance = [probability_by_chance(r, n) for r, n in zip(skill["pearson_r"], size, strict=True)]
    tested = skill.assign(independent_days=size, p=chance)
    return tested.assign(significant=(tested["p"] < SIGNIFICANT) & (tested["pearson_r"] > 0))


def with_places(skill: pd.DataFrame, sensors: pd.DataFrame) -> pd.DataFrame:
    """One row a station, with its network, name and place."""
    used = sensors[sensors["kept"]].drop_duplicates([*KEYS, "network", "station"])
    places = used[[*KEYS, "network", "station", "latitude", "longitude"]]
    keys = {"domain": str, "layer": str}
    return skill.astype(keys).merge(places.astype(keys), on=list(KEYS), how="left")


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of stations, the numbers rounded, significance in words."""
    shown = table.sort_values(["network", "station", "layer"], ignore_index=True)
    return pd.DataFrame(
        {
            "network": shown["network"],
            "station": shown["station"],
            "lat": shown["latitude"].map("{:.2f}".format),
            "lon": shown["longitude"].map("{:.2f}".format),
            "layer": shown["layer"],
            "days": shown["n"].astype(int),
            # A high correlation of few effective days may be chance: "no" beside r 0.87 would read as a fault.
            "independent days": shown["independent_days"].round().astype(int),
            **{metric: shown[metric].round(3) for metric in METRICS},
            "more than chance": np.where(shown["significant"], "yes", "no"),
        }
    )


def _map(ax: Axes, cells: pd.DataFrame, extent: tuple[float, float, float, float]) -> ScalarMappable:
    chance = ~cells["significant"].to_numpy(bool)
    size, edge = np.where(chance, 12, 34), np.where(chance, "#d55e00", "#222222")
    west, east, _, _ = extent
    place = counted_as(cells["longitude"].to_numpy(np.float64), west, east), cells["latitude"]
    style: dict[str, Any] = {"vmin": 0, "vmax": 1, "cmap": SPREAD_MAP, "linewidths": 0.8, "zorder": 4}
    return ax.scatter(*place, s=size, c=cells["pearson_r"], edgecolors=edge.tolist(), **style)
