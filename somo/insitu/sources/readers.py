"""Every kind of in-situ archive by its `format`."""

from somo.insitu.sensor import Reader
from somo.insitu.sources import cosmos, ismn, table
from somo.product.declaration import content_hash
from somo.product.inputs import Insitu
from somo.storage.contents import content_of
from somo.storage.objects import fingerprint

READERS: dict[str, Reader] = {"ismn": ismn, "cosmos": cosmos, "table": table}


def archive_version(archive: Insitu) -> str:
    """Fingerprint that changes with a file of an archive; of a table of own stations, also with a file it names."""
    if archive.format == "table":
        return content_hash(sorted(r.key for r in table.list_recordings(archive.url, archive.name)))
    return fingerprint(archive.url)


def archive_content(archive: Insitu) -> str:
    """Name of the bytes of an archive, the same wherever it lies; of a table also of the files that it names."""
    if archive.format != "table":
        return content_of(archive.url, fingerprint(archive.url))
    members = {m.url: m for r in table.list_recordings(archive.url, archive.name) for m in r.members}
    named = [(m.path, content_of(m.url, m.version)) for m in members.values()]
    return content_hash(content_of(archive.url, fingerprint(archive.url)), sorted(named))
