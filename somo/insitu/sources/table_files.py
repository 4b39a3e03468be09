"""The files that a table of own stations names, beside it."""

import fnmatch
import re
import unicodedata
from dataclasses import dataclass, field

from fsspec.implementations.local import LocalFileSystem

from somo.insitu.errors import InsituError, SensorError
from somo.insitu.members import Member, is_leftover, is_linked_outside, leads_outside, list_members
from somo.storage.client import filesystem
from somo.storage.objects import version_of

_IN_ZIP = re.compile(r"(.+?\.zip)/(.+)", re.IGNORECASE)


@dataclass
class Files:
    """Files by their path relative to the table, each folder and zip listed once.

    Attributes
    ----------
    table : URL of the table
    """

    table: str
    _listed: dict[str, dict[str, Member]] = field(default_factory=dict)

    def find(self, path: str) -> tuple[Member, ...]:
        """The files of one sensor, the last by name first.

        Parameters
        ----------
        path : relative to the table's folder; `*` and `?` in its last part, and in the name of a zip, stand for any
            letters, so that a station may have a file a year; inside of a zip as `archive.zip/file.csv`

        Raises
        ------
        SensorError
            if there is none, or the path or a link leads out of the table's folder
        """
        path = path.replace("\\", "/").removeprefix("./")
        if leads_outside(path) or "://" in path:
            raise SensorError(f"file {path!r} lies outside of the table's folder; put it beside the table")
        holder, _, pattern = path.rpartition("/")
        in_zip = _IN_ZIP.fullmatch(path)
        members = self._of_zips(in_zip[1], in_zip[2]) if in_zip else self._of_folder(holder, pattern)
        if not members:
            raise SensorError(f"file {path!r}: no such file beside the table; correct `file` or put it there")
        base_fs, base = filesystem(self._base())
        if isinstance(base_fs, LocalFileSystem) and any(is_linked_outside(base, member.url) for member in members):
            raise SensorError(
                f"file {path!r} is a link that leads out of the table's folder; put the file itself there"
            )
        return tuple(sorted(members, key=lambda m: m.path, reverse=True))

    def _of_folder(self, folder: str, pattern: str) -> list[Member]:
        if folder not in self._listed:
            self._listed[folder] = self._list(folder)
        return _matching(self._listed[folder], pattern)

    def _of_zips(self, path: str, pattern: str) -> list[Member]:
        folder, _, name = path.rpartition("/")
        return [member for zipped in self._of_folder(folder, name) for member in self._of_zip(zipped, pattern)]

    def _of_zip(self, zipped: Member, pattern: str) -> list[Member]:
        if zipped.path not in self._listed:
            try:
                members = list_members(f"{self._base()}/{zipped.path}", lambda path: not is_leftover(path))
            except InsituError as error:
                # One broken zip costs the sensors in it, and no others of the table.
                raise SensorError(str(error)) from error
            self._listed[zipped.path] = {member.path: member for member in members}
        listed = self._listed[zipped.path]
        # Downloads hold their files in a folder that has a long name of its own.
        by_name = {member.name: member for member in listed.values()}
        unique = by_name if len(by_name) == len(listed) else {}
        return _matching(listed, pattern) or _matching(unique, pattern)

    def _list(self, folder: str) -> dict[str, Member]:
        url = "/".join(filter(None, (self._base(), folder)))
        fs, path = filesystem(url)
        # fsspec remembers listings as long as the process lives, and users correct their files in between.
        fs.invalidate_cache()
        try:
            infos = fs.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        listed = {}
        for info in infos:
            if info["type"] != "directory":
                name = info["name"].rsplit("/", 1)[-1]
                # A pattern such as `*.csv` does not mean the table itself.
                if is_leftover(name) or (not folder and name == self.table.rpartition("/")[2]):
                    continue
                place = info["name"] if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol(info["name"])
                listed[name] = Member(
                    place, version_of(info), "/".join(filter(None, (folder, name))), int(info["size"])
                )
        return listed

    def _base(self) -> str:
        return self.table.rpartition("/")[0] or "."


def _matching(listed: dict[str, Member], pattern: str) -> list[Member]:
    """Exactly this file; else those that the pattern fits."""
    # macOS writes the letter `ö` of a file's name as `o` and dots.
    composed = {unicodedata.normalize("NFC", name): member for name, member in listed.items()}
    pattern = unicodedata.normalize("NFC", pattern)
    # A name may itself hold brackets, which a pattern would read as a choice of letters.
    if pattern in composed:
        return [composed[pattern]]
    return [member for name, member in composed.items() if fnmatch.fnmatchcase(name, pattern)]
