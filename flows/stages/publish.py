"""What readers get beside the Zarr store: yearly files, the store for series, drought, the inputs of validation."""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from distributed import Client

from flows.cluster.watching import completed
from flows.stages.countries import damaged, open_drought, open_maps, write_regions
from flows.today import today
from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.forcing.dataset import Inputs
from somo.learn.uncertainty import UNCERTAINTY as CALIBRATION
from somo.learn.uncertainty import read_uncertainties
from somo.product.declaration import Product
from somo.product.layout import block_of_shard
from somo.publish import netcdf
from somo.publish.attributes import UNCERTAINTY
from somo.publish.catalog import version_documents, version_order
from somo.publish.documents import documents
from somo.publish.drought_netcdf import drought_url, publish_drought_year
from somo.publish.images import latest_images
from somo.publish.lineage import changes, lineage
from somo.publish.manifest import (
    Entry,
    describe,
    encode,
    read_manifest,
    read_pointer,
    rewritten_objects,
    unknown_objects,
    write_manifest,
)  # fmt: skip
from somo.publish.stations import stations_geojson
from somo.publish.store import drought as drought_store
from somo.publish.store import drought_update, series
from somo.publish.store import maps as zarr
from somo.publish.store.drought_base import base_period
from somo.publish.store.latest import publish_latest
from somo.storage.client import filesystem
from somo.storage.lease import put_changed, require_lease
from somo.storage.listing import copy_objects
from somo.storage.objects import exists, join, put, read_bytes

BATCH = 32


def publish(
    product: Product,
    root: str,
    version_url: str,
    inputs: Mapping[str, Inputs],
    targets: str,
    models: str,
    client: Client,
) -> None:
    """Complete a version whose Zarr store is written; what exists is kept."""
    for _ in publishing(product, root, version_url, inputs, targets, models, client):
        pass


def publishing(
    product: Product,
    root: str,
    version_url: str,
    inputs: Mapping[str, Inputs],
    targets: str,
    models: str,
    client: Client,
) -> Iterator[str]:
    """Complete a version a step at a time; yields the name of each step once it is done."""
    copy_validation(version_url, targets, models)
    yield "validation tables"
    write_netcdf(product, version_url, client)
    yield "NetCDF"
    write_series(product, version_url, client)
    yield "series"
    write_drought(product, version_url, client)
    yield "drought"
    write_drought_netcdf(product, version_url, client)
    yield "drought NetCDF"
    write_regions(product, version_url, client)
    yield "countries"
    write_images(product, version_url)
    publish_latest(product, version_url)
    yield "latest day"
    write_papers(product, root, version_url, inputs, targets, models)
    yield "papers"
    write_catalog(product, version_url, client)
    yield "checksums"


def copy_validation(version_url: str, targets: str, models: str) -> None:
    """Put targets, sensors and out-of-fold predictions where an outsider can judge the version by them."""
    sources = {
        "targets.parquet": targets,
        "sensors.parquet": targets.removesuffix(".parquet") + ".sensors.parquet",
        "crossval.parquet": join(models, "crossval.parquet"),
    }
    rewritten = rewritten_objects(version_url)
    for name, source in sources.items():
        if not exists(url := join(version_url, "validation", name)) or f"validation/{name}" in rewritten:
            put(url, read_bytes(source))
    sensors = pd.read_parquet(io.BytesIO(read_bytes(sources["sensors.parquet"])))
    put_changed(join(version_url, "validation/stations.geojson"), stations_geojson(sensors))


def write_netcdf(product: Product, version_url: str, client: Client) -> None:
    """Write the yearly files that are complete and missing or not as they were published, one task each."""
    rewritten = rewritten_objects(version_url)
    wanted = [(layer, year) for year in _years(product, version_url) for layer in product.layers]
    keys = [netcdf.file_url("", product.name, layer.name, year).lstrip("/") for layer, year in wanted]
    missing = [
        layer_year
        for layer_year, key in zip(wanted, keys, strict=True)
        if key in rewritten or not exists(join(version_url, key))
    ]
    futures = [client.submit(netcdf.publish_year, version_url, product, *pair, pure=False) for pair in missing]
    for _ in completed(futures, "NetCDF files"):
        pass


def write_series(product: Product, version_url: str, client: Client) -> None:
    """Bring the store for series up to date with the store for maps; one task for each block and tile."""
    source, url = join(version_url, zarr.STORE), join(version_url, series.STORE)
    daily, derived, broken = series.visible(source), zarr.read_visible(url), damaged(version_url, series.STORE)
    _, layout = series.template(product, source)
    blocks = {block for key in broken if (block := block_of_shard(key)) is not None}
    recut = derived is not None and not series.is_laid_out(url, layout)
    if recut:
        blocks = set(range(layout.blocks(daily.days)))
    # A provisional day may have got other values under the same status: it is always derived again.
    all_final = bool((daily.status == FINAL).all())
    same_days = derived is not None and all_final and np.array_equal(derived.status, daily.status)
    if same_days and not broken and not blocks:
        return
    plan = series.plan(layout, daily, derived, blocks)
    if recut:
        zarr.clear_side(url, plan.side)
    futures = [
        client.submit(series.write_block, version_url, layout, block, tile, plan.side, pure=False)
        for block in plan.write
        for tile in layout.tiles()
    ]
    copy_objects(url, series.copies(version_url, layout, plan.keep, plan.side))
    for _ in completed(futures, "series store"):
        pass
    series.publish(product, version_url, plan.side)


def write_drought(product: Product, version_url: str, client: Client) -> None:
    """Compute drought where there are enough years, and windows that readers do not see yet; one task a tile."""
    base = base_period(product, _years(product, version_url), drought_store.former_attrs(version_url))
    if base is None:
        return
    with open_maps(version_url) as store:
        shape = store.sizes["lat"], store.sizes["lon"]
        times = pd.DatetimeIndex(store["time"].to_index())
        shares = tuple(store[UNCERTAINTY].attrs["anomaly_share"]) if UNCERTAINTY in store else ()
        windows = drought_store.Windows.of(product, times, store["status"].values, base, shares)
    shown = drought_store.visible(version_url)
    continued = shown is not None and drought_store.is_continued(version_url, windows)
    broken = damaged(version_url, drought_store.STORE)
    recut = shown is not None and not drought_store.is_laid_out(version_url, product, shape)
    if continued and not drought_store.stale(windows, shown) and not broken:
        return
    # Readers see one side of the store; what is written goes to the other.
    side = 0 if shown is None else 1 - shown.side
    tiles = drought_store.layouts(product, shape)[0].tiles()
    common = version_url, product, shape, windows
    former = drought_store.former_attrs(version_url)
    keeps_windows = continued and not broken and not recut and drought_update.is_enough(windows, shown, former)
    if shown is not None and keeps_windows:
        changed = drought_update.changed_windows(windows, shown)
        futures = [client.submit(drought_update.update_tile, *common, changed, t, side, pure=False) for t in tiles]
        pairs = drought_update.copies(*common, changed, side)
        copy_objects(join(version_url, drought_store.STORE), pairs)
    else:
        if recut:
            zarr.clear_side(join(version_url, drought_store.STORE), side)
        futures = [client.submit(drought_store.write_tile, *common, tile, side, pure=False) for tile in tiles]
    for _ in completed(futures, "drought"):
        pass
    if shown is not None and not continued:
        # They hold the windows of a former [drought] table; files of a year are written where they are missing alone.
        remove_drought_netcdf(product, version_url)
    drought_store.publish(version_url, product, windows, side)


def remove_drought_netcdf(product: Product, version_url: str) -> None:
    """Remove the yearly files of drought."""
    require_lease()
    for year in _years(product, version_url):
        if exists(url := drought_url(version_url, product.name, year)):
            fs, path = filesystem(url)
            fs.rm_file(path)


def write_drought_netcdf(product: Product, version_url: str, client: Client) -> None:
    """Write the yearly files of drought for complete years that have windows, one task each."""
    with open_drought(version_url) as drought:
        if drought is None:
            return
        with_windows = {int(year) for year in pd.DatetimeIndex(drought["time"].to_index()).year}
    rewritten = rewritten_objects(version_url)
    years = with_windows & set(_years(product, version_url))
    urls = {year: drought_url(version_url, product.name, year) for year in sorted(years)}
    missing = [y for y, url in urls.items() if not exists(url) or url.removeprefix(f"{version_url}/") in rewritten]
    futures = [client.submit(publish_drought_year, version_url, product, year, pure=False) for year in missing]
    for _ in completed(futures, "drought NetCDF files"):
        pass


def write_images(product: Product, version_url: str) -> None:
    """Put the latest day as GeoTIFFs and as a small picture."""
    with open_maps(version_url) as store, open_drought(version_url) as drought:
        year = _release_year(product, version_url.rpartition("/")[0])
        for key, image in latest_images(product, store, drought, year).items():
            put_changed(join(version_url, key), image)


def write_papers(
    product: Product, root: str, version_url: str, inputs: Mapping[str, Inputs], targets: str, models: str
) -> None:
    """Put citation, licence, changelog, lineage and DataCite metadata."""
    forcing = {domain: {**urls.references, "static": urls.static} for domain, urls in inputs.items()}
    calibration = join(models, CALIBRATION)
    uncertainty = [asdict(layer) for layer in read_uncertainties(calibration)] if exists(calibration) else []
    origin = lineage(product, root, forcing, {"targets": targets, "checkpoints": models}, uncertainty)
    with open_maps(version_url) as store:
        grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
        times = pd.DatetimeIndex(store["time"].to_index())
    what_changed = changes(_former_lineage(product, root), origin)
    for name, paper in documents(product, grid, times, origin, what_changed, _release_year(product, root)).items():
        put_changed(join(version_url, name), paper)


def _release_year(product: Product, root: str) -> int:
    """The year that the version is cited by; it stays when days are added later."""
    released = read_pointer(root).get("released", {}).get(product.version) or today().isoformat()
    return int(released[:4])


def write_catalog(product: Product, version_url: str, client: Client) -> str:
    """Take the checksums of what is new, write collection, items and manifest; returns the manifest's checksum."""
    entries = describe_changed(version_url, client)
    with open_maps(version_url) as store:
        year = _release_year(product, version_url.rpartition("/")[0])
        collection_and_items = version_documents(product, store, entries, year)
    for name, document in collection_and_items.items():
        put_changed(join(version_url, name), encode(document))
    # Collection and items were written just now, and the manifest has to have their checksums as well.
    return write_manifest(version_url, describe_changed(version_url, client, entries))


def describe_changed(version_url: str, client: Client, recorded: Mapping[str, Entry] | None = None) -> dict[str, Entry]:
    """Entries of every object of a version; objects that the manifest (or `recorded`) still describes are not read."""
    former = read_manifest(version_url) if recorded is None else recorded
    entries, keys = unknown_objects(version_url, former)
    batches = [keys[i : i + BATCH] for i in range(0, len(keys), BATCH)]
    futures = [client.submit(describe, version_url, batch, pure=False) for batch in batches]
    for new_entries in completed(futures, "checksums"):
        entries.update(new_entries)
    return entries


def released_before(product: Product, root: str) -> str | None:
    """The newest released version below the product's; None if there is none."""
    released = read_pointer(root).get("released", {})
    earlier = [v for v in released if version_order(v) < version_order(product.version)]
    return max(earlier, key=version_order, default=None)


def _former_lineage(product: Product, root: str) -> dict[str, Any] | None:
    if (former_version := released_before(product, root)) is None:
        return None
    former_lineage: dict[str, Any] = json.loads(read_bytes(join(root, f"v{former_version}", "lineage.json")))
    return former_lineage


def _years(product: Product, version_url: str) -> list[int]:
    with open_maps(version_url) as store:
        return netcdf.complete_years(
            pd.DatetimeIndex(store["time"].to_index()), store["status"].values == FINAL, product.period
        )
