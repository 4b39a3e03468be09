"""Where a version comes from: hashes of inputs, configuration, checkpoints and code."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import somo
from somo.product.declaration import Product, content_hash
from somo.product.patterns import Pattern


def lineage(
    product: Product,
    root: str,
    forcing: Mapping[str, Mapping[str, str]],
    results: Mapping[str, str],
    uncertainty: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Everything that made a version.

    Parameters
    ----------
    root : results below this URL are named by their path from it
    forcing : domain -> variable -> URL of its reference set (named by the hash of its content), and `static`
    results : what else entered, such as targets and checkpoints, by name -> URL named by hash
    uncertainty : numbers by which the uncertainty of each layer is calibrated; none of models that do not know it
    """
    return {
        "product": product.name,
        "version": product.version,
        "code": {"somo": _installed(), "sha256": code_checksum()},
        "configuration": {"hash": content_hash(product), "declaration": declaration(product)},
        "forcing": {d: {name: _below(root, url) for name, url in urls.items()} for d, urls in forcing.items()},
        **{name: _below(root, url) for name, url in results.items()},
        "uncertainty": [dict(layer) for layer in uncertainty],
    }


def declaration(product: Product) -> dict[str, Any]:
    """The declaration without where it ran, and with the names of sources instead of their private addresses.

    Defaults are left out, except in `network` and `training`: these decide the models and are written in full.
    """
    declared = product.model_dump(mode="json", exclude={"root", "cluster"}, exclude_defaults=True)
    return _names({**declared, **product.model_dump(mode="json", include={"network", "training"})})


def changes(former: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """What differs between the lineages of two versions, for people."""
    if former is None:
        return ["first version"]
    differences = [
        f"{name}: {_at(former, path)} became {_at(now, path)}"
        for name, path in (
            ("code", ("code", "somo")),
            ("targets", ("targets",)),
            ("checkpoints", ("checkpoints",)),
        )
        if _at(former, path) != _at(now, path)
    ]
    former_declaration, new_declaration = former["configuration"]["declaration"], now["configuration"]["declaration"]
    for key in sorted(former_declaration.keys() | new_declaration.keys()):
        if former_declaration.get(key) != new_declaration.get(key) and key != "version":
            differences.append(f"configuration: [{key}] changed")
    if former["forcing"] != now["forcing"]:
        differences.append("forcing: other or further source files")
    return differences or ["nothing but the version's number"]


def code_checksum() -> str:
    """SHA-256 over the package's source files and their names."""
    folder = Path(somo.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _installed() -> str:
    try:
        return version("somo")
    except PackageNotFoundError:
        return "not installed"


def _below(root: str, url: str) -> str:
    inside = root.rstrip("/") + "/"
    return url.removeprefix(inside) if url.startswith(inside) else url.rsplit("/", 1)[-1]


def _names(table: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _without_address(v) if k == "url" else _named(v) for k, v in table.items()}


def _without_address(url: str | list[str]) -> str | list[str]:
    """Names of files at a URL or a list of URLs."""
    if isinstance(url, list):
        return [_file_name(each) for each in url]
    return _file_name(url)


def _file_name(url: str) -> str:
    # The lineage is public: behind the question mark of a web address may stand a token or a signature.
    path = url.partition("?")[0] if Pattern(url).on_web else url
    return path.rsplit("/", 1)[-1]


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return _names(value)
    return [_named(v) for v in value] if isinstance(value, list) else value


def _at(value: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    for key in path:
        value = value[key]
    return value
