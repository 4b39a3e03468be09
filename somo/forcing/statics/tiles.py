"""The files of a static feature: each a tile of one field, read window by window."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.formats.register import format_of, open_format
from somo.forcing.formats.stored import Stored, UnreadableError, with_unpacked_coordinates
from somo.forcing.listing import SourceFile, find_urls
from somo.forcing.references.axes import Axes, resolve_axes
from somo.forcing.references.clock import is_clock, seconds_of
from somo.forcing.references.decoding import decode, decoding_attributes
from somo.forcing.references.scan import Scan
from somo.forcing.references.scan_reader import ScanReader
from somo.forcing.references.scanning import as_maps
from somo.forcing.regridding.scattered import own_coordinates
from somo.forcing.sources import ForcingError
from somo.forcing.statics.meaning import conversion_of, numbers_for_no_value, plain_units
from somo.forcing.units import conversion, parse_units
from somo.product.patterns import Pattern
from somo.product.static import Static
from somo.storage.patience import NETWORK_ERRORS, StorageError

MONTHS = 12
# In days, of stamps at the beginning, the middle or the end of months, or evenly spread over the year.
SHORTEST_MONTH, LONGEST_MONTH = 27, 32
MONTH_DIMENSIONS = ("time", "month", "months", "t")
DAY_SECONDS = 86_400
# Static patterns hold no days, so any day gives their names.
ANY_DAY = dt.date(2000, 1, 1)


@dataclass(frozen=True, eq=False)
class Tile:
    """One file's part of a field.

    Attributes
    ----------
    name : of the feature
    attrs : the variable's attributes in the file
    grid : the places of its nodes, as in `Scan.grid`
    scans : where the values are; twelve scans are months, of which the mean is taken
    conversion : factor and offset from the file's units to the declared ones
    missing : decoded numbers that stand for no value although the file does not say so
    """

    name: str
    static: Static
    attrs: Mapping[str, Any]
    grid: Mapping[str, Any]
    scans: tuple[Scan, ...]
    conversion: tuple[float, float]
    missing: tuple[float, ...]

    @property
    def url(self) -> str:
        """URL of its file."""
        return self.scans[0].url

    @property
    def units(self) -> str | None:
        """Units that the file names."""
        return self.scans[0].units

    @property
    def is_regular(self) -> bool:
        """Whether rows are latitudes and columns longitudes."""
        kind: str = self.grid["kind"]
        return kind == "regular"

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """[row] coordinates in degrees north, or metres of the projection."""
        return np.array(self.grid["lat"], "float64") if self.is_regular else own_coordinates(self.grid, "y")

    @cached_property
    def columns(self) -> NDArray[np.float64]:
        """[column] coordinates in degrees east, or metres of the projection."""
        return np.array(self.grid["lon"], "float64") if self.is_regular else own_coordinates(self.grid, "x")

    @cached_property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns that are stored and decoded together."""
        _, rows, columns = self.scans[0].array["chunks"]
        return int(rows), int(columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the stored numbers."""
        name: str = self.scans[0].array["dtype"]
        return np.dtype(name)

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Values [row, column] of a window in the file's own units, NaN where there is none."""
        months = [self._read_one(scan, rows, columns) for scan in self.scans]
        if len(months) == 1:
            return months[0]
        count = sum(np.isfinite(month).astype("int8") for month in months)
        total = sum(np.nan_to_num(month, nan=0.0).astype("float64") for month in months)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype("float32")

    def _read_one(self, scan: Scan, rows: slice, columns: slice) -> NDArray[np.float32]:
        values = decode(ScanReader(scan).read(0, (slice(0, 1), rows, columns))[0], scan.attrs)
        for number in self.missing:
            values[np.isclose(values, number, rtol=1e-6, atol=0)] = np.nan
        return values


def static_files(name: str, static: Static, domain: str) -> list[SourceFile]:
    """The files of a feature in a domain, with size and version.

    Raises
    ------
    ForcingError
        naming a pattern without a file
    """
    names = [Pattern(text).on(ANY_DAY, domain) for text in (p.text for p in static.files.patterns)]
    existing = find_urls(names, static.files.variable)
    if lacking := [url for url in names if url not in existing]:
        raise ForcingError(f"{lacking[0]}: no such file; provide it, or correct static.{name}.url")
    return list({file.url: file for url in names for file in existing[url]}.values())


def open_tiles(name: str, static: Static, domain: str) -> list[Tile]:
    """The tiles of a feature, opened but not read.

    Raises
    ------
    ForcingError
        naming the file and what is wrong: no data file, no such variable, a dimension that needs a choice, other units
    StorageError
        where network, server or rights fail
    """
    tiles = [_open_tile(name, static, file) for file in static_files(name, static, domain)]
    if static.units is None and not static.of_classes:
        _require_same_units(tiles)
    return tiles


def _require_same_units(tiles: Sequence[Tile]) -> None:
    """Refuse tiles of different units where none are declared to which they could be converted."""
    named = [(tile, plain_units(tile.units)) for tile in tiles if tile.units is not None]
    known = [(tile, units) for tile, units in named if parse_units(units) is not None]
    for tile, units in known[1:]:
        first, first_units = known[0]
        if units != first_units and conversion(units, first_units) != (1.0, 0.0):
            raise ForcingError(
                f"{tile.url}: {tile.static.variable} has units {tile.units!r}, but in {first.url} {first.units!r}; "
                f"declare static.{tile.name}.units, to which both are converted"
            )


def _open_tile(name: str, static: Static, file: SourceFile) -> Tile:
    try:
        kind = format_of(file, static.format)
        # A format chooses among separate fields (GRIB's messages); times are chosen here, whatever the format.
        of_format = {key: value for key, value in static.select.items() if key != "time"}
        stored = with_unpacked_coordinates(open_format(kind).describe(file, static.files.variable, of_format))
        return _tile(name, static, file, kind, stored)
    except UnreadableError as error:
        error_text = str(error).replace("correct the variable", f"correct static.{name}.variable")
        raise ForcingError(
            f"{file.url}: {error_text.replace('correct select', f'correct static.{name}.select')}"
        ) from error
    except PermissionError as error:
        raise ForcingError(f"{file.url}: may not be read ({error.strerror}); allow reading it") from error
    except (ForcingError, StorageError, MemoryError, *NETWORK_ERRORS):
        raise
    except Exception as error:  # every library has its own
        raise ForcingError(
            f"{file.url}: cannot be read ({str(error).strip() or type(error).__name__}); it is damaged or incomplete: "
            "get it again"
        ) from error


def _tile(name: str, static: Static, file: SourceFile, kind: str, stored: Stored) -> Tile:
    """The tile of a described variable; its further dimensions are chosen here."""
    dims, clock = dict(zip(stored.dims, stored.shape, strict=True)), _clock(stored)
    months = _month_dimension(stored, static, clock)
    # GRIB has chosen among its messages already.
    select = {} if kind == "grib" else {key: value for key, value in static.select.items() if key != clock}
    for dim in _without_stamps(stored, clock):
        if dim not in select and dims[dim] not in (1, MONTHS):
            raise UnreadableError(
                f"has the further dimension {dim} with {dims[dim]} entries, and a static feature has one; choose it: "
                f"{_choice(dim)}"
            )
        select.setdefault(dim, _first_of(stored, dim))
    axes = resolve_axes(stored, select)
    if months is not None and static.of_classes:
        raise UnreadableError(f"has {MONTHS} {months}s of classes, which have no mean; choose one: {_choice(months)}")
    fixed = dict(axes.fixed)
    if axes.time is not None and stored.dims[axes.time] != months:
        fixed[axes.time] = _chosen_time(stored, stored.dims[axes.time], dims, static.select)
    number = None if months is None else stored.dims.index(months)
    choices = [fixed] if number is None else [{**fixed, number: month} for month in range(MONTHS)]
    units = stored.attrs.get("units")
    scans = tuple(_scan(file, static, kind, stored, replace(axes, time=None, fixed=choice)) for choice in choices)
    return Tile(
        name, static, stored.attrs, axes.grid, scans,
        conversion_of(name, static, file.url, None if units is None else str(units)),
        numbers_for_no_value(static, stored.attrs),
    )  # fmt: skip


def _scan(file: SourceFile, static: Static, kind: str, stored: Stored, axes: Axes) -> Scan:
    """Where the values of one plane of the variable are."""
    array, chunks, reader = as_maps(kind, stored, axes, axes.fixed)
    units = stored.attrs.get("units")
    return Scan(
        url=file.url, fingerprint=file.fingerprint, variable=static.files.variable, array=array,
        attrs=decoding_attributes(stored.attrs), units=None if units is None else str(units), chunks=chunks,
        stamps=[[0, 1, 1]], bounds=None, calendar="standard", cell_methods=None, positions=[[0, 1, 1]], grid=axes.grid,
        dims=["time", stored.dims[axes.y], stored.dims[axes.x]], reader=reader,
    )  # fmt: skip


def _clock(stored: Stored) -> str | None:
    """The dimension with time stamps, if there is one."""
    for dim in stored.dims:
        if dim in stored.coordinates.variables and is_clock(stored.coordinates[dim].attrs):
            return dim
    return None


def _month_dimension(stored: Stored, static: Static, clock: str | None) -> str | None:
    """The dimension whose twelve entries are months, all of which are averaged; None where one is selected."""
    for dim, length in zip(stored.dims, stored.shape, strict=True):
        if length != MONTHS or dim in static.select:
            continue
        if _is_monthly(stored, dim) if dim == clock else dim.lower() in MONTH_DIMENSIONS:
            return dim
    return None


def _is_monthly(stored: Stored, dim: str) -> bool:
    """Whether twelve stamps are a month apart, as those of twelve years, days or hours are not."""
    try:
        steps = np.diff(np.sort(_seconds(stored, dim))) / DAY_SECONDS
    # Months of no year, as "days since 0000-01-01", have stamps that are no dates.
    except UnreadableError:
        return True
    return bool((steps >= SHORTEST_MONTH).all() and (steps <= LONGEST_MONTH).all())


def _seconds(stored: Stored, dim: str) -> NDArray[np.int64]:
    """[entry] seconds since 1970-01-01 of the stamps of a dimension."""
    clock = stored.coordinates[dim]
    calendar = str(clock.attrs.get("calendar", "") or "standard")
    seconds, _ = seconds_of(np.atleast_1d(clock.values), str(clock.attrs.get("units", "")), calendar)
    return seconds


def _without_stamps(stored: Stored, clock: str | None) -> list[str]:
    """Dimensions of time or months whose entries have no time stamps."""
    return [dim for dim in stored.dims if dim != clock and dim.lower() in MONTH_DIMENSIONS]


def _first_of(stored: Stored, dim: str) -> float | str:
    if dim not in stored.coordinates.variables:
        return 0
    first = stored.coordinates[dim].values[0]
    return str(first) if stored.coordinates[dim].dtype.kind in "USO" else float(first)


def _choice(dim: str) -> str:
    return f"select = {{ {dim} = 0 }}"


def _chosen_time(stored: Stored, dim: str, dims: Mapping[str, int], select: Mapping[str, float | str]) -> int:
    """Index of the time that is read: the only one, or that of the date or stored number in `select`."""
    if dims[dim] == 1 and dim not in select:
        return 0
    clock = stored.coordinates[dim]
    dates = np.datetime_as_string(_seconds(stored, dim).astype("datetime64[s]"), unit="D").tolist()
    if dim not in select:
        raise UnreadableError(
            f"holds {dims[dim]} times, {dates[0]} to {dates[-1]}, and a static feature has one; choose it: "
            f'select = {{ {dim} = "{dates[-1]}" }}'
        )
    wanted = select[dim]
    if isinstance(wanted, str):
        matching = [n for n, date in enumerate(dates) if date.startswith(wanted)]
    elif dims[dim] == MONTHS and wanted in range(1, MONTHS + 1) and len({date[5:7] for date in dates}) == MONTHS:
        # a year of months: the number of one is shorter than its date
        matching = [n for n, date in enumerate(dates) if int(date[5:7]) == wanted]
    else:
        matching = np.flatnonzero(np.isclose(clock.values.astype("float64"), wanted)).tolist()
    if len(matching) != 1:
        raise UnreadableError(f"has no single {dim} {wanted}; it has {', '.join(dates[:MONTHS])}: correct select")
    return int(matching[0])
