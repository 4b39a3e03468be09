"""Source files as producers write them."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis.extra import numpy as hnp

from somo.core.grid import Grid
from somo.synthetic.files import AIR, FILL, RAIN, year_file

GRID = Grid.regular(-2, 0, 50, 52, 0.5)


@given(hnp.arrays(np.float64, 20, elements={"min_value": 190.0, "max_value": 350.0}))
def test_packing_is_as_exact_as_its_scale(values: np.ndarray) -> None:
    stored = AIR.pack(values)
    assert stored.dtype == np.int16 and (stored != FILL).all()
    np.testing.assert_allclose(stored * AIR.scale + AIR.offset, values, atol=AIR.scale / 2 + 1e-9)


def test_missing_values_are_filled_and_others_clipped() -> None:
    assert AIR.pack(np.array([np.nan, 1000.0, 0.0])).tolist() == [FILL, 32767, -32766]


@pytest.mark.parametrize("east", [False, True])
def test_a_file_is_read_back(tmp_path: Path, east: bool) -> None:
    hours = np.datetime64("2004-01-01T00", "h") + 24 * np.arange(5)
    values = np.random.default_rng(0).uniform(0, 0.05, (5, *GRID.shape))
    with year_file(str(tmp_path), "a/tp_2004.nc", GRID, hours, (RAIN, "layer1"), east) as file:
        for part in (slice(0, 2), slice(2, 5)):
            file.append(RAIN, values[part])
            file.append("layer1", values[part])
        assert not (tmp_path / "a").exists()
    with xr.open_dataset(tmp_path / "a/tp_2004.nc") as ds:
        np.testing.assert_array_equal(ds.time, hours.astype("M8[ns]"))
        np.testing.assert_allclose(ds.tp, values, atol=RAIN.scale)
        np.testing.assert_array_equal(ds.layer1, values.astype("f4"))
        np.testing.assert_allclose(ds.longitude, GRID.lon % 360 if east else GRID.lon, rtol=1e-6)
        assert ds.tp.attrs["units"] == "m"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    hours = np.datetime64("2004-01-01T00", "h") + 24 * np.arange(5)
    with pytest.raises(RuntimeError), year_file(str(tmp_path), "tp.nc", GRID, hours, (RAIN,), False):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_continents_are_chunked_by_single_steps(tmp_path: Path) -> None:
    grid = Grid.regular(-12, 45, 36, 71.5, 0.1)
    hours = np.datetime64("2004-01-01T00", "h") + 24 * np.arange(2)
    with year_file(str(tmp_path), "tp.nc", grid, hours, (RAIN,), False) as file:
        file.append(RAIN, np.zeros((2, *grid.shape)))
    with h5py.File(tmp_path / "tp.nc") as file:
        assert file["tp"].chunks == (1, 355, 570) and file["tp"].dtype == np.int16
