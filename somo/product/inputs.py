"""What a product is made from: period, grid, layers, forcing, static features, in-situ archives, targets."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from somo.product.patterns import Pattern, pattern_faults

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
FileFormat = Literal["hdf5", "netcdf3", "grib", "zarr", "geotiff"]
Kind = Literal["instantaneous", "mean", "accumulated"]
Stamp = Literal["start", "middle", "end"]
Regrid = Literal["nearest", "bilinear", "mean"]


class Declared(BaseModel):
    """A frozen table of the declaration that refuses unknown keys, in copies too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values replaced, checked as the first one was.

        Raises
        ------
        ValidationError
            if the values contradict each other or are unknown
        """
        # pydantic's own copy takes over whatever it is given. Values that are not replaced have been checked before.
        return super().model_copy(deep=deep) if not update else type(self).model_validate({**dict(self), **update})


class Period(Declared):
    """Days of the product, both included; without `end` it reaches as far as the forcing does."""

    start: dt.date
    end: dt.date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class RegularGrid(Declared):
    """Cells of `step_deg` degrees between the outer edges given in degrees."""

    kind: Literal["regular"] = "regular"
    west: float
    east: float
    south: float = Field(ge=-90, le=90)
    north: float = Field(ge=-90, le=90)
    step_deg: float = Field(gt=0)

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        for axis, low, high in (("longitude", self.west, self.east), ("latitude", self.south, self.north)):
            cells = (high - low) / self.step_deg
            if high <= low:
                raise ValueError(f"{axis} {low}..{high} runs backward; swap the edges")
            if cells < 0.5 or abs(cells - round(cells)) > 1e-6:
                raise ValueError(f"{axis} {low}..{high} is not a whole number of cells of {self.step_deg} degrees")
        return self


class ForcingGrid(Declared):
    """Cells at the forcing's own coordinates, which may be irregular.

    `step_deg` is the width of one cell; it ends halfway to a neighbour that is closer.
    """

    kind: Literal["forcing"]
    step_deg: float = Field(gt=0)


Grid = Annotated[RegularGrid | ForcingGrid, Field(discriminator="kind")]


class Domain(Declared):
    """A further domain that lends its stations to training and is not predicted; fills `{domain}` in URLs."""

    grid: Grid


class Layer(Declared):
    """A soil layer, metres below the surface."""

    name: Name
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)

    @model_validator(mode="after")
    def _downward(self) -> Self:
        if self.bottom_m <= self.top_m:
            raise ValueError(f"bottom_m {self.bottom_m} must lie below top_m {self.top_m}")
        return self

    @property
    def depth_m(self) -> float:
        return round((self.top_m + self.bottom_m) / 2, 6)


class Files(Declared):
    """Gridded files: where they are, how they are read and which variable counts.

    `url` is a pattern (`somo.product.patterns`) or a list of patterns. `format` overrides what the content says.
    `select` chooses along further dimensions, by the coordinate's value or, without a coordinate, by number from 0.
    """

    url: str | tuple[str, ...]
    variable: str
    format: FileFormat | None = None
    select: dict[str, int | float | str] = Field(default_factory=dict)

    @field_validator("url")
    @classmethod
    def _patterns(cls, url: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for text in (url,) if isinstance(url, str) else url:
            if fault := pattern_faults(text):
                raise ValueError(fault)
        if not url:
            raise ValueError("url is empty; give the place of the files")
        return url

    def __hash__(self) -> int:
        # `select` is a table, which has no hash of its own
        return hash(self.model_dump_json())

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The declared patterns, in order."""
        return tuple(Pattern(text) for text in ((self.url,) if isinstance(self.url, str) else self.url))


class Source(Files):
    """Gridded files over time and what their numbers mean.

    `kind` says what a value is: at an instant, the mean of an interval, or a sum; `stamp` which end of its interval a
    time is. Both are taken from the files (time bounds, cell methods) where they are left out. Sums several times a day
    are sums since 00 UTC (`accumulation = "day"`, ERA5-Land) or of their own step ("step", ERA5).

    `day_offset_hours` accepts days that begin so many hours after 00 UTC; `calendar_gap = "repeat"` fills the days that
    a calendar of 365 or 360 days does not have with the day before. `gaps = "interpolate"` fills at most `max_gap_days`
    missing days in a row linearly in time. `missing` lists numbers that stand for no value although the file does not
    say so. `regrid` brings another grid onto the cells; without it the coordinates must be the cells'.
    """

    units: str
    frequency: Literal["daily", "sub-daily"] = "daily"
    kind: Kind | None = None
    stamp: Stamp | None = None
    accumulation: Literal["day", "step"] | None = None
    day_offset_hours: float = Field(default=0.0, ge=-24, le=24)
    calendar_gap: Literal["repeat"] | None = None
    gaps: Literal["interpolate"] | None = None
    max_gap_days: int = Field(default=0, ge=0)
    missing: tuple[float, ...] = ()
    regrid: Regrid | None = None
    provisional_days: int | None = Field(default=None, ge=0)
    expver: str | None = None

    @model_validator(mode="after")
    def _meaning(self) -> Self:
        if self.kind == "instantaneous" and self.stamp is not None:
            raise ValueError(
                f'stamp = "{self.stamp}" belongs to intervals: write kind = "mean" or "accumulated", or leave it out'
            )
        if self.accumulation is not None and (self.kind != "accumulated" or self.frequency == "daily"):
            raise ValueError('accumulation needs frequency = "sub-daily" and kind = "accumulated"')
        if (self.gaps is None) != (self.max_gap_days == 0):
            raise ValueError('gaps = "interpolate" needs max_gap_days, at least 1, and max_gap_days needs gaps')
        return self


class Forcing(Declared):
    """One dynamic variable: read from a `Source`, or a sum (`sum_of`) or mean (`mean_of`) of other declared variables.

    A term of `sum_of` with a leading minus is subtracted. `then` lists sources that continue where the one before ends;
    their days are provisional. `input = false` declares a variable that only serves others (a sum, a climatology) and
    not the network.
    """

    source: Source | None = None
    then: tuple[Source, ...] = ()
    sum_of: tuple[str, ...] = ()
    mean_of: tuple[str, ...] = ()
    input: bool = True

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "source" in value:
            return value
        own = {k: v for k, v in value.items() if k in ("sum_of", "mean_of", "then", "input")}
        source = {k: v for k, v in value.items() if k not in own}
        return {**own, "source": source} if source or not (own.get("sum_of") or own.get("mean_of")) else own

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if sum(map(bool, (self.source, self.sum_of, self.mean_of))) > 1:
            raise ValueError("give either url and variable, or sum_of, or mean_of, and only one of them")
        if self.then and self.source is None:
            raise ValueError("then continues a source: give the url and variable of the first one beside it")
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the variables that this one is computed from."""
        return tuple(text.lstrip("+-").strip() for text in self.sum_of or self.mean_of)


FEWEST_SUBDAILY = 6
"""Values that a daily mean needs where nothing else is declared, as in the paper."""


class Insitu(Declared):
    """An archive of in-situ soil moisture; `independent` archives are kept out of training, for validation.

    `min_subdaily` is the number of values that a daily mean needs: one number, one by network, or "step" for six or,
    where the sampling step gives fewer a day, all of them. Left out it is 6, and "step" for a table of own stations.
    """

    name: Name
    url: str
    format: Literal["ismn", "cosmos", "table"] = "ismn"
    role: Literal["training", "independent"] = "training"
    min_subdaily: int | str | dict[str, int] | None = None

    @model_validator(mode="after")
    def _whole_values(self) -> Self:
        declared = self.min_subdaily
        numbers = declared.values() if isinstance(declared, dict) else [declared]
        if declared is not None and not all(n == "step" or (isinstance(n, int) and n >= 1) for n in numbers):
            raise ValueError(
                f'min_subdaily {declared!r}: give a number from 1 on, "step", or a table of numbers by network'
            )
        return self

    def fewest_values(self, network: str, a_day: int) -> int:
        """Values that a daily mean of a sensor needs.

        Parameters
        ----------
        a_day : values a day that the sensor's sampling step gives
        """
        declared = self.min_subdaily
        if isinstance(declared, dict):
            return declared.get(network, FEWEST_SUBDAILY)
        if declared == "step" or (declared is None and self.format == "table"):
            return max(1, min(FEWEST_SUBDAILY, a_day))
        return declared if isinstance(declared, int) else FEWEST_SUBDAILY


class ReferenceLayer(Declared):
    """One soil layer of the reference model used for scaling."""

    source: Source
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)


class Targets(Declared):
    """How sensors become targets (`somo.insitu`).

    `reference_period` are the days over which sensors are scaled to the reference model, where it does not cover all
    days that are learnt from. `max_equal_share` is the share of neighbouring days with the same mean above which a
    sensor is taken to be stuck.
    """

    scaling: Literal["reference", "pooled", "none"] = "reference"
    min_days: int = Field(default=90, ge=2)
    max_equal_share: float = Field(default=0.9, gt=0, le=1)
    reference: tuple[ReferenceLayer, ...] = ()
    reference_period: Period | None = None

    @model_validator(mode="after")
    def _reference_given(self) -> Self:
        if self.scaling == "reference" and not self.reference:
            raise ValueError(WITHOUT_REFERENCE)
        if self.scaling != "reference" and (self.reference or self.reference_period):
            raise ValueError(
                f'scaling = "{self.scaling}" takes no reference model; remove [[targets.reference]] and '
                'reference_period, or write scaling = "reference"'
            )
        return self


WITHOUT_REFERENCE = (
    'scaling = "reference", the default, needs a reference model, and no [[targets.reference]] is declared. Either '
    "declare its layers (top_m, bottom_m and source = { url, variable, units }; ERA5-Land has four), or choose one "
    "that needs none: "
    'scaling = "pooled" gives every sensor the mean and spread of its layer, so that the published values show when '
    "and how fast soil wets and dries but not how wet one place is beside another; "
    'scaling = "none" learns the sensors\' own values, so that the published level is theirs, with all that sensors of '
    "different make, depth and soil differ by"
)
