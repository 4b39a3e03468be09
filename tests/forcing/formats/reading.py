"""A file read as the product reads it: scanned, then its values through the places that the scan found."""

import numpy as np

from somo.forcing.listing import find_urls
from somo.forcing.references.scan_reader import ScanReader
from somo.forcing.references.scanning import scan_file
from somo.product.inputs import Files

WHOLE = slice(None), slice(None)


def scan(url, variable, **declared):
    """The only scan of a file."""
    source = Files(url=str(url), variable=variable, **declared)
    ((file,),) = find_urls([str(url)], variable).values()
    (only,) = scan_file(file, "air_temperature", source)
    return only


def values(found, steps=slice(None), window=WHOLE):
    """Decoded values [step, row, column] of a scan."""
    return ScanReader(found).decoded(steps, window)


def field(shape=(6, 4, 5), seed=0):
    """Temperatures with a sea cell."""
    drawn = 283 + 8 * np.random.default_rng(seed).standard_normal(shape)
    drawn[..., 0, 0] = np.nan
    return drawn.astype("float32")
