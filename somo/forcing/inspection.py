"""What source files hold, described in words, with a table to paste into a declaration."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from somo.core.variables import FORCING
from somo.forcing.drafting.content import Field, as_minute, content_of, kind_of, with_first_choice
from somo.forcing.drafting.roles import provider_tables, variable_of
from somo.forcing.references.scan import Scan
from somo.forcing.units import conversion, per_day


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


def _described(field: Field, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    item, scan = field.variable, field.scan
    shape = ", ".join(f"{dim} = {length}" for dim, length in zip(item.dims, item.shape, strict=True))
    yield f"{field.name} ({shape}) {item.dtype}, units {item.attrs.get('units', 'not named')}"
    if scan is None:
        yield f"  cannot be read as it is: {field.problem}"
        if chosen := with_first_choice(field):
            yield from _described_scan(chosen, known)
        return
    yield from _described_scan(field, known)


def _described_scan(field: Field, known: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    scan = field.scan
    assert scan is not None
    yield f"  {_grid(scan)}; chunks of {' x '.join(str(n) for n in scan.array['chunks'])} (time, y, x)"
    if field.has_time:
        yield f"  {_times(scan, field.step_seconds)}"
    else:
        yield "  no times: a static field, or a series by day in the files' names ({year}{month}{day})"
    if likes := [like for like, table in provider_tables(known) if table.get("variable") == field.name]:
        yield f"  providers' tables with this variable: {', '.join(likes)}"
    yield from (f"  | {line}" for line in _paste(field, scan))


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


def _times(scan: Scan, step_seconds: int | None) -> str:
    first, last = as_minute(scan.times[0]), as_minute(scan.times[-1])
    from_files = " from file to file" if len(scan.times) == 1 else ""
    every = f", every {step_seconds / 3600:g} hours{from_files}" if step_seconds else ""
    methods_text = f", cell_methods {scan.cell_methods!r}" if scan.cell_methods else ""
    bounds = "; its bounds say which interval each stamp means" if scan.bounds else ""
    if not bounds and kind_of(scan) != "instantaneous":
        bounds = (
            "; it has no bounds: whether a stamp is the start, middle or end of its interval is the producer's habit"
        )
    number = f"{len(scan.times)} times {first} to {last}" if len(scan.times) > 1 else f"1 time {first}"
    return f"{number}{every} ({scan.calendar} calendar){methods_text}{bounds}"


def _paste(field: Field, scan: Scan) -> Iterator[str]:
    """A table of the declaration; what the file does not say stands there as a comment to complete."""
    units = f'units = "{field.units}"' if field.units else '# units = "..."  the file does not name any'
    if not field.has_time:
        yield "[static.NAME]"
        yield f'url = "{field.url}"'
        yield f'variable = "{field.name}"'
        yield units
        if field.select:
            yield f"{field.select}  # or another choice"
        codes = 'within_cell = "fraction"\nclasses = []'
        yield codes if field.holds_codes else 'within_cell = "mean"  # where finer than the grid'
        return
    kind = field.kind
    fitting = fitting_variables(field.units, kind == "accumulated")
    yield f"[forcing.{variable_of(field) or '|'.join(fitting) or 'NAME'}]"
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
    if field.select:
        yield f"{field.select}  # or another choice"


def fitting_variables(units: str, accumulated: bool) -> list[str]:
    """The forcing variables whose units these can become, where they are no more than two."""
    fitting = [
        name
        for name, quantity in FORCING.items()
        if units and conversion(per_day(units, accumulated), quantity.units) is not None
    ]
    return fitting if len(fitting) <= 2 else []
