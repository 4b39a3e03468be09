"""Scans and reference sets in the bucket.

A reference set is a folder in the layout of fsspec's `LazyReferenceMapper`: one Parquet table of chunk positions per
array and `.zmetadata`, written last. Files that share one encoding form one Zarr group (`0`, `1`, ...). An index among
the root attributes (`somo`) holds files, fingerprints, times, coordinates and decoding, so opening costs one read.
"""

import io
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from somo.forcing.references.combining import Combined
from somo.forcing.references.scan import Scan, compact, compact_bounds, expand, flag_runs
from somo.forcing.sources import SourceFile
from somo.product.declaration import content_hash
from somo.product.inputs import Source
from somo.storage.objects import exists, join, put, read_bytes

# Part of every name: raised by one where the same files and declaration give other scans or other tables.
FORMAT = 10
# Rows of a table. Opening a set reads none, and reading a chunk reads only the table that holds its place.
RECORDS = 50_000
WRITING_THREADS = 16
TABLE = pa.schema(
    [
        pa.field("path", pa.string()),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("mask", pa.int32(), nullable=False),
        pa.field("raw", pa.binary()),
    ]
)
Row = tuple[int, str | None, int, int, int, bytes | None]


def scan_url(root: str, file: SourceFile, name: str, source: Source) -> str:
    """Where the scan of one version of one file is kept."""
    key = content_hash(FORMAT, file, source.variable, source.format, sorted(source.select.items()), source.expver)
    return join(root, "references", "scans", f"{key}.json.z")


def write_scans(url: str, scans: Sequence[Scan]) -> None:
    """Keep the scans of one file."""
    # Not `asdict`, which copies every place of a chunk before it is written.
    documents = [{field.name: getattr(scan, field.name) for field in fields(scan)} for scan in scans]
    put(url, zlib.compress(json.dumps(documents).encode(), 6))


def read_scans(url: str) -> list[Scan]:
    """The scans of one file: one, or one for each version of a legacy `expver` dimension."""
    return [Scan(**scan) for scan in json.loads(zlib.decompress(read_bytes(url)))]


def field_name(variable: str) -> str:
    """Name of a variable within its group of a reference set."""
    return variable.replace("/", "_")


def reference_url(root: str, name: str, domain: str, source: Source, files: Sequence[SourceFile]) -> str:
    """URL of the reference set of one variable, named by the files and the declaration it comes from."""
    key = content_hash(
        FORMAT, name, domain, source.variable, source.format, sorted(source.select.items()), source.frequency,
        source.units, source.expver, *files,
    )  # fmt: skip
    return join(root, "references", name, f"{key}.parquet")


def is_complete(url: str) -> bool:
    """Whether a reference set has been written to its end."""
    return exists(join(url, ".zmetadata"))


def write_references(url: str, combined: Combined) -> None:
    """Write one reference set; readers see it when its metadata, written last, is there."""
    metadata: dict[str, Any] = {".zgroup": {"zarr_format": 2}}
    # Files of one group each, as months whose chunks do not divide them, make a thousand objects: the store gets many
    # at a time.
    with ThreadPoolExecutor(WRITING_THREADS) as pool:
        paths = map(str, range(len(combined.groups)))
        for of_group in pool.map(partial(_write_group, url), paths, combined.groups):
            metadata |= of_group
    metadata[".zattrs"] = {"somo": _index(combined)}
    put(join(url, ".zmetadata"), json.dumps({"metadata": metadata, "record_size": RECORDS}).encode())


def _index(combined: Combined) -> dict[str, Any]:
    """What opening a set needs to know of it.

    `files` holds URL, fingerprint and content; `runs` says of the steps, in order of time, [file, group, first place
    along the group's time axis, distance to the next, count]; `stamps`, `bounds`, `calendar`, `cell_methods` and `grid`
    are as in `Scan`; `decoding`, `units`, `turned` and `unwritten`, the stored number of chunks that were never
    written, have one entry a group; `provisional` holds runs [first step, count].
    """
    scans, first = combined.scans, combined.scans[0]
    flags = combined.of_steps([_flags(scan) for scan in scans])
    times, bounds = combined.times, None
    if any(scan.bounds is not None for scan in scans):
        # intervals of no length stand for files without bounds, so that the difference between files is not lost
        intervals = [_interval(scan) for scan in scans]
        bounds = compact_bounds(times, combined.of_steps(intervals))
    return {
        "format": FORMAT,
        "variable": first.variable,
        "grid": first.grid,
        "stamps": compact(times),
        "bounds": bounds,
        "calendar": first.calendar,
        "cell_methods": first.cell_methods,
        "files": [[scan.url, scan.fingerprint, scan.content] for scan in scans],
        "readers": [_reader(group, scans) for group in combined.groups],
        "runs": combined.runs(),
        "decoding": [group[0].attrs for group in combined.groups],
        "units": [group[0].units for group in combined.groups],
        "turned": [astuple(turned) for turned in combined.turned],
        "unwritten": [group[0].array["fill_value"] for group in combined.groups],
        "provisional": flag_runs(flags),
    }


def _reader(group: Sequence[Scan], scans: Sequence[Scan]) -> dict[str, Any] | None:
    """How a format's library reads a group: its files, by number, and their lengths in time."""
    if group[0].reader is None:
        return None
    numbers = {id(scan): number for number, scan in enumerate(scans)}
    lengths = [scan.array["shape"][0] for scan in group]
    return {**group[0].reader, "files": [numbers[id(scan)] for scan in group], "lengths": lengths}


def _interval(scan: Scan) -> NDArray[np.int64]:
    """[step, 2] intervals of a file, of no length where it has none."""
    return np.stack([scan.times] * 2, axis=1) if scan.time_bounds is None else scan.time_bounds


def _flags(scan: Scan) -> NDArray[np.bool_]:
    """[step] whether the file marks a step as provisional."""
    flags = np.zeros(len(scan.times), bool)
    for start, count in scan.provisional:
        flags[start : start + count] = True
    return flags


def _write_group(url: str, path: str, group: Sequence[Scan]) -> dict[str, Any]:
    """Chunk tables of one group; returns its Zarr metadata."""
    first, count = group[0], sum(scan.array["shape"][0] for scan in group)
    array = {**first.array, "shape": [count, *first.array["shape"][1:]]}
    shape = [math.ceil(s / c) for s, c in zip(array["shape"], array["chunks"], strict=True)]
    if first.reader is None:
        _write_table(join(url, path, field_name(first.variable)), math.prod(shape), _rows(group, shape))
    plain = {key: value for key, (value, _) in first.attrs.items() if key != "_FillValue"}
    plain |= {"units": first.units} if first.units else {}
    # Other tools take Zarr's fill value for CF's `_FillValue`, and mask it. What the file's own library reads where
    # nothing was written may be another number, as HDF5's is after `ncatted`: ours is in the index as `unwritten`.
    array["fill_value"] = _json_number(first.attrs["_FillValue"][0]) if "_FillValue" in first.attrs else None
    field = f"{path}/{field_name(first.variable)}"
    metadata = {
        f"{path}/.zgroup": {"zarr_format": 2},
        f"{path}/.zattrs": {},
        f"{field}/.zarray": array,
        f"{field}/.zattrs": {**plain, "_ARRAY_DIMENSIONS": first.dims},
    }
    axes = {"y": ("lat", "degrees_north"), "x": ("lon", "degrees_east")}
    for name, axis in zip(first.dims[1:], axes, strict=True):
        key, unit = axes[axis] if first.grid["kind"] == "regular" else (axis, "m")
        metadata |= _write_coordinate(url, f"{path}/{name}", np.asarray(first.grid[key]), {"units": unit})
    stamps = np.zeros(count, "int64")
    stamps[np.concatenate(list(_places(group)))] = np.concatenate([scan.times for scan in group])
    attrs = {"units": "seconds since 1970-01-01"}
    return metadata | _write_coordinate(url, f"{path}/{first.dims[0]}", stamps, attrs)


def _places(group: Sequence[Scan]) -> Iterator[NDArray[np.int64]]:
    """Places of every scan's steps along the group's time axis."""
    length = 0
    for scan in group:
        yield expand(scan.positions) + length
        length += scan.array["shape"][0]


def _json_number(value: Any) -> Any:
    """NaN and infinities as Zarr's metadata spells them."""
    # JSON has no NaN and no infinities.
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _rows(group: Sequence[Scan], shape: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    chunks_before = 0
    _, rows_across, columns_across = shape
    for scan in group:
        for place, value in scan.chunks.items():
            # By hand: NumPy's `ravel_multi_index` takes microseconds a call, and there are millions of chunks.
            step, row, column = map(int, place.split("."))
            flat = ((step + chunks_before) * rows_across + row) * columns_across + column
            rows.append((flat, scan.url, value[0], value[1], value[2] if len(value) > 2 else 0, None))
        chunks_before += math.ceil(scan.array["shape"][0] / scan.array["chunks"][0])
    return rows


def _write_coordinate(url: str, path: str, values: NDArray[Any], attrs: dict[str, Any]) -> dict[str, Any]:
    values = values.astype(values.dtype.newbyteorder("<"))
    _write_table(join(url, path), 1, [(0, None, 0, 0, 0, values.tobytes())])
    array = {
        "zarr_format": 2, "shape": [len(values)], "chunks": [len(values)], "dtype": values.dtype.str, "order": "C",
        "compressor": None, "filters": None, "fill_value": None,
    }  # fmt: skip
    return {f"{path}/.zarray": array, f"{path}/.zattrs": {**attrs, "_ARRAY_DIMENSIONS": [path.rsplit("/", 1)[1]]}}


def _write_table(url: str, n: int, rows: Sequence[Row]) -> None:
    """Chunk positions as Parquet tables of `RECORDS` rows; a row is a chunk's flat number."""
    path, raw = np.full(n, None, object), np.full(n, None, object)
    offset, size, mask = np.zeros(n, "int64"), np.zeros(n, "int64"), np.zeros(n, "int32")
    for flat, *values in rows:
        path[flat], offset[flat], size[flat], mask[flat], raw[flat] = values
    for record in range(math.ceil(n / RECORDS)):
        record_rows = slice(record * RECORDS, (record + 1) * RECORDS)
        columns = {"path": path, "offset": offset, "size": size, "mask": mask, "raw": raw}
        put(join(url, f"refs.{record}.parq"), _parquet({name: values[record_rows] for name, values in columns.items()}))


def _parquet(columns: dict[str, NDArray[Any]]) -> bytes:
    arrays = [pa.array(columns[field.name], field.type, from_pandas=True) for field in TABLE]
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays, schema=TABLE), buffer, compression="zstd", write_statistics=["offset", "size"])
    return buffer.getvalue()


def read_table(url: str) -> dict[str, NDArray[Any]]:
    """Columns path, offset, size, mask and raw of one table of chunk positions."""
    table = pq.read_table(io.BytesIO(read_bytes(url)))
    return {name: table[name].to_numpy() for name in table.column_names}
