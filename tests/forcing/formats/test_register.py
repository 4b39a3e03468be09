"""A file is what its content says; what is no gridded file is named as what it is."""

import gzip
import json
import zipfile
from typing import get_args

import numpy as np
import pytest
import xarray as xr

from somo.forcing.formats.opening import file_handle
from somo.forcing.formats.register import FORMATS, FileFormat, register_format
from somo.forcing.formats.stored import Stored, UnreadableError, Variable, zarr_metadata
from somo.forcing.sources import ForcingError
from somo.product.forcing import FormatName
from tests.forcing.formats.reading import field, scan, values
from tests.forcing.formats.test_hdf5 import write

HTML = b"<!DOCTYPE html>\n<html><head><title>Earthdata Login</title></head><body>...</body></html>"
OTHERS = {
    "HDF4": (b"\x0e\x03\x13\x01" + bytes(200), "is an HDF4 file"),
    "gzip": (gzip.compress(b"x" * 100), "is compressed with gzip; unpack it"),
    "bzip2": (b"BZh91AY&SY", "is compressed with bzip2"),
    "xz": (b"\xfd7zXZ\0\0\0", "is compressed with xz"),
    "tar": (bytes(257) + b"ustar" + bytes(250), "is a tar archive"),
    "login page": (HTML, r"is an HTML page \(Earthdata Login\), as a server sends for a login"),
    "error of a store": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "is an XML text"),
    "error of an API": (b'{"detail": "not found"}', "is a JSON text"),
    "text": (b"station,depth\n1,2\n", "is a plain text and no gridded file; it begins with 'station,depth"),
    "ASCII grid": (b"ncols 10\nnrows 10\n", "is an ESRI ASCII grid"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
    "empty": (b"", r"is empty \(0 bytes\)"),
    "zeros": (bytes(5000), "begins with nothing but zero bytes, as an unfinished download"),
    "unknown": (b"\x01\x02\x03\x04\xff\xfe" * 9, "is of no format that can be read here .* 01 02 03 04 ff fe"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_gridded_file_is_named(tmp_path, case):
    data, words = OTHERS[case]
    (tmp_path / "t2m.nc").write_bytes(data)
    with pytest.raises(ForcingError, match=rf"t2m\.nc: {words}"):
        scan(tmp_path / "t2m.nc", "t2m")


POINTERS = {
    b'<VRTDataset rasterXSize="9">': "virtual raster of GDAL .* gdal_translate",
    b'<?xml version="1.0"?><netcdf xmlns="http://www.unidata.ucar.edu/namespaces/netcdf/ncml-2.2">': "is NcML",
    b'{"version": 1, "refs": {}}': r"references to other files \(kerchunk\)",
    b'{"metadata": {}, "zarr_consolidated_format": 1}': "metadata document of a Zarr store; declare the folder",
}


@pytest.mark.parametrize("beginning", POINTERS)
def test_texts_that_point_to_data_are_no_errors_of_a_server(tmp_path, beginning):
    (tmp_path / "t.nc").write_bytes(beginning)
    with pytest.raises(ForcingError, match=POINTERS[beginning]):
        scan(tmp_path / "t.nc", "t2m")


def test_the_name_says_nothing(tmp_path):
    path = write(tmp_path / "download", field())
    assert values(scan(path, "t2m")).shape == (6, 4, 5)


def test_a_zipped_zarr_store_is_named_with_the_way_that_works(tmp_path):
    with zipfile.ZipFile(tmp_path / "t2m.zip", "w") as archive:
        archive.writestr("t2m.zarr/t2m/c/0", bytes(5000))
        archive.writestr("t2m.zarr/zarr.json", "{}")
    with pytest.raises(ForcingError, match=r"t2m\.zip: is a Zarr store in a zip archive.* unpack it \(unzip -d"):
        scan(tmp_path / "t2m.zip", "t2m")
    with pytest.raises(ForcingError, match=r"t2m\.zarr::.*t2m\.zip: is a Zarr store .* unpack the archive"):
        scan(f"zip://t2m.zarr::{tmp_path}/t2m.zip", "t2m")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_in_a_zip_archive_are_read(tmp_path, method):
    path = write(tmp_path / "t2m_2020.nc", field())
    with zipfile.ZipFile(tmp_path / "cds.zip", "w", method) as archive:
        archive.writestr("readme.txt", "words")
        archive.write(path, "data/t2m_2020.nc")
    found = scan(f"zip://data/t2m_*.nc::{tmp_path}/cds.zip", "t2m")
    assert (values(found)[:, 1:] == field()[:, 1:]).all()
    with pytest.raises(
        ForcingError, match=r'is a zip archive; declare the files in it: url = "zip://data/t2m_2020.nc::.*cds.zip"'
    ):
        scan(tmp_path / "cds.zip", "t2m")


def test_a_declared_format_overrides_the_content(tmp_path):
    (tmp_path / "odd.nc").write_bytes(HTML)
    with pytest.raises(ForcingError, match=r"odd\.nc: is a damaged HDF5 file"):
        scan(tmp_path / "odd.nc", "t2m", format="hdf5")


def test_a_declaration_can_name_every_format():
    assert set(get_args(FormatName)) == set(FORMATS)


class PlainTable:
    """A toy: one line that names what is in the file, then the numbers as they lie in memory, a day after the other."""

    def variables(self, file):
        return {self._header(file)[0]: Variable(("time", "lat", "lon"), tuple(self._header(file)[1]), "float32")}

    def describe(self, file, variable, select):
        name, shape, begin = self._header(file)
        if variable != name:
            raise UnreadableError(f"no variable {variable!r}; it has {name}")
        day_bytes = 4 * shape[1] * shape[2]
        axes = {
            "time": ("time", np.arange(shape[0]), {"units": "days since 2020-01-01"}),
            "lat": ("lat", 48.05 - 0.1 * np.arange(shape[1]), {"units": "degrees_north"}),
            "lon": ("lon", 7.05 + 0.1 * np.arange(shape[2]), {"units": "degrees_east"}),
        }
        return Stored(
            dims=("time", "lat", "lon"),
            shape=tuple(shape),
            attrs={"units": "K"},
            array=zarr_metadata(tuple(shape), (1, *shape[1:]), np.dtype("<f4"), float("nan"), []),
            chunks={(day, 0, 0): (begin + day * day_bytes, day_bytes) for day in range(shape[0])},
            coordinates=xr.Dataset(coords=axes),
        )

    def _header(self, file):
        with file_handle(file) as handle:
            line = handle.read(200).split(b"\n")[0]
        described = json.loads(line.removeprefix(b"PLAIN TABLE "))
        return described["name"], described["shape"], len(line) + 1


def test_a_format_from_outside_is_read_by_what_its_files_begin_with(tmp_path, monkeypatch):
    monkeypatch.setitem(FORMATS, "plain-table", None)
    del FORMATS["plain-table"]
    register_format("plain-table", FileFormat(lambda head: head.startswith(b"PLAIN TABLE "), PlainTable))
    with pytest.raises(ValueError, match="plain-table: there is such a format"):
        register_format("plain-table", FileFormat(lambda head: True, PlainTable))
    header = b"PLAIN TABLE " + json.dumps({"name": "t2m", "shape": [6, 4, 5]}).encode() + b"\n"
    (tmp_path / "t2m.nc").write_bytes(header + field().tobytes())
    np.testing.assert_array_equal(values(scan(tmp_path / "t2m.nc", "t2m")), field())
    with pytest.raises(ForcingError, match=r"t2m\.nc: no variable 'rain'; it has t2m"):
        scan(tmp_path / "t2m.nc", "rain")
