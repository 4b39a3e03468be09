"""Values of one scanned file, read before it is part of any reference set."""

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.listing import SourceFile
from somo.forcing.references.decoding import decode
from somo.forcing.references.reading import ChunkReader, Place
from somo.forcing.references.scan import Scan, expand
from somo.forcing.references.stored_array import Places, StoredArray
from somo.forcing.references.through_library import read_through

Window = tuple[slice, slice]


class ScanReader(ChunkReader):
    """The chunks of one scan; its only group is 0."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self.variable = scan.variable

    @staticmethod
    def positions(scan: Scan) -> NDArray[np.int64]:
        """[step] place of every step along the stored time axis."""
        return expand(scan.positions)

    @cached_property
    def _stored(self) -> StoredArray:
        return StoredArray.of(self.scan.array)

    def array(self, group: int) -> StoredArray:
        return self._stored

    def place(self, group: int, number: int) -> Place:
        across = [math.ceil(n / c) for n, c in zip(self._stored.shape, self._stored.chunks, strict=True)]
        key = ".".join(str(int(n)) for n in np.unravel_index(number, across))
        position = self.scan.chunks.get(key)
        return (
            Place(None)
            if position is None
            else Place(self.scan.url, position[0], position[1], position[2] if len(position) > 2 else 0)
        )

    def fingerprint(self, group: int, path: str) -> str:
        return self.scan.fingerprint

    def read(self, group: int, selection: tuple[Places, slice, slice]) -> NDArray[Any]:
        if self.scan.reader is None:
            return super().read(group, selection)
        file = SourceFile(self.scan.url, self.scan.fingerprint)
        reader = {**self.scan.reader, "lengths": [self._stored.shape[0]]}
        return read_through(reader, [file], self.variable, self._stored, selection)

    def decoded(self, steps: slice | NDArray[np.int64], window: Window) -> NDArray[np.float32]:
        """Values [step, row, column] of steps, in order of time, NaN where there is none."""
        places = self.positions(self.scan)[steps]
        return decode(self.read(0, (places, *window)), self.scan.attrs)
