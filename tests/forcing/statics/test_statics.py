"""Static files in the structures that providers deliver: statistics by hand, and what is refused in which words."""

from itertools import product as pairs
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.transform import from_origin

from somo.core.grid import Grid
from somo.forcing.sources import ForcingError
from somo.forcing.statics.field import read_static, read_static_at, who_lacks
from somo.product.static import Static

GRID = Grid.regular(11.0, 11.4, 50.6, 50.9, 0.1)
LAT = np.round(50.995 - 0.01 * np.arange(50), 6)
LON = np.round(10.905 + 0.01 * np.arange(60), 6)
HEIGHTS = np.random.default_rng(1).integers(0, 900, (50, 60)).astype("int16")
CODES = np.random.default_rng(2).choice([10, 50, 60, 70, 130, 190], (50, 60)).astype("uint8")


def write(path: Path, values: np.ndarray, attrs: dict[str, Any] | None = None, **changes: Any) -> str:
    """A static file; by default latitudes and longitudes of a hundredth of a degree."""
    dims = changes.get("dims", ("lat", "lon"))
    lat, lon = changes.get("lat", LAT), changes.get("lon", LON)
    coordinates = {
        dims[-2]: (dims[-2], lat, {"units": "degrees_north"}),
        dims[-1]: (dims[-1], lon, {"units": "degrees_east"}),
    }
    if "times" in changes:
        coordinates["time"] = ("time", changes["times"], {"units": "days since 2001-01-01"})
    ds = xr.Dataset({changes.get("variable", "z"): (dims, values, attrs or {})}, coordinates)
    engine = changes.get("engine", "h5netcdf")
    encoding = {changes.get("variable", "z"): {"_FillValue": None, **changes.get("encoding", {})}}
    ds.to_netcdf(path, engine=engine, encoding=encoding, **({"format": "NETCDF3_CLASSIC"} if engine == "scipy" else {}))
    return str(path)


def read(url: str | tuple[str, ...], grid: Grid = GRID, name: str = "elevation", **keys: Any) -> np.ndarray:
    return read_static(name, Static(url=url, **{"variable": "z", **keys}), "home", grid)


def plain(values: np.ndarray, how: Any) -> np.ndarray:
    """The statistic of the ten by ten values in each cell."""
    return np.array(
        [[how(values[10 + 10 * r : 20 + 10 * r, 10 + 10 * c : 20 + 10 * c]) for c in range(4)] for r in range(3)]
    )


@pytest.mark.parametrize(
    ("dims", "engine"), list(pairs((("lat", "lon"), ("y", "x"), ("nlat", "nlon")), ("h5netcdf", "scipy")))
)
def test_mean_and_spread_within_cells_in_any_dimensions_and_format(tmp_path, dims, engine):
    url = write(tmp_path / "z.nc", HEIGHTS, dims=dims, engine=engine)
    np.testing.assert_allclose(read(url, within_cell="mean", units="m"), plain(HEIGHTS, np.mean), rtol=1e-6)
    np.testing.assert_allclose(read(url, within_cell="std", units="m"), plain(HEIGHTS, np.std), rtol=1e-6)


def test_turned_axes_and_longitudes_to_360_across_greenwich(tmp_path):
    grid = Grid.regular(-0.2, 0.2, 50.6, 50.9, 0.1)
    east = np.round(-0.295 + 0.01 * np.arange(60), 6)
    order = np.argsort(east % 360)
    url = write(tmp_path / "z.nc", HEIGHTS[::-1, order], lat=LAT[::-1], lon=np.round(east % 360, 6)[order])
    np.testing.assert_allclose(read(url, grid, within_cell="mean", units="m"), plain(HEIGHTS, np.mean), rtol=1e-6)


def test_a_node_on_a_border_counts_half_in_each_cell(tmp_path):
    lat, lon = np.round(51 - 0.05 * np.arange(11), 6), np.round(10.9 + 0.05 * np.arange(13), 6)
    values = np.arange(143.0, dtype="float32").reshape(11, 13)
    mean = read(write(tmp_path / "z.nc", values, lat=lat, lon=lon), within_cell="mean")
    # rows 2, 3, 4 and columns 2, 3, 4 with the shares 1/2, 1, 1/2: the mean is the middle node
    assert mean[0, 0] == pytest.approx(values[3, 3])
    assert mean[2, 3] == pytest.approx(values[7, 9])


def test_shares_of_classes_and_of_no_data(tmp_path):
    attrs = {"flag_values": np.array([0, 50, 60], "uint8"), "flag_meanings": "no_data broadleaved needleleaved"}
    codes = np.where(CODES == 10, 0, np.where(CODES > 50, 60, 50)).astype("uint8")
    url = write(tmp_path / "z.nc", codes, attrs, variable="lccs_class")
    share = read(url, name="forest", variable="lccs_class", within_cell="fraction", classes=(50,))
    expected = plain(codes, lambda part: (part == 50).sum() / (part != 0).sum())
    np.testing.assert_allclose(share, expected, rtol=1e-6)
    with pytest.raises(ForcingError, match=r"class 51 is none of those that .*z\.nc lists: 0, 50, 60; correct classes"):
        read(url, name="forest", variable="lccs_class", within_cell="fraction", classes=(51,))


def test_bit_flags_are_no_classes(tmp_path):
    """5 holds the flags 4 and 1: counted as a class it would be neither."""
    url = write(tmp_path / "z.nc", CODES, {"flag_masks": np.array([1, 4], "uint8")}, variable="quality")
    with pytest.raises(ForcingError, match=r"z\.nc: quality holds bit flags .*a class for each node"):
        read(url, name="flooded", variable="quality", within_cell="fraction", classes=(4,))


@pytest.mark.parametrize(
    ("attrs", "variable"),
    [
        ({"flag_values": np.array([10, 50], "uint8")}, "z"),
        ({}, "lccs_class"),
        ({"long_name": "land cover"}, "z"),
        ({}, "b1"),
    ],
)
@pytest.mark.parametrize("how", [{"within_cell": "mean"}, {"within_cell": "std"}])
def test_class_codes_are_never_averaged(tmp_path, attrs, variable, how):
    url = write(tmp_path / "z.nc", CODES, attrs, variable=variable)
    with pytest.raises(ForcingError, match=r'z\.nc: .* write static\.forest\.within_cell = "fraction" and classes = '):
        read(url, name="forest", variable=variable, **how)


def test_whole_numbers_with_declared_units_are_amounts(tmp_path):
    url = write(tmp_path / "z.nc", CODES)
    np.testing.assert_allclose(read(url, within_cell="mean", units="m"), plain(CODES, np.mean), rtol=1e-6)


def test_codes_on_the_cells_need_categories(tmp_path):
    url = write(tmp_path / "z.nc", CODES[:3, :4], {"flag_meanings": "a b"}, lat=GRID.lat, lon=GRID.lon)
    with pytest.raises(ForcingError, match=r"which are no amounts; write static\.soil\.categories = "):
        read(url, name="soil")
    np.testing.assert_array_equal(read(url, name="soil", categories=(10, 50)), CODES[:3, :4])


def test_a_fill_value_that_nothing_declares(tmp_path):
    sand = np.random.default_rng(3).uniform(10, 70, (50, 60)).astype("float32")
    sand[25:30, 25:30] = -9999
    url = write(tmp_path / "z.nc", sand, {"units": "%"})
    with pytest.raises(ForcingError, match=r"z is -9999 at 25 places.*write static\.sand\.missing = \[-9999\]"):
        read(url, name="sand", units="percent", within_cell="mean")
    filled = np.where(sand == -9999, np.nan, sand)
    got = read(url, name="sand", units="percent", within_cell="mean", missing=(-9999,))
    np.testing.assert_allclose(got, plain(filled, np.nanmean), rtol=1e-6)


def test_the_largest_byte_far_from_all_others_is_a_fill_value(tmp_path):
    """Tree cover in percent with 255 for water, in a file that says so nowhere."""
    cover = np.random.default_rng(4).integers(0, 101, (50, 60)).astype("uint8")
    cover[25:30, 25:30] = 255
    url = write(tmp_path / "z.nc", cover)
    with pytest.raises(ForcingError, match=r"z is 255 at 25 places.*write static\.canopy\.missing = \[255\]"):
        read(url, name="canopy", within_cell="mean")
    np.testing.assert_allclose(
        read(url, name="canopy", within_cell="mean", missing=(255,)),
        plain(np.where(cover == 255, np.nan, cover), np.nanmean),
        rtol=1e-6,
    )
    all_bytes = np.random.default_rng(5).integers(0, 256, (50, 60)).astype("uint8")
    got = read(write(tmp_path / "a.nc", all_bytes), name="canopy", within_cell="mean")
    np.testing.assert_allclose(got, plain(all_bytes, np.mean), rtol=1e-6)


def test_the_deep_sea_is_no_fill_value(tmp_path):
    depths = np.random.default_rng(4).integers(-10_500, 500, (50, 60)).astype("int16")
    depths[20, 20] = -9999
    got = read(write(tmp_path / "z.nc", depths), within_cell="mean", units="m")
    np.testing.assert_allclose(got, plain(depths, np.mean), rtol=1e-6)


def test_units_are_converted_or_refused(tmp_path):
    kilometres = write(tmp_path / "km.nc", (HEIGHTS / 1000).astype("float32"), {"units": "km"})
    np.testing.assert_allclose(read(kilometres, within_cell="mean", units="m"), plain(HEIGHTS, np.mean), rtol=1e-5)
    wrong = write(tmp_path / "wrong.nc", HEIGHTS, {"units": "km"})
    with pytest.raises(ForcingError, match=r"wrong\.nc: z is \d+ m \(\d+ km in the file\), outside -11000\.\.9000"):
        read(wrong, within_cell="mean", units="m")
    with pytest.raises(ForcingError, match=r"has units 'km', but static\.elevation\.units declares 'percent'"):
        read(wrong, within_cell="mean", units="percent")
    permille = write(tmp_path / "permille.nc", HEIGHTS, {"units": "0.1 %"})
    np.testing.assert_allclose(read(permille, within_cell="mean", units="1"), plain(HEIGHTS, np.mean) / 1000, rtol=1e-5)
    spelt = write(tmp_path / "spelt.nc", HEIGHTS, {"units": "meters above sea level"})
    np.testing.assert_allclose(read(spelt, within_cell="mean", units="m"), plain(HEIGHTS, np.mean), rtol=1e-6)


def test_shares_of_one_declared_as_percent(tmp_path):
    sand = np.random.default_rng(3).uniform(0.1, 0.7, (50, 60)).astype("float32")
    with pytest.raises(ForcingError, match=r'look like shares of 1; write static\.sand\.units = "1"'):
        read(write(tmp_path / "z.nc", sand), name="sand", units="percent", within_cell="mean")
    # The file itself calls them percent: 0.1 to 0.7 % of sand in every place, with or without units that are declared.
    url = write(tmp_path / "named.nc", sand, {"units": "%"})
    for units in ("percent", "1", None):
        with pytest.raises(ForcingError, match=r"says that z is in '%', and its values are 0\.1\d* to 0\.\d+:"):
            read(url, name="sand", units=units, within_cell="mean")
    assert read(url, name="forest", units="percent", within_cell="mean").max() < 1


def test_twelve_months_are_averaged_or_chosen(tmp_path):
    months = np.random.default_rng(5).integers(0, 600, (12, 50, 60)).astype("int16")
    url = write(tmp_path / "z.nc", months, dims=("time", "lat", "lon"))
    np.testing.assert_allclose(read(url, within_cell="mean"), plain(months.mean(0), np.mean), rtol=1e-5)
    july = read(url, within_cell="mean", select={"time": 6})
    np.testing.assert_allclose(july, plain(months[6], np.mean), rtol=1e-6)
    years = write(tmp_path / "years.nc", months[:5], dims=("time", "lat", "lon"))
    with pytest.raises(ForcingError, match=r"further dimension time with 5 entries, .*choose it: select = "):
        read(years, within_cell="mean")
    alone = write(tmp_path / "alone.nc", months[:1], dims=("time", "lat", "lon"))
    np.testing.assert_allclose(read(alone, within_cell="mean"), plain(months[0], np.mean), rtol=1e-6)


@pytest.mark.parametrize("step", [1, 365.25])
def test_twelve_days_or_years_are_no_months(tmp_path, step):
    planes = np.random.default_rng(5).integers(0, 600, (12, 50, 60)).astype("int16")
    url = write(tmp_path / "z.nc", planes, dims=("time", "lat", "lon"), times=step * np.arange(12.0))
    with pytest.raises(ForcingError, match=r"holds 12 times, 2001-01-01 to 20.*choose it: select = \{ time = "):
        read(url, within_cell="mean")
    months = write(tmp_path / "m.nc", planes, dims=("time", "lat", "lon"), times=30.4 * np.arange(12.0)[::-1])
    np.testing.assert_allclose(read(months, within_cell="mean"), plain(planes.mean(0), np.mean), rtol=1e-5)


def test_tiles_of_other_units_need_declared_ones(tmp_path):
    write(tmp_path / "tile_a.nc", HEIGHTS[:, :30], {"units": "m"}, lon=LON[:30])
    write(tmp_path / "tile_b.nc", (100.0 * HEIGHTS[:, 30:]).astype("float32"), {"units": "cm"}, lon=LON[30:])
    with pytest.raises(ForcingError, match=r"tile_b\.nc: z has units 'cm', but in .*tile_a\.nc 'm'; declare static"):
        read(f"{tmp_path}/tile_*.nc", within_cell="mean")
    got = read(f"{tmp_path}/tile_*.nc", within_cell="mean", units="m")
    np.testing.assert_allclose(got, plain(HEIGHTS, np.mean), rtol=1e-5)
    write(tmp_path / "tile_b.nc", HEIGHTS[:, 30:], {"units": "meters above sea level"}, lon=LON[30:])
    np.testing.assert_allclose(read(f"{tmp_path}/tile_*.nc", within_cell="mean"), got, rtol=1e-5)


def test_tiles_are_one_field_and_two_fields_are_refused(tmp_path):
    write(tmp_path / "tile_a.nc", HEIGHTS[:, :31], lon=LON[:31])
    write(tmp_path / "tile_b.nc", HEIGHTS[:, 30:], lon=LON[30:])
    got = read(f"{tmp_path}/tile_*.nc", within_cell="mean", units="m")
    np.testing.assert_allclose(got, plain(HEIGHTS, np.mean), rtol=1e-6)
    cells = HEIGHTS[:3, :4].astype("float32")
    write(tmp_path / "cell_a.nc", cells[:, :2], lat=GRID.lat, lon=GRID.lon[:2])
    write(tmp_path / "cell_b.nc", cells[:, 2:], lat=GRID.lat, lon=GRID.lon[2:])
    np.testing.assert_array_equal(read((f"{tmp_path}/cell_b.nc", f"{tmp_path}/cell_a.nc"), units="m"), cells)
    write(tmp_path / "tile_c.nc", HEIGHTS)
    with pytest.raises(ForcingError, match=r"hold the same places; static\.elevation takes one field"):
        read(f"{tmp_path}/tile_*.nc", within_cell="mean", units="m")


def test_half_a_cell_off_needs_regrid(tmp_path):
    lat, lon = np.round(50.9 - 0.1 * np.arange(6), 6), np.round(11 + 0.1 * np.arange(6), 6)
    values = HEIGHTS[:6, :6].astype("float32")
    url = write(tmp_path / "z.nc", values, lat=lat, lon=lon)
    with pytest.raises(ForcingError, match=r"no lat 50\.85.*static\.elevation\.regrid = \"bilinear\""):
        read(url, units="m")
    between = read(url, units="m", regrid="bilinear")
    assert between[0, 0] == pytest.approx(values[:2, :2].mean())
    with pytest.raises(ForcingError, match=r"nothing lies within one; take out static\.elevation\.within_cell"):
        read(write(tmp_path / "coarse.nc", values[:3, :3], lat=lat[::2], lon=lon[::2]), within_cell="mean", units="m")


def test_a_file_elsewhere_and_a_file_of_another_kind(tmp_path):
    with pytest.raises(ForcingError, match=r"has nothing in the 12 cells 50\.65\.\.50\.85 N"):
        read(write(tmp_path / "z.nc", HEIGHTS, lat=LAT - 30), within_cell="mean", units="m")
    (tmp_path / "page.nc").write_text("<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(ForcingError, match=r"page\.nc: is an HTML page \(Log in\)"):
        read(str(tmp_path / "page.nc"))
    with pytest.raises(ForcingError, match=r"none\.nc: no such file; provide it, or correct static\.elevation\.url"):
        read(str(tmp_path / "none.nc"))


def test_one_cell_is_what_the_whole_grid_has(tmp_path):
    url = write(tmp_path / "z.nc", HEIGHTS)
    static = Static(url=url, variable="z", units="m", within_cell="std")
    whole = read_static("elevation", static, "home", GRID)
    one = read_static_at("elevation", static, "home", GRID, (slice(1, 2), slice(2, 3)))
    assert one.tolist() == [[whole[1, 2]]]


def test_who_lacks_the_value_of_a_cell_is_named(tmp_path):
    tiles = (
        write(tmp_path / "west.nc", HEIGHTS[:, :20], lon=LON[:20]),
        write(tmp_path / "east.nc", np.where(LON[40:] < 11.4, np.nan, HEIGHTS[:, 40:]), lon=LON[40:] + 360),
    )
    static = Static(url=tiles, variable="z", units="m", within_cell="mean")
    missing = np.isnan(read_static("elevation", static, "home", GRID))
    assert missing.tolist() == [[False, True, True, True]] * 3
    hole, empty = (who_lacks("elevation", static, "home", 50.65, lon) for lon in (11.25, 11.35))
    assert hole.startswith("no file reaches it of") and "west.nc and " in hole and "east.nc; provide" in hole
    assert "west.nc" not in empty and empty.startswith("too few values there in") and "east.nc; provide" in empty


def _raster(path: Path, values: np.ndarray, crs: str, origin: tuple[float, float], step: float, **keys: Any) -> str:
    profile = {"driver": "GTiff", "dtype": values.dtype, "count": 1, "crs": crs, **keys}
    with rasterio.open(
        path, "w", height=values.shape[0], width=values.shape[1], transform=from_origin(*origin, step, step), **profile
    ) as raster:
        raster.write(values, 1)
    return str(path)


def test_geotiff_on_degrees(tmp_path):
    url = _raster(
        tmp_path / "z.tif", HEIGHTS, "EPSG:4326", (10.9, 51.0), 0.01, tiled=True, blockxsize=16, blockysize=16
    )
    got = read(url, variable="1", within_cell="mean", units="m")
    np.testing.assert_allclose(got, plain(HEIGHTS, np.mean), rtol=1e-6)


def test_geotiff_in_a_projection(tmp_path):
    """The Lambert projection of Europe: a cell's mean is that of the nodes whose centres pyproj places in it."""
    from pyproj import Transformer

    rng = np.random.default_rng(6)
    values = rng.integers(100, 900, (120, 120)).astype("int16")
    x0, y0, step = 4_370_000.0, 3_110_000.0, 500.0
    to_degrees = Transformer.from_crs("EPSG:3035", "EPSG:4326", always_xy=True)
    x, y = np.meshgrid(x0 + step * (np.arange(120) + 0.5), y0 - step * (np.arange(120) + 0.5))
    lon, lat = to_degrees.transform(x, y)
    grid = Grid.regular(round(lon.mean() - 0.1, 1), round(lon.mean() + 0.1, 1), 50.6, 50.8, 0.1)
    url = _raster(tmp_path / "laea.tif", values, "EPSG:3035", (x0, y0), step)
    got = read(url, grid, variable="1", within_cell="mean", units="m")
    for row, column in np.ndindex(*grid.shape):
        inside = (abs(lat - grid.lat[row]) < 0.05) & (abs(lon - grid.lon[column]) < 0.05)
        assert inside.sum() > 50
        assert got[row, column] == pytest.approx(values[inside].mean(), rel=1e-6)
