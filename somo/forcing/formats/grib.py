"""GRIB editions 1 and 2: every message is one chunk; `variable` is ecCodes' short name (`2t`, `tp`).

The names that ecCodes gives variables in NetCDF (`t2m`) are understood too. `select` chooses by `number`, `level`,
`typeOfLevel`, `step`, `stepType` or `expver`.
"""

import re
from collections.abc import Mapping
from typing import Any

import eccodes
import numpy as np
import xarray as xr

from somo.forcing.formats.grib_header import Message, messages
from somo.forcing.formats.opening import file_handle
from somo.forcing.formats.stored import Stored, UnreadableError, Variable, zarr_metadata
from somo.forcing.listing import SourceFile

CHOICES = {
    "number": "number", "level": "level", "typeOfLevel": "typeOfLevel", "step": "endStep", "stepType": "stepType",
    "expver": "experimentVersionNumber",
}  # fmt: skip
# Messages of one variable that differ in one of these are other fields, and not other times of one field.
MUST_AGREE = ("number", "level", "typeOfLevel", "stepType")
# Messages of one time that differ in one of these have been computed apart.
ORIGIN = ("dataDate", "dataTime", "startStep", "endStep", "experimentVersionNumber")
METHODS = {"accum": "sum", "avg": "mean", "max": "maximum", "min": "minimum", "instant": "point"}
STEPS = ("startStep", "endStep")
HOUR_SECONDS = 3600
# The steps come last: reading them changes the unit in which ecCodes counts the time of validity too.
KEYS = (
    "shortName", "cfVarName", "units", "name", "dataDate", "dataTime", "validityDate", "validityTime", "gridType",
    "md5GridSection", "Ni", "Nj", "numberOfDataPoints", *(key for key in CHOICES.values() if key not in STEPS), *STEPS,
)  # fmt: skip
Field = tuple[Message, dict[str, Any]]


class Grib:
    """Messages of the World Meteorological Organization's GRIB."""

    def variables(self, file: SourceFile) -> Mapping[str, Variable]:
        listed: dict[str, list[dict[str, Any]]] = {}
        for _, keys in _fields(file):
            listed.setdefault(keys["shortName"], []).append(keys)
        return {
            name: Variable(*_layout(fields), "float32", {"units": fields[0]["units"], "long_name": fields[0]["name"]})
            for name, fields in listed.items()
        }

    def describe(self, file: SourceFile, variable: str, select: Mapping[str, float | str]) -> Stored:
        fields = _chosen(_fields(file), variable, select)
        grid = _Grid(fields[0][0].header)
        if any(keys["md5GridSection"] != fields[0][1]["md5GridSection"] for _, keys in fields):
            raise UnreadableError(f"has {variable} on several grids; write one file for each, as with grib_copy -w")
        first = fields[0][1]
        codec = {"id": "somo_grib", "shape": list(grid.shape), "by_column": grid.by_column}
        shape = (len(fields), *grid.shape)
        return Stored(
            dims=("time", "y", "x"),
            shape=shape,
            attrs={
                "units": first["units"],
                "cell_methods": f"time: {METHODS.get(first['stepType'], first['stepType'])}",
            },
            array=zarr_metadata(shape, (1, *grid.shape), np.dtype("<f4"), "NaN", [codec]),
            chunks={(n, 0, 0): (message.offset, message.size) for n, (message, _) in enumerate(fields)},
            coordinates=xr.Dataset({**grid.coordinates(), **_clock([keys for _, keys in fields])}),
        )


def _layout(fields: list[dict[str, Any]]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Names and lengths of a variable's dimensions; points that form no rows of one length are one dimension."""
    rows, columns, points = (fields[0][key] or 0 for key in ("Nj", "Ni", "numberOfDataPoints"))
    # A reduced Gaussian grid has the number for no value as its columns, and a spectral field has neither.
    if rows and columns and rows * columns == points:
        return ("time", "y", "x"), (len(fields), rows, columns)
    return ("time", "point"), (len(fields), points)


def _fields(file: SourceFile) -> list[Field]:
    with file_handle(file) as handle:
        return [(message, _keys(message.header)) for message in messages(handle)]


def _keys(header: bytes) -> dict[str, Any]:
    message = eccodes.codes_new_from_message(header)
    try:
        return {key: _key(message, key) for key in KEYS}
    finally:
        eccodes.codes_release(message)


def _key(message: Any, key: str) -> Any:
    try:
        if key == "level":
            # As an integer, which ecCodes gives unasked, the soil layers from 0, 0.1 and 0.4 m are all at level 0.
            level = eccodes.codes_get_double(message, key)
            return level if level % 1 else int(level)
        if key not in STEPS:
            return eccodes.codes_get(message, key)
        # In seconds, whatever unit the message has them in: radar and regional models have steps of minutes, and
        # ecCodes refuses to give half an hour in hours.
        eccodes.codes_set(message, "stepUnits", "s")
        hours = eccodes.codes_get_long(message, key) / HOUR_SECONDS
        return hours if hours % 1 else int(hours)
    except eccodes.CodesInternalError:
        return None


def _chosen(fields: list[Field], variable: str, select: Mapping[str, float | str]) -> list[Field]:
    """The messages of one variable that a declaration chooses; they may differ in time alone."""
    fields_of_variable = [field for field in fields if variable in (field[1]["shortName"], field[1]["cfVarName"])]
    if not fields_of_variable:
        names = ", ".join(sorted({str(keys["shortName"]) for _, keys in fields}))
        raise UnreadableError(f"no variable {variable!r}; it has {names}: correct the variable")
    for name, wanted in select.items():
        if name not in CHOICES:
            raise UnreadableError(f"is GRIB, in which select chooses by {', '.join(CHOICES)}; not by {name!r}")
        values = sorted({str(keys[CHOICES[name]]) for _, keys in fields_of_variable})
        fields_of_variable = [field for field in fields_of_variable if _alike(field[1][CHOICES[name]], wanted)]
        if not fields_of_variable:
            raise UnreadableError(f"has no {name} {wanted} of {variable}; it has {', '.join(values)}: correct select")
    _require_one_field(variable, fields_of_variable)
    return fields_of_variable


def _require_one_field(variable: str, fields_of_variable: list[Field]) -> None:
    """Refuse messages that differ in more than time."""
    units = sorted({str(keys["units"]) for _, keys in fields_of_variable})
    # Rain is `tp` in metres at ECMWF and `tp` in kg m-2 elsewhere, and nothing but the units tells them apart.
    if len(units) > 1:
        raise UnreadableError(f"has {variable} in several units ({', '.join(units)}); write one file for each")
    for name in MUST_AGREE:
        # A message without a number is of a single run, which others call member 0.
        values = sorted({str(keys[CHOICES[name]] or 0) for _, keys in fields_of_variable})
        if len(values) > 1:
            shown = values[0] if re.fullmatch(r"-?[\d.]+", values[0]) else f'"{values[0]}"'
            raise UnreadableError(
                f"has {variable} for several {name} ({', '.join(values[:12])}); choose one: "
                f"select = {{ {name} = {shown} }}"
            )
    _require_one_run(variable, fields_of_variable)


def _require_one_run(variable: str, fields_of_variable: list[Field]) -> None:
    """Refuse messages of one time that come from several runs, versions, or sums since several times."""
    first_of: dict[tuple[int, int], dict[str, Any]] = {}
    for _, keys in fields_of_variable:
        other = first_of.setdefault((keys["validityDate"], keys["validityTime"]), keys)
        if any(keys[key] != other[key] for key in ORIGIN):
            time = np.datetime64(_seconds(keys["validityDate"], keys["validityTime"]), "s")
            raise UnreadableError(
                f"has {variable} for {time} from {_origin(other)} and from {_origin(keys)}; choose by select = "
                "{ step = ... } or { expver = ... }, or keep one of both, as with grib_copy -w stepRange=... IN OUT"
            )


def _origin(keys: Mapping[str, Any]) -> str:
    """Where a field comes from, for messages."""
    began = np.datetime64(_seconds(keys["dataDate"], keys["dataTime"]), "s")
    version = keys["experimentVersionNumber"]
    return f"{began} step {keys['startStep']}-{keys['endStep']}" + (f" (expver {version})" if version else "")


def _alike(value: Any, wanted: float | str) -> bool:
    try:
        return float(value) == float(wanted)
    except (TypeError, ValueError):
        return str(value) == str(wanted)


def _clock(fields: list[dict[str, Any]]) -> dict[str, xr.Variable]:
    """Validity times, the intervals of what is not instantaneous, and experiment versions."""
    base = np.array([_seconds(keys["dataDate"], keys["dataTime"]) for keys in fields])
    valid = np.array([_seconds(keys["validityDate"], keys["validityTime"]) for keys in fields])
    units = "seconds since 1970-01-01"
    clock = {
        "time": xr.Variable(("time",), valid, {"units": units, "standard_name": "time", "calendar": "standard"}),
        "expver": xr.Variable(("time",), np.array([str(keys["experimentVersionNumber"]) for keys in fields])),
    }
    if all(keys["stepType"] != "instant" and keys["endStep"] != keys["startStep"] for keys in fields):
        edges = [[round(keys[step] * HOUR_SECONDS) for step in STEPS] for keys in fields]
        clock["time"].attrs["bounds"] = "time_bnds"
        clock["time_bnds"] = xr.Variable(("time", "edge"), base[:, None] + np.array(edges))
    return clock


def _seconds(date: int, time: int) -> int:
    """Seconds since 1970-01-01 of a date as 20200131 and a time as 1830."""
    day = np.datetime64(f"{date // 10000:04d}-{date // 100 % 100:02d}-{date % 100:02d}", "D")
    return int(day.astype(int)) * 86_400 + time // 100 * 3600 + time % 100 * 60


class _Grid:
    """The grid of a message, from its header."""

    def __init__(self, header: bytes) -> None:
        self.message = eccodes.codes_new_from_message(header)
        self.kind = str(eccodes.codes_get(self.message, "gridType"))
        if self.kind not in ("regular_ll", "rotated_ll", "regular_gg"):
            raise UnreadableError(
                f"is on a grid of the kind {self.kind!r}; get it on regular latitudes and longitudes (at ECMWF: grid = "
                "0.1/0.1), or bring it there, as with cdo remapbil or cdo setgridtype,regular"
            )
        if self._flag("alternativeRowScanning"):
            raise UnreadableError("has rows that run to and fro; rewrite it, as with cdo copy")
        self.by_column = self._flag("jPointsAreConsecutive")
        self.shape = (int(self._key("Nj")), int(self._key("Ni")))

    def __del__(self) -> None:
        if hasattr(self, "message"):
            eccodes.codes_release(self.message)

    def coordinates(self) -> dict[str, xr.Variable]:
        """Rows and columns in the order of the values."""
        lat, lon = self._latitudes(), self._longitudes()
        names = ("grid_latitude", "grid_longitude") if self.kind == "rotated_ll" else ("latitude", "longitude")
        units = ("degrees", "degrees") if self.kind == "rotated_ll" else ("degrees_north", "degrees_east")
        axes = {
            dim: xr.Variable((dim,), values, {"standard_name": name, "units": unit})
            for dim, values, name, unit in zip(("y", "x"), (lat, lon), names, units, strict=True)
        }
        if self.kind == "rotated_ll":
            pole = -float(self._key("latitudeOfSouthernPoleInDegrees"))
            meridian = float(self._key("longitudeOfSouthernPoleInDegrees")) + 180
            axes["rotated_pole"] = xr.Variable((), 0, {
                "grid_mapping_name": "rotated_latitude_longitude", "grid_north_pole_latitude": pole,
                "grid_north_pole_longitude": (meridian + 180) % 360 - 180,
                "north_pole_grid_longitude": float(self._key("angleOfRotationInDegrees") or 0),
            })  # fmt: skip
        return axes

    def _latitudes(self) -> np.ndarray:
        first, last = (float(self._key(f"latitudeOf{end}GridPointInDegrees")) for end in ("First", "Last"))
        if self.kind == "regular_gg":
            listed = np.sort(eccodes.codes_get_array(self.message, "distinctLatitudes"))
            return listed if first < last else listed[::-1]
        # From both ends: the step in a header is rounded, 1/12 degree to 0.083 in edition 1, and would drift. Six
        # digits, since edition 2 counts millionths of a degree.
        return np.round(np.linspace(first, last, self.shape[0]), 6)

    def _longitudes(self) -> np.ndarray:
        first, last = (float(self._key(f"longitudeOf{end}GridPointInDegrees")) for end in ("First", "Last"))
        # Longitudes that cross the meridian of Greenwich begin at 350, say, and end at 10.
        if self._flag("iScansNegatively"):
            last -= 360 * (last > first)
        else:
            last += 360 * (last < first)
        return np.round(np.linspace(first, last, self.shape[1]), 6)

    def _key(self, name: str) -> Any:
        return _key(self.message, name)

    def _flag(self, name: str) -> bool:
        return bool(self._key(name))
