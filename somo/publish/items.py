"""STAC items: one for each year's files, one for the latest day's GeoTIFFs."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pystac
import xarray as xr

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.publish import attributes, images, netcdf, slabs
from somo.publish.drought_netcdf import drought_url
from somo.publish.manifest import Entry

EXTENSIONS = {
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "projection": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "scientific": "https://stac-extensions.github.io/scientific/v1.0.0/schema.json",
    "version": "https://stac-extensions.github.io/version/v1.2.0/schema.json",
    "zarr": "https://stac-extensions.github.io/zarr/v1.1.0/schema.json",
    "cube": "https://stac-extensions.github.io/datacube/v2.2.0/schema.json",
}
GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"
NETCDF = "application/x-netcdf"
FLOAT = {"data_type": "float32", "raster:sampling": "area"}
DAY = dt.timedelta(days=1)


def items(product: Product, store: xr.Dataset, entries: Mapping[str, Entry]) -> list[pystac.Item]:
    """Every item of a version, the years in order and the latest day last."""
    times = pd.DatetimeIndex(store["time"].to_index())
    grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    return [*_years(product, times, grid, entries), *_latest(product, times, grid, entries)]


def box(grid: Grid) -> list[float]:
    """West, south, east, north edges in degrees, in the longitudes of the stored cells."""
    lat, lon = grid.bounds()
    return [float(v) for v in (lon.min(), lat.min(), lon.max(), lat.max())]


def _years(
    product: Product, times: pd.DatetimeIndex, grid: Grid, entries: Mapping[str, Entry]
) -> Iterator[pystac.Item]:
    for year in sorted({int(y) for y in times.year}):
        keys = {layer: netcdf.file_url("", product.name, layer.name, year).lstrip("/") for layer in product.layers}
        published = {layer: key for layer, key in keys.items() if key in entries}
        if not published:
            continue
        days = times[times.year == year]
        item = _item(product, str(year), f"{product.name} {year}", grid, days)
        for layer, key in published.items():
            title = f"soil moisture {100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm, {year}"
            bands = [{"name": layer.name, "unit": "m3 m-3", **FLOAT, "nodata": float(slabs.FILL)}]
            item.add_asset(layer.name, _asset(key, title, NETCDF, entries, {"bands": bands}))
        if (key := drought_url("", product.name, year).lstrip("/")) in entries:
            bands = [{"name": name, **FLOAT} for name in ("anomaly", "percentile", "drought_class")]
            item.add_asset("drought", _asset(key, f"drought, {year}", NETCDF, entries, {"bands": bands}))
        yield item


def _latest(
    product: Product, times: pd.DatetimeIndex, grid: Grid, entries: Mapping[str, Entry]
) -> Iterator[pystac.Item]:
    item = _item(product, "latest", f"{product.name}, the latest day", grid, times[-1:])
    for field in images.FIELDS:
        for layer in product.layers:
            key = images.key_of(product, layer.name, field)
            if key in entries:
                name = f"{layer.name}_{field}"
                bands = [{"name": name, **FLOAT, "nodata": "nan"}]
                title = f"{field.replace('_', ' ')} {100 * layer.top_m:g}-{100 * layer.bottom_m:g} cm"
                item.add_asset(name, _asset(key, title, GEOTIFF, entries, {"bands": bands}))
    if item.assets:
        yield item


def _asset(key: str, title: str, media_type: str, entries: Mapping[str, Entry], fields: dict[str, Any]) -> pystac.Asset:
    # A multihash: 0x12 says SHA-256, 0x20 its 32 bytes.
    described = {"file:size": entries[key].size, "file:checksum": f"1220{entries[key].sha256}", **fields}
    return pystac.Asset(f"../{key}", title, media_type=media_type, roles=["data"], extra_fields=described)


def _outline(grid: Grid) -> dict[str, Any]:
    """The grid as GeoJSON, which has a grid across the date line in two parts."""
    west, south, east, north = grid.signed_box()
    parts = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
    rings = [[[w, south], [e, south], [e, north], [w, north], [w, south]] for w, e in parts]
    if len(rings) == 1:
        return {"type": "Polygon", "coordinates": rings}
    return {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}


def _item(product: Product, name: str, title: str, grid: Grid, days: pd.DatetimeIndex) -> pystac.Item:
    west, _, _, north = edges = box(grid)
    item = pystac.Item(
        name,
        _outline(grid),
        list(grid.signed_box()),
        None,
        {"title": title, "version": product.version, **scientific(product), **processing(product)},
        start_datetime=days[0].to_pydatetime(),
        # STAC counts the end as part of the item, so it is the last second of the day.
        end_datetime=days[-1].to_pydatetime() + DAY - dt.timedelta(seconds=1),
        stac_extensions=[EXTENSIONS[name] for name in ("file", "projection", "raster", "version", "processing")],
    )
    if "sci:citation" in item.properties:
        item.stac_extensions.append(EXTENSIONS["scientific"])
    item.properties.update({"proj:code": "EPSG:4326", "proj:bbox": edges})
    if images.is_regular(grid):
        step = grid.step_deg
        item.properties["proj:shape"] = list(grid.shape)
        item.properties["proj:transform"] = [step, 0.0, west, 0.0, -step, north]
    return item


def scientific(product: Product) -> dict[str, Any]:
    """Fields of the scientific extension: citation, DOI, papers."""
    publication = product.publication
    papers = [
        {"doi": doi, "citation": text}
        for doi, text in zip(publication.papers, publication.references.split("; "), strict=False)
    ]
    doi = {"sci:doi": publication.doi} if publication.doi else {}
    return {"sci:citation": attributes.citation(product), **doi, **({"sci:publications": papers} if papers else {})}


def processing(product: Product) -> dict[str, Any]:
    """Fields of the processing extension."""
    return {
        "processing:level": "L4",
        "processing:lineage": (
            f"{product.network.name} ensemble of {product.training.members} members; lineage.json names its inputs"
        ),
    }
