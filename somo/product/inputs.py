"""What a product is made from: period, grid, layers, forcing, static features, in-situ archives, targets."""

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from somo.product.declared import Declared
from somo.product.forcing import Files as Files
from somo.product.forcing import Forcing as Forcing
from somo.product.forcing import Regrid as Regrid
from somo.product.forcing import Source as Source

# Names become folders, files and variables: nothing that a file system or a URL reads otherwise.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


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
            # Edges and steps such as 71.5 and 0.1 are no binary numbers: their quotient is whole to rounding alone.
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
    """A further domain that lends its stations to training and is not predicted; fills `{domain}` in URLs.

    `forcing` names the variables that other files hold in this domain, as where a data set ends at Europe's borders.
    """

    grid: Grid
    forcing: dict[str, Forcing] = Field(default={})


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
        """Middle of the layer, metres below the surface."""
        # Rounded: (0.1 + 0.2) / 2 would be published as 0.15000000000000002.
        return round((self.top_m + self.bottom_m) / 2, 6)


# Values that a daily mean needs where nothing else is declared, as in the paper.
FEWEST_SUBDAILY = 6


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
    # As in the paper, before and after scaling.
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
