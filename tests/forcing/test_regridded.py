"""Sources on other grids than the product's, read in place: values, cuts, cubes, what a reading touches, refusals."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from somo.forcing.by_tile.cube import write_cube
from somo.forcing.by_tile.tiling import make_slab, plan_slabs, read_cost, touched
from somo.forcing.dataset import daily_arrays, open_forcing
from somo.forcing.references import reading
from somo.forcing.references.chunks import open_references
from somo.forcing.sources import ForcingError
from somo.product.layout import Layout

GRID = {"kind": "regular", "west": 7.0, "east": 7.6, "south": 47.6, "north": 48.1, "step_deg": 0.1}
NODES_LAT, NODES_LON = np.round(48.1 - 0.1 * np.arange(6), 6), np.round(7.0 + 0.1 * np.arange(7), 6)
FINE_LAT, FINE_LON = np.round(48.0875 - 0.025 * np.arange(20), 6), np.round(7.0125 + 0.025 * np.arange(24), 6)
HOURLY = {"dtype": "float32", "chunksizes": (24, 3, 4)}


def _product(sources, how, **changes):
    return sources.product(end="2003-03-31", grid=GRID, source={"regrid": how, **changes})


def _write(sources, lat, lon, **more):
    time = np.arange("2003-01-01", "2003-04-01", dtype="datetime64[D]").astype("datetime64[ns]")
    rng = np.random.default_rng(1)
    values = 283 + 8 * rng.standard_normal((len(time), len(lat), len(lon)))
    values[:, :2, :2] = np.nan
    return sources.write(
        2003, {"dtype": "float32", "chunksizes": (10, 3, 4)}, time=time, lat=lat, lon=lon, values=values, **more
    )


def _between_nodes(values):
    """Half a cell off: the mean of the four nodes around, of those that have a value."""
    corners = np.stack([values[:, a : a + 5, b : b + 6] for a in (0, 1) for b in (0, 1)])
    share = np.isfinite(corners).sum(axis=0)
    return np.where(share > 0, np.nansum(corners, axis=0, dtype="float64") / np.maximum(share, 1), np.nan)


def _of_finer(values):
    """Cells of 4 x 4 finer ones, weighted by the cosine of their latitudes."""
    weight = np.where(np.isfinite(values), np.cos(np.radians(FINE_LAT))[None, :, None], 0.0)
    blocks = [np.where(np.isfinite(values), values, 0) * weight, weight]
    total, share = (x.reshape(-1, 5, 4, 6, 4).sum(axis=(2, 4)) for x in blocks)
    return np.where(share > 0, total / np.where(share > 0, share, 1), np.nan)


CASES = {
    "bilinear": (NODES_LAT, NODES_LON, _between_nodes),
    "nearest": (NODES_LAT, NODES_LON, lambda values: values[:, :5, :6]),
    "mean": (FINE_LAT, FINE_LON, _of_finer),
}


@pytest.fixture(params=CASES)
def regridded(request, sources, references, root):
    lat, lon, plain = CASES[request.param]
    stored = _write(sources, lat, lon)["t2m"].values.astype("float32")
    product = _product(sources, request.param)
    return product, references(product, root), plain(stored)


def test_values_equal_a_plain_computation(regridded):
    product, urls, plain = regridded
    got = open_forcing(product, "home", urls)["air_temperature"].values
    np.testing.assert_allclose(got, plain, rtol=1e-6)


def test_values_do_not_depend_on_the_cut_nor_on_the_layout(regridded):
    product, urls, _ = regridded
    array = daily_arrays(product, "home", urls)["air_temperature"]
    whole = array[:, :, :]
    for part in ((slice(3, 9), slice(1, 3), slice(2, 6)), (slice(0, 1), slice(4, 5), slice(0, 1))):
        np.testing.assert_array_equal(array[part], whole[part])
    slabs = plan_slabs(array)
    for slab in slabs:
        make_slab(array, slab, (2, 3))
    write_cube(array.cube_url, slabs)
    open_references(array.url).fingerprints = {}
    np.testing.assert_array_equal(array[:, :, :], whole)
    np.testing.assert_array_equal(array[20:40, 1:3, 2:5], whole[20:40, 1:3, 2:5])


def test_what_a_tile_will_read_is_known_before(regridded, monkeypatch):
    product, urls, _ = regridded
    array = daily_arrays(product, "home", urls)["air_temperature"]
    requests = []
    read_range = reading.read_range

    def counted(url, fingerprint, offset, size):
        requests.append(size)
        return read_range(url, fingerprint, offset, size)

    monkeypatch.setattr(reading, "read_range", counted)
    monkeypatch.setattr(reading, "REQUEST_BYTES", 1)
    part = slice(15, 35), slice(1, 3), slice(2, 5)
    array[part]
    expected = touched(array, [(part[0], [part[1:]])])
    assert (expected.chunks, expected.bytes) == (len(requests), sum(requests))
    cost = read_cost(array, Layout.of(product, array.shape[1:]))
    assert cost.touched.bytes >= cost.own_bytes > 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.data())
def test_gaps_hours_and_regridding_together_do_not_depend_on_the_cut(tmp_path_factory, data):
    array, whole = _hourly_with_gaps(tmp_path_factory)
    first, row, column = (data.draw(st.integers(0, n - 1)) for n in array.shape)
    part = tuple(
        slice(start, data.draw(st.integers(start + 1, n)))
        for start, n in zip((first, row, column), array.shape, strict=True)
    )
    np.testing.assert_array_equal(array[part], whole[part])


_made = {}


def _hourly_with_gaps(tmp_path_factory):
    """Four values a day on nodes, with clouds: single days missing here and there."""
    if not _made:
        from tests.forcing.conftest import Sources, build_references

        folder = tmp_path_factory.mktemp("hourly")
        (folder / "forcing").mkdir()
        sources = Sources(folder / "forcing")
        time = np.arange("2003-01-01", "2003-02-01", 6, dtype="datetime64[h]").astype("datetime64[ns]")
        rng = np.random.default_rng(4)
        values = 283 + 8 * rng.standard_normal((len(time), 6, 7))
        values[rng.integers(5, 26, 6) * 4] = np.nan
        sources.write(
            2003, HOURLY, time=time, lat=NODES_LAT, lon=NODES_LON, values=values, clock="hours since 2003-01-01"
        )
        more = {"frequency": "sub-daily", "gaps": "interpolate", "max_gap_days": 3}
        product = sources.product("2003-01-03", "2003-01-31", grid=GRID, source={"regrid": "bilinear", **more})
        array = daily_arrays(product, "home", build_references(product, str(folder / "root")))["air_temperature"]
        _made["array"] = array, array[:, :, :]
        assert np.isfinite(_made["array"][1]).all()
    return _made["array"]


def test_a_grid_half_a_cell_off_is_refused_with_the_key_to_write(sources, references, root):
    _write(sources, NODES_LAT, NODES_LON)
    product = _product(sources, None)
    with pytest.raises(ForcingError, match=r'no lat 48\.05; .*forcing\.air_temperature\.regrid = "bilinear"'):
        open_forcing(product, "home", references(product, root))


def test_a_hundredth_of_a_cell_is_the_same_place(sources, references, root):
    lat, lon = 48.05 - 1.4e-4 - 0.1 * np.arange(5), 7.05 - 1.4e-4 + 0.1 * np.arange(6)
    stored = _write(sources, lat, lon)["t2m"].values.astype("float32")
    product = _product(sources, None)
    got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, stored)


def test_files_that_do_not_cover_the_grid_are_refused(sources, references, root):
    _write(sources, NODES_LAT[:4], NODES_LON)
    product = _product(sources, "bilinear")
    with pytest.raises(ForcingError, match=r"no node near lat 47\.65; its lat has 4 values 48\.1\.\.47\.8"):
        open_forcing(product, "home", references(product, root))


def test_means_of_larger_cells_are_refused(sources, references, root):
    _write(sources, np.arange(49.0, 46, -0.25), np.arange(6.0, 9, 0.25))
    product = _product(sources, "mean")
    with pytest.raises(ForcingError, match=r'cells of 0\.25 degrees are larger .*regrid = "bilinear"'):
        open_forcing(product, "home", references(product, root))


def test_an_undeclared_fill_value_does_not_hide_in_a_mean(sources, references, root):
    time = np.arange("2003-01-01", "2003-04-01", dtype="datetime64[D]").astype("datetime64[ns]")
    values = np.full((len(time), 20, 24), 280.0)
    values[7, 3, 5] = -9999.0
    sources.write(2003, {"dtype": "float32"}, time=time, lat=FINE_LAT, lon=FINE_LON, values=values)
    product = _product(sources, "mean")
    urls = references(product, root)
    with pytest.raises(ForcingError, match=r"is -9999 K on 2003-01-08 at 48\.0125 N, 7\.1375 E.*missing = \[-9999\]"):
        open_forcing(product, "home", urls)["air_temperature"].compute()
    declared = _product(sources, "mean", missing=[-9999.0])
    values = open_forcing(declared, "home", references(declared, root))["air_temperature"].values
    np.testing.assert_array_equal(values, 280.0)


def _rotated(sources, how):
    """Nodes of a pole at 39.25 N, 162 W around 48 N, 10 E, whose values are 280 + latitude + 2 longitudes."""
    from pyproj import CRS, Transformer

    mapping = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 39.25,
        "grid_north_pole_longitude": -162.0,
    }
    rotated = CRS.from_cf(mapping)
    y, x = np.arange(-3.0, -1.5, 0.025), np.arange(-6.0, -4.5, 0.025)
    to_degrees = Transformer.from_crs(rotated, rotated.source_crs, always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid(x, y))
    time = np.arange("2003-01-01", "2003-04-01", dtype="datetime64[D]").astype("datetime64[ns]")
    field = (200 + lat + 2 * lon).astype("float32")
    ds = xr.Dataset(
        {
            "t2m": (("time", "rlat", "rlon"), np.broadcast_to(field, (len(time), *field.shape)),
                    {"units": "K", "grid_mapping": "pole", "coordinates": "lat lon"}),
            "pole": ((), 0, mapping),
        },
        {
            "time": time,
            "rlat": ("rlat", y, {"standard_name": "grid_latitude", "units": "degrees"}),
            "rlon": ("rlon", x, {"standard_name": "grid_longitude", "units": "degrees"}),
            "lat": (("rlat", "rlon"), lat, {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": (("rlat", "rlon"), lon, {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )  # fmt: skip
    ds.to_netcdf(sources.path(2003), engine="h5netcdf", encoding={"t2m": {"dtype": "float32"}})
    grid = {"kind": "regular", "west": 9.6, "east": 10.2, "south": 47.9, "north": 48.3, "step_deg": 0.1}
    return sources.product(end="2003-03-31", grid=grid, source={"regrid": how})


@pytest.mark.parametrize(("how", "close"), [("bilinear", 1e-3), ("nearest", 0.05), ("mean", 0.03)])
def test_a_rotated_grid_comes_onto_degrees_through_its_pole(sources, references, root, how, close):
    product = _rotated(sources, how)
    ds = open_forcing(product, "home", references(product, root))
    plain = 200 + ds["lat"].values[:, None] + 2 * ds["lon"].values[None, :]
    np.testing.assert_allclose(ds["air_temperature"].values[0], plain, atol=close)
    array = daily_arrays(product, "home", references(product, root))["air_temperature"]
    np.testing.assert_array_equal(array[3:5, 1:3, 2:4], array[:, :, :][3:5, 1:3, 2:4])


def test_a_rotated_grid_is_never_taken_for_degrees(sources, references, root):
    product = _rotated(sources, None)
    with pytest.raises(ForcingError, match=r"lies on a rotated grid.*forcing\.air_temperature\.regrid"):
        open_forcing(product, "home", references(product, root))
