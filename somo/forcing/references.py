"""Source file -> byte ranges of its chunks (kerchunk); many files -> one reference set, strictly checked.

A reference set is a folder in the layout of fsspec's `LazyReferenceMapper`: `.zmetadata` (written last) and one Parquet
table of chunk positions per array. Files that share one encoding form one Zarr group (`0`, `1`, ...); an index among
the root attributes (`somo`) holds files, fingerprints, times and coordinates, so that opening costs one read.
"""

import base64
import io
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
import pandas as pd
import xarray as xr
from kerchunk.hdf import SingleHdf5ToZarr

from somo.core.product import Source, content_hash
from somo.core.storage import exists, filesystem, fingerprint, join, put, read_bytes
from somo.forcing.sources import ForcingError, SourceFile
from somo.forcing.units import conversion

RECORDS = 50_000
INLINE_BYTES = 65_536
DAY_SECONDS = 86_400
DECODING = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned", "units")
FORMAT = 1


@dataclass(frozen=True)
class Scan:
    """What one source file holds of one variable; JSON-able.

    Attributes
    ----------
    array : Zarr version 2 metadata of the variable
    attrs : its CF decoding attributes as {name: [value, dtype]}
    chunks : {"i.j.k": [offset, size]} in the file, or {"i.j.k": base64 text} where HDF5 left a filter out
    start, step, count : times in seconds since 1970-01-01; `step` is 0 for a single time
    lat, lon : coordinates as stored, degrees
    dims : names of the variable's dimensions
    expver : number of trailing times that the file itself marks as provisional
    """

    url: str
    fingerprint: str
    variable: str
    array: dict[str, Any]
    attrs: dict[str, list[Any]]
    chunks: dict[str, list[int] | str]
    start: int
    step: int
    count: int
    lat: list[float]
    lon: list[float]
    dims: list[str]


def scan_file(file: SourceFile, name: str, source: Source) -> Scan:
    """Find the chunks of one variable in one NetCDF-4 file without reading them.

    Raises
    ------
    ForcingError
        naming the file: not readable, no such variable, other units than declared, not a (time, lat, lon) array
    """
    fs, path = filesystem(file.url)
    try:
        with fs.open(path, "rb", **({} if fs.protocol == "memory" else {"block_size": 2**20})) as handle:
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
    references = SingleHdf5ToZarr(
        handle, file.url, inline_threshold=0, unsupported_inline_threshold=INLINE_BYTES, error="ignore"
    ).translate()["refs"]
    with h5py.File(handle, "r") as h5, xr.open_dataset(handle, engine="h5netcdf", mask_and_scale=False) as ds:
        _require_variable(file.url, name, source, ds, references)
        start, step, count = _times(file.url, ds[source.variable])
        dims = [str(d) for d in ds[source.variable].dims]
        return Scan(
            url=file.url,
            fingerprint=file.fingerprint,
            variable=source.variable,
            array=json.loads(references[f"{source.variable}/.zarray"]),
            attrs=_decoding(file.url, name, source, h5[source.variable]),
            chunks=_chunks(file, source.variable, references),
            start=start,
            step=step,
            count=count,
            lat=[float(v) for v in ds[dims[1]].values],
            lon=[float(v) for v in ds[dims[2]].values],
            dims=dims,
        )


def _require_variable(url: str, name: str, source: Source, ds: xr.Dataset, references: dict[str, Any]) -> None:
    if source.variable not in ds.data_vars:
        raise ForcingError(
            f"{url}: no variable {source.variable!r}; it has {', '.join(map(str, ds.data_vars))}: "
            f"correct forcing.{name}.variable"
        )
    dims = ds[source.variable].dims
    kinds = [_axis(ds, str(d)) for d in dims]
    if kinds != ["time", "lat", "lon"]:
        raise ForcingError(f"{url}: {source.variable} has dimensions {dims}, expected (time, latitude, longitude)")
    if f"{source.variable}/.zarray" not in references:
        raise ForcingError(
            f"{url}: {source.variable} is compressed in a way that cannot be referenced; rewrite with deflate"
        )


def _axis(ds: xr.Dataset, dim: str) -> str | None:
    """Which axis a dimension is, by its coordinate's type, CF attributes or name."""
    if dim not in ds.coords:
        return None
    coordinate = ds[dim]
    if np.issubdtype(coordinate.dtype, np.datetime64):
        return "time"
    text = f"{coordinate.attrs.get('standard_name', '')} {coordinate.attrs.get('units', '')} {dim}".lower()
    return next(
        (axis for axis, word in (("lat", "lat"), ("lat", "north"), ("lon", "lon"), ("lon", "east")) if word in text),
        None,
    )


def _times(url: str, variable: xr.DataArray) -> tuple[int, int, int]:
    """Start, step and count of a file's times, which must be evenly spaced."""
    times = variable[variable.dims[0]].values.astype("datetime64[s]").astype("int64")
    steps = np.unique(np.diff(times))
    if len(times) == 0:
        raise ForcingError(f"{url}: holds no times; replace it")
    if len(steps) > 1 or (len(steps) == 1 and steps[0] <= 0):
        at = int(np.argmax(np.diff(times) != np.median(np.diff(times))))
        day = np.datetime64(int(times[at]), "s")
        raise ForcingError(f"{url}: times are not evenly spaced after {day}; provide a file without gap or repetition")
    return int(times[0]), int(steps[0]) if len(steps) else 0, len(times)


def _decoding(url: str, name: str, source: Source, h5: h5py.Dataset) -> dict[str, list[Any]]:
    """CF decoding attributes with their types; the file's own units must mean what is declared."""
    attrs = {}
    for key in DECODING:
        if key in h5.attrs:
            value = h5.attrs[key]
            value = value.decode() if isinstance(value, bytes) else value
            text = isinstance(value, str)
            attrs[key] = [
                value if text else np.asarray(value).reshape(-1)[0].item(),
                "str" if text else str(np.asarray(value).dtype),
            ]
    units = attrs.get("units", [source.units])[0]
    same = conversion(str(units), source.units)
    if same not in (None, (1.0, 0.0)) or (same is None and conversion(str(units), str(units))):
        raise ForcingError(
            f"{url}: {source.variable} has units {units!r}, forcing.{name} declares {source.units!r}; "
            f"correct forcing.{name}.units or replace the file"
        )
    return attrs


def _chunks(file: SourceFile, variable: str, references: dict[str, Any]) -> dict[str, list[int] | str]:
    size = int(file.fingerprint.split("-", 1)[0])
    chunks: dict[str, list[int] | str] = {}
    for key, value in references.items():
        if not key.startswith(f"{variable}/") or key.rsplit("/", 1)[1].startswith(".z"):
            continue
        place = key.rsplit("/", 1)[1]
        if isinstance(value, str):
            raw = base64.b64decode(value[7:]) if value.startswith("base64:") else value.encode()
            chunks[place] = base64.b64encode(raw).decode()
            continue
        if value[1] + value[2] > size:
            raise ForcingError(f"{file.url}: chunk {place} of {variable} lies beyond the end of the file; replace it")
        chunks[place] = [int(value[1]), int(value[2])]
    return chunks


def scan_url(root: str, file: SourceFile, name: str, source: Source) -> str:
    """Where the scan of one version of one file is kept."""
    return join(
        root, "references", "scans", f"{content_hash(FORMAT, file, name, source.variable, source.units)}.json.z"
    )


def write_scan(url: str, scan: Scan) -> None:
    put(url, zlib.compress(json.dumps(asdict(scan)).encode(), 6))


def read_scan(url: str) -> Scan:
    return Scan(**json.loads(zlib.decompress(read_bytes(url))))


def reference_url(root: str, name: str, domain: str, source: Source, files: Sequence[SourceFile]) -> str:
    """URL of the reference set of one variable, named by the files and the declaration it comes from."""
    key = content_hash(FORMAT, name, domain, source.variable, source.units, source.frequency, *files)
    return join(root, "references", name, f"{key}.parquet")


def combine(scans: Sequence[Scan], name: str, source: Source) -> list[list[Scan]]:
    """Order scans in time and group those whose chunks form one array.

    Raises
    ------
    ForcingError
        naming both files where they cannot be true together: other grid, overlap or gap in time, other time step
    """
    scans = sorted(scans, key=lambda s: s.start)
    step = _common_step(scans, source)
    for before, after in pairwise(scans):
        _require_same_grid(before, after)
        _require_next(before, after, step, daily=source.frequency == "daily")
    groups: list[list[Scan]] = []
    for scan in scans:
        if groups and _continues(groups[-1][-1], scan):
            groups[-1].append(scan)
        else:
            groups.append([scan])
    return groups


def _common_step(scans: Sequence[Scan], source: Source) -> int:
    step = next((s.step for s in scans if s.step), DAY_SECONDS)
    for scan in scans:
        if scan.step not in (0, step):
            raise ForcingError(
                f"{scan.url}: one time every {scan.step} s, but {scans[0].url} has one every {step} s; provide one time step"
            )
    if (source.frequency == "daily" and step != DAY_SECONDS) or DAY_SECONDS % step:
        raise ForcingError(
            f"{scans[0].url}: one time every {step} s, declared frequency is {source.frequency!r}; correct frequency"
        )
    return step


def _require_same_grid(before: Scan, after: Scan) -> None:
    for axis in ("lat", "lon"):
        a, b = np.array(getattr(before, axis)), np.array(getattr(after, axis))
        if a.shape != b.shape or not np.array_equal(a, b):
            raise ForcingError(
                f"{after.url}: {axis} has {len(b)} values {b[0]}..{b[-1]}, but {before.url} has {len(a)} values "
                f"{a[0]}..{a[-1]}; all files of a variable must share one grid"
            )


def _require_next(before: Scan, after: Scan, step: int, daily: bool) -> None:
    end, start = before.start + before.count * step, after.start
    if daily:
        end, start = end // DAY_SECONDS * DAY_SECONDS, start // DAY_SECONDS * DAY_SECONDS
    if start == end:
        return
    last = np.datetime64(before.start + (before.count - 1) * step, "s")
    first = np.datetime64(after.start, "s")
    what = "overlaps with" if start < end else "leaves a gap after"
    raise ForcingError(
        f"{after.url}: begins at {first} and {what} {before.url}, which ends at {last}; provide files that follow each other"
    )


def _continues(before: Scan, after: Scan) -> bool:
    """Whether the chunks of `after` may follow those of `before` in one array."""
    whole = before.count % before.array["chunks"][0] == 0

    def encoding(scan: Scan) -> Any:
        return [{k: v for k, v in scan.array.items() if k != "shape"}, scan.attrs]

    return whole and json.dumps(encoding(before)) == json.dumps(encoding(after))


def write_references(url: str, groups: Sequence[Sequence[Scan]], source: Source) -> None:
    """Write one reference set; readers see it when its metadata, written last, is there."""
    if exists(join(url, ".zmetadata")):
        return
    step = next((s.step for g in groups for s in g if s.step), DAY_SECONDS)
    first = groups[0][0]
    metadata: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    for number, group in enumerate(groups):
        metadata |= _write_group(url, str(number), group, step)
    index = {
        "format": FORMAT,
        "variable": first.variable,
        "step": step,
        "lat": first.lat,
        "lon": first.lon,
        "files": [[s.url, s.fingerprint, str(g), s.start, s.count] for g, group in enumerate(groups) for s in group],
        "decoding": [group[0].attrs for group in groups],
    }
    metadata[".zattrs"] = {"somo": index}
    put(join(url, ".zmetadata"), json.dumps({"metadata": metadata, "record_size": RECORDS}).encode())


def _write_group(url: str, path: str, group: Sequence[Scan], step: int) -> dict[str, Any]:
    """Chunk tables of one group; returns its Zarr metadata."""
    first, count = group[0], sum(s.count for s in group)
    array = {**first.array, "shape": [count, *first.array["shape"][1:]]}
    fill = first.attrs.get("_FillValue")
    array["fill_value"] = fill[0] if fill else array["fill_value"]
    shape = [math.ceil(s / c) for s, c in zip(array["shape"], array["chunks"], strict=True)]
    rows: list[tuple[int, str | None, int, int, bytes | None]] = []
    before = 0
    for scan in group:
        for place, value in scan.chunks.items():
            i, *rest = (int(v) for v in place.split("."))
            flat = int(np.ravel_multi_index((i + before, *rest), shape))
            rows.append(
                (flat, None, 0, 0, base64.b64decode(value))
                if isinstance(value, str)
                else (flat, scan.url, *value, None)
            )
        before += math.ceil(scan.count / scan.array["chunks"][0])
    _write_table(join(url, path, first.variable), math.prod(shape), rows)
    times = np.concatenate([s.start + step * np.arange(s.count) for s in group])
    metadata = {f"{path}/.zgroup": {"zarr_format": 2}, f"{path}/.zattrs": {}}
    plain = {k: v[0] for k, v in first.attrs.items() if k != "_FillValue"}
    metadata[f"{path}/{first.variable}/.zarray"] = array
    metadata[f"{path}/{first.variable}/.zattrs"] = {**plain, "_ARRAY_DIMENSIONS": first.dims}
    time_attrs = {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian"}
    for name, values, attrs in (
        (first.dims[0], times, time_attrs),
        (first.dims[1], np.array(first.lat), {"units": "degrees_north"}),
        (first.dims[2], np.array(first.lon), {"units": "degrees_east"}),
    ):
        metadata |= _write_coordinate(url, f"{path}/{name}", values, attrs)
    return metadata


def _write_coordinate(url: str, path: str, values: np.ndarray, attrs: dict[str, str]) -> dict[str, Any]:
    _write_table(join(url, path), 1, [(0, None, 0, 0, values.astype(values.dtype.newbyteorder("<")).tobytes())])
    array = {
        "zarr_format": 2, "shape": [len(values)], "chunks": [len(values)], "dtype": values.dtype.newbyteorder("<").str,
        "compressor": None, "filters": None, "fill_value": None, "order": "C",
    }  # fmt: skip
    return {f"{path}/.zarray": array, f"{path}/.zattrs": {**attrs, "_ARRAY_DIMENSIONS": [path.rsplit("/", 1)[1]]}}


def _write_table(url: str, n: int, rows: Sequence[tuple[int, str | None, int, int, bytes | None]]) -> None:
    """Chunk positions as Parquet tables of `RECORDS` rows, row = flat chunk number."""
    path, raw = np.full(n, None, object), np.full(n, None, object)
    offset, size = np.zeros(n, "int64"), np.zeros(n, "int64")
    for flat, *values in rows:
        path[flat], offset[flat], size[flat], raw[flat] = values
    for record in range(math.ceil(n / RECORDS)):
        part = slice(record * RECORDS, (record + 1) * RECORDS)
        frame = pd.DataFrame({"path": path[part], "offset": offset[part], "size": size[part], "raw": raw[part]})
        put(join(url, f"refs.{record}.parq"), _parquet(frame))


def _parquet(frame: pd.DataFrame) -> bytes:
    class Kept(io.BytesIO):
        def close(self) -> None:
            """Keep the bytes when the writer closes its file."""

    buffer = Kept()
    frame.to_parquet(
        buffer, engine="fastparquet", compression="zstd", index=False, stats=False,
        object_encoding={"raw": "bytes", "path": "utf8"}, has_nulls=["path", "raw"],
    )  # fmt: skip
    return buffer.getvalue()
