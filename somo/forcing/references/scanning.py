"""Source file -> description of one variable as (time, y, x), without reading the variable's values."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.formats.register import format_of, open_format
from somo.forcing.formats.stored import (
    DEFAULT_FILL,
    TIME_BOUNDS,
    Stored,
    UnreadableError,
    with_unpacked_coordinates,
)
from somo.forcing.listing import content_of_source, version_now
from somo.forcing.references.axes import VALID_TIME, Axes, resolve_axes
from somo.forcing.references.clock import is_clock, seconds_of, shift_of, zone_of
from somo.forcing.references.decoding import decoding_attributes, missing_values
from somo.forcing.references.scan import Scan, compact, compact_bounds, flag_runs
from somo.forcing.references.scan_reader import ScanReader
from somo.forcing.sources import ForcingError, SourceFile
from somo.product.inputs import Files
from somo.storage.patience import NETWORK_ERRORS, StorageError

DAY_SECONDS = 86_400
# Of ERA5 at ECMWF, version 1 is final and version 5 (ERA5T) preliminary.
FINAL_EXPVER = 1
# Between these the Julian calendar, which IMERG's files name, has the leap years of the standard one.
YEARS_ALIKE = tuple(int(np.datetime64(year, "s").astype("int64")) for year in ("1901-01-01", "2100-01-01"))


def scan_file(file: SourceFile, name: str, source: Files) -> tuple[Scan, ...]:
    """Find where the values of one variable lie in one file, from the file's metadata alone.

    An older file of ERA5 with a dimension `expver` gives one scan for every version in it. Only from such files a few
    values are read, to find out which version has which times.

    Raises
    ------
    ForcingError
        naming the file and what is wrong with it: it is no data file, has no such variable, has a dimension that needs
        a choice, or times that cannot be read
    StorageError
        where network, server or rights fail
    """
    try:
        scans = _scan(file, source)
    except UnreadableError as error:
        error_text = str(error).replace("correct the variable", f"correct forcing.{name}.variable")
        raise ForcingError(f"{file.url}: {error_text}") from error
    # What may pass, such as an outage of the network, must not be taken for damage of the file.
    except (ForcingError, StorageError, MemoryError, PermissionError, *NETWORK_ERRORS) as error:
        if isinstance(error, PermissionError):
            raise ForcingError(f"{file.url}: may not be read ({error.strerror}); allow reading it") from error
        raise
    except Exception as error:  # every library has its own
        raise ForcingError(
            f"{file.url}: cannot be read ({str(error).strip() or type(error).__name__}); it is damaged or incomplete: "
            "get it again"
        ) from error
    content = f"{file.day} {content_of_source(file)}".strip()
    # Otherwise the chunks' places could be those of one version of the file and the stamps those of another.
    if (current_version := version_now(file, source.variable)) != file.fingerprint:
        raise ForcingError(
            f"{file.url}: was replaced while it was read ({file.fingerprint}, now {current_version}); run again"
        )
    return tuple(replace(scan, content=content) for scan in scans)


def _scan(file: SourceFile, source: Files) -> tuple[Scan, ...]:
    kind = format_of(file, source.format)
    stored = with_unpacked_coordinates(open_format(kind).describe(file, source.variable, source.select))
    # GRIB has chosen among its messages already.
    axes = resolve_axes(stored, {} if kind == "grib" else source.select)
    if axes.steps is None:
        return _scans(file, source, kind, stored, axes)
    # Forecasts [start, step]: each step of all forecasts is a series of times of its own.
    of_step = [replace(axes, steps=None, fixed={**axes.fixed, axes.steps: n}) for n in range(stored.shape[axes.steps])]
    return tuple(scan for chosen in of_step for scan in _scans(file, source, kind, stored, chosen))


def _scans(file: SourceFile, source: Files, kind: str, stored: Stored, axes: Axes) -> tuple[Scan, ...]:
    times, exists, bounds, calendar = _times(file, stored, axes)
    order = np.argsort(times, kind="stable")
    # 30 February, say, of a calendar of 360 days is no day of the product.
    order = order[exists[order]]
    array, chunks, reader = as_maps(kind, stored, axes, axes.fixed)
    scan = Scan(
        url=file.url,
        fingerprint=file.fingerprint,
        variable=source.variable,
        array=array,
        attrs=decoding_attributes(stored.attrs),
        units=_text(stored.attrs.get("units")),
        chunks=chunks,
        stamps=compact(times[order]),
        bounds=None if bounds is None else compact_bounds(times[order], bounds[order]),
        calendar=calendar,
        cell_methods=_cell_methods(stored.attrs, _dim(stored, axes.time)),
        positions=compact(order),
        grid=axes.grid,
        dims=[_dim(stored, axes.time), stored.dims[axes.y], stored.dims[axes.x]],
        provisional=flag_runs(_provisional(source, stored, axes)[order]),
        reader=reader,
    )
    if axes.versions is None:
        return (scan,)
    return _by_version(scan, kind, stored, axes)


def _cell_methods(attrs: Mapping[str, Any], time: str) -> str | None:
    """The CF attribute, or what converters of GRIB files keep instead of it.

    Parameters
    ----------
    time : name of the dimension of time, which may be `Time` or `day`; methods along it become those along `time`
    """
    if (methods := _text(attrs.get("cell_methods"))) is not None:
        return re.sub(rf"(?<!\w){re.escape(time)}(?=\s*:)", "time", methods)
    step_type = _text(attrs.get("GRIB_stepType"))
    return f"GRIB_stepType: {step_type}" if step_type else None


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _dim(stored: Stored, axis: int | None) -> str:
    return "time" if axis is None else stored.dims[axis]


def as_maps(
    kind: str, stored: Stored, axes: Axes, fixed: Mapping[int, int]
) -> tuple[dict[str, Any], dict[str, list[int]], dict[str, Any] | None]:
    """Zarr metadata and chunks of a variable as (time, y, x), and how its format's library reads it so."""
    chunk, order = stored.array["chunks"], [axes.time, axes.y, axes.x]
    array = {
        **stored.array,
        "shape": [1 if axis is None else stored.shape[axis] for axis in order],
        "chunks": [1 if axis is None else chunk[axis] for axis in order],
    }
    if stored.chunks is None:
        return array, {}, {"format": kind, "axes": order, "at": [[axis, index] for axis, index in fixed.items()]}
    if order != [0, 1, 2] or fixed:
        at = [[axis, index % chunk[axis]] for axis, index in fixed.items()]
        view = {"id": "somo_view", "chunk": list(chunk), "dtype": array["dtype"], "at": at, "axes": order}
        array["filters"] = [view, *(array["filters"] or ())]
    chunks = {
        ".".join(str(0 if axis is None else number[axis]) for axis in order): list(place)
        for number, place in stored.chunks.items()
        if all(number[axis] == index // chunk[axis] for axis, index in fixed.items())
    }
    return array, chunks, None


def _times(
    file: SourceFile, stored: Stored, axes: Axes
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64] | None, str]:
    """[step] stamps as stored, which of them exist in the standard calendar, their bounds, and the calendar."""
    clock = _clock(stored, axes)
    if clock is None and axes.time is None:
        clock = _clock_beside(stored, file.day)
    if clock is None:
        if not file.day:
            raise UnreadableError(
                f"has dimensions ({', '.join(stored.dims)}) and no times; put the day into the URL, as in "
                "{year}{month}{day}, or declare files with a time"
            )
        day = np.array([np.datetime64(file.day, "s").astype("int64")])
        return day, np.ones(1, bool), None, "standard"
    if clock.size == 0:
        raise UnreadableError("holds no times; get it again")
    _require_stamps(clock)
    units, calendar = str(clock.attrs.get("units", "")), str(clock.attrs.get("calendar", "") or "standard")
    times, exists = seconds_of(np.atleast_1d(clock.values), units, calendar)
    if calendar == "julian" and YEARS_ALIKE[0] <= times.min() and times.max() < YEARS_ALIKE[1]:
        calendar = "standard"
    bounds = _bounds(stored, clock, times, units, calendar)
    if bounds is None and (zone := zone_of(units)):
        bounds = _local_days(times, zone)
    # A shift of none counts too: it says that stamps are the beginnings of days, also of the sums among them.
    if "time_shift" in clock.attrs:
        times, bounds = _in_utc(times, bounds, shift_of(clock.attrs))
    return times, exists, bounds, calendar


def _bounds(
    stored: Stored, clock: xr.DataArray, times: NDArray[np.int64], units: str, calendar: str
) -> NDArray[np.int64] | None:
    """[step, 2] intervals of the stamps, in the order of the file; None where it has none."""
    beside = stored.coordinates.variables
    named = str(clock.attrs.get("bounds", "") or clock.attrs.get("climatology", ""))
    name = named if named in beside else next((word for word in TIME_BOUNDS if word in beside), "")
    edges = beside.get(name)
    if edges is None or sorted(edges.shape) != sorted((*clock.shape, 2)):
        return None
    # Some files have the two ends as the first dimension.
    ends = edges.values if edges.shape == (*clock.shape, 2) else edges.values.T
    try:
        bounds, _ = seconds_of(ends, str(edges.attrs.get("units", "") or units), calendar)
    except UnreadableError:
        if name == named:
            raise
        return None
    # Some producers write the end of an interval first: taken as it is, it would be an interval of no length.
    bounds = np.sort(bounds.reshape(-1, 2), axis=1)
    # What no attribute names may be left from other times: intervals that hold their stamps are theirs.
    if name != named and not ((bounds[:, 0] <= times) & (times <= bounds[:, 1]) & (bounds[:, 0] < bounds[:, 1])).all():
        return None
    return bounds


def _require_stamps(clock: xr.DataArray) -> None:
    """Refuse numbers that stand for no time, as where a file was made longer and its times were never written."""
    declared = [clock.attrs[name] for name in ("_FillValue", "missing_value") if name in clock.attrs]
    fills = [*np.ravel(declared).tolist(), DEFAULT_FILL.get(f"{clock.dtype.kind}{clock.dtype.itemsize}")]
    # Some producers declare 0, which is also a time like any other.
    if any(fill is not None and fill != 0 and (clock.values == fill).any() for fill in fills):
        raise UnreadableError(f"has stamps without a value in {clock.name}; get it again, or cut these steps off")


def _local_days(times: NDArray[np.int64], zone: int) -> NDArray[np.int64] | None:
    """Intervals of daily stamps at the midnights of a time zone, which begin the days there; None of other stamps."""
    is_daily = len(times) > 1 and int(np.diff(np.sort(times)).min()) >= DAY_SECONDS
    if not is_daily or ((times + zone) % DAY_SECONDS).any():
        return None
    return np.stack([times, times + DAY_SECONDS], axis=1)


def _in_utc(
    times: NDArray[np.int64], bounds: NDArray[np.int64] | None, shift: int
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Stamps and intervals of a clock that is `shift` seconds ahead; a day's stamp there is the day's beginning."""
    is_daily = len(times) < 2 or int(np.diff(np.sort(times)).min()) >= DAY_SECONDS
    times, bounds = times - shift, None if bounds is None else bounds - shift
    if bounds is None and is_daily:
        bounds = np.stack([times, times + DAY_SECONDS], axis=1)
    return times, bounds


def _clock(stored: Stored, axes: Axes) -> xr.DataArray | None:
    """The variable with the times: along the dimension of time, or a single one where there is no such dimension."""
    dims = () if axes.time is None else (stored.dims[axes.time],)
    if dims and dims[0] in stored.coordinates.variables:
        return _validity(stored, axes, stored.coordinates[dims[0]])
    clocks = [item for item in stored.coordinates.variables if is_clock(stored.coordinates[item].attrs)]
    fitting = [name for name in clocks if stored.coordinates[name].dims == dims]
    # A forecast's `time` is when it was started; days are made of the times that it is valid for.
    fitting.sort(key=lambda name: (str(name) != "valid_time", str(name) != "time"))
    return stored.coordinates[fitting[0]] if fitting else None


def _clock_beside(stored: Stored, day: str) -> xr.DataArray | None:
    """The only time of a file whose variables have no dimension of time, as in files of SMAP's levels 3 and 4.

    Parameters
    ----------
    day : that the file's name stands for, which counts where the time is of another day; empty if it holds none
    """
    single = [
        item
        for item in stored.coordinates.variables
        if stored.coordinates[item].shape == (1,) and is_clock(stored.coordinates[item].attrs)
    ]
    named = [name for name in single if str(name) in (VALID_TIME, "time")] or single
    if len(named) != 1:
        return None
    clock = stored.coordinates[named[0]]
    _require_stamps(clock)
    attrs = clock.attrs
    times, _ = seconds_of(clock.values, str(attrs.get("units", "")), str(attrs.get("calendar", "") or "standard"))
    return clock if not day or times[0] // DAY_SECONDS == np.datetime64(day, "D").astype("int64") else None


def _validity(stored: Stored, axes: Axes, along: xr.DataArray) -> xr.DataArray:
    """The times for which forecasts are valid, where the dimension of time has the times at which they began.

    Files made from GRIB by cfgrib have `valid_time` [time] or [time, step] beside `time`, the forecast's beginning.
    """
    chosen = {stored.dims[axis]: index for axis, index in axes.fixed.items()}
    valid = stored.coordinates.variables.get(VALID_TIME)
    if along.name != VALID_TIME and valid is not None and is_clock(valid.attrs):
        picked = stored.coordinates[VALID_TIME].isel({dim: chosen[str(dim)] for dim in valid.dims if dim in chosen})
        if picked.dims == along.dims or (not picked.dims and along.size == 1):
            return picked
    if along.attrs.get("standard_name") == "forecast_reference_time":
        raise UnreadableError(
            f"has in {along.name} the times at which forecasts began, and no {VALID_TIME} for which they are valid; "
            "add it, as cfgrib does"
        )
    return along


def _provisional(source: Files, stored: Stored, axes: Axes) -> NDArray[np.bool_]:
    """[stored step] whether its experiment version is not the final one (1, "0001")."""
    length = 1 if axes.time is None else stored.shape[axes.time]
    # Files of static features declare no version.
    declared = getattr(source, "expver", None)
    if declared is None or axes.versions is not None:
        return np.zeros(length, bool)
    if declared not in stored.coordinates.variables or stored.coordinates[declared].ndim > 1:
        raise UnreadableError(f"has no variable {declared!r} along time; correct expver")
    versions = np.broadcast_to(stored.coordinates[declared].values, (length,))
    return np.array([float(str(version)) != FINAL_EXPVER for version in versions.tolist()])


def _by_version(scan: Scan, kind: str, stored: Stored, axes: Axes) -> tuple[Scan, ...]:
    """One scan for each entry of the `expver` dimension, with the times that this version has.

    In these files every time has values in one version alone: the final one first, the preliminary one after.
    """
    assert axes.versions is not None
    dim = stored.dims[axes.versions]
    # Files that do not number their versions have the final one first, then the preliminary one.
    numbers = stored.coordinates[dim].values if dim in stored.coordinates.variables else np.array([1, 5])
    positions, times = np.asarray(ScanReader.positions(scan)), scan.times
    taken = np.zeros(len(times), bool)
    scans = []
    for index in np.argsort(numbers.astype("float64")).tolist():
        array, chunks, reader = as_maps(kind, stored, axes, {**axes.fixed, axes.versions: index})
        version = replace(scan, array=array, chunks=chunks, reader=reader)
        last = index == int(np.argmax(numbers.astype("float64")))
        # Times without a value in any version stay with the last one, so that they are missing values and no missing
        # days.
        in_version = ~taken if last else _filled(version, positions) & ~taken
        taken |= in_version
        if not in_version.any():
            continue
        flags = np.full(int(in_version.sum()), float(numbers[index]) != FINAL_EXPVER)
        bounds = None if scan.time_bounds is None else compact_bounds(times[in_version], scan.time_bounds[in_version])
        scans.append(
            replace(
                version, stamps=compact(times[in_version]), positions=compact(positions[in_version]), bounds=bounds,
                provisional=flag_runs(flags),
            )
        )  # fmt: skip
    return tuple(scans)


def _filled(scan: Scan, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[step] whether a version has any value; all steps between two that agree are taken to agree with them."""
    reader = ScanReader(scan)
    full_plane = slice(None), slice(None)
    answers: dict[int, bool] = {}

    def has(step: int) -> bool:
        if step not in answers:
            raw = reader.read(0, (positions[step : step + 1], *full_plane))
            answers[step] = not missing_values(raw, scan.attrs).all()
        return answers[step]

    filled = np.zeros(len(positions), bool)
    # By halving: of a month's 744 hours about a dozen are read instead of all.
    pending = [(0, len(positions) - 1)]
    while pending:
        first, last = pending.pop()
        if has(first) == has(last):
            filled[first : last + 1] = has(first)
        elif last - first > 1:
            middle = math.floor((first + last) / 2)
            pending += [(first, middle), (middle, last)]
        else:
            filled[first], filled[last] = has(first), has(last)
    return filled
