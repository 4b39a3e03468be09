"""Map of the sensors that a product would learn from, and of those it would not."""

from pathlib import Path

import pandas as pd

from somo.product.declaration import Product
from somo.product.inputs import RegularGrid
from somo.storage.patience import StorageError

SUFFIXES = (".png", ".svg", ".pdf")
MARGIN_DEG = 1.0
INCHES = (9.0, 7.0)


def write_map(product: Product, table: pd.DataFrame, path: Path) -> None:
    """Draw every sensor with a place: kept ones by layer, dropped ones grey, the grids as frames.

    Parameters
    ----------
    table : sensors as `somo sensors` lists them
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
    placed = table.dropna(subset=["latitude", "longitude"])
    dropped = placed[~placed["kept"]]
    axes.scatter(dropped["longitude"], dropped["latitude"], s=8, color="0.7", label=f"dropped ({len(dropped)})")
    for number, layer in enumerate(product.layers):
        in_layer = placed[placed["kept"] & (placed["layer"] == layer.name)]
        label = f"{layer.name}, {layer.top_m:g}-{layer.bottom_m:g} m ({len(in_layer)})"
        # Marks of deeper layers are smaller: most stations measure several layers at one place.
        axes.scatter(in_layer["longitude"], in_layer["latitude"], s=60 / (number + 1), alpha=0.6, label=label)
    for declared in product.grids().values():
        if isinstance(declared, RegularGrid):
            corner = declared.west, declared.south
            size = declared.east - declared.west, declared.north - declared.south
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="0.3"))
    axes.autoscale_view()
    axes.margins(MARGIN_DEG / 100)
    axes.set_xlabel("longitude, degrees east")
    axes.set_ylabel("latitude, degrees north")
    # A dollar sign in a name would begin a formula.
    axes.set_title(f"{product.name}: {int(table['kept'].sum())} of {len(table)} sensors", parse_math=False)
    axes.legend()
    figure.savefig(path, dpi=150)
