"""The values of a static field, counted while they are read: class codes, fill values and wrong units are refused."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from somo.forcing.sources import ForcingError
from somo.forcing.statics.meaning import class_sign, fill_candidates, flags, name_words, plain_units
from somo.forcing.statics.tiles import Tile
from somo.forcing.units import conversion

# Whole numbers without units that take no more different values than this look like codes: CORINE has 44 classes.
FEW_NUMBERS = 64
LARGEST_BYTE = 255.0
# Fewer values than this may all be alike by chance.
MANY_VALUES = 256
# A fill value lies further from all other values than this part of their range; the deepest trench does not.
ISOLATED = 0.03
SHARE_WORDS = {
    "sand", "silt", "clay", "gravel", "fragments", "forest", "tree", "trees", "cover", "vegetation", "fraction",
    "percent", "percentage", "share", "grass", "crop", "crops", "cropland", "urban", "bare",
}  # fmt: skip
# Sand, silt and clay add up to 100 %: where every value of one of them is below 1 %, the numbers are shares of 1. A
# forest cover of less than 1 % everywhere is a desert.
TEXTURE_WORDS = {"sand", "silt", "clay"}
# A single cell of heavy clay may have less than 1 % sand, and so many cells have not.
MANY_TEXTURES = 16
HEIGHT_WORDS = {"elevation", "altitude", "orography", "topography", "dem", "dtm", "topo", "relief", "geoid"}
# Words that make something else of a share or an elevation: the height of trees, say.
OTHER_WORDS = {"height", "depth", "age", "lai", "density", "count", "distance", "std", "type", "class"}
# The Challenger Deep and Mount Everest.
LOWEST_M, HIGHEST_M = -11_000.0, 9_000.0
# Part of the whole by which packed shares may exceed 0 and 1.
ROUNDING = 0.02


@dataclass
class Census:
    """The values of one tile that were read, in the file's units.

    Attributes
    ----------
    low, high : smallest and largest value that is no usual fill value
    fills : how often each usual fill value occurs
    numbers : different values, up to a few more than `FEW_NUMBERS`
    """

    tile: Tile
    low: float = np.inf
    high: float = -np.inf
    count: int = 0
    fills: dict[float, int] = field(default_factory=dict)
    numbers: set[float] = field(default_factory=set)

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the values of a window, NaN where there is none."""
        values = values[np.isfinite(values)]
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        self.count += values.size
        for fill in self._fill_candidates():
            if low - 1e-6 * abs(fill) <= fill <= high + 1e-6 * abs(fill):
                same = np.isclose(values, fill, rtol=1e-6, atol=0)
                if same.any():
                    self.fills[fill] = self.fills.get(fill, 0) + int(same.sum())
                    values = values[~same]
        if values.size:
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        if len(self.numbers) <= FEW_NUMBERS and self.tile.dtype.kind in "iu":
            self.numbers |= set(np.unique(values)[: FEW_NUMBERS + 1].tolist())

    def _fill_candidates(self) -> list[float]:
        """Usual fill values; in bytes that is the largest number, unless it is a class that counts."""
        candidates = fill_candidates(self.tile.attrs)
        is_byte = self.tile.dtype == np.uint8 and "scale_factor" not in self.tile.attrs
        counted = (*self.tile.static.classes, *self.tile.static.categories)
        return [*candidates, LARGEST_BYTE] if is_byte and LARGEST_BYTE not in counted else candidates

    def require_plausible(self) -> None:
        """Refuse a field whose numbers show that it is something else than declared.

        Raises
        ------
        ForcingError
            naming the file, the number and what to write
        """
        if self.count:
            self._require_no_fill()
        if not self.count or not np.isfinite(self.low):
            return
        if self.tile.static.of_classes:
            self._require_classes()
        else:
            self._require_no_codes()
            self._require_range()

    def _require_no_fill(self) -> None:
        tile = self.tile
        if tile.static.missing is not None:
            return
        span = self.high - self.low if np.isfinite(self.low) else 0.0
        for fill, count in self.fills.items():
            apart = max(self.low - fill, fill - self.high)
            if not np.isfinite(self.low) or apart > ISOLATED * span:
                raise ForcingError(
                    f"{tile.url}: {tile.static.variable} is {fill:g} at {count} places, a usual number for no value "
                    f"that the file does not declare as such: write static.{tile.name}.missing = [{fill:g}], or "
                    f"correct its _FillValue (where it is a value, write static.{tile.name}.missing = [])"
                )

    def _require_classes(self) -> None:
        tile = self.tile
        if "flag_masks" in tile.attrs and "flag_values" not in tile.attrs:
            raise ForcingError(
                f"{tile.url}: {tile.static.variable} holds bit flags (flag_masks), several in one number, and no class "
                f"numbers; write a file with a class for each node, and declare it as static.{tile.name}.url"
            )
        if tile.dtype.kind == "f" and (self.low % 1 or self.high % 1):
            raise ForcingError(
                f"{tile.url}: {tile.static.variable} has values such as {self.low:g}, which are no class numbers; take "
                f"classes out of static.{tile.name}, or correct its variable"
            )
        listed = flags(tile.attrs)
        wanted = tile.static.classes or tile.static.categories
        if listed and (unknown := [code for code in wanted if code not in listed]):
            raise ForcingError(
                f"static.{tile.name}: class {unknown[0]} is none of those that {tile.url} lists: "
                f"{', '.join(map(str, listed))}; correct classes"
            )

    def _require_no_codes(self) -> None:
        tile = self.tile
        static = tile.static
        require_no_class_codes(tile)
        few = self.tile.dtype.kind in "iu" and 2 < len(self.numbers) <= FEW_NUMBERS and self.count >= MANY_VALUES
        nameless = static.units is None and "units" not in tile.attrs and "scale_factor" not in tile.attrs
        if few and nameless and static.within_cell:
            listed = ", ".join(f"{number:g}" for number in sorted(self.numbers)[:20])
            raise ForcingError(
                f"{tile.url}: {static.variable} has {len(self.numbers)} different whole numbers without units "
                f"({listed}), which look like class codes, and those have no {static.within_cell}; write "
                f'static.{tile.name}.within_cell = "fraction" and classes = [the codes that count], or, if they are '
                f'amounts, static.{tile.name}.units, as in "m" or "percent"'
            )

    def _require_range(self) -> None:
        """Refuse shares outside 0..1, and elevations below the deepest sea or above the highest mountain."""
        tile = self.tile
        words_of_name = name_words(tile.static, tile.attrs) | set(tile.name.lower().replace("-", "_").split("_"))
        units = self._units()
        low, high = (value * tile.conversion[0] + tile.conversion[1] for value in (self.low, self.high))
        limits = None
        if words_of_name & OTHER_WORDS:
            pass
        elif words_of_name & HEIGHT_WORDS and units and (metres := conversion(units, "m")):
            limits = tuple((edge - metres[1]) / metres[0] for edge in (LOWEST_M, HIGHEST_M))
        elif words_of_name & SHARE_WORDS and units and (shares := conversion(units, "1")):
            limits = (-ROUNDING / shares[0], (1 + ROUNDING) / shares[0])
        elif words_of_name & SHARE_WORDS and not units:
            limits = (0.0, np.inf)
        if limits is None and units and conversion(units, "percent") == (1.0, 0.0):
            limits = (-100 * ROUNDING, 100 * (1 + ROUNDING)) if "slope" not in words_of_name else None
        if limits is not None and not (limits[0] <= low and high <= limits[1]):
            self._refuse_range((low, high), (limits[0], limits[1]), units)
        self._require_no_shares_as_percent(words_of_name, units)

    def _require_no_shares_as_percent(self, words_of_name: set[str], units: str | None) -> None:
        """Refuse numbers that are called percent and never exceed one."""
        tile = self.tile
        units_in_file = tile.attrs.get("units")
        called = units if units_in_file is None else plain_units(str(units_in_file))
        is_percent = called is not None and conversion(called, "percent") == (1.0, 0.0)
        are_integers = tile.dtype.kind in "iu" and "scale_factor" not in tile.attrs
        if not is_percent or are_integers or not 0 < self.high <= 1:
            return
        is_texture = bool(words_of_name & TEXTURE_WORDS) and not words_of_name & OTHER_WORDS
        if is_texture and self.count >= MANY_TEXTURES and units_in_file is not None:
            raise ForcingError(
                f"{tile.url}: the file says that {tile.static.variable} is in {str(units_in_file)!r}, and its values "
                f"are {self.low:g} to {self.high:g}: they look like shares of 1; correct the file, as by "
                f'`ncatted -a units,{tile.static.variable},o,c,1`, and write static.{tile.name}.units = "1"'
            )
        least_count = MANY_TEXTURES if is_texture else MANY_VALUES
        if units_in_file is None and self.count >= least_count:
            raise ForcingError(
                f"{tile.url}: {tile.static.variable} has no units, and its values reach only {self.high:g} percent: "
                f'they look like shares of 1; write static.{tile.name}.units = "1", or give the variable its units '
                "attribute"
            )

    def _units(self) -> str | None:
        units_in_file = self.tile.attrs.get("units")
        return self.tile.static.units or (plain_units(str(units_in_file)) if units_in_file is not None else None)

    def _refuse_range(self, span: tuple[float, float], limits: tuple[float, float], units: str | None) -> None:
        tile = self.tile
        worst = span[0] if span[0] < limits[0] else span[1]
        stored = (worst - tile.conversion[1]) / tile.conversion[0]
        units_in_file = tile.attrs.get("units")
        in_file = (
            f" ({stored:g} {units_in_file} in the file)"
            if units_in_file is not None and tile.conversion != (1.0, 0.0)
            else ""
        )
        of_file = f"the file says {str(units_in_file)!r}" if units_in_file is not None else "the file names no units"
        declared = f"you declare {tile.static.units!r}" if tile.static.units else "none are declared"
        raise ForcingError(
            f"{tile.url}: {tile.static.variable} is {worst:g} {units or ''}{in_file}, outside {limits[0]:g}.."
            f"{limits[1]:g}; {of_file}, {declared}: correct what is wrong (a file's units with ncatted), or, if "
            f"the number stands for no value, write static.{tile.name}.missing = [{stored:g}]"
        )


def require_no_class_codes(tile: Tile) -> None:
    """Refuse class codes where their mean or number would be taken for an amount.

    Raises
    ------
    ForcingError
        naming what shows that they are codes, and what to write
    """
    static = tile.static
    sign = class_sign(static, tile.attrs, tile.dtype)
    if sign is None or static.of_classes:
        return
    codes = flags(tile.attrs)
    listed = f"; it has {', '.join(map(str, codes[:40]))}" if codes else ""
    if static.within_cell or static.regrid in ("bilinear", "mean"):
        how = static.within_cell or static.regrid
        raise ForcingError(
            f"{tile.url}: {static.variable} holds class codes, as {sign} shows, and those have no {how}; write "
            f'static.{tile.name}.within_cell = "fraction" and classes = [the codes that count]{listed}'
        )
    raise ForcingError(
        f"{tile.url}: {static.variable} holds class codes, as {sign} shows, which are no amounts; write "
        f"static.{tile.name}.categories = [all codes] for one 0/1 feature each{listed}"
    )
