"""What a time stamp means: an instant, or an interval of which it is the start, the middle or the end."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from somo.forcing.sources import ForcingError
from somo.product.forcing import Kind, Source, Stamp

DAY_SECONDS = 86_400
# CF cell methods along time; an extreme of an interval is placed in time as its mean is.
KIND_OF_METHOD: dict[str, Kind] = {
    "point": "instantaneous", "mean": "mean", "sum": "accumulated", "maximum": "mean", "minimum": "mean",
    "mid_range": "mean", "median": "mean",
}  # fmt: skip
GRIB_METHODS = {"instant": "point", "avg": "mean", "accum": "sum", "max": "maximum", "min": "minimum"}
"""What GRIB's `stepType`, kept by converters of GRIB files, is among CF's cell methods."""


@dataclass(frozen=True, eq=False)
class Stamps:
    """The time axis of a source, read from its files.

    Attributes
    ----------
    files : URLs of the source's files, for messages
    times : [step] seconds since 1970-01-01, ascending
    bounds : [step, 2] intervals in the same seconds; None if the files have none
    cell_methods : the variable's CF attribute, or "GRIB_stepType: accum" of files converted from GRIB; None if neither
    calendar : CF name; in calendars without leap years the times are those of the days that have a date
    file_of_step : [step] number of the file that holds each step; None where there is a single file
    """

    files: tuple[str, ...]
    times: NDArray[np.int64]
    bounds: NDArray[np.int64] | None = None
    cell_methods: str | None = None
    calendar: str = "standard"
    file_of_step: NDArray[np.int64] | None = None

    def file(self, step: int) -> str:
        """URL of the file that holds a step."""
        return self.files[0 if self.file_of_step is None else int(self.file_of_step[step])]

    @property
    def where(self) -> str:
        """The first file."""
        return self.files[0]

    @property
    def step_type(self) -> str | None:
        """GRIB's word for the cell method, if the file comes from GRIB."""
        return grib_step_type(self.cell_methods)

    @property
    def method(self) -> str | None:
        """The cell method along time."""
        return time_method(self.cell_methods)

    @property
    def step(self) -> int:
        """Usual seconds between neighbours; a day for a single time."""
        return int(np.median(np.diff(self.times))) if len(self.times) > 1 else DAY_SECONDS


def time_method(cell_methods: str | None) -> str | None:
    """The method along time among a variable's cell methods: a key of `KIND_OF_METHOD`, or None.

    >>> time_method("area: mean time: maximum (interval: 1 hour)"), time_method("time: lat: lon: mean")
    ('maximum', 'mean')
    >>> time_method("GRIB_stepType: accum")
    'sum'
    """
    # several names may share a method, as in "time: lat: lon: mean", and some producers write no space
    for names, method in re.findall(r"((?:\w+:\s*)+)(\w+)", cell_methods or ""):
        if {"time", "valid_time"} & set(re.findall(r"\w+", names)) and method in KIND_OF_METHOD:
            return str(method)
    return GRIB_METHODS.get(grib_step_type(cell_methods) or "")


def grib_step_type(cell_methods: str | None) -> str | None:
    """GRIB's word for the cell method, if the file comes from GRIB."""
    step_type_words = (cell_methods or "").split()
    return step_type_words[1] if len(step_type_words) == 2 and step_type_words[0] == "GRIB_stepType:" else None


@dataclass(frozen=True)
class Meaning:
    """What the values and the time stamps of a source stand for.

    Attributes
    ----------
    kind : instants, means or sums
    stamp : whether a stamp is the start, middle or end of its interval; None for instants, and where files give bounds
    """

    kind: Kind
    stamp: Stamp | None


def meaning(name: str, source: Source, stamps: Stamps) -> Meaning:
    """What the stamps of a source mean, by its declaration and its files, which must agree.

    Parameters
    ----------
    name : of the variable, for messages

    Raises
    ------
    ForcingError
        naming the file that contradicts the declaration, or where neither says which end of its interval a stamp is
    """
    kind = _kind(name, source, stamps)
    if kind == "instantaneous":
        return Meaning(kind, None)
    if _some_lack_bounds(source, stamps):
        # an interval may begin at one file's stamps and end at another's: only a declared stamp holds for both
        _require_same_end(name, source, stamps)
        _require_stamp_of_all(name, source, stamps)
    elif _has_intervals(source, stamps):
        _require_same_end(name, source, stamps)
        return Meaning(kind, None)
    return Meaning(kind, source.stamp or _usual_stamp(name, source, stamps, kind))


def _kind(name: str, source: Source, stamps: Stamps) -> Kind:
    in_file = KIND_OF_METHOD.get(stamps.method or "")
    if source.kind is not None:
        # the mean of a day and "the" value of that day are the same thing to whoever declares it
        daily_value = source.frequency == "daily" and {source.kind, in_file} == {"instantaneous", "mean"}
        if in_file is not None and in_file != source.kind and not daily_value:
            raise ForcingError(
                f"{stamps.where}: {source.variable} is {in_file} by its own attributes ({_evidence(stamps)}), but "
                f'forcing.{name} declares kind = "{source.kind}"; write kind = "{in_file}"'
            )
        has_intervals = source.frequency == "daily" and _has_intervals(source, stamps)
        is_value_of_day = daily_value or (has_intervals and source.kind == "instantaneous")
        return "mean" if is_value_of_day and stamps.bounds is not None else source.kind
    if in_file is not None:
        return in_file
    return "mean" if source.stamp is not None or _has_intervals(source, stamps) else "instantaneous"


def _evidence(stamps: Stamps) -> str:
    return f"cell_methods {stamps.cell_methods!r}" if stamps.step_type is None else str(stamps.cell_methods)


def _has_intervals(source: Source, stamps: Stamps) -> bool:
    """Whether all files have bounds, of some length."""
    return stamps.bounds is not None and bool(have_intervals(source, stamps).all())


def have_intervals(source: Source, stamps: Stamps) -> NDArray[np.bool_]:
    """[step] whether the file of a step has time bounds; those of files without are stored with no length.

    A daily mean of a single hour, as of a day that was cut off, has bounds of no length beside others of some length.
    """
    assert stamps.bounds is not None
    has_length: NDArray[np.bool_] = stamps.bounds[:, 1] > stamps.bounds[:, 0]
    if source.frequency != "daily":
        return has_length
    files = np.zeros(len(has_length), "int64") if stamps.file_of_step is None else stamps.file_of_step
    return np.bincount(files, has_length)[files] > 0


def _some_lack_bounds(source: Source, stamps: Stamps) -> bool:
    """Whether some files have time bounds and others do not."""
    if stamps.bounds is None:
        return False
    has_bounds = have_intervals(source, stamps)
    return bool(has_bounds.any() and not has_bounds.all())


def _require_stamp_of_all(name: str, source: Source, stamps: Stamps) -> None:
    """Where only some files have time bounds, the declaration must say what the stamps of all of them are."""
    assert stamps.bounds is not None
    if source.stamp is None:
        has_bounds = have_intervals(source, stamps)
        at = int(np.argmin(has_bounds))
        without, bounded = stamps.file(at), stamps.file(int(np.argmax(has_bounds)))
        lack = f"has no time bounds, but {bounded} has: say what the stamps of all files are by "
        if without == bounded:
            lack = f"the bounds of {as_text(stamps.times[at])} are of no length, unlike others: say what stamps are by "
        raise ForcingError(f'{without}: {lack}forcing.{name}.stamp = "start", "middle" or "end"')


def _require_same_end(name: str, source: Source, stamps: Stamps) -> None:
    """A declared `stamp` must be the one that the bounds show."""
    if source.stamp is None or stamps.bounds is None:
        return
    bounded = stamps.bounds[:, 1] > stamps.bounds[:, 0]
    times, (start, end) = stamps.times[bounded], stamps.bounds[bounded].T
    declared = {"start": start, "middle": (start + end) // 2, "end": end}
    # a minute: bounds are often rounded, and end at 23:59:59
    if (np.abs(times - declared[source.stamp]) > 60).any():
        shown = next((word for word, at in declared.items() if (np.abs(times - at) <= 60).all()), None)
        remedy = f'write stamp = "{shown}"' if shown else "leave stamp out, the bounds decide"
        raise ForcingError(
            f"{stamps.file(int(np.argmax(bounded)))}: the time {as_text(times[0])} stands for {as_text(start[0])} to "
            f"{as_text(end[0])} by the "
            f'bounds of its time, but forcing.{name} declares stamp = "{source.stamp}"; {remedy}'
        )


def _usual_stamp(name: str, source: Source, stamps: Stamps, kind: Kind) -> Stamp | None:
    """Which end of its interval a stamp is where neither file nor declaration says it, if only one is possible."""
    if source.frequency == "daily":
        # a value of GRIB that is summed or averaged over time is stamped with the end of that time
        at_00 = not (stamps.times % DAY_SECONDS).any()
        return "end" if at_00 and stamps.step_type in ("accum", "avg", "max", "min") else None
    # A sum is complete at the end of its interval, with which ERA5 and ERA5-Land stamp it.
    if kind == "accumulated":
        return "end"
    if ((stamps.times % stamps.step) * 2 == stamps.step).all():
        # any other reading would put the first or last interval across 00 UTC
        return "middle"
    if stamps.step_type is not None:
        return "end"
    raise ForcingError(
        f"{stamps.where}: {source.variable} is a mean over intervals of {stamps.step} s stamped "
        f"{as_text(stamps.times[0])[11:]}, {as_text(stamps.times[min(1, len(stamps.times) - 1)])[11:]} ..., and has no "
        f'time bounds: write forcing.{name}.stamp = "start" or "end", as its producer says'
    )


def as_text(seconds: int) -> str:
    """Seconds since 1970-01-01 as a date and time, for messages."""
    return str(np.datetime64(int(seconds), "s"))
