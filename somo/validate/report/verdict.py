"""The report in a few sentences: what a reader should know before the figures, and whether the gate let it pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from somo.validate.gate.checks import Result
from somo.validate.sections.depths import naming_depths
from somo.validate.sections.section import Section

# By layer and metric.
Scores = Mapping[str, Mapping[str, float]]


def verdict(sections: Sequence[Section], depths: Mapping[str, str]) -> list[str]:
    """Sentences on skill, the baseline, chance and uncertainty, as far as their sections were made.

    Parameters
    ----------
    depths : each layer's depth for people by its name
    """
    findings = {section.name: section.findings for section in sections}
    skill = findings.get("figS3", {})
    return [
        *_skill(skill.get("network", {}), skill.get("ridge baseline", {}), depths),
        *_levels(findings.get("level", {}), depths),
        *_chance(findings.get("stations", {}).get("significant", {}), depths),
        *_coverage(findings.get("uncertainty", {}).get("uncertainty", {}), depths),
    ]


def gate_line(results: Sequence[Result]) -> str:
    """Whether the version may be released, in one sentence."""
    failed = [result.check for result in results if not result.passed]
    if failed:
        return f"The gate refuses this version: {len(failed)} of {len(results)} checks fail ({', '.join(failed)})."
    return f"The gate lets this version pass: all {len(results)} checks hold."


def _skill(network: Scores, ridge: Scores, depths: Mapping[str, str]) -> list[str]:
    """Where a baseline was fitted, whether the network beats it is part of the verdict."""
    sentences = []
    for layer, scores in network.items():
        r, error = scores.get("pearson_r"), scores.get("ubrmsd")
        if r is None or error is None:
            continue
        text = (
            f"{depths.get(layer, layer)}: at {scores['cells']} cells that the networks had not seen, the median "
            f"correlation with measurements is {r:.2f} and the unbiased error {error:.3f} m³ m⁻³"
        )
        other = ridge.get(layer, {}).get("pearson_r")
        if other is not None:
            compared = "better than" if r > other else "no better than"
            text += f", {compared} a linear baseline ({other:.2f})"
        sentences.append(f"{text}.")
    return sentences


def _levels(judged: Mapping[str, Any], depths: Mapping[str, str]) -> list[str]:
    # Drawing takes seconds to import, and a report without this section needs none of it.
    from somo.validate.sections.level import verdicts

    with naming_depths(depths):
        return verdicts(judged.get("layers", {}), judged.get("scaling", ""))


def _chance(share: Mapping[str, float], depths: Mapping[str, str]) -> list[str]:
    shares_text = ", ".join(f"{value:.0%} at {depths.get(layer, layer)}" for layer, value in share.items())
    return [f"The correlation is more than chance at {shares_text} of those cells."] if shares_text else []


def _coverage(stated: Scores, depths: Mapping[str, str]) -> list[str]:
    shares_text = ", ".join(
        f"{scores['coverage_90']:.0%} at {depths.get(layer, layer)}" for layer, scores in stated.items()
    )
    return [f"The stated 90 % interval holds {shares_text} of the measurements there."] if shares_text else []
