"""The latest day as cloud-optimised GeoTIFFs, for GDAL and QGIS, and as a small picture for catalogues."""

import io

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.publish import attributes
from somo.publish.attributes import UNCERTAINTY

FOLDER = "geotiff"
THUMBNAIL = "thumbnail.png"
FIELDS = ("soil_moisture", "soil_moisture_std", UNCERTAINTY, "anomaly", "percentile", "drought_class")
# Coordinates that were kept as float32 differ from whole steps by some 4e-6 degrees.
TOLERANCE_DEG = 1e-5
SHOWN_M3_M3 = (0.0, 0.5)
"""Soil moisture at the ends of the thumbnail's colours."""


def key_of(product: Product, layer: str, field: str) -> str:
    """Key of the GeoTIFF of a layer and field below the version."""
    return f"{FOLDER}/{product.name}_{layer}_{field}_latest.tif"


def latest_images(
    product: Product, store: xr.Dataset, drought: xr.Dataset | None, year: int | None = None
) -> dict[str, bytes]:
    """Bytes of every image of the latest day, by key below the version; empty on a grid that is not regular.

    Parameters
    ----------
    store : the version's Zarr store, fields [depth, time, lat, lon]
    drought : the drought store, whose last window is taken; None if there is none
    year : of the release, which the version is cited by where its declaration has no date
    """
    grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    if not is_regular(grid):
        return {}
    # Whoever is given one file has no other way to know what it is, and whether it may be passed on.
    origin = {
        "title": attributes.title(product),
        "version": product.version,
        "citation": attributes.citation(product, year),
        "licence": product.publication.licence,
    }
    images = {}
    for source in (store, drought):
        if source is None:
            continue
        latest = source.isel(time=-1)
        for field in (name for name in FIELDS if name in latest):
            for index, layer in enumerate(product.layers):
                values = latest[field].isel(depth=index).values.astype("float32")
                about = {**latest[field].attrs, "date": str(latest["time"].values)[:10], "layer": layer.name}
                images[key_of(product, layer.name, field)] = geotiff(values, grid, about, origin)
    images[THUMBNAIL] = thumbnail(store["soil_moisture"].isel(time=-1, depth=0).values, grid)
    return images


def is_regular(grid: Grid) -> bool:
    """Whether neighbouring centres lie one step apart on either axis, as an image has its pixels."""
    # Rows with gaps between them may be equally far apart as well, and an image would draw them together.
    return all(
        np.abs(np.abs(np.diff(axis)) - grid.step_deg).max(initial=0) < TOLERANCE_DEG for axis in (grid.lat, grid.lon)
    )


def geotiff(values: NDArray[np.float32], grid: Grid, about: dict[str, object], origin: dict[str, str]) -> bytes:
    """Cloud-optimised GeoTIFF of a map.

    Parameters
    ----------
    values : [row, column], NaN where there is none
    about : attributes; unit, name, day and layer of the band are taken from them
    origin : what the file is a part of: title, version, citation, licence
    """
    upward = len(grid.lat) > 1 and grid.lat[1] > grid.lat[0]
    lat_bounds, lon_bounds = grid.bounds()
    profile = {
        "driver": "COG", "dtype": "float32", "count": 1, "height": values.shape[0], "width": values.shape[1],
        # Predictor 3 is the one for floating-point numbers; 2 is for integers.
        "crs": "EPSG:4326", "nodata": float("nan"), "compress": "deflate", "predictor": 3,
        "transform": Affine(grid.step_deg, 0, lon_bounds.min(), 0, -grid.step_deg, lat_bounds.max()),
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as raster:
            raster.write(values[::-1] if upward else values, 1)
            raster.set_band_description(1, f"{about['long_name']}, {about['layer']}, {about['date']} (UTC day)")
            raster.units = (str(about.get("units", "1")),)
            raster.update_tags(date=about["date"], layer=about["layer"], **origin)
        return bytes(memory.getbuffer())


def thumbnail(values: NDArray[np.float32], grid: Grid) -> bytes:
    """A PNG of soil moisture, one pixel a cell enlarged to some 600 pixels, transparent where there is no value."""
    # The status asks this module for names alone, and matplotlib takes a third of a second.
    import matplotlib.image
    from matplotlib import colormaps

    if len(grid.lat) > 1 and grid.lat[1] > grid.lat[0]:
        values = values[::-1]
    enlarged = np.kron(values, np.ones((max(1, 600 // values.shape[1]),) * 2))
    low, high = SHOWN_M3_M3
    colours = colormaps["YlGnBu"](np.clip((enlarged - low) / (high - low), 0, 1))
    # Zero in all four channels, the fourth of which is opacity.
    colours[np.isnan(enlarged)] = 0
    file = io.BytesIO()
    # matplotlib would write its own version into the file, and equal pictures would differ after an upgrade.
    matplotlib.image.imsave(file, colours, format="png", metadata={"Software": "somo"})
    return file.getvalue()
