"""Reference sets made in this process, without a cluster: for a look at few days and cells."""

import datetime as dt

from somo.forcing.references.combining import combine
from somo.forcing.references.reference_set import is_complete, reference_url, write_references
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import find_files
from somo.product.declaration import Product


def reference_in_process(
    product: Product, domain: str, root: str, first: dt.date, last: dt.date | None, today: dt.date
) -> dict[str, str]:
    """Variable -> URL of the reference set of the files that hold the days `first`..`last`.

    Raises
    ------
    ForcingError
        naming the file that is missing or cannot be used
    """
    urls = {}
    for name, source in product.sources.items():
        files = find_files(name, source, domain, first, last, today)
        urls[name] = reference_url(root, name, domain, source, files)
        if not is_complete(urls[name]):
            write_references(
                urls[name], combine([scan for file in files for scan in scan_file(file, name, source)], source)
            )
    return urls
