"""A GRIB message -> its field, by ecCodes."""

from threading import Lock
from typing import Any

import eccodes
import numpy as np
from numcodecs.abc import Codec

# Stands for no value while a field is read: beyond every quantity, inside float32.
MISSING = 3.0e38
# ecCodes keeps its tables of codes in one context, which not every build locks.
_one_at_a_time = Lock()


class GribMessage(Codec):  # type: ignore[misc]  # numcodecs has no types
    """The values of a message as float32, NaN where its bitmap has none.

    Parameters
    ----------
    shape : rows and columns of the field
    by_column : whether the points follow each other along columns
    """

    codec_id = "somo_grib"

    def __init__(self, shape: list[int], by_column: bool = False) -> None:
        self.shape = shape
        self.by_column = by_column

    def encode(self, buf: Any) -> Any:
        raise NotImplementedError("source files are only read")

    def decode(self, buf: Any, out: Any = None) -> Any:
        rows, columns = self.shape
        with _one_at_a_time:
            message = eccodes.codes_new_from_message(bytes(buf))
            try:
                points = eccodes.codes_get_long(message, "numberOfDataPoints")
                if points != rows * columns:
                    raise ValueError(f"has {points} points where its grid says {rows * columns}")
                eccodes.codes_set(message, "missingValue", MISSING)
                values = eccodes.codes_get_array(message, "values")
                # NCEP's complex packing marks missing points among the values, without a bitmap.
                masked = any(_flag(message, key) for key in ("bitmapPresent", "missingValueManagementUsed"))
            finally:
                eccodes.codes_release(message)
        if len(values) != points:
            raise ValueError(f"has {len(values)} values where its grid says {points}")
        if masked:
            values[values == MISSING] = np.nan
        field = values.reshape(columns, rows).T if self.by_column else values.reshape(rows, columns)
        return np.ascontiguousarray(field, "<f4").tobytes()


def _flag(message: Any, key: str) -> bool:
    """A number of a message that is not in messages of every edition and packing."""
    return bool(eccodes.codes_is_defined(message, key) and eccodes.codes_get_long(message, key))
