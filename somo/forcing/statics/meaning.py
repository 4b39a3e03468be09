"""What the numbers of a static file mean: class codes or amounts, in which units, and which stand for no value."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from somo.forcing.plausible import FILL_VALUES
from somo.forcing.sources import ForcingError
from somo.forcing.units import conversion, parse_units
from somo.product.static import Static

CLASS_WORDS = {
    "class", "classes", "classification", "lccs", "landcover", "landuse", "lulc", "lc", "igbp", "corine", "clc", "code",
    "codes", "category", "categories", "type", "types", "soiltype", "texture", "biome", "koppen", "koeppen", "zone",
    "mu", "smu", "mapunit", "ecoregion", "lithology", "usda", "wrb",
}  # fmt: skip
"""Words in names of variables that hold numbers of classes."""
CLASS_PAIRS = ("land cover", "land use", "map unit", "mapping unit", "plant functional", "soil group")
NO_DATA_MEANINGS = {"no_data", "nodata", "no-data", "missing", "fill", "fill_value", "filled"}
ABOVE_SEA = re.compile(
    r"\s*(above\b.*|over\b.*|\(?a\.?\s?[ms]\.?\s?[sl]\.?\s?l?\.?\)?|amsl|asl|msl)\s*$", re.IGNORECASE
)


def class_sign(static: Static, attrs: Mapping[str, Any], dtype: np.dtype[Any]) -> str | None:
    """The attribute or name that shows that a variable's numbers are class codes; None if nothing does."""
    for key in ("flag_values", "flag_masks", "flag_meanings"):
        if key in attrs:
            return key
    words_of_name = name_words(static, attrs)
    if str(attrs.get("units", "")).strip().lower() in ("class", "classes", "code", "category", "index of class"):
        return f"units = {attrs['units']!r}"
    if attrs.get("standard_name") in ("area_type", "land_cover_lccs", "land_cover", "soil_type"):
        return f"standard_name = {attrs['standard_name']!r}"
    if dtype.kind not in "iu" or "scale_factor" in attrs or str(attrs.get("units", "1")).strip() not in ("", "1", "-"):
        return None
    if named := words_of_name & CLASS_WORDS:
        return f"its name ({sorted(named)[0]})"
    long_name = str(attrs.get("long_name", "")).lower()
    return next((f"its long_name ({pair})" for pair in CLASS_PAIRS if pair in long_name), None)


def name_words(static: Static, attrs: Mapping[str, Any]) -> set[str]:
    """Words of a variable's names, in lower case."""
    names = (static.variable or "", str(attrs.get("standard_name", "")), str(attrs.get("long_name", "")))
    return {word for name in names for word in re.split(r"[^a-z]+", name.lower()) if word}


def flags(attrs: Mapping[str, Any]) -> list[int]:
    """Class codes that a variable's attributes list, with the sign that `_Unsigned` gives them."""
    codes = np.atleast_1d(attrs["flag_values"]) if "flag_values" in attrs else np.array([], int)
    if isinstance(attrs.get("flag_values"), str):
        code_texts = re.findall(r"-?\d+", str(attrs["flag_values"]))
        codes = np.array(code_texts, int) if code_texts else np.array([], int)
    if codes.dtype.kind == "i" and str(attrs.get("_Unsigned", "")).lower() == "true":
        codes = codes.view(f"u{codes.dtype.itemsize}")
    return [int(code) for code in codes.tolist()]


def numbers_for_no_value(static: Static, attrs: Mapping[str, Any]) -> tuple[float, ...]:
    """Numbers that stand for no value: as declared, and codes that the file itself calls "no data"."""
    meanings = str(attrs.get("flag_meanings", "")).lower().split()
    unnamed = [code for code, meaning in zip(flags(attrs), meanings, strict=False) if meaning in NO_DATA_MEANINGS]
    return (*(static.missing or ()), *(float(code) for code in unnamed))


def fill_candidates(attrs: Mapping[str, Any]) -> list[float]:
    """Decoded numbers by which producers usually mark missing values, packed ones included."""
    scale, offset = (_number(attrs.get(key), default) for key, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    packed = [fill * scale + offset for fill in FILL_VALUES] if (scale, offset) != (1.0, 0.0) else []
    return [*FILL_VALUES, *packed]


def _number(value: Any, default: float) -> float:
    return default if value is None else float(np.ravel(value)[0])


def conversion_of(name: str, static: Static, url: str, units: str | None) -> tuple[float, float]:
    """Factor and offset from a file's units to the declared ones; the file's own are kept where none are declared.

    Raises
    ------
    ForcingError
        naming the file and both units where they contradict each other
    """
    if static.units is None or units is None or static.of_classes:
        return 1.0, 0.0
    if parse_units(static.units) is None:
        if static.units.strip() == units.strip():
            return 1.0, 0.0
        raise ForcingError(
            f"static.{name}: the declared units {static.units!r} are not understood; {url} says {units!r}: write them "
            "in the notation of CF, as m, percent, 1, kg m-3"
        )
    units_in_file = plain_units(units)
    if parse_units(units_in_file) is None:
        return 1.0, 0.0
    factors = conversion(units_in_file, static.units)
    if factors is None:
        raise ForcingError(
            f"{url}: {static.variable} has units {units!r}, but static.{name}.units declares {static.units!r}; correct "
            "the declared units or replace the file"
        )
    return factors


def plain_units(units: str) -> str:
    """Units without what they are measured from, as in "meters above sea level" or "% weight"."""
    # A number before it is a factor, as in "0.1 %".
    if "%" in units and not units.strip()[:1].isdigit():
        return "percent"
    return ABOVE_SEA.sub("", units).strip()
