"""A chunk of any dimensions seen as (time, y, x): the last step of decoding it."""

import math
from typing import Any

import numpy as np
from numcodecs.abc import Codec


class View(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Drops further dimensions at one index each and brings the others into order.

    Parameters
    ----------
    chunk : shape of the chunk as stored
    dtype : of its values
    at : [dimension, index within the chunk] of every further dimension
    axes : numbers of the dimensions that are time, y and x; None for a time that is no dimension
    """

    codec_id = "somo_view"

    def __init__(self, chunk: list[int], dtype: str, at: list[tuple[int, int]], axes: list[int | None]) -> None:
        self.chunk = chunk
        self.dtype = dtype
        self.at = at
        self.axes = axes

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError("source files are only read")

    def decode(self, buf: Any, out: Any = None) -> Any:
        size = math.prod(self.chunk) * np.dtype(self.dtype).itemsize
        values = np.frombuffer(buf, self.dtype)
        if values.nbytes != size:
            raise ValueError(f"has {values.nbytes} bytes where its array says {size}")
        return np.ascontiguousarray(seen(values.reshape(self.chunk), dict(self.at), self.axes)).tobytes()


def seen(values: np.ndarray, at: dict[int, int], axes: list[int | None]) -> np.ndarray:
    """Values of any dimensions as (time, y, x).

    Parameters
    ----------
    at : dimension -> index that is taken of it
    axes : numbers of the dimensions that are time, y and x; None for a time that is no dimension
    """
    remaining_axes = [axis for axis in range(values.ndim) if axis not in at]
    plane = values[tuple(at.get(axis, slice(None)) for axis in range(values.ndim))]
    order = [remaining_axes.index(axis) for axis in axes if axis is not None]
    ordered = plane.transpose(order)
    return ordered if axes[0] is not None else ordered[None]
