"""One section of the report: a figure, its caption, its numbers as a tidy table; kept beside the version."""

import io
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from somo.storage.objects import exists, join, put, read_bytes
from somo.validate.published import ValidationError


class Impossible(ValidationError):
    """Too few data for a section, which then has words instead of a figure; the text names what is missing."""


@dataclass(frozen=True)
class Section:
    """What one command of the validation gives.

    Attributes
    ----------
    name : short name, as in `somo validate --only NAME`
    caption : what is drawn, of which data, n and period
    figure : SVG; empty where the data allow none
    table : the numbers behind the figure, tidy
    shown : the few numbers to read beside the figure; may be empty
    findings : the numbers a machine should compare between versions
    """

    name: str
    caption: str
    figure: bytes
    table: pd.DataFrame
    shown: pd.DataFrame = field(default_factory=pd.DataFrame)
    findings: dict[str, Any] = field(default_factory=dict)


def text_section(name: str, why: Impossible) -> Section:
    """A section of words alone, where the data allow no figure."""
    return Section(name, f"Not drawn: {why}.", b"", pd.DataFrame(), findings={"not_drawn": str(why)})


def write_section(section: Section, folder: str, inputs: str) -> None:
    """Write figure, table and, last, the description that makes it visible; `inputs` names what it was made of."""
    put(join(folder, f"{section.name}.svg"), section.figure)
    put(join(folder, f"{section.name}.parquet"), parquet(section.table))
    described = {
        "name": section.name,
        "caption": section.caption,
        "inputs": inputs,
        "shown": json.loads(section.shown.to_json(orient="split", double_precision=6)),
        "findings": _finite(section.findings),
    }
    put(join(folder, f"{section.name}.json"), json.dumps(described, indent=1, allow_nan=False).encode())


def is_made(folder: str, name: str, inputs: str) -> bool:
    """Whether all files of a section exist and were made of these inputs; reads its description alone."""
    if not all(exists(join(folder, f"{name}.{kind}")) for kind in ("json", "svg", "parquet")):
        return False
    described = json.loads(read_bytes(join(folder, f"{name}.json")))
    return bool(described["inputs"] == inputs)


def read_section(folder: str, name: str, inputs: str | None = None) -> Section | None:
    """A section written before; None if one of its files is missing, or if it was made of other inputs."""
    if not all(exists(join(folder, f"{name}.{kind}")) for kind in ("json", "svg", "parquet")):
        return None
    described = json.loads(read_bytes(join(folder, f"{name}.json")))
    if inputs is not None and described["inputs"] != inputs:
        return None
    shown = described["shown"]
    return Section(
        name,
        described["caption"],
        read_bytes(join(folder, f"{name}.svg")),
        pd.read_parquet(io.BytesIO(read_bytes(join(folder, f"{name}.parquet")))),
        pd.DataFrame(shown["data"], columns=shown["columns"]),
        described["findings"],
    )


def parquet(table: pd.DataFrame) -> bytes:
    """A table as Parquet bytes."""
    target = io.BytesIO()
    table.to_parquet(target, index=False)
    return target.getvalue()


def _finite(value: Any) -> Any:
    """The value with null where JSON has no number."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
