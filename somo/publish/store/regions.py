"""The Zarr group `regions.zarr`: mean soil moisture of every country, and the share of its area in each drought class.

Made from the published stores, so that a page or a script gets the series of a country by one small request instead of
reading every map. An update computes the new days alone; the values that readers see of the others are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.layout import SEPARATORS
from somo.publish import attributes
from somo.publish.store import maps as zarr
from somo.publish.store.countries import country_names
from somo.publish.store.region_sums import CLASSES, MEAN, SHARE_STEP, Countries, changed
from somo.storage.client import zarr_store
from somo.storage.objects import join

STORE = "regions.zarr"
SHARE = "drought_area_share"
# Days of one shard, about six years: the last shard is written again with every update.
BLOCK_DAYS = 2190
BLOCK_WINDOWS = 360


@dataclass(frozen=True)
class Stored:
    """What readers see of the group, packed.

    Attributes
    ----------
    visible : its days
    window_status : [window] int8
    window_bounds : [window, 2] days since 1970-01-01
    base : first and last day of the drought's base period
    codes : [country]
    means : [country, layer, day]
    shares : [country, layer, window, class]; no windows without drought
    """

    visible: zarr.Visible
    window_status: NDArray[np.int8]
    window_bounds: NDArray[np.int64]
    base: tuple[str, str]
    codes: NDArray[np.int16]
    means: NDArray[np.int16]
    shares: NDArray[np.int16]


def read_stored(version_url: str) -> Stored | None:
    """The group as readers see it; None before it is published."""
    url = join(version_url, STORE)
    if (visible := zarr.read_visible(url)) is None:
        return None
    with xr.open_zarr(zarr_store(url), consolidated=True, chunks=None, mask_and_scale=False, decode_times=False) as ds:
        has_drought = SHARE in ds
        windows = ds["window_status"].values if has_drought else np.zeros(0, np.int8)
        bounds = ds["window_bnds"].values.astype(np.int64) if has_drought else np.zeros((0, 2), np.int64)
        shares = ds[SHARE].values if has_drought else np.zeros((0, 0, 0, len(CLASSES)), np.int16)
        base = str(ds.attrs.get("base_start", "")), str(ds.attrs.get("base_end", ""))
        return Stored(visible, windows, bounds, base, ds["region"].values, ds[MEAN].values, shares)


@dataclass(frozen=True)
class Changes:
    """Which days and windows of the group have to be computed.

    Attributes
    ----------
    days, windows : [day], [window] whether to compute it; of the others readers see what they will see
    side : namespace of the objects that will count
    """

    days: NDArray[np.bool_]
    windows: NDArray[np.bool_]
    side: int


def changes(
    maps: xr.Dataset, drought: xr.Dataset | None, codes: NDArray[np.int16], stored: Stored | None
) -> Changes | None:
    """Compare the group with the stores that it is made from; None where nothing is to be done.

    Parameters
    ----------
    codes : of the countries on the grid
    stored : what readers see; None to make everything
    """
    status = maps["status"].values
    windows = np.zeros(0, np.int8) if drought is None else drought["status"].values
    if stored is None or not np.array_equal(stored.codes, codes):
        return Changes(np.ones(len(status), bool), np.ones(len(windows), bool), stored.visible.side if stored else 0)
    days = changed(status, stored.visible.status)
    base = ("", "") if drought is None else (drought.attrs["base_start"], drought.attrs["base_end"])
    bounds = np.zeros((0, 2), "M8[D]") if drought is None else drought["time_bnds"].values.astype("M8[D]")
    # Windows that a changed declaration laid otherwise have other values, whatever their number and status.
    same_windows = np.array_equal(stored.window_bounds, bounds[: len(stored.window_bounds)].astype(np.int64))
    comparable = base == stored.base and same_windows
    stale = changed(windows, stored.window_status if comparable else np.zeros(0, np.int8))
    if not days.any() and not stale.any() and len(windows) == len(stored.window_status):
        return None
    return Changes(days, stale, 1 - stored.visible.side)


def standing(stored: NDArray[np.int16] | None, fresh: NDArray[np.int16], stale: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Computed values of stale days, and of the others those that readers see: [country, layer, day, ...] packed."""
    if stored is None:
        return fresh
    values = fresh.copy()
    stand = np.flatnonzero(~stale)
    values[:, :, stand] = stored[:, :, stand]
    return values


def dataset(
    product: Product,
    maps: xr.Dataset,
    countries: Countries,
    means: NDArray[np.int16],
    drought: xr.Dataset | None = None,
    shares: NDArray[np.int16] | None = None,
) -> xr.Dataset:
    """The group, unpacked.

    Parameters
    ----------
    maps : the version's store, whose coordinates, bounds and status it shares
    means : packed [country, layer, day]
    drought : the drought store; None where there is none
    shares : packed [country, layer, window, class]
    """
    grid = Grid(maps["lat"].values, maps["lon"].values, product.grid.step_deg)
    names = country_names()
    spoken = [names[int(code)] for code in countries.codes]
    # CF's standard name "region" is for the names of its own list, which has no countries.
    region_attrs = {
        "long_name": "country, by its numeric code of ISO 3166-1 (from 900 on: places without one)",
        "flag_values": countries.codes,
        "flag_meanings": " ".join(name.replace(" ", "_") for name in spoken),
        "names": spoken,
        "source": "Natural Earth 1:50m, version 4.1.0 (public domain)",
    }
    times = pd.DatetimeIndex(maps["time"].to_index())
    about = {name: maps[name] for name in ("status", "time_bnds", "depth_bnds", "lat_bnds", "lon_bnds", "crs")}
    ds = xr.Dataset(
        {
            MEAN: (("region", "depth", "time"), _unpacked(means, zarr.STEP), _mean_attrs(maps)),
            "area": ("region", countries.km2, {"long_name": "area of the cells with values", "units": "km2"}),
            "region_of_cell": (("lat", "lon"), countries.of_cell, {**region_attrs, "grid_mapping": "crs"}),
            **{name: (array.dims, array.values, array.attrs) for name, array in about.items()},
        },
        {
            "region": ("region", countries.codes, region_attrs),
            **{name: (name, maps[name].values, maps[name].attrs) for name in ("time", "depth", "lat", "lon")},
        },
        {**attributes.file_attrs(product, grid, times, product.layers), **_words(product)},
    )
    return ds if drought is None or shares is None else _with_drought(ds, drought, shares)


def _with_drought(ds: xr.Dataset, drought: xr.Dataset, shares: NDArray[np.int16]) -> xr.Dataset:
    """With the share of area in each class over the windows of the drought store."""
    window = {**drought["time"].attrs, "long_name": "last day of the window", "bounds": "window_bnds"}
    window.pop("axis", None)
    return (
        ds.assign(
            {
                SHARE: (
                    ("region", "depth", "window", "drought_class"),
                    _unpacked(shares, SHARE_STEP),
                    {
                        "long_name": "share of the region's area in exactly this drought class",
                        "units": "1",
                        "comment": "the shares of one window add up to 1; D1 or drier is the sum from D1 to D4",
                    },
                ),
                "window_status": ("window", drought["status"].values, drought["status"].attrs),
                "window_bnds": (("window", "bnds"), drought["time_bnds"].values),
            }
        )
        .assign_coords(
            window=("window", drought["time"].values, window),
            drought_class=(
                "drought_class",
                np.arange(len(CLASSES), dtype=np.int8),
                {
                    "long_name": "drought class",
                    "flag_values": np.arange(len(CLASSES), dtype=np.int8),
                    "flag_meanings": " ".join(CLASSES),
                },
            ),
        )
        .assign_attrs({name: drought.attrs[name] for name in ("base_start", "base_end", "base_years")})
    )


def publish(version_url: str, ds: xr.Dataset, side: int) -> None:
    """Put the group's objects that differ, its metadata last."""
    keys = {"name": "default", "separator": SEPARATORS[side]}
    days = {"units": zarr.EPOCH, "calendar": "proleptic_gregorian", "dtype": "int32"}
    encoding_of: dict[str, dict[str, object]] = {
        MEAN: _packed((1, ds.sizes["depth"], BLOCK_DAYS), ds.sizes["region"], zarr.STEP),
        "time": {**days, "chunks": (zarr.TIME_CHUNK,)},
        "time_bnds": {**days, "chunks": (zarr.TIME_CHUNK, 2)},
        "status": {"chunks": (zarr.TIME_CHUNK,)},
        "region_of_cell": {"chunks": (ds.sizes["lat"], ds.sizes["lon"])},
    }
    if SHARE in ds:
        encoding_of |= {
            SHARE: _packed((1, ds.sizes["depth"], BLOCK_WINDOWS, len(CLASSES)), ds.sizes["region"], SHARE_STEP),
            "window": {**days, "chunks": (zarr.TIME_CHUNK,)},
            "window_bnds": {**days, "chunks": (zarr.TIME_CHUNK, 2)},
            "window_status": {"chunks": (zarr.TIME_CHUNK,)},
        }
    encoding = {
        str(n): {"_FillValue": None, "chunk_key_encoding": keys, **encoding_of.get(str(n), {})} for n in ds.variables
    }
    zarr.publish_group(join(version_url, STORE), ds, encoding)


def _packed(chunk: tuple[int, ...], countries: int, step: float) -> dict[str, object]:
    """One object a block, with a chunk of its own for each country: a reader of one asks for its bytes alone."""
    return {
        "chunks": chunk,
        "shards": (countries, *chunk[1:]),
        "compressors": [ZstdCodec(level=3, checksum=True)],
        "dtype": "int16",
        "fill_value": zarr.FILL,
        "scale_factor": step,
        "_FillValue": zarr.FILL,
    }


def _unpacked(packed: NDArray[np.int16], step: float) -> NDArray[np.float64]:
    return np.where(packed == zarr.FILL, np.nan, packed * step)


def _mean_attrs(maps: xr.Dataset) -> Mapping[str, object]:
    attrs = {k: v for k, v in maps[MEAN].attrs.items() if k in ("standard_name", "units", "valid_range", "comment")}
    return {
        **attrs,
        "long_name": "mean soil moisture of the region's cells, weighted by area",
        "cell_methods": "time: mean depth: mean area: mean",
        "ancillary_variables": "status",
    }


def _words(product: Product) -> dict[str, str]:
    return {
        "title": f"{product.name}: countries",
        "summary": (
            "Mean soil moisture of each country and, where the version has drought, the share of its area in each "
            "class of it. A cell belongs to "
            "the country that holds its centre."
        ),
    }
