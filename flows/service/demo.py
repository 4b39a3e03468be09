"""The demo: a small invented Europe on this machine, and where its product is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from distributed import Client

from flows.console import console
from flows.environment import export, inherited
from flows.leftovers import end_with_this_process
from flows.one_writer import one_writer
from flows.service.access import open_bucket
from flows.service.loopback import served
from flows.service.s3server import S3Server
from somo.product.declaration import Product
from somo.publish import viewer
from somo.publish.manifest import read_pointer
from somo.storage.objects import exists, join, put

# Editors check the declaration by this file beside it.
SCHEMA = "somo.schema.json"


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


def release_demo(product: Product, root: str) -> None:
    """Release the demo's version, unless it is, so that its page and `somo.open` find it."""
    from flows.stages.release import release

    if product.version in read_pointer(root).get("released", {}):
        return
    # Checksums of a few small objects alone: threads of this process spare the start of another cluster.
    threads = Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None)
    with one_writer(product, root, "release"), threads as client:
        release(product, root, client)


@contextmanager
def page_of(root: str, serves: bool) -> Iterator[str]:
    """Address of the page; where it is to be served, that of a server that runs meanwhile."""
    page = "viewer/index.html" if viewer.is_built() else "index.html"
    if not serves:
        yield f"{root}/{page}: browsers read it from a server only, which somo demo --open starts"
    elif root.startswith("s3://"):
        open_bucket(root)
        yield f"{inherited('AWS_ENDPOINT_URL')['AWS_ENDPOINT_URL']}/{root.removeprefix('s3://')}/{page}"
    else:
        with served(Path(root)) as address:
            yield f"{address}/{page}"


@contextmanager
def storage(folder: Path, s3: bool) -> Iterator[str]:
    """Root of the product: a folder, or a prefix on a real S3 server that runs meanwhile."""
    if not s3:
        yield str(folder / "bucket")
        return
    (folder / "s3").mkdir(parents=True, exist_ok=True)
    # Before the server starts, so that it ends with this command however that ends.
    end_with_this_process()
    with S3Server(folder / "s3") as server:
        export(server.environment())
        yield f"s3://{server.bucket}/demo"
