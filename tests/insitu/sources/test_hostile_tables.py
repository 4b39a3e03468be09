"""Tables of own stations and their files from people who mean harm: what fills memory, and what leads elsewhere."""

import io
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from somo.insitu.errors import SensorError
from somo.insitu.sources.columns import column_names, read_columns
from somo.insitu.sources.table import list_recordings
from tests.insitu.made import write_folder

WANTED = ("time", "value")
LONG_TEXT = pa.DictionaryArray.from_arrays(pa.array(np.zeros(200_000, "i4")), pa.array(["x" * 100_000]))


def parquet(columns: Mapping[str, Any] | pa.Table, times: int = 1) -> bytes:
    buffer, table = io.BytesIO(), columns if isinstance(columns, pa.Table) else pa.table(columns)
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(times):
            writer.write_table(table)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        # 160 GB of equal numbers
        (parquet({"time": np.zeros(10**6, "i8"), "value": np.zeros(10**6)}, 100), "time, value unpack to 200000000 va"),
        # 20 GB of one long text
        (parquet({"time": LONG_TEXT, "value": np.zeros(200_000)}), "column time unpack to 20000000000 bytes of text"),
    ],
    ids=["equal numbers", "one long text"],
)
def test_a_small_file_does_not_become_a_large_table(hostile: bytes, words: str) -> None:
    assert len(hostile) < 2_000_000
    tracemalloc.start()
    allocated = pa.total_allocated_bytes()
    with pytest.raises(SensorError, match=rf"{words}.*512 MiB are allowed.*cut it into several"):
        read_columns(hostile, WANTED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 50e6 and pa.total_allocated_bytes() - allocated < 50e6


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"time": [[1, 2], [3]], "value": [1.0, 2.0]}, r"column 'time' holds list<.*write one value in a row"),
        ({"time": ["2020", "2021"], "value": [{"a": 1}, {"a": 2}]}, r"column 'value' holds struct<"),
        ({"time": [b"\xff\xfe", b"a"], "value": [1.0, 2.0]}, "not a readable Parquet file .*UTF8"),
        ({"clock": ["2020"], "value": [1.0]}, "no column 'time'; there are clock, value"),
        (
            pa.table([pa.array(["2020"]), pa.array([1]), pa.array([2])], names=["time", "value", "value"]),
            "column 'value' stands there 2 times",
        ),
    ],
)
def test_columns_that_make_no_series_are_named(columns: Mapping[str, Any] | pa.Table, words: str) -> None:
    with pytest.raises(SensorError, match=words):
        read_columns(parquet(columns), WANTED)


def test_a_damaged_file_is_called_damaged_and_nothing_else() -> None:
    honest = parquet({"time": ["2020-01-01"], "value": [0.2]})
    false_length = honest[:-8] + b"\xff\xff\xff\x7fPAR1"
    for damaged in (honest[: len(honest) // 2], false_length, b"PAR1", honest[:4] + bytes(60) + honest[64:]):
        with pytest.raises(SensorError, match=r"not a readable Parquet file .*get it again"):
            read_columns(damaged, WANTED)
    with pytest.raises(SensorError, match="not a readable Parquet file"):
        column_names(b"PAR1")


def test_an_honest_file_keeps_its_types_and_texts() -> None:
    columns = {"time": ["2020-01-01", "2020-01-01", None], "value": [0.25, None, 0.5], "quality": [b"ok", b"ok", b"no"]}
    table = read_columns(parquet(columns), WANTED, ("quality", "absent"))
    assert list(table) == ["time", "value", "quality"]
    assert table["value"].tolist()[::2] == [0.25, 0.5] and np.isnan(table["value"][1])
    assert table["time"].tolist()[:2] == ["2020-01-01"] * 2 and table["quality"].tolist() == ["ok", "ok", "no"]


def test_a_link_out_of_the_tables_folder_is_neither_read_nor_quoted(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("aws_secret_access_key,s3cr3t\n")
    head = "station,latitude,longitude,file,time,value,depth_from_m\n"
    folder = Path(write_folder(tmp_path / "own", {"stations.csv": head + "A,51,10,a.csv,time,value,0.05\n"}))
    (folder / "a.csv").symlink_to(tmp_path / "credentials")
    (recording,) = list_recordings(str(folder / "stations.csv"), "own")
    assert recording.problem == (
        "file 'a.csv' is a link that leads out of the table's folder; put the file itself there"
    )
    assert recording.members == ()
