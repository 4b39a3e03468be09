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
    """Days from `start` to `end`, both included."""

    start: dt.date = Field(examples=[dt.date(2003, 1, 1)])
    """First day."""
    end: dt.date | None = Field(default=None, examples=[dt.date(2020, 12, 31)])
    """Last day; a product without one reaches as far as its forcing does and grows with it, and needs `training.period`
    with an end."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self

    @property
    def whole_years(self) -> int:
        """Years of 365 days that lie in it, leap days apart; 0 without an end."""
        return 0 if self.end is None else ((self.end - self.start).days + 1) // 365


class RegularGrid(Declared):
    """Cells of equal width in degrees between four outer edges."""

    kind: Literal["regular"] = "regular"
    """This kind of grid."""
    west: float = Field(examples=[-12.0])
    """Western edge of the westernmost cells, degrees east."""
    east: float = Field(examples=[45.0])
    """Eastern edge of the easternmost cells, degrees east."""
    south: float = Field(ge=-90, le=90, examples=[36.0])
    """Southern edge of the southernmost cells, degrees north."""
    north: float = Field(ge=-90, le=90, examples=[71.5])
    """Northern edge of the northernmost cells, degrees north."""
    step_deg: float = Field(gt=0, examples=[0.1])
    """Width and height of a cell in degrees; a whole number of cells fits between the edges."""

    @model_validator(mode="after")
    def _whole_cells(self) -> Self:
        for axis, low, high in (("longitude", self.west, self.east), ("latitude", self.south, self.north)):
            cells = (high - low) / self.step_deg
            if high <= low:
                # Swapped, a region across the date line would become all the rest of the globe.
                across = f", or write {high + 360:g} for {high:g} where cells lie across the date line"
                remedy = f"swap the edges{across if axis == 'longitude' and high < 0 < low else ''}"
                raise ValueError(f"{axis} {low}..{high} runs backward; {remedy}")
            if high - low > 360:
                raise ValueError(f"{axis} {low}..{high} goes around the globe more than once; give 360 degrees at most")
            # Edges and steps such as 71.5 and 0.1 are no binary numbers: their quotient is whole to rounding alone.
            if cells < 0.5 or abs(cells - round(cells)) > 1e-6:
                raise ValueError(f"{axis} {low}..{high} is not a whole number of cells of {self.step_deg} degrees")
        return self


class ForcingGrid(Declared):
    """Cells at the forcing's own coordinates, which may be irregular."""

    kind: Literal["forcing"]
    """This kind of grid."""
    step_deg: float = Field(gt=0, examples=[0.25])
    """Width and height of a cell in degrees; a cell ends halfway to a neighbour that is closer."""


Grid = Annotated[RegularGrid | ForcingGrid, Field(discriminator="kind")]


class Domain(Declared):
    """A further domain that lends its stations to training and is not predicted.

    Its name fills `{domain}` in URLs; the domain that is predicted is called `home`.
    """

    grid: Grid = Field(examples=[{"kind": "forcing", "step_deg": 0.25}])
    """Cells of this domain, as those of the product are declared."""
    forcing: dict[str, Forcing] = Field(
        default={}, examples=[{"precipitation": {"url": "/data/us/tp_{year}.nc", "variable": "tp", "units": "m"}}]
    )
    """Variables that other files hold in this domain, as where a data set ends at Europe's borders."""


def require_downward(top_m: float, bottom_m: float) -> None:
    """Refuse an interval of depth whose ends were swapped: it would overlap no layer, without an error.

    Raises
    ------
    ValueError
        naming both ends
    """
    if bottom_m <= top_m:
        raise ValueError(f"bottom_m {bottom_m} must lie below top_m {top_m}")


# Networks have probes down to 3 m.
DEEPEST_M = 4.0


class Layer(Declared):
    """A soil layer of the product; layers are listed downward and do not overlap."""

    name: Name = Field(examples=["layer1"])
    """Name of the layer in the published files."""
    top_m: float = Field(ge=0, examples=[0.0])
    """Upper border, metres below the surface."""
    bottom_m: float = Field(gt=0, examples=[0.1])
    """Lower border, metres below the surface."""

    @model_validator(mode="after")
    def _downward(self) -> Self:
        require_downward(self.top_m, self.bottom_m)
        if self.bottom_m > DEEPEST_M:
            # Taken for metres, one layer would hold the sensors of all depths.
            raise ValueError(
                f"bottom_m {self.bottom_m:g} lies deeper than {DEEPEST_M:g} m; depths are metres, so that 10 cm are 0.1"
            )
        return self

    @property
    def depth_m(self) -> float:
        """Middle of the layer, metres below the surface."""
        # Rounded: (0.1 + 0.2) / 2 would be published as 0.15000000000000002.
        return round((self.top_m + self.bottom_m) / 2, 6)


# Values that a daily mean needs where nothing else is declared, as in the paper.
FEWEST_SUBDAILY = 6


class Insitu(Declared):
    """An archive of in-situ soil moisture."""

    name: Name = Field(examples=["ISMN"])
    """Name of the archive in tables and in the report."""
    url: str = Field(examples=["/data/ismn/europe.zip"])
    """Where it is: a zip, a folder, or the table of own stations; on any file system. A relative place starts at the
    folder in which the command is run."""
    format: Literal["ismn", "cosmos", "table"] = "ismn"
    """How it is laid out: a download of the ISMN, COSMOS-Europe, or a table of own stations with its files."""
    role: Literal["training", "independent"] = "training"
    """What it is for: learnt from, or kept out of training so that the product is validated with it."""
    min_subdaily: int | str | dict[str, int] | None = Field(default=None, examples=["step"])
    """Values that a daily mean needs: one number; numbers by network, as `{ COARSE = 4 }`; or "step" for six or,
    where the sampling step gives fewer a day, all of them. Left out it is 6, and "step" for a table of own stations."""

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


REFERENCE_EXAMPLE = {"url": "/data/era5land/swvl1_{year}.nc", "variable": "swvl1", "units": "m3 m-3"}


class ReferenceLayer(Declared):
    """One soil layer of the reference model used for scaling."""

    source: Source = Field(examples=[REFERENCE_EXAMPLE])
    """Its files, with the keys of a forcing variable that is read from files."""
    top_m: float = Field(ge=0, examples=[0.0])
    """Upper border, metres below the surface."""
    bottom_m: float = Field(gt=0, examples=[0.07])
    """Lower border, metres below the surface."""

    @model_validator(mode="after")
    def _downward(self) -> Self:
        require_downward(self.top_m, self.bottom_m)
        return self


class Targets(Declared):
    """How sensors become what is learnt; [stations](stations.md) says what each choice means."""

    scaling: Literal["reference", "pooled", "none"] = Field(default="reference", examples=["pooled"])
    """Whose level sensors get: that of a reference model in their cell, that of all sensors of their layer, or, with
    "none", their own."""
    # As in the paper, before and after scaling.
    min_days: int = Field(default=90, ge=2, examples=[180])
    """Days with a mean that a sensor needs, before and after scaling."""
    max_equal_share: float = Field(default=0.9, gt=0, le=1, examples=[0.8])
    """Share of days with the mean of the day before, above which a sensor is taken to be stuck."""
    reference: tuple[ReferenceLayer, ...] = Field(
        default=(), examples=[[{"top_m": 0.0, "bottom_m": 0.07, "source": REFERENCE_EXAMPLE}]]
    )
    """Layers of the reference model, needed by `scaling = "reference"`."""
    reference_period: Period | None = None
    """Days over which sensors are scaled, where the reference model does not cover all days that are learnt from."""

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
