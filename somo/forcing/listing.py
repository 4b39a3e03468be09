"""Names with wildcards -> the files and Zarr stores that exist, with size and version; each folder is listed once."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fsspec import AbstractFileSystem

from somo.product.patterns import wildcards
from somo.storage import archives, web
from somo.storage.client import filesystem
from somo.storage.contents import content_of
from somo.storage.objects import checksum, fingerprint, version_of
from somo.storage.patience import StorageError

ZARR_DOCUMENTS = (".zmetadata", "zarr.json", ".zgroup", ".zarray")
# Consolidated metadata of thousands of arrays are a few megabytes; zarr would read and parse any number of them.
MOST_DOCUMENT_BYTES = 2**26
# Web servers list nothing, so every name is a request of its own, most of whose time is waiting.
QUESTIONS_AT_ONCE = 16
# What fsspec tells of a file: its name, type and size, and what else its store knows.
Listed = dict[str, Any]


class ForcingError(ValueError):
    """Forcing that cannot be used; the text names file, variable or day and the remedy."""


@dataclass(frozen=True)
class SourceFile:
    """One file or Zarr store and the fingerprint (size and version) its bytes had when it was listed.

    Attributes
    ----------
    day : the day that its name stands for, as ISO date; empty where its name holds no day
    """

    url: str
    fingerprint: str
    day: str = ""


def find_urls(names: Iterable[str], variable: str) -> dict[str, list[SourceFile]]:
    """Files of every name, in alphabetical order; a name without a file is left out.

    Parameters
    ----------
    names : URLs, in which `*` and `?` are wildcards (on web servers there are none)
    variable : the variable that will be read, whose metadata are part of a Zarr store's version

    Raises
    ------
    ForcingError
        where a folder may not be listed or holds no files of the kind
    StorageError
        where the network or the server fails
    """
    names = list(dict.fromkeys(names))
    on_web = [name for name in names if name.startswith(("http://", "https://"))]
    in_archives = [name for name in names if name.startswith("zip://")]
    elsewhere = [name for name in names if name not in {*on_web, *in_archives}]
    existing = _ask_each(on_web, variable)
    for name in in_archives:
        existing[name] = _members(name, variable)
    existing |= _list(elsewhere, variable)
    return {name: existing[name] for name in names if existing.get(name)}


def _ask_each(urls: list[str], variable: str) -> dict[str, list[SourceFile]]:
    """Files on web servers, which are asked for one by one."""

    def ask(url: str) -> list[SourceFile]:
        # A Zarr store is a folder, which has no version on a web server: the documents in it are asked for.
        version = None if url.rstrip("/").endswith(".zarr") else web.version(url)
        version = version or zarr_version(url, variable)
        return [SourceFile(url, version)] if version else []

    with ThreadPoolExecutor(QUESTIONS_AT_ONCE) as pool:
        return dict(zip(urls, pool.map(ask, urls), strict=True))


def _members(name: str, variable: str) -> list[SourceFile]:
    """Files in zip archives."""
    member, archive = name.removeprefix("zip://").split("::")
    wanted = re.compile(wildcards(member))
    files = []
    for outer in find_urls([archive], variable).get(archive, []):
        listed = archives.members(outer.url, outer.fingerprint)
        _require_no_store(member, [inner.name for inner in listed], name)
        for inner in listed:
            if wanted.fullmatch(inner.name):
                files.append(SourceFile(f"zip://{inner.name}::{outer.url}", f"{inner.size}-{outer.fingerprint}"))
    return files


def _require_no_store(member: str, names: Iterable[str], url: str) -> None:
    """Refuse a Zarr store as the member of an archive, which would otherwise be no file of it."""
    folder = re.compile(wildcards(member.rstrip("/")))
    for name in names:
        parent, _, last = name.rpartition("/")
        if last in ZARR_DOCUMENTS and folder.fullmatch(parent):
            raise ForcingError(
                f"{url}: is a Zarr store in a zip archive, which is read as a folder alone; unpack the archive and "
                "declare the folder"
            )


def _list(names: list[str], variable: str) -> dict[str, list[SourceFile]]:
    """Files in folders that can be listed."""
    folders: dict[str, dict[str, Listed]] = {}
    existing: dict[str, list[SourceFile]] = {}
    for name in names:
        fs, path = filesystem(name)
        files = []
        for match in _matching(fs, path, folders):
            file = _source_file(fs, match, name, path, variable)
            files += [file] if file else []
        existing[name] = sorted(files, key=lambda file: file.url)
    return existing


def _matching(fs: AbstractFileSystem, path: str, folders: dict[str, dict[str, Listed]]) -> list[Listed]:
    """Entries of listings that match a path; its folders may hold wildcards too."""
    parent, _, last = path.rpartition("/")
    if "*" in parent or "?" in parent:
        parents = [entry["name"] for entry in _matching(fs, parent, folders) if entry["type"] == "directory"]
    else:
        parents = [parent.rstrip("/")]
    entries = []
    for folder in parents:
        if folder not in folders:
            folders[folder] = _listing(fs, folder or "/")
        inside = folders[folder]
        # Another spelling of the name, which a regular expression finds, needs letters beyond ASCII.
        is_plain = last.isascii() or "//" in path or f"{folder}/{last}" in inside
        if "*" not in last and "?" not in last and is_plain:
            named = [inside[name] for name in [f"{folder}/{last}"] if name in inside]
            entries += _asked_for(fs, path) if "//" in path else named
            continue
        wanted = re.compile(wildcards(last))
        entries += [entry for name, entry in inside.items() if wanted.fullmatch(name.rstrip("/").rpartition("/")[2])]
    return entries


def _asked_for(fs: AbstractFileSystem, path: str) -> list[Listed]:
    """The object whose key has an empty folder name ("a//b"), which no listing of folders shows."""
    try:
        return [{**fs.info(path), "name": path}]
    except FileNotFoundError:
        return []


def _source_file(fs: AbstractFileSystem, entry: Listed, name: str, path: str, variable: str) -> SourceFile | None:
    """The file or Zarr store behind an entry of a listing, under a URL of the form that was declared."""
    prefix = name[: len(name) - len(path)] if name.endswith(path) else None
    url = name if entry["name"] == path else (fs.unstrip_protocol(entry["name"]) if prefix is None else None)
    url = url or f"{prefix}{entry['name']}"
    if entry["type"] == "directory":
        version = zarr_version(url, variable)
        if version is None and "*" not in name and "?" not in name:
            raise ForcingError(
                f"{url}: is a folder and no Zarr store (it has none of {', '.join(ZARR_DOCUMENTS)}); declare the files "
                f"in it, as in {url.rstrip('/')}/*.nc"
            )
        return SourceFile(url, version) if version else None
    return SourceFile(url, version_of(entry) if {"ETag", "mtime", "e_tag"} & entry.keys() else fingerprint(url))


def _listing(fs: AbstractFileSystem, folder: str) -> dict[str, Listed]:
    # fsspec keeps listings as long as the process lives and would not see files that came since.
    fs.invalidate_cache()
    url = fs.unstrip_protocol(folder)
    try:
        entries = fs.ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # An outage of the store is an OSError too, but no missing right: it keeps its own text and remedy.
    except StorageError:
        raise
    except OSError as error:
        raise ForcingError(f"{url}: cannot be listed ({error}); allow reading this folder") from error
    return {info["name"].rstrip("/"): info for info in entries}


def version_now(file: SourceFile, variable: str) -> str:
    """The fingerprint that a file has at this moment."""
    if file.fingerprint.startswith("zarr-"):
        return zarr_version(file.url, variable) or "gone"
    if file.url.startswith("zip://"):
        _name, archive = archives.split(file.url)
        outer = SourceFile(archive, archives.archive_fingerprint(file.fingerprint))
        return f"{file.fingerprint.split('-', 1)[0]}-{version_now(outer, variable)}"
    if file.url.startswith(("http://", "https://")):
        return web.version(file.url) or "gone"
    return fingerprint(file.url)


def content_of_source(file: SourceFile) -> str:
    """Identifier of a file's bytes, independent of its place; its fingerprint where its store gives no checksum."""
    if file.fingerprint.startswith("zarr-"):
        return file.fingerprint
    if file.url.startswith("zip://"):
        name, archive = archives.split(file.url)
        return f"{name} in {_content_of_archive(archive, archives.archive_fingerprint(file.fingerprint))}"
    return content_of(file.url, file.fingerprint)


# An archive has many files, all of which are named by the bytes of the archive: these are read once.
_content_of_archive = lru_cache(maxsize=256)(content_of)


def zarr_version(url: str, variable: str) -> str | None:
    """Fingerprint of a Zarr store by its metadata; None if there is none.

    Chunks are not looked at, as there may be millions: a store in which days were added has other metadata.
    """
    group, _, name = variable.rpartition("/")
    places = ["", f"{group}/" if group else "", f"{variable}/", f"{name}/"]
    wanted = dict.fromkeys(f"{place}{document}" for place in places for document in ZARR_DOCUMENTS)
    documents = {key: data for key in wanted if (data := _document(f"{url.rstrip('/')}/{key}")) is not None}
    if not documents:
        return None
    content = b"\0".join(key.encode() + b"\0" + data for key, data in documents.items())
    return f"zarr-{checksum(content)[:32]}"


def _document(url: str) -> bytes | None:
    if url.startswith(("http://", "https://")):
        return web.content(url, MOST_DOCUMENT_BYTES)
    fs, path = filesystem(url)
    try:
        if (size := fs.info(path)["size"]) > MOST_DOCUMENT_BYTES:
            raise ForcingError(f"{url}: has {size} bytes, too many for the metadata of a Zarr store; get it again")
        return bytes(fs.cat_file(path))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ForcingError(f"{url}: cannot be read ({error}); allow reading it") from error
