"""NetCDF files larger than memory."""

import tracemalloc

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from somo.publish.slabs import lazily, write_slabs

STEPS = 32
SHAPE = {"depth": 3, "time": 2 * STEPS + 5, "lat": 90, "lon": 120}


def test_a_file_takes_the_memory_of_a_slab_however_its_store_is_turned(tmp_path):
    """Its field has depth before time in the store, and is as large as two slabs and a bit."""
    values = np.random.default_rng(0).normal(size=tuple(SHAPE.values())).astype("float32")
    values[:, :, 0] = np.nan
    edges = {f"{name}_bnds": ((name, "bnds"), np.zeros((SHAPE[name], 2))) for name in ("lat", "lon")}
    axes = {name: (name, np.arange(SHAPE[name], dtype="float64"), {"units": "degrees"}) for name in ("lat", "lon")}
    axes["depth"] = ("depth", np.arange(float(SHAPE["depth"])))
    times = {"time": pd.date_range("2012-01-01", periods=SHAPE["time"])}
    stored = xr.Dataset({"anomaly": (tuple(SHAPE), values), **edges}, {**axes, **times})
    chunks = {"anomaly": {"chunks": (1, 4, 30, 30)}}
    stored.to_zarr(tmp_path / "store", zarr_format=3, consolidated=False, encoding=chunks)
    slab_bytes = values[:, :STEPS].nbytes
    with xr.open_zarr(tmp_path / "store", chunks=None, consolidated=False) as unread:
        unread["anomaly"] = lazily(unread["anomaly"], {"units": "m3 m-3"})
        tracemalloc.start()
        write_slabs(unread, ["anomaly"], tmp_path / "file.nc", {}, STEPS)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # The slab as it is decoded, turned, and with its fill values.
    assert highest < 6 * slab_bytes
    with h5netcdf.File(tmp_path / "file.nc") as file:
        assert file["anomaly"].dimensions == ("time", "depth", "lat", "lon")
        written = file["anomaly"][:]
    expected = values.swapaxes(0, 1)
    np.testing.assert_array_equal(np.where(np.isnan(expected), np.float32(-9999), expected), written)
