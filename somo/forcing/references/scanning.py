"""Source file -> positions of its chunks (kerchunk)."""

import json
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import xarray as xr
from kerchunk.hdf import SingleHdf5ToZarr
from numpy.typing import NDArray

from somo.forcing.references.scan import Runs, Scan, compact, compact_bounds, flag_runs
from somo.forcing.sources import ForcingError, SourceFile
from somo.forcing.units import require_declared_units
from somo.product.inputs import Source
from somo.storage.byte_ranges import open_blocks
from somo.storage.objects import fingerprint

DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
FINAL_EXPVER = 1
LONGEST_AXIS = 20_000_000
"""Values of a coordinate: a thousand years of hours have 9 million. A file of a few kB may declare any number."""


def scan_file(file: SourceFile, name: str, source: Source) -> Scan:
    """Find the chunks of one variable in one NetCDF-4 file without reading them.

    Raises
    ------
    ForcingError
        naming the file: not readable, no such variable, other units than declared, not (time, lat, lon), uneven times
    """
    try:
        with open_blocks(file.url, file.fingerprint) as handle:
            scan = _scan(handle, file, name, source)
    except ForcingError:
        raise
    except Exception as error:
        raise ForcingError(
            f"{file.url}: cannot be read as NetCDF-4 ({str(error).strip() or type(error).__name__}); it is damaged, "
            "incomplete, of another format or not permitted: replace it or allow reading it"
        ) from error
    if (now := fingerprint(file.url)) != file.fingerprint:
        raise ForcingError(f"{file.url}: was replaced while it was read ({file.fingerprint}, now {now}); run again")
    return scan


def _scan(handle: Any, file: SourceFile, name: str, source: Source) -> Scan:
    with _OneVariable(handle, source.variable) as h5:
        found = _positions(h5, file.url)
        variable = _require_variable(file.url, name, source, h5)
        if f"{source.variable}/.zarray" not in found:
            raise ForcingError(
                f"{file.url}: the compression of {source.variable} cannot be read in place; rewrite it with deflate"
            )
        axes = _require_axes(file.url, source.variable, variable, h5)
        times = _times(file.url, axes[0])
        return Scan(
            url=file.url,
            fingerprint=file.fingerprint,
            variable=source.variable,
            array=json.loads(found[f"{source.variable}/.zarray"]),
            attrs=_decoding(file.url, name, source, variable),
            chunks=_chunks(file, source.variable, found),
            units=_units(variable),
            stamps=compact(times),
            bounds=_bounds(axes[0], times, h5),
            calendar=_text(axes[0], "calendar") or "standard",
            cell_methods=_text(variable, "cell_methods") or None,
            positions=compact(np.arange(len(times))),
            grid={
                "kind": "regular",
                **{n: [float(v) for v in a[:]] for n, a in zip(("lat", "lon"), axes[1:], strict=True)},
            },
            dims=[axis.name.lstrip("/") for axis in axes],
            provisional=_provisional(file.url, name, source, h5),
        )


class _OneVariable(h5py.File):
    """A file that shows kerchunk one variable.

    h5py's own `visititems` holds h5py's lock while kerchunk waits for Zarr's thread; a garbage collection there that
    meets an h5py object would wait for that lock for ever.
    """

    def __init__(self, handle: Any, variable: str) -> None:
        super().__init__(handle, "r")
        self.variable = variable

    def visititems(self, func: Callable[[str, Any], None]) -> None:
        if self.variable in self:
            func(self.variable, self[self.variable])


def _positions(h5: _OneVariable, url: str) -> dict[str, Any]:
    """kerchunk's references of the variable; nothing if kerchunk cannot translate it."""
    translator = SingleHdf5ToZarr(h5, url, inline_threshold=0, unsupported_inline_threshold=0, error="ignore")
    try:
        return translator.translate()["refs"]
    finally:
        translator.close()


def _require_variable(url: str, name: str, source: Source, h5: h5py.File) -> h5py.Dataset:
    if source.variable not in h5:
        have = ", ".join(str(key) for key in h5)
        raise ForcingError(f"{url}: no variable {source.variable!r}; it has {have}: correct forcing.{name}.variable")
    return h5[source.variable]


def _require_axes(url: str, name: str, variable: h5py.Dataset, h5: h5py.File) -> list[h5py.Dataset]:
    """Coordinates of the dimensions, which must be time, latitude and longitude."""
    axes = [dim[0] for dim in variable.dims if len(dim) == 1]
    if [_axis(axis) for axis in axes] != ["time", "lat", "lon"] or variable.ndim != 3:
        have = ", ".join(axis.name.lstrip("/") for axis in axes) or "none with coordinates"
        raise ForcingError(f"{url}: {name} has dimensions ({have}), expected (time, latitude, longitude); rewrite it")
    for axis in axes:
        if axis.size > LONGEST_AXIS:
            raise ForcingError(
                f"{url}: {axis.name.lstrip('/')} declares {axis.size} values, more than {LONGEST_AXIS}; "
                "replace the file"
            )
    return axes


def _axis(coordinate: h5py.Dataset) -> str | None:
    """Which axis a coordinate is, by its CF attributes or its name."""
    units, standard_name = (_text(coordinate, key) for key in ("units", "standard_name"))
    if " since " in units:
        return "time"
    text = f"{standard_name} {units} {coordinate.name}".lower()
    words = (("lat", "lat"), ("lat", "north"), ("lon", "lon"), ("lon", "east"))
    return next((axis for axis, word in words if word in text), None)


def _text(h5: h5py.Dataset, key: str) -> str:
    value = h5.attrs.get(key, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _times(url: str, axis: h5py.Dataset) -> NDArray[np.int64]:
    """[step] seconds since 1970-01-01 of a file's times, which must ascend."""
    calendar = _text(axis, "calendar") or "standard"
    decoded = xr.coding.times.decode_cf_datetime(axis[:], _text(axis, "units"), calendar)
    if not np.issubdtype(decoded.dtype, np.datetime64):
        raise ForcingError(f"{url}: times in the {calendar!r} calendar; provide files in the standard calendar")
    times = decoded.astype("datetime64[s]").astype("int64")
    if len(times) == 0:
        raise ForcingError(f"{url}: holds no times; replace it")
    steps = np.diff(times)
    if len(steps) and steps.min() <= 0:
        at = int(np.argmax(steps <= 0))
        raise ForcingError(
            f"{url}: the times {decoded[at]} and {decoded[at + 1]} follow each other and do not ascend; "
            "provide a file without repetition, in order of time"
        )
    return times


def _bounds(axis: h5py.Dataset, times: NDArray[np.int64], h5: h5py.File) -> Runs | None:
    """The intervals that the file gives for its times."""
    name = _text(axis, "bounds") or _text(axis, "climatology")
    if not name or name not in h5:
        return None
    units = _text(h5[name], "units") or _text(axis, "units")
    decoded = xr.coding.times.decode_cf_datetime(h5[name][:], units, _text(axis, "calendar") or "standard")
    return compact_bounds(times, decoded.astype("datetime64[s]").astype("int64"))


def _units(variable: h5py.Dataset) -> str | None:
    return _text(variable, "units").strip() or None


def _decoding(url: str, name: str, source: Source, variable: h5py.Dataset) -> dict[str, list[Any]]:
    """CF decoding attributes with their types; the file's own units must mean what is declared."""
    attrs: dict[str, list[Any]] = {}
    for key in DECODING:
        if key in variable.attrs:
            value = variable.attrs[key]
            if isinstance(value, bytes | str):
                attrs[key] = [_text(variable, key), "str"]
            else:
                array = np.asarray(value).reshape(-1)
                attrs[key] = [array[0].item(), str(array.dtype)]
    if units := _units(variable):
        require_declared_units(url, name, source, units)
    return attrs


def _chunks(file: SourceFile, variable: str, found: dict[str, Any]) -> dict[str, list[int]]:
    size = int(file.fingerprint.split("-", 1)[0])
    chunks = {}
    for key, value in found.items():
        field, _, place = key.rpartition("/")
        if field != variable or place.startswith(".z"):
            continue
        if value[1] + value[2] > size:
            raise ForcingError(f"{file.url}: chunk {place} of {variable} lies beyond the file's end; replace it")
        chunks[place] = [int(value[1]), int(value[2])]
    return chunks


def _provisional(url: str, name: str, source: Source, h5: h5py.File) -> list[list[int]]:
    """Runs [first, count] of times whose experiment version is not the final one (1, "0001")."""
    if source.expver is None:
        return []
    if source.expver not in h5 or h5[source.expver].ndim != 1:
        raise ForcingError(f"{url}: no variable {source.expver!r} along time; correct forcing.{name}.expver")
    versions = [v.decode() if isinstance(v, bytes) else v for v in h5[source.expver][:]]
    return flag_runs([float(v) != FINAL_EXPVER for v in versions])
