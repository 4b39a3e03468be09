"""Map of the sensors that a product would learn from, and of those it would not."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from somo.product.declaration import Product
from somo.product.inputs import RegularGrid
from somo.storage.patience import StorageError

SUFFIXES = (".png", ".svg", ".pdf")
INCHES = (9.0, 7.0)
# Diameters of rings, points: the shallowest sensor of a place has the smallest, and each below it a larger one, so that
# all depths of a station are seen around one centre.
RING_POINTS, WIDER_POINTS = 4.0, 3.5
# Part of the grids' width that is left free around them.
MARGIN = 0.03


def write_map(product: Product, table: pd.DataFrame, path: Path) -> None:
    """Draw every sensor with a place as a ring: kept ones by layer, dropped ones grey, the grids as frames.

    The map shows the grids: a station far from them, as one with latitude and longitude swapped, would shrink them to a
    dot. How many lie outside of it is told below it.

    Parameters
    ----------
    table : sensors as `somo sensors` lists them

    Raises
    ------
    StorageError
        where the name of the file ends in none of `SUFFIXES`
    """
    if path.suffix not in SUFFIXES:
        raise StorageError(f"{path}: a map is written as {', '.join(SUFFIXES)}; choose one of these endings")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    # Without pyplot, which holds every figure of a process and may look for a screen.
    figure = Figure(figsize=INCHES, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    placed = with_rings(table)
    dropped = placed[~placed["kept"]]
    groups = [(dropped, f"dropped ({len(dropped)})", "0.6")]
    for number, layer in enumerate(product.layers):
        in_layer = placed[placed["kept"] & (placed["layer"] == layer.name)]
        label = f"{layer.name}, {layer.top_m:g}-{layer.bottom_m:g} m ({len(in_layer)})"
        groups.append((in_layer, label, f"C{number}"))
    for sensors, label, color in groups:
        axes.scatter(
            sensors["longitude"], sensors["latitude"], s=sensors["ring"] ** 2, label=label, facecolors="none",
            edgecolors=color, linewidths=1.2,
        )  # fmt: skip
    frames = [grid for grid in product.grids().values() if isinstance(grid, RegularGrid)]
    for frame in frames:
        size = frame.east - frame.west, frame.north - frame.south
        axes.add_patch(Rectangle((frame.west, frame.south), *size, fill=False, edgecolor="0.2", linewidth=1.5))
    axes.set_xlabel("longitude, degrees east")
    axes.set_ylabel("latitude, degrees north")
    if edges := map_edges(frames):
        west, east, south, north = edges
        axes.set_xlim(west, east)
        axes.set_ylim(south, north)
        is_inside = placed["longitude"].between(west, east) & placed["latitude"].between(south, north)
        if outside := int((~is_inside).sum()):
            axes.set_xlabel(f"longitude, degrees east (sensors outside of this map: {outside})")
    # A dollar sign in a name would begin a formula.
    axes.set_title(f"{product.name}: {int(table['kept'].sum())} of {len(table)} sensors", parse_math=False)
    axes.legend()
    figure.savefig(path, dpi=150)


def with_rings(table: pd.DataFrame) -> pd.DataFrame:
    """The sensors that have a place, with the diameter of their ring in points: wider for each deeper one there."""
    placed = table.dropna(subset=["latitude", "longitude"]).sort_values("depth_from_m", kind="stable")
    sensors_above = placed.groupby(["latitude", "longitude"]).cumcount()
    return placed.assign(ring=RING_POINTS + WIDER_POINTS * sensors_above)


def map_edges(grids: Sequence[RegularGrid]) -> tuple[float, float, float, float] | None:
    """West, east, south and north of a map that shows grids, degrees; None where no grid has edges of its own."""
    if not grids:
        return None
    west, east = min(grid.west for grid in grids), max(grid.east for grid in grids)
    south, north = min(grid.south for grid in grids), max(grid.north for grid in grids)
    margin = MARGIN * max(east - west, north - south)
    return west - margin, east + margin, south - margin, north + margin
