"""What the networks of a region carry from its last final day to the next run, kept beside the product.

A state may replace a fresh start over exactly the forcing that made it. It therefore holds a digest of
every day of that forcing, and a hash of the files that the days came from: where the files are the same nothing has to
be read to trust it, where they were replaced the days themselves are compared.

Values are float32 and not compressed: zstd makes them 9 % smaller at a quarter of the speed of a disk.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Self

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load, save

from somo.product.declaration import content_hash
from somo.storage.client import filesystem
from somo.storage.objects import join, put, read_bytes
from somo.storage.patience import StorageError

SUFFIX = ".state"
# Days of forcing whose files share one hash: about a month, the shortest file that providers of archives offer.
SEGMENT_ROWS = 32
CHECKSUM_BYTES = 32
DIGEST_BYTES = 16


class StateError(ValueError):
    """Bytes that are not a state as it was written."""


@dataclass(frozen=True, eq=False)
class State:
    """The networks of one region after some of its days.

    Attributes
    ----------
    days : number of the region's days, from its first, that it has passed
    digests : [day of forcing, 16] uint8, of every day since the sequence began
    files : [segment] hash of the source files of `SEGMENT_ROWS` days of forcing
    memory : [network, 2, cell, hidden] float32 as `somo.predict.infer.Stretch` gives it
    """

    days: int
    digests: NDArray[np.uint8]
    files: tuple[str, ...]
    memory: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """The SHA-256 of the state's bytes, followed by these bytes."""
        tensors: dict[str, NDArray[Any]] = {
            "memory": np.ascontiguousarray(self.memory),
            "digests": np.ascontiguousarray(self.digests),
            "days": np.array([self.days]),
            "files": np.frombuffer(",".join(self.files).encode(), np.uint8),
        }
        data = save(tensors)
        # In the same object: a checksum beside it could be older or newer than the state.
        return hashlib.sha256(data).digest() + data

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The state in some bytes.

        Raises
        ------
        StateError
            if the bytes are not those that were written
        """
        body = data[CHECKSUM_BYTES:]
        if hashlib.sha256(body).digest() != data[:CHECKSUM_BYTES]:
            raise StateError("the state's own checksum does not hold")
        tensors = load(body)
        files = tuple(tensors["files"].tobytes().decode().split(","))
        return cls(int(tensors["days"][0]), tensors["digests"], files, tensors["memory"])

    def name(self, region: str) -> str:
        """Name of the object of a region: region, days that it has passed and digest of their forcing."""
        return f"{region}.{self.days:05d}.{content_hash(self.digests.tobytes())}{SUFFIX}"


def day_digests(x_d: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[day, 16] digest of the forcing [day, cell, variable] of each day."""
    digests = [hashlib.blake2b(np.ascontiguousarray(day).tobytes(), digest_size=DIGEST_BYTES).digest() for day in x_d]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(x_d), DIGEST_BYTES)


def first_changed_row(state: State, files: Sequence[str]) -> int:
    """First day of forcing whose files have changed since a state was made; the number of its days if none has.

    Parameters
    ----------
    files : hash of the present files of each of the state's segments
    """
    pairs = zip(state.files, files, strict=True)
    segment = next((n for n, (former, present) in enumerate(pairs) if former != present), len(state.files))
    return min(segment * SEGMENT_ROWS, len(state.digests))


@dataclass(frozen=True)
class Listed:
    """A state as a listing shows it."""

    region: str
    days: int
    url: str


def states_url(root: str, method: str) -> str:
    """Folder of the states that networks of one method have reached, which production alone reads."""
    return join(root, "states", method)


def list_states(url: str) -> list[Listed]:
    """Every state of a method, in one listing."""
    fs, path = filesystem(url)
    # fsspec keeps listings, and other workers have written since.
    fs.invalidate_cache()
    names = [PurePosixPath(place).name for place in (fs.find(path) if fs.exists(path) else [])]
    states = []
    for name in (name for name in names if name.endswith(SUFFIX)):
        region, days, _ = name.removesuffix(SUFFIX).split(".")
        states.append(Listed(region, int(days), join(url, name)))
    return sorted(states, key=lambda state: (state.region, state.days, state.url))


def read_state(url: str) -> State | None:
    """A state, or None where it is missing or damaged: its region is then computed from a fresh start."""
    try:
        return State.from_bytes(read_bytes(url))
    # A state saves time and nothing else: without it the same bytes come from a fresh start.
    except (StorageError, StateError, safetensors.SafetensorError):
        return None


def write_state(folder: str, region: str, state: State) -> None:
    """Write a state under the name that its region, days and forcing give it."""
    put(join(folder, state.name(region)), state.to_bytes())


def remove_states(states: Sequence[Listed]) -> None:
    """Remove states that no later run can go on from; other workers may have removed some of them already."""
    if states:
        fs, _ = filesystem(states[0].url)
        with suppress(FileNotFoundError):
            fs.rm([filesystem(state.url)[1] for state in states])
