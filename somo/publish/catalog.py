"""Static STAC: a catalog of versions, a collection per version, an item per year."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pystac
import xarray as xr
from pystac.extensions.datacube import DatacubeExtension, Dimension, Variable
from pystac.extensions.file import FileExtension

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.publish import attributes, netcdf
from somo.publish.manifest import Entry
from somo.publish.store import drought as drought_store
from somo.publish.store import maps as zarr
from somo.publish.store import series

ZARR_EXTENSION = "https://stac-extensions.github.io/zarr/v1.0.0/schema.json"
MEDIA_TYPES = {
    "zarr": "application/vnd.zarr; version=3",
    "netcdf": "application/x-netcdf",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "html": "text/html",
    "text": "text/plain",
    "markdown": "text/markdown",
    "yaml": "application/yaml",
}
DAY = dt.timedelta(days=1)
DOCUMENTS = {
    "report": ("report/index.html", "Validation report", "html", "overview"),
    "citation": ("CITATION.cff", "How to cite", "yaml", "metadata"),
    "licence": ("LICENSE.txt", "Licence", "text", "metadata"),
    "changelog": ("CHANGELOG.md", "What changed", "markdown", "metadata"),
    "lineage": ("lineage.json", "Hashes of everything that made this version", "json", "metadata"),
    "datacite": ("datacite.json", "DataCite metadata", "json", "metadata"),
    "manifest": ("manifest.json", "Checksums of every object", "json", "metadata"),
    "targets": ("validation/targets.parquet", "In-situ targets per cell, layer and day", "parquet", "metadata"),
    "sensors": ("validation/sensors.parquet", "Sensors kept and dropped, with reasons", "parquet", "metadata"),
    "crossval": ("validation/crossval.parquet", "Out-of-fold predictions", "parquet", "metadata"),
}


def version_documents(product: Product, store: xr.Dataset, entries: Mapping[str, Entry]) -> dict[str, dict[str, Any]]:
    """The collection and its items, ready to be written below the version.

    Parameters
    ----------
    store : the version's Zarr store
    entries : checksums of the version's objects by key
    """
    collection = _collection(product, store, entries)
    items = _items(product, pd.DatetimeIndex(store["time"].to_index()), store, entries)
    for item in items:
        collection.add_item(item)
    root = _root(product, [collection])
    _place(root)
    documents = {"collection.json": collection.to_dict(include_self_link=False)}
    for item in items:
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
    return tuple(int(part) for part in version.split("."))


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
    words = product.publication
    times = pd.DatetimeIndex(store["time"].to_index())
    grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    collection = pystac.Collection(
        f"{product.name}-v{product.version}",
        attributes.summary(product),
        pystac.Extent(
            pystac.SpatialExtent([_box(grid)]),
            pystac.TemporalExtent([[times[0].to_pydatetime(), times[-1].to_pydatetime() + DAY]]),
        ),
        title=f"{attributes.title(product)}, version {product.version}",
        license=words.licence,
        keywords=["soil moisture", "drought", "in situ", "machine learning"],
        providers=[
            pystac.Provider(
                words.creator,
                roles=[pystac.ProviderRole.PRODUCER, pystac.ProviderRole.LICENSOR],
                url=words.creator_url or None,
            )
        ],
        extra_fields={"version": product.version},
        assets=_collection_assets(entries),
    )
    collection.stac_extensions.append(ZARR_EXTENSION)
    _describe_cube(collection, store, grid, times)
    return collection


def _collection_assets(entries: Mapping[str, Entry]) -> dict[str, pystac.Asset]:
    fields = {"zarr:consolidated": True, "zarr:node_type": "group", "zarr:zarr_format": 3}
    stores = {
        "zarr": (zarr.STORE, "Daily soil moisture, Zarr laid out for maps"),
        "zarr-series": (series.STORE, "Daily soil moisture, Zarr laid out for series"),
        "drought": (drought_store.STORE, "Drought: anomalies, percentiles, classes and climatology, Zarr"),
    }
    assets = {
        name: pystac.Asset(
            f"./{path}", title, media_type=MEDIA_TYPES["zarr"], roles=["data"], extra_fields=dict(fields)
        )
        for name, (path, title) in stores.items()
        if f"{path}/{zarr.ROOT}" in entries
    }
    for name, (path, title, kind, role) in DOCUMENTS.items():
        assets[name] = pystac.Asset(f"./{path}", title, media_type=MEDIA_TYPES[kind], roles=[role])
    return assets


def _describe_cube(collection: pystac.Collection, store: xr.Dataset, grid: Grid, times: pd.DatetimeIndex) -> None:
    west, south, east, north = _box(grid)
    half = grid.step_deg / 2
    across = {"type": "spatial", "reference_system": 4326, "step": grid.step_deg if _is_regular(grid) else None}
    dimensions: dict[str, dict[str, Any]] = {
        "depth": {"type": "spatial", "axis": "z", "values": [float(v) for v in store["depth"]], "unit": "m"},
        "time": {"type": "temporal", "extent": [_stamp(times[0]), _stamp(times[-1])], "step": "P1D"},
        "lat": {**across, "axis": "y", "extent": [round(south + half, 6), round(north - half, 6)]},
        "lon": {**across, "axis": "x", "extent": [round(west + half, 6), round(east - half, 6)]},
    }
    dimensions["depth"]["description"] = "middle of the layer, positive down; layers in depth_bnds"
    names = ("soil_moisture", "soil_moisture_std", "status", "applicability")
    variables = {n: Variable(_variable(store[n])) for n in names}
    cube = DatacubeExtension.ext(collection, add_if_missing=True)
    cube.apply({name: Dimension.from_dict(d) for name, d in dimensions.items()}, variables)


def _variable(array: xr.DataArray) -> dict[str, Any]:
    about = {"description": array.attrs.get("long_name", array.name), "unit": array.attrs.get("units", "1")}
    return {"type": "data", "dimensions": [str(d) for d in array.dims], **about}


def _items(
    product: Product, times: pd.DatetimeIndex, store: xr.Dataset, entries: Mapping[str, Entry]
) -> list[pystac.Item]:
    """One item per year that has files."""
    box = _box(Grid(store["lat"].values, store["lon"].values, product.grid.step_deg))
    items = []
    for year in sorted({int(y) for y in times.year}):
        keys = {layer: netcdf.file_url("", product.name, layer.name, year).lstrip("/") for layer in product.layers}
        there = {layer: key for layer, key in keys.items() if key in entries}
        if there:
            days = times[times.year == year]
            item = pystac.Item(
                str(year),
                _polygon(box),
                box,
                None,
                {"title": f"{product.name} {year}", "version": product.version},
                start_datetime=days[0].to_pydatetime(),
                end_datetime=days[-1].to_pydatetime() + DAY - dt.timedelta(seconds=1),
            )
            for layer, key in there.items():
                title = f"soil moisture {layer.top_m:g}-{layer.bottom_m:g} m, {year}"
                asset = pystac.Asset(f"../{key}", title, media_type=MEDIA_TYPES["netcdf"], roles=["data"])
                item.add_asset(layer.name, asset)
                about = FileExtension.ext(asset, add_if_missing=True)
                about.apply(size=entries[key].size, checksum=f"1220{entries[key].sha256}")
            items.append(item)
    return items


def _box(grid: Grid) -> list[float]:
    """West, south, east, north edges in degrees."""
    lat, lon = grid.bounds()
    return [float(v) for v in (lon.min(), lat.min(), lon.max(), lat.max())]


def _is_regular(grid: Grid) -> bool:
    return all(len(axis) < 2 or np.ptp(np.diff(axis)) < 1e-6 for axis in (grid.lat, grid.lon))


def _polygon(box: list[float]) -> dict[str, Any]:
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def _stamp(day: pd.Timestamp) -> str:
    return f"{day:%Y-%m-%dT%H:%M:%SZ}"
