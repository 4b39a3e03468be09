"""Columns of a Parquet file from strangers: what they would take in memory is known before a value of them is read."""

import io
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from somo.insitu.errors import SensorError
from somo.insitu.inflating import MOST_MEMBER_BYTES

MAGIC = b"PAR1"
# No value takes more in memory, text apart, whose bytes are counted.
WIDEST_VALUE_BYTES = 8


def parquet_names(data: bytes) -> tuple[str, ...]:
    """Names of all columns of a Parquet file.

    Raises
    ------
    SensorError
        where the file is damaged
    """
    return tuple(_opened(data).schema_arrow.names)


def read_parquet(data: bytes, wanted: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    """The wanted columns of a Parquet file, with the types that they are stored in.

    Parameters
    ----------
    data : the file's bytes
    wanted, optional : names of columns; optional ones may be missing

    Raises
    ------
    SensorError
        where a column is missing, stands there twice, holds lists or records, or would fill the memory; or where the
        file is damaged
    """
    schema = _opened(data).schema_arrow
    if absent := [name for name in wanted if name not in schema.names]:
        raise SensorError(f"no column {absent[0]!r}; there are {', '.join(schema.names)}")
    names = [*wanted, *(name for name in optional if name in schema.names)]
    for name in names:
        _require_plain(schema, name)
    texts = [name for name in names if _is_text(schema.field(name).type)]
    # As a dictionary a text that is repeated a million times is stored once, in the file and in memory.
    file = _opened(data, texts)
    _require_small(file, names)
    try:
        table = file.read(names)
        for name in texts:
            table = table.set_column(names.index(name), name, _as_text(name, table[name]))
    # pyarrow's error for too little memory is one of its general errors too, and no damage of the file.
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(error) from error
    # pandas' own metadata would make an index of the column of times, in which it is no column.
    columns: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    return columns


def _opened(data: bytes, as_dictionary: Sequence[str] = ()) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(io.BytesIO(data), read_dictionary=list(as_dictionary))
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> SensorError:
    return SensorError(f"not a readable Parquet file ({str(error).splitlines()[0]}); get it again")


def _require_plain(schema: pa.Schema, name: str) -> None:
    if schema.names.count(name) > 1:
        raise SensorError(f"column {name!r} stands there {schema.names.count(name)} times; give each its own name")
    if pa.types.is_nested(kind := schema.field(name).type):
        raise SensorError(f"column {name!r} holds {kind} instead of single values; write one value in a row")


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _require_small(file: pq.ParquetFile, names: Sequence[str]) -> None:
    """Refuse columns that the footer says are too large: a run of equal values takes a few bytes however long it is."""
    values, stored_bytes = 0, 0
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        for column in map(group.column, range(group.num_columns)):
            if column.path_in_schema in names:
                values += column.num_values
                stored_bytes += column.total_uncompressed_size
    if max(values * WIDEST_VALUE_BYTES, stored_bytes) > MOST_MEMBER_BYTES:
        raise _too_large(f"{values} values", "columns", names)


def _as_text(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text without its dictionary, whose entries may be long and repeated often."""
    total_bytes = 0
    for chunk in column.chunks:
        lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
        total_bytes += pc.sum(lengths).as_py() or 0
    if total_bytes > MOST_MEMBER_BYTES:
        raise _too_large(f"{total_bytes} bytes of text", "column", [name])
    return column.cast(pa.string())


def _too_large(amount: str, columns: str, names: Sequence[str]) -> SensorError:
    return SensorError(
        f"{columns} {', '.join(names)} unpack to {amount}, and {MOST_MEMBER_BYTES // 2**20} MiB are allowed for the "
        "file of one sensor; cut it into several files"
    )
