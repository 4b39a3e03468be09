"""What readers get: the cell of a place, parts that can be written back, and errors for what is missing or damaged."""

import pickle
import shutil
from pathlib import Path

import cf_xarray  # noqa: F401
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import somo
from somo.core.grid import Grid
from somo.publish import netcdf
from somo.publish.point import series_csv
from somo.publish.reader import bucket, cell_at
from somo.publish.verifying import verify
from somo.storage.patience import StorageError
from tests.publish import made


@pytest.fixture(scope="module")
def declared():
    return made.product()


@pytest.fixture(scope="module")
def published(declared, tmp_path_factory) -> Path:
    """Root of a version with files of two layers and two years."""
    root = tmp_path_factory.mktemp("bucket")
    version_url = made.write_store(declared, str(root), provisional=3)
    for layer in declared.layers:
        for year in (2015, 2016):
            netcdf.publish_year(version_url, declared, layer, year)
    return root


def test_soil_moisture_is_float32_and_as_published(declared, published) -> None:
    soil = somo.open(str(published), "1.0.0")["soil_moisture"]
    assert soil.dtype == np.float32
    np.testing.assert_allclose(soil, np.moveaxis(made.values(declared, 388)[0], 0, 0), atol=5.1e-5)
    low, high = soil.attrs["valid_range"]
    assert (low, high) == (0, 1) and low <= soil.min() and soil.max() <= high


def test_a_part_can_be_written_back(published, tmp_path) -> None:
    part = somo.open(str(published), "1.0.0").isel(time=slice(3, 25), lat=slice(1, 4))
    part.to_zarr(tmp_path / "part.zarr", consolidated=False)
    part.to_netcdf(tmp_path / "part.nc")
    for back in (
        xr.open_zarr(tmp_path / "part.zarr", consolidated=False, decode_coords="all"),
        xr.open_dataset(tmp_path / "part.nc", decode_coords="all"),
    ):
        xr.testing.assert_allclose(back.load(), part.load(), rtol=1e-6)
        back.close()


def test_a_lazy_part_travels_to_other_processes(published) -> None:
    lazy = somo.open(str(published), "1.0.0").chunk({"time": 64})
    assert float(pickle.loads(pickle.dumps(lazy))["soil_moisture"].mean()) > 0


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
@pytest.mark.parametrize("new_defaults", [False, True], ids=["as now", "as xarray will"])
def test_files_of_layers_and_years_open_as_one(published, new_defaults) -> None:
    files = str(published / "v1.0.0/netcdf/*.nc")
    with xr.set_options(use_new_combine_kwarg_defaults=new_defaults), xr.open_mfdataset(files) as ds:
        assert ds.sizes["time"] == 12 + 366
        assert {"layer1", "layer2", "layer1_std", "layer2_std", "layer1_applicability"} <= set(ds.data_vars)
        assert (float(ds["layer1_depth"]), float(ds["layer2_depth"])) == (0.05, 0.2)
        assert ds["layer1"].notnull().any(["lat", "lon"]).all()


def test_soil_moisture_is_found_by_its_standard_name(published) -> None:
    name = "volume_fraction_of_condensed_water_in_soil"
    with xr.open_dataset(published / "v1.0.0/netcdf/Made_layer1_2016.nc") as ds:
        assert ds.cf[name].name == "layer1"
        assert ds.cf.standard_names[f"{name} standard_error"] == ["layer1_std"]


def test_soil_moisture_of_a_store_is_found_by_its_standard_name(published) -> None:
    name = "volume_fraction_of_condensed_water_in_soil"
    ds = somo.open(str(published), "1.0.0")
    assert ds.cf[name].name == "soil_moisture"
    assert ds.cf.standard_names[f"{name} standard_error"] == ["soil_moisture_std"]


def test_an_object_that_is_missing_or_damaged_is_an_error_that_names_it(published, tmp_path) -> None:
    root = shutil.copytree(published, tmp_path / "copy")
    folder = root / "v1.0.0/soil_moisture.zarr/soil_moisture/c/0"
    damaged = bytearray((folder / "0/0/0").read_bytes())
    damaged[40] ^= 1
    (folder / "0/0/0").write_bytes(damaged)
    (folder / "1/0/0").unlink()
    soil = somo.open(str(root), "1.0.0")["soil_moisture"]
    with pytest.raises(StorageError, match=r"soil_moisture: the bytes that were read are damaged"):
        soil.isel(time=slice(0, 64)).load()
    with pytest.raises(StorageError, match=r"soil_moisture/c/0/1/0/0: this object is missing"):
        soil.isel(time=70).load()
    assert soil.isel(time=200).notnull().any()
    plain = xr.open_zarr(root / "v1.0.0/soil_moisture.zarr", chunks=None)["soil_moisture"]
    assert plain.isel(time=70).isnull().all(), "zarr says what is missing by now: docs/reading.md can too"


def test_a_series_says_what_it_is(published, tmp_path) -> None:
    cell = somo.open(str(published), "1.0.0").isel(lat=3, lon=4).sel(time=slice("2017-01-01", None))
    (tmp_path / "series.csv").write_text(series_csv(cell, "s3://bucket/made", (45.27, 5.44)))
    table = pd.read_csv(tmp_path / "series.csv", comment="#", index_col="time", parse_dates=True)
    assert list(table) == [
        "soil_moisture_0-10cm", "soil_moisture_10-30cm", "soil_moisture_std_0-10cm", "soil_moisture_std_10-30cm",
        "frozen", "status",
    ]  # fmt: skip
    assert set(table["frozen"]) == {"no"}
    assert list(table["status"]) == ["final"] * 7 + ["provisional"] * 3
    np.testing.assert_allclose(table["soil_moisture_10-30cm"], cell["soil_moisture"].isel(depth=1), atol=5.1e-5)
    head = (tmp_path / "series.csv").read_text().split("time,")[0]
    for words in (
        "version 1.0.0",
        "m3 m-3",
        "45.2500 N, 5.4500 E",
        "UTC day",
        "cite SoMo developers",
        "licence CC-BY-4.0",
        "below 0 degrees C on each of the last 3 days",
    ):
        assert words in head


@pytest.fixture
def maps() -> xr.Dataset:
    """Three rows of irregular spacing, cells of at most 1.4 degrees; the middle one has no values in its first cell."""
    grid = Grid(np.array([40.0, 38.6, 37.3, 33.0]), np.array([-100.0, -98.5]), 1.4)
    lat_bounds, lon_bounds = grid.bounds()
    values = np.ones((2, 1, 4, 2))
    values[:, :, 1, 0] = np.nan
    values[0, 0, 3, 0] = np.nan
    return xr.Dataset(
        {"soil_moisture": (("depth", "time", "lat", "lon"), values)},
        {
            "lat": grid.lat,
            "lon": grid.lon,
            "lat_bnds": (("lat", "bnds"), lat_bounds),
            "lon_bnds": (("lon", "bnds"), lon_bounds),
        },
    )


@pytest.mark.parametrize(
    ("place", "cell"),
    [
        ((40.69, -100.69), (0, 0)),
        ((37.94, -98.5), (2, 1)),
        ((37.96, -98.5), (1, 1)),
        ((39.30, -100.0), (0, 0)),
        ((37.95, -100.0), (2, 0)),
        ((33.69, -100.0), (3, 0)),
    ],
    ids=["at a corner", "below halfway", "above halfway", "border to no values", "from no values", "one layer only"],
)
def test_a_place_is_read_from_the_cell_that_holds_it(
    maps: xr.Dataset, place: tuple[float, float], cell: tuple[int, int]
) -> None:
    assert cell_at(maps, *place) == cell


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ((38.5, -99.9), r"38\.5 N -99\.9 E lies in a cell without values .* is 38\.6 -98\.5, 122 km away"),
        ((36.0, -100.0), r"lies outside the grid; the nearest cell with values is 37\.3 -100, 145 km away"),
        ((40.0, -99.25), r"lies outside the grid; the nearest cell with values is 40 -100, 64 km"),
        ((np.nan, 3.0), "outside the grid; choose a place inside it"),
    ],
    ids=["no values", "gap between rows", "gap between columns", "not a number"],
)
def test_a_place_without_values_is_refused_and_the_nearest_with_values_named(
    maps: xr.Dataset, place: tuple[float, float], told: str
) -> None:
    with pytest.raises(StorageError, match=told):
        cell_at(maps, *place)


def test_a_folder_that_is_not_there_is_said(tmp_path) -> None:
    assert bucket(str(tmp_path)) == bucket(f"file://{tmp_path}")
    with pytest.raises(StorageError, match="absent: there is no such folder"):
        bucket(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("pointer", "words"),
    [
        (b"[" * 100_000, "names no version"),
        (b"[]", "names no version"),
        (b'{"versions": 1}', "names no version"),
        (b"\xff\xfe", "names no version"),
        (b" " * 2**24 + b"{}", "has 16777218 bytes, which is no pointer"),
    ],
    ids=["nested", "list", "other", "no text", "huge"],
)
def test_a_pointer_from_a_stranger_is_named_and_not_obeyed(tmp_path, pointer, words) -> None:
    (tmp_path / "latest.json").write_bytes(pointer)
    with pytest.raises(StorageError, match=rf"latest\.json: {words}"):
        somo.open(str(tmp_path))
    _, _, damage = next(verify(str(tmp_path)))
    assert [d.key for d in damage] == ["latest.json"]
