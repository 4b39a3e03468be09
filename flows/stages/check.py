"""A whole declaration gone through without computing: what is there, how it comes onto the cells, what is wrong."""

import datetime as dt
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.stages.check_archives import check_archive
from flows.today import today
from somo.core.grid import Grid
from somo.core.variables import SOIL_MOISTURE, Quantity
from somo.core.words import counted
from somo.forcing.by_tile.tiling import read_cost
from somo.forcing.cells import domain_grid
from somo.forcing.checked import accumulation_of, check_numbers
from somo.forcing.daily import DailyArray
from somo.forcing.days.stamps import meaning
from somo.forcing.fields import find_fields
from somo.forcing.meaning import Cells, cells_of, plan_of, stamps_of
from somo.forcing.references.chunks import open_references
from somo.forcing.references.combining import combine
from somo.forcing.references.reference_set import reference_url, write_references
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import find_files, needed_days
from somo.forcing.statics.field import read_static, read_static_at, who_lacks
from somo.forcing.statics.static_file import climate_period
from somo.forcing.statics.tiles import Tile, open_tiles
from somo.product.declaration import Product
from somo.product.inputs import RegularGrid, Source
from somo.product.layout import Layout
from somo.product.method import Compared
from somo.product.static import Static
from somo.storage.patience import UnreachableError
from somo.validate.datasets import compared_files, try_compared

EPOCH = dt.date(1970, 1, 1)
# A check is to answer soon: of sources with more values a day, as hourly ones of a continent, no whole day is read.
MOST_VALUES_OF_A_DAY = 2**23


@dataclass
class Finding:
    """What was learnt of one table of a declaration.

    Attributes
    ----------
    what : the table, as in "forcing.precipitation", with its domain
    facts : sentences about its files, days, units, grid and size
    problem : why it cannot be used, and what to write; empty if it can
    """

    what: str
    facts: list[str] = field(default_factory=list)
    problem: str = ""


def check(product: Product) -> Iterator[Finding]:
    """Every table of a declaration, in order; one that cannot be used does not keep the others from being checked.

    Metadata of all files are read, and of the values a few samples.

    Raises
    ------
    UnreachableError
        where a store does not answer, which says nothing of the declaration
    """
    grids: dict[str, Grid] = {}
    # Without files: an open product whose climatology would change with every day.
    if (climatology := _tried("training.period", partial(_climatology, product))).problem:
        yield climatology
    with tempfile.TemporaryDirectory(prefix="somo-check-") as root:
        for domain in product.grids():
            yield from _check_domain(product, domain, root, grids)
    for insitu in product.insitu:
        yield _tried(f"insitu.{insitu.name}", partial(check_archive, product, insitu, grids))
    first, last = product.period.start, product.period.end or today()
    days = pd.date_range(first, last, freq="D")
    for compared in product.compare:
        yield _tried(f"compare.{compared.name}", partial(_compared, product, compared, days, grids.get("home")))


def _climatology(product: Product, facts: list[str]) -> None:
    first, last = climate_period(product)
    facts.append(f"{first} to {last}")


def _tried(what: str, step: Callable[[list[str]], None]) -> Finding:
    """The finding of one step, whose error is its problem."""
    finding = Finding(what)
    try:
        step(finding.facts)
    except UnreachableError:
        raise
    except (ValueError, OSError) as error:
        finding.problem = str(error)
    return finding


def _check_domain(product: Product, domain: str, root: str, grids: dict[str, Grid]) -> Iterator[Finding]:
    """Findings of one domain; its grid, once it is known, is entered into `grids`."""
    declared, product = product.grids()[domain], product.in_domain(domain)
    grid = None
    if isinstance(declared, RegularGrid):
        grid = Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    days = needed_days(product)
    valued: list[NDArray[np.bool_] | None] = []
    for name, source in product.sources.items():
        source_check = _SourceCheck(product, domain, root, name, source, product.quantity(name), days)
        yield _tried(f"{domain}: forcing.{name}", partial(source_check.facts, grid))
        grid = grid or source_check.own_grid
        if ".then." not in name:
            valued.append(source_check.valued)
    looked_at = [mask for mask in valued if mask is not None]
    land = np.logical_and.reduce(looked_at) if len(looked_at) == len(valued) else None
    if grid is not None:
        grids[domain] = grid
    for name, static in product.static.items():
        if static.url is not None:
            yield _tried(f"{domain}: static.{name}", partial(_static, name, static, domain, grid, land))
    for layer in product.targets.reference:
        label = f"targets.reference {layer.top_m:g}-{layer.bottom_m:g} m"
        source_check = _SourceCheck(product, domain, root, SOIL_MOISTURE.name, layer.source, SOIL_MOISTURE, days)
        yield _tried(f"{domain}: {label}", partial(source_check.facts, grid))


@dataclass
class _SourceCheck:
    """One source of a domain, looked at step by step."""

    product: Product
    domain: str
    root: str
    name: str
    source: Source
    quantity: Quantity
    days: tuple[dt.date, dt.date | None]
    own_grid: Grid | None = None
    valued: NDArray[np.bool_] | None = None

    def facts(self, grid: Grid | None, facts: list[str]) -> None:
        """Files, days, meaning and units, way onto the cells, bytes and requests."""
        continued = f"{self.name.partition('.then.')[0]}.then.1" in self.product.sources
        last = None if continued else self.days[1]
        files = find_files(
            self.name, self.source, self.domain, self.days[0], last, self.days[1] or today(), ".then." in self.name
        )
        if not files:
            facts.append("no files yet; the source before it goes on alone")
            return
        facts.append(f"{counted(len(files), 'file')}{_size([file.fingerprint for file in files])}")
        scans = [scan for file in files for scan in scan_file(file, self.name, self.source)]
        url = reference_url(self.root, self.name, self.domain, self.source, files)
        write_references(url, combine(self.name, scans, self.source))
        store = open_references(url)
        grid = self.own_grid = grid or domain_grid(self.product, self.domain, store.grid)
        cells = cells_of(grid)
        check_numbers(self.name, self.quantity, self.source, url, cells)
        plan = plan_of(self.name, self.source, url, accumulation_of(self.source, url))
        stamp_meaning = meaning(self.name, self.source, stamps_of(store))
        stamp = f", stamped at the {stamp_meaning.stamp}" if stamp_meaning.stamp else ""
        units = ", ".join(sorted({str(unit or "no units") for unit in store.units}))
        facts.append(
            f"{_day(plan.first_day)} to {_day(plan.stop_day - 1)}, {counted(plan.steps.shape[1], 'step')} a day, "
            f"{stamp_meaning.kind}{stamp}"
        )
        facts.append(f"{units} become {self.quantity.units}")
        self._require_days(plan.first_day, plan.stop_day - 1)
        array = self._array(url, plan.first_day, plan.stop_day, cells)
        facts += [self._way(store.grid, grid), *self._coverage(array), self._cost(array, grid)]

    def _way(self, nodes: Mapping[str, Any], grid: Grid) -> str:
        axes = ("lat", "lon") if nodes["kind"] == "regular" else ("y", "x")
        rows, columns = (nodes.get(axis, ()) for axis in axes)
        how = f"by regrid = {self.source.regrid!r}" if self.source.regrid else "as they are"
        return (
            f"{len(rows)} x {len(columns)} nodes ({nodes['kind']}) onto {grid.shape[0]} x {grid.shape[1]} cells {how}"
        )

    def _require_days(self, first: int, last: int) -> None:
        """The files must hold the days that the product needs; of sources that follow one another together."""
        begin, end = self.days
        is_alone = ".then." not in self.name and f"{self.name}.then.1" not in self.product.sources
        if is_alone and first > (begin - EPOCH).days:
            raise ValueError(
                f"begins on {_day(first)}, but the days from {begin} are needed (period.start less the spin-up): "
                "provide earlier files, start later, or shorten sequence.lookback"
            )
        if is_alone and end is not None and last < (end - EPOCH).days:
            raise ValueError(f"the last whole day is {_day(last)}, but {end} is needed: provide later files")

    def _array(self, url: str, first: int, stop: int, cells: Cells) -> DailyArray:
        """The source on the cells, for those of the days that are needed which its files have."""
        begin = max(first, (self.days[0] - EPOCH).days)
        end = stop if self.days[1] is None else min(stop, (self.days[1] - EPOCH).days + 1)
        return DailyArray(
            self.name, self.quantity, self.source, url, begin, end - begin, cells, accumulation_of(self.source, url)
        )

    def _coverage(self, array: DailyArray) -> list[str]:
        """How many cells have no value on one day in the middle: sea, and land that the files do not reach."""
        everywhere = slice(0, array.shape[1]), slice(0, array.shape[2])
        values_of_a_day = array.placing.window(*everywhere).size * array.plan.steps.shape[1]
        if array.n_days < 1 or values_of_a_day > MOST_VALUES_OF_A_DAY:
            return []
        # A day within a gap of the files, which is filled from its neighbours, shows nothing of the cells.
        is_whole = (array.plan.of(array.first_day, array.first_day + array.n_days) >= 0).all(axis=1)
        whole_days = array.first_day + np.flatnonzero(is_whole)
        if not len(whole_days):
            return []
        day = int(whole_days[len(whole_days) // 2])
        self.valued = ~np.isnan(array.from_references(day, day + 1, everywhere)[0])
        if self.valued.all():
            return [f"every cell has a value on {_day(day)}"]
        empty = int((~self.valued).sum())
        return [f"{empty} of {self.valued.size} cells have no value on {_day(day)}: sea, or outside of the files"]

    def _cost(self, array: DailyArray, grid: Grid) -> str:
        """What a run reads of it: every tile with all its days."""
        cost = read_cost(array, Layout.of(self.product, grid.shape))
        by_tile = ", so it is laid out by tile first" if cost.factor > self.product.chunks.read_factor else ""
        return (
            f"to read: {_bytes(cost.touched.bytes)} in {counted(cost.touched.chunks, 'chunk')}, "
            f"{cost.factor:.1f} times its own {_bytes(cost.own_bytes)}{by_tile}"
        )


def _static(
    name: str, static: Static, domain: str, grid: Grid | None, land: NDArray[np.bool_] | None, facts: list[str]
) -> None:
    tiles = open_tiles(name, static, domain)
    facts.append(f"{counted(len(tiles), 'file')}{_size([tile.scans[0].fingerprint for tile in tiles])}")
    facts.append(_nodes(tiles[0], static))
    if grid is None:
        raise ValueError("the grid comes from the forcing, which cannot be read; mend that first")
    row, column = len(grid.lat) // 2, len(grid.lon) // 2
    value = read_static_at(name, static, domain, grid, (slice(row, row + 1), slice(column, column + 1)))[0, 0]
    lat, lon = float(grid.lat[row]), float(grid.lon[column])
    if np.isnan(value):
        # Over the sea it may be missing: only a cell with forcing needs it.
        lacking = who_lacks(name, static, domain, lat, lon)
        facts.append(f"no value at {lat:g} N, {lon:g} E, which a cell with forcing needs: {lacking}")
        return
    units = "" if static.of_classes or static.units is None else f" {static.units}"
    facts.append(f"{value:.4g}{units} at {lat:g} N, {lon:g} E")
    if (
        land is None
        or static.gaps != "error"
        or sum(t.rows.size * t.columns.size for t in tiles) > MOST_VALUES_OF_A_DAY
    ):
        return
    missing = np.argwhere(land & np.isnan(read_static(name, static, domain, grid)))
    if len(missing):
        lat, lon = float(grid.lat[missing[0][0]]), float(grid.lon[missing[0][1]])
        raise ValueError(
            f"missing at {len(missing)} of {int(land.sum())} cells with forcing, first at {lat:g} N, {lon:g} E: "
            f'{who_lacks(name, static, domain, lat, lon)}, or write static.{name}.gaps = "mean"'
        )


def _nodes(tile: Tile, static: Static) -> str:
    way = static.within_cell and f"{static.within_cell} within each cell"
    return (
        f"{len(tile.rows)} x {len(tile.columns)} nodes ({tile.grid['kind']}), "
        f"{way or (static.regrid and f'regrid = {static.regrid!r}') or 'as they are'}"
    )


def _compared(
    product: Product, compared: Compared, days: pd.DatetimeIndex, grid: Grid | None, facts: list[str]
) -> None:
    files = compared_files(compared, product.layers, days, find_fields)
    if not files:
        raise ValueError(f"no file {compared.url} of {days[0]:%Y}..{days[-1]:%Y}; provide it, or take it out")
    facts.append(f"{counted(len(files), 'file')}{_size([file.fingerprint for file in files])}")
    if grid is not None:
        facts += try_compared(compared, product.layers, grid, days, find_fields)


def _size(fingerprints: list[str]) -> str:
    sizes = [text.split("-", 1)[0] for text in fingerprints]
    return f", {_bytes(sum(int(size) for size in sizes))}" if all(size.isdigit() for size in sizes) else ""


def _bytes(size: int) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _day(number: int) -> np.datetime64:
    return np.datetime64(int(number), "D")
