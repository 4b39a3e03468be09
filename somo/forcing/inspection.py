"""What source files hold, in words, and the table of a declaration that reads them."""

from collections.abc import Iterator, Mapping
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
from somo.product.inputs import Files

ANY_DAY = "2000-01-01"
"""Stands for the day of files that hold no times, so that they can be looked at."""
DAY_SECONDS = 86_400


def inspect_url(url: str, variable: str, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Lines on the first of the files that a URL stands for.

    Parameters
    ----------
    variable : the only one to describe; all fields where empty
    known : tables of providers' files, of which those with the same variable are named

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
        kind = format_of(file)
        held = open_format(kind).variables(file)
    except UnreadableError as error:
        raise ForcingError(f"{file.url}: {error}") from error
    size = file.fingerprint.split("-", 1)[0]
    more = f" ({len(files)} files; this is the first)" if len(files) > 1 else ""
    yield f"{file.url}{more}: {kind}" + (f", {int(size):,} bytes" if size.isdigit() else "")
    fields = {
        name: item
        for name, item in held.items()
        if name == variable or (not variable and len(item.dims) >= 2 and not _is_place(name, item, held))
    }
    if variable and not fields:
        raise ForcingError(f"{file.url}: has no field {variable!r}; it holds {', '.join(held)}")
    for name, item in fields.items():
        yield ""
        yield from _field(file, url, name, item, known)


def _is_place(name: str, item: Variable, held: Mapping[str, Variable]) -> bool:
    """Whether a variable only gives the places or intervals of others."""
    words = {word for other in held.values() for key in ("coordinates", "bounds") for word in _words(other, key)}
    return (
        name in words or str(item.attrs.get("units", "")).startswith("degrees_") or name.endswith(("_bnds", "_bounds"))
    )


def _words(item: Variable, key: str) -> list[str]:
    return str(item.attrs.get(key, "")).split()


def _field(
    file: SourceFile, url: str, name: str, item: Variable, known: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    shape = ", ".join(f"{dim} = {length}" for dim, length in zip(item.dims, item.shape, strict=True))
    yield f"{name} ({shape}) {item.dtype}, units {item.attrs.get('units', 'not named')}"
    dated = file if file.day else SourceFile(file.url, file.fingerprint, ANY_DAY)
    try:
        scans = scan_file(dated, name, Files(url=file.url, variable=name))
    except ForcingError as error:
        yield f"  cannot be read as it is: {str(error).removeprefix(f'{file.url}: ')}"
        return
    scan = scans[0]
    yield f"  {_grid(scan)}; chunks of {' x '.join(str(n) for n in scan.array['chunks'])} (time, y, x)"
    has_time = not (len(scan.times) == 1 and _date(scan.times[0])[:10] == ANY_DAY)
    if has_time:
        yield f"  {_times(scan)}"
    else:
        yield "  no times: a static field, or a series by day in the files' names ({year}{month}{day})"
    if likes := [like for like, table in _tables(known) if table.get("variable") == name]:
        yield f"  providers' tables with this variable: {', '.join(likes)}"
    yield from (f"  | {line}" for line in _paste(url, name, item, scan, has_time))


def _tables(known: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for provider, table in known.items():
        for name, value in table.items():
            if isinstance(value, dict):
                yield f"{provider}.{name}", {**table, **value}


def _grid(scan: Scan) -> str:
    grid = scan.grid
    if grid["kind"] != "regular":
        mapping = grid.get("grid_mapping", {}).get("grid_mapping_name", "not described")
        return f"{grid['kind']} grid of {len(grid['y'])} x {len(grid['x'])} nodes ({mapping}): needs regrid"
    parts = []
    for word, key in (("latitudes", "lat"), ("longitudes", "lon")):
        axis = np.array(grid[key])
        step = f" by {abs(float(np.median(np.diff(axis)))):.6g}" if len(axis) > 1 else ""
        parts.append(f"{len(axis)} {word} {axis[0]:g}..{axis[-1]:g}{step}")
    return ", ".join(parts)


def _times(scan: Scan) -> str:
    first, last = _date(scan.times[0]), _date(scan.times[-1])
    step = int(np.median(np.diff(scan.times))) / 3600 if len(scan.times) > 1 else None
    every = f", every {step:g} hours" if step else ""
    what = f", cell_methods {scan.cell_methods!r}" if scan.cell_methods else ""
    bounds = "; its bounds say which interval each stamp means" if scan.bounds else ""
    if not bounds and _kind(scan) != "instantaneous":
        bounds = (
            "; it has no bounds: whether a stamp is the start, middle or end of its interval is the producer's habit"
        )
    return f"{len(scan.times)} times {first} to {last}{every} ({scan.calendar} calendar){what}{bounds}"


def _date(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s"))[:16]


def _kind(scan: Scan) -> str | None:
    stamps = Stamps(
        (scan.url,), scan.times, scan.time_bounds, scan.cell_methods, scan.calendar, np.zeros(len(scan.times), "int64")
    )
    return KIND_OF_METHOD.get(stamps.method or "")


def _paste(url: str, name: str, item: Variable, scan: Scan, has_time: bool) -> Iterator[str]:
    """A table of the declaration, with what the file does not say left to be written."""
    units = item.attrs.get("units")
    if not has_time:
        yield "[static.NAME]"
        yield f'url = "{url}"'
        yield f'variable = "{name}"'
        codes = "flag_values" in item.attrs or "flag_meanings" in item.attrs
        yield f'units = "{units}"' if units else '# units = "..."  the file does not name any'
        yield 'within_cell = "fraction"\nclasses = []' if codes else 'within_cell = "mean"  # where finer than the grid'
        return
    daily = len(scan.times) < 2 or int(np.median(np.diff(scan.times))) >= DAY_SECONDS
    kind = _kind(scan)
    yield f"[forcing.{_name(scan, str(units or ''), kind == 'accumulated')}]"
    yield f'url = "{url}"'
    yield f'variable = "{name}"'
    yield f'units = "{units}"' if units else '# units = "..."  the file does not name any'
    yield 'frequency = "daily"' if daily else 'frequency = "sub-daily"'
    yield f'kind = "{kind}"' if kind else '# kind = "instantaneous" | "mean" | "accumulated"  the file does not say'
    if not daily and kind in (None, "accumulated"):
        yield '# accumulation = "day" (since 00 UTC, as ERA5-Land) | "step" (of each step, as ERA5)'
    if not scan.bounds and kind != "instantaneous":
        yield '# stamp = "start" | "middle" | "end"'
    if scan.grid["kind"] != "regular":
        yield 'regrid = "bilinear"'


def _name(scan: Scan, units: str, accumulated: bool) -> str:
    """The forcing variables whose units these can become, or NAME."""
    fitting = [
        name
        for name, quantity in FORCING.items()
        if units and conversion(per_day(units, accumulated), quantity.units) is not None
    ]
    return "|".join(fitting) if 0 < len(fitting) <= 2 else "NAME"
