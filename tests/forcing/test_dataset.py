"""The lazy Dataset: days, grid, missing values, provisional days, source files."""

import datetime as dt
import math
import pickle
import time

import fsspec
import numpy as np
import pytest
import xarray as xr

from somo.forcing.by_tile.tiling import Touched, touched
from somo.forcing.dataset import daily_arrays, open_forcing, provisional_days, read_forcing, source_files
from somo.forcing.references import reading
from somo.forcing.references.chunks import open_references
from somo.forcing.references.source_ranges import read_range
from somo.forcing.sources import ForcingError
from tests.forcing.conftest import PACKED

GRID = {"kind": "regular", "west": 7.1, "east": 7.4, "south": 47.7, "north": 48.0, "step_deg": 0.1}


def test_a_regular_grid_selects_its_cells_from_a_larger_file(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31", grid=GRID)
    ds = open_forcing(product, "home", references(product, root))
    assert ds["lat"].values.tolist() == [47.95, 47.85, 47.75]
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003)[:, 1:, 1:4])


@pytest.mark.parametrize("shift", [0, 360])
def test_longitudes_may_run_to_360_and_latitudes_upwards(sources, references, root, shift):
    lon = np.array([-0.15, -0.05, 0.05, 0.15]) % 360 if shift else np.array([-0.15, -0.05, 0.05, 0.15])
    order = np.argsort(lon)
    sources.write(2003, lat=np.array([47.75, 47.85]), lon=lon[order])
    grid = {"kind": "regular", "west": -0.2, "east": 0.2, "south": 47.7, "north": 47.9, "step_deg": 0.1}
    product = sources.product(end="2003-12-31", grid=grid)
    ds = open_forcing(product, "home", references(product, root))
    assert ds["lon"].values.tolist() == [-0.15, -0.05, 0.05, 0.15]
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003)[:, ::-1][:, :, np.argsort(order)])


def test_the_forcings_own_grid_is_sorted_west_to_east(sources, references, root):
    sources.write(2003, lon=np.array([0.05, 0.15, 359.85, 359.95]))
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    assert ds["lon"].values.tolist() == [-0.15, -0.05, 0.05, 0.15]
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003)[:, :, [2, 3, 0, 1]])


def test_a_grid_without_the_files_centres_is_refused(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31", grid={**GRID, "west": 7.05, "east": 7.35})
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc\): no lon 7\.1; its lon has 5 values 7\.05\.\.7\.45"):
        open_forcing(product, "home", references(product, root))


def test_too_little_spin_up_names_the_day_the_period_may_start(sources, references, root):
    day = np.arange("2003-01-11", "2004-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    sources.write(2003, time=day)
    product = sources.product(end="2003-12-31")
    with pytest.raises(ForcingError, match=r"begins on 2003-01-11, .*from 2003-01-01 .*start the period on 2003-02-11"):
        open_forcing(product, "home", references(product, root))


def test_an_open_period_reaches_as_far_as_the_forcing(sources, references, root):
    sources.write(2003)
    product = sources.product(end=None)
    assert open_forcing(product, "home", references(product, root)).sizes["time"] == 365
    sources.write(2004, time=np.arange("2004-01-01", "2004-01-11", dtype="datetime64[D]").astype("datetime64[ns]"))
    assert open_forcing(product, "home", references(product, root)).sizes["time"] == 375


def test_sums_of_variables_are_lazy_too(sources, references, root):
    sources.write(2003, {"dtype": "float32"}, units="W m-2", values=np.full((365, 4, 5), 150.0))
    sources.write(2003, {"dtype": "float32"}, units="W m-2", values=np.full((365, 4, 5), -40.0), name="str")
    declared = {"variable": "t2m", "units": "W m-2", "input": False}
    forcing = {
        "net_shortwave": {**declared, "url": f"{sources.folder}/t2m_{{year}}.nc"},
        "net_longwave": {**declared, "url": f"{sources.folder}/str_{{year}}.nc"},
        "net_radiation": {"sum_of": ["net_shortwave", "net_longwave"]},
    }
    product = sources.product(
        end="2003-12-31", forcing=forcing, static={"r": {"computed": "mean", "of": "net_radiation"}}
    )
    ds = open_forcing(product, "home", references(product, root))
    assert ds["net_radiation"].chunks is not None
    np.testing.assert_array_equal(ds["net_radiation"].values, 110.0)


def test_read_forcing_gives_time_cell_variable(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    got = read_forcing(ds, ["air_temperature"], "2003-03-01", dt.date(2003, 3, 10), slice(1, 3), slice(0, 2))
    want = sources.plain(2003)[59:69, 1:3, 0:2].reshape(10, 4, 1)
    np.testing.assert_array_equal(got, want)


def test_a_missing_value_on_land_names_variable_day_and_cell(sources, references, root):
    values = np.full((365, 4, 5), 283.0)
    values[:, 0, 0] = np.nan
    values[60, 2, 1] = np.nan
    sources.write(2003, {"dtype": "float32"}, values=values)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    read_forcing(ds, ["air_temperature"], "2003-01-01", "2003-03-01", slice(0, 4), slice(0, 5))
    with pytest.raises(
        ForcingError, match=r"air_temperature: missing on 2003-03-02 at the land cell 47\.85 N, 7\.15 E"
    ):
        read_forcing(ds, ["air_temperature"], "2003-01-01", "2003-03-02", slice(0, 4), slice(0, 5))


def test_a_cell_missing_throughout_the_block_is_refused_where_land_is_known(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    window = (slice(0, 1), slice(0, 2))
    read_forcing(ds, ["air_temperature"], "2003-01-01", "2003-01-02", *window)
    with pytest.raises(ForcingError, match=r"missing on 2003-01-01 at the land cell 48\.05 N, 7\.05 E"):
        read_forcing(ds, ["air_temperature"], "2003-01-01", "2003-01-02", *window, land=np.ones((4, 5), bool))


def test_provisional_by_age_are_the_last_days_of_the_source(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31", source={"provisional_days": 3})
    days = provisional_days(product, references(product, root))
    assert days.astype(str).tolist() == ["2003-12-29", "2003-12-30", "2003-12-31"]


def test_provisional_by_expver_are_the_days_the_file_marks(sources, references, root):
    ds = sources.write(2003)
    expver = np.where(np.isin(np.arange(365), [10, 11, 300]), 5, 1).astype("int32")
    xr.Dataset({**ds.data_vars, "expver": ("time", expver)}, ds.coords).to_netcdf(sources.path(2003), engine="h5netcdf")
    product = sources.product(end="2003-12-31", source={"expver": "expver"})
    days = provisional_days(product, references(product, root))
    assert days.astype(str).tolist() == ["2003-01-11", "2003-01-12", "2003-10-28"]


def test_nothing_declared_is_final(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    assert len(provisional_days(product, references(product, root))) == 0


def test_source_files_of_some_days(sources, references, root):
    sources.write(2003)
    sources.write(2004)
    product = sources.product()
    urls = references(product, root)
    (name,) = product.sources
    december = product, urls, dt.date(2003, 12, 1), dt.date(2003, 12, 31)
    assert [file for file, _ in source_files(*december)] == [name, f"{name}/{sources.path(2003).name}"]
    assert len(source_files(product, urls, dt.date(2003, 12, 1), dt.date(2004, 1, 1))) == 3
    # The same file declared otherwise gives other values, wherever it lies.
    otherwise, moved = (
        sources.product(source=source) for source in ({"missing": [283.0]}, {"url": "/elsewhere/{year}"})
    )
    assert source_files(otherwise, urls, *december[2:]) != source_files(*december)
    assert source_files(moved, urls, *december[2:]) == source_files(*december)


@pytest.mark.filterwarnings("ignore:.*fastparquet.*")
@pytest.mark.parametrize("limit", [1, 2**12, 2**23])
def test_neighbouring_chunks_of_a_file_are_read_by_one_request(sources, references, root, monkeypatch, limit):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    found = references(product, root)
    requests = []

    def counted(url, fingerprint, offset, size):
        requests.append(size)
        return read_range(url, fingerprint, offset, size)

    monkeypatch.setattr(reading, "read_range", counted)
    monkeypatch.setattr(reading, "REQUEST_BYTES", limit)
    values = open_forcing(product, "home", found)["air_temperature"].values
    np.testing.assert_array_equal(values, sources.plain(2003))
    blocks = len(open_forcing(product, "home", found)["air_temperature"].chunksizes["time"])
    stored = open_references(found["air_temperature"]).array(0)
    chunks = math.prod(-(-n // c) for n, c in zip(stored.shape, stored.chunks, strict=True))
    assert len(requests) >= chunks if limit == 1 else len(requests) < chunks / 2
    assert limit < 2**23 or len(requests) == blocks


@pytest.mark.filterwarnings("ignore:.*fastparquet.*")
@pytest.mark.parametrize("chunks", [(1, 4, 5), (61, 2, 2), (7, 3, 1)])
def test_what_a_tile_will_read_is_known_before(sources, references, root, monkeypatch, chunks):
    for year in (2003, 2004):
        sources.write(year, encoding={**PACKED, "chunksizes": chunks})
    product = sources.product()
    found = references(product, root)
    requests = []

    def counted(url, fingerprint, offset, size):
        requests.append(size)
        return read_range(url, fingerprint, offset, size)

    monkeypatch.setattr(reading, "read_range", counted)
    monkeypatch.setattr(reading, "REQUEST_BYTES", 1)
    array = daily_arrays(product, "home", found)["air_temperature"]
    ds = open_forcing(product, "home", found, by_tile=True)
    first, last = ds["time"].values[[300, 499]]
    assert read_forcing(ds, ["air_temperature"], first, last, slice(1, 3), slice(2, 4)).shape == (200, 4, 1)
    told = touched(array, [(slice(300, 500), [(slice(1, 3), slice(2, 4))])])
    assert told == Touched(len(requests), len(requests) * math.prod(chunks) * 2)


@pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")  # fsspec's own choice of engine
def test_other_tools_open_a_reference_set_as_kerchunk_parquet(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    urls = references(product, root)
    mapper = fsspec.filesystem("reference", fo=urls["air_temperature"], remote_protocol="file").get_mapper("0")
    import zarr

    group = {key: mapper[key] for key in ("t2m/.zarray", "time/.zarray", "time/0", "lat/0", "t2m/3.0.0")}
    store = zarr.storage.MemoryStore(
        {key: zarr.core.buffer.default_buffer_prototype().buffer.from_bytes(value) for key, value in group.items()}
    )
    raw = zarr.open_array(store, path="t2m", zarr_format=2, mode="r")[3]
    np.testing.assert_array_equal((raw * 0.002 + 273.15).astype("float32")[1:], sources.plain(2003)[3, 1:])
    assert np.frombuffer(group["lat/0"], "<f8").tolist() == [48.05, 47.95, 47.85, 47.75]


def test_a_damaged_chunk_names_its_file(sources, references, root):
    sources.write(2003, encoding={**PACKED, "zlib": True, "chunksizes": (365, 4, 5)})
    data = bytearray(sources.path(2003).read_bytes())
    half = len(data) // 2
    data[half : half + 200] = bytes(200)
    sources.path(2003).write_bytes(data)
    product = sources.product(end="2003-12-31")
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: the chunk of t2m at byte \d+ cannot .*replace the file"):
        open_forcing(product, "home", references(product, root))["air_temperature"].compute()


def test_a_set_is_opened_once_per_process_and_pickles_small(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    url = references(product, root)["air_temperature"]
    assert open_references(url) is pickle.loads(pickle.dumps(open_references(url)))
    assert len(pickle.dumps(open_references(url))) < 1000


def test_opening_does_not_read_chunk_positions(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    urls = references(product, root)
    started = time.perf_counter()
    ds = open_forcing(product, "home", urls)
    assert open_references(urls["air_temperature"])._tables == {}
    assert time.perf_counter() - started < 1
    assert len(pickle.dumps(ds)) < 20_000
