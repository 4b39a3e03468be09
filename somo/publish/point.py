"""Whole series of one cell as CSV that says what it holds."""

import numpy as np
import pandas as pd
import xarray as xr

from somo.core.status import FINAL
from somo.product.layout import FROZEN
from somo.publish.attributes import DAY, LEVEL, UNCERTAINTY

FIELDS = {
    "soil_moisture": "volumetric soil moisture",
    UNCERTAINTY: "standard uncertainty of it (mean +- 1.645 of it means 90 %)",
    "soil_moisture_std": "spread: standard deviation over the ensemble's members",
}


def series_table(cell: xr.Dataset) -> pd.DataFrame:
    """One row a day, one column a field and layer, and whether the day is final.

    Parameters
    ----------
    cell : an open version at one cell: fields [depth, time] in m3 m-3, status [time], depth_bnds [depth, 2] in metres

    Returns
    -------
    columns such as `soil_moisture_0-10cm`, in m3 m-3, `frozen`, which is `yes` or `no`, where the version tells it, and
    `status`, which is `final` or `provisional`
    """
    layers = [f"{100 * top:g}-{100 * bottom:g}cm" for top, bottom in cell["depth_bnds"].values]
    columns = {
        f"{field}_{layer}": cell[field].isel(depth=index).values
        for field in FIELDS
        if field in cell
        for index, layer in enumerate(layers)
    }
    if FROZEN in cell:
        columns[FROZEN] = np.array(["no", "yes"])[cell[FROZEN].values.astype(int)]
    status = np.where(cell["status"].values == FINAL, "final", "provisional")
    return pd.DataFrame({**columns, "status": status}, index=cell["time"].to_index())


def series_csv(cell: xr.Dataset, url: str, place: tuple[float, float]) -> str:
    """The table with lines above it, each begun by `#`, that say what, where, when and under which licence.

    Parameters
    ----------
    cell : as for `series_table`
    url : the bucket's address
    place : degrees north and east that were asked for
    """
    attrs, table = cell.attrs, series_table(cell)
    inside = cell["applicability"].values == 1
    fields = [f"{name}: {text}" for name, text in FIELDS.items() if name in cell]
    lines = [
        f"{attrs['title']}, version {attrs['product_version']}",
        f"centre {float(cell['lat']):.4f} N, {float(cell['lon']):.4f} E; it holds {place[0]:g} N, {place[1]:g} E",
        f"units m3 m-3; {'; '.join(fields)}",
        # Versions of earlier releases do not tell whose level their values have.
        *([attrs[LEVEL]] if LEVEL in attrs else []),
        DAY,
        "status: a provisional day may still change with its forcing",
        *([f"frozen: {cell[FROZEN].attrs['comment']}"] if FROZEN in cell else []),
        *(["unlike the cells the model was trained on; take these values with care"] if not inside.all() else []),
        f"source {url}",
        f"cite {attrs.get('citation', attrs['references'])}",
        f"licence {attrs['license']}",
    ]
    return "".join(f"# {line}\n" for line in lines) + table.to_csv(float_format="%.4f", index_label="time")
