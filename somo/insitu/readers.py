"""Every kind of in-situ archive by its `format`."""

from somo.insitu import cosmos, ismn, table
from somo.insitu.sensor import Reader

READERS: dict[str, Reader] = {"ismn": ismn, "cosmos": cosmos, "table": table}
