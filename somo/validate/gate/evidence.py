"""What the gate's checks look at, block of days by block of days; a block that will not change is looked at once."""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from somo.storage.objects import exists, put, read_bytes
from somo.storage.patience import StorageError
from somo.validate.gate.continuity import shared_jumps
from somo.validate.published import BLOCK_VALUES, Published

# Stored blocks of maps that are held at a time: as many as the cores of a small machine decode together.
TASKS_ABREAST = 4


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one block of days, or a whole version, gives the checks.

    Attributes
    ----------
    low, high : [] least and greatest value, m3 m-3; NaN where there is none
    count : [depth, lat, lon] number of days with a value
    means : [depth, block, lat, lon] mean over each block, m3 m-3
    jumps : [depth, day] jump into each day that the land shares (`continuity.shared_jumps`); NaN for the first
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    count: NDArray[np.int32]
    means: NDArray[np.float32]
    jumps: NDArray[np.float64]

    def to_bytes(self) -> bytes:
        """The evidence as a compressed NPZ file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **asdict(self))
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Evidence":
        """The evidence that `to_bytes` wrote; ValueError, TypeError or BadZipFile where the bytes are damaged."""
        # Unpickling would run the code of whoever wrote the file.
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**arrays)


def gather(published: Published, block_days: int, kept: Mapping[int, str]) -> Evidence:
    """The evidence of a version: stored evidence is read, and all other blocks are looked at.

    Parameters
    ----------
    block_days : days of a block, counted from the first published day
    kept : block -> URL of its evidence, of the blocks that will not change; what is missing there is written
    """
    soil = published.soil["soil_moisture"].transpose("depth", "time", "lat", "lon")
    days = soil.sizes["time"]
    blocks = []
    for number, first in enumerate(range(0, days, block_days)):
        evidence = _read(kept[number]) if number in kept else None
        if evidence is None:
            evidence = look_at(soil, first, min(first + block_days, days))
            if number in kept:
                put(kept[number], evidence.to_bytes())
        blocks.append(evidence)
    return Evidence(
        np.fmin.reduce([block.low for block in blocks]),
        np.fmax.reduce([block.high for block in blocks]),
        np.sum([block.count for block in blocks], axis=0, dtype=np.int32),
        np.concatenate([block.means for block in blocks], axis=1),
        np.concatenate([block.jumps for block in blocks], axis=1),
    )


def look_at(soil: xr.DataArray, first: int, stop: int) -> Evidence:
    """The evidence of some days of a field [depth, time, lat, lon], of which a part is held at a time."""
    per_day = soil.sizes["depth"] * soil.sizes["lat"] * soil.sizes["lon"]
    step = max(1, TASKS_ABREAST * BLOCK_VALUES // per_day)
    low, high = np.array(np.nan), np.array(np.nan)
    count = np.zeros((soil.sizes["depth"], soil.sizes["lat"], soil.sizes["lon"]), np.int32)
    total = np.zeros(count.shape)
    jumps = []
    for start in range(first, stop, step):
        # The jump into the first of these days needs the day before it.
        day_before = max(start - 1, 0)
        # Read in this process: workers of a cluster would send it every value, three times the stored bytes.
        field = soil.isel(time=slice(day_before, min(start + step, stop))).compute(scheduler="threads")
        values = field.values[:, start - day_before :]
        finite = np.isfinite(values)
        if finite.any():
            low, high = np.fmin(low, np.nanmin(values)), np.fmax(high, np.nanmax(values))
        count += finite.sum(1, dtype=np.int32)
        total += np.where(finite, values, 0).sum(1, dtype=np.float64)
        jumps.append(shared_jumps(field.values)[:, start - day_before :])
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    return Evidence(low.astype(float), high.astype(float), count, means[:, None], np.concatenate(jumps, axis=1))


def _read(url: str) -> Evidence | None:
    """Stored evidence; None where there is none or it is damaged."""
    if not exists(url):
        return None
    try:
        return Evidence.from_bytes(read_bytes(url))
    except (StorageError, ValueError, TypeError, zipfile.BadZipFile):
        return None
