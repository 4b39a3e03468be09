"""The page at the root of the bucket: what the data are, their versions, how to read and how to cite them."""

from collections.abc import Mapping
from importlib.resources import files

import jinja2
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.status import FINAL
from somo.product.declaration import Product
from somo.publish import attributes, images, netcdf
from somo.publish.documents import LICENCES, contents
from somo.storage.objects import join

INDEX = "index.html"
# A copy of the latest version's thumbnail at an address that never changes, for links to the page that people share.
PREVIEW = "preview.png"


def front_door(product: Product, store: xr.Dataset, version: str, released: Mapping[str, str]) -> bytes:
    """The page as HTML.

    Parameters
    ----------
    store : Zarr store of the current version; the examples name a cell in its middle and its last complete year
    version : the current one
    released : version -> day of its release
    """
    publication = product.publication
    licence, licence_url = LICENCES.get(publication.licence, (publication.licence, ""))
    times = pd.DatetimeIndex(store["time"].values)
    grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    is_final: NDArray[np.bool_] = store["status"].values == FINAL
    years = netcdf.complete_years(times, is_final, product.period)
    layer = product.layers[0].name
    current = product.model_copy(update={"version": version})
    row, column = example_cell(store)
    template = jinja2.Environment(autoescape=True).from_string((files("somo.publish") / "front_door.html").read_text())
    return template.render(
        title=attributes.title(product),
        summary=attributes.summary(product),
        contents=contents(current, grid, times),
        geotiff=images.key_of(product, layer, "soil_moisture") if images.is_regular(grid) else "",
        day=attributes.DAY,
        name=product.name,
        version=version,
        preview=join(publication.address, PREVIEW) if publication.address else PREVIEW,
        released=sorted(released.items(), key=lambda item: tuple(int(p) for p in item[0].split(".")), reverse=True),
        lat=round(float(store["lat"][row]), 4),
        lon=round(float(store["lon"][column]), 4),
        row=row,
        column=column,
        min_years=product.drought.min_years,
        chunks=", ".join(f'"{axis}": {length}' for axis, length in shard(store).items()),
        layer=layer,
        file=netcdf.file_url("", product.name, layer, years[-1] if years else times[-1].year).rsplit("/", 1)[-1],
        citation=attributes.citation(current, int(released[version][:4])),
        references=publication.references,
        licence=licence,
        licence_url=licence_url,
    ).encode()


def example_cell(store: xr.Dataset) -> tuple[int, int]:
    """Row and column of the cell nearest to the middle of the grid that resembles the training cells.

    The middle itself may be sea, where the examples would plot nothing and `somo point` refuse. Whether a cell is like
    the training cells is one small object, where a day's map may be dozens.
    """
    like_training = store["applicability"].isel(depth=0).values == 1
    middle_row, middle_column = (np.array(like_training.shape) - 1) / 2
    rows, columns = np.nonzero(like_training)
    if not len(rows):
        return like_training.shape[0] // 2, like_training.shape[1] // 2
    nearest = int(np.hypot(rows - middle_row, columns - middle_column).argmin())
    return int(rows[nearest]), int(columns[nearest])


def shard(store: xr.Dataset) -> dict[str, int]:
    """Days, rows and columns of one shard, which is one object: chunks as large make the fewest requests."""
    field = store["soil_moisture"]
    lengths = field.encoding.get("shards") or field.encoding["chunks"]
    return {str(axis): length for axis, length in zip(field.dims, lengths, strict=True) if axis != "depth"}
