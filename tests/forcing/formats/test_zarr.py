"""Zarr stores against xarray's own reading, value for value."""

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from somo.forcing import listing
from somo.forcing.formats import zarr_store
from somo.forcing.sources import ForcingError
from tests.forcing.formats.reading import field, scan, values

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")


def dataset(days=6):
    return xr.Dataset(
        {"t2m": (("time", "latitude", "longitude"), field((days, 4, 5)), {"units": "K"})},
        {
            "time": np.arange(
                "2020-01-01", np.datetime64("2020-01-01") + np.timedelta64(days, "D"), dtype="datetime64[D]"
            ).astype("M8[ns]"),
            "latitude": ("latitude", 48.05 - 0.1 * np.arange(4), {"units": "degrees_north"}),
            "longitude": ("longitude", 7.05 + 0.1 * np.arange(5), {"units": "degrees_east"}),
        },
    )


ENCODINGS = {
    "version 2": ({"zarr_format": 2}, {}),
    "version 2, packed": (
        {"zarr_format": 2}, {"dtype": "int16", "scale_factor": 0.002, "add_offset": 280.0, "_FillValue": -32767}
    ),
    "version 3": ({"zarr_format": 3}, {}),
    "version 3, sharded": ({"zarr_format": 3}, {"chunks": (1, 2, 5), "shards": (4, 4, 5)}),
    "version 3, not consolidated": ({"zarr_format": 3, "consolidated": False}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ENCODINGS)
def test_values_equal_those_of_xarray(tmp_path, case):
    how, encoding = ENCODINGS[case]
    url = str(tmp_path / "era5.zarr")
    dataset().to_zarr(url, encoding={"t2m": encoding}, **how)
    with xr.open_zarr(url, chunks=None, consolidated=how.get("consolidated")) as ds:
        plain = ds["t2m"].values.astype("float32")
    found = scan(url, "t2m")
    np.testing.assert_array_equal(values(found), plain)
    np.testing.assert_array_equal(values(found, np.array([4, 1]), (slice(1, 3), slice(2, 5))), plain[[4, 1], 1:3, 2:5])
    assert found.times.astype("datetime64[s]").astype("datetime64[D]").astype(str).tolist()[0] == "2020-01-01"


def test_a_group_and_further_dimensions(tmp_path):
    url = str(tmp_path / "era5.zarr")
    ds = dataset().expand_dims({"level": [850, 500], "number": [0]}, (1, 0))
    (ds * xr.DataArray([1.0, 2.0], dims="level")).to_zarr(url, group="upper", zarr_format=3)
    with pytest.raises(ForcingError, match=r"the further dimension level with 2 entries \(850, 500\); choose one"):
        scan(url, "upper/t2m")
    np.testing.assert_array_equal(values(scan(url, "upper/t2m", select={"level": 500})), 2 * field())


def test_a_store_that_grew_is_another_one(tmp_path):
    url = str(tmp_path / "era5.zarr")
    dataset().to_zarr(url, zarr_format=2)
    found = scan(url, "t2m")
    later = dataset(2).assign_coords(time=np.array(["2020-01-07", "2020-01-08"], "M8[ns]"))
    later.to_zarr(url, append_dim="time")
    zarr_store._array.cache_clear()  # as in another process
    assert len(scan(url, "t2m").times) == 8
    with pytest.raises(ForcingError, match=r"era5\.zarr: was changed after it was referenced"):
        values(found)


def test_a_folder_that_is_no_store_and_a_damaged_chunk_are_named(tmp_path):
    (tmp_path / "files").mkdir()
    with pytest.raises(ForcingError, match=r"files: is a folder and no Zarr store .*files/\*\.nc"):
        scan(tmp_path / "files", "t2m")
    url = str(tmp_path / "era5.zarr")
    dataset().to_zarr(url, zarr_format=2)
    zarr.open_array(url, path="t2m", mode="r")
    (tmp_path / "era5.zarr" / "t2m" / "0.0.0").write_bytes(b"damaged")
    with pytest.raises(ForcingError, match=r"era5\.zarr: t2m cannot be read"):
        values(scan(url, "t2m"))


def rewritten(path, change):
    """The metadata of a store after a change, which a stranger made."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_metadata_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    url = tmp_path / "hostile.zarr"
    dataset().to_zarr(url, zarr_format=2)
    honest = (url / ".zmetadata").read_text()

    def long_time(document):
        for name in ("time", "t2m"):
            document["metadata"][f"{name}/.zarray"]["shape"][0] = 6_000_000_000_000

    rewritten(url / ".zmetadata", long_time)
    with pytest.raises(ForcingError, match=r"hostile\.zarr: has 6000000000000 values in its coordinate time"):
        scan(url, "t2m")
    (url / ".zmetadata").write_text("[" * 200_000)
    with pytest.raises(ForcingError, match=r"hostile\.zarr: cannot be read \(maximum recursion depth"):
        scan(url, "t2m")
    (url / ".zmetadata").write_text(honest)
    rewritten(url / "t2m" / ".zarray", lambda array: array.update(chunks=[100_000, 1000, 1000]))
    with pytest.raises(ForcingError, match=r"hostile\.zarr: has chunks of 400\.0 GB in t2m"):
        scan(url, "t2m")
    monkeypatch.setattr(listing, "MOST_DOCUMENT_BYTES", 1000)
    with pytest.raises(ForcingError, match=r"\.zmetadata: has \d+ bytes, too many for the metadata of a Zarr store"):
        scan(url, "t2m")


@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_names_along_a_further_dimension(tmp_path, zarr_format):
    """zarr gives texts of any length as objects of Python, which are no numbers."""
    url = str(tmp_path / "runs.zarr")
    ds = dataset().expand_dims({"run": np.array(["r1", "second"], object)}, 1)
    (ds * xr.DataArray([1.0, 2.0], dims="run")).to_zarr(url, zarr_format=zarr_format, consolidated=True)
    with pytest.raises(ForcingError, match=r"dimension run with 2 entries \(r1, second\); choose one: .* run = 'r1'"):
        scan(url, "t2m")
    np.testing.assert_array_equal(values(scan(url, "t2m", select={"run": "second"})), 2 * field())
