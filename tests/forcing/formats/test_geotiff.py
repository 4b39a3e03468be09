"""GeoTIFFs against rasterio's own reading, value for value."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from somo.forcing.listing import SourceFile
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import (
    ForcingError,
    find_files,  # noqa: F401
)
from somo.product.inputs import Files
from somo.storage.objects import fingerprint
from tests.forcing.formats.reading import field, values

# rasterio multiplies transformations in the old way of its own library.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul")
PROFILES = {
    "plain": {},
    "tiled, deflate, predictor": {
        "tiled": True,
        "blockxsize": 16,
        "blockysize": 16,
        "compress": "deflate",
        "predictor": 2,
    },
    "lzw": {"compress": "lzw"},
    "zstd": {"compress": "zstd"},
    "cloud-optimised": {"driver": "COG", "blocksize": 128, "compress": "deflate"},
}


def write(path, crs="EPSG:4326", data=None, **profile):
    data = np.where(np.isnan(field((40, 50))), -9999, field((40, 50)) * 50).astype("int16") if data is None else data
    how = {"driver": "GTiff", "height": 40, "width": 50, "count": 1, "dtype": "int16", "nodata": -9999, "crs": crs}
    with rasterio.open(path, "w", **{**how, "transform": Affine(0.01, 0, 7, 0, -0.01, 49), **profile}) as raster:
        raster.write(data, 1)
        raster.scales, raster.offsets, raster.units = (0.02,), (0.0,), ("K",)
    return path


def scan(path, variable="1", day="2020-01-31"):
    file = SourceFile(str(path), fingerprint(str(path)), day)
    (only,) = scan_file(file, "skin_temperature", Files(url=str(path), variable=variable))
    return only


@pytest.mark.parametrize("case", PROFILES)
def test_values_equal_those_of_rasterio(tmp_path, case):
    path = write(tmp_path / "lst.tif", **PROFILES[case])
    with rasterio.open(path) as raster:
        plain = raster.read(1, masked=True)
        plain = np.where(plain.mask, np.nan, plain.data * 0.02).astype("float32")
        lon, lat = raster.xy(3, 4)
    found = scan(path)
    np.testing.assert_array_equal(values(found)[0], plain)
    np.testing.assert_array_equal(values(found, window=(slice(5, 20), slice(30, 41)))[0], plain[5:20, 30:41])
    assert found.grid["lat"][3] == pytest.approx(lat) and found.grid["lon"][4] == pytest.approx(lon)
    assert (found.units, found.times.astype("datetime64[s]").astype(str).tolist()) == ("K", ["2020-01-31T00:00:00"])


def test_projections_missing_systems_times_and_bands_are_named(tmp_path):
    found = scan(write(tmp_path / "utm.tif", crs="EPSG:32632"))
    assert found.grid["kind"] == "projected" and "UTM zone 32N" in found.grid["grid_mapping"]["crs_wkt"]
    with pytest.raises(ForcingError, match=r"none\.tif: has no coordinate reference system; add it"):
        scan(write(tmp_path / "none.tif", crs=None))
    with pytest.raises(ForcingError, match=r"lst\.tif: has dimensions \(y, x\) and no times; put the day into the URL"):
        scan(write(tmp_path / "lst.tif"), day="")
    with pytest.raises(ForcingError, match=r"no variable 'LST'; it has the bands 1"):
        scan(tmp_path / "lst.tif", "LST")


def test_a_mask_beside_the_values_is_named(tmp_path):
    write(tmp_path / "m.tif", nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "m.tif", "r+") as raster:
        raster.write_mask(np.eye(40, 50, dtype="uint8") * 255)
    with pytest.raises(ForcingError, match=r"m\.tif: marks missing values by a mask, .*gdalwarp -dstnodata"):
        scan(tmp_path / "m.tif")


def test_a_truncated_file_is_named(tmp_path):
    path = write(tmp_path / "lst.tif", compress="deflate")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ForcingError, match=r"lst\.tif: is (truncated|a damaged or truncated TIFF)"):
        values(scan(path))
