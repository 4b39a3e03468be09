"""The report in a few sentences: what a reader should know before the figures, and whether the gate let it pass."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from somo.validate.depths import in_declared_order, naming_depths
from somo.validate.gate.checks import Result
from somo.validate.sections.section import Section

T = TypeVar("T")
# By layer and metric.
Scores = Mapping[str, Mapping[str, float]]
# A tenth more error than a straight line's is beyond what the choice of folds and random starts makes.
WORSE = 1.1
# Stations of one region share their weather, so a few hundredths of r are lost in time by any network.
FAR_BELOW_R = 0.15
LEARN_MORE = (
    "train longer (training.epochs), with another step size (training.learning_rate) or a longer past "
    "(sequence.lookback)"
)


def verdict(sections: Sequence[Section], depths: Mapping[str, str]) -> list[str]:
    """Sentences on skill, baselines, chance, uncertainty and other products, as far as their sections were made.

    What speaks against the product is said as what speaks for it: whoever reads no further must not be misled.

    Parameters
    ----------
    depths : each layer's depth for people by its name
    """
    findings = {section.name: section.findings for section in sections}
    skill = findings.get("figS3", {})
    return [
        *_skill(skill.get("network", {}), skill.get("ridge baseline", {}), depths),
        *_later_days(findings.get("figS4", {}).get("network", {}), skill.get("network", {}), depths),
        *_levels(findings.get("level", {}), depths),
        *_chance(findings.get("stations", {}).get("significant", {}), depths),
        *_coverage(findings.get("uncertainty", {}).get("uncertainty", {}), depths),
        *_sharpness(findings.get("uncertainty", {}), depths),
        *_anomalies(findings.get("groups", {}).get("r_of_anomaly", {}), depths),
        *_transfer(findings.get("fig4", {}), depths),
        *_beside_products(findings.get("fig5a", {}).get("pearson_r", {}), depths),
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
    for layer in in_declared_order(network, depths):
        scores = network[layer]
        r, error = scores.get("pearson_r"), scores.get("ubrmsd")
        if r is None or error is None:
            continue
        text = (
            f"{depths.get(layer, layer)}: at {scores['cells']} cells that the networks had not seen, the median "
            f"correlation with measurements is {r:.2f} and the unbiased error {error:.3f} m³ m⁻³"
        )
        beaten = scores.get("cells_above_baseline")
        cells = "" if beaten is None else f"; the correlation is higher at {beaten} of the cells"
        sentences.append(f"{text}{_beside_baseline(r, error, ridge.get(layer, {}))}{cells}.")
    return sentences


def _beside_baseline(r: float, error: float, ridge: Mapping[str, float]) -> str:
    """The network against the baseline in both scores: a good correlation may go with twice the error."""
    other_r, other_error = ridge.get("pearson_r"), ridge.get("ubrmsd")
    if other_r is None or other_error is None:
        return ""
    numbers = f"a linear baseline (ridge regression on the same inputs: {other_r:.2f}, {other_error:.3f} m³ m⁻³)"
    if r > other_r and error < other_error:
        return f", better than {numbers}"
    if error > WORSE * other_error:
        return f", worse than {numbers}, whose error is {1 - other_error / error:.0%} smaller: {LEARN_MORE}"
    if r > other_r or error < other_error:
        better, worse = ("correlation", "error") if r > other_r else ("error", "correlation")
        return f", better in {better} and no better in {worse} than {numbers}"
    return f", no better than {numbers}: {LEARN_MORE}"


def _later_days(later: Scores, spatial: Scores, depths: Mapping[str, str]) -> list[str]:
    """A warning a layer where networks fail at days that they did not learn from, whatever they do at other cells."""
    sentences = []
    for layer in in_declared_order(later, depths):
        scores = later[layer]
        r, nse, spatial_r = scores.get("pearson_r"), scores.get("nse"), spatial.get(layer, {}).get("pearson_r")
        if r is None or nse is None or spatial_r is None:
            continue
        if r < spatial_r - FAR_BELOW_R or nse < 0:
            sentences.append(
                f"{depths.get(layer, layer)}: on days after those that were learnt from, the correlation is {r:.2f} "
                f"and the Nash-Sutcliffe efficiency {nse:.2f} (below 0 a constant would be nearer), where cells that "
                f"the networks had not seen reach {spatial_r:.2f} on the days learnt from: take later days with care; "
                f"{LEARN_MORE}."
            )
    return sentences


def _levels(judged: Mapping[str, Any], depths: Mapping[str, str]) -> list[str]:
    # Drawing takes seconds to import, and a report without this section needs none of it.
    from somo.validate.sections.level import verdicts

    with naming_depths(depths):
        return verdicts(judged.get("layers", {}), judged.get("scaling", ""))


def _chance(share: Mapping[str, float], depths: Mapping[str, str]) -> list[str]:
    shares_text = ", ".join(f"{value:.0%} at {depths.get(layer, layer)}" for layer, value in _downward(share, depths))
    return [f"The correlation is more than chance at {shares_text} of those cells."] if shares_text else []


def _downward(values: Mapping[str, T], depths: Mapping[str, str]) -> list[tuple[str, T]]:
    return [(layer, values[layer]) for layer in in_declared_order(values, depths)]


def _coverage(stated: Scores, depths: Mapping[str, str]) -> list[str]:
    shares_text = ", ".join(
        f"{scores['coverage_90']:.0%} at {depths.get(layer, layer)}" for layer, scores in _downward(stated, depths)
    )
    return [f"The stated 90 % interval holds {shares_text} of the measurements there."] if shares_text else []


def _sharpness(judged: Mapping[str, Scores], depths: Mapping[str, str]) -> list[str]:
    """Where the uncertainty of each day and cell tells no more than one number for all of them would."""
    stated, constant = judged.get("uncertainty", {}), judged.get("constant width", {})
    texts = []
    for layer, scores in _downward(stated, depths):
        own, other = scores.get("interval_score"), constant.get(layer, {}).get("interval_score")
        if own is not None and other is not None and own >= other:
            texts.append(f"{depths.get(layer, layer)} ({own:.3f} against {other:.3f} m³ m⁻³)")
    if not texts:
        return []
    return [
        "The interval is no sharper than one constant width for all days and cells, by the interval score, at "
        f"{', '.join(texts)}: that it is wider on one day than on another tells nothing there."
    ]


def _anomalies(r: Mapping[str, float], depths: Mapping[str, str]) -> list[str]:
    """The skill that no season lifts: dry and wet spells of some weeks."""
    text = ", ".join(f"{value:.2f} at {depths.get(layer, layer)}" for layer, value in _downward(r, depths))
    if not text:
        return []
    return [f"Of wet and dry spells alone (differences from a centred 31-day mean) the median correlation is {text}."]


def _transfer(judged: Mapping[str, Scores], depths: Mapping[str, str]) -> list[str]:
    """Another region, beside the baseline: a network may lose there what it wins at cells near those learnt from."""
    network, ridge = judged.get("network", {}), judged.get("ridge baseline", {})
    texts = []
    for layer, scores in _downward(network, depths):
        r, other = scores.get("pearson_r"), ridge.get(layer, {}).get("pearson_r")
        if r is not None:
            beside = "" if other is None else f" ({'above' if r > other else 'not above'} the baseline's {other:.2f})"
            texts.append(f"{r:.2f}{beside} at {depths.get(layer, layer)}")
    return [f"In a region that was not learnt from, the median correlation is {', '.join(texts)}."] if texts else []


def _beside_products(medians: Mapping[str, float], depths: Mapping[str, str]) -> list[str]:
    """This product, the first of each layer, beside the others at independent stations; keys are `layer product`."""
    by_layer: dict[str, list[tuple[str, float]]] = {}
    for key, r in medians.items():
        layer, _, product = key.partition(" ")
        by_layer.setdefault(layer, []).append((product, r))
    sentences = []
    for layer, ((_, r), *others) in _downward(by_layer, depths):
        beside = f", that of {', '.join(f'{name} {other:.2f}' for name, other in others)}" if others else ""
        sentences.append(
            f"{depths.get(layer, layer)}: at independent stations the median correlation is {r:.2f}{beside}."
        )
    return sentences
