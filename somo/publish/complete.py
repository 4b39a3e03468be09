"""A Zarr store of which every object exists: one that is missing or damaged is an error, not a map of NaN.

Zarr takes a missing chunk for one that holds nothing but its fill value. Published stores hold an object for every
chunk that their metadata describe, also where all values are missing, so a missing object here means a broken copy, a
download that was cut short, or a bucket that does not let strangers read it.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr
from obstore.exceptions import BaseError, PermissionDeniedError
from xarray.backends import BackendArray, ZarrStore
from xarray.core import indexing
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore, WrapperStore

from somo.storage.objects import join
from somo.storage.patience import StorageError

# zarr asks for the metadata of either format, of which one is always missing: no sign of damage.
METADATA = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata")
# How an array is cut and compressed. A part of it that is written again is of another shape and is cut anew.
LAYOUT_KEYS = ("chunks", "preferred_chunks", "shards", "compressors", "filters", "serializer")


class CompleteStore(WrapperStore[ObjectStore[Any]]):
    """An object store below a URL that refuses to take a missing chunk for an empty one."""

    def __init__(self, store: ObjectStore[Any], url: str) -> None:
        super().__init__(store)
        self.url = url

    def _with_store(self, store: ObjectStore[Any]) -> "CompleteStore":
        return CompleteStore(store, self.url)

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """As any store's, but a chunk that is missing or cannot be read is an error that names it."""
        try:
            buffer = await super().get(key, prototype, byte_range)
        except PermissionDeniedError as error:
            raise StorageError(
                f"{join(self.url, key)}: the server refuses to give it; it is missing there, or not open to everybody. "
                "Try again, or give credentials with anon=False"
            ) from error
        except BaseError as error:
            raise StorageError(
                f"{join(self.url, key)}: cannot be read ({first_line(error)}); check the network and try again"
            ) from error
        if buffer is None and not key.endswith(METADATA):
            raise StorageError(
                f"{join(self.url, key)}: this object is missing, its values cannot be read. Try again; if it "
                "stays so, tell the publisher: `somo verify` lists what a bucket lacks"
            )
        return buffer

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Several parts, each as `get` gives it."""
        # The wrapper's own method would ask the wrapped store and pass by the check in `get`.
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]


class CompleteZarr(ZarrStore):
    """xarray's reader of Zarr groups, whose arrays name themselves when their bytes are damaged."""

    def open_store_variable(self, name: str) -> xr.Variable:
        """One variable, not yet decoded, in an encoding that a part of it can be written back with."""
        stored = super().open_store_variable(name)  # type: ignore[no-untyped-call]  # xarray gives it no types
        values = CheckedArray(stored._data.array, join(self.zarr_group.store.url, self.zarr_group.path, name))
        encoding = {key: value for key, value in stored.encoding.items() if key not in LAYOUT_KEYS}
        attrs = dict(stored.attrs)
        # xarray unpacks in the precision of the factor: JSON's numbers are float64, twice the memory for nothing.
        if "scale_factor" in attrs:
            attrs["scale_factor"] = np.float32(attrs["scale_factor"])
        return xr.Variable(stored.dims, indexing.LazilyIndexedArray(values), attrs, encoding)


class CheckedArray(BackendArray):
    """An array of a store; bytes that do not match their checksum are an error that names it.

    zarr raises what its codecs raise: a ValueError for a shard's index (crc32c), a RuntimeError for a chunk (zstd).
    """

    def __init__(self, array: Any, url: str) -> None:
        self.array, self.url = array, url
        self.shape, self.dtype = array.shape, array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        try:
            return self.array[key]
        except (RuntimeError, ValueError) as error:
            raise StorageError(
                f"{self.url}: the bytes that were read are damaged ({first_line(error)}). Try again; if it stays so, "
                "tell the publisher: `somo verify` names the damaged objects"
            ) from error


def first_line(error: Exception) -> str:
    """What an error says to people: obstore's first line and the cause at its root, without the structures between.

    The first line is the same for every lost connection; a refused certificate or an unknown host is named below it.
    """
    line, _, structures = str(error).partition("\n")
    cause = re.search(r"Invalid(Certificate\(\s*\w+)|error: \"([^\"]+)\"", structures)
    if cause is None:
        return line
    # obstore prints the structure over several lines.
    words = (cause[1] or cause[2]).replace("(", " ").lower().split()
    return f"{line}: {' '.join(words)}"
