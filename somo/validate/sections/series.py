"""Series at three cells: held-back prediction and measurement, and Fig 7 with its weather."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from somo.validate.depths import depth_of, layer_names
from somo.validate.intervals import JUDGED, half_width
from somo.validate.matching import LEAST_DAYS, cell_scores
from somo.validate.metrics import scores
from somo.validate.published import Published
from somo.validate.sections.figures import (
    COLOURS,
    MEASURED,
    UNITS,
    canvas,
    coordinates,
    draw_points,
    draw_series,
    legend_below,
    svg,
)
from somo.validate.sections.register import Judged
from somo.validate.sections.section import Impossible, Section

# Days at the end of a daily series that are drawn: more would hide each other.
DRAWN_DAYS = 1096


def held_back_series(judged: Judged) -> Section:
    """Section `series` of a version."""
    return series_section(judged.published)


def cells_and_weather(judged: Judged) -> Section:
    """Section `fig7` of a version."""
    home = judged.published.crossval[judged.published.crossval["domain"] == judged.product.home]
    if home.empty:
        raise Impossible("no cell of the predicted domain was learnt from")
    cells = [cell for _, cell in typical_cells(home.dropna(subset=["y", "y_hat"]), 3)]
    return weather_section(judged.settled, judged.weather_at(cells))


def typical_cells(pairs: pd.DataFrame, count: int) -> list[tuple[str, int]]:
    """Cells with targets in most layers, spread from low to high skill (mean pearson_r over their layers).

    Raises
    ------
    Impossible
        if no cell has `LEAST_DAYS` pairs
    """
    skill = cell_scores(pairs, metrics=("pearson_r",)).groupby(["domain", "cell"], observed=True)["pearson_r"]
    by_cell = skill.agg(["mean", "size"])
    if by_cell.empty:
        raise Impossible(f"no cell has {LEAST_DAYS} days with a measurement and a held-back prediction")
    most = by_cell[by_cell["size"] == by_cell["size"].max()].sort_values("mean")
    # The first and the last are left out: the worst and the best cell are not typical.
    places = np.unique(np.linspace(0, len(most) - 1, count + 2).round().astype(int)[1:-1])
    return [(str(domain), int(cell)) for domain, cell in most.index[places]]


def weekly(series: pd.Series) -> pd.Series:
    """Mean of each centred week in which at least four of the seven days have a value."""
    return series.asfreq("D").rolling(7, center=True, min_periods=4).mean()


def weather_section(published: Published, weather: pd.DataFrame) -> Section:
    """Published and measured soil moisture at three cells of the predicted domain as 7-day means, with their weather.

    Parameters
    ----------
    weather : cell, time, precipitation (mm d-1) and, where declared, skin_temperature (K) of the cells to draw
    """
    cells = [int(c) for c in weather["cell"].unique()]
    layers = published.layers
    tables = []
    with canvas(len(layers) + 1, len(cells), 4.2 * len(cells), 2.0 * (len(layers) + 1), sharex="col") as (figure, axes):
        for column, cell in enumerate(cells):
            cell_weather = weather[weather["cell"] == cell].set_index("time")
            lat, lon = (float(v) for v in published.grid.centres(cell))
            _weather_panel(axes[0, column], cell_weather, f"the cell at {coordinates(lat, lon)}")
            for row, layer in enumerate(layers, start=1):
                table = _published_and_measured(published, cell, layer)
                _weekly_panel(axes[row, column], table, layer)
                tables.append(table.assign(cell=cell, layer=layer))
        legend_below(figure, axes[1, 0])
    table = pd.concat(tables, ignore_index=True)
    sky = "precipitation (area) and skin temperature (line)" if "skin_temperature" in weather else "precipitation"
    caption = (
        f"Soil moisture of the final ensemble at {len(cells)} cells with targets in most layers as 7-day means, the "
        f"targets that it learnt from, and above them {sky} as 7-day means. "
        f"n = {int(table['target'].notna().sum())} cell-days with a target, {published.period}: until the end of the "
        "last whole block of days."
    )
    return Section("fig7", caption, svg(figure), table)


def _published_and_measured(published: Published, cell: int, layer: str) -> pd.DataFrame:
    series = published.at_cells(np.array([cell]), layer)
    shown = pd.DataFrame({"time": series["time"].values, "soil_moisture": series.values[0].astype(np.float64)})
    t = published.targets
    measured = t[(t["domain"] == "home") & (t["cell"] == cell) & (t["layer"] == layer)][["time", "value"]]
    return shown.merge(measured.rename(columns={"value": "target"}), on="time", how="outer").sort_values("time")


def _weekly_panel(ax: Axes, table: pd.DataFrame, layer: str) -> None:
    series = table.set_index("time")
    draw_series(ax, weekly(series["target"]), MEASURED, "target", 2.0)
    draw_series(ax, weekly(series["soil_moisture"]), COLOURS[1], "published", 0.9)
    ax.set(title=depth_of(layer), ylabel=UNITS)


def _weather_panel(ax: Axes, cell_weather: pd.DataFrame, title: str) -> None:
    rain = weekly(cell_weather["precipitation"])
    ax.fill_between(rain.index, rain.to_numpy(), color=COLOURS[0], linewidth=0, rasterized=True)
    ax.set(title=title)
    ax.set_ylabel("rain (mm d⁻¹)", color=COLOURS[0])
    if "skin_temperature" in cell_weather:
        other = ax.twinx()
        draw_series(other, weekly(cell_weather["skin_temperature"]) - 273.15, COLOURS[5], "skin temperature", 0.9)
        other.set_ylabel("skin (°C)", color=COLOURS[5])
        other.grid(visible=False)


def stations_of_cell(sensors: pd.DataFrame, domain: str, cell: int) -> str:
    """Where a cell is, as a reader knows the place: its first station and how many more, and their mean coordinates.

    Parameters
    ----------
    sensors : domain, cell, station, latitude, longitude and whether it was kept, a row a sensor
    """
    learnt_from = sensors[(sensors["domain"] == domain) & (sensors["cell"] == cell) & sensors["kept"]]
    if learnt_from.empty:
        return f"{domain} cell {cell}"
    stations = sorted({str(station) for station in learnt_from["station"]})
    more = f" and {len(stations) - 1} more" if len(stations) > 1 else ""
    lat, lon = learnt_from[["latitude", "longitude"]].mean()
    return f"{stations[0]}{more} ({coordinates(lat, lon)})"


def series_section(published: Published, columns: int = 3) -> Section:
    """Held-back daily series of three cells, measured against predicted: low, middling and high skill."""
    pairs = published.crossval.dropna(subset=["y", "y_hat"])
    chosen = typical_cells(pairs, columns)
    layers = layer_names(pairs)
    with canvas(len(layers), len(chosen), 4.2 * len(chosen), 2.1 * len(layers), sharex="col") as (figure, axes):
        for column, (domain, cell) in enumerate(chosen):
            cell_pairs = pairs[(pairs["domain"] == domain) & (pairs["cell"] == cell)]
            place = stations_of_cell(published.sensors, domain, cell)
            for row, layer in enumerate(layers):
                layer_pairs = cell_pairs[cell_pairs["layer"] == layer]
                # The place is said once, above the column: with the depth beside it, a long name would not fit.
                title = f"{place}\n{depth_of(layer)}" if row == 0 else depth_of(layer)
                _series_panel(axes[row, column], layer_pairs, title)
        legend_below(figure, axes[0, 0], markerscale=3)
    table = pairs.set_index(["domain", "cell"]).loc[chosen].reset_index()
    interval = ", with the interval that is said to hold 90 % of the measurements" if "uncertainty" in pairs else ""
    caption = (
        f"Daily soil moisture at {len(chosen)} cells between low and high skill (three: at its quarter, half and "
        "three quarters; correlation r, mean over layers) of those with most layers; predicted by networks that never "
        f"saw the cell. Drawn: the last three years{interval}; r and ubRMSD of all days. n = {len(table)} cell-days, "
        f"{table['time'].min():%Y-%m-%d} to {table['time'].max():%Y-%m-%d}."
    )
    return Section("series", caption, svg(figure), table)


def _series_panel(ax: Axes, layer_pairs: pd.DataFrame, title: str) -> None:
    if layer_pairs.empty:
        ax.set(title=f"{title}: no data")
        return
    series = layer_pairs.set_index("time").sort_index()
    drawn = series[series.index > series.index[-1] - pd.Timedelta(days=DRAWN_DAYS)]
    if "uncertainty" in drawn:
        reach = half_width(JUDGED) * drawn["uncertainty"]
        ends = drawn["y_hat"] - reach, drawn["y_hat"] + reach
        ax.fill_between(drawn.index, *ends, color=COLOURS[1], alpha=0.25, linewidth=0, label="90 % interval")
    draw_series(ax, drawn["y_hat"], COLOURS[1], "predicted")
    draw_points(ax, drawn["y"], MEASURED, "measured")
    numbers = scores(series["y"].to_numpy(), series["y_hat"].to_numpy(), ("pearson_r", "ubrmsd"))
    text = f"r {numbers['pearson_r']:.2f}, ubRMSD {numbers['ubrmsd']:.3f}, n {numbers['n']}"
    ax.set(ylabel=UNITS)
    ax.set_title(f"{title}: {text}", fontsize=8.5)
