"""Stored numbers -> values, by the CF attributes of a file: missing values, valid range, unsigned, scale, offset."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.forcing.formats.stored import UnreadableError

SCALING = ("scale_factor", "add_offset")
ABSENT = ("_FillValue", "missing_value")
VALID = ("valid_range", "valid_min", "valid_max")
Attrs = Mapping[str, Sequence[Any]]


def decoding_attributes(attrs: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The CF attributes that decode a variable, as {name: [value, dtype]} (of several values: [[values], dtype]).

    Raises
    ------
    UnreadableError
        naming an attribute that is no number
    """
    typed: dict[str, list[Any]] = {}
    for name in (*ABSENT, *SCALING, *VALID):
        if name not in attrs:
            continue
        numbers = _numbers(name, attrs[name])
        if name in SCALING and len(numbers) > 1:
            raise UnreadableError(f"has {len(numbers)} values as {name}, which scale no single variable")
        values = numbers.tolist()
        typed[name] = [values[0] if len(values) == 1 else values, str(numbers.dtype)]
    if str(attrs.get("_Unsigned", "")).lower() in ("true", "false"):
        typed["_Unsigned"] = [str(attrs["_Unsigned"]).lower(), "str"]
    return {name: value for name, value in typed.items() if value[0] != []}


def _numbers(name: str, value: Any) -> NDArray[Any]:
    """Numbers of an attribute, which some producers write as text."""
    if isinstance(value, str):
        number_texts = value.replace(",", " ").split()
        try:
            numbers = [float(word) for word in number_texts]
        except ValueError as error:
            raise UnreadableError(f"has {name} = {value!r}, which is no number; correct the attribute") from error
        return np.array(numbers)
    return np.asarray(value).reshape(-1)


def decode(raw: NDArray[Any], attrs: Attrs) -> NDArray[np.float32]:
    """Stored numbers -> float32 of the same shape, NaN where there is no value.

    Missing are numbers equal to `_FillValue` or `missing_value`, and numbers outside `valid_range`, `valid_min` or
    `valid_max`. xarray applies scale and offset, in the data type that CF prescribes.

    Parameters
    ----------
    attrs : as `decoding_attributes` gives them
    """
    # Found on the stored numbers, before they are decoded: xarray does not apply valid ranges.
    missing = missing_values(raw, attrs)
    typed = {
        name: value if kind == "str" else np.dtype(kind).type(value)
        for name, (value, kind) in attrs.items()
        if name in (*SCALING, "_Unsigned")
    }
    dims = tuple(f"d{n}" for n in range(raw.ndim))
    variable = xr.conventions.decode_cf_variable("x", xr.Variable(dims, raw, typed), decode_times=False)
    values = np.array(variable.values, "float32")
    values[missing] = np.nan
    return values


def missing_values(raw: NDArray[Any], attrs: Attrs) -> NDArray[np.bool_]:
    """Where stored numbers stand for no value."""
    signed = _as_meant(raw, attrs)
    missing = np.isnan(signed) if signed.dtype.kind == "f" else np.zeros(signed.shape, bool)
    for name in ABSENT:
        if name not in attrs:
            continue
        # A double -9999.9 beside floats means their nearest float; a fill value is a raw number, never a scaled one.
        for number in _like(attrs[name], raw, signed):
            missing |= signed == number
    low, high = _valid(attrs, raw, signed)
    if low is not None or high is not None:
        is_unpacked = _is_unpacked(attrs, raw)
        values = signed.astype("float64") if is_unpacked else signed
        half_step = 0.0
        if is_unpacked:
            scale = _single(attrs, "scale_factor", 1.0)
            values = values * scale + _single(attrs, "add_offset", 0.0)
            # Packing rounds: no rain unpacks to -1e-17 mm, which is not below a valid_min of 0.
            half_step = abs(scale) / 2 if raw.dtype.kind in "iu" else 0.0
        missing |= (values < low - half_step) if low is not None else False
        missing |= (values > high + half_step) if high is not None else False
    return missing


def _as_meant(raw: NDArray[Any], attrs: Attrs) -> NDArray[Any]:
    """Stored integers with the sign that `_Unsigned` gives them."""
    if raw.dtype.kind not in "iu" or "_Unsigned" not in attrs:
        return raw
    kind = "u" if attrs["_Unsigned"][0] == "true" else "i"
    return raw.view(f"{raw.dtype.byteorder}{kind}{raw.dtype.itemsize}")


def _like(attribute: Sequence[Any], raw: NDArray[Any], signed: NDArray[Any]) -> list[Any]:
    """An attribute's numbers in the type of the stored ones; those that the type cannot hold stand for nothing."""
    numbers = np.array(attribute[0], attribute[1]).reshape(-1)
    if signed.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return numbers.astype(signed.dtype).tolist()
    integers = [int(number) for number in numbers.tolist() if number == number and float(number).is_integer()]
    if raw.dtype != signed.dtype:
        span = 2 ** (8 * raw.dtype.itemsize)
        integers = [n % span if signed.dtype.kind == "u" else (n + span // 2) % span - span // 2 for n in integers]
    info = np.iinfo(signed.dtype)
    return [n for n in integers if info.min <= n <= info.max]


def _valid(attrs: Attrs, raw: NDArray[Any], signed: NDArray[Any]) -> tuple[Any, Any]:
    """Lowest and highest valid number, as the file gives them."""
    low = high = None
    if "valid_range" in attrs and isinstance(attrs["valid_range"][0], list) and len(attrs["valid_range"][0]) == 2:
        low, high = attrs["valid_range"][0]
    low = attrs["valid_min"][0] if "valid_min" in attrs else low
    high = attrs["valid_max"][0] if "valid_max" in attrs else high
    if raw.dtype != signed.dtype and signed.dtype.kind == "u" and not _is_unpacked(attrs, raw):
        span = 2 ** (8 * raw.dtype.itemsize)
        low, high = (None if edge is None else int(edge) % span for edge in (low, high))
    return low, high


def _is_unpacked(attrs: Attrs, raw: NDArray[Any]) -> bool:
    """Whether a packed variable's valid range is in unpacked units.

    By the NetCDF Users Guide it is where its type is that of the scaling and wider than that of the stored numbers.
    """
    valid = {attrs[name][1] for name in VALID if name in attrs}
    scaling = {attrs[name][1] for name in SCALING if name in attrs}
    widths = [np.dtype(kind).itemsize for kind in scaling if np.dtype(kind).kind == "f"]
    is_wider = raw.dtype.kind in "iu" or max(widths, default=0) > raw.dtype.itemsize
    return bool(scaling) and is_wider and all(np.dtype(kind).kind == "f" for kind in valid)


def _single(attrs: Attrs, name: str, otherwise: float) -> float:
    return float(attrs[name][0]) if name in attrs else otherwise
