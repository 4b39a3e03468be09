"""What source files hold, described in words, with a table to paste into a declaration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from somo.core.variables import FORCING
from somo.forcing.days.stamps import KIND_OF_METHOD, Stamps
from somo.forcing.formats.register import format_of, open_format
from somo.forcing.formats.stored import UnreadableError, Variable
from somo.forcing.listing import ForcingError, SourceFile, find_urls
from somo.forcing.references.scan import Scan
from somo.forcing.references.scanning import scan_file
from somo.forcing.units import conversion, per_day
from somo.product.forcing import Kind
from somo.product.inputs import Files

# Stands for the day of files that hold no times, so that they can be looked at.
ANY_DAY = "2000-01-01"
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Field:
    """One field of a file, described from the file's metadata alone.

    Attributes
    ----------
    url : the URL or pattern that the file was found by
    file : the first of its files
    name : of the variable
    variable : its dimensions, type and attributes
    scan : its times and its grid; None where it cannot be read as it is
    problem : why it cannot be read as it is; empty where it can
    """

    url: str
    file: SourceFile
    name: str
    variable: Variable
    scan: Scan | None
    problem: str = ""

    @property
    def units(self) -> str:
        """Units as the file spells them; empty where it names none."""
        units = self.variable.attrs.get("units")
        return "" if units is None else str(units).strip()

    @property
    def has_time(self) -> bool:
        """Whether the file itself gives the times of its values."""
        scan = self.scan
        return scan is not None and not (len(scan.times) == 1 and _date(scan.times[0])[:10] == ANY_DAY)

    @property
    def is_daily(self) -> bool:
        """Whether there is at most one value a day."""
        times = () if self.scan is None else self.scan.times
        return len(times) < 2 or int(np.median(np.diff(times))) >= DAY_SECONDS

    @property
    def kind(self) -> Kind | None:
        """What the values are by the file's cell methods; None where it does not say."""
        return None if self.scan is None else _kind(self.scan)

    @property
    def step_deg(self) -> float | None:
        """Distance of neighbouring latitudes in degrees; None of other grids than latitudes and longitudes."""
        if self.scan is None or self.scan.grid["kind"] != "regular" or len(self.scan.grid["lat"]) < 2:
            return None
        return abs(float(np.median(np.diff(np.array(self.scan.grid["lat"])))))

    @property
    def holds_codes(self) -> bool:
        """Whether its numbers stand for classes."""
        return "flag_values" in self.variable.attrs or "flag_meanings" in self.variable.attrs


@dataclass(frozen=True)
class Content:
    """What the first file of a URL or pattern holds.

    Attributes
    ----------
    file : the first file
    files : how many files the URL or pattern stands for
    format : format of the first file
    fields : variables with at least two dimensions, without coordinates and bounds
    """

    file: SourceFile
    files: int
    format: str
    fields: tuple[Field, ...]


def content_of(url: str, variable: str = "") -> Content:
    """What the first file of a URL or pattern holds.

    Parameters
    ----------
    variable : the only one to describe; all fields where empty

    Raises
    ------
    ForcingError
        naming what the file is instead of data
    """
    files = find_urls([url], variable).get(url)
    if not files:
        raise ForcingError(f"{url}: no such file; give a file, a Zarr store, or a pattern with * and ?")
    file = files[0]
    try:
        file_format = format_of(file)
        variables = open_format(file_format).variables(file)
    except UnreadableError as error:
        raise ForcingError(f"{file.url}: {error}") from error
    chosen = {
        name: item
        for name, item in variables.items()
        if name == variable or (not variable and len(item.dims) >= 2 and not _is_place(name, item, variables))
    }
    if variable and not chosen:
        raise ForcingError(f"{file.url}: has no field {variable!r}; it holds {', '.join(variables)}")
    fields = tuple(_field_of(file, url, name, item) for name, item in chosen.items())
    return Content(file, len(files), file_format, fields)


def _field_of(file: SourceFile, url: str, name: str, item: Variable) -> Field:
    dated = file if file.day else SourceFile(file.url, file.fingerprint, ANY_DAY)
    try:
        scan = scan_file(dated, name, Files(url=file.url, variable=name))[0]
    except ForcingError as error:
        return Field(url, file, name, item, None, str(error).removeprefix(f"{file.url}: "))
    return Field(url, file, name, item, scan)


def inspect_url(url: str, variable: str, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Lines of text that describe the first file of a URL or pattern.

    Parameters
    ----------
    variable : the only one to describe; all fields where empty
    known : tables of providers' files; those that declare the same variable are named

    Raises
    ------
    ForcingError
        naming what the file is instead of data
    """
    content = content_of(url, variable)
    size = content.file.fingerprint.split("-", 1)[0]
    more = f" ({content.files} files; this is the first)" if content.files > 1 else ""
    yield f"{content.file.url}{more}: {content.format}" + (f", {int(size):,} bytes" if size.isdigit() else "")
    for field in content.fields:
        yield ""
        yield from _described(field, known)


def _is_place(name: str, item: Variable, held: Mapping[str, Variable]) -> bool:
    """Whether a variable holds only coordinates or bounds of others."""
    named_by_others = {
        word for other in held.values() for key in ("coordinates", "bounds") for word in _words(other, key)
    }
    return (
        name in named_by_others
        or str(item.attrs.get("units", "")).startswith("degrees_")
        or name.endswith(("_bnds", "_bounds"))
    )


def _words(item: Variable, key: str) -> list[str]:
    return str(item.attrs.get(key, "")).split()


def _described(field: Field, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    item, scan = field.variable, field.scan
    shape = ", ".join(f"{dim} = {length}" for dim, length in zip(item.dims, item.shape, strict=True))
    yield f"{field.name} ({shape}) {item.dtype}, units {item.attrs.get('units', 'not named')}"
    if scan is None:
        yield f"  cannot be read as it is: {field.problem}"
        return
    yield f"  {_grid(scan)}; chunks of {' x '.join(str(n) for n in scan.array['chunks'])} (time, y, x)"
    if field.has_time:
        yield f"  {_times(scan)}"
    else:
        yield "  no times: a static field, or a series by day in the files' names ({year}{month}{day})"
    if likes := [like for like, table in provider_tables(known) if table.get("variable") == field.name]:
        yield f"  providers' tables with this variable: {', '.join(likes)}"
    yield from (f"  | {line}" for line in _paste(field, scan))


def provider_tables(known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table that a declaration takes by `like`, with the keys that its provider's tables share."""
    for provider, table in known.items():
        for name, value in table.items():
            if isinstance(value, dict):
                yield f"{provider}.{name}", {**table, **value}


def _grid(scan: Scan) -> str:
    grid = scan.grid
    if grid["kind"] != "regular":
        mapping = grid.get("grid_mapping", {}).get("grid_mapping_name", "not described")
        return f"{grid['kind']} grid of {len(grid['y'])} x {len(grid['x'])} nodes ({mapping}): needs regrid"
    described_axes = []
    for word, key in (("latitudes", "lat"), ("longitudes", "lon")):
        axis = np.array(grid[key])
        step = f" by {abs(float(np.median(np.diff(axis)))):.6g}" if len(axis) > 1 else ""
        described_axes.append(f"{len(axis)} {word} {axis[0]:g}..{axis[-1]:g}{step}")
    return ", ".join(described_axes)


def _times(scan: Scan) -> str:
    first, last = _date(scan.times[0]), _date(scan.times[-1])
    step = int(np.median(np.diff(scan.times))) / 3600 if len(scan.times) > 1 else None
    every = f", every {step:g} hours" if step else ""
    methods_text = f", cell_methods {scan.cell_methods!r}" if scan.cell_methods else ""
    bounds = "; its bounds say which interval each stamp means" if scan.bounds else ""
    if not bounds and _kind(scan) != "instantaneous":
        bounds = (
            "; it has no bounds: whether a stamp is the start, middle or end of its interval is the producer's habit"
        )
    return f"{len(scan.times)} times {first} to {last}{every} ({scan.calendar} calendar){methods_text}{bounds}"


def _date(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s"))[:16]


def _kind(scan: Scan) -> Kind | None:
    stamps = Stamps(
        (scan.url,), scan.times, scan.time_bounds, scan.cell_methods, scan.calendar, np.zeros(len(scan.times), "int64")
    )
    return KIND_OF_METHOD.get(stamps.method or "")


def _paste(field: Field, scan: Scan) -> Iterator[str]:
    """A table of the declaration; what the file does not say stands there as a comment to complete."""
    units = f'units = "{field.units}"' if field.units else '# units = "..."  the file does not name any'
    if not field.has_time:
        yield "[static.NAME]"
        yield f'url = "{field.url}"'
        yield f'variable = "{field.name}"'
        yield units
        codes = 'within_cell = "fraction"\nclasses = []'
        yield codes if field.holds_codes else 'within_cell = "mean"  # where finer than the grid'
        return
    kind = field.kind
    yield f"[forcing.{'|'.join(fitting_variables(field.units, kind == 'accumulated')) or 'NAME'}]"
    yield f'url = "{field.url}"'
    yield f'variable = "{field.name}"'
    yield units
    yield 'frequency = "daily"' if field.is_daily else 'frequency = "sub-daily"'
    yield f'kind = "{kind}"' if kind else '# kind = "instantaneous" | "mean" | "accumulated"  the file does not say'
    if not field.is_daily and kind in (None, "accumulated"):
        yield '# accumulation = "day" (since 00 UTC, as ERA5-Land) | "step" (of each step, as ERA5)'
    if not scan.bounds and kind != "instantaneous":
        yield '# stamp = "start" | "middle" | "end"'
    if scan.grid["kind"] != "regular":
        yield 'regrid = "bilinear"'


def fitting_variables(units: str, accumulated: bool) -> list[str]:
    """The forcing variables whose units these can become, where they are no more than two."""
    fitting = [
        name
        for name, quantity in FORCING.items()
        if units and conversion(per_day(units, accumulated), quantity.units) is not None
    ]
    return fitting if len(fitting) <= 2 else []
