"""A reference set is one for other tools too: fsspec's own reader of it and kerchunk's store give the same values."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kerchunk.utils import refs_as_store

from tests.forcing.references.test_combining import part, together, truth, values

# fsspec asks pandas for an engine that pandas will drop
pytestmark = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine is deprecated")


def written(folder: Path) -> str:
    """Two deflated files of one encoding, referenced."""
    how = {"t2m": {"zlib": True, "shuffle": True, "chunksizes": (2, 3, 5), "_FillValue": np.float32(-9999)}}
    part(0, 4).to_netcdf(folder / "a.nc", engine="h5netcdf", encoding=how)
    part(4, 8).to_netcdf(folder / "b.nc", engine="h5netcdf", encoding=how)
    return str(folder / "set.parquet")


def test_fsspec_and_xarray_read_the_same_values(tmp_path: Path) -> None:
    url = written(tmp_path)
    store = together(tmp_path)
    fs = fsspec.filesystem("reference", fo=url, remote_protocol="file", asynchronous=False)
    with xr.open_dataset(fs.get_mapper("0"), engine="zarr", backend_kwargs={"consolidated": False}) as ds:
        np.testing.assert_array_equal(ds["t2m"].values, truth())
        np.testing.assert_array_equal(ds["t2m"].values, values(store))
        assert ds["time"].values[0] == np.datetime64("2020-01-01")


def test_kerchunks_store_reads_the_same_values(tmp_path: Path) -> None:
    url = written(tmp_path)
    together(tmp_path)
    array = zarr.open_array(refs_as_store(url, remote_protocol="file"), path="0/t2m", mode="r", zarr_format=2)
    np.testing.assert_array_equal(array[:], truth())
