"""Other soil-moisture products, brought to the cells, layers, days and units of the one that is judged.

A product stands for one of our layers by the mean of its layers weighted with their overlap, where they cover at least
a quarter of it. Files are NetCDF-4, or NetCDF-3 on disk. A URL holds `{year}` and, where variables are in files of
their own, `{variable}`; `*` is a wildcard.
"""

import datetime as dt
from collections.abc import Sequence

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr

from somo.core.grid import Grid
from somo.product.inputs import Layer
from somo.product.method import Compared
from somo.storage.byte_ranges import seekable
from somo.storage.client import filesystem
from somo.storage.objects import fingerprint
from somo.validate.published import ValidationError
from somo.validate.regrid import Axis, bilinear

PERCENT = {"%", "percent", "vol%", "% vol"}
FRACTION = {"m3 m-3", "m3/m3", "m^3/m^3", "m^3 m^-3", "m**3 m**-3", "m3m-3", "1", "-", ""}
# First bytes of what producers also deliver, what it is, and how it becomes NetCDF-4.
OTHER_FORMATS = {
    b"GRIB": ("GRIB", "convert it, as with cdo -f nc4 copy IN OUT"),
    b"PK\x03\x04": ("a zip archive", "unpack it"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it with gunzip"),
    b"\x0e\x03\x13\x01": ("HDF4", "convert it with h4toh5"),
    b"II*\0": ("a GeoTIFF", "convert it, as with gdal_translate -of netCDF IN OUT"),
    b"<": ("a page or a text, as servers send for a login or an error", "get it again"),
}
HEAD_BYTES = 8
SHARE = 0.25
BLOCK_DAYS = 61


def open_compared(compared: Compared, layers: Sequence[Layer], grid: Grid, days: pd.DatetimeIndex) -> xr.Dataset:
    """A product as lazy daily fields [time, lat, lon] in m3 m-3, one variable per layer that it stands for.

    Parameters
    ----------
    days : days to bring it to; those it does not have are NaN

    Raises
    ------
    ValidationError
        naming product, file and what was found: no file, variable or axis missing, other units, a calendar without
        dates, no day or no place in common
    """
    weights = {layer.name: layer_weights(compared, layer) for layer in layers}
    needed = _needed(compared, layers)
    fields = {name: _open_variable(compared, name, grid, days) for name in needed}
    mixed = {layer: sum(share * fields[name] for name, share in w.items()) for layer, w in weights.items() if w}
    return xr.Dataset(mixed)


def layer_weights(compared: Compared, layer: Layer) -> dict[str, float]:
    """Weights of a product's variables for one of our layers, adding up to 1; empty if they cover too little of it."""
    overlaps = {
        their_layer.variable: max(0.0, min(their_layer.bottom_m, layer.bottom_m) - max(their_layer.top_m, layer.top_m))
        for their_layer in compared.layers
    }
    covered = sum(overlaps.values())
    if covered < SHARE * (layer.bottom_m - layer.top_m):
        return {}
    # Layers that only touch overlap by the rounding of their depths.
    return {name: overlap / covered for name, overlap in overlaps.items() if overlap > 1e-9}


def _open_variable(compared: Compared, variable: str, grid: Grid, days: pd.DatetimeIndex) -> xr.DataArray:
    fields = [_open_file(compared, url, variable, grid) for url in _files(compared, variable, days)]
    fields = [field for field in fields if field is not None]
    joined = xr.concat(fields, "time").sortby("time") if len(fields) > 1 else fields[0]
    product_days = joined.indexes["time"]
    if not product_days.intersection(days).size:
        raise ValidationError(
            f"{compared.name}: {variable} has {product_days[0]:%Y-%m-%d} to {product_days[-1]:%Y-%m-%d}, "
            f"none of the published days {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; "
            "give files of those years or take it out of [[compare]]"
        )
    # Sub-daily values of one day have the same date by now.
    if product_days.has_duplicates:
        joined = joined.resample(time="1D").mean()
    return joined.reindex(time=days).chunk(time=BLOCK_DAYS).rename(variable)


def compared_files(compared: Compared, layers: Sequence[Layer], days: pd.DatetimeIndex) -> list[tuple[str, str]]:
    """URL and fingerprint of every file that `open_compared` would read."""
    return [(url, fingerprint(url)) for name in _needed(compared, layers) for url in _existing(compared, name, days)]


def last_year(compared: Compared, layers: Sequence[Layer], days: pd.DatetimeIndex) -> int | None:
    """Last year of the days for which a product has a file; None where its URL names no year, or there is none."""
    if "{year}" not in compared.url:
        return None
    names = _needed(compared, layers)
    for year in sorted({int(year) for year in days.year}, reverse=True):
        if any(_existing(compared, name, days[days.year == year]) for name in names):
            return year
    return None


def _needed(compared: Compared, layers: Sequence[Layer]) -> list[str]:
    """Variables of a product that stand for one of the layers."""
    return list(dict.fromkeys(name for layer in layers for name in layer_weights(compared, layer)))


def _existing(compared: Compared, variable: str, days: pd.DatetimeIndex) -> list[str]:
    years = range(days[0].year, days[-1].year + 1)
    urls: list[str] = []
    for url in dict.fromkeys(compared.url.format(year=year, variable=variable) for year in years):
        fs, path = filesystem(url)
        # fsspec remembers listings as long as the process lives, and a new year's file may have come since.
        fs.invalidate_cache()
        names = sorted(fs.glob(path)) if "*" in path else [path]
        urls += [fs.unstrip_protocol(name) for name in names if fs.exists(name)]
    return urls


def _files(compared: Compared, variable: str, days: pd.DatetimeIndex) -> list[str]:
    """Existing files of the years of the published days."""
    urls = _existing(compared, variable, days)
    if not urls:
        years = range(days[0].year, days[-1].year + 1)
        raise ValidationError(
            f"{compared.name}: no file {compared.url} for {variable} in {years[0]}..{years[-1]}; "
            "check the URL in [[compare]]"
        )
    return urls


def _open_file(compared: Compared, url: str, variable: str, grid: Grid) -> xr.DataArray:
    name = compared.name
    ds = _opened(name, url)
    if variable not in ds:
        raise ValidationError(
            f"{name}: {url} has no {variable}, found {sorted(map(str, ds.data_vars))}; correct its variable"
        )
    field = ds[variable]
    axes = {_axis(name, url, field, word): word for word in ("time", "lat", "lon")}
    field = field.rename({axis: word for axis, word in axes.items() if axis != word})
    field = _near_grid(name, url, _dated(name, url, field), grid)
    return _on_grid(_in_fractions(compared, url, field), grid)


def _opened(name: str, url: str) -> xr.Dataset:
    """A file of a product, opened by its content: NetCDF-4, or NetCDF-3 on disk."""
    fs, path = filesystem(url)
    head = fs.cat_file(path, start=0, end=HEAD_BYTES)
    _require_readable(name, url, head)
    path_or_file = seekable(url)
    is_classic = head.startswith(b"CDF")
    # Only from a path does xarray make a dataset of NetCDF-3 that can be sent to workers.
    if is_classic and not (isinstance(path_or_file, str) and head[3:4] in (b"\1", b"\2")):
        raise ValidationError(
            f"{name}: {url} is NetCDF-3, which is read here from a disk and not with 64-bit data; convert it, as with "
            "nccopy -k nc4 IN OUT"
        )
    try:
        return xr.open_dataset(path_or_file, engine="scipy" if is_classic else "h5netcdf")
    except (OSError, ValueError) as error:
        raise ValidationError(
            f"{name}: {url} cannot be read as NetCDF-4 or NetCDF-3 ({error}); convert or replace it"
        ) from error


def _require_readable(name: str, url: str, head: bytes) -> None:
    """Refuse a file of another format by what it is."""
    for beginning, (what, remedy) in OTHER_FORMATS.items():
        if head.startswith(beginning):
            raise ValidationError(f"{name}: {url} is {what}, and products to compare with are NetCDF; {remedy}")


def _axis(name: str, url: str, field: xr.DataArray, word: str) -> str:
    # `valid_time` is what the Climate Data Store's NetCDF has had since 2024.
    dims = [str(d) for d in field.dims if str(d).lower().removeprefix("valid_").startswith(word)]
    if len(dims) == 1 and field.ndim == 3 and dims[0] in field.coords and field[dims[0]].ndim == 1:
        return dims[0]
    raise ValidationError(
        f"{name}: {url}: {field.name} has dimensions {field.dims}, expected time, latitude and longitude with "
        "coordinates of their own; regrid it to latitude and longitude"
    )


def _dated(name: str, url: str, field: xr.DataArray) -> xr.DataArray:
    """Days as dates of the common calendar; a calendar without 29 February has no such day."""
    time = field.indexes["time"]
    if not isinstance(time, pd.DatetimeIndex):
        calendar = field["time"].dt.calendar
        if calendar == "360_day":
            raise ValidationError(f"{name}: {url} counts years of 360 days, which have no dates; use daily dates")
        time = pd.DatetimeIndex([dt.datetime(t.year, t.month, t.day) for t in time])
    return field.assign_coords(time=time.normalize().astype("datetime64[ns]"))


def _in_fractions(compared: Compared, url: str, field: xr.DataArray) -> xr.DataArray:
    """The field in m3 m-3, from the units that the file names, or the declared ones where it names none."""
    in_file = str(field.attrs.get("units", "")).strip()
    units = in_file or (compared.units or "").strip()
    if units in FRACTION:
        return field
    if units in PERCENT:
        return field / 100
    raise ValidationError(f"{compared.name}: {url}: {field.name} is in {units!r}, expected m3 m-3 or %; convert it")


def _near_grid(name: str, url: str, field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """[time, lat, lon] the rows and columns around a grid, ascending; a task reads a block of days of them."""
    lon = (field["lon"].values.astype(np.float64) + 180) % 360 - 180
    # The modulo leaves rounding errors: 0.05 becomes 0.05000000000001137.
    field = field.assign_coords(lon=np.round(lon, 6), lat=field["lat"].values.astype(np.float64)).sortby(["lat", "lon"])
    near = [_near(field[axis].values, target) for axis, target in (("lat", grid.lat), ("lon", grid.lon))]
    field = field.isel(lat=near[0], lon=near[1])
    if 0 in field.shape:
        raise ValidationError(f"{name}: {url} lies nowhere near the product's cells; check the file's coordinates")
    return field.chunk(time=BLOCK_DAYS, lat=-1, lon=-1).transpose("time", "lat", "lon")


def _on_grid(field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """The field at the cells of a grid."""
    rows, columns = Axis.between(field["lat"].values, grid.lat), Axis.between(field["lon"].values, grid.lon)
    data = field.data
    shape = (data.chunks[0], (len(grid.lat),), (len(grid.lon),))
    values = da.map_blocks(
        bilinear, data, rows, columns, chunks=shape, dtype=np.float32, meta=np.empty((0, 0, 0), "f4")
    )
    coords = {"time": field["time"].values, "lat": grid.lat, "lon": grid.lon}
    return xr.DataArray(values, coords, ("time", "lat", "lon"), attrs={"units": "m3 m-3"})


def _near(source: np.ndarray, target: np.ndarray) -> slice:
    """Ascending source centres that have a target within one source cell."""
    step = np.abs(np.diff(source)).max() if len(source) > 1 else 1.0
    inside = np.flatnonzero((source >= target.min() - step) & (source <= target.max() + step))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
