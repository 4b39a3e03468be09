"""Static STAC: a catalog of versions, a collection per version; its items are made in `somo.publish.items`."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import pystac
import xarray as xr

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.inputs import Layer
from somo.product.layout import FROZEN
from somo.publish import attributes, images, items
from somo.publish.documents import LICENCES
from somo.publish.manifest import Entry
from somo.publish.store import drought as drought_store
from somo.publish.store import latest, regions, series
from somo.publish.store import maps as zarr
from somo.publish.store.drought_fields import BY_SEASON, BY_WINDOW, FIELDS, PROBABILITIES
from somo.publish.store.region_sums import CLASSES

MEDIA_TYPES = {
    "zarr": "application/vnd.zarr; version=3",
    "png": "image/png",
    "geojson": "application/geo+json",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "html": "text/html",
    "text": "text/plain",
    "markdown": "text/markdown",
    "yaml": "application/yaml",
}
DATA = ("soil_moisture", attributes.UNCERTAINTY, "soil_moisture_std")
ABOUT = ("status", "applicability", attributes.DISSIMILARITY, FROZEN)
DOCUMENTS = {
    "report": ("report/index.html", "Validation report", "html", "overview"),
    "citation": ("CITATION.cff", "How to cite", "yaml", "metadata"),
    "licence": ("LICENSE.txt", "Licence", "text", "metadata"),
    "readme": ("README.md", "What is here and how to read it", "markdown", "metadata"),
    "thumbnail": (images.THUMBNAIL, "Soil moisture of the latest day", "png", "thumbnail"),
    "stations": ("validation/stations.geojson", "Stations used in training", "geojson", "metadata"),
    "changelog": ("CHANGELOG.md", "What changed", "markdown", "metadata"),
    "lineage": ("lineage.json", "Hashes of everything that made this version", "json", "metadata"),
    "datacite": ("datacite.json", "DataCite metadata", "json", "metadata"),
    "manifest": ("manifest.json", "Checksums of every object", "json", "metadata"),
    "targets": ("validation/targets.parquet", "In-situ targets per cell, layer and day", "parquet", "metadata"),
    "sensors": ("validation/sensors.parquet", "Sensors kept and dropped, with reasons", "parquet", "metadata"),
    "crossval": ("validation/crossval.parquet", "Out-of-fold predictions", "parquet", "metadata"),
}
# Not every version has these documents: pictures need a regular grid.
WHERE_MADE = ("thumbnail", "stations")


def version_documents(
    product: Product, store: xr.Dataset, entries: Mapping[str, Entry], year: int | None = None
) -> dict[str, dict[str, Any]]:
    """The collection and its items, ready to be written below the version.

    Parameters
    ----------
    store : the version's Zarr store
    entries : checksums of the version's objects by key
    year : of the release, which the version is cited by where its declaration has no date
    """
    collection = _collection(product, store, entries)
    described = items.items(product, store, entries)
    citation = attributes.citation(product, year)
    collection.extra_fields["sci:citation"] = citation
    for item in described:
        item.properties["sci:citation"] = citation
        collection.add_item(item)
    root = _root(product, [collection])
    _place(root)
    documents = {"collection.json": collection.to_dict(include_self_link=False)}
    for item in described:
        documents[f"items/{item.id}.json"] = item.to_dict(include_self_link=False)
    return documents


def catalog_document(product: Product, versions: Iterable[str]) -> dict[str, Any]:
    """The catalog of released versions, the newest first."""
    root = _root(product, [])
    _place(root)
    for version in sorted(versions, key=version_order, reverse=True):
        title = f"{attributes.title(product)}, version {version}"
        root.add_link(pystac.Link("child", f"./v{version}/collection.json", "application/json", title))
    return root.to_dict(include_self_link=False)


def version_order(version: str) -> tuple[int, ...]:
    """Key by which versions are sorted."""
    return tuple(int(number) for number in version.split("."))


def _root(product: Product, children: list[pystac.Collection]) -> pystac.Catalog:
    root = pystac.Catalog(
        product.name,
        attributes.summary(product),
        attributes.title(product),
        catalog_type=pystac.CatalogType.SELF_CONTAINED,
    )
    for child in children:
        root.add_child(child)
    return root


def _place(root: pystac.Catalog) -> None:
    """Give every object the address it is written to; the base cancels out as all links are relative."""
    layout = pystac.layout.CustomLayoutStrategy(
        catalog_func=lambda _, parent, __: f"{parent}/catalog.json",
        collection_func=lambda c, parent, __: f"{parent}/v{c.extra_fields['version']}/collection.json",
        item_func=lambda item, parent: f"{parent}/items/{item.id}.json",
    )
    root.normalize_hrefs("https://data.invalid", strategy=layout)


def _collection(product: Product, store: xr.Dataset, entries: Mapping[str, Entry]) -> pystac.Collection:
    publication = product.publication
    times = pd.DatetimeIndex(store["time"].to_index())
    grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    about = {"version": product.version, **items.scientific(product)}
    every_days = product.drought.every_days if f"{drought_store.STORE}/{zarr.ROOT}" in entries else 0
    cube = _cube(store, grid, times, every_days)
    collection = pystac.Collection(
        f"{product.name}-v{product.version}",
        attributes.summary(product),
        pystac.Extent(
            pystac.SpatialExtent([list(grid.signed_box())]),
            pystac.TemporalExtent([[times[0].to_pydatetime(), times[-1].to_pydatetime() + items.DAY]]),
        ),
        title=f"{attributes.title(product)}, version {product.version}",
        license=publication.licence,
        keywords=attributes.keywords(product, times),
        providers=[
            pystac.Provider(
                publication.creator,
                roles=[pystac.ProviderRole.PRODUCER, pystac.ProviderRole.PROCESSOR, pystac.ProviderRole.LICENSOR],
                url=publication.creator_url or None,
                extra_fields=items.processing(product),
            )
        ],
        # In their order, since pages and programs know a layer by its place in the stores, and its files by its name.
        # pystac leaves out lists of `maxcount` and more.
        summaries=pystac.Summaries({"bands": [_band(layer) for layer in product.layers]}, len(product.layers) + 1),
        extra_fields={**about, **cube},
        stac_extensions=[items.EXTENSIONS[name] for name in ("cube", "version", "processing", "scientific", "zarr")],
        assets=_collection_assets(entries, cube["cube:dimensions"]),
    )
    name, url = LICENCES.get(publication.licence, (publication.licence, "./LICENSE.txt"))
    collection.add_link(pystac.Link("license", url or "./LICENSE.txt", "text/html" if url else "text/plain", name))
    if publication.doi:
        collection.add_link(pystac.Link("cite-as", f"https://doi.org/{publication.doi}"))
    return collection


def _band(layer: Layer) -> dict[str, Any]:
    """A layer as the assets of items name it."""
    depth = f"{100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm"
    return {"name": layer.name, "description": f"soil moisture {depth}", "unit": "m3 m-3", **items.FLOAT}


def _collection_assets(entries: Mapping[str, Entry], axes: Mapping[str, Any]) -> dict[str, pystac.Asset]:
    stored = {"zarr:consolidated": True, "zarr:node_type": "group", "zarr:zarr_format": 3}
    stores = {
        "zarr": (zarr.STORE, "Daily soil moisture, Zarr laid out for maps"),
        "zarr-series": (series.STORE, "Daily soil moisture, Zarr laid out for series"),
        "latest": (latest.STORE, "The latest day alone, one chunk a layer, Zarr"),
        "drought": (drought_store.STORE, "Drought: anomalies, percentiles, classes and climatology, Zarr"),
        "regions": (regions.STORE, "Countries: mean series and, with drought, the share of area in each class, Zarr"),
    }
    described = {"regions": _region_cube(axes, "season" in axes)}
    assets = {
        name: pystac.Asset(
            f"./{path}",
            title,
            media_type=MEDIA_TYPES["zarr"],
            roles=["data"],
            extra_fields={**stored, **described.get(name, {})},
        )
        for name, (path, title) in stores.items()
        if f"{path}/{zarr.ROOT}" in entries
    }
    for name, (path, title, kind, role) in DOCUMENTS.items():
        if name in WHERE_MADE and path not in entries:
            continue
        assets[name] = pystac.Asset(f"./{path}", title, media_type=MEDIA_TYPES[kind], roles=[role])
    return assets


def _region_cube(axes: Mapping[str, Any], has_drought: bool) -> dict[str, Any]:
    """Fields of the datacube extension of the countries' store, which shares depth and time with the maps."""
    codes = {"type": "country", "extent": [None, None], "description": "numeric code of ISO 3166-1"}
    dimensions: dict[str, Any] = {"region": codes, "depth": axes["depth"], "time": axes["time"]}
    mean = {"type": "data", "dimensions": ["region", "depth", "time"], "unit": "m3 m-3"}
    variables: dict[str, Any] = {"soil_moisture": {**mean, "description": "mean over the country's cells by area"}}
    if has_drought:
        windows = {"type": "temporal", "extent": axes["time"]["extent"], "description": "last day of the window"}
        dimensions["window"] = windows
        dimensions["drought_class"] = {"type": "class", "values": list(CLASSES)}
        share = {"type": "data", "dimensions": ["region", "depth", "window", "drought_class"], "unit": "1"}
        variables[regions.SHARE] = {**share, "description": "share of the country's area in the class"}
    return {"cube:dimensions": dimensions, "cube:variables": variables}


def _cube(store: xr.Dataset, grid: Grid, times: pd.DatetimeIndex, every_days: int) -> dict[str, Any]:
    """Fields of the datacube extension: axes and the variables of every store.

    Parameters
    ----------
    every_days : between the windows of drought, 0 without drought
    """
    dimensions = _cube_axes(store, grid, times)
    variables = {
        name: _variable(store[name], kind)
        for kind, names in (("data", DATA), ("auxiliary", ABOUT))
        for name in names
        if name in store
    }
    if every_days:
        ends = list(range(every_days, 366, every_days))
        dimensions["season"] = {
            "type": "window of the year", "values": ends, "description": "day of the year on which it ends"
        }  # fmt: skip
        variables |= _drought_variables(has_probabilities=attributes.UNCERTAINTY in store)
    return {"cube:dimensions": dimensions, "cube:variables": variables}


def _cube_axes(store: xr.Dataset, grid: Grid, times: pd.DatetimeIndex) -> dict[str, dict[str, Any]]:
    """Depth, time, latitude and longitude; extents of the datacube extension reach from centre to centre."""
    west, south, east, north = items.box(grid)
    half = grid.step_deg / 2
    across = {
        "type": "spatial",
        "reference_system": 4326,
        "step": grid.step_deg if images.is_regular(grid) else None,
    }
    depth = {"type": "spatial", "axis": "z", "values": [float(v) for v in store["depth"]], "unit": "m"}
    return {
        "depth": {**depth, "description": "middle of the layer, positive down; layers in depth_bnds"},
        "time": {"type": "temporal", "extent": [_stamp(times[0]), _stamp(times[-1])], "step": "P1D"},
        "lat": {**across, "axis": "y", "extent": [round(south + half, 6), round(north - half, 6)]},
        "lon": {**across, "axis": "x", "extent": [round(west + half, 6), round(east - half, 6)]},
    }


def _drought_variables(has_probabilities: bool) -> dict[str, dict[str, Any]]:
    """Fields by window as data, and the climatology behind them as auxiliary variables."""
    by_window = (*BY_WINDOW, *(PROBABILITIES if has_probabilities else ()))
    kinds = {
        **dict.fromkeys(by_window, ("data", zarr.DIMS)),
        **dict.fromkeys(BY_SEASON, ("auxiliary", drought_store.CLIMATOLOGY)),
    }
    return {
        name: {
            "type": kind,
            "dimensions": list(dims),
            "description": str(FIELDS[name]["long_name"]),
            "unit": str(FIELDS[name]["units"]),
        }
        for name, (kind, dims) in kinds.items()
    }


def _variable(array: xr.DataArray, kind: str) -> dict[str, Any]:
    about = {"description": array.attrs.get("long_name", array.name), "unit": array.attrs.get("units", "1")}
    return {"type": kind, "dimensions": [str(d) for d in array.dims], **about}


def _stamp(day: pd.Timestamp) -> str:
    return f"{day:%Y-%m-%dT%H:%M:%SZ}"
