"""Fields of files -> tables of a declaration in TOML, with comments on what the files say and what is guessed."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from somo.core.variables import FORCING
from somo.forcing.drafting.cells import DraftGrid
from somo.forcing.drafting.roles import REFERENCE_LAYERS_M, is_amount, likes_of, static_likes, variable_of
from somo.forcing.drafting.sources import DraftSource
from somo.product.providers import table_of

Providers = Mapping[str, Mapping[str, Any]]
NET_TERMS = (
    ("net_shortwave", "net_longwave"),
    ("downward_shortwave", "-upward_shortwave", "downward_longwave", "-upward_longwave"),
)
"""What net radiation is the sum of, in the order of preference."""
FEATURES_OF_THE_PAPER = ("elevation", "elevation_std", "forest", "short_vegetation", "sand", "clay")


def forcing_variables(sources: Sequence[DraftSource]) -> dict[str, DraftSource]:
    """The first source of every forcing variable, in the order of `somo.core.variables`."""
    variables: dict[str, DraftSource] = {}
    for source in sources:
        variable = variable_of(source.field)
        if variable is not None and source.field.scan is not None:
            variables.setdefault(variable, source)
    return {name: variables[name] for name in FORCING if name in variables}


def forcing_tables(variables: Mapping[str, DraftSource], grid: DraftGrid, providers: Providers) -> Iterator[str]:
    """Lines of `[forcing.NAME]`, net radiation as the sum of its terms where all of them are there."""
    terms: tuple[str, ...] = ()
    if "net_radiation" not in variables:
        terms = next((t for t in NET_TERMS if all(term.lstrip("-") in variables for term in t)), ())
    served = {term.lstrip("-") for term in terms}
    for variable, source in variables.items():
        yield from _forcing_table(variable, source, grid, providers)
        if variable in served:
            yield "input = false  # only a term of net_radiation"
        yield ""
    if terms:
        yield "[forcing.net_radiation]"
        yield f"sum_of = {json.dumps(list(terms))}"
        yield ""


def _forcing_table(variable: str, source: DraftSource, grid: DraftGrid, providers: Providers) -> Iterator[str]:
    yield from (f"# {line}" for line in facts_of(source))
    likes = likes_of(source.field, source.url, providers)
    if len(likes) > 1:
        yield f"# These may be files of {' or '.join(likes)}: if so, write like = and drop the keys that it gives."
    yield f"[forcing.{variable}]"
    if len(likes) == 1:
        yield f"like = {json.dumps(likes[0])}"
        yield f"url = {json.dumps(source.url)}"
        if "regrid" not in table_of(likes[0], providers):
            yield from _way(source, grid)
        return
    yield from _source_keys(variable, source)
    yield from _way(source, grid)


def _source_keys(variable: str, source: DraftSource) -> Iterator[str]:
    field = source.field
    yield f"url = {json.dumps(source.url)}"
    yield f"variable = {json.dumps(field.name)}"
    if field.units:
        yield f"units = {json.dumps(field.units)}"
    else:
        yield '# The file names no units. Write those of its numbers, as in units = "K".'
    if not field.is_daily:
        yield 'frequency = "sub-daily"'
    if field.kind is not None:
        yield f"kind = {json.dumps(field.kind)}  # as the file says"
        return
    amounts = is_amount(variable, field.units)
    kind = "accumulated" if amounts else "instantaneous" if not field.is_daily and "temperature" in variable else "mean"
    yield f"kind = {json.dumps(kind)}  # a guess from variable and units: the file does not say"
    if amounts and not field.is_daily:
        yield '# accumulation = "day"  # sums since 00 UTC (ERA5-Land), or "step" for sums of each step (ERA5)'
    elif kind == "mean" and not field.is_daily:
        yield '# stamp = "start"  # or "middle" or "end": which part of its interval a time stamps'


def _way(source: DraftSource, grid: DraftGrid) -> Iterator[str]:
    """How nodes come onto the cells, where they are not the cells' centres."""
    assert source.field.scan is not None
    nodes = source.field.scan.grid
    if grid.holds_nodes(nodes):
        return
    method = "mean" if grid.is_finer(nodes) else "bilinear"
    yield f"regrid = {json.dumps(method)}  # its nodes are not the cells' centres"


def facts_of(source: DraftSource) -> Iterator[str]:
    """A line that describes a source: its files, days, grid and units."""
    field = source.field
    days = source.days
    covered = f", {days[0]} to {days[1]}" if days else ""
    step = f", nodes {field.step_deg:.6g} degrees apart" if field.step_deg else ""
    number = "1 file" if source.files == 1 else f"{source.files} files"
    yield f"{field.name} in {number}{covered}{step}; units {field.units or 'not named'}"


def reference_layers(sources: Sequence[DraftSource]) -> dict[tuple[float, float], DraftSource]:
    """Soil moisture of ERA5 or ERA5-Land by the depths of its layers, m."""
    by_layer = ((REFERENCE_LAYERS_M.get(source.field.name.lower()), source) for source in sources)
    return {depths: source for depths, source in by_layer if depths is not None and source.field.scan is not None}


def reference_tables(
    layers: Mapping[tuple[float, float], DraftSource], grid: DraftGrid, providers: Providers
) -> Iterator[str]:
    """Lines of `[[targets.reference]]`."""
    for (top_m, bottom_m), source in layers.items():
        likes = likes_of(source.field, source.url, providers)
        keys = [f"url = {json.dumps(source.url)}"]
        if len(likes) == 1:
            keys.insert(0, f"like = {json.dumps(likes[0])}")
        else:
            keys += [f"variable = {json.dumps(source.field.name)}", 'units = "m3 m-3"']
            keys += [] if source.field.is_daily else ['frequency = "sub-daily"', 'kind = "instantaneous"']
            keys += [way.split("  #")[0] for way in _way(source, grid)]
        yield from ("[[targets.reference]]", f"top_m = {top_m}", f"bottom_m = {bottom_m}")
        yield from (f"source = {{ {', '.join(keys)} }}", "")


def static_tables(sources: Sequence[DraftSource], grid: DraftGrid, providers: Providers) -> Iterator[str]:
    """Lines of `[static.NAME]`: those of a provider where it is recognised, else the mean within each cell."""
    names: dict[str, int] = {}
    series = [source for source in sources if _changes(source)]
    if series:
        listed = ", ".join(sorted({source.field.name for source in series}))
        yield f"# Left out, as they change with time and static features do not: {listed}."
        yield ""
    for source in sources:
        if source.field.scan is None:
            yield f"# {source.field.name} of {source.url} is left out: {source.field.problem}"
            continue
        if _changes(source):
            continue
        yield from (f"# {line}" for line in facts_of(source))
        if likes := static_likes(source.field, source.url, providers):
            yield from (line for like in likes for line in _static_of_provider(like, source, names))
        else:
            yield from _plain_static(source, grid, names)
        yield ""


def _changes(source: DraftSource) -> bool:
    """Whether a source has values of several times; a map of one year, as of land cover, has one."""
    scan = source.field.scan
    return scan is not None and source.field.has_time and (len(scan.times) > 1 or source.files > 1)


def _static_of_provider(like: str, source: DraftSource, names: dict[str, int]) -> Iterator[str]:
    feature = like.partition(".")[2]
    # Providers of soil have a file a depth, whose name alone says which: clay_0-5cm_mean_1000.tif.
    depth = re.search(r"\d+-\d+cm", source.url.rsplit("/", 1)[-1])
    name = f"{feature}_{depth[0].replace('-', '_')}" if depth else feature
    lines = [f"[static.{_unused(name, names)}]", f"like = {json.dumps(like)}", f"url = {json.dumps(source.url)}"]
    # Others are features too, but rare ones are the same at all stations, which teaches a network nothing.
    comment = "" if feature in FEATURES_OF_THE_PAPER else "# "
    yield from (f"{comment}{line}" for line in lines)


def _plain_static(source: DraftSource, grid: DraftGrid, names: dict[str, int]) -> Iterator[str]:
    field = source.field
    assert field.scan is not None
    stem = re.sub(r"\.\w+$", "", source.url.rsplit("/", 1)[-1])
    name = field.name if re.match(r"[A-Za-z]", field.name) else stem
    lines = [f"[static.{_unused(re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_'), names)}]"]
    lines += [f"url = {json.dumps(source.url)}", f"variable = {json.dumps(field.name)}"]
    if field.units:
        lines.append(f"units = {json.dumps(field.units)}")
    if field.holds_codes:
        yield "# Its numbers are codes of classes: name those that make the feature, and take the # away."
        yield from (f"# {line}" for line in (*lines, 'within_cell = "fraction"', "classes = []"))
        return
    yield from lines
    if grid.is_finer(field.scan.grid) or field.scan.grid["kind"] != "regular":
        yield 'within_cell = "mean"'
    elif not grid.holds_nodes(field.scan.grid):
        yield 'regrid = "bilinear"  # its nodes are not the cells\' centres'


def _unused(name: str, names: dict[str, int]) -> str:
    """The name, with a number where it was given before."""
    names[name] = names.get(name, 0) + 1
    return name if names[name] == 1 else f"{name}_{names[name]}"
