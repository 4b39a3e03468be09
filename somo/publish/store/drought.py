"""The Zarr group `drought.zarr`: drought by windows and tiles, and the climatology behind it."""

from dataclasses import dataclass
from typing import Self

import dask.array
import numpy as np
import pandas as pd
import xarray as xr
import zarr as zarr_python
from numpy.typing import NDArray

from somo.core.grid import Grid
from somo.core.status import FINAL, PROVISIONAL
from somo.product.declaration import Product
from somo.product.inputs import Period
from somo.product.layout import SEPARATORS, Layout, Tile
from somo.publish import attributes
from somo.publish.store import drought_index as drought
from somo.publish.store import maps as zarr
from somo.publish.store import series
from somo.publish.store.drought_fields import BY_SEASON, BY_WINDOW, FIELDS, PROBABILITIES, STEPS, TIME_WORDS
from somo.storage.client import zarr_store
from somo.storage.objects import exists, join

STORE = "drought.zarr"
# Windows of a shard, a year of them if they end every ten days: an update writes the last shard anew.
BLOCK_WINDOWS = 36
CHUNK_WINDOWS = 4
CLIMATOLOGY = ("depth", "season", "lat", "lon")


@dataclass(frozen=True)
class Windows:
    """The windows of one version.

    Attributes
    ----------
    ends : last day of each window
    last : index of that day among the version's days
    status : [window] provisional if one of its days is
    base : period of the climatology
    window_days, every_days : how the windows are laid
    shares : per layer, share of the uncertainty that is left in anomalies; empty where the version knows none
    """

    ends: pd.DatetimeIndex
    last: NDArray[np.intp]
    status: NDArray[np.int8]
    base: Period
    window_days: int
    every_days: int
    shares: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        product: Product,
        times: pd.DatetimeIndex,
        status: NDArray[np.int8],
        base: Period,
        shares: tuple[float, ...] = (),
    ) -> Self:
        """Windows of the days of a version.

        Parameters
        ----------
        times : every day of the version, without gaps
        status : [day] `FINAL` or `PROVISIONAL`
        base, shares : as of the attributes
        """
        window, every = product.drought.window_days, product.drought.every_days
        ends = drought.window_ends(times, window, every)
        last = times.get_indexer(ends)
        open_days = np.concatenate([[0], np.cumsum(status != FINAL)])
        provisional = (open_days[last + 1] - open_days[last + 1 - window]) > 0
        flags = np.where(provisional, PROVISIONAL, FINAL).astype("int8")
        return cls(ends, last, flags, base, window, every, shares)

    @property
    def by_window(self) -> tuple[str, ...]:
        """Names of the fields by window."""
        return (*BY_WINDOW, *PROBABILITIES) if self.shares else BY_WINDOW

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of all fields."""
        return (*self.by_window, *BY_SEASON)

    @property
    def base_years(self) -> int:
        """Complete years of the climatology's period."""
        return self.base.whole_years

    @property
    def seasons(self) -> int:
        """Windows in a year."""
        return 365 // self.every_days

    @property
    def season(self) -> NDArray[np.intp]:
        """[window] number of the window within its year, from 0."""
        return drought.seasons(self.ends, self.every_days)

    @property
    def in_base(self) -> NDArray[np.bool_]:
        """[window] whether the window ends in the period of the climatology."""
        assert self.base.end is not None
        return np.asarray((self.ends >= pd.Timestamp(self.base.start)) & (self.ends <= pd.Timestamp(self.base.end)))


def former_attrs(version_url: str) -> dict[str, object]:
    """Attributes of the group as readers see it; empty before it is published."""
    url = join(version_url, STORE)
    if not exists(join(url, zarr.ROOT)):
        return {}
    return dict(zarr_python.open_group(zarr_store(url), mode="r").attrs)


def visible(version_url: str) -> zarr.Visible | None:
    """The windows that readers see."""
    return zarr.read_visible(join(version_url, STORE))


def is_continued(version_url: str, windows: Windows) -> bool:
    """Whether the windows that readers see are the first of these and were judged by the same climatology.

    A declaration may lay them otherwise than before: those that readers see are then of no use.
    """
    with xr.open_zarr(zarr_store(join(version_url, STORE)), consolidated=True, chunks=None) as shown:
        ends, bounds = shown["time"].to_index(), shown["time_bnds"].values
        base = shown.attrs.get("base_start"), shown.attrs.get("base_end")
    days = (bounds[:, 1] - bounds[:, 0]) / np.timedelta64(1, "D")
    same_windows = ends.equals(windows.ends[: len(ends)]) and bool((days == windows.window_days).all())
    return same_windows and base == (str(windows.base.start), str(windows.base.end))


def is_laid_out(version_url: str, product: Product, shape: tuple[int, int]) -> bool:
    """Whether the group that readers see is cut as today; one of an earlier SoMo may be cut otherwise."""
    fields, points = layouts(product, shape)
    url = join(version_url, STORE)
    return zarr.shard_shape(url, BY_WINDOW[0]) == fields.shard and zarr.shard_shape(url, BY_SEASON[0]) == points.shard


def stale(windows: Windows, seen: zarr.Visible | None) -> bool:
    """Whether readers do not see every window yet, or one that may have changed."""
    if seen is None or seen.days != len(windows.ends):
        return True
    return bool((seen.status != FINAL).any() or (windows.status != FINAL).any())


def layouts(product: Product, shape: tuple[int, int]) -> tuple[Layout, Layout]:
    """Layout of the fields by window, for maps, and of the climatology, for series."""
    maps, points = Layout.of(product, shape), series.layout_of(product, shape)
    n = 365 // product.drought.every_days
    fields = Layout(maps.layers, shape, BLOCK_WINDOWS, (CHUNK_WINDOWS, *maps.chunk[1:]), maps.tile)
    return fields, Layout(maps.layers, shape, n, (n, *points.chunk[1:]), points.tile)


def write_tile(
    version_url: str, product: Product, shape: tuple[int, int], windows: Windows, tile: Tile, side: int
) -> None:
    """Compute and put every shard of one tile; what is written shows only after `publish`."""
    fields, points = layouts(product, shape)
    # All days of a tile are few chunks in the store for series, and every chunk of days in the store for maps.
    source = series.STORE if exists(join(version_url, series.STORE, zarr.ROOT)) else zarr.STORE
    days, cells = slice(0, int(windows.last[-1]) + 1), fields.cells(tile)
    by_layer = layers_fields(
        windows, *(zarr.read_packed(join(version_url, source), name, days, cells) for name in sources(windows))
    )
    all_layers = {name: np.stack([layer[name] for layer in by_layer]) for name in windows.fields}
    url = join(version_url, STORE)
    for block in range(fields.blocks(len(windows.ends))):
        block_windows = fields.block_days(block, len(windows.ends))
        by_window = {name: all_layers[name][:, block_windows] for name in windows.by_window}
        zarr.write_region(url, fields, block, tile, by_window, side)
    by_season = {name: all_layers[name] for name in BY_SEASON}
    zarr.write_region(url, points, 0, tile, by_season, side)


def sources(windows: Windows) -> tuple[str, ...]:
    """Daily fields that drought is made from."""
    return ("soil_moisture", attributes.UNCERTAINTY) if windows.shares else ("soil_moisture",)


def layers_fields(
    windows: Windows, *daily: NDArray[np.int16], judged: NDArray[np.bool_] | None = None
) -> list[dict[str, NDArray[np.int16]]]:
    """Packed fields of every layer from the daily `sources` [layer, day, row, column], as `layer_fields` gives them."""
    if not windows.shares:
        return [layer_fields(values, windows, judged=judged) for values in daily[0]]
    return [
        layer_fields(values, windows, uncertainty, share, judged)
        for values, uncertainty, share in zip(*daily, windows.shares, strict=True)
    ]


def layer_fields(
    packed: NDArray[np.int16],
    windows: Windows,
    uncertainty: NDArray[np.int16] | None = None,
    share: float = 1.0,
    judged: NDArray[np.bool_] | None = None,
) -> dict[str, NDArray[np.int16]]:
    """Packed fields of one layer: [window, row, column], and the climatology [season, row, column].

    Parameters
    ----------
    packed : [day, row, column] soil moisture, in which `windows.last` counts
    uncertainty : [day, row, column] of it, packed; None where it is not known
    share : of the uncertainty that is left in anomalies
    judged : [window] whether its percentile, class and probabilities are asked for; by default those of all
    """
    days, *cells = packed.shape
    flat = packed.reshape(days, -1)
    means = drought.window_means(flat, int(zarr.FILL), windows.last, windows.window_days) * np.float32(zarr.STEP)
    season, base, n = windows.season, windows.in_base, windows.seasons
    mean, std = drought.climatology(means, season, base, n)
    percentile = drought.percentiles(means, season, base, n, judged)
    values = {
        "anomaly": drought.standardised(means, season, mean, std),
        "percentile": percentile,
        "drought_class": drought.classes(percentile),
        "climatology_mean": mean,
        "climatology_std": std,
    }
    if uncertainty is not None:
        by_day = uncertainty.reshape(days, -1)
        sigma = drought.window_means(by_day, int(zarr.FILL), windows.last, windows.window_days)
        sigma *= np.float32(share * zarr.UNCERTAINTY_STEP)
        probabilities = drought.class_probabilities(means, sigma, season, base, n, judged)
        values |= dict(zip(PROBABILITIES, probabilities, strict=True))
    return {name: _pack(v, STEPS[name]).reshape(-1, *cells) for name, v in values.items()}


def _pack(values: NDArray[np.float32], step: float) -> NDArray[np.int16]:
    # Well inside of int16, so that an extreme anomaly neither wraps around nor becomes the fill value -32768.
    steps = np.rint(np.clip(values / step, -32000, 32000))
    return np.where(np.isnan(values), zarr.FILL, steps).astype(np.int16)


def publish(version_url: str, product: Product, windows: Windows, side: int) -> None:
    """Make the windows visible, in one put."""
    with xr.open_zarr(zarr_store(join(version_url, zarr.STORE)), consolidated=True, chunks=None) as store:
        grid = Grid(store["lat"].values, store["lon"].values, product.grid.step_deg)
    fields, points = layouts(product, grid.shape)
    layout_of = {name: points if name in BY_SEASON else fields for name in windows.fields}
    packed = {name: zarr.packed_encoding(layout, STEPS[name]) for name, layout in layout_of.items()}
    time = {"units": zarr.EPOCH, "calendar": "proleptic_gregorian", "dtype": "int32"}
    encoding_of: dict[str, dict[str, object]] = {
        **packed,
        "time": {**time, "chunks": (zarr.TIME_CHUNK,)},
        "time_bnds": {**time, "chunks": (zarr.TIME_CHUNK, 2)},
        "status": {"chunks": (zarr.TIME_CHUNK,)},
    }
    ds = template(product, grid, windows, fields, points)
    keys = {"name": "default", "separator": SEPARATORS[side]}
    encoding = {
        str(n): {"_FillValue": None, "chunk_key_encoding": keys, **encoding_of.get(str(n), {})} for n in ds.variables
    }
    url = join(version_url, STORE)
    zarr.fill_empty(url, fields, windows.by_window, len(windows.ends), side)
    zarr.fill_empty(url, points, BY_SEASON, windows.seasons, side)
    zarr.publish_group(url, ds, encoding)


def template(product: Product, grid: Grid, windows: Windows, fields: Layout, points: Layout) -> xr.Dataset:
    """The group as its readers will see it, with nothing but NaN in the large arrays."""
    base = zarr.template(product, grid, windows.status, np.zeros((len(product.layers), *grid.shape), "int8"))
    small = base.drop_vars([*(name for name in zarr.DAILY if name in base), "applicability", "time", "time_bnds"])
    starts = windows.ends - pd.Timedelta(days=windows.window_days - 1)
    bounds = np.stack([starts.values, (windows.ends + pd.Timedelta(days=1)).values], 1)
    season = (np.arange(windows.seasons, dtype=np.int32) + 1) * windows.every_days
    ds = small.assign_coords(
        time=("time", windows.ends, {**attributes.TIME, **TIME_WORDS}),
        season=("season", season, {"long_name": "day of the year on which the window ends", "units": "1"}),
    ).assign(time_bnds=(("time", "bnds"), bounds))
    ds = ds.assign({name: _empty(name, ds, points if name in BY_SEASON else fields) for name in windows.fields})
    summary = (
        f"Soil moisture averaged over {windows.window_days} days, every {windows.every_days} days of the year, against "
        f"its own climatology of {windows.base.start} to {windows.base.end}."
    )
    group_attrs = {"title": f"{product.name}: drought", "summary": summary, "comment": TIME_WORDS["comment"]}
    covered = attributes.coverage_of(bounds, f"P{windows.every_days}D")
    ds.attrs = {**attributes.file_attrs(product, grid, windows.ends, product.layers), **group_attrs, **covered}
    start, end = str(windows.base.start), str(windows.base.end)
    return ds.assign_attrs(base_start=start, base_end=end, base_years=windows.base_years)


def _empty(name: str, ds: xr.Dataset, layout: Layout) -> xr.Variable:
    dims = CLIMATOLOGY if name.startswith("climatology") else zarr.DIMS
    shape = tuple(ds.sizes[d] for d in dims)
    data = dask.array.full(shape, np.nan, "float32", chunks=layout.shard)
    return xr.Variable(dims, data, {**FIELDS[name], "grid_mapping": "crs"})
