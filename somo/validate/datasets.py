"""Other soil-moisture products, brought to the cells, layers, days and units of the one that is judged.

A product stands for one of our layers by the mean of its layers weighted with their overlap, where they cover at least
a quarter of it. This room judges what was published and reads no forcing, so the function that finds and opens a
product's files (`somo.forcing.fields.find_fields`) is given to it.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import dask.array as da
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.product.inputs import Layer
from somo.product.method import Compared, ComparedLayer
from somo.validate.published import ValidationError
from somo.validate.regrid import Axis, bilinear

PERCENT = {"%", "percent", "vol%", "% vol"}
FRACTION = {
    "m3 m-3", "m3/m3", "m^3/m^3", "m^3 m^-3", "m**3 m**-3", "m3m-3", "m3.m-3", "m³/m³", "cm3 cm-3", "1", "-", "",
}  # fmt: skip
SHARE = 0.25
BLOCK_DAYS = 61
# Satellites see a place every other day or every third; the shortest means of several days are those of pentads.
MOST_DAYS_APART = 5
# Two packings of one value differ by half a step of either, 0.8e-5 m3 m-3 in 16 bits; what sensors resolve is 1e-3.
SAME_VALUE = 1e-4
# Water fills at most the pores, which are 0.9 of peat; models and retrievals may fall a little below none.
LEAST, MOST = -0.5, 1.5


class FieldFile(Protocol):
    """A file of gridded fields over time."""

    @property
    def url(self) -> str:
        """Where it is."""

    @property
    def fingerprint(self) -> str:
        """Size and version of its bytes."""

    def open(self, variable: str, select: Mapping[str, float | str]) -> xr.DataArray:
        """A variable as a lazy field [time, lat, lon]; a ValueError names the file and what is wrong with it."""


FindFields = Callable[[str, str, Iterable[dt.date]], Sequence[FieldFile]]
"""Files by a pattern of URLs, the variable to read and the days; `somo.forcing.fields.find_fields` is one."""


def open_compared(
    compared: Compared, layers: Sequence[Layer], grid: Grid, days: pd.DatetimeIndex, find: FindFields
) -> xr.Dataset:
    """A product as lazy daily fields [time, lat, lon] in m3 m-3, one variable per layer that it stands for.

    Parameters
    ----------
    days : days to bring it to; those it does not have are NaN
    find : finds the product's files

    Raises
    ------
    ValidationError
        naming product, file and what was found: no file, variable or axis missing, other units, a calendar without
        dates, no day or no place in common; when values are read, numbers that are no soil moisture
    """
    weights = {layer.name: layer_weights(compared, layer) for layer in layers}
    fields = {
        their_layer.label: _open_layer(compared, their_layer, grid, days, find)
        for their_layer in _needed(compared, layers)
    }
    mixed = {layer: sum(share * fields[label] for label, share in w.items()) for layer, w in weights.items() if w}
    return xr.Dataset(mixed)


def layer_weights(compared: Compared, layer: Layer) -> dict[str, float]:
    """Weights of a product's layers for one of ours by label, adding up to 1; empty if they cover too little of it."""
    overlaps = {
        their_layer.label: max(0.0, min(their_layer.bottom_m, layer.bottom_m) - max(their_layer.top_m, layer.top_m))
        for their_layer in compared.layers
    }
    covered = sum(overlaps.values())
    if covered < SHARE * (layer.bottom_m - layer.top_m):
        return {}
    # Layers that only touch overlap by the rounding of their depths.
    return {label: overlap / covered for label, overlap in overlaps.items() if overlap > 1e-9}


def _open_layer(
    compared: Compared, layer: ComparedLayer, grid: Grid, days: pd.DatetimeIndex, find: FindFields
) -> xr.DataArray:
    files = _files(compared, layer, days, find)
    fields = [_open_file(compared, file, layer, grid) for file in files]
    joined = xr.concat(fields, "time") if len(fields) > 1 else fields[0]
    owners = np.repeat(np.arange(len(fields)), [field.sizes["time"] for field in fields])
    in_order = np.argsort(joined["time"].values, kind="stable")
    joined, owners = joined.isel(time=in_order), owners[in_order]
    repeated = joined.indexes["time"].duplicated()
    if repeated.any():
        _require_equal(compared.name, joined, repeated, [files[int(owner)].url for owner in owners])
    # Files of neighbouring months share 00 UTC, which would count twice in the mean of its day.
    joined = joined.isel(time=~repeated)
    joined = joined.assign_coords(time=joined.indexes["time"].normalize())
    product_days = joined.indexes["time"]
    _require_daily(compared.name, layer, product_days)
    if not product_days.intersection(days).size:
        raise ValidationError(
            f"{compared.name}: {layer.label} has {product_days[0]:%Y-%m-%d} to {product_days[-1]:%Y-%m-%d}, "
            f"none of the published days {days[0]:%Y-%m-%d} to {days[-1]:%Y-%m-%d}; "
            "give files of those years or take it out of [[compare]]"
        )
    # Sub-daily values of one day have the same date by now.
    if product_days.has_duplicates:
        joined = joined.resample(time="1D").mean()
    return joined.reindex(time=days).chunk(time=BLOCK_DAYS).rename(layer.label)


def _require_equal(name: str, joined: xr.DataArray, repeated: NDArray[np.bool_], urls: Sequence[str]) -> None:
    """Refuse other values at a time that is there twice, as of two releases that one pattern fits.

    Parameters
    ----------
    joined : in order of time
    repeated : [time] whether the time before is the same one
    urls : [time] file of each time
    """
    first_of = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(repeated))))
    again = np.flatnonzero(repeated)
    for start in range(0, len(again), BLOCK_DAYS):
        block = again[start : start + BLOCK_DAYS]
        one, other = (joined.isel(time=places).compute().values for places in (first_of[block], block))
        differs = ~np.isclose(one, other, rtol=0, atol=SAME_VALUE, equal_nan=True).all(axis=(1, 2))
        if differs.any():
            place = int(block[np.argmax(differs)])
            when, first = f"{joined.indexes['time'][place]:%Y-%m-%d %H:%M}", urls[first_of[place]]
            if first == urls[place]:
                raise ValidationError(f"{name}: {first} has the time {when} twice, with different values; get it again")
            raise ValidationError(
                f"{name}: {urls[place]} has other values at {when} than {first}; give only one of these files for that "
                "time in [[compare]]"
            )


def _require_daily(name: str, layer: ComparedLayer, product_days: pd.DatetimeIndex) -> None:
    """Refuse means of dekads or months, which would be taken for those of the day that they are stamped with."""
    apart = product_days.to_series().diff().median() / pd.Timedelta(days=1)
    if apart >= MOST_DAYS_APART:
        raise ValidationError(
            f"{name}: {layer.label} has a value every {apart:g} days, from {product_days[0]:%Y-%m-%d} on; give files "
            "of daily or sub-daily values"
        )


def compared_files(
    compared: Compared, layers: Sequence[Layer], days: pd.DatetimeIndex, find: FindFields
) -> list[FieldFile]:
    """Every file that `open_compared` would read."""
    return [file for layer in _needed(compared, layers) for file in _existing(compared, layer, days, find)]


def try_compared(
    compared: Compared, layers: Sequence[Layer], grid: Grid, days: pd.DatetimeIndex, find: FindFields
) -> list[str]:
    """What the first and the last file of a product hold, of which one time each is read; a sentence for each layer.

    Raises
    ------
    ValidationError
        as `open_compared` and the reading of its fields
    """
    facts = []
    for layer in _needed(compared, layers):
        files = _files(compared, layer, days, find)
        times: list[pd.Timestamp] = []
        for file in dict.fromkeys((files[0], files[-1])):
            field = _open_file(compared, file, layer, grid)
            field.isel(time=0).compute(scheduler="synchronous")
            times += field.indexes["time"].tolist()
        facts.append(f"{layer.label}: {min(times):%Y-%m-%d} to {max(times):%Y-%m-%d}")
    return facts


def last_year(compared: Compared, layers: Sequence[Layer], days: pd.DatetimeIndex, find: FindFields) -> int | None:
    """Last year of the days for which a product has a file; None where its URL names no year, or there is none."""
    if "{year}" not in compared.url:
        return None
    needed = _needed(compared, layers)
    for year in sorted({int(year) for year in days.year}, reverse=True):
        if any(_existing(compared, layer, days[days.year == year], find) for layer in needed):
            return year
    return None


def _needed(compared: Compared, layers: Sequence[Layer]) -> list[ComparedLayer]:
    """Layers of a product that stand for one of ours."""
    labels = {label for layer in layers for label in layer_weights(compared, layer)}
    return list({layer.label: layer for layer in compared.layers if layer.label in labels}.values())


def _existing(
    compared: Compared, layer: ComparedLayer, days: pd.DatetimeIndex, find: FindFields
) -> Sequence[FieldFile]:
    try:
        return find(compared.url.replace("{variable}", layer.variable), layer.variable, days.date)
    except ValueError as error:
        raise ValidationError(f"{compared.name}: {error}") from error


def _files(compared: Compared, layer: ComparedLayer, days: pd.DatetimeIndex, find: FindFields) -> Sequence[FieldFile]:
    """Existing files of the published days."""
    files = _existing(compared, layer, days, find)
    if not files:
        raise ValidationError(
            f"{compared.name}: no file {compared.url} for {layer.variable} in {days[0].year}..{days[-1].year}; "
            "check the URL in [[compare]]"
        )
    return files


def _open_file(compared: Compared, file: FieldFile, layer: ComparedLayer, grid: Grid) -> xr.DataArray:
    name = compared.name
    try:
        field = file.open(layer.variable, layer.select)
    except ValueError as error:
        raise ValidationError(f"{name}: {error}") from error
    field = _near_grid(name, file.url, field, grid)
    return _on_grid(name, file.url, _in_fractions(compared, file.url, field), grid)


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
    # Counted as the grid counts them, which may run from 0 to 360 or across the date line: half a turn to either side
    # of its middle.
    middle = (grid.lon.min() + grid.lon.max()) / 2
    lon = (field["lon"].values.astype(np.float64) - middle + 180) % 360 - 180 + middle
    # The modulo leaves rounding errors: 0.05 becomes 0.05000000000001137.
    field = field.assign_coords(lon=np.round(lon, 6), lat=field["lat"].values.astype(np.float64)).sortby(["lat", "lon"])
    near = [_near(field[axis].values, target) for axis, target in (("lat", grid.lat), ("lon", grid.lon))]
    field = field.isel(lat=near[0], lon=near[1])
    if 0 in field.shape:
        raise ValidationError(f"{name}: {url} lies nowhere near the product's cells; check the file's coordinates")
    return field.chunk(time=BLOCK_DAYS, lat=-1, lon=-1).transpose("time", "lat", "lon")


def _on_grid(name: str, url: str, field: xr.DataArray, grid: Grid) -> xr.DataArray:
    """The field at the cells of a grid, whose values must be those of soil moisture."""
    rows, columns = Axis.between(field["lat"].values, grid.lat), Axis.between(field["lon"].values, grid.lon)
    data = field.data
    shape = (data.chunks[0], (len(grid.lat),), (len(grid.lon),))
    values = da.map_blocks(
        _block_on_grid, data, rows, columns, f"{name}: {url}: {field.name}",
        chunks=shape, dtype=np.float32, meta=np.empty((0, 0, 0), "f4"),
    )  # fmt: skip
    coords = {"time": field["time"].values, "lat": grid.lat, "lon": grid.lon}
    return xr.DataArray(values, coords, ("time", "lat", "lon"), attrs={"units": "m3 m-3"})


def _block_on_grid(values: NDArray[np.floating], rows: Axis, columns: Axis, what: str) -> NDArray[np.float32]:
    """Some days at the cells of a grid.

    Parameters
    ----------
    what : product, file and variable, for messages
    """
    # Before they are averaged with their neighbours, in whose mean an undeclared fill value would hide.
    low, high = (float(edge.reduce(values, axis=None, initial=0.0)) for edge in (np.fmin, np.fmax))
    if low < LEAST or high > MOST:
        number = low if low < LEAST else high
        hint = (
            'percent have units of their own: write units = "%"' if low >= LEAST and high <= 100 * MOST else
            "a number for no value must be the variable's _FillValue, as ncatted writes it"
        )  # fmt: skip
        raise ValidationError(f"{what} is {number:g} m3 m-3, which no soil moisture is; {hint}")
    return bilinear(values, rows, columns)


def _near(source: np.ndarray, target: np.ndarray) -> slice:
    """Ascending source centres that have a target within one source cell."""
    step = np.abs(np.diff(source)).max() if len(source) > 1 else 1.0
    inside = np.flatnonzero((source >= target.min() - step) & (source <= target.max() + step))
    return slice(int(inside[0]), int(inside[-1]) + 1) if len(inside) else slice(0, 0)
