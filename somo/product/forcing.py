"""Gridded sources of forcing: where their files are, and what their numbers mean."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from somo.product.declared import Declared
from somo.product.patterns import Pattern, pattern_faults

# The names in `FORMATS` of `somo.forcing.formats.register`, which this room may not import; a test compares them.
FormatName = Literal["hdf5", "netcdf3", "grib", "zarr", "geotiff"]
Kind = Literal["instantaneous", "mean", "accumulated"]
Stamp = Literal["start", "middle", "end"]
Regrid = Literal["nearest", "bilinear", "mean"]


class Files(Declared):
    """Gridded files: where they are, how they are read and which variable counts."""

    url: str | tuple[str, ...] = Field(examples=["/data/era5-land/t2m_{year}_{month}.nc"])
    """Place of the files on any file system, with `{year}`, `{month}`, `{day}`, `{doy}`, `{domain}`, `*` and `?`; or a
    list of such places. A relative one starts at the folder in which the command is run."""
    variable: str = Field(examples=["t2m"])
    """Name of the variable inside the files."""
    format: FormatName | None = None
    """How the files are laid out, where it cannot be told from their content."""
    select: dict[str, int | float | str] = Field(default_factory=dict, examples=[{"height": 2.0}])
    """What to take along further dimensions: a value of the coordinate or, without a coordinate, a number from 0."""

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
        # `select` is a table, which has no hash of its own.
        return hash(self.model_dump_json())

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The declared patterns, in order."""
        return tuple(Pattern(text) for text in ((self.url,) if isinstance(self.url, str) else self.url))


class Source(Files):
    """Gridded files over time and what their numbers mean."""

    units: str = Field(examples=["K"])
    """Units of the numbers where the files name none; files whose own units have another dimension are refused."""
    frequency: Literal["daily", "sub-daily"] = "daily"
    """Whether a file holds a value a day or several."""
    kind: Kind | None = None
    """What a value is: at an instant, the mean of an interval, or a sum; left out, what the files say."""
    stamp: Stamp | None = None
    """Which part of its interval a time names; left out, what the files' time bounds say."""
    accumulation: Literal["day", "step"] | None = None
    """What sums several times a day are of: all hours since 00 UTC (ERA5-Land), or their own step (ERA5)."""
    day_offset_hours: float = Field(default=0.0, ge=-24, le=24, examples=[6.0])
    """Accepts days that begin so many hours after 00 UTC."""
    calendar_gap: Literal["repeat"] | None = None
    """Fills the days that a calendar of 365 or 360 days does not have with the day before."""
    gaps: Literal["interpolate"] | None = None
    """Fills missing days linearly in time, as many in a row as `max_gap_days` allows."""
    max_gap_days: int = Field(default=0, ge=0, examples=[7])
    """Most days in a row that `gaps` fills."""
    missing: tuple[float, ...] = Field(default=(), examples=[[-9999.0]])
    """Numbers that stand for no value although the files do not say so."""
    regrid: Regrid | None = None
    """How another grid is brought onto the cells; without it the files' coordinates must be those of the cells."""
    provisional_days: int | None = Field(default=None, ge=0, examples=[90])
    """Last days that the producer still revises: published as provisional, and computed again when they change."""
    expver: str | None = Field(default=None, examples=["expver"])
    """Name of the variable along time that marks steps as preliminary, in files of ERA5."""

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
    """One dynamic variable: read from files, or the sum or mean of other declared variables."""

    source: Source | None = None
    """Its files; in a declaration their keys stand in the variable's own table."""
    then: tuple[Source, ...] = Field(
        default=(), examples=[[{"url": "/data/era5t/t2m_{year}_{month}.nc", "variable": "t2m", "units": "K"}]]
    )
    """Files that continue where those before end; their days are provisional."""
    sum_of: tuple[str, ...] = Field(default=(), examples=[["net_shortwave", "net_longwave"]])
    """Variables whose sum this one is; one with a leading minus is subtracted."""
    mean_of: tuple[str, ...] = Field(default=(), examples=[["coldest", "warmest"]])
    """Variables whose mean this one is."""
    input: bool = True
    """Whether the network sees it; `false` for one that only serves others (a sum, a climatology)."""

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "source" in value:
            return value
        beside_source = {k: v for k, v in value.items() if k in ("sum_of", "mean_of", "then", "input")}
        source = {k: v for k, v in value.items() if k not in beside_source}
        computed = beside_source.get("sum_of") or beside_source.get("mean_of")
        # A table with neither files nor terms keeps an empty source, so that the error names url and variable.
        return {**beside_source, "source": source} if source or not computed else beside_source

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
