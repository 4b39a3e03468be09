"""Benchmark of reading: a day's map, a cell's series and opening, from a local S3 server without credentials.

The stores have the full European grid and 18 years, but hold only the values that are read. Each read is
made by a fresh process after its imports; the web page, in Chromium, draws days whose chunks it has not read yet.
Prints what `make bench` reports and writes `bench/read.json`.
"""

import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flows.console import console
from flows.environment import export
from flows.service.access import open_bucket
from flows.service.s3server import S3Server
from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.inputs import Period, RegularGrid
from somo.product.layout import Layout
from somo.publish import netcdf
from somo.publish.catalog import version_documents
from somo.publish.manifest import describe, encode, list_objects, pointer
from somo.publish.store import maps as zarr
from somo.publish.store import series
from somo.publish.store.latest import publish_latest
from somo.publish.viewer import is_built, publish_viewer
from somo.storage.client import zarr_store
from somo.storage.objects import join, put

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FIRST, FIRST_KB = "first map on the web page", "bytes until the first map on the web page"
PAGE = "a further date on the web page"
GOALS_MS = {"open": 150.0, "map": 100.0, "series": 150.0, FIRST: 1500.0, FIRST_KB: 600.0, PAGE: 150.0}
REPEATS = 7
YEAR = 2012
CELL = (200, 300)
FILE = "ds = xr.open_dataset(fsspec.open({file!r}, anon=True).open(), engine='h5netcdf')"
# What is read before the clock starts, and while it runs.
READS = {
    "open": ("", "somo.open({root!r})"),
    "map": ("ds = somo.open({root!r})", "ds['soil_moisture'].isel(depth=0).sel(time={day!r}).values"),
    "series": (
        "ds = somo.open({root!r}, layout='series')",
        "ds['soil_moisture'].isel(depth=0, lat={row}, lon={column}).values",
    ),
    "map, yearly NetCDF": (FILE, "ds['layer1'].sel(time={day!r}).values"),
    "series of one of 18 years, yearly NetCDF": (FILE, "ds['layer1'].isel(lat={row}, lon={column}).values"),
}

CHILD = """
import time, sys
import numpy, pandas, xarray as xr, fsspec, s3fs, h5netcdf, somo, somo.publish.reader
import dask.array, pint  # which xarray imports when it first looks at an array
{before}
began = time.perf_counter()
{read}
print(1000 * (time.perf_counter() - began))
"""


@dataclass(frozen=True)
class Reading:
    """One kind of read: the median and the worst of its repeats, in milliseconds unless `units` says otherwise."""

    what: str
    median_ms: float
    worst_ms: float
    units: str = "ms"


def european(start: date = date(2003, 1, 1), end: date = date(2020, 12, 31)) -> Product:
    """The European product with nothing but what its layout needs."""
    return Product.model_validate(
        {
            "name": "SoMo.ml-EU",
            "period": Period(start=start, end=end),
            "grid": RegularGrid(west=-12, east=45, south=36, north=71.5, step_deg=0.1),
            "forcing": {"air_temperature": {"url": "{year}.nc", "variable": "t2m", "units": "K"}},
            "static": {"elevation": {"url": "e.nc", "variable": "z"}},
            "insitu": [{"name": "none", "url": "none"}],
            "targets": {"scaling": "none"},
        }
    )


def write_version(product: Product, root: str) -> None:
    """Write what the reads need: one year for maps and files, one tile for series, and the page."""
    declared = product.grid
    assert isinstance(declared, RegularGrid)
    grid = Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    assert product.period.end is not None
    days = (product.period.end - product.period.start).days + 1
    version_url = join(root, f"v{product.version}")
    status = np.zeros(days, np.int8)
    small = zarr.template(product, grid, status, np.ones((len(product.layers), *grid.shape), np.int8))
    maps, points = Layout.of(product, grid.shape), series.layout_of(product, grid.shape)
    first = (date(YEAR, 1, 1) - product.period.start).days
    for block in range(first // maps.days, (first + 365) // maps.days + 1):
        for tile in maps.tiles():
            _write(join(version_url, zarr.STORE), maps, block, tile, days)
    tile = CELL[0] // points.tile[0], CELL[1] // points.tile[1]
    for block in range(points.blocks(days)):
        _write(join(version_url, series.STORE), points, block, tile, days)
    # Whatever the metadata describe is there in a published version, if only as an empty shard: all readers insist.
    zarr.fill_empty(join(version_url, zarr.STORE), maps, zarr.FIELDS, days, 0)
    zarr.publish(join(version_url, zarr.STORE), small, maps)
    series.publish(product, version_url, 0)
    publish_latest(product, version_url)
    netcdf.publish_year(version_url, product, product.layers[0], YEAR)
    put(join(root, "latest.json"), pointer(product.version, publish_viewer(root), {}, b""))
    with xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), chunks=None) as store:
        documents = version_documents(product, store, describe(version_url, list_objects(version_url)))
    for name, document in documents.items():
        put(join(version_url, name), encode(document))


def _write(url: str, layout: Layout, block: int, tile: tuple[int, int], days: int) -> None:
    rows, columns = layout.cells(tile)
    some = layout.block_days(block, days)
    shape = (layout.layers, some.stop - some.start, rows.stop - rows.start, columns.stop - columns.start)
    zarr.write_region(url, layout, block, tile, {zarr.FIELDS[0]: invented(shape, block)})


def invented(shape: tuple[int, ...], seed: int) -> NDArray[np.int16]:
    """Packed values that compress about as real ones do: slow in time, rough in space."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.integers(-12, 13, shape, np.int16), axis=1, dtype=np.int16)
    rough = rng.integers(-300, 300, (1, 1, *shape[2:]), np.int16)
    packed: NDArray[np.int16] = (2500 + walk + rough).clip(0, 6000).astype(np.int16)
    return packed


def measure(root: str, product: Product) -> list[Reading]:
    """Time every read in fresh processes."""
    file = netcdf.file_url(join(root, f"v{product.version}"), product.name, product.layers[0].name, YEAR)
    values = {"root": root, "file": file, "day": f"{YEAR}-07-01", "row": CELL[0], "column": CELL[1]}
    readings = []
    for what, (preparation, read) in READS.items():
        times = [_child(preparation.format(**values), read.format(**values)) for _ in range(REPEATS)]
        readings.append(Reading(what, statistics.median(times), max(times)))
    return readings


def _child(preparation: str, read: str) -> float:
    code = CHILD.format(before=preparation, read=read)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def draw(page_url: str) -> list[Reading]:
    """Time the first map with its bytes, and further days whose chunks the page has not read; empty without a page."""
    browser = shutil.which("chromium")
    if browser is None or not is_built():
        console.print("the web page is left out: it needs Chromium (apt-get install chromium) and `make viewer`")
        return []
    from playwright.sync_api import sync_playwright

    days = [f"{YEAR}-{month:02d}-15" for month in range(1, REPEATS + 2)]
    times = []
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"]) as chromium,
    ):
        starts = [first_map(chromium, page_url) for _ in range(REPEATS)]
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{page_url}#date={days[0]}")
        for day in days:
            page.fill("#date", day)
            page.wait_for_selector(f'body[data-shown="soil_moisture 0 {day}"]')
            times.append(float(page.get_attribute("body", "data-draw-ms") or "nan"))
    firsts, kilobytes = zip(*starts, strict=True)
    return [
        Reading(FIRST, statistics.median(firsts), max(firsts)),
        Reading(FIRST_KB, statistics.median(kilobytes), max(kilobytes), "kB"),
        # The first of these days is the one that the page was opened with.
        Reading(PAGE, statistics.median(times[1:]), max(times[1:])),
    ]


def first_map(chromium: "Browser", page_url: str) -> tuple[float, float]:
    """Milliseconds and kilobytes from nothing until the page shows the latest day, with nothing in the cache."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(page_url, wait_until="commit")
    page.wait_for_selector("body[data-first-map-ms]")
    ms, read = page.evaluate("[document.body.dataset.firstMapMs, document.body.dataset.firstMapBytes].map(Number)")
    context.close()
    return float(ms), read / 1000


def main() -> dict[str, object]:
    """Run the benchmark, print what it found and write the JSON."""
    product = european()
    with tempfile.TemporaryDirectory(prefix="somo-bench-") as folder, S3Server(Path(folder)) as server:
        export(server.environment())
        root = f"s3://{server.bucket}/europe"
        write_version(product, root)
        open_bucket(root)
        readings = measure(root, product)
        readings += draw(f"{server.endpoint}/{server.bucket}/europe/viewer/index.html")
    for reading in readings:
        goal = GOALS_MS.get(reading.what)
        met = goal is not None and reading.median_ms <= goal
        verdict = "" if goal is None else f" (goal {goal:.0f} {reading.units}: {'met' if met else 'missed'})"
        worst = f"at worst {reading.worst_ms:.0f} {reading.units}"
        console.print(f"{reading.what}: {reading.median_ms:.0f} {reading.units}, {worst}{verdict}")
    result: dict[str, object] = {
        "machine": platform.processor(),
        **{r.what: {r.units: r.median_ms, f"worst_{r.units}": r.worst_ms} for r in readings},
    }
    Path("bench").mkdir(exist_ok=True)
    Path("bench", "read.json").write_text(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    main()
