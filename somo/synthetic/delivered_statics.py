"""Static files of an invented land in their providers' structure: ETOPO, ESA CCI land cover, SoilGrids.

The files are global, as their providers' are, but only chunks that hold a region are written: HDF5 and GeoTIFF leave
the others out, so that a map of 130,000 by 65,000 classes takes a few hundred kB.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5netcdf
import numpy as np
import pyproj
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

from somo.core.grid import Grid
from somo.storage.objects import put_file
from somo.synthetic.fields import Array, generator
from somo.synthetic.land import Land

HOMOLOSINE = "+proj=igh +lat_0=0 +lon_0=0 +datum=WGS84 +units=m +no_defs"
# Edges in metres and size of the maps of 1000 m: all land but Antarctica.
SOIL_WEST, SOIL_NORTH, SOIL_SHAPE = -19_949_000, 8_361_000, (14_549, 39_870)
FOREST, GRASS, BARE = 70, 130, 200
FLAG_VALUES = (
    0, 10, 11, 12, 20, 30, 40, 50, 60, 61, 62, 70, 71, 72, 80, 81, 82, 90, 100, 110, 120, 121, 122, 130, 140, 150, 151,
    152, 153, 160, 170, 180, 190, 200, 201, 202, 210, 220,
)  # fmt: skip
"""Classes of the Land Cover Classification System that the maps list."""
# Cells around a region that are written too, for readers that average or interpolate over the region's edge.
MARGIN = 2
Region = tuple[Grid, Land]


def write_elevation(url: str, regions: Sequence[Region]) -> None:
    """ETOPO 2022 at 60 arc seconds: `z` (lat, lon), rows from south to north, sea below zero."""

    def values(region: Region, row: NDArray[np.int64], column: NDArray[np.int64], lat: slice, lon: slice) -> Array:
        land = region[1]
        # A chessboard within each cell has the mean and the standard deviation that the land has there.
        sign = (-1.0) ** np.add.outer(np.arange(lat.start, lat.stop), np.arange(lon.start, lon.stop))
        height = np.where(land.land, land.elevation, -200.0)[row][:, column]
        return height + np.minimum(land.elevation_std, 800.0)[row][:, column] * sign

    lat, lon = -90 + (np.arange(10_800) + 0.5) / 60, -180 + (np.arange(21_600) + 0.5) / 60
    attrs = {"units": "meters", "standard_name": "height", "long_name": "z", "positive": "up", "grid_mapping": "crs"}
    with _global_file(url, lat, lon) as file:
        file.create_variable("crs", (), "i4", data=0).attrs.update({"grid_mapping_name": "latitude_longitude"})
        variable = file.create_variable("z", ("lat", "lon"), "f4", chunks=(120, 120), compression="gzip")
        variable.attrs.update(attrs)
        for region in regions:
            rows, columns, row, column = _window(region[0], lat, lon)
            variable[rows, columns] = values(region, row, column, rows, columns).astype("f4")


def write_land_cover(url: str, regions: Sequence[Region], seed: int) -> None:
    """ESA CCI and C3S land cover at 300 m: `lccs_class` (time, lat, lon) of unsigned bytes, from north to south."""
    lat, lon = 90 - (np.arange(64_800) + 0.5) / 360, -180 + (np.arange(129_600) + 0.5) / 360
    attrs = {
        "standard_name": "land_cover_lccs", "long_name": "Land cover class defined in LCCS",
        "flag_values": np.array(FLAG_VALUES, "u1"),
        "flag_meanings": " ".join(["no_data", *(f"class_{code}" for code in FLAG_VALUES[1:])]),
        "valid_min": np.uint8(1), "valid_max": np.uint8(220),
        "ancillary_variables": "processed_flag current_pixel_state observation_count change_count",
    }  # fmt: skip
    with _global_file(url, lat, lon) as file:
        file.dimensions["time"] = 1
        # Day 18,262 since 1970 is 2020-01-01, the year in the file's name.
        since = file.create_variable("time", ("time",), "f8", data=np.array([18262.0]))
        since.attrs.update({"units": "days since 1970-01-01 00:00:00", "standard_name": "time"})
        variable = file.create_variable(
            "lccs_class", ("time", "lat", "lon"), "u1", chunks=(1, 2025, 2025), compression="gzip", compression_opts=4
        )
        variable.attrs.update(attrs)
        for grid, land in regions:
            rows, columns, row, column = _window(grid, lat, lon)
            drawn = generator(seed, "land cover").random((len(row), len(column)))
            forest, short = (field[row][:, column] for field in (land.forest, land.short_vegetation))
            classes = np.where(drawn < forest, FOREST, np.where(drawn < forest + short, GRASS, BARE))
            variable[0, rows, columns] = classes.astype("u1")


def write_soil(url: str, regions: Sequence[Region], field: Callable[[Land], Array]) -> None:
    """SoilGrids 2.0 aggregated to 1000 m: g/kg in int16, in the Homolosine projection, without units."""
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "file.tif")
        with rasterio.open(
            local, "w", driver="GTiff", height=SOIL_SHAPE[0], width=SOIL_SHAPE[1], count=1, dtype="int16",
            nodata=-32768, crs=HOMOLOSINE, transform=from_origin(SOIL_WEST, SOIL_NORTH, 1000, 1000), compress="deflate",
            tiled=True, blockxsize=512, blockysize=512, sparse_ok=True,
        ) as raster:  # fmt: skip
            for grid, land in regions:
                window, lat, lon = _on_homolosine(grid)
                fraction = field(land)[_cells(lat, grid.lat), _cells(lon, grid.lon)]
                grams = np.round(1000 * fraction).astype("int16").reshape(window.height, window.width)
                raster.write(grams, 1, window=window)
        put_file(local, url)


def _on_homolosine(grid: Grid) -> tuple[Window, NDArray[np.float64], NDArray[np.float64]]:
    """The pixels around a region, and the latitude and longitude of each, row after row."""
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", HOMOLOSINE, always_xy=True)
    lat_edges, lon_edges = grid.bounds()
    border = MARGIN * grid.step_deg
    around = [np.linspace(edges.min() - border, edges.max() + border, 20) for edges in (lon_edges, lat_edges)]
    corner_lon, corner_lat = np.meshgrid(around[0], around[1])
    x, y = to_metres.transform(corner_lon.ravel(), corner_lat.ravel())
    left, top = int((min(x) - SOIL_WEST) // 1000), int((SOIL_NORTH - max(y)) // 1000)
    width, height = int((max(x) - min(x)) // 1000) + 2, int((max(y) - min(y)) // 1000) + 2
    centre_x = SOIL_WEST + 1000 * (left + np.arange(width) + 0.5)
    centre_y = SOIL_NORTH - 1000 * (top + np.arange(height) + 0.5)
    all_x, all_y = np.meshgrid(centre_x, centre_y)
    lon, lat = to_metres.transform(all_x.ravel(), all_y.ravel(), direction="INVERSE")
    return Window(left, top, width, height), np.asarray(lat), np.asarray(lon)


def _window(
    grid: Grid, lat: NDArray[np.float64], lon: NDArray[np.float64]
) -> tuple[slice, slice, NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of a global map around a region, and the region's row and column of each."""
    border = (MARGIN + 0.5) * grid.step_deg
    inside = [
        np.flatnonzero((axis > centres.min() - border) & (axis < centres.max() + border))
        for axis, centres in ((lat, grid.lat), (lon, grid.lon))
    ]
    rows, columns = (slice(int(numbers[0]), int(numbers[-1]) + 1) for numbers in inside)
    return rows, columns, _cells(lat[rows], grid.lat), _cells(lon[columns], grid.lon)


def _cells(points: NDArray[np.float64], centres: Array) -> NDArray[np.int64]:
    """The nearest cell along an axis."""
    nearest: NDArray[np.int64] = np.abs(points[:, None] - centres[None, :]).argmin(axis=1)
    return nearest


@contextmanager
def _global_file(url: str, lat: NDArray[np.float64], lon: NDArray[np.float64]) -> Iterator[h5netcdf.File]:
    """A NetCDF-4 with axes of latitudes and longitudes, which appears at a URL when it is closed."""
    with tempfile.TemporaryDirectory(prefix="somo-synthetic-") as folder:
        local = Path(folder, "file.nc")
        with h5netcdf.File(local, "w") as file:
            file.dimensions = {"lat": len(lat), "lon": len(lon)}
            for name, values, standard_name, word in (
                ("lat", lat, "latitude", "north"),
                ("lon", lon, "longitude", "east"),
            ):
                axis = file.create_variable(name, (name,), "f8", data=values, compression="gzip")
                axis.attrs.update({"units": f"degrees_{word}", "standard_name": standard_name})
            yield file
        put_file(local, url)
