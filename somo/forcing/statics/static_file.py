"""Static features per cell: gridded files and the forcing's own climatology -> one file per domain."""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from pydantic import BaseModel

from somo.core.grid import Grid
from somo.forcing.checked import is_checked
from somo.forcing.dataset import block_days, open_forcing, source_files
from somo.forcing.features import aridity, static_features
from somo.forcing.listing import content_of_source
from somo.forcing.references.reference_set import is_complete
from somo.forcing.sources import ForcingError, needed_days
from somo.forcing.statics.field import read_static, who_lacks
from somo.forcing.statics.tiles import static_files
from somo.product.declaration import Product, content_hash, without_places
from somo.product.static import Static
from somo.storage.contents import record_content, recorded_content
from somo.storage.objects import checksum, exists, join, local_copy, put, put_file, read_bytes, scratch_folder

# Raised by one when the values of a static file change although its inputs do not.
FORMAT = 6


@dataclass(frozen=True)
class Moments:
    """Running statistics of one variable per cell [lat, lon].

    Attributes
    ----------
    days : number of days, with and without a value
    count : days with a value
    total, squares : sum of the values and of their squares
    gap : first day (since 1970-01-01) without a value; the largest integer if there is none
    """

    days: int
    count: NDArray[np.int32]
    total: NDArray[np.float64]
    squares: NDArray[np.float64]
    gap: NDArray[np.int32]

    @classmethod
    def of(cls, values: NDArray[np.floating], first_day: int) -> "Moments":
        """Statistics of [day, lat, lon]."""
        has_value = np.isfinite(values)
        filled = np.where(has_value, values, 0.0).astype("float64")
        day = first_day + np.argmin(has_value, axis=0)
        gap = np.where(has_value.all(axis=0), np.iinfo("int32").max, day).astype("int32")
        return cls(len(values), has_value.sum(axis=0, dtype="int32"), filled.sum(axis=0), (filled**2).sum(axis=0), gap)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.days + other.days,
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            np.minimum(self.gap, other.gap),
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the days with a value; NaN where there is none."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation with ddof 1; NaN where fewer than two days have a value."""
        variance = (self.squares - self.total * self.mean) / np.maximum(self.count - 1, 1)
        return np.where(self.count > 1, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def climate_period(product: Product) -> tuple[dt.date, dt.date]:
    """Days of the climatology: the training period, else all days of a closed product.

    Raises
    ------
    ForcingError
        if neither has an end: then every new day would change every static feature
    """
    first, last = needed_days(product)
    if product.training.period is not None:
        first, last = product.training.period.start, product.training.period.end or product.period.end
    if last is None:
        raise ForcingError(
            "the product has no period.end, and then needs a training.period with an end, as period = { start = "
            "2003-01-01, end = 2015-12-31 } in [training], so that new days change no climatology and no network"
        )
    return first, last


def climate_blocks(product: Product, cells: int) -> list[tuple[dt.date, dt.date]]:
    """First and last day of the blocks in which the climatology of this number of cells is computed."""
    first, last = climate_period(product)
    days = block_days(cells)
    starts = range(first.toordinal(), last.toordinal() + 1, days)
    return [(dt.date.fromordinal(s), dt.date.fromordinal(min(s + days - 1, last.toordinal()))) for s in starts]


def block_moments(
    product: Product, domain: str, references: Mapping[str, str], first: dt.date, last: dt.date
) -> dict[str, Moments]:
    """Statistics of every forcing variable over some days."""
    ds = open_forcing(product, domain, references).sel(time=slice(np.datetime64(first), np.datetime64(last)))
    day = (first - dt.date(1970, 1, 1)).days
    return {name: Moments.of(ds[name].compute(scheduler="synchronous").values, day) for name in product.forcing}


def land_cells(product: Product, grid: Grid, moments: Mapping[str, Moments]) -> NDArray[np.bool_]:
    """[lat, lon] cells where every variable has a value on all days; cells where one has none at all are ocean.

    Raises
    ------
    ForcingError
        naming variable, day and cell where a value is missing on some days only
    """
    has_values: NDArray[np.bool_] = np.logical_and.reduce([m.count > 0 for m in moments.values()])
    for name, m in moments.items():
        broken = has_values & (m.count < m.days)
        if broken.any():
            row, column = (int(i[0]) for i in np.nonzero(broken))
            raise ForcingError(
                f"forcing.{name}: missing on {np.datetime64(int(m.gap[row, column]), 'D')} at the cell "
                f"{grid.lat[row]:g} N, {grid.lon[column]:g} E, which has values on other days "
                f"({int(broken.sum())} such cells); provide complete forcing, or fill gaps with "
                f'forcing.{name}.gaps = "interpolate" and max_gap_days'
            )
    if not has_values.any():
        raise ForcingError("no cell has values of every forcing variable; check the URLs, variables and grid declared")
    return has_values


def static_key_url(root: str, product: Product, domain: str, references: Mapping[str, str]) -> str:
    """URL of the document that holds the name of a domain's static file; it is named by the file's inputs."""
    product = product.in_domain(domain)
    files = {
        name: [
            (file.url.rsplit("/", 1)[-1], recorded_content(root, file.url, file.fingerprint))
            for file in static_files(name, static, domain)
        ]
        for name, static in product.static.items()
        if static.url
    }
    key = content_hash(
        FORMAT, domain, product.grids()[domain], _tables(product.static), _tables(product.forcing),
        climate_period(product), sorted(files.items()), source_files(product, references, *climate_period(product)),
    )  # fmt: skip
    return join(root, "static", f"{key}.json")


def record_statics(root: str, product: Product, domain: str) -> None:
    """Record checksums of the static files, so that they are recognised after they have been moved."""
    for name, static in product.static.items():
        for file in static_files(name, static, domain) if static.url else ():
            record_content(root, file.url, file.fingerprint, partial(content_of_source, file))


def _tables(declared: Mapping[str, BaseModel]) -> list[tuple[str, object]]:
    return [(name, without_places(table)) for name, table in sorted(declared.items())]


def static_url(root: str, product: Product, domain: str, references: Mapping[str, str]) -> str:
    """URL of a domain's static file; a URL that does not exist while the file has not been computed.

    The file is named by its content, so its name stays when a source file only gets new days.
    """
    product = product.in_domain(domain)
    if not all(is_complete(url) and is_checked(product.sources[name], url) for name, url in references.items()):
        return join(root, "static", "not-computed.nc")
    key_url = static_key_url(root, product, domain, references)
    return join(root, "static", json.loads(read_bytes(key_url))["static"]) if exists(key_url) else key_url


def build_static(product: Product, domain: str, grid: Grid, moments: Mapping[str, Moments]) -> xr.Dataset:
    """Static Dataset (lat, lon): every feature as float32 and `land`; their order is `attrs["features"]`.

    `climatology_mean` and `climatology_std` [forcing, lat, lon] are those of every forcing variable in our units over
    the climatology's days, in the order of `attrs["forcing"]`, so that later uses need not read the forcing again.

    Raises
    ------
    ForcingError
        naming feature and cell where a land cell has no value and `gaps` is "error"
    """
    land = land_cells(product, grid, moments)
    features: dict[str, NDArray[np.float32]] = {}
    for name, static in product.static.items():
        values = read_static(name, static, domain, grid) if static.url else computed_feature(static, moments)
        columns = static_features(name, static, values, land)
        for column, of_column in columns.items():
            _require_known(column, of_column, land, grid, partial(_files_lacking, name, static, domain))
        features |= columns
    arrays = {
        name: (("lat", "lon"), np.where(land, values, np.nan).astype("float32")) for name, values in features.items()
    }
    statistics = {
        "climatology_mean": (("forcing", "lat", "lon"), np.stack([m.mean for m in moments.values()])),
        "climatology_std": (("forcing", "lat", "lon"), np.stack([m.std for m in moments.values()])),
    }
    named = {"features": ",".join(features), "forcing": ",".join(moments), "climatology": _digest(moments)}
    return xr.Dataset(
        {**arrays, **statistics, "land": (("lat", "lon"), land.astype("int8"))},
        {"lat": grid.lat, "lon": grid.lon},
        {**named, "step_deg": grid.step_deg},
    )


def _digest(moments: Mapping[str, Moments]) -> str:
    """Hash of the forcing's statistics: equal ones come from equal forcing of the climatology's days."""
    sums_as_bytes = [
        array.tobytes() for name in sorted(moments) for array in (moments[name].total, moments[name].squares)
    ]
    return checksum(b"".join(sums_as_bytes))[:16]


def computed_feature(static: Static, moments: Mapping[str, Moments]) -> NDArray[np.float64]:
    """[lat, lon] a feature that comes from the climatology of the forcing."""
    if static.computed == "aridity":
        return aridity(moments["net_radiation"].mean, moments["precipitation"].mean)
    assert static.of is not None
    return moments[static.of].mean if static.computed == "mean" else moments[static.of].std


def _require_known(
    name: str,
    values: NDArray[np.float32],
    land: NDArray[np.bool_],
    grid: Grid,
    files_lacking: Callable[[float, float], str],
) -> None:
    if (missing := land & ~np.isfinite(values)).any():
        row, column = (int(i[0]) for i in np.nonzero(missing))
        lat, lon = float(grid.lat[row]), float(grid.lon[column])
        raise ForcingError(
            f"static.{name}: missing at {int(missing.sum())} of {int(land.sum())} cells with forcing, first at "
            f'{lat:g} N, {lon:g} E{files_lacking(lat, lon)}; complete the files or write static.{name}.gaps = "mean"'
        )


def _files_lacking(name: str, static: Static, domain: str, lat: float, lon: float) -> str:
    return f": {who_lacks(name, static, domain, lat, lon)}" if static.url else ""


def write_static(root: str, key_url: str, ds: xr.Dataset) -> str:
    """Keep a static Dataset under the hash of its content, then its name; returns its URL."""
    content = [checksum(ds[name].values.tobytes()) for name in sorted(map(str, ds.variables))]
    name = f"{content_hash(FORMAT, ds.attrs, *content)}.nc"
    with scratch_folder() as folder:
        path = folder / name
        ds.to_netcdf(path, engine="h5netcdf")
        put_file(path, join(root, "static", name))
    put(key_url, json.dumps({"static": name}).encode())
    return join(root, "static", name)


def climatology(static: xr.Dataset, statistic: Literal["mean", "std"]) -> dict[str, NDArray[np.float64]]:
    """[lat, lon] mean or standard deviation of every forcing variable over the climatology's days, by name."""
    names = static.attrs["forcing"].split(",")
    return dict(zip(names, static[f"climatology_{statistic}"].values, strict=True))


def open_static(url: str) -> xr.Dataset:
    """The static Dataset of a domain, loaded."""
    with local_copy(url) as path, xr.open_dataset(path, engine="h5netcdf") as ds:
        return ds.load()
