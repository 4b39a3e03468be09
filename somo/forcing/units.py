"""Declared units -> our units, by pint."""

import re
from functools import lru_cache
from typing import Any

from somo.core.variables import FORCING
from somo.forcing.sources import ForcingError
from somo.product.inputs import Source

USUAL_UNITS = (
    "K", "degC", "degF", "m", "mm", "kg m-2", "m d-1", "mm d-1", "mm h-1", "kg m-2 s-1", "m s-1", "W m-2", "J m-2",
    "MJ m-2", "MJ m-2 d-1", "J m-2 d-1", "g kg-1", "kg kg-1",
)  # fmt: skip


@lru_cache
def _registry() -> Any:
    """Units with water's density linking kg m-2 and metres of water."""
    import pint

    registry: Any = pint.UnitRegistry(autoconvert_offset_to_baseunit=True)
    water = pint.Context("water")
    density = 1000 * registry.kg / registry.m**3
    for time in ("", " / [time]"):
        water.add_transformation(f"[mass] / [length]**2{time}", f"[length]{time}", lambda _, x: x / density)
        water.add_transformation(f"[length]{time}", f"[mass] / [length]**2{time}", lambda _, x: x * density)
    registry.add_context(water)
    registry.enable_contexts("water")
    return registry


def parse_units(units: str) -> Any | None:
    """The pint unit behind CF or UDUNITS notation such as `W m-2`, `J m**-2`, `m of water equivalent`; None if unknown.

    A digit straight after a letter is an exponent, as in CF.
    """
    text = units.replace("of water equivalent", "").strip()
    text = re.sub(r"(?<=[A-Za-z])\^?(-?\d+)", r"**\1", text)
    try:
        return _registry().Unit(text if text and text != "1" else "dimensionless")
    except Exception:
        return None


@lru_cache
def conversion(units: str, to: str) -> tuple[float, float] | None:
    """Factor and offset with `value * factor + offset` in units `to`; None if dimensions differ or are unknown."""
    origin, target = parse_units(units), parse_units(to)
    if origin is None or target is None:
        return None
    try:
        zero, one = (float(_registry().Quantity(v, origin).to(target).magnitude) for v in (0.0, 1.0))
    except Exception:
        return None
    return float(f"{one - zero:.12g}"), float(f"{zero:.12g}")


def source_units(source: Source) -> str:
    """Units of a source's daily values: amounts accumulated over a day become rates per day."""
    return f"{source.units} d-1" if source.kind == "accumulated" else source.units


def to_canonical(name: str, source: Source) -> tuple[float, float]:
    """Factor and offset from a source's daily values to the units of the variable.

    Raises
    ------
    ForcingError
        if the declared units cannot become those of the variable
    """
    want = FORCING[name].units
    found = conversion(source_units(source), want)
    if found is None:
        hint = (
            'an amount per day or step needs kind = "accumulated"'
            if conversion(f"{source.units} d-1", want)
            else f"declare forcing.{name}.units as they are in the file"
        )
        raise ForcingError(
            f"forcing.{name}: units {source.units!r} (kind {source.kind!r}) cannot become {want!r}; {hint}"
        )
    return found


def require_declared_units(url: str, name: str, source: Source, units: str) -> None:
    """A file's own units must mean what is declared; none, or units that nobody knows, contradict nothing.

    Raises
    ------
    ForcingError
        naming the file and both units
    """
    if not units.strip() or parse_units(units) is None or conversion(units, source.units) == (1.0, 0.0):
        return
    raise ForcingError(
        f"{url}: {source.variable} has units {units!r}, but forcing.{name} declares {source.units!r}; "
        f"correct forcing.{name}.units or replace the file"
    )


def suggest_units(name: str, source: Source, low: float, high: float) -> str | None:
    """Units that would bring converted values `low`..`high` into the variable's valid range, if a usual one does."""
    factor, offset = to_canonical(name, source)
    quantity = FORCING[name]
    for units in USUAL_UNITS:
        other = conversion(source_units(source.model_copy(update={"units": units})), quantity.units)
        if other is None or units == source.units:
            continue
        span = [(value - offset) / factor * other[0] + other[1] for value in (low, high)]
        if quantity.valid_min <= span[0] and span[1] <= quantity.valid_max:
            return units
    return None
