import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from somo.core.grid import Grid
from somo.product.layout import Layout
from somo.publish.store import maps as zarr
from somo.storage.client import zarr_store
from somo.storage.objects import join
from somo.storage.patience import StorageError
from tests.publish import made

DAYS = 400


@pytest.fixture(scope="module")
def declared():
    return made.product(start="2015-12-20", end=None)


@pytest.fixture(scope="module")
def grid(declared):
    return Grid.regular(**declared.grid.model_dump(exclude={"kind"}))


@pytest.fixture(scope="module")
def layout(declared, grid):
    return Layout.of(declared, grid.shape)


@pytest.fixture(scope="module")
def values(grid):
    field = np.random.default_rng(0).uniform(0, 0.6, (2, DAYS, *grid.shape)).astype("float32")
    field[..., :2, :2] = np.nan
    return field


def write(url, layout, values, side=0, days=None):
    count = days or values.shape[1]
    for block in range(layout.blocks(count)):
        for tile in layout.tiles():
            part = (slice(None), layout.block_days(block, count), *layout.cells(tile))
            zarr.write_region(url, layout, block, tile, dict.fromkeys(zarr.FIELDS, zarr.pack(values[part])), side)


def show(url, declared, grid, layout, days, side=0):
    inside = np.ones((2, *grid.shape), np.int8)
    zarr.publish(url, zarr.template(declared, grid, np.zeros(days, np.int8), inside, "abc"), layout, side)


def opened(url):
    return xr.open_zarr(zarr_store(url), consolidated=True, chunks=None)


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(0, 1, width=32)))
def test_packing_errs_by_half_a_step(values):
    packed = zarr.pack(values)
    assert np.abs(packed * zarr.STEP - values).max() <= 5e-5 + 1e-9


def test_packing_keeps_what_is_missing():
    assert zarr.pack(np.array([np.nan, 0.1234, -0.2, 9.0], "float32")).tolist() == [zarr.FILL, 1234, -2000, 30000]


def test_what_is_written_is_read(tmp_path, declared, grid, layout, values):
    url = zarr.store_url(str(tmp_path), "1.0.0")
    write(url, layout, values)
    show(url, declared, grid, layout, DAYS)
    with opened(url) as store:
        np.testing.assert_allclose(store["soil_moisture"].values, values, atol=5.001e-5)
        assert store["soil_moisture"].dims == ("depth", "time", "lat", "lon")
        assert store["time"].values[[0, -1]].astype("datetime64[D]").astype(str).tolist() == [
            "2015-12-20",
            "2017-01-22",
        ]
        assert (store["time_bnds"].values[:, 1] - store["time"].values == np.timedelta64(1, "D")).all()
        assert store["time_bnds"].values[71, 0] == np.datetime64("2016-02-29")
        assert store["depth_bnds"].values.tolist() == [[0.0, 0.1], [0.1, 0.3]]
        assert store["lat_bnds"].values[0].tolist() == [45.6, 45.5]
        assert store["status"].attrs["flag_meanings"] == "final provisional"
    assert zarr.read_visible(url).days == DAYS


def test_readers_see_nothing_before_the_metadata(tmp_path, layout, values):
    url = zarr.store_url(str(tmp_path), "1.0.0")
    write(url, layout, values)
    assert zarr.read_visible(url) is None
    with pytest.raises(FileNotFoundError):
        opened(url)


def test_the_root_is_put_last(tmp_path, declared, grid, layout, monkeypatch):
    keys = []
    monkeypatch.setattr(zarr, "put_visible", lambda url, data: keys.append(url.removeprefix(f"{tmp_path}/")))
    show(str(tmp_path), declared, grid, layout, DAYS)
    assert keys[-1] == "zarr.json"
    first_metadata = next(i for i, key in enumerate(keys) if key.endswith("zarr.json"))
    assert all(key.endswith("zarr.json") for key in keys[first_metadata:])
    assert not any(key.startswith("soil_moisture/c") for key in keys)


def test_added_days_show_with_the_metadata_and_old_ones_keep_their_values(tmp_path, declared, grid, layout, values):
    url = zarr.store_url(str(tmp_path), "1.0.0")
    write(url, layout, values, days=380)
    show(url, declared, grid, layout, 380)
    write(url, layout, values, side=1)
    with opened(url) as before:
        assert before.sizes["time"] == 380
        np.testing.assert_allclose(before["soil_moisture"].values, values[:, :380], atol=5.001e-5)
        show(url, declared, grid, layout, DAYS, side=1)
        assert before.sizes["time"] == 380
        np.testing.assert_allclose(before["soil_moisture_std"].values, values[:, :380], atol=5.001e-5)
    with opened(url) as after:
        np.testing.assert_allclose(after["soil_moisture"].values, values, atol=5.001e-5)
    seen = zarr.read_visible(url)
    assert (seen.side, seen.days, seen.method) == (1, DAYS, "abc")


def test_equal_values_give_equal_bytes(layout, values):
    packed = zarr.pack(values[:, : layout.days])
    assert zarr.encode_shard(layout, packed) == zarr.encode_shard(layout, packed.copy())


def test_a_shard_of_nothing_is_no_object(layout):
    assert zarr.encode_shard(layout, np.full((2, 30, 6, 8), zarr.FILL)) is None


def test_the_metadata_says_how_to_unpack(tmp_path, declared, grid, layout):
    url = str(tmp_path)
    show(url, declared, grid, layout, DAYS)
    array = json.loads((tmp_path / "zarr.json").read_text())["consolidated_metadata"]["metadata"]["soil_moisture"]
    assert array["data_type"] == "int16"
    assert array["attributes"]["scale_factor"] == 1e-4
    assert array["attributes"]["_FillValue"] == array["fill_value"] == -32768
    assert array["attributes"]["valid_range"] == [0, 1]
    assert array["codecs"][0]["name"] == "sharding_indexed"
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [2, layout.days, 6, 8]


def test_a_flipped_byte_is_an_error_and_not_a_value(tmp_path, declared, grid, layout, values):
    url = zarr.store_url(str(tmp_path), "1.0.0")
    write(url, layout, values)
    show(url, declared, grid, layout, DAYS)
    shard = tmp_path / "v1.0.0" / "soil_moisture.zarr" / "soil_moisture" / "c" / "0" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[200] ^= 1
    shard.write_bytes(data)
    with pytest.raises((RuntimeError, ValueError)):
        zarr.read_packed(url, "soil_moisture", slice(0, layout.days), (slice(None), slice(None)))


def test_single_days_are_those_of_the_whole_span(tmp_path, declared, grid, layout, values):
    url = zarr.store_url(str(tmp_path), "1.0.0")
    write(url, layout, values)
    show(url, declared, grid, layout, DAYS)
    cells = slice(1, 4), slice(2, 7)
    days = np.array([0, 1, 2, layout.days - 1, layout.days, DAYS - 1])
    whole_span = zarr.read_packed(url, "soil_moisture", slice(0, DAYS), cells)
    np.testing.assert_array_equal(zarr.read_packed_days(url, "soil_moisture", days, cells), whole_span[:, days])


def test_a_root_that_cannot_be_written(tmp_path, declared, grid, layout):
    place = tmp_path / "file"
    place.write_text("")
    with pytest.raises(StorageError, match=r"file/v1.0.0.*cannot be written"):
        show(join(str(place), "v1.0.0", zarr.STORE), declared, grid, layout, DAYS)
