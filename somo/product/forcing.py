"""Gridded sources of forcing: where their files are, and what their numbers mean."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from somo.product.declared import Declared
from somo.product.patterns import Pattern, pattern_faults

FileFormat = Literal["hdf5", "netcdf3", "grib", "zarr", "geotiff"]
Kind = Literal["instantaneous", "mean", "accumulated"]
Stamp = Literal["start", "middle", "end"]
Regrid = Literal["nearest", "bilinear", "mean"]


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
        # `select` is a table, which has no hash of its own.
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
    say so. `regrid` brings another grid onto the cells; without it the file's coordinates must be those of the cells.
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
