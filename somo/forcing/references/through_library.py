"""Values of files whose chunks have no fixed places in the file: the library of their format reads a window."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.formats.register import open_format
from somo.forcing.formats.stored import UnreadableError
from somo.forcing.formats.view import seen
from somo.forcing.listing import SourceFile
from somo.forcing.references.reading import selected_shape
from somo.forcing.references.stored_array import Places, StoredArray, steady
from somo.forcing.sources import ForcingError
from somo.storage.patience import NETWORK_ERRORS, StorageError


def read_through(
    reader: Mapping[str, Any],
    files: Sequence[SourceFile],
    variable: str,
    stored: StoredArray,
    selection: tuple[Places, slice, slice],
) -> NDArray[Any]:
    """Values [place, row, column] of a group, as stored.

    Parameters
    ----------
    reader : `format`, `lengths` (time steps of every file), and how the file's dimensions are (time, y, x): `axes` and
        `at`, as in `View`
    files : of the group, in the order of its time axis
    selection : places along the group's time axis and a window of rows and columns

    Raises
    ------
    ForcingError
        naming the file that cannot be read
    """
    values = np.empty(selected_shape(selection, stored.shape), stored.dtype)
    where = selection[0]
    places = np.arange(*where.indices(stored.shape[0])) if isinstance(where, slice) else where
    ends = np.cumsum(reader["lengths"])
    owner = np.searchsorted(ends, places, side="right")
    for number in np.unique(owner).tolist():
        target = np.flatnonzero(owner == number)
        local = places[target] - (ends[number] - reader["lengths"][number])
        values[target] = _read_file(reader, files[number], variable, (local, *selection[1:]))
    return values


def _read_file(
    reader: Mapping[str, Any], file: SourceFile, variable: str, selection: tuple[NDArray[np.int64], slice, slice]
) -> NDArray[Any]:
    library: Any = open_format(reader["format"])
    axes, at = reader["axes"], {int(axis): int(index) for axis, index in reader["at"]}
    # A library reads a range of times; those of it that are wanted are taken afterwards.
    first, stop = int(selection[0].min()), int(selection[0].max()) + 1
    window: list[Any] = [slice(None)] * (len(at) + sum(axis is not None for axis in axes))
    for axis, index in at.items():
        window[axis] = slice(index, index + 1)
    for axis, axis_window in zip(axes, (slice(first, stop), *selection[1:]), strict=True):
        if axis is not None:
            window[axis] = axis_window
    try:
        raw = library.read(file, variable, tuple(window))
    except (ForcingError, StorageError, MemoryError, *NETWORK_ERRORS):
        raise
    except UnreadableError as error:
        raise ForcingError(f"{file.url}: {error}") from error
    except Exception as error:  # every library has its own
        raise ForcingError(
            f"{file.url}: {variable} cannot be read ({str(error).strip() or type(error).__name__}); replace the file "
            "or run ingest again"
        ) from error
    return seen(raw, dict.fromkeys(at, 0), axes)[steady(selection[0] - first)]
