"""The page at the root of the bucket: what the data are, their versions, how to read and how to cite them."""

from collections.abc import Mapping
from importlib.resources import files

import jinja2
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.core.status import FINAL
from somo.product.declaration import Product
from somo.publish import attributes, netcdf
from somo.publish.documents import LICENCES
from somo.storage.objects import join

INDEX = "index.html"
# A copy of the latest version's thumbnail at an address that never changes, for links to the page that people share.
PREVIEW = "preview.png"


def front_door(product: Product, store: xr.Dataset, version: str, released: Mapping[str, str]) -> bytes:
    """The page as HTML.

    Parameters
    ----------
    store : Zarr store of the current version; the examples name its middle cell and its last complete year
    version : the current one
    released : version -> day of its release
    """
    publication = product.publication
    licence, licence_url = LICENCES.get(publication.licence, (publication.licence, ""))
    times = pd.DatetimeIndex(store["time"].values)
    is_final: NDArray[np.bool_] = store["status"].values == FINAL
    years = netcdf.complete_years(times, is_final, product.period)
    layer = product.layers[0].name
    current = product.model_copy(update={"version": version})
    template = jinja2.Environment(autoescape=True).from_string((files("somo.publish") / "front_door.html").read_text())
    return template.render(
        title=attributes.title(product),
        summary=attributes.summary(product),
        day=attributes.DAY,
        version=version,
        preview=join(publication.address, PREVIEW) if publication.address else PREVIEW,
        released=sorted(released.items(), key=lambda item: tuple(int(p) for p in item[0].split(".")), reverse=True),
        lat=round(float(store["lat"][store.sizes["lat"] // 2]), 4),
        lon=round(float(store["lon"][store.sizes["lon"] // 2]), 4),
        layer=layer,
        file=netcdf.file_url("", product.name, layer, years[-1] if years else times[-1].year).rsplit("/", 1)[-1],
        citation=attributes.citation(current, int(released[version][:4])),
        references=publication.references,
        licence=licence,
        licence_url=licence_url,
    ).encode()
