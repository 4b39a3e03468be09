"""One run at a time writes to a root, which belongs to one product; what an upgrade will make again is told first.

Two files in the root say so: `.lease.json` while a run writes, and `product.json` from the first run on.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from flows import results
from flows.cluster.connecting import packages
from flows.console import console
from somo.product.declaration import Product, ProductError
from somo.storage.client import filesystem
from somo.storage.conditional import put_version, read_version
from somo.storage.lease import leased, never
from somo.storage.objects import join

LEASE, OWNER = ".lease.json", "product.json"
# What is made again when the format of a kind of results has changed.
MADE_AGAIN = {
    "samples": "the training samples, and with them every network and day of a version that is not complete",
    "models": "every network, and with them the days of a version that is not complete",
}


@contextmanager
def one_writer(product: Product, root: str, purpose: str, must_stop: Callable[[], str] = never) -> Iterator[None]:
    """Be the only run that writes to a root.

    Parameters
    ----------
    purpose : what is done, such as "run", for whoever comes second
    must_stop : asked again and again meanwhile: why nothing more may be written; empty if it may

    Raises
    ------
    LeaseError
        if another run is at work there
    ProductError
        if the root holds another product, or is in the hands of other users of this machine
    """
    require_own_folder(root)
    with leased(join(root, LEASE), f"{purpose} of {product.name} {product.version}", must_stop):
        sign(product, root)
        yield


def require_own_folder(root: str) -> None:
    """Require of a root on a disk that what is written below it stays there.

    Raises
    ------
    ProductError
        if anybody may write to the root, or another user has made a link in it
    """
    fs, path = filesystem(root)
    if not isinstance(fs, LocalFileSystem) or not Path(path).is_dir():
        return
    if Path(path).stat().st_mode & stat.S_IWOTH:
        raise ProductError(
            f"{root} may be written by every user of this machine, who could lead results elsewhere by links; take "
            f"that right away (chmod o-w {root}) or give another --root"
        )
    for folder, folders, names in os.walk(path):
        for link in filter(Path.is_symlink, (Path(folder, name) for name in (*folders, *names))):
            # The user's own links, as to a larger disk, lead where the user wants.
            if (maker := link.lstat().st_uid) not in (0, os.geteuid()):
                raise ProductError(
                    f"{link} is a link that another user ({maker}) has made: results would be written where it leads; "
                    "remove it, or give another --root"
                )


def sign(product: Product, root: str) -> None:
    """Require that a root is this product's, tell what has changed since its last run, and write down what runs now.

    Raises
    ------
    ProductError
        if the root holds another product, or its signature is damaged
    """
    url = join(root, OWNER)
    former_bytes, version = read_version(url)
    former = _signature(url, former_bytes)
    if former and former["name"] != product.name:
        raise ProductError(
            f"{root} holds the product {former['name']}, and this one is {product.name}: their versions would "
            "overwrite each other; give another --root"
        )
    running = made_with()
    for sentence in changed_since(former, running):
        console.print(sentence)
    signed = json.dumps({"name": product.name, **running}, indent=1).encode()
    if signed != former_bytes:
        put_version(url, signed, version)


def is_signed_by(product: Product, root: str) -> bool:
    """Whether a root is known to be this product's; not before its first run."""
    url = join(root, OWNER)
    return bool(_signature(url, read_version(url)[0]).get("name") == product.name)


def _signature(url: str, data: bytes | None) -> dict[str, Any]:
    """What a root's signature says; nothing where there is none."""
    if data is None:
        return {}
    try:
        signature = json.loads(data)
        return {key: signature[key] for key in ("name", "packages", "formats")}
    except (ValueError, KeyError, TypeError) as error:
        # As after a machine has lost its power: the file is there, and its bytes are not.
        raise ProductError(
            f"{url} is damaged ({error}); remove it if the root is this product's, and run again"
        ) from error


def made_with() -> dict[str, Any]:
    """What decides how results come out besides the declaration: packages, and the formats of results."""
    return {
        "packages": packages(),
        "formats": {"samples": results.SAMPLES_FORMAT, "models": results.MODELS_FORMAT},
    }


def changed_since(former: Mapping[str, Any], running: Mapping[str, Any]) -> list[str]:
    """Sentences about an upgrade between two runs: what is another version now, and what is made again for it."""
    if not former:
        return []
    changed = [
        f"{name} {former['packages'].get(name, 'absent')} is {version} now"
        for name, version in running["packages"].items()
        if former["packages"].get(name, "absent") != version
    ]
    sentences = [f"since the last run in this root: {', '.join(changed)}; finished results are kept"] if changed else []
    for kind, number in running["formats"].items():
        if former["formats"].get(kind) != number:
            sentences.append(
                f"this SoMo writes {kind} otherwise than the last run's: it makes again {MADE_AGAIN[kind]}"
            )
    return sentences
