"""The filters of an HDF5 array: their names, their parameters, and those of them that numcodecs has too."""

from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers its filters with libhdf5)
import numpy as np

from somo.forcing.formats.stored import UnreadableError, text

FILTER_NAMES = {
    4: "szip", 5: "N-bit", 6: "scale-offset", 307: "bzip2", 32000: "LZF", 32001: "Blosc", 32004: "LZ4",
    32008: "bitshuffle", 32013: "ZFP", 32015: "Zstandard", 32017: "SZ", 32018: "FCIDECOMP", 32019: "JPEG",
    32022: "Granular BitRound", 32023: "Quantize", 32024: "SZ3", 32026: "Blosc 2",
}  # fmt: skip


def pipeline_of(dataset: h5py.Dataset) -> list[list[Any]]:
    """[identifier, flags, values] of every filter, in the order of writing; all must have a codec here."""
    plist = dataset.id.get_create_plist()
    pipeline = []
    for number in range(plist.get_nfilters()):
        identifier, flags, values, name = plist.get_filter(number)
        if not h5py.h5z.filter_avail(identifier):
            filter_name = FILTER_NAMES.get(identifier) or text(name) or "unnamed"
            raise UnreadableError(
                f"{dataset.name.lstrip('/')} is compressed with the HDF5 filter {identifier} ({filter_name}), which "
                "has no codec here; rewrite the file where that filter is installed, as in h5repack -f GZIP=4 IN OUT"
            )
        pipeline.append([int(identifier), int(flags), [int(value) for value in values]])
    return pipeline


def numcodecs_of(pipeline: list[list[Any]], dtype: np.dtype[Any]) -> list[dict[str, Any]] | None:
    """The same filters in the notation of numcodecs; None if it lacks one of them."""
    filters: list[dict[str, Any]] = []
    for identifier, _, values in pipeline:
        if identifier == 1:
            filters.append({"id": "zlib", "level": values[0] if values else 4})
        elif identifier == 2:
            filters.append({"id": "shuffle", "elementsize": values[0] if values else dtype.itemsize})
        elif identifier == 3:
            filters.append({"id": "fletcher32"})
        elif identifier == 32015:
            filters.append({"id": "zstd", "level": values[0] if values else 3})
        else:
            return None
    return filters
