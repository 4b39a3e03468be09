"""The classic NetCDF formats against SciPy's and netCDF4's own reading, value for value."""

import netCDF4
import numpy as np
import pytest
from scipy.io import netcdf_file

from somo.forcing.formats.netcdf3 import NetCdf3
from somo.forcing.listing import SourceFile
from somo.forcing.sources import ForcingError
from somo.storage.objects import fingerprint
from tests.forcing.formats.reading import field, scan, values

KINDS = {"classic": "NETCDF3_CLASSIC", "64-bit offset": "NETCDF3_64BIT_OFFSET", "64-bit data": "NETCDF3_64BIT_DATA"}


def write(path, kind="NETCDF3_CLASSIC", unlimited=True, others=(), dims=("time", "lat", "lon")):
    """Packed temperatures, beside variables with records of odd length."""
    with netCDF4.Dataset(path, "w", format=kind) as nc:
        for name, size in zip(("time", "lat", "lon"), (6, 4, 5), strict=True):
            nc.createDimension(name, None if unlimited and name == "time" else size)
        for name, axis, units in (
            ("time", np.arange(6.0), "days since 2020-01-01"),
            ("lat", 48.05 - 0.1 * np.arange(4), "degrees_north"),
            ("lon", 7.05 + 0.1 * np.arange(5), "degrees_east"),
        ):
            nc.createVariable(name, "f8", (name,))[:] = axis
            nc[name].units = units
        for name in others:
            nc.createVariable(name, "i1", ("time",))[:] = 1
        variable = nc.createVariable("t2m", "i2", dims, fill_value=-32767)
        variable.scale_factor, variable.add_offset, variable.units = 0.002, 280.0, "K"
        packed = np.where(np.isnan(field()), -32767, (np.nan_to_num(field(), nan=280.0) - 280) / 0.002).astype("i2")
        variable.set_auto_maskandscale(False)
        variable[:] = packed.transpose([("time", "lat", "lon").index(dim) for dim in dims])
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("unlimited", [True, False])
def test_values_equal_those_of_netcdf4(tmp_path, kind, unlimited):
    path = write(tmp_path / "t.nc", KINDS[kind], unlimited, others=("odd",))
    with netCDF4.Dataset(path) as nc:
        plain = nc["t2m"][:].filled(np.nan).astype("float32")
    found = scan(path, "t2m")
    np.testing.assert_array_equal(values(found), plain)
    np.testing.assert_array_equal(values(found, np.array([4, 1]), (slice(1, 3), slice(2, 5))), plain[[4, 1], 1:3, 2:5])


@pytest.mark.parametrize("others", [(), ("odd",)])
def test_raw_numbers_equal_those_of_scipy(tmp_path, others):
    """A single record variable is not padded to four bytes: the one case in which records lie closer."""
    path = tmp_path / "t.nc"
    with netcdf_file(path, "w") as nc:
        for name, size in (("time", None), ("lat", 1), ("lon", 3)):
            nc.createDimension(name, size)
        for name, axis, units in (("lat", [48.0], "degrees_north"), ("lon", [7.0, 8.0, 9.0], "degrees_east")):
            nc.createVariable(name, "f8", (name,))[:] = axis
            nc.variables[name].units = units
        for name in others:
            nc.createVariable(name, "i2", ("time",))[:] = np.arange(5)
        nc.createVariable("rain", "i1", ("time", "lat", "lon"))[:] = np.arange(15).reshape(5, 1, 3)
    with netcdf_file(path, mmap=False) as nc:
        plain = nc.variables["rain"].data.astype("float32")
    stored = NetCdf3().describe(SourceFile(str(path), fingerprint(str(path))), "rain", {})
    data = path.read_bytes()
    raw = [np.frombuffer(data[at : at + size], "i1") for at, size in stored.chunks.values()]
    np.testing.assert_array_equal(np.concatenate(raw).reshape(5, 1, 3), plain)
    with pytest.raises(ForcingError, match="time has no units such as"):
        scan(path, "rain")


def test_any_order_of_dimensions(tmp_path):
    straight, turned = (
        scan(write(tmp_path / name, dims=dims, unlimited=False), "t2m")
        for name, dims in (("a.nc", ("time", "lat", "lon")), ("b.nc", ("lon", "lat", "time")))
    )
    np.testing.assert_array_equal(values(turned), values(straight))
    assert turned.grid == straight.grid


def test_a_truncated_file_and_a_damaged_header_are_named(tmp_path):
    path = write(tmp_path / "t.nc")
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    with pytest.raises(ForcingError, match=r"t\.nc: is truncated: t2m ends at byte"):
        scan(path, "t2m")
    path.write_bytes(data[:12] + b"\xff" * 60 + data[72:])
    with pytest.raises(ForcingError, match=r"damaged or truncated NetCDF-3 header"):
        scan(path, "t2m")


def test_dates_written_letter_by_letter(tmp_path):
    path = write(tmp_path / "t.nc")
    with netCDF4.Dataset(path, "a") as nc:
        nc.renameVariable("time", "number")
        nc.createDimension("letters", 10)
        dates = nc.createVariable("time", "S1", ("time", "letters"))
        dates[:] = netCDF4.stringtochar(np.array([f"2020-03-0{day}" for day in range(1, 7)], "S10"))
        del nc["number"].units
    assert scan(path, "t2m").times.astype("datetime64[s]").astype("datetime64[D]").astype(str)[5] == "2020-03-06"


@pytest.mark.parametrize("kind", [*KINDS.values(), "NETCDF4"])
@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
def test_numbers_that_netcdf_fills_with_are_missing_where_nothing_else_is_declared(tmp_path, kind, dtype):
    path = tmp_path / "t.nc"
    with netCDF4.Dataset(path, "w", format=kind) as nc:
        for name, size in (("time", 6), ("lat", 4), ("lon", 5)):
            nc.createDimension(name, size)
            nc.createVariable(name, "f8", (name,))[:] = np.arange(size)
        nc["time"].units, nc["lat"].units, nc["lon"].units = "days since 2020-01-01", "degrees_north", "degrees_east"
        nc.createVariable("t2m", dtype, ("time", "lat", "lon"))[1:4] = np.arange(60).reshape(3, 4, 5)
        nc["t2m"].scale_factor = 0.5
    with netCDF4.Dataset(path) as nc:
        # By the NetCDF Users Guide all numbers of one byte may be values, whatever this library takes them for.
        nc.set_auto_mask(dtype != "i1")
        plain = np.ma.filled(nc["t2m"][:].astype("f8"), np.nan).astype("float32")
    np.testing.assert_array_equal(values(scan(path, "t2m")), plain)
    assert np.isnan(plain[0]).all() == (dtype != "i1")
