"""The text of a new declaration, from what lies at the places that somebody named."""

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flows.environment import read_providers
from somo.forcing.drafting.cells import Box, DraftGrid, draft_grid
from somo.forcing.drafting.roles import variable_of
from somo.forcing.drafting.sources import DraftSource, common_days, fields_at
from somo.forcing.drafting.tables import (
    Providers,
    facts_of,
    forcing_tables,
    forcing_variables,
    reference_layers,
    reference_tables,
    static_tables,
)
from somo.insitu.drafting import DraftArchive, archive_at
from somo.product.declaration import ProductError
from somo.product.method import Sequence as SequenceSettings

ONE_DAY = dt.timedelta(days=1)
# Days of forcing from which on a year of spin-up, as in the paper, leaves two years to learn from.
LONG_DAYS = 3 * 365
SHORT_SEQUENCE_DAYS = 90
# Up to so many stations the settings for few of them are written. They were measured on 61 (docs/method.md); how far
# above that they hold was not, and whoever has hundreds is nearer to the paper's defaults.
FEW_STATIONS = 150


@dataclass(frozen=True)
class Wishes:
    """What somebody wants a product of.

    Attributes
    ----------
    box : west, south, east, north in degrees; None for all that the forcing covers
    forcing, static, reference, archives : folders, files, patterns or URLs
    start, end : first and last day of the product; None for all that the forcing allows
    """

    name: str
    forcing: Sequence[str]
    archives: Sequence[str]
    static: Sequence[str] = ()
    reference: Sequence[str] = ()
    box: Box | None = None
    step_deg: float | None = None
    start: dt.date | None = None
    end: dt.date | None = None


@dataclass
class Draft:
    """A declaration that is being written.

    Attributes
    ----------
    text : of the TOML file
    remarks : what its writer should look at, for the terminal
    tables : texts of tables of stations to be completed by hand, by where they belong
    """

    text: str
    remarks: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)


def draft(wishes: Wishes) -> Draft:
    """Look into every place and write a declaration of what is there.

    Raises
    ------
    ForcingError, InsituError
        where a place holds nothing of its kind, or the box lies outside the forcing
    ProductError
        where no file holds a forcing variable
    """
    providers = read_providers()
    sources = [source for place in wishes.forcing for source in fields_at(place)]
    variables = forcing_variables(sources)
    if not variables:
        held = ", ".join(sorted({source.field.name for source in sources})) or "nothing"
        raise ProductError(
            f"--forcing {' '.join(wishes.forcing)}: no field there is known as a forcing variable (there are {held}); "
            "docs/keys.md names the variables, `somo inspect` prints the table of a single file"
        )
    first = next(iter(variables.values()))
    assert first.field.scan is not None
    grid = draft_grid(first.field.scan.grid, wishes.box, wishes.step_deg)
    statics = [source for place in wishes.static for source in fields_at(place)]
    references = [source for place in wishes.reference for source in fields_at(place)]
    layers = reference_layers([*references, *sources])
    archives = [archive_at(place) for place in wishes.archives]
    # In the order in which a reader asks: when and where, from what, against what.
    lines = [
        *_head(wishes, grid, variables),
        *forcing_tables(variables, grid, providers),
        *_left_out(sources, variables, layers),
        *_computed_statics(variables),
        *static_tables(statics, grid, providers),
        *_archive_tables(archives),
        *_targets(layers, grid, providers),
        *_learning(archives),
    ]
    written = Draft("\n".join(lines).rstrip() + "\n")
    written.tables = {archive.url: archive.table for archive in archives if archive.table}
    written.remarks = _remarks(wishes, grid, variables, archives)
    return written


def _head(wishes: Wishes, grid: DraftGrid, variables: dict[str, DraftSource]) -> Iterator[str]:
    """Name, period, sequence and grid."""
    yield "#:schema somo.schema.json"
    yield "# Written by `somo init`; every key is explained in docs/keys.md. What to do next:"
    yield "#   somo check THIS_FILE           every source, without computing: files, days, units, cells"
    yield "#   somo sensors THIS_FILE         every sensor kept or dropped, with the reason"
    yield "#   somo run THIS_FILE --root DIR  make the product; an interrupted run goes on where it stopped"
    yield f"name = {json.dumps(wishes.name)}"
    yield ""
    covered = common_days(variables.values())
    # A spin-up longer than what is left to learn from would leave hardly a sequence of any station.
    sequence = SequenceSettings()
    is_short = covered is not None and (covered[1] - covered[0] + ONE_DAY).days < LONG_DAYS
    if is_short:
        days = SHORT_SEQUENCE_DAYS
        sequence = SequenceSettings(lookback=days, predict_last_n=days)
    yield "[period]"
    if covered is not None:
        yield f"# Forcing from {covered[0]} to {covered[1]}; the {sequence.spinup_days} days before start are spin-up."
    start = wishes.start or (covered[0] + sequence.spinup_days * ONE_DAY if covered else None)
    end = wishes.end or (covered[1] if covered else None)
    yield f"start = {start}" if start else "# start = 2015-01-01  the files do not say which days they hold"
    if end:
        yield "# To let the product grow with its forcing, leave end out and give [training.period] an end."
        yield f"end = {end}"
    yield ""
    if is_short:
        yield "[sequence]"
        yield "# Shorter than the default of 365 days each, as there are fewer than three years of forcing."
        yield f"lookback = {sequence.lookback}"
        yield f"predict_last_n = {sequence.predict_last_n}"
        yield ""
    yield "[grid]"
    first = next(iter(variables))
    yield f"# {grid.shape[0]} x {grid.shape[1]} cells, whose centres are nodes of {first} where it allows."
    yield 'kind = "regular"'
    for key in ("west", "east", "south", "north", "step_deg"):
        yield f"{key} = {getattr(grid, key):.10g}"
    yield ""


def _left_out(
    sources: Sequence[DraftSource],
    variables: dict[str, DraftSource],
    layers: dict[tuple[float, float], DraftSource],
) -> Iterator[str]:
    """Fields that became no table, each with a line that says why and what to do for another choice."""
    used = [*variables.values(), *layers.values()]
    for source in sources:
        if not any(source is other for other in used):
            name = variable_of(source.field)
            why = source.field.problem or (
                f"forcing.{name} is read from a place that was named before; name this one first to take it instead"
                if name in variables
                else "not known as a forcing variable"
            )
            yield f"# Not used: {source.url}: {next(iter(facts_of(source)))} ({why})"
    yield ""


def _computed_statics(variables: dict[str, DraftSource]) -> Iterator[str]:
    """Features that follow from the forcing's climatology."""
    has_radiation = {"net_radiation"} & variables.keys() or {"net_shortwave", "net_longwave"} <= variables.keys()
    if "precipitation" in variables:
        yield from ("[static.precipitation_mean]", 'computed = "mean"', 'of = "precipitation"', "")
        if has_radiation:
            yield from ("[static.aridity]", 'computed = "aridity"', "")
    else:
        name = next(iter(variables))
        yield from (f"[static.{name}_mean]", 'computed = "mean"', f'of = "{name}"', "")


def _archive_tables(archives: Sequence[DraftArchive]) -> Iterator[str]:
    for number, archive in enumerate(archives, 1):
        yield f"# {archive.note}"
        yield "[[insitu]]"
        # Own stations go by the name of their folder: "table" says nothing in a report.
        folder = archive.url.rpartition("/")[0].rpartition("/")[2]
        word = folder if archive.format == "table" and folder else archive.format.upper()
        name = word + (str(number) if len(archives) > 1 else "")
        yield f"name = {json.dumps(name)}"
        yield f"url = {json.dumps(archive.url)}"
        if archive.format != "ismn":
            yield f"format = {json.dumps(archive.format)}"
        if archive.format == "cosmos":
            yield 'role = "independent"  # kept out of training, for validation'
        yield ""


def _targets(layers: dict[tuple[float, float], DraftSource], grid: DraftGrid, providers: Providers) -> Iterator[str]:
    yield "[targets]"
    if layers:
        yield "# Every sensor gets mean and spread of the reference model in its cell: docs/stations.md, Scaling."
        yield 'scaling = "reference"'
        yield ""
        yield from reference_tables(layers, grid, providers)
    else:
        yield "# Published values say when and how fast soil wets and dries, not how wet one place is beside another."
        yield "# With ERA5-Land's soil moisture (--reference) they have its level: docs/stations.md, Scaling."
        yield 'scaling = "pooled"'


def _learning(archives: Sequence[DraftArchive]) -> Iterator[str]:
    """Settings of the network where stations are few; the defaults are the paper's, for thousands of them."""
    stations = sum(archive.stations for archive in archives if archive.format != "cosmos")
    if stations > FEW_STATIONS:
        return
    yield ""
    yield f"# For few stations ({stations} here): measured on 61 of them (docs/method.md, Skill). The defaults are the"
    yield "# paper's, for thousands: all sequences of so few would make one batch, and an epoch one step of learning."
    yield "[network]"
    yield from ("hidden = 64", "dropout = 0.2", "forget_bias = 1.0", "")
    yield "[training]"
    yield from ("epochs = 60", "batch_size = 32", "learning_rate = 0.02", "held_back = 0.0")


def _remarks(
    wishes: Wishes, grid: DraftGrid, variables: dict[str, DraftSource], archives: Sequence[DraftArchive]
) -> list[str]:
    remarks = [f"forcing: {', '.join(variables)}", f"grid: {grid.shape[0]} x {grid.shape[1]} cells"]
    for archive in archives:
        remarks.append(f"{archive.url}: {archive.note}")
        remarks += [f"  to write into it: {gap}" for gap in archive.to_complete]
    if wishes.archives and all(archive.format == "cosmos" for archive in archives):
        remarks.append("every archive is independent: add one to learn from")
    return remarks
