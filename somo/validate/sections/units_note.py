"""A note on the units of a section's numbers, where the measured series were scaled before they were learnt from."""

from typing import Literal

from somo.validate.sections.register import Numbers

SCALED = {
    "pooled": "every measured series was given the mean and standard deviation pooled over its layer "
    '(scaling = "pooled")',
    "reference": "every measured series was given the mean and standard deviation of the reference model in its cell "
    '(scaling = "reference")',
}
NOTES = {
    (
        "held back",
        "pooled",
    ): "In pooled units: {}, so that bias, RMSD and ubRMSD tell errors of the dynamics alone, not "
    "of a place's own level or range.",
    ("held back", "reference"): "Level and range of the measurements are the reference model's: {}.",
    (
        "learnt",
        "pooled",
    ): "In pooled units: {}, and what was learnt from them knows no level or range of a place's own.",
    ("learnt", "reference"): "Level and range are the reference model's: {}.",
    ("products", "pooled"): "This product is in pooled units, the others are not: {}. Correlations compare, levels do "
    "not.",
    (
        "unscaled",
        "pooled",
    ): "These stations' series are not scaled, but those that were learnt from are: {}. r compares; "
    "bias and ubRMSD hold the difference of level and range as well.",
    ("unscaled", "reference"): "These stations' series are not scaled, but those that were learnt from are: {}. r "
    "compares; bias and ubRMSD hold the difference between stations and reference model as well.",
}


def units_note(numbers: Numbers, scaling: Literal["reference", "pooled", "none"]) -> str:
    """A sentence for the caption of a section; empty where its numbers are in m3 m-3 as they were measured."""
    note = NOTES.get((numbers, scaling), "")
    return note.format(SCALED[scaling]) if note else ""
