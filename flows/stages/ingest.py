"""Ingest stage: source files -> reference sets, where needed forcing laid out by tile, and static features."""

import datetime as dt
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from distributed import Client

from flows.cluster.watching import completed
from flows.console import console
from flows.results import forcing_files
from somo.forcing.by_tile.cube import write_cube
from somo.forcing.by_tile.tiling import make_slab, missing_slabs, plan_slabs, read_cost
from somo.forcing.checked import check_numbers, is_checked
from somo.forcing.daily import DailyArray
from somo.forcing.dataset import Inputs, daily_arrays, open_grid
from somo.forcing.meaning import cells_of
from somo.forcing.references.combining import combine
from somo.forcing.references.reference_set import (
    is_complete,
    read_scans,
    reference_url,
    scan_url,
    write_references,
    write_scans,
)
from somo.forcing.references.scan import Scan
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import SourceFile
from somo.forcing.statics.static_file import (
    Moments,
    block_moments,
    build_static,
    climate_blocks,
    climate_period,
    record_statics,
    static_key_url,
    static_url,
    write_static,
)
from somo.product.declaration import Product
from somo.product.inputs import Source
from somo.product.layout import Layout
from somo.storage.listing import listing
from somo.storage.objects import exists, join

Files = Mapping[tuple[str, str], Sequence[SourceFile]]
READING_THREADS = 16


def ingest(product: Product, root: str, client: Client) -> dict[str, Inputs]:
    """Reference every forcing file and compute the static features; only what is new is read.

    Returns
    -------
    domain -> URLs of its reference sets and its static file
    """
    # Before any file is read: it is said of the declaration alone.
    climate_period(product)
    references = reference(product, root, client)
    # Only the predicted domain is read tile by tile; of the others the training cells are read once.
    lay_out_by_tile(product, references[product.home], client)
    return {domain: Inputs(urls, _static(product, root, domain, urls, client)) for domain, urls in references.items()}


def reference(product: Product, root: str, client: Client) -> dict[str, dict[str, str]]:
    """Reference sets of every domain and variable: files are scanned one task each, combined here, strictly."""
    files = forcing_files(product)
    sources = {(domain, name): product.in_domain(domain).sources[name] for domain, name in files}
    urls = {key: reference_url(root, key[1], key[0], sources[key], listed) for key, listed in files.items()}
    missing = {key: files[key] for key, url in urls.items() if not is_complete(url)}
    _scan_new(root, missing, sources, client)
    for key, listed in missing.items():
        (_, name), source = key, sources[key]
        scans = _read_all([scan_url(root, file, name, source) for file in listed])
        write_references(urls[key], combine(name, scans, source))
    references: dict[str, dict[str, str]] = {domain: {} for domain in product.grids()}
    for (domain, name), url in urls.items():
        references[domain][name] = url
    _check_new(product, references, client)
    return references


def _read_all(urls: Sequence[str]) -> list[Scan]:
    """The scans of all files of a variable, in their order; a store answers many requests at a time."""
    with ThreadPoolExecutor(READING_THREADS) as pool:
        return [scan for scans in pool.map(read_scans, urls) for scan in scans]


def _check_new(product: Product, references: Mapping[str, Mapping[str, str]], client: Client) -> None:
    """Look at the numbers of the reference sets that no earlier run has looked at; one task each."""
    futures = []
    for domain, urls in references.items():
        sources = product.in_domain(domain).sources
        unchecked = [name for name, url in urls.items() if not is_checked(sources[name], url)]
        if unchecked:
            cells = cells_of(open_grid(product, domain, urls))
            futures += [
                client.submit(check_numbers, name, product.quantity(name), sources[name], urls[name], cells, pure=False)
                for name in unchecked
            ]
    for _ in completed(futures, "check forcing"):
        pass


def _scan_new(root: str, missing: Files, sources: Mapping[tuple[str, str], Source], client: Client) -> None:
    """Scan what no earlier run has scanned; domains may share a file."""
    wanted = {
        scan_url(root, file, name, sources[domain, name]): (file, name, sources[domain, name])
        for (domain, name), listed in missing.items()
        for file in listed
    }
    # One listing instead of a question a file: years of monthly files of five variables are a thousand.
    folder = join(root, "references", "scans")
    scanned = {join(folder, key) for key in listing(folder)} if wanted else set()
    futures = [
        client.submit(scan_into, url, *arguments, pure=False) for url, arguments in wanted.items() if url not in scanned
    ]
    for _ in completed(futures, "scan forcing files"):
        pass


def scan_into(url: str, file: SourceFile, name: str, source: Source) -> None:
    """Scan one file and keep the result."""
    write_scans(url, scan_file(file, name, source))


def lay_out_by_tile(product: Product, references: Mapping[str, str], client: Client) -> None:
    """Write a cube of every variable whose tiles cost too much to read in place; one task a slab."""
    arrays = daily_arrays(product, product.home, references)
    layout = Layout.of(product, next(iter(arrays.values())).shape[1:])
    todo: dict[str, DailyArray] = {}
    for name, array in arrays.items():
        cost = read_cost(array, layout)
        if cost.factor > product.chunks.read_factor and not exists(array.cube_url):
            todo[name] = array
            console.print(
                f"{name}: a tile would cost {cost.factor:.0f} times its own bytes ({cost.touched.bytes / 1e9:.1f} GB "
                f"in {cost.touched.chunks} chunks in all); laying it out by tile"
            )
    slabs = {name: plan_slabs(array) for name, array in todo.items()}
    futures = [
        client.submit(make_slab, todo[name], slab, layout.tile, pure=False)
        for name in todo
        for slab in missing_slabs(slabs[name])
    ]
    for _ in completed(futures, "lay out forcing by tile"):
        pass
    for name, array in todo.items():
        write_cube(array.cube_url, slabs[name])


def _static(product: Product, root: str, domain: str, references: Mapping[str, str], client: Client) -> str:
    """Static features of a domain; one task a block of days of its climatology."""
    record_statics(root, product, domain)
    key_url = static_key_url(root, product, domain, references)
    if exists(key_url):
        return static_url(root, product, domain, references)
    moments = _climatology(product, domain, references, client)
    grid = open_grid(product, domain, references)
    return write_static(root, key_url, build_static(product, domain, grid, moments))


def _climatology(product: Product, domain: str, references: Mapping[str, str], client: Client) -> dict[str, Moments]:
    """Statistics over all blocks, added in order of time whatever the order of arrival: equal inputs, equal bytes."""
    blocks = climate_blocks(product, open_grid(product, domain, references).size)
    futures = [
        client.submit(numbered_moments, number, product, domain, dict(references), *block, pure=False)
        for number, block in enumerate(blocks)
    ]
    total: dict[str, Moments] = {}
    waiting: dict[int, dict[str, Moments]] = {}
    done = 0
    for number, moments in completed(futures, f"climatology of {domain}"):
        waiting[number] = moments
        while done in waiting:
            next_block = waiting.pop(done)
            total = {name: total[name] + next_block[name] for name in next_block} if total else next_block
            done += 1
    return total


def numbered_moments(
    number: int, product: Product, domain: str, references: dict[str, str], first: dt.date, last: dt.date
) -> tuple[int, dict[str, Moments]]:
    """Statistics of one block of days, with the block's number."""
    return number, block_moments(product, domain, references, first, last)
