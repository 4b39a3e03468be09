"""Reference sets made in this process, without a cluster, to look at few days and cells."""

import datetime as dt

from somo.forcing.cells import domain_grid
from somo.forcing.checked import check_numbers
from somo.forcing.meaning import cells_of
from somo.forcing.references.chunks import open_references
from somo.forcing.references.combining import combine
from somo.forcing.references.reference_set import is_complete, reference_url, write_references
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import product_files
from somo.product.declaration import Product


def reference_in_process(
    product: Product, domain: str, root: str, first: dt.date, last: dt.date | None, today: dt.date
) -> dict[str, str]:
    """Source -> URL of the reference set of the files that hold the days `first`..`last`, its numbers checked.

    Raises
    ------
    ForcingError
        naming the file that is missing or cannot be used
    """
    urls = {}
    product = product.in_domain(domain)
    for name, files in product_files(product, domain, first, last, today).items():
        source = product.sources[name]
        urls[name] = reference_url(root, name, domain, source, files)
        if not is_complete(urls[name]):
            write_references(
                urls[name], combine(name, [scan for file in files for scan in scan_file(file, name, source)], source)
            )
    grid = domain_grid(product, domain, open_references(urls[next(iter(urls))]).grid)
    for name, url in urls.items():
        check_numbers(name, product.quantity(name), product.sources[name], url, cells_of(grid))
    return urls
