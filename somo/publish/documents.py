"""Papers that go with a version: how to cite it, its licence, what changed, DataCite metadata."""

import json
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import pandas as pd

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.publication import Author, Publication
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
    product: Product, grid: Grid, times: pd.DatetimeIndex, lineage: dict[str, Any], changes: Sequence[str], year: int
) -> dict[str, bytes]:
    """Bytes of every paper by key below the version.

    Parameters
    ----------
    year : of the release, which the version is cited by where its declaration has no date
    """
    return {
        "README.md": readme(product, grid, times, year).encode(),
        "CITATION.cff": citation(product).encode(),
        "LICENSE.txt": licence(product).encode(),
        "CHANGELOG.md": changelog(product, times, changes).encode(),
        "lineage.json": encode(lineage),
        "datacite.json": encode(datacite(product, grid, times, year)),
    }


def citation(product: Product) -> str:
    """Citation File Format 1.2.0."""
    publication = product.publication
    fields: list[tuple[str, Any]] = [
        ("cff-version", "1.2.0"),
        ("message", "If you use these data, please cite them as below."),
        ("type", "dataset"),
        ("title", attributes.title(product)),
        ("version", product.version),
        ("date-released", str(publication.date) if publication.date else ""),
        ("doi", publication.doi),
        ("url", publication.creator_url),
        ("license", publication.licence),
        ("abstract", attributes.summary(product)),
    ]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields if value]
    lines += ["authors:", *(_authors(product))]
    return "\n".join([*lines, *_references(publication), ""])


def _authors(product: Product) -> Iterable[str]:
    publication = product.publication
    if not publication.authors:
        yield f"  - name: {json.dumps(publication.creator, ensure_ascii=False)}"
    for author in publication.authors:
        yield f"  - family-names: {json.dumps(author.family, ensure_ascii=False)}"
        yield f"    given-names: {json.dumps(author.given, ensure_ascii=False)}"
        if author.affiliation:
            yield f"    affiliation: {json.dumps(author.affiliation, ensure_ascii=False)}"
        if author.orcid:
            yield f"    orcid: https://orcid.org/{author.orcid}"


def _references(publication: Publication) -> list[str]:
    # CFF requires authors of every reference; the declaration gives a reference as one text, in which the year in
    # brackets follows them.
    entries = [
        line
        for text, paper in zip_longest(publication.references.split("; "), publication.papers)
        if text
        for line in (
            "  - type: article",
            f"    title: {json.dumps(text, ensure_ascii=False)}",
            "    authors:",
            f"      - name: {json.dumps(text.split(' (')[0], ensure_ascii=False)}",
            *([f"    doi: {json.dumps(paper)}"] if paper else []),
        )
    ]
    return ["references:", *entries] if entries else []


def contents(product: Product, grid: Grid, times: pd.DatetimeIndex) -> str:
    """First day, layers and cells of a version for newcomers; the last day would change with every update."""
    lat, lon = grid.bounds()
    depths = ", ".join(f"{100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm" for layer in product.layers)
    return (
        f"Days from {times[0]:%Y-%m-%d} on. Layers: {depths}. Cells of "
        f"{product.grid.step_deg:g} degrees between {lat.min():g} and {lat.max():g} degrees north, "
        f"{lon.min():g} and {lon.max():g} degrees east."
    )


def readme(product: Product, grid: Grid, times: pd.DatetimeIndex, year: int) -> str:
    """What lies in the version's folder and how to read it, for those who find it there."""
    # The first year, which is the first to have files: the last one has none before it is complete.
    name = f"{product.name}_{product.layers[0].name}_{times[0].year}.nc"
    return f"""# {attributes.title(product)}, version {product.version}

{attributes.summary(product)}

{contents(product, grid, times)} The last day was {times[-1]:%Y-%m-%d} at the time of writing. {attributes.DAY}

| what | where |
|---|---|
| maps, Zarr 3 | `soil_moisture.zarr` |
| the same laid out for series | `soil_moisture_series.zarr` |
| the latest day alone, Zarr 3 | `latest.zarr` |
| drought, Zarr 3 (from {product.drought.min_years} complete years on) | `drought.zarr` |
| countries: mean series and, with drought, the share of area in each class, Zarr 3 | `regions.zarr` |
| yearly files, one a layer | `netcdf/`, such as `{name}` |
| the latest day for QGIS and GDAL, one cloud-optimised GeoTIFF a layer and quantity | `geotiff/` |
| stations that were learnt from, targets, predictions at cells held back | `validation/` |
| how it was validated | `report/index.html` |
| catalogue (STAC) | `collection.json` |
| checksums of everything | `manifest.json` |

| variable | what it is |
|---|---|
| `soil_moisture` | daily mean, m3 m-3 |
| `soil_moisture_uncertainty` | its predictive standard uncertainty, m3 m-3: mean +- 1.645 of it means 90 % |
| `soil_moisture_std` | spread of the members of the ensemble, m3 m-3: what training leaves to chance, not the error |
| `applicability`, `dissimilarity` | whether, and how far, a cell is like the cells that the model was trained on |
| `frozen` | whether the ground counts as frozen |
| `status` | whether a day is final or may still change with its forcing |

Uncertainty and frozen ground are there where the product was made with them.

Take values with care where `applicability` is 0 (it is 0 as well where there are no values), on days with `frozen` = 1,
and on days whose `status` is provisional. How well values, their anomalies and their uncertainty hold is in the report.

A window of drought is in class D0, D1, D2, D3 or D4 where at most 30, 20, 10, 5 or 2 % of the base period's windows of
its season and the two beside it are as dry; `drought.zarr` tells how long a window is and which years are the base.

    xr.open_zarr("<address of this folder>/soil_moisture.zarr", decode_coords="all")

Cite as: {attributes.citation(product, year)}
Licence: {product.publication.licence}, see `LICENSE.txt`.
"""


def licence(product: Product) -> str:
    """Which licence holds, and where its text is."""
    publication = product.publication
    name, url = LICENCES.get(publication.licence, (publication.licence, ""))
    where = f"\nThe text of the licence: {url}\n" if url else ""
    return (
        f"{attributes.title(product)}, version {product.version}\n(c) {publication.creator}\n\n"
        f"These data are published under {name} ({publication.licence}).\n{where}"
    )


def changelog(product: Product, times: pd.DatetimeIndex, changes: Sequence[str]) -> str:
    """What is new in this version."""
    dated = f" ({product.publication.date})" if product.publication.date else ""
    lines = [f"- {change}" for change in changes]
    return "\n".join(
        [f"# {product.name} {product.version}{dated}", "", f"Days from {times[0]:%Y-%m-%d}.", "", *lines, ""]
    )


def datacite(product: Product, grid: Grid, times: pd.DatetimeIndex, year: int) -> dict[str, Any]:
    """Attributes of a DataCite DOI (metadata schema 4.6, as its REST interface takes them)."""
    publication = product.publication
    west, south, east, north = grid.signed_box()
    name, url = LICENCES.get(publication.licence, (publication.licence, ""))
    box = {
        "westBoundLongitude": west,
        "eastBoundLongitude": east,
        "southBoundLatitude": south,
        "northBoundLatitude": north,
    }
    dates = [{"date": f"{times[0]:%Y-%m-%d}/{_last(product, times)}", "dateType": "Coverage"}]
    if publication.date:
        dates.append({"date": str(publication.date), "dateType": "Issued"})
    return {
        **({"doi": publication.doi} if publication.doi else {}),
        "schemaVersion": "http://datacite.org/schema/kernel-4",
        "titles": [{"title": attributes.title(product), "lang": "en"}],
        "creators": [_creator(author) for author in publication.authors]
        or [{"name": publication.creator, "nameType": "Organizational"}],
        "publisher": {"name": publication.publisher or publication.creator},
        "publicationYear": str(publication.date.year if publication.date else year),
        "types": {"resourceType": "Gridded data set", "resourceTypeGeneral": "Dataset"},
        "subjects": [{"subject": s} for s in attributes.keywords(product, times)],
        "dates": dates,
        "relatedIdentifiers": [
            {"relatedIdentifier": doi, "relatedIdentifierType": "DOI", "relationType": "IsDescribedBy"}
            for doi in publication.papers
        ],
        "language": "en",
        "version": product.version,
        "rightsList": [
            {
                "rights": name,
                "rightsIdentifier": publication.licence,
                "rightsIdentifierScheme": "SPDX",
                **({"rightsUri": url} if url else {}),
            }
        ],
        "descriptions": [{"description": attributes.summary(product), "descriptionType": "Abstract"}],
        "geoLocations": [{"geoLocationBox": box}],
        "formats": ["application/vnd.zarr", "application/x-netcdf"],
    }


def _creator(author: Author) -> dict[str, Any]:
    person: dict[str, Any] = {
        "name": f"{author.family}, {author.given}",
        "nameType": "Personal",
        "givenName": author.given,
        "familyName": author.family,
    }
    if author.affiliation:
        person["affiliation"] = [{"name": author.affiliation}]
    if author.orcid:
        identifier = {"nameIdentifier": f"https://orcid.org/{author.orcid}", "nameIdentifierScheme": "ORCID"}
        person["nameIdentifiers"] = [{**identifier, "schemeUri": "https://orcid.org"}]
    return person


def _last(product: Product, times: pd.DatetimeIndex) -> str:
    """The last day of a product whose period ends; empty for one that goes on."""
    return f"{times[-1]:%Y-%m-%d}" if product.period.end else ""
