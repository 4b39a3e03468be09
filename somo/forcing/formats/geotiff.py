"""GeoTIFF and cloud-optimised GeoTIFF by rasterio, window by window; every band is a variable.

A band is declared by its number (`variable = "1"`) or its description. The time of a file is the day in its name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from somo.forcing.formats.opening import Handle, file_handle
from somo.forcing.formats.stored import Stored, UnreadableError, Variable, Window, zarr_metadata
from somo.forcing.listing import SourceFile


class GeoTiff:
    """Rasters with a north-up transformation and a coordinate reference system."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        with file_handle(file) as handle, _opened(handle) as raster:
            return {
                name: Variable(("y", "x"), raster.shape, raster.dtypes[band - 1], _attrs(raster, band))
                for name, band in _bands(raster).items()
            }

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        with file_handle(file) as handle, _opened(handle) as raster:
            band = _band(raster, variable)
            chunk = tuple(int(n) for n in raster.block_shapes[band - 1])
            _require_whole(raster, handle)
            _require_no_mask(raster, band)
            return Stored(
                dims=("y", "x"),
                shape=tuple(raster.shape),
                attrs=_attrs(raster, band),
                array=zarr_metadata(raster.shape, chunk, np.dtype(raster.dtypes[band - 1]), None, []),
                chunks=None,
                coordinates=_coordinates(raster),
            )

    def read(self, file: SourceFile, variable: str, window: Window) -> NDArray[Any]:
        """Stored numbers of a window."""
        with file_handle(file) as handle, _opened(handle) as raster:
            spans = [_span(along_axis, length) for along_axis, length in zip(window, raster.shape, strict=True)]
            stored: NDArray[Any] = raster.read(_band(raster, variable), window=RasterWindow.from_slices(*spans))
            return stored


def _span(along_axis: slice | NDArray[np.int64], length: int) -> tuple[int, int]:
    # Places one by one are asked for along time alone, which no raster has.
    assert isinstance(along_axis, slice)
    first, stop, _ = along_axis.indices(length)
    return first, stop


def _opened(handle: Handle) -> Any:
    try:
        # Only GDAL's reader of TIFF: no other driver may follow what a hostile file points to.
        return rasterio.open(handle, driver="GTiff", sharing=False)
    except RasterioError as error:
        raise UnreadableError(f"is a damaged or truncated TIFF ({error}); get it again") from error


def _bands(raster: Any) -> dict[str, int]:
    """Numbers of the bands by the name to declare: their descriptions where all differ, else their numbers."""
    names = [name or "" for name in raster.descriptions]
    if all(names) and len(set(names)) == len(names):
        return {name: number for number, name in enumerate(names, 1)}
    return {str(number): number for number in raster.indexes}


def _band(raster: Any, variable: str) -> int:
    bands: dict[str, int] = {**{str(number): number for number in raster.indexes}, **_bands(raster)}
    if variable not in bands:
        raise UnreadableError(f"no variable {variable!r}; it has the bands {', '.join(bands)}: correct the variable")
    return bands[variable]


def _attrs(raster: Any, band: int) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    if raster.units[band - 1]:
        attrs["units"] = raster.units[band - 1]
    if (fill := raster.nodatavals[band - 1]) is not None:
        attrs["_FillValue"] = np.float64(fill)
    if (raster.scales[band - 1], raster.offsets[band - 1]) != (1.0, 0.0):
        attrs["scale_factor"] = np.float64(raster.scales[band - 1])
        attrs["add_offset"] = np.float64(raster.offsets[band - 1])
    return attrs


def _require_whole(raster: Any, handle: Handle) -> None:
    """The last block must lie inside the file."""
    for band in (1, raster.count):
        row, column = (-(-n // block) - 1 for n, block in zip(raster.shape, raster.block_shapes[band - 1], strict=True))
        offset, size = (
            raster.get_tag_item(f"BLOCK_{word}_{column}_{row}", "TIFF", bidx=band) for word in ("OFFSET", "SIZE")
        )
        if offset is not None and int(offset) + int(size or 0) > handle.size:
            raise UnreadableError(
                f"is truncated: its last block ends at byte {int(offset) + int(size or 0)}, the file at {handle.size}; "
                "get it again"
            )


def _require_no_mask(raster: Any, band: int) -> None:
    """What a mask or an alpha band leaves out is stored as zero and would be read as such."""
    if MaskFlags.per_dataset in raster.mask_flag_enums[band - 1]:
        kind = "an alpha band" if MaskFlags.alpha in raster.mask_flag_enums[band - 1] else "a mask"
        raise UnreadableError(
            f"marks missing values by {kind}, which is not read; write them as a number, as with "
            "gdalwarp -dstnodata -9999 IN OUT"
        )


def _coordinates(raster: Any) -> xr.Dataset:
    transform, crs = raster.transform, raster.crs
    if crs is None:
        raise UnreadableError("has no coordinate reference system; add it, as with gdal_edit.py -a_srs EPSG:4326")
    if transform.b or transform.d or transform.is_identity:
        raise UnreadableError("has no north-up transformation (it is rotated or has control points); use gdalwarp")
    # The transformation gives the corner of a pixel, its node is the middle.
    y = transform.f + transform.e * (np.arange(raster.height) + 0.5)
    x = transform.c + transform.a * (np.arange(raster.width) + 0.5)
    if crs.is_geographic:
        named = ("latitude", "degrees_north"), ("longitude", "degrees_east")
    else:
        named = ("projection_y_coordinate", "m"), ("projection_x_coordinate", "m")
    axes = {
        dim: xr.Variable((dim,), values, {"standard_name": name, "units": units})
        for dim, values, (name, units) in zip(("y", "x"), (y, x), named, strict=True)
    }
    if not crs.is_geographic:
        axes["crs"] = xr.Variable((), 0, {"grid_mapping_name": "projected", "crs_wkt": crs.to_wkt()})
    return xr.Dataset(axes)
