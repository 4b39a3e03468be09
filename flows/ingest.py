"""Ingest stage: source files -> reference sets and static features of every domain."""

import datetime as dt
from collections.abc import Sequence

from distributed import Client

from flows.runtime import completed
from somo.core.product import Product, Source
from somo.core.storage import exists, join
from somo.forcing.dataset import Inputs, open_grid
from somo.forcing.references import (
    combine,
    read_scan,
    reference_url,
    scan_file,
    scan_url,
    write_references,
    write_scan,
)
from somo.forcing.sources import SourceFile, find_files, needed_days
from somo.forcing.static import block_moments, build_static, climate_blocks, merge_in_order, static_url, write_static


def ingest(product: Product, root: str, client: Client) -> dict[str, Inputs]:
    """Reference every forcing file and compute the static features; only what is new is read.

    Returns
    -------
    domain -> URLs of its reference sets and its static file
    """
    references = reference(product, root, client)
    return {domain: Inputs(urls, _static(product, root, domain, urls, client)) for domain, urls in references.items()}


def reference(product: Product, root: str, client: Client) -> dict[str, dict[str, str]]:
    """Reference every file of the product's sources that is new; domain -> variable -> URL of its reference set."""
    first, last = needed_days(product)
    today = dt.datetime.now(dt.UTC).date()
    files = {
        (domain, name): find_files(name, source, domain, first, last, today)
        for domain in product.grids()
        for name, source in product.sources.items()
    }
    _scan_new(product, root, files, client)
    references: dict[str, dict[str, str]] = {domain: {} for domain in product.grids()}
    for (domain, name), listed in files.items():
        references[domain][name] = _combined(root, name, domain, product.sources[name], listed)
    return references


def _scan_new(
    product: Product, root: str, files: dict[tuple[str, str], tuple[SourceFile, ...]], client: Client
) -> None:
    """One task a file that no earlier run has scanned; a reference set that exists needs no scans."""
    tasks = {}
    for (domain, name), listed in files.items():
        source = product.sources[name]
        if exists(join(reference_url(root, name, domain, source, listed), ".zmetadata")):
            continue
        for file in listed:
            url = scan_url(root, file, name, source)
            if not exists(url):
                tasks[url] = client.submit(scan_into, url, file, name, source, pure=False)
    for _ in completed(list(tasks.values()), "scan forcing files"):
        pass


def scan_into(url: str, file: SourceFile, name: str, source: Source) -> None:
    """Scan one file and keep the result."""
    write_scan(url, scan_file(file, name, source))


def _combined(root: str, name: str, domain: str, source: Source, files: Sequence[SourceFile]) -> str:
    url = reference_url(root, name, domain, source, files)
    if not exists(join(url, ".zmetadata")):
        scans = [read_scan(scan_url(root, file, name, source)) for file in files]
        write_references(url, combine(scans, name, source), source)
    return url


def _static(product: Product, root: str, domain: str, references: dict[str, str], client: Client) -> str:
    """Static features of a domain; one task a block of days of its climatology."""
    url = static_url(root, product, domain, references)
    if exists(url):
        return url
    blocks = climate_blocks(product)
    futures = [client.submit(block_moments, product, domain, references, *block, pure=False) for block in blocks]
    for _ in completed(futures, f"climatology of {domain}"):
        pass
    moments = merge_in_order(client.gather(futures))
    write_static(url, build_static(product, domain, open_grid(product, domain, references), moments))
    return url
