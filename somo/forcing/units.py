"""Declared units -> our units, by pint."""

import re
from functools import lru_cache
from typing import Any

from somo.core.variables import Quantity
from somo.forcing.sources import ForcingError
from somo.forcing.spellings import rewritten
from somo.product.inputs import Source

USUAL_UNITS = (
    "K", "degC", "degF", "m", "mm", "kg m-2", "m d-1", "mm d-1", "mm h-1", "kg m-2 s-1", "m s-1", "W m-2", "J m-2",
    "MJ m-2", "MJ m-2 d-1", "J m-2 d-1", "%", "g kg-1", "kg kg-1",
)  # fmt: skip


@lru_cache
def _registry() -> Any:
    """Units with water's density linking kg m-2 and metres of water."""
    # Importing pint and reading its table of units takes about a second, which processes that convert nothing spare.
    import pint

    # Without this, pint refuses degC and degF in a product with another unit.
    registry: Any = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    water = pint.Context("water")
    density = 1000 * registry.kg / registry.m**3
    # Water comes as an amount (kg m-2, m) and as a rate (kg m-2 s-1, mm d-1): two dimensions, so two pairs of rules.
    for time in ("", " / [time]"):
        amount, depth = f"[mass] / [length]**2{time}", f"[length]{time}"
        water.add_transformation(amount, depth, lambda ureg, value, **_: value / density)
        water.add_transformation(depth, amount, lambda ureg, value, **_: value * density)
    registry.add_context(water)
    registry.enable_contexts("water")
    return registry


def parse_units(units: str) -> Any | None:
    """The pint unit behind CF, UDUNITS or a producer's notation such as `W m-2`, `J m**-2`, `mm/day`; None if unknown.

    A digit straight after a letter is an exponent, as in CF. Units with a factor, as `0.1 mm`, are pint quantities.
    """
    text = rewritten(units)
    text = re.sub(r"(?<=[A-Za-z])\^?(-?\d+)", r"**\1", text)
    try:
        return _registry().Unit(text if text and text != "1" else "dimensionless")
    except Exception:  # pint raises many kinds, of Python's own parser too
        return _with_factor(text)


def _with_factor(text: str) -> Any | None:
    """Units with a number, as `0.1 mm` or `mm/3/h`, as a pint quantity; None of anything else."""
    try:
        parsed = _registry().parse_expression(text)
    except Exception:
        return None
    has_units = hasattr(parsed, "magnitude") and re.search("[A-Za-z]", text)
    return parsed if has_units and parsed.magnitude > 0 else None


@lru_cache
def conversion(units: str, to: str) -> tuple[float, float] | None:
    """Factor and offset with `value * factor + offset` in units `to`; None if dimensions differ or are unknown."""
    origin, target = parse_units(units), parse_units(to)
    if origin is None or target is None:
        return None
    try:
        (scale, unit), (target_scale, target_unit) = (
            (parsed.magnitude, parsed.units) if hasattr(parsed, "magnitude") else (1.0, parsed)
            for parsed in (origin, target)
        )
        # Two values show factor and offset, which also holds for temperatures. Their difference is exact to twelve
        # digits at most, as 273.15 has been added to both.
        zero, one = (
            float(_registry().Quantity(v * scale, unit).to(target_unit).magnitude) / target_scale for v in (0.0, 1.0)
        )
    except Exception:
        return None
    return float(f"{one - zero:.12g}"), float(f"{zero:.12g}")


def per_day(units: str, accumulated: bool) -> str:
    """Units of daily values: amounts accumulated over a day become rates per day."""
    return f"{rewritten(units)} d-1" if accumulated else units


def to_canonical(name: str, quantity: Quantity, units: str, accumulated: bool) -> tuple[float, float]:
    """Factor and offset from daily values in `units` to the units of the quantity.

    Parameters
    ----------
    name : of the variable, for messages
    accumulated : whether the values are amounts, which a day's total makes rates per day

    Raises
    ------
    ForcingError
        if the declared units cannot become those of the quantity
    """
    factors = conversion(per_day(units, accumulated), quantity.units)
    if factors is None:
        hint = f"declare forcing.{name}.units as they are in the file"
        if not accumulated and conversion(per_day(units, True), quantity.units):
            hint = 'an amount per day or step needs kind = "accumulated"'
        elif accumulated and conversion(units, quantity.units):
            hint = f'these are rates and no amounts: write forcing.{name}.kind = "mean" without accumulation'
        raise ForcingError(f"forcing.{name}: units {units!r} cannot become {quantity.units!r}; {hint}")
    return factors


def units_of_values(
    source: Source, units_in_file: str | None, accumulated: bool, quantity: Quantity
) -> tuple[str, bool]:
    """Units of a file's values, and whether these are amounts: the file's own units where they can be understood.

    A daily amount is a rate per day, so one may be declared and the other written in the file, and a file may call a
    rate per day a sum: Daymet's rain has units of mm/day and the cell method "time: sum".
    """
    has_units = units_in_file is not None and parse_units(units_in_file) is not None
    units = units_in_file if has_units and units_in_file is not None else source.units
    if source.frequency != "daily":
        return units, accumulated
    is_amount, is_rate = (conversion(per_day(units, amount), quantity.units) is not None for amount in (True, False))
    if accumulated and is_rate and not is_amount:
        return units, False
    return units, accumulated or (has_units and is_amount and conversion(units, source.units) is None)


def require_declared_units(url: str, name: str, source: Source, units: str) -> None:
    """Refuse a file whose own units have another dimension than the declared ones; unknown units are accepted.

    Parameters
    ----------
    name : of the variable, for messages

    Raises
    ------
    ForcingError
        naming the file and both units
    """
    declared = parse_units(source.units)
    if declared is None:
        raise ForcingError(
            f"forcing.{name}: the declared units {source.units!r} are not understood; {url} says {units!r}: write "
            "them in the notation of CF, as K, degC, mm, mm d-1, W m-2, J m-2"
        )
    if parse_units(units) is None or conversion(units, source.units) is not None:
        return
    rates = (conversion(f"{rewritten(a)} d-1", b) for a, b in ((units, source.units), (source.units, units)))
    if source.frequency == "daily" and any(rate is not None for rate in rates):
        return
    raise ForcingError(
        f"{url}: {source.variable} has units {units!r}, but forcing.{name} declares {source.units!r}; "
        f"correct forcing.{name}.units or replace the file"
    )


def suggest_units(
    quantity: Quantity, units: str, accumulated: bool, low: float, high: float, limits: tuple[float, float]
) -> str | None:
    """The first of `USUAL_UNITS` in which converted values `low`..`high` would lie within `limits`; None if none does.

    Parameters
    ----------
    units, accumulated : what the values were converted from
    """
    origin = conversion(per_day(units, accumulated), quantity.units)
    assert origin is not None
    for other in USUAL_UNITS:
        factors = conversion(per_day(other, accumulated), quantity.units)
        if factors is None or other == units:
            continue
        span = [(value - origin[1]) / origin[0] * factors[0] + factors[1] for value in (low, high)]
        if limits[0] <= span[0] and span[1] <= limits[1]:
            return other
    return None
