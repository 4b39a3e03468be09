"""Release a version that passes its checks, follow it as it grows, or take it back: `latest.json` changes at once."""

import json
from typing import Any

import pydantic
import xarray as xr
from distributed import Client

from flows import results
from flows.cluster.watching import completed
from flows.stages.publish import BATCH, write_catalog
from flows.stages.validation.gate_blocks import block_evidence, gate_results
from flows.today import today
from somo.product.declaration import Product
from somo.publish.catalog import catalog_document, version_order
from somo.publish.front_door import INDEX, PREVIEW, front_door
from somo.publish.images import THUMBNAIL
from somo.publish.manifest import (
    CATALOG,
    NAME,
    POINTER,
    changed_objects,
    encode,
    is_followed,
    pointer,
    read_manifest,
    read_pointer,
)  # fmt: skip
from somo.publish.store import maps as zarr
from somo.publish.viewer import publish_viewer
from somo.storage.client import filesystem, zarr_store
from somo.storage.conditional import ChangedError, put_version, read_version
from somo.storage.lease import put_changed, require_lease
from somo.storage.objects import checksum, exists, join, read_bytes
from somo.validate.gate.checks import require_passed, run_checks

# The tables of a declaration that `retrain` may change.
RETRAINED = ("network", "training")


class ReleaseError(ValueError):
    """A version that cannot be released or withdrawn; the text says why and what to do."""


def release(product: Product, root: str, client: Client) -> str:
    """Release a validated version; the newest released one is current. Returns that version.

    Every checksum and every check of the gate must hold. Then `latest.json` changes in one put, which is the release;
    a run that ends before that leaves the former version current.

    Raises
    ------
    ReleaseError
        if the version is not complete, or an object is not what was published
    """
    version_url = results.version_url(product, root)
    require_complete(version_url)
    require_checksums(version_url, client)
    require_checks(product, root)
    digest = write_catalog(product, version_url, client)
    page = publish_viewer(root, product.publication.address)
    former = read_pointer(root)
    # A version that was released before keeps its first day.
    released: dict[str, str] = {product.version: today().isoformat(), **former.get("released", {})}
    manifests = {**former.get("manifests", {}), f"v{product.version}": digest, **page}
    current = max(released, key=version_order)
    point(product, root, former, current, manifests, released)
    return current


def follow(product: Product, root: str) -> None:
    """Bring `latest.json` up to date with a released version that has grown, as after an update, if its checks hold.

    The version that is current, and the days of release, stay; a run that ends before the one put leaves the former
    pointer, and the next one puts it.

    Raises
    ------
    ValidationError
        if a check fails; the pointer then stays as it was, and `somo verify` tells what it does not name
    """
    folder = f"v{product.version}"
    if is_followed(root, folder):
        return
    version_url = join(root, folder)
    require_passed(run_checks(product, version_url, kept=block_evidence(product, root)), version_url)
    former = read_pointer(root)
    manifests = {**former["manifests"], folder: checksum(read_bytes(join(version_url, NAME)))}
    point(product, root, former, former["version"], manifests, former["released"])


def withdraw(product: Product, root: str, version: str) -> str:
    """Take a released version back; the newest of the others becomes current. Returns that version.

    Its objects stay for those who cite them; nothing points to them any more. Where it was the only one, nothing is
    released any more: pointer, catalog and front page are removed, and "" is returned.

    Raises
    ------
    ReleaseError
        if the version was never released
    """
    former = read_pointer(root)
    released: dict[str, str] = {v: day for v, day in former.get("released", {}).items() if v != version}
    if version not in former.get("released", {}):
        raise ReleaseError(
            f"{root}: version {version} was never released; released are {', '.join(released) or 'none'}"
        )
    if not released:
        close_front_door(root)
        return ""
    manifests = {folder: digest for folder, digest in former["manifests"].items() if folder != f"v{version}"}
    current: str = former["version"] if former["version"] != version else max(released, key=version_order)
    point(product, root, former, current, manifests, released)
    return current


def point(
    product: Product,
    root: str,
    former: dict[str, Any],
    version: str,
    manifests: dict[str, str],
    released: dict[str, str],
) -> None:
    """Flip the pointer in one put, then write the catalog that belongs to it.

    Raises
    ------
    ReleaseError
        if the pointer is no longer the former one, which this one was made of
    """
    pointer_url = join(root, POINTER)
    pointer_bytes, pointer_version = read_version(pointer_url)
    if (json.loads(pointer_bytes) if pointer_bytes is not None else {}) != former:
        raise ReleaseError(f"{pointer_url} was changed by another release meanwhile; run this one again")
    catalog = encode(catalog_document(product, released))
    wanted = pointer(version, manifests, released, catalog)
    if wanted != pointer_bytes:
        require_lease()
        try:
            put_version(pointer_url, wanted, pointer_version)
        except ChangedError as error:
            raise ReleaseError(f"{pointer_url} was changed by another release meanwhile; run this one again") from error
    put_changed(join(root, CATALOG), catalog)
    open_front_door(product, root, version, released)


def open_front_door(product: Product, root: str, version: str, released: dict[str, str]) -> None:
    """Put the page at the root that tells people what is here, and a picture of the latest day beside it."""
    version_url = join(root, f"v{version}")
    with xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), consolidated=True, chunks=None) as store:
        put_changed(join(root, INDEX), front_door(product, store, version, released))
    if exists(join(version_url, THUMBNAIL)):
        put_changed(join(root, PREVIEW), read_bytes(join(version_url, THUMBNAIL)))


def close_front_door(root: str) -> None:
    """Remove pointer, catalog and front page; the pointer first, so that readers never follow it to what is missing."""
    require_lease()
    for name in (POINTER, CATALOG, INDEX, PREVIEW):
        if exists(url := join(root, name)):
            fs, path = filesystem(url)
            fs.rm_file(path)


def as_made(product: Product, root: str, version: str) -> Product:
    """The declaration of a version, also of one that `retrain` made: its lineage tells its training and network.

    Raises
    ------
    ReleaseError
        if the version is not complete, or was made by an older SoMo with other settings
    """
    version_url = join(root, f"v{version}")
    require_complete(version_url)
    if version == product.version:
        return product
    declared_then = json.loads(read_bytes(join(version_url, "lineage.json")))["configuration"]["declaration"]
    try:
        tables = {name: type(getattr(product, name)).model_validate(declared_then[name]) for name in RETRAINED}
    except (KeyError, pydantic.ValidationError) as error:
        raise ReleaseError(
            f"{version_url}/lineage.json: its training and network are not those of this SoMo ({error}); declare the "
            "version in the product's TOML, or retrain it"
        ) from error
    return product.model_copy(update={"version": version, **tables})


def require_complete(version_url: str) -> None:
    """Refuse a version that lacks what the stages write.

    Raises
    ------
    ReleaseError
        naming the object that is missing and the stage that writes it
    """
    stages = {"collection.json": "publish", "manifest.json": "publish", "report/index.html": "validate"}
    for name, stage in stages.items():
        if not exists(join(version_url, name)):
            raise ReleaseError(f"{version_url}: {name} is missing; run `somo run` as far as the stage {stage} first")


def require_checksums(version_url: str, client: Client) -> None:
    """Read every object again and refuse the version if one is not what its manifest says.

    Raises
    ------
    ReleaseError
        naming the objects
    """
    entries = sorted(read_manifest(version_url).items())
    batches = [dict(entries[i : i + BATCH]) for i in range(0, len(entries), BATCH)]
    futures = [client.submit(changed_objects, version_url, batch, pure=False) for batch in batches]
    damaged = sorted(key for changed_keys in completed(futures, "verify") for key in changed_keys)
    if damaged:
        raise ReleaseError(
            f"{version_url}: {len(damaged)} of {len(entries)} objects are not what was published: "
            f"{', '.join(damaged)}; `somo run` makes them again"
        )


def require_checks(product: Product, root: str) -> None:
    """Run the gate's checks, against the newest released version before this one."""
    require_passed(gate_results(product, root), results.version_url(product, root))
