"""Checksums of everything published: a manifest per folder, and a pointer that names the manifests.

`latest.json` names the current version and the checksum of each folder's `manifest.json`; a manifest names the size and
SHA-256 of every object below it. One flipped byte anywhere breaks one link of that chain.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from somo.product.layout import SEPARATORS, other_side
from somo.storage.client import filesystem
from somo.storage.lease import put_changed
from somo.storage.listing import listing
from somo.storage.objects import checksum, exists, join, read_bytes

NAME = "manifest.json"
POINTER = "latest.json"
CATALOG = "catalog.json"
ROOT = "zarr.json"
READERS = 8


@dataclass(frozen=True)
class Entry:
    """One published object.

    Attributes
    ----------
    size : in bytes
    sha256 : in hexadecimal
    seen : the storage's version of the object when it was read (ETag or time), which changes when it is rewritten
    """

    size: int
    sha256: str
    seen: str


def encode(value: Mapping[str, Any]) -> bytes:
    """The one way in which a document of this package is written, so that it can be compared byte by byte."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def list_objects(folder_url: str) -> dict[str, tuple[int, str]]:
    """Size and storage's own version of every object below a folder, by key; hidden ones and the manifest left out."""
    return {key: (info.size, info.version) for key, info in listing(folder_url).items() if key != NAME}


def shown_objects(folder_url: str) -> dict[str, tuple[int, str]]:
    """As `list_objects`, without the shards of a Zarr store on the side that its metadata no longer names.

    They stay until they are written over, for readers who opened the store before; they are not published any more.
    """
    objects = list_objects(folder_url)
    for root in (key for key in list(objects) if key.endswith(f".zarr/{ROOT}")):
        store = root.removesuffix(ROOT)
        arrays = json.loads(read_bytes(join(folder_url, root)))["consolidated_metadata"]["metadata"]
        for name, array in arrays.items():
            if array["node_type"] == "array":
                shown = array["chunk_key_encoding"]["configuration"]["separator"]
                other = tuple(f"{store}{name}/c{separator}" for separator in SEPARATORS if separator != shown)
                objects = {
                    key: size_and_version for key, size_and_version in objects.items() if not key.startswith(other)
                }
    return objects


def unknown_objects(folder_url: str, former: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[str]]:
    """Entries that still hold, and keys of objects that are new or rewritten since.

    A shard that was copied from the other side has the entry that it had there.
    """
    objects = shown_objects(folder_url)
    valid_entries = {
        key: entry
        for key, size_and_version in objects.items()
        if (entry := recorded(former, key, size_and_version)) is not None
    }
    return valid_entries, sorted(objects.keys() - valid_entries.keys())


def recorded(entries: Mapping[str, Entry], key: str, told: tuple[int, str]) -> Entry | None:
    """The entry of an object, if its size and version are those with which its checksum was taken.

    Parameters
    ----------
    told : size and version that the storage lists now
    """
    for name in (key, other_side(key)):
        if (entry := entries.get(name)) is not None and (entry.size, entry.seen) == told:
            return entry
    return None


def rewritten_objects(folder_url: str) -> list[str]:
    """Keys of objects that are missing, or not the ones whose checksums the manifest holds.

    An object of another size is another one, one of the same size and version is the same. Where only the version is
    another, as of every object of a bucket that was copied, the bytes decide; they are read once in a process.
    """
    former, objects = read_manifest(folder_url), list_objects(folder_url)
    sizes = {key: objects[key][0] if key in objects else -1 for key in former}
    changed = [key for key, entry in former.items() if sizes[key] != entry.size]
    doubtful = [
        key for key, e in former.items() if sizes[key] == e.size and recorded(former, key, objects[key]) is None
    ]
    with ThreadPoolExecutor(READERS) as pool:
        digests = pool.map(lambda key: _digest(folder_url, key, objects[key]), doubtful)
        changed += [key for key, digest in zip(doubtful, digests, strict=True) if digest != former[key].sha256]
    return sorted(changed)


def digest_of(folder_url: str, key: str, entries: Mapping[str, Entry]) -> str:
    """SHA-256 of an object: the manifest's, if size and version are unchanged, else that of its bytes.

    Parameters
    ----------
    entries : of the folder's manifest
    """
    size_and_version = list_objects(folder_url).get(key)
    if size_and_version is None:
        return ""
    entry = recorded(entries, key, size_and_version)
    return _digest(folder_url, key, size_and_version) if entry is None else entry.sha256


_digests: dict[tuple[str, str, tuple[int, str]], str] = {}


def _digest(folder_url: str, key: str, size_and_version: tuple[int, str]) -> str:
    """SHA-256 of an object, read once for each version that the storage lists."""
    if (name := (folder_url, key, size_and_version)) not in _digests:
        _digests[name] = describe(folder_url, [key])[key].sha256
    return _digests[name]


def describe(folder_url: str, keys: Iterable[str]) -> dict[str, Entry]:
    """Read objects and take their checksums."""
    fs, path = filesystem(folder_url)
    entries = {}
    for key in keys:
        info = fs.info(f"{path}/{key}")
        storage_version = str(info.get("ETag") or info.get("mtime") or info.get("created")).strip('"')
        digest, size = hashlib.sha256(), 0
        with fs.open(f"{path}/{key}", "rb") as file:
            while block := file.read(2**22):
                digest.update(block)
                size += len(block)
        entries[key] = Entry(size, digest.hexdigest(), storage_version)
    return entries


def changed_objects(folder_url: str, entries: Mapping[str, Entry]) -> list[str]:
    """Keys of objects that are missing or whose bytes are not those of their entries."""
    objects = list_objects(folder_url)
    present_entries = describe(folder_url, entries.keys() & objects.keys())
    return [
        key
        for key, entry in entries.items()
        if key not in present_entries or present_entries[key].sha256 != entry.sha256
    ]


def read_manifest(folder_url: str) -> dict[str, Entry]:
    """Entries of a folder's manifest by key; empty where there is none."""
    url = join(folder_url, NAME)
    return dict(_parsed(read_bytes(url))) if exists(url) else {}


@lru_cache(maxsize=4)
def _parsed(data: bytes) -> Mapping[str, Entry]:
    """Entries of a manifest's bytes; many ask for the same one, which has 30,000 objects in a global product."""
    return {key: Entry(**entry) for key, entry in json.loads(data)["objects"].items()}


def write_manifest(folder_url: str, entries: Mapping[str, Entry]) -> str:
    """Write a folder's manifest unless the same one is there already; returns its own checksum."""
    data = encode({"algorithm": "sha256", "objects": {key: asdict(entry) for key, entry in entries.items()}})
    url = join(folder_url, NAME)
    put_changed(url, data)
    return checksum(data)


def renew(folder_url: str, below: str) -> None:
    """Take the checksums of one part of a folder anew, as a stage does whose results may be made again.

    Nothing is done where there is no manifest yet.
    """
    former = read_manifest(folder_url)
    if not former:
        return
    inside = f"{below}/"
    entries_elsewhere = {key: entry for key, entry in former.items() if not key.startswith(inside)}
    renewed_entries = describe(folder_url, (key for key in list_objects(folder_url) if key.startswith(inside)))
    if former != {**entries_elsewhere, **renewed_entries}:
        write_manifest(folder_url, {**entries_elsewhere, **renewed_entries})


def read_pointer(root: str) -> dict[str, Any]:
    """`latest.json` of a root; empty before the first release."""
    fs, path = filesystem(join(root, POINTER))
    # A release elsewhere may have moved it since fsspec last listed the root.
    fs.invalidate_cache()
    if not fs.exists(path):
        return {}
    document: dict[str, Any] = json.loads(fs.cat_file(path))
    return document


def is_followed(root: str, folder: str) -> bool:
    """Whether `latest.json` holds the checksums of a folder's manifest and of the catalog as they are now.

    True as well for a folder that it does not name, which has no checksum there to differ from.

    Days that were added to a released version show at once, but can be verified only once the pointer follows.
    """
    document = read_pointer(root)
    if folder not in document.get("manifests", {}):
        return True
    urls = {"manifest": join(root, folder, NAME), "catalog": join(root, CATALOG)}
    checksums = {name: checksum(read_bytes(url)) if exists(url) else "" for name, url in urls.items()}
    return checksums == {"manifest": document["manifests"][folder], "catalog": document["catalog_sha256"]}


def pointer(version: str, folders: Mapping[str, str], released: Mapping[str, str], catalog: bytes) -> bytes:
    """Bytes of `latest.json`.

    Parameters
    ----------
    version : the current one
    folders : folder -> checksum of its manifest
    released : version -> day of its release
    catalog : bytes of the `catalog.json` that belongs to it
    """
    value = {
        "version": version,
        "store": f"v{version}/soil_moisture.zarr",
        "collection": f"v{version}/collection.json",
        "released": dict(released),
        "manifests": dict(folders),
        "catalog_sha256": checksum(catalog),
    }
    return encode({**value, "sha256": checksum(encode(value))})
