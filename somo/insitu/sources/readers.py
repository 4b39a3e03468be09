"""Every kind of in-situ archive by its `format`."""

from somo.insitu.sensor import Reader
from somo.insitu.sources import cosmos, ismn, table
from somo.product.declaration import content_hash
from somo.product.inputs import Insitu
from somo.storage.objects import fingerprint

READERS: dict[str, Reader] = {"ismn": ismn, "cosmos": cosmos, "table": table}


def archive_version(archive: Insitu) -> str:
    """What changes when a file of an archive does; of a table of own stations, also when a file it names does."""
    if archive.format == "table":
        return content_hash(sorted(r.key for r in table.list_recordings(archive.url, archive.name)))
    return fingerprint(archive.url)
