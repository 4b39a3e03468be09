"""Every published object read again and compared with its checksum, from outside as any reader may."""

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from somo.publish.complete import first_line
from somo.publish.manifest import CATALOG, NAME, POINTER, READERS, Entry, encode
from somo.publish.reader import NO_ANSWER, READ_ERRORS, REFUSED, Bucket, bucket
from somo.storage.objects import checksum
from somo.storage.patience import StorageError, unreachable


@dataclass(frozen=True)
class Damage:
    """An object that is not what was published."""

    key: str
    reason: str


def verify(url: str, anon: bool = True) -> Iterator[tuple[int, int, list[Damage]]]:
    """Read every published object below a root and compare it; yields (done, total, damage found by then).

    Raises
    ------
    UnreachableError
        if the store does not answer, which says nothing about the objects
    StorageError
        if it refuses to give them
    """
    store = bucket(url, anon)
    try:
        damage, expected = _chain(store)
        yield 0, len(expected), damage
        with ThreadPoolExecutor(READERS) as pool:
            for done, damaged in enumerate(pool.map(lambda item: _compare(store, *item), expected.items()), start=1):
                if damaged:
                    damage.append(damaged)
                yield done, len(expected), damage
    except NO_ANSWER as error:
        raise unreachable(url, first_line(error)) from error
    except REFUSED as error:
        raise StorageError(
            f"{url}: the server refuses to give what was published ({first_line(error)}); it is missing there, or not "
            "open to everybody: give credentials with --no-anon"
        ) from error


def _chain(store: Bucket) -> tuple[list[Damage], dict[str, Entry]]:
    """Damage of the documents that hold the checksums, and every object that they name."""
    latest, damage = _sound_pointer(store)
    if latest is None:
        return damage, {}
    expected = {}
    catalog_damage = _compare(store, CATALOG, Entry(-1, latest["catalog_sha256"], ""))
    damage += [catalog_damage] if catalog_damage else []
    for folder, digest in latest["manifests"].items():
        data = _get(store, f"{folder}/{NAME}")
        if data is None or checksum(data) != digest:
            damage.append(Damage(f"{folder}/{NAME}", _reason(data)))
            continue
        objects = json.loads(data)["objects"]
        expected.update({f"{folder}/{key}": Entry(**entry) for key, entry in objects.items()})
    return damage, expected


def _sound_pointer(store: Bucket) -> tuple[dict[str, Any] | None, list[Damage]]:
    data = _get(store, POINTER)
    if data is None:
        return None, [Damage(POINTER, "missing; no version was released here, see `somo release`")]
    try:
        value = json.loads(data)
        without_checksum = {k: v for k, v in value.items() if k != "sha256"}
        sound = data == encode(value) and value["sha256"] == checksum(encode(without_checksum))
    except (ValueError, KeyError, AttributeError, RecursionError):
        sound = False
    return (value, []) if sound else (None, [Damage(POINTER, "its own checksum does not hold")])


def _compare(store: Bucket, key: str, entry: Entry) -> Damage | None:
    digest, size = hashlib.sha256(), 0
    try:
        for block in store.get(key).stream(2**22):
            digest.update(block)
            size += len(block)
    except FileNotFoundError:
        return Damage(key, "missing")
    # These tell nothing of the object: `verify` ends with them instead of calling it damaged.
    except (NO_ANSWER, *REFUSED):
        raise
    except READ_ERRORS as error:
        return Damage(key, f"cannot be read ({first_line(error)})")
    if digest.hexdigest() == entry.sha256:
        return None
    return Damage(key, f"{size} bytes, not those that were published")


def _get(store: Bucket, key: str) -> bytes | None:
    try:
        return bytes(store.get(key).bytes())
    except FileNotFoundError:
        return None


def _reason(data: bytes | None) -> str:
    return "missing" if data is None else "not the one that was released"
