"""Every figure in words, for people who cannot see it, made from the numbers behind the figure."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from somo.validate.depths import in_declared_order
from somo.validate.sections.register import SECTIONS
from somo.validate.sections.section import Section

Depths = Mapping[str, str]


def text_alternative(section: Section, depths: Depths) -> str:
    """What the figure of a section shows.

    Parameters
    ----------
    depths : each layer's depth for people by its name
    """
    describe = DESCRIBED.get(section.name)
    try:
        description = describe(section, depths) if describe and not section.table.empty else ""
    except (KeyError, IndexError, ValueError):
        # A report made by another release may hold tables without a column: its caption still says what is drawn.
        description = ""
    title = SECTIONS[section.name].title
    return f"{title}. {description or section.caption}"


def _by_layer(values: Mapping[str, object], depths: Depths) -> str:
    return "; ".join(f"{depths.get(layer, layer)} {value}" for layer, value in _downward(values, depths).items())


def _downward(values: Mapping[str, object], depths: Depths) -> dict[str, object]:
    return {layer: values[layer] for layer in in_declared_order(values, depths)}


def _range(values: pd.Series, digits: int = 2) -> str:
    low, high = np.nanmin(values), np.nanmax(values)
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _overview(section: Section, depths: Depths) -> str:
    ranges = {}
    for layer, cells in section.table.groupby("layer", observed=True):
        driest, wettest = (cells.loc[getattr(cells["soil_moisture"], f"idx{end}")()] for end in ("min", "max"))
        uncertainty = (
            f"standard uncertainty {_range(cells['soil_moisture_uncertainty'], 3)}, "
            if "soil_moisture_uncertainty" in cells
            else ""
        )
        ranges[str(layer)] = (
            f"from {driest['soil_moisture']:.2f} m3 m-3 near {driest['lat']:.1f} N {driest['lon']:.1f} E to "
            f"{wettest['soil_moisture']:.2f} near {wettest['lat']:.1f} N {wettest['lon']:.1f} E, "
            f"{uncertainty}spread {_range(cells['soil_moisture_std'], 3)}"
        )
    return f"Maps of mean soil moisture and of how uncertain and how spread it is. {_by_layer(ranges, depths)}."


def _split(section: Section, depths: Depths) -> str:
    skill = section.findings.get("network", {})
    if not skill:
        return ""
    numbers = {layer: f"r {m['pearson_r']:.2f}, ubRMSD {m['ubrmsd']:.3f}" for layer, m in skill.items()}
    return (
        f"Predicted against measured, as cell means and as all days. Median over cells: {_by_layer(numbers, depths)}."
    )


def _stations(section: Section, depths: Depths) -> str:
    cells = section.table.drop_duplicates(["domain", "cell", "layer"])
    skill_texts = {
        str(layer): f"r {_range(layer_cells['pearson_r'])}, more than chance at {layer_cells['significant'].mean():.0%}"
        for layer, layer_cells in cells.groupby("layer", observed=True)
    }
    return f"Maps of the correlation at every station. {_by_layer(skill_texts, depths)}."


def _uncertainty(section: Section, depths: Depths) -> str:
    stated = section.findings.get("uncertainty", {})
    shares = {layer: f"{m['coverage_90']:.0%}" for layer, m in stated.items()}
    return f"Share of measurements inside the stated 90 % interval: {_by_layer(shares, depths)}."


def _groups(section: Section, depths: Depths) -> str:
    climates = section.table[(section.table["by"] == "climate") & (section.table["metric"] == "pearson_r")]
    values = climates[climates["of"] == "value"].groupby("group", observed=True)["value"].median()
    return f"Boxes of r by climate; medians: {', '.join(f'{name} {r:.2f}' for name, r in values.items())}."


def _series(section: Section, depths: Depths) -> str:
    cells = section.table.groupby(["domain", "cell"], observed=True).ngroups
    return f"Lines of predicted over points of measured daily soil moisture at {cells} cells, one row a depth."


def _training(section: Section, depths: Depths) -> str:
    cell_counts = {layer: f"{counts['cells']} cells" for layer, counts in section.findings.items()}
    counts_text = _by_layer(cell_counts, depths)
    return f"Maps of training cells, their places among all climates, and bars of their number: {counts_text}."


def _memory(section: Section, depths: Depths) -> str:
    reached = section.findings.get("memory_days", {}).items()
    days = {layer: f"{value:.0f} days" for layer, value in reached if value is not None and np.isfinite(value)}
    days_text = f"; nearly all skill is there after {_by_layer(days, depths)}" if days else ""
    return f"Curves that rise with the days of weather left intact{days_text}."


def _importance(section: Section, depths: Depths) -> str:
    strongest_inputs = {}
    for layer, drops in section.findings.get("r_drop", {}).items():
        first = max(drops, key=lambda name: drops[name])
        strongest_inputs[layer] = f"{first.replace('_', ' ')} with a loss of r of {drops[first]:.2f}"
    return f"Bars of the skill lost with each input; the longest: {_by_layer(strongest_inputs, depths)}."


def _products(section: Section, depths: Depths) -> str:
    medians = section.findings.get("pearson_r", {})
    return f"Boxes of r and ubRMSD by product and depth; median r: {_named(medians, depths)}."


def _named(medians: Mapping[str, float], depths: Depths) -> str:
    texts = []
    for name, r in medians.items():
        layer, _, product = name.partition(" ")
        texts.append(f"{product} at {depths.get(layer, layer)} {r:.2f}")
    return ", ".join(texts)


def _collocation(section: Section, depths: Depths) -> str:
    medians = _named(section.findings.get("r", {}), depths)
    return f"Boxes of r with the truth by pair of other products; medians: {medians}."


def _seasons(section: Section, depths: Depths) -> str:
    means = section.table.groupby("product", sort=False)["mean"]
    ranges = ", ".join(f"{name} {_range(values)} m3 m-3" for name, values in means)
    # The first row correlates this product with itself.
    patterns = [
        f"{row['product']} {row['r']:.2f}"
        for row in section.findings.get("pattern_r", [])
        if row["of"] == "mean" and row["r"] is not None
    ][1:]
    patterns_text = f" Pattern correlation of the means with this product: {', '.join(patterns)}." if patterns else ""
    # Versions of fewer than three years have no deviations, and their figure no maps of them.
    deviations = " and of one year's deviation" if section.table["z_score"].notna().any() else ""
    return f"Maps of the season's mean of each product ({ranges}){deviations}.{patterns_text}"


def _regional(section: Section, depths: Depths) -> str:
    # The first rows are this product's; of another one the driest year may be another.
    own = section.table[section.table["product"] == section.table["product"].iloc[0]]
    rows = own.loc[own.groupby("region")["anomaly"].idxmin()]
    driest = ", ".join(f"{row['region']} in {row['year']}" for row in rows.to_dict("records"))
    return f"Lines of each region's anomaly by year. Driest: {driest}."


def _weather(section: Section, depths: Depths) -> str:
    cells = section.table["cell"].nunique()
    return f"Weekly soil moisture over its targets at {cells} cells, one row a depth, under rain and temperature."


DESCRIBED: dict[str, Callable[[Section, Depths], str]] = {
    "overview": _overview,
    **dict.fromkeys(("figS3", "fig4", "figS4"), _split),
    "stations": _stations,
    "uncertainty": _uncertainty,
    "groups": _groups,
    "series": _series,
    "fig2": _training,
    "fig3": _memory,
    "figS2": _importance,
    "fig5a": _products,
    "fig5b": _products,
    "collocation": _collocation,
    "fig6": _seasons,
    "figS6": _regional,
    "fig7": _weather,
}
