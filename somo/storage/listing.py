"""What lies below a folder: one listing, and copies inside it that move no bytes where the storage can do without."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from fsspec.implementations.local import LocalFileSystem

from somo.storage.client import filesystem

# An object store copies on its own: more threads than processors, since they wait.
COPIES_AT_ONCE = 16


@dataclass(frozen=True)
class Object:
    """An object as a listing shows it.

    Attributes
    ----------
    size : in bytes
    version : ETag or time of modification, which changes when it is rewritten
    """

    size: int
    version: str


# Documents are asked for again and again, shards and tables are not, and would fill the memory.
MOST_REMEMBERED_BYTES = 2**20
_cache: ContextVar[dict[str, dict[str, Object]] | None] = ContextVar("listings", default=None)
_documents: ContextVar[dict[str, bytes] | None] = ContextVar("documents", default=None)


@contextmanager
def listed_once() -> Iterator[None]:
    """Within it a folder is listed once, however many ask; for work that reads and writes nothing."""
    # Inside another one its listings serve on; the outermost ends them.
    if _cache.get() is not None:
        yield
        return
    token, token_of_documents = _cache.set({}), _documents.set({})
    try:
        yield
    finally:
        _cache.reset(token)
        _documents.reset(token_of_documents)


def remembered(url: str, read: Callable[[], bytes]) -> bytes:
    """Bytes of an object as `read` gives them; within `listed_once` a small one is read once."""
    documents = _documents.get()
    if documents is None:
        return read()
    if url in documents:
        return documents[url]
    data = read()
    if len(data) <= MOST_REMEMBERED_BYTES:
        documents[url] = data
    return data


def listing(url: str) -> Mapping[str, Object]:
    """Every object below a folder by key, empty where there is none; hidden ones are left out."""
    # Hidden names are files that are being written (`put`), locks and leases.
    return {key: stored for key, stored in _listing(url).items() if not key.rsplit("/", 1)[-1].startswith(".")}


def is_listed(url: str) -> bool | None:
    """Whether an object or folder is in one that `listed_once` has listed already; None where none has been."""
    for folder, objects in (_cache.get() or {}).items():
        if url.startswith(f"{folder}/"):
            key = url[len(folder) + 1 :].rstrip("/")
            return key in objects or any(name.startswith(f"{key}/") for name in objects)
    return None


def _listing(url: str) -> Mapping[str, Object]:
    cache = _cache.get()
    if cache is None:
        return _list(url)
    for folder, objects in cache.items():
        if url == folder:
            return objects
        if url.startswith(f"{folder}/"):
            prefix = url[len(folder) + 1 :].rstrip("/") + "/"
            return {key.removeprefix(prefix): stored for key, stored in objects.items() if key.startswith(prefix)}
    cache[url] = _list(url)
    return cache[url]


def _list(url: str) -> dict[str, Object]:
    fs, path = filesystem(url)
    start = len(path.rstrip("/")) + 1

    # fsspec keeps listings, and other processes have written since.
    fs.invalidate_cache()
    objects = {}
    for name, info in fs.find(path, detail=True).items():
        # An object at the very URL lies in no folder.
        if key := name[start:]:
            version = info.get("ETag") or info.get("mtime") or info.get("created")
            objects[key] = Object(int(info["size"]), str(version).strip('"'))
    return objects


def copy_objects(url: str, pairs: Sequence[tuple[str, str]]) -> None:
    """Copy objects inside a folder, each whole or not at all: on the server, or as a second name of the same file.

    Nothing here writes into a file that exists, so two names of one file never differ.

    Parameters
    ----------
    pairs : key of each object and of its copy
    """
    if not pairs:
        return
    fs, path = filesystem(url)
    if isinstance(fs, LocalFileSystem):
        for source, target in pairs:
            _link(Path(path, source), Path(path, target))
        return
    sources, targets = ([f"{path}/{pair[i]}" for pair in pairs] for i in (0, 1))
    # One request an object, each with its own patience; `fs.copy` would begin all of them again after one failure.
    with ThreadPoolExecutor(COPIES_AT_ONCE) as pool:
        list(pool.map(fs.cp_file, sources, targets))


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid4().hex[:8]}")
    try:
        try:
            os.link(source, temporary)
        except OSError:
            # File systems without links, such as FAT and some of networks.
            shutil.copy2(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
