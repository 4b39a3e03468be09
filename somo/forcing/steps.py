"""Steps of a reference set: read, decoded by CF, in our units."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from somo.forcing.references.chunks import ReferenceSet
from somo.forcing.references.decoding import decode
from somo.forcing.references.stored_array import steady
from somo.forcing.regridding.placing import SourceWindow


def read_steps(
    store: ReferenceSet,
    numbers: NDArray[np.int64],
    window: SourceWindow,
    missing: Sequence[float],
    conversions: Sequence[tuple[float, float]],
) -> NDArray[np.float32]:
    """[step, row, column] of a reference set by the numbers of its steps.

    Parameters
    ----------
    missing : numbers that stand for no value besides those that the file declares
    conversions : factor and offset of every group of files
    """
    values_by_group = []
    for group, raw in read_raw(store, numbers, window):
        values = decode(raw, store.index["decoding"][group])
        for number in missing:
            values = np.where(_is_number(values, number), np.float32(np.nan), values)
        values_by_group.append(convert(values, conversions[group]))
    if not values_by_group:
        return np.empty((0, window.rows.stop - window.rows.start, window.width), "float32")
    return values_by_group[0] if len(values_by_group) == 1 else np.concatenate(values_by_group)


def _is_number(values: NDArray[np.float32], number: float) -> NDArray[np.bool_]:
    """Where values are a number, to the precision of float32, in which the largest of float64 are infinite."""
    with np.errstate(over="ignore"):
        rounded = np.float32(number)
    return np.isclose(values, rounded, rtol=1e-6, atol=0) if np.isfinite(rounded) else values == rounded


def read_raw(store: ReferenceSet, numbers: NDArray[np.int64], window: SourceWindow) -> list[tuple[int, NDArray[Any]]]:
    """Group and stored numbers [step, row, column] of steps: one entry for every run of steps in one group of files."""
    groups, places = store.group_of_step[numbers], store.place_of_step[numbers]
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(numbers)]
    numbers_by_group = []
    for first, stop in itertools.pairwise(edges):
        if first == stop:
            continue
        group = int(groups[first])
        runs = [store.read(group, (steady(places[first:stop]), window.rows, run)) for run in window.columns]
        numbers_by_group.append((group, runs[0] if len(runs) == 1 else np.concatenate(runs, axis=2)))
    return numbers_by_group


def convert(values: NDArray[np.float32], conversion: tuple[float, float]) -> NDArray[np.float32]:
    """A file's units -> ours, by factor and offset."""
    factor, offset = conversion
    if (factor, offset) == (1.0, 0.0):
        return values
    # In double precision, rounded once: in single precision the product would be rounded before 273.15 is added.
    return (values * np.float64(factor) + offset).astype("float32")
