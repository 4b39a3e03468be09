"""Sections -> one self-contained page for people and one JSON for machines, published with the version."""

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from somo.storage.objects import join, put
from somo.validate.depths import in_declared_order
from somo.validate.gate.checks import Result
from somo.validate.report.alternatives import text_alternative
from somo.validate.report.verdict import gate_line, verdict
from somo.validate.sections.register import SECTIONS
from somo.validate.sections.section import Section

HEADS = {
    "layer": ("depth", ""),
    "pearson_r": ("correlation r", ""),
    "nse": ("NSE", ""),
    "ubrmsd": ("ubRMSD", "m³ m⁻³"),
    "bias": ("bias", "m³ m⁻³"),
    "rmsd": ("RMSD", "m³ m⁻³"),
    "error_std": ("error standard deviation", "m³ m⁻³"),
}
"""How the page names a metric's column, and its units."""
# A longer table would push its figure off the screen: it stands folded above it.
LONG_TABLE = 12


def write_report(
    sections: Sequence[Section],
    folder: str,
    about: dict[str, str],
    gate: Sequence[Result] = (),
    depths: Mapping[str, str] | None = None,
) -> str:
    """Write `report.json` and `index.html` of the sections in their order; returns the page's URL.

    Parameters
    ----------
    about : `title`, `version`, `period`, and an optional `note` `level` (whose level the values have) and
        `stations_period` (first and last day with a measurement)
    gate : results of the gate's checks; empty where they were not run
    depths : each layer's depth for people by its name
    """
    machine = {
        **about,
        "verdict": verdict(sections, depths or {}),
        "gate": [asdict(result) for result in gate],
        "sections": [
            {"name": s.name, "title": SECTIONS[s.name].title, "caption": s.caption, **s.findings} for s in sections
        ],
    }
    put(join(folder, "report.json"), json.dumps(_plain(machine), indent=1, allow_nan=False).encode())
    page = join(folder, "index.html")
    put(page, render(sections, about, gate, depths or {}).encode())
    return page


def render(
    sections: Sequence[Section],
    about: dict[str, str],
    gate: Sequence[Result] = (),
    depths: Mapping[str, str] | None = None,
) -> str:
    """The page; everything it shows is inside it. Parameters as of `write_report`."""
    depths = depths or {}
    # StrictUndefined makes a name that nobody gave an error; jinja2 would otherwise show nothing in its place.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((files("somo.validate.report") / "report.html").read_text())
    shown = [
        {
            "name": s.name,
            "title": SECTIONS[s.name].title,
            "caption": s.caption,
            "seen": text_alternative(s, depths),
            "image": base64.b64encode(s.figure).decode(),
            "table": None if s.shown.empty else _table(s.shown, depths),
            "folded": len(s.shown) > LONG_TABLE,
        }
        for s in sections
    ]
    checks = [replace(result, text=_with_depths(result.text, depths)) for result in gate]
    summary = {"verdict": verdict(sections, depths), "gate": checks, "gate_line": gate_line(gate) if gate else ""}
    return template.render(**{"note": "", "level": "", "stations_period": "", **about}, **summary, sections=shown)


def _with_depths(text: str, depths: Mapping[str, str]) -> str:
    """The text with each layer's depth in the place of its name, where that stands as a word of its own."""
    if not depths:
        return text
    names = "|".join(re.escape(name) for name in sorted(depths, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])({names})(?![\w-])", lambda match: depths[match[1]], text)


def _head(column: str) -> str:
    metric, *qualifiers = column.split(" ")
    label, units = HEADS.get(metric, (metric, ""))
    return " ".join([label, *qualifiers, *([f"({units})"] if units else [])])


def _table(table: pd.DataFrame, depths: Mapping[str, str]) -> dict[str, list[Any]]:
    """Heads and rows of a table for people: layers by their depth, downward."""
    if "layer" in table:
        table = _downward(table, depths)
        table = table.assign(layer=[depths.get(str(layer), str(layer)) for layer in table["layer"]])
    rows = [[_text(value) for value in row] for row in table.itertuples(index=False)]
    return {"columns": [_head(str(column)) for column in table], "rows": rows}


def _downward(table: pd.DataFrame, depths: Mapping[str, str]) -> pd.DataFrame:
    """The table with the layers of each row group (equal values in the columns before `layer`) in declared order."""
    names = in_declared_order({str(layer) for layer in table["layer"]}, depths)
    leading = list(table.columns[: table.columns.get_loc("layer")])
    groups = table.groupby(leading, sort=False, observed=True, dropna=False).ngroup() if leading else 0
    ranks = table["layer"].astype(str).map(names.index)
    order = pd.DataFrame({"group": groups, "rank": ranks}, index=table.index)
    return table.loc[order.sort_values(["group", "rank"], kind="stable").index]


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if value != value else f"{value:.3f}"
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    # JSON has no NaN, the one number that differs from itself.
    return None if isinstance(value, float) and value != value else value
