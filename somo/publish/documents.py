"""Papers that go with a version: how to cite it, its licence, what changed, DataCite metadata."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.publish import attributes
from somo.publish.manifest import encode

LICENCES = {
    "CC-BY-4.0": ("Creative Commons Attribution 4.0 International", "https://creativecommons.org/licenses/by/4.0/"),
    "CC0-1.0": ("CC0 1.0 Universal", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "CC-BY-SA-4.0": (
        "Creative Commons Attribution Share Alike 4.0 International",
        "https://creativecommons.org/licenses/by-sa/4.0/",
    ),
}


def documents(
    product: Product, grid: Grid, times: pd.DatetimeIndex, lineage: dict[str, Any], changes: Sequence[str]
) -> dict[str, bytes]:
    """Bytes of every paper by key below the version."""
    return {
        "CITATION.cff": citation(product, times).encode(),
        "LICENSE.txt": licence(product).encode(),
        "CHANGELOG.md": changelog(product, times, changes).encode(),
        "lineage.json": encode(lineage),
        "datacite.json": encode(datacite(product, grid, times)),
    }


def citation(product: Product, times: pd.DatetimeIndex) -> str:
    """Citation File Format 1.2.0."""
    words = product.publication
    fields: list[tuple[str, Any]] = [
        ("cff-version", "1.2.0"),
        ("message", "If you use these data, please cite them as below."),
        ("type", "dataset"),
        ("title", attributes.title(product)),
        ("version", product.version),
        ("date-released", str(words.date) if words.date else ""),
        ("doi", words.doi),
        ("url", words.creator_url),
        ("license", words.licence),
        ("abstract", attributes.summary(product)),
    ]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields if value]
    lines += ["authors:", f"  - name: {json.dumps(words.creator, ensure_ascii=False)}"]
    return "\n".join([*lines, *_references(words.references.split("; ")), ""])


def _references(texts: Iterable[str]) -> list[str]:
    found = [text for text in texts if text]
    entries = [
        line
        for text in found
        for line in ("  - type: article", f"    title: {json.dumps(text)}", "    authors:", "      - name: see title")
    ]
    return ["references:", *entries] if found else []


def licence(product: Product) -> str:
    """Which licence holds, and where its text is."""
    words = product.publication
    name, url = LICENCES.get(words.licence, (words.licence, ""))
    where = f"\nThe text of the licence: {url}\n" if url else ""
    return (
        f"{attributes.title(product)}, version {product.version}\n(c) {words.creator}\n\n"
        f"These data are published under {name} ({words.licence}).\n{where}"
    )


def changelog(product: Product, times: pd.DatetimeIndex, changes: Sequence[str]) -> str:
    """What is new in this version."""
    dated = f" ({product.publication.date})" if product.publication.date else ""
    lines = [f"- {change}" for change in changes]
    return "\n".join(
        [f"# {product.name} {product.version}{dated}", "", f"Days from {times[0]:%Y-%m-%d}.", "", *lines, ""]
    )


def datacite(product: Product, grid: Grid, times: pd.DatetimeIndex) -> dict[str, Any]:
    """Attributes of a DataCite DOI (metadata schema 4)."""
    words = product.publication
    lat, lon = grid.bounds()
    name, url = LICENCES.get(words.licence, (words.licence, ""))
    box = {
        "westBoundLongitude": float(lon.min()),
        "eastBoundLongitude": float(lon.max()),
        "southBoundLatitude": float(lat.min()),
        "northBoundLatitude": float(lat.max()),
    }
    dates = [{"date": f"{times[0]:%Y-%m-%d}/{_last(product, times)}", "dateType": "Coverage"}]
    if words.date:
        dates.append({"date": str(words.date), "dateType": "Issued"})
    return {
        **({"doi": words.doi} if words.doi else {}),
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "titles": [{"title": attributes.title(product), "lang": "en"}],
        "creators": [{"name": words.creator, "nameType": "Organizational"}],
        "publisher": {"name": words.publisher or words.creator},
        "publicationYear": words.date.year if words.date else int(times[-1].year),
        "types": {"resourceType": "Gridded data set", "resourceTypeGeneral": "Dataset"},
        "subjects": [{"subject": s} for s in ("soil moisture", "drought", "machine learning")],
        "dates": dates,
        "language": "en",
        "version": product.version,
        "rightsList": [{"rights": name, "rightsIdentifier": words.licence, **({"rightsUri": url} if url else {})}],
        "descriptions": [{"description": attributes.summary(product), "descriptionType": "Abstract"}],
        "geoLocations": [{"geoLocationBox": box}],
        "formats": ["application/vnd.zarr", "application/x-netcdf"],
    }


def _last(product: Product, times: pd.DatetimeIndex) -> str:
    """The last day of a closed product; an open one ends where it stands, without a date."""
    return f"{times[-1]:%Y-%m-%d}" if product.period.end else ""
