"""The demo: a small invented Europe on this machine, and where its product is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from flows.console import console
from flows.environment import export
from flows.service.s3server import S3Server
from somo.storage.objects import exists, join, put

SCHEMA = "somo.schema.json"
"""By it editors check the declaration beside it."""


def prepare(folder: Path) -> Path:
    """Write the invented sources, unless they are there, and the declaration beside them; returns the latter's path."""
    sources = str(folder / "sources")
    if not exists(join(sources, "complete")):
        from somo.synthetic.compared import write_compared
        from somo.synthetic.europe import write_europe

        console.print("inventing a small Europe: weather, soil water, station archives (nothing in it is measured)")
        write_europe(sources)
        write_compared(sources)
        put(join(sources, "complete"), b"")
    declared = (files("flows") / "products" / "demo.toml").read_text().replace("${SOMO_DEMO}", sources)
    path = folder / "demo.toml"
    put(str(path), declared.encode())
    put(str(folder / SCHEMA), (files("flows") / "products" / SCHEMA).read_bytes())
    return path


@contextmanager
def storage(folder: Path, s3: bool) -> Iterator[str]:
    """Root of the product: a folder, or a prefix on a real S3 server that runs meanwhile."""
    if not s3:
        yield str(folder / "bucket")
        return
    (folder / "s3").mkdir(parents=True, exist_ok=True)
    with S3Server(folder / "s3") as server:
        export(server.environment())
        yield f"s3://{server.bucket}/demo"
