"""The gate: checks of a published version as values. All are run, and all failures are raised together.

Seams and jumps are judged against the field's own roughness: a step counts only where it exceeds both the declared
limit and what ordinary neighbours, or ordinary days in the same direction, show. Rain makes land wetter at once but
drying takes time, so a block that stands too high is caught at least where it ends.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.product.declaration import Product
from somo.validate.gate.continuity import SHARED, nan_mean, tile_steps
from somo.validate.gate.evidence import Evidence, gather
from somo.validate.intervals import JUDGED, coverage
from somo.validate.matching import layer_skill
from somo.validate.published import Published, ValidationError, open_published


@dataclass(frozen=True)
class Result:
    """What one check found; `text` names what, where, both sides and, if it failed, the remedy."""

    check: str
    passed: bool
    text: str


class Check(Protocol):
    """A check is a value that can be run on a version."""

    def run(self, published: Published, evidence: Evidence) -> Result:
        """Judge one version by its metadata and tables, and by the evidence of its days."""
        ...


@dataclass(frozen=True)
class WithinRange:
    """Every published value lies in valid_min..valid_max (m3 m-3)."""

    valid_min: float
    valid_max: float

    def run(self, published: Published, evidence: Evidence) -> Result:
        low, high = float(evidence.low), float(evidence.high)
        passed = self.valid_min <= low and high <= self.valid_max
        text = f"values {low:.4f}..{high:.4f}, allowed {self.valid_min}..{self.valid_max} m3 m-3"
        return Result("range", passed, text if passed else f"{text}; look at the forcing of the days outside")


@dataclass(frozen=True)
class NanFraction:
    """At most this share of the days of land cells is missing, in every layer.

    Land is where any layer has a value, or where the models are said to apply: a cell may be missing throughout.
    """

    most: float

    def run(self, published: Published, evidence: Evidence) -> Result:
        soil = published.soil["soil_moisture"]
        count = xr.DataArray(evidence.count, dims=("depth", "lat", "lon"))
        land = (count > 0).any("depth") | (published.soil["applicability"].drop_vars(("lat", "lon")) == 1).any(
            "depth"
        ).compute()
        missing = 1 - count.where(land) / soil.sizes["time"]
        share = float(missing.mean()) if bool(land.any()) else 1.0
        text = f"{share:.5f} of {int(land.sum())} land cells' days is missing, allowed {self.most}"
        if share <= self.most:
            return Result("nan fraction", True, text)
        k, row, column = np.unravel_index(int(np.nanargmax(missing.values)) if land.any() else 0, missing.shape)
        where = f"worst {published.layers[k]} at {float(soil.lat[row])} N {float(soil.lon[column])} E"
        return Result("nan fraction", False, f"{text}; {where}: write its region again")


@dataclass(frozen=True)
class NoSeams:
    """No tile of cells stands apart from its neighbours, in the long-term mean or in one block of days.

    Attributes
    ----------
    most : largest step in m3 m-3 across the edges of a tile
    tile : rows and columns of a tile
    block_days : days of a block, counted from the first published day
    """

    most: float
    tile: tuple[int, int]
    block_days: int

    def run(self, published: Published, evidence: Evidence) -> Result:
        values = evidence.means.astype(np.float64)
        worst, where = 0.0, ""
        for k, layer in enumerate(published.layers):
            for step, tile, period in self._steps(values[k]):
                if abs(step) > abs(worst):
                    worst, where = step, f"{layer}, tile {tile} of {self.tile[0]} x {self.tile[1]} cells, {period}"
        if abs(worst) <= self.most:
            return Result("tile seams", True, f"no step above {self.most} m3 m-3 at the edges of tiles")
        text = f"step of {worst:+.4f} m3 m-3, allowed {self.most}, at {where}; write the tile's regions again"
        return Result("tile seams", False, text)

    def _steps(self, blocks: NDArray[np.float64]) -> list[tuple[float, tuple[int, int], str]]:
        """Steps [block, lat, lon] that stand out, with tile and time."""
        mean = nan_mean(blocks)
        outstanding = [(step, tile, "whole period") for step, tile in tile_steps(mean, self.tile)]
        if len(blocks) > 1:
            # The mean holds the block itself, which makes the block's deviation from it smaller by this factor.
            share = len(blocks) / (len(blocks) - 1)
            for number, field in enumerate(blocks):
                steps = tile_steps((field - mean) * share, self.tile)
                outstanding += [(step, tile, f"block {number}") for step, tile in steps]
        return outstanding


@dataclass(frozen=True)
class NoBlockJumps:
    """The first day of a block continues the block before it.

    Attributes
    ----------
    most : largest jump in m3 m-3 that 90 % of the land share
    block_days : days of a block, counted from the first published day
    """

    most: float
    block_days: int

    def run(self, published: Published, evidence: Evidence) -> Result:
        days = np.arange(self.block_days, published.soil.sizes["time"] - 1, self.block_days)
        return _jump_result("block borders", published, evidence, days, self.most, self.block_days)


@dataclass(frozen=True)
class YearContinuity:
    """Every day is there once, in order, and 1 January continues 31 December.

    Attributes
    ----------
    most : largest jump in m3 m-3 that 90 % of the land share
    block_days : days of a block, counted from the first published day
    """

    most: float
    block_days: int

    def run(self, published: Published, evidence: Evidence) -> Result:
        days = pd.DatetimeIndex(published.soil["time"].values)
        steps = np.diff(days) / np.timedelta64(1, "D")
        if not (steps == 1).all():
            at = int(np.argmax(steps != 1))
            text = f"{days[at]:%Y-%m-%d} is followed by {days[at + 1]:%Y-%m-%d}; publish the days between"
            return Result("year ends", False, text)
        first = np.flatnonzero((days.month == 1) & (days.day == 1))
        return _jump_result(
            "year ends", published, evidence, first[(first > 1) & (first < len(days) - 1)], self.most, self.block_days
        )


@dataclass(frozen=True)
class Skill:
    """No layer's median r over held-back cells is lower than that of the version before by more than `most_drop`."""

    most_drop: float
    previous: pd.DataFrame | None

    def run(self, published: Published, evidence: Evidence) -> Result:
        median_r = _median_r(published.crossval)
        if self.previous is None:
            layers_text = ", ".join(f"{layer} {r:.3f}" for layer, r in median_r.items())
            return Result("skill", True, f"median r {layers_text}; no version before to compare with")
        previous_r = _median_r(self.previous)
        layers_text = ", ".join(
            f"{layer} {previous_r[layer]:.3f} -> {median_r.get(layer, np.nan):.3f}" for layer in previous_r
        )
        # Written so that a layer whose r is missing counts as worse.
        lost = [layer for layer in previous_r if not median_r.get(layer, np.nan) >= previous_r[layer] - self.most_drop]
        text = f"median r over held-back cells {layers_text}, allowed drop {self.most_drop}"
        return Result("skill", not lost, f"{text}; worse in {', '.join(lost)}: compare both reports" if lost else text)


@dataclass(frozen=True)
class Applicability:
    """At least this share of land cells lies inside the area of applicability, in every layer."""

    least: float

    def run(self, published: Published, evidence: Evidence) -> Result:
        land = published.soil["soil_moisture"].isel(time=-1).notnull().compute()
        inside = published.soil["applicability"].compute() > 0
        shares = [
            float(inside[k].values[land[k].values].mean()) if land[k].any() else 0.0 for k in range(land.sizes["depth"])
        ]
        shares_text = ", ".join(f"{layer} {share:.3f}" for layer, share in zip(published.layers, shares, strict=True))
        passed = min(shares) >= self.least
        text = f"share of land inside the area of applicability {shares_text}, at least {self.least}"
        return Result("applicability", passed, text if passed else f"{text}; train on cells more like the rest")


@dataclass(frozen=True)
class Coverage:
    """The 90 % interval of every layer holds a share of the measurements at held-back cells between two bounds."""

    least: float
    most: float

    def run(self, published: Published, evidence: Evidence) -> Result:
        if "soil_moisture_uncertainty" not in published.soil:
            return Result("coverage", True, "no uncertainty is published: the models know their spread alone")
        shares = coverage(published.crossval)
        # A layer whose stations all lie in one fold is judged by no other: it must not pass unseen beside the others.
        if unjudged := [layer for layer in published.layers if layer not in shares]:
            text = f"an uncertainty is published, but no held-back cell was judged by one in {', '.join(unjudged)}"
            return Result("coverage", False, f"{text}; train again with other folds")
        shares_text = ", ".join(f"{layer} {share:.3f}" for layer, share in shares.items())
        passed = all(self.least <= share <= self.most for share in shares.values())
        allowed = f"allowed {self.least}..{self.most}"
        text = f"the {JUDGED:.0%} interval holds {shares_text} of held-back measurements, {allowed}"
        remedy = "look at the report's section on uncertainty; more folds or members mend most of it"
        return Result("coverage", passed, text if passed else f"{text}; {remedy}")


def run_checks(
    product: Product, version_url: str, previous_url: str | None = None, kept: Mapping[int, str] | None = None
) -> list[Result]:
    """Run every check that the product declares on a version.

    Parameters
    ----------
    previous_url : the version released before, for the skill it had; None if there is none
    kept : block of `region_days` days -> URL of its stored evidence, of the blocks that will not change
    """
    layers = tuple(layer.name for layer in product.layers)
    published = open_published(version_url, layers)
    previous = None if previous_url is None else open_published(previous_url, layers).crossval
    declared, region, n = product.checks, product.region_days, product.sequence.predict_last_n
    # Sequences of a few days have borders so near each other that hardly an ordinary day is left to compare with.
    block = n if n > 7 else region
    checks: Sequence[Check] = (
        WithinRange(declared.valid_min, declared.valid_max),
        NanFraction(declared.max_nan_fraction),
        NoSeams(declared.max_seam, (product.chunks.tile_lat, product.chunks.tile_lon), region),
        NoBlockJumps(declared.max_block_jump, block),
        YearContinuity(declared.max_year_jump, block),
        Skill(declared.max_skill_drop, previous),
        Applicability(declared.min_applicable),
        Coverage(declared.min_coverage, declared.max_coverage),
    )
    evidence = gather(published, region, kept or {})
    return [check.run(published, evidence) for check in checks]


def require_passed(results: Sequence[Result], version_url: str) -> None:
    """Raise once, with every failure, if a check failed."""
    failed = [f"- {r.check}: {r.text}" for r in results if not r.passed]
    if failed:
        raise ValidationError("\n".join([f"{version_url}: {len(failed)} of {len(results)} checks failed", *failed]))


def _median_r(crossval: pd.DataFrame) -> dict[str, float]:
    return {str(layer): float(r) for layer, r in layer_skill(crossval)["pearson_r"].items()}


def _jump_result(
    name: str, published: Published, evidence: Evidence, days: NDArray[np.int64], most: float, border_days: int
) -> Result:
    """Compare the jumps into `days` with those into days away from them and from the borders of blocks."""
    if len(days) == 0:
        return Result(name, True, "no border inside the published days")
    jumps = np.nan_to_num(evidence.jumps)
    every = np.arange(jumps.shape[1])
    # Ordinary days are away from every border, lest a broken block raise the limit that it is judged by.
    near = np.isin(every, np.concatenate([days - 1, days, days + 1])) | (np.abs((every + 1) % border_days - 1) <= 1)
    rise, fall = (np.maximum(most, (sign * jumps[:, ~near]).max(axis=1, initial=0.0))[:, None] for sign in (1, -1))
    allowed = np.where(jumps[:, days] > 0, rise, fall)
    beyond = np.abs(jumps[:, days]) - allowed
    k, at = np.unravel_index(int(beyond.argmax()), beyond.shape)
    if beyond[k, at] <= 0:
        return Result(name, True, f"{len(days)} borders, no jump above {most} m3 m-3 and above ordinary days")
    day, jump = pd.Timestamp(published.soil["time"].values[days[at]]), jumps[k, days[at]]
    text = f"jump of {jump:+.4f} m3 m-3 into {day:%Y-%m-%d} in {published.layers[k]} over {SHARED:.0%} of land"
    # A block written anew has the same bytes, so that a fault of the networks stays; blocks damaged in store are rare.
    remedy = (
        "most probably sequence.lookback is too short for the memory of this layer, so that each block begins from "
        "another past: train with a longer one; only where a block's bytes were damaged does it help to write the "
        "blocks on both sides again"
    )
    return Result(name, False, f"{text}, allowed {allowed[k, at]:.4f}; {remedy}")
