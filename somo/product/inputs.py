"""What a product is made from: period, grid, layers, forcing, static features, in-situ archives, targets."""

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from somo.product.patterns import Pattern, pattern_faults

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
FileFormat = Literal["hdf5", "netcdf3", "grib", "zarr", "geotiff"]
Statistic = Literal["mean", "std", "aridity"]


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

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The declared patterns, in order."""
        return tuple(Pattern(text) for text in ((self.url,) if isinstance(self.url, str) else self.url))


class Source(Files):
    """Gridded files over time and what their numbers mean."""

    units: str
    frequency: Literal["daily", "sub-daily"] = "daily"
    kind: Literal["instantaneous", "accumulated"] = "instantaneous"
    accumulation: Literal["day", "step"] = "day"
    provisional_days: int | None = Field(default=None, ge=0)
    expver: str | None = None


class Forcing(Declared):
    """One dynamic variable: read from a `Source`, or the sum of other declared variables (`sum_of`).

    `input = false` declares a variable that only serves others (a sum, a climatology) and not the network.
    """

    source: Source | None = None
    sum_of: tuple[str, ...] = ()
    input: bool = True

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "source" in value:
            return value
        own = {k: v for k, v in value.items() if k in ("sum_of", "input")}
        rest = {k: v for k, v in value.items() if k not in own}
        return {**own, "source": rest} if rest or not own.get("sum_of") else own

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if self.source is not None and self.sum_of:
            raise ValueError("give either url and variable, or sum_of, not both")
        return self


class Static(Declared):
    """One static feature per cell: a variable of a file, or computed from the forcing's climatology.

    `gaps = "mean"` fills missing land cells with the mean over cells; `categories` turns class numbers into
    one 0/1 feature each. `within_cell` takes a file finer than the grid and keeps that statistic of what lies in a
    cell.
    """

    url: str | None = None
    variable: str | None = None
    units: str = "1"
    within_cell: Literal["mean", "std"] | None = None
    gaps: Literal["error", "mean"] = "error"
    categories: tuple[int, ...] = ()
    computed: Statistic | None = None
    of: str | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.computed is None) == (self.url is None):
            raise ValueError(f"give either url and variable, or computed (one of {', '.join(get_args(Statistic))})")
        if self.url is not None and self.variable is None:
            raise ValueError("variable is missing: the name inside the file")
        if self.computed in ("mean", "std") and self.of is None:
            raise ValueError(f'computed = "{self.computed}" needs of = the name of a forcing variable')
        return self


class Insitu(Declared):
    """An archive of in-situ soil moisture; `independent` archives are kept out of training, for validation."""

    name: Name
    url: str
    format: Literal["ismn", "cosmos"] = "ismn"
    role: Literal["training", "independent"] = "training"
    min_subdaily: int = Field(default=6, ge=1)


class ReferenceLayer(Declared):
    """One soil layer of the reference model used for scaling."""

    source: Source
    top_m: float = Field(ge=0)
    bottom_m: float = Field(gt=0)


class Targets(Declared):
    """How sensors become targets (`somo.insitu.targets`)."""

    scaling: Literal["reference", "pooled", "none"] = "reference"
    min_days: int = Field(default=90, ge=2)
    reference: tuple[ReferenceLayer, ...] = ()

    @model_validator(mode="after")
    def _reference_given(self) -> Self:
        if (self.scaling == "reference") != bool(self.reference):
            raise ValueError(
                f'scaling = "{self.scaling}" and {len(self.reference)} [[targets.reference]] layers contradict'
            )
        return self
