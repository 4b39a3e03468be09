"""Drawing shared by every figure: style, maps with coast lines, scatters, densities, boxes, series; all to SVG.

Colours are those of Okabe & Ito (2008) for categories and of viridis, YlGnBu and BrBG for numbers: they stay apart
for readers with any of the common colour-vision deficiencies, and in grey.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.typing import RcKeyType
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.validate.sections.coast import coast_lines

Floats = NDArray[np.floating]

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#F0E442")
MEASURED = "#000000"
UNITS = "m³ m⁻³"
SOIL_MAP, ANOMALY_MAP, SPREAD_MAP = "YlGnBu", "BrBG", "cividis"

_STYLE: dict[RcKeyType, Any] = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "legend.frameon": False,
    # Without a salt matplotlib names clip paths at random, and equal figures would differ in their bytes.
    "svg.hashsalt": "somo",
    # Letters are outlines: they look alike where the font is not installed.
    "svg.fonttype": "path",
    "figure.constrained_layout.use": True,
}


@contextmanager
def canvas(
    rows: int,
    columns: int,
    width: float,
    height: float,
    sharex: Literal["none", "col", "all"] = "none",
    height_ratios: Sequence[float] | None = None,
) -> Iterator[tuple[Figure, NDArray[np.object_]]]:
    """A figure of `rows` x `columns` axes, `width` and `height` in inches, in the style of every figure.

    The page shows it at that size where it is at most about 11 inches wide, and smaller beyond.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(rows, columns, squeeze=False, sharex=sharex, height_ratios=height_ratios)


def svg(figure: Figure) -> bytes:
    """The figure as SVG; the same figure gives the same bytes."""
    target = io.BytesIO()
    with mpl.rc_context(_STYLE):
        # `savefig` draws a figure once to work out its layout and once to write it. The layout worked out alone gives
        # the same bytes in two thirds of the time. The canvas comes first, since it measures letters.
        canvas_of_figure = FigureCanvasSVG(figure)
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")
        # The resolution of what is drawn as pixels; the layout is in points, whatever it is.
        figure.dpi = 160
        canvas_of_figure.print_svg(target, metadata={"Date": None})
    return target.getvalue()


def map_size(grid: Grid) -> tuple[float, float]:
    """Width and height in inches of one map with its labels."""
    aspect = _aspect(*map_extent(grid))
    height = min(2.9 * aspect, 3.4)
    return height / aspect + 0.7, height + 0.6


def map_extent(grid: Grid) -> tuple[float, float, float, float]:
    """West, east, south and north of a grid; with a margin where cells do not touch, which are drawn larger."""
    lat, lon = grid.bounds()
    pad = 0.0 if _touching(grid) else 0.05 * max(np.ptp(lat), np.ptp(lon))
    return lon.min() - pad, lon.max() + pad, lat.min() - pad, lat.max() + pad


def _touching(grid: Grid) -> bool:
    return all(np.allclose(np.abs(np.diff(c)), grid.step_deg, rtol=1e-3) for c in (grid.lat, grid.lon))


def _aspect(west: float, east: float, south: float, north: float) -> float:
    """Height over width of a map on the ground."""
    # Near the poles the cosine goes to zero and the map would become endlessly tall.
    parallel_deg = np.clip((south + north) / 2, -80, 80)
    aspect: float = (north - south) / ((east - west) * np.cos(np.radians(parallel_deg)))
    return aspect


def draw_map(
    ax: Axes, field: Floats, grid: Grid, cmap: str, limits: tuple[float, float], title: str = ""
) -> ScalarMappable:
    """A field [lat, lon] with coast lines; cells that do not touch are drawn as squares of a visible size."""
    shades = mpl.colormaps[cmap]
    norm = Normalize(*limits)
    if _touching(grid):
        lat_bounds, lon_bounds = grid.bounds()
        lat_edges, lon_edges = (np.append(b[:, 0], b[-1, 1]) for b in (lat_bounds, lon_bounds))
        drawn: ScalarMappable = ax.pcolormesh(
            lon_edges, lat_edges, np.ma.masked_invalid(field), cmap=shades, norm=norm, rasterized=True
        )
    else:
        row, column = np.nonzero(np.isfinite(field))
        size = np.clip(40_000 / max(len(row), 1), 6, 60)
        drawn = ax.scatter(
            grid.lon[column],
            grid.lat[row],
            c=field[row, column],
            s=size,
            marker="s",
            cmap=shades,
            norm=norm,
            edgecolors="#444444",
            linewidths=0.4,
        )
    frame_map(ax, map_extent(grid), title)
    return drawn


def frame_map(ax: Axes, extent: tuple[float, float, float, float], title: str = "") -> None:
    """Coast lines, limits, aspect and degree labels of a map (west, east, south, north)."""
    west, east, south, north = extent
    coast = coast_lines(west, east, south, north)
    halo = [withStroke(linewidth=1.6, foreground="#ffffff")]
    ax.plot(coast[:, 0], coast[:, 1], color="#222222", linewidth=0.7, zorder=3, path_effects=halo)
    ax.set(xlim=(west, east), ylim=(south, north), title=title)
    ax.set_aspect(1 / np.cos(np.radians(np.clip((south + north) / 2, -80, 80))))
    ax.xaxis.set_major_formatter(lambda v, _: f"{abs(v):g}°{'W' if v < 0 else 'E' if v > 0 else ''}")
    ax.yaxis.set_major_formatter(lambda v, _: f"{abs(v):g}°{'S' if v < 0 else 'N' if v > 0 else ''}")
    ax.locator_params(nbins=5)
    ax.locator_params(axis="x", nbins=5 if _aspect(*extent) < 1.2 else 3)


def coordinates(lat: float, lon: float) -> str:
    """A place as people write it: 50.25° N, 8.75° E."""
    return f"{abs(lat):.2f}° {'S' if lat < 0 else 'N'}, {abs(lon):.2f}° {'W' if lon < 0 else 'E'}"


def colour_bar(
    figure: Figure, drawn: ScalarMappable, axes: Sequence[Axes] | Axes, label: str, extend: str = "both"
) -> None:
    """A horizontal bar under the axes."""
    figure.colorbar(
        drawn, ax=axes, label=label, orientation="horizontal", shrink=0.7, aspect=40, pad=0.02, extend=extend
    )


def draw_identity(ax: Axes, values: Floats) -> None:
    """Equal limits around finite values and the line of agreement."""
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    # Where all values are equal the limits would be equal too, of which matplotlib warns.
    pad = 0.04 * (high - low) or 0.01
    ax.plot([low - pad, high + pad], [low - pad, high + pad], color="#888888", linewidth=0.8, zorder=1)
    ax.set(xlim=(low - pad, high + pad), ylim=(low - pad, high + pad))
    ax.set_aspect("equal")
    ax.locator_params(nbins=5)


def draw_density(ax: Axes, x: Floats, y: Floats) -> ScalarMappable:
    """Number of pairs per bin on a logarithmic scale, with the line of agreement."""
    draw_identity(ax, np.concatenate([x, y]))
    low, high = ax.get_xlim()
    counts, edges, _ = np.histogram2d(x, y, bins=60, range=[[low, high]] * 2)
    norm = LogNorm(1, max(counts.max(), 10))
    return ax.pcolormesh(
        edges, edges, np.ma.masked_equal(counts.T, 0), norm=norm, cmap=mpl.colormaps["viridis"], rasterized=True
    )


def draw_boxes(ax: Axes, groups: Mapping[str, Floats], colours: Mapping[str, str]) -> None:
    """One box per name, downward, from the 0.2 to the 0.8 quantile, a line at the median, a triangle at the mean."""
    for position, (name, values) in enumerate(groups.items()):
        finite = values[np.isfinite(values)]
        if len(finite) == 0:
            continue
        low, middle, high = np.quantile(finite, (0.2, 0.5, 0.8))
        ax.barh(position, high - low, 0.6, low, color=colours[name], alpha=0.55, edgecolor="#222222", linewidth=0.7)
        ax.plot([middle, middle], [position - 0.3, position + 0.3], color="#222222", linewidth=1.4)
        ax.plot(finite.mean(), position, marker="^", color="#222222", markersize=5)
    names = [f"{name} (n = {np.isfinite(values).sum()})" for name, values in groups.items()]
    ax.set_yticks(range(len(groups)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    # Bars ask for no margin at the end that they begin at, and boxes would touch the axis.
    ax.use_sticky_edges = False
    ax.margins(x=0.08)
    ax.locator_params(axis="x", nbins=5)
    ax.grid(axis="y", visible=False)


def draw_series(ax: Axes, series: pd.Series, colour: str, label: str, width: float = 0.9) -> None:
    """A daily series as a line, broken where days are missing."""
    daily = series.asfreq("D")
    ax.plot(daily.index, daily.to_numpy(), color=colour, label=label, linewidth=width)
    _name_days(ax)


def draw_points(ax: Axes, series: pd.Series, colour: str, label: str) -> None:
    """A daily series as points, for measurements that may be rare."""
    ax.plot(series.index, series.to_numpy(), ".", color=colour, label=label, markersize=2.2, rasterized=True)
    _name_days(ax)


def legend_below(figure: Figure, ax: Axes, markerscale: float = 1.0) -> None:
    """One legend for the whole figure, of what is drawn in `ax`."""
    handles, labels = ax.get_legend_handles_labels()
    for columns in range(min(len(labels), 6), 0, -1):
        legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, markerscale=markerscale)
        # What reaches beyond a narrow figure is cut off, names of products first.
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def date_locator() -> AutoDateLocator:
    """Places of dates on an axis; with room for eight there is an interval for every span of days."""
    return AutoDateLocator(minticks=3, maxticks=8)


def _name_days(ax: Axes) -> None:
    locator = date_locator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))
