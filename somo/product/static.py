"""What a static feature is made from: gridded files, or the climatology of the forcing."""

from typing import Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from somo.product.declared import Declared
from somo.product.forcing import Files, FormatName, Regrid
from somo.product.patterns import Pattern, pattern_faults

Statistic = Literal["mean", "std", "aridity"]


class Static(Declared):
    """One static feature per cell: a variable of gridded files, or computed from the forcing's climatology."""

    url: str | tuple[str, ...] | None = Field(default=None, examples=["/data/soilgrids/sand_0-5cm_mean_1000.tif"])
    """Place of one file, or of the tiles of one field, with `{domain}`, `*` and `?`; or a list of such places. A
    relative one starts at the folder in which the command is run."""
    variable: str | None = Field(default=None, examples=["sand"])
    """Name of the variable inside the file, or the band of a GeoTIFF, as in "1"."""
    format: FormatName | None = None
    """How the files are laid out, where it cannot be told from their content."""
    select: dict[str, float | str] = Field(default_factory=dict, examples=[{"time": 6}])
    """What to take along further dimensions; twelve months without a choice are averaged."""
    units: str | None = Field(default=None, examples=["m"])
    """Units that numbers are converted to, from those that the files name."""
    missing: tuple[float, ...] | None = Field(default=None, examples=[[-9999.0]])
    """Numbers that stand for no value although the files do not say so."""
    within_cell: Literal["mean", "std", "fraction"] | None = None
    """What to keep of files finer than the grid: the mean of what lies in a cell, its standard deviation, or the
    fraction that belongs to `classes`."""
    classes: tuple[int, ...] = Field(default=(), examples=[[50, 60, 61, 62]])
    """Class numbers whose fraction of a cell is the feature."""
    regrid: Regrid | None = None
    """How files of another grid are brought onto the cells."""
    gaps: Literal["error", "mean"] = "error"
    """What becomes of land cells without a value: an error, or the mean over cells."""
    categories: tuple[int, ...] = Field(default=(), examples=[[1, 2, 3]])
    """Class numbers that become one feature of 0 and 1 each."""
    computed: Statistic | None = None
    """Statistic of the forcing over the days that are learnt from, in place of files: the mean or standard deviation of
    the variable `of`, or "aridity": mean net radiation, as the water that it could evaporate, over mean rain."""
    of: str | None = Field(default=None, examples=["precipitation"])
    """Forcing variable whose mean or standard deviation is computed."""

    @field_validator("url")
    @classmethod
    def _patterns(cls, url: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
        for text in () if url is None else (url,) if isinstance(url, str) else url:
            if fault := pattern_faults(text):
                raise ValueError(fault)
            if dated := sorted(Pattern(text).fields - {"domain"}):
                raise ValueError(
                    f"url {text!r} has {{{dated[0]}}}, but a static feature has no days; write the name, or * for tiles"
                )
        if url == ():
            raise ValueError("url is empty; give the place of the files")
        return url

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.computed is None) == (self.url is None):
            raise ValueError(f"give either url and variable, or computed (one of {', '.join(get_args(Statistic))})")
        if self.url is not None and self.variable is None:
            raise ValueError('variable is missing: the name inside the file, or the band of a GeoTIFF, as in "1"')
        if self.computed in ("mean", "std") and self.of is None:
            raise ValueError(f'computed = "{self.computed}" needs of = the name of a forcing variable')
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.within_cell is not None and self.regrid is not None:
            raise ValueError("within_cell and regrid both bring files onto the cells; give one of them")
        if (self.within_cell == "fraction") != bool(self.classes):
            raise ValueError('within_cell = "fraction" and classes = [...] need each other')
        if self.categories and (self.within_cell or self.regrid in ("bilinear", "mean")):
            raise ValueError(
                "categories are class numbers, which are never averaged; for the share of a cell that belongs to "
                'classes write within_cell = "fraction" and classes = [...] and no categories'
            )
        return self

    def __hash__(self) -> int:
        # `select` is a table, which has no hash of its own.
        return hash(self.model_dump_json())

    @property
    def files(self) -> Files:
        """Where the values are, of a feature that is read from files."""
        assert self.url is not None and self.variable is not None
        return Files(url=self.url, variable=self.variable, format=self.format, select=self.select)

    @property
    def of_classes(self) -> bool:
        """Whether its numbers are taken as class numbers."""
        return bool(self.classes or self.categories)
