"""A reference set opened once per process: its chunks are read from the source files and decoded."""

import json
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.listing import SourceFile
from somo.forcing.references.reading import ChunkReader, Place
from somo.forcing.references.reference_set import field_name, read_table
from somo.forcing.references.scan import bounds_of, expand
from somo.forcing.references.stored_array import Places, StoredArray
from somo.forcing.references.through_library import read_through
from somo.forcing.references.turning import Turned
from somo.forcing.sources import ForcingError
from somo.storage.objects import join, read_bytes


class ReferenceSet(ChunkReader):
    """Chunks of one variable by their places in the source files.

    A chunk may only lie in a file that the set lists, and is read only while that file still has the fingerprint it
    was referenced with. Pickles as its URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        content = json.loads(read_bytes(join(url, ".zmetadata")))
        self.metadata: dict[str, Any] = content["metadata"]
        self.records: int = content["record_size"]
        self.index: dict[str, Any] = self.metadata[".zattrs"]["somo"]
        self.variable: str = self.index["variable"]
        self.fingerprints: dict[str, str] = {file[0]: file[1] for file in self.index["files"]}
        self.grid: dict[str, Any] = self.index["grid"]
        self.calendar: str = self.index["calendar"]
        self.cell_methods: str | None = self.index["cell_methods"]
        self.units: list[str | None] = self.index["units"]
        self._arrays: dict[int, StoredArray] = {}
        self._tables: dict[tuple[int, int], dict[str, np.ndarray]] = {}

    # Tasks carry the URL alone, and each process opens the set once. Opening it for every chunk, as fsspec's
    # references in Dask do, left 400 chunks unread after five minutes.
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return open_references, (self.url,)

    @cached_property
    def times(self) -> NDArray[np.int64]:
        """[step] time stamps of all files in seconds since 1970-01-01, ascending, at any distance."""
        return expand(self.index["stamps"])

    @cached_property
    def time_bounds(self) -> NDArray[np.int64] | None:
        """[step, 2] start and end of each step's interval in seconds; None unless every file has bounds."""
        return None if self.index["bounds"] is None else bounds_of(self.times, self.index["bounds"])

    @cached_property
    def file_of_step(self) -> NDArray[np.int64]:
        """[step] number of the file, in `index["files"]`, that holds it."""
        return np.repeat(*np.array([[run[0], run[4]] for run in self.index["runs"]]).T)

    @cached_property
    def group_of_step(self) -> NDArray[np.int64]:
        """[step] number of the group that holds it."""
        return np.repeat(*np.array([[run[1], run[4]] for run in self.index["runs"]]).T)

    @cached_property
    def place_of_step(self) -> NDArray[np.int64]:
        """[step] place along its group's time axis."""
        return expand(run[2:] for run in self.index["runs"])

    def array(self, group: int) -> StoredArray:
        """How one group is stored."""
        if group not in self._arrays:
            array = self.metadata[f"{self._field(group)}/.zarray"]
            self._arrays[group] = StoredArray.of({**array, "fill_value": self.index["unwritten"][group]})
        return self._arrays[group]

    def place(self, group: int, number: int) -> Place:
        """Where the chunk with a flat number is."""
        record, row = divmod(number, self.records)
        table = self._table(group, record)
        path, inline = table["path"][row], table["raw"][row]
        if not isinstance(path, str):
            return Place(None, inline=inline if isinstance(inline, bytes) else None)
        return Place(path, int(table["offset"][row]), int(table["size"][row]), int(table["mask"][row]))

    def read(self, group: int, selection: tuple[Places, slice, slice]) -> NDArray[Any]:
        """Stored values, in the directions of the set's grid; see `ChunkReader.read`."""
        turned = Turned(*self.index["turned"][group])
        if not turned.is_needed:
            return self._read(group, selection)
        rows, runs = turned.windows(*selection[1:], self.array(group).shape[1:])
        parts = [turned.reverse(self._read(group, (selection[0], rows, run))) for run in runs]
        return np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0]

    def _read(self, group: int, selection: tuple[Places, slice, slice]) -> NDArray[Any]:
        """Values in the directions that the group's files store them in."""
        reader = self.index["readers"][group]
        if reader is None:
            return super().read(group, selection)
        files = [SourceFile(*self.index["files"][number][:2]) for number in reader["files"]]
        return read_through(reader, files, self.variable, self.array(group), selection)

    def _table(self, group: int, record: int) -> dict[str, np.ndarray]:
        if (group, record) not in self._tables:
            self._tables[group, record] = read_table(join(self.url, self._field(group), f"refs.{record}.parq"))
        return self._tables[group, record]

    def _field(self, group: int) -> str:
        return f"{group}/{field_name(self.variable)}"

    def fingerprint(self, group: int, path: str) -> str:
        """The fingerprint that the source file had when it was referenced; an error for a file that is not listed."""
        if path not in self.fingerprints:
            raise ForcingError(
                f"{self.url}: {self._field(group)} points to {path}, which is not one of its source files; "
                "remove this reference set and run the ingest stage again"
            )
        return self.fingerprints[path]


def contents_of(url: str) -> list[tuple[str, str]]:
    """Name and content of every file of a reference set, in order of time."""
    files = open_references(url).index["files"]
    return [(file_name(place), content) for place, _fingerprint, content in files]


def file_name(url: str) -> str:
    """Name of a file in its folder, or in its zip archive."""
    return url.partition("::")[0].rsplit("/", 1)[-1]


@lru_cache(maxsize=64)
def open_references(url: str) -> ReferenceSet:
    """The reference set at a URL, opened once per process (its name is the hash of its content)."""
    return ReferenceSet(url)
