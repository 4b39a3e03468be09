"""What source files hold, from their metadata alone: variables, times, grids, steps."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from somo.forcing.days.stamps import KIND_OF_METHOD, Stamps
from somo.forcing.formats.register import format_of, open_format
from somo.forcing.formats.stored import UnreadableError, Variable
from somo.forcing.listing import ForcingError, SourceFile, find_urls
from somo.forcing.references.scan import Scan
from somo.forcing.references.scanning import scan_file
from somo.product.forcing import Kind
from somo.product.inputs import Files

# Stands for the day of files that hold no times, so that they can be looked at.
ANY_DAY = "2000-01-01"
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Field:
    """One field of a file, described from the file's metadata alone.

    Attributes
    ----------
    url : the URL or pattern that the file was found by
    file : the first of its files
    name : of the variable
    variable : its dimensions, type and attributes
    scan : its times and its grid; None where it cannot be read as it is
    problem : why it cannot be read as it is; empty where it can
    step_seconds : usual seconds between values, of the first two files where each holds one; None of a single value
    select : choices along further dimensions by which it was described
    """

    url: str
    file: SourceFile
    name: str
    variable: Variable
    scan: Scan | None
    problem: str = ""
    step_seconds: int | None = None
    select: str = ""

    @property
    def units(self) -> str:
        """Units as the file spells them; empty where it names none."""
        units = self.variable.attrs.get("units")
        return "" if units is None else str(units).strip()

    @property
    def has_time(self) -> bool:
        """Whether the file itself gives the times of its values."""
        scan = self.scan
        return scan is not None and not (len(scan.times) == 1 and as_minute(scan.times[0])[:10] == ANY_DAY)

    @property
    def is_daily(self) -> bool:
        """Whether there is at most one value a day."""
        return self.step_seconds is None or self.step_seconds >= DAY_SECONDS

    @property
    def kind(self) -> Kind | None:
        """What the values are by the file's cell methods; None where it does not say."""
        return None if self.scan is None else kind_of(self.scan)

    @property
    def step_deg(self) -> float | None:
        """Distance of neighbouring latitudes in degrees; None of other grids than latitudes and longitudes."""
        if self.scan is None or self.scan.grid["kind"] != "regular" or len(self.scan.grid["lat"]) < 2:
            return None
        return abs(float(np.median(np.diff(np.array(self.scan.grid["lat"])))))

    @property
    def holds_codes(self) -> bool:
        """Whether its numbers stand for classes."""
        return "flag_values" in self.variable.attrs or "flag_meanings" in self.variable.attrs


@dataclass(frozen=True)
class Content:
    """What the first file of a URL or pattern holds.

    Attributes
    ----------
    file : the first file
    files : how many files the URL or pattern stands for
    format : format of the first file
    fields : variables with at least two dimensions, without coordinates and bounds
    """

    file: SourceFile
    files: int
    format: str
    fields: tuple[Field, ...]


def content_of(url: str, variable: str = "") -> Content:
    """What the first file of a URL or pattern holds.

    Parameters
    ----------
    variable : the only one to describe; all fields where empty

    Raises
    ------
    ForcingError
        naming what the file is instead of data
    """
    files = find_urls([url], variable).get(url)
    if not files:
        raise ForcingError(f"{url}: no such file; give a file, a Zarr store, or a pattern with * and ?")
    file = files[0]
    try:
        file_format = format_of(file)
        variables = open_format(file_format).variables(file)
    except UnreadableError as error:
        raise ForcingError(f"{file.url}: {error}") from error
    chosen = {
        name: item
        for name, item in variables.items()
        if name == variable or (not variable and len(item.dims) >= 2 and not _is_place(name, item, variables))
    }
    if variable and not chosen:
        raise ForcingError(f"{file.url}: has no field {variable!r}; it holds {', '.join(variables)}")
    fields = tuple(_field_of(files, url, name, item) for name, item in chosen.items())
    return Content(file, len(files), file_format, fields)


def _field_of(files: Sequence[SourceFile], url: str, name: str, item: Variable) -> Field:
    try:
        scan = _scanned(files[0], name)
    except ForcingError as error:
        return Field(url, files[0], name, item, None, str(error).removeprefix(f"{files[0].url}: "))
    return Field(url, files[0], name, item, scan, step_seconds=_step_seconds(scan, files, name))


def _scanned(file: SourceFile, name: str, select: str = "") -> Scan:
    dated = file if file.day else SourceFile(file.url, file.fingerprint, ANY_DAY)
    return scan_file(dated, name, Files(url=file.url, variable=name, **tomllib.loads(select)))[0]


def _step_seconds(scan: Scan, files: Sequence[SourceFile], name: str) -> int | None:
    """Usual seconds between values."""
    if len(scan.times) > 1:
        return int(np.median(np.diff(scan.times)))
    if len(files) < 2:
        return None
    # Satellites and land models have a file a step: one alone does not show how far apart they are.
    try:
        following = _scanned(files[1], name)
    except ForcingError:
        return None
    return abs(int(following.times[0] - scan.times[0])) or None


def with_first_choice(field: Field) -> Field | None:
    """The field with the first entry of each further dimension, as errors propose; None if something else is wrong."""
    choices: list[str] = []
    problem = field.problem
    while proposed := re.search(r"select = \{ (.*) \}", problem):
        choices.append(proposed[1])
        select = f"select = {{ {', '.join(choices)} }}"
        try:
            scan = _scanned(field.file, field.name, select)
        except ForcingError as error:
            # An error that does not change with a choice would be met for ever.
            if (next_problem := str(error)) == problem or len(choices) > len(field.variable.dims):
                return None
            problem = next_problem
            continue
        return replace(field, scan=scan, step_seconds=_step_seconds(scan, [field.file], field.name), select=select)
    return None


def _is_place(name: str, item: Variable, held: Mapping[str, Variable]) -> bool:
    """Whether a variable holds only coordinates or bounds of others."""
    named_by_others = {
        word for other in held.values() for key in ("coordinates", "bounds") for word in _words(other, key)
    }
    return (
        name in named_by_others
        or str(item.attrs.get("units", "")).startswith("degrees_")
        or name.endswith(("_bnds", "_bounds"))
    )


def _words(item: Variable, key: str) -> list[str]:
    return str(item.attrs.get(key, "")).split()


def kind_of(scan: Scan) -> Kind | None:
    stamps = Stamps(
        (scan.url,), scan.times, scan.time_bounds, scan.cell_methods, scan.calendar, np.zeros(len(scan.times), "int64")
    )
    return KIND_OF_METHOD.get(stamps.method or "")


def as_minute(seconds: int) -> str:
    return str(np.datetime64(int(seconds), "s"))[:16]
