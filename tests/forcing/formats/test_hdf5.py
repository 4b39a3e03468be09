"""Every filter and layout of HDF5 against h5py's own reading, value for value."""

import h5py
import hdf5plugin
import netCDF4
import numpy as np
import pytest

from somo.forcing.sources import ForcingError
from tests.forcing.formats.reading import field, scan, values

FILTERS = {
    "none": {},
    "deflate": {"compression": "gzip"},
    "deflate, shuffle, fletcher32": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "fletcher32 alone": {"fletcher32": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "szip": {"compression": "szip"},
    "zstd": {"shuffle": True, **hdf5plugin.Zstd()},
    "bitshuffle with lz4": hdf5plugin.Bitshuffle(cname="lz4"),
    "bitshuffle with zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "bitshuffle alone": hdf5plugin.Bitshuffle(cname="none"),
    "blosc with zstd": hdf5plugin.Blosc(cname="zstd"),
    "blosc with lz4": hdf5plugin.Blosc(cname="lz4", shuffle=2),
    "blosc 2": hdf5plugin.Blosc2(),
    "lz4": hdf5plugin.LZ4(),
    "bzip2": hdf5plugin.BZip2(),
    "zfp": hdf5plugin.Zfp(accuracy=0.01),
}
INTEGERS = {"scale-offset": {"scaleoffset": 0}, "shuffled deflate": {"compression": "gzip", "shuffle": True}}


def write(path, data, name="t2m", dtype=None, chunks=(2, 3, 5), **options):
    """A file of one variable with dimension scales, in a group if its name has one."""
    with h5py.File(path, "w") as h5:
        axes = {
            "time": (np.arange(data.shape[0]), "days since 2020-01-01"),
            "lat": (48.05 - 0.1 * np.arange(data.shape[1]), "degrees_north"),
            "lon": (7.05 + 0.1 * np.arange(data.shape[2]), "degrees_east"),
        }
        for axis, (coordinates, units) in axes.items():
            h5[axis] = coordinates
            h5[axis].attrs["units"] = units
            h5[axis].make_scale(axis)
        variable = h5.create_dataset(name, data=data.astype(dtype or data.dtype), chunks=chunks, **options)
        variable.attrs["units"] = "K"
        for number, axis in enumerate(axes):
            variable.dims[number].attach_scale(h5[axis])
    return path


def plain(path, name="t2m"):
    with h5py.File(path) as h5:
        return h5[name][...].astype("float32")


@pytest.mark.parametrize("case", FILTERS)
def test_every_filter_gives_the_values_that_h5py_reads(tmp_path, case):
    path = write(tmp_path / "t.nc", field(), **FILTERS[case])
    np.testing.assert_array_equal(values(scan(path, "t2m")), plain(path))


@pytest.mark.parametrize("case", INTEGERS)
def test_integer_filters_give_the_values_that_h5py_reads(tmp_path, case):
    path = write(tmp_path / "t.nc", np.arange(120).reshape(6, 4, 5), dtype="int16", **INTEGERS[case])
    np.testing.assert_array_equal(values(scan(path, "t2m")), plain(path))


@pytest.mark.parametrize("dtype", [">f4", ">i2", "u1", "f8", "i8"])
@pytest.mark.parametrize("chunks", [None, (1, 4, 5), (4, 3, 2)])
def test_every_type_and_layout(tmp_path, dtype, chunks):
    path = write(tmp_path / "t.nc", np.arange(120).reshape(6, 4, 5), dtype=dtype, chunks=chunks)
    found = values(scan(path, "t2m"), slice(1, 5), (slice(1, 3), slice(2, 4)))
    np.testing.assert_array_equal(found, plain(path)[1:5, 1:3, 2:4])


def test_a_compact_dataset_is_read(tmp_path):
    path = write(tmp_path / "t.nc", field())
    with h5py.File(path, "r+") as h5:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((6, 4, 5))
        small = h5py.Dataset(h5py.h5d.create(h5.id, b"small", h5py.h5t.NATIVE_FLOAT, space, plist))
        small[...] = field(seed=1)
        for number, axis in enumerate(("time", "lat", "lon")):
            small.dims[number].attach_scale(h5[axis])
    np.testing.assert_array_equal(values(scan(path, "small")), field(seed=1))


@pytest.mark.parametrize("nbit", [True, False])
def test_numbers_of_fewer_bits_than_their_bytes_hold(tmp_path, nbit):
    path = write(tmp_path / "t.nc", field())
    tenths = (np.arange(120).reshape(6, 4, 5) - 60).astype("int16")
    with h5py.File(path, "r+") as h5:
        kind = h5py.h5t.STD_I16LE.copy()
        kind.set_precision(12)
        kind.set_offset(3)
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((2, 3, 5))
        plist.set_filter(h5py.h5z.FILTER_NBIT) if nbit else plist.set_deflate(4)
        narrow = h5py.Dataset(h5py.h5d.create(h5.id, b"narrow", kind, h5py.h5s.create_simple((6, 4, 5)), plist))
        narrow[...] = tenths
        for number, axis in enumerate(("time", "lat", "lon")):
            narrow.dims[number].attach_scale(h5[axis])
    np.testing.assert_array_equal(values(scan(path, "narrow")), tenths)


@pytest.mark.parametrize("chunks", [None, (2, 3, 5)])
def test_a_block_of_the_users_own_before_the_file_moves_all_places(tmp_path, chunks):
    write(tmp_path / "plain.nc", field(), chunks=chunks)
    with h5py.File(tmp_path / "t.nc", "w", userblock_size=512) as h5, h5py.File(tmp_path / "plain.nc") as source:
        for name in ("time", "lat", "lon", "t2m"):
            source.copy(name, h5)
    with h5py.File(tmp_path / "t.nc", "r+") as h5:
        for number, axis in enumerate(("time", "lat", "lon")):
            h5[axis].make_scale(axis)
            del h5["t2m"].attrs["DIMENSION_LIST"]
            h5["t2m"].dims[number].attach_scale(h5[axis])
    np.testing.assert_array_equal(values(scan(tmp_path / "t.nc", "t2m")), field())


def test_groups_by_path(tmp_path):
    path = write(tmp_path / "t.h5", field(), name="Grid/air/t2m")
    np.testing.assert_array_equal(values(scan(path, "Grid/air/t2m")), field())
    with pytest.raises(ForcingError, match=r"no variable 't'; it has Grid/air/t2m, lat, lon, time: correct forcing"):
        scan(path, "t")


@pytest.mark.parametrize("chunks", [(1, 4, 5), (4, 4, 5)])
def test_days_that_only_have_a_time_are_not_there_yet(tmp_path, chunks):
    """NetCDF-4 makes a variable as long as it was written; files grow variable by variable."""
    data, path = field((6, 4, 5)), tmp_path / "t.nc"
    axes = {
        "time": (None, np.arange(6), "days since 2020-01-01"),
        "lat": (4, 48.05 - 0.1 * np.arange(4), "degrees_north"),
        "lon": (5, 7.05 + 0.1 * np.arange(5), "degrees_east"),
    }
    with netCDF4.Dataset(path, "w") as nc:
        nc.createDimension("edge", 2)
        for name, (length, coordinates, units) in axes.items():
            nc.createDimension(name, length)
            nc.createVariable(name, "f8", (name,)).units = units
            nc[name][:] = coordinates
        for name in ("t2m", "d2m"):
            nc.createVariable(name, "f4", tuple(axes), chunksizes=chunks, zlib=True)
        nc.createVariable("time_bnds", "f8", ("time", "edge"))[:] = np.stack([np.arange(6), np.arange(1, 7)], axis=1)
        nc["time"].bounds = "time_bnds"
        nc["t2m"][:], nc["d2m"][:5] = data, data[:5]
    assert len(scan(path, "t2m").times) == 6
    grown = scan(path, "d2m")
    assert grown.times.tolist() == scan(path, "t2m").times.tolist()[:5]
    assert len(grown.time_bounds) == 5
    np.testing.assert_array_equal(values(grown), data[:5])
    with netCDF4.Dataset(path, "a") as nc:
        nc["t2m"][6] = data[0]
    with pytest.raises(ForcingError, match=r"has 6 of 7 entries in time, which was not written to its end"):
        scan(path, "t2m")


def test_latitudes_of_every_point_named_as_a_dimension(tmp_path):
    data, path = field((6, 4, 5)), tmp_path / "t.nc"
    lon, lat = np.meshgrid(7.05 + 0.1 * np.arange(5), 48.05 - 0.1 * np.arange(4))
    axes = {"time": (6, "days since 2020-01-01"), "lat": (4, "degrees_north"), "lon": (5, "degrees_east")}
    with netCDF4.Dataset(path, "w") as nc:
        for name, (length, _) in axes.items():
            nc.createDimension(name, length)
        for name, (_, units) in axes.items():
            nc.createVariable(name, "f8", ("time",) if name == "time" else ("lat", "lon")).units = units
        nc.createVariable("t2m", "f4", tuple(axes))[:] = data
        nc["time"][:], nc["lat"][:], nc["lon"][:] = np.arange(6), lat, lon
    found = scan(path, "t2m")
    np.testing.assert_allclose(found.grid["lat"], lat[:, 0])
    np.testing.assert_allclose(found.grid["lon"], lon[0])
    np.testing.assert_array_equal(values(found), data)


def test_a_filter_without_codec_is_named(tmp_path):
    path = write(tmp_path / "t.nc", field(), chunks=(1, 4, 5))
    with h5py.File(path, "r+") as h5:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 4, 5))
        plist.set_filter(32019, h5py.h5z.FLAG_OPTIONAL, (1,))
        space = h5py.h5s.create_simple((6, 4, 5))
        odd = h5py.Dataset(h5py.h5d.create(h5.id, b"odd", h5py.h5t.NATIVE_FLOAT, space, plist))
        for number, axis in enumerate(("time", "lat", "lon")):
            odd.dims[number].attach_scale(h5[axis])
    if h5py.h5z.filter_avail(32019):
        pytest.fail("this filter has a codec now; take another one")
    with pytest.raises(ForcingError, match=r"filter 32019 \(JPEG\), which has no codec here; rewrite"):
        scan(path, "odd")


@pytest.mark.parametrize("case", ["deflate", "zstd", "bitshuffle with lz4", "blosc with zstd"])
def test_a_chunk_that_unpacks_to_more_than_its_array_is_refused(tmp_path, case):
    """The chunk of a large array is put under the name of a small one."""
    large = write(tmp_path / "large.nc", np.zeros((64, 64, 64), "f4"), chunks=(64, 64, 64), **FILTERS[case])
    path = write(tmp_path / "t.nc", field(), chunks=(6, 4, 5), **FILTERS[case])
    with h5py.File(large) as big, h5py.File(path, "r+") as h5:
        _, data = big["t2m"].id.read_direct_chunk((0, 0, 0))
        h5["t2m"].id.write_direct_chunk((0, 0, 0), data)
    with pytest.raises(ForcingError, match=r"t\.nc: the chunk of t2m at byte \d+ cannot be decoded \(unpacks to"):
        values(scan(path, "t2m"))


def test_a_truncated_file_says_what_is_missing(tmp_path):
    path = write(tmp_path / "t.nc", field())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 100])
    with pytest.raises(ForcingError, match=rf"is truncated: it has {len(data) - 100} of {len(data)} bytes"):
        scan(path, "t2m")


def test_a_number_that_netcdf_fills_with_is_a_value_in_files_of_other_programs(tmp_path):
    data = np.full((6, 4, 5), -32767)
    found = scan(write(tmp_path / "t.h5", data, dtype="i2"), "t2m")
    np.testing.assert_array_equal(values(found), data.astype("float32"))
