"""Source file -> positions of its chunks (kerchunk); many files -> groups of one array each, strictly checked."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
import xarray as xr
from kerchunk.hdf import SingleHdf5ToZarr
from numpy.typing import NDArray

from somo.forcing.sources import ForcingError, SourceFile
from somo.forcing.units import require_declared_units
from somo.product.inputs import Source
from somo.storage.byte_ranges import open_blocks
from somo.storage.objects import fingerprint

DAY_SECONDS = 86_400
COORDINATE_TOLERANCE_DEG = 1e-4
DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "units")
FINAL_EXPVER = 1


@dataclass(frozen=True)
class Scan:
    """What one source file holds of one variable; JSON-able.

    Attributes
    ----------
    array : Zarr version 2 metadata of the variable
    attrs : its CF decoding attributes as {name: [value, dtype]}
    chunks : {"i.j.k": [offset, size]} in the file
    start, step, count : times in seconds since 1970-01-01; `step` is 0 for a single time
    lat, lon : coordinates as stored, degrees
    dims : names of the variable's dimensions
    provisional : runs [first, count] of times that the file itself marks as provisional
    """

    url: str
    fingerprint: str
    variable: str
    array: dict[str, Any]
    attrs: dict[str, list[Any]]
    chunks: dict[str, list[int]]
    start: int
    step: int
    count: int
    lat: list[float]
    lon: list[float]
    dims: list[str]
    provisional: list[list[int]]


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
        start, step, count = _times(file.url, axes[0])
        return Scan(
            url=file.url,
            fingerprint=file.fingerprint,
            variable=source.variable,
            array=json.loads(found[f"{source.variable}/.zarray"]),
            attrs=_decoding(file.url, name, source, variable),
            chunks=_chunks(file, source.variable, found),
            start=start,
            step=step,
            count=count,
            lat=[float(v) for v in axes[1][:]],
            lon=[float(v) for v in axes[2][:]],
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


def _times(url: str, axis: h5py.Dataset) -> tuple[int, int, int]:
    """Start, step and count of a file's times, which must be evenly spaced."""
    calendar = _text(axis, "calendar") or "standard"
    decoded = xr.coding.times.decode_cf_datetime(axis[:], _text(axis, "units"), calendar)
    if not np.issubdtype(decoded.dtype, np.datetime64):
        raise ForcingError(f"{url}: times in the {calendar!r} calendar; provide files in the standard calendar")
    times = decoded.astype("datetime64[s]").astype("int64")
    if len(times) == 0:
        raise ForcingError(f"{url}: holds no times; replace it")
    steps = np.diff(times)
    if len(steps) and (steps.min() <= 0 or steps.min() != steps.max()):
        usual = int(np.median(steps))
        at = int(np.argmax(steps != usual))
        raise ForcingError(
            f"{url}: times {decoded[at]} and {decoded[at + 1]} are not {usual} s apart as the others are; "
            "provide a file without gap or repetition"
        )
    return int(times[0]), int(steps[0]) if len(steps) else 0, len(times)


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
    if "units" in attrs:
        require_declared_units(url, name, source, str(attrs["units"][0]))
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
    return runs([float(v) != FINAL_EXPVER for v in versions])


def runs(flags: Iterable[bool]) -> list[list[int]]:
    """[first, count] of every run of true flags."""
    padded = np.concatenate([[False], np.fromiter(flags, bool), [False]]).astype("int8")
    edges = np.flatnonzero(np.diff(padded))
    return [[int(first), int(stop - first)] for first, stop in edges.reshape(-1, 2)]


def combine(scans: Sequence[Scan], source: Source) -> list[list[Scan]]:
    """Order scans in time and group those whose chunks form one array.

    Raises
    ------
    ForcingError
        naming both files that cannot be true together: other grid, overlap or gap in time, other time step
    """
    scans = sorted(scans, key=lambda s: s.start)
    step = common_step(scans, source)
    groups = [[scans[0]]]
    for before, after in pairwise(scans):
        for axis in ("lat", "lon"):
            _require_same(axis, before, after)
        _require_next(before, after, step)
        if _continues(before, after):
            groups[-1].append(after)
        else:
            groups.append([after])
    return groups


def common_step(scans: Sequence[Scan], source: Source) -> int:
    """Seconds between times, which all files share and the declared frequency allows."""
    known = [s for s in scans if s.step]
    step = known[0].step if known else DAY_SECONDS
    for scan in known:
        if scan.step != step:
            raise ForcingError(
                f"{scan.url}: a time every {scan.step} s, but {known[0].url} has one every {step} s; "
                "provide files with one time step"
            )
    if (source.frequency == "daily" and step != DAY_SECONDS) or step > DAY_SECONDS or DAY_SECONDS % step:
        raise ForcingError(
            f"{scans[0].url}: a time every {step} s, but it is declared {source.frequency!r}; correct frequency "
            "or provide steps that divide a day"
        )
    return step


def _require_same(axis: str, before: Scan, after: Scan) -> None:
    a: NDArray[np.float64] = np.array(getattr(before, axis))
    b: NDArray[np.float64] = np.array(getattr(after, axis))
    if a.shape != b.shape or np.abs(a - b).max() > COORDINATE_TOLERANCE_DEG:
        raise ForcingError(
            f"{after.url}: {axis} has {len(b)} values {b[0]:g}..{b[-1]:g}, but {before.url} has {len(a)} values "
            f"{a[0]:g}..{a[-1]:g}; all files of a variable must share one grid"
        )


def _require_next(before: Scan, after: Scan, step: int) -> None:
    end, start = before.start + before.count * step, after.start
    if step == DAY_SECONDS:
        end, start = end // DAY_SECONDS, start // DAY_SECONDS
    if start != end:
        last, first = (np.datetime64(s, "s") for s in (before.start + (before.count - 1) * step, after.start))
        how = "overlaps with" if start < end else "leaves a gap after"
        raise ForcingError(
            f"{after.url}: begins at {first} and {how} {before.url}, which ends at {last}; "
            "provide files that follow each other in time"
        )


def _continues(before: Scan, after: Scan) -> bool:
    """Whether the chunks of `after` may follow those of `before` in one array."""
    whole = before.count % before.array["chunks"][0] == 0
    return whole and _encoding(before) == _encoding(after)


def _encoding(scan: Scan) -> str:
    array = {key: value for key, value in scan.array.items() if key != "shape"}
    return json.dumps([array, scan.attrs], sort_keys=True)
