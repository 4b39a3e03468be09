"""Files of forecasts [start, step], as cfgrib makes them from GRIB: days come from the times they are valid for."""

import numpy as np
import pytest
import xarray as xr

from somo.forcing.formats.stored import UnreadableError
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import ForcingError, find_files
from somo.product.inputs import Source

STARTS = np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("datetime64[ns]")
STEPS = np.arange(1, 25)


def _write(path, valid=True, steps=STEPS):
    values = np.arange(3 * 24 * 4, dtype="f4").reshape(3, 24, 2, 2)[:, steps - 1]
    ds = xr.Dataset(
        {"tp": (("time", "step", "lat", "lon"), values, {"units": "m", "GRIB_stepType": "accum"})},
        {
            "time": ("time", STARTS, {"standard_name": "forecast_reference_time"}),
            "step": ("step", steps, {"units": "hours", "standard_name": "forecast_period"}),
            "lat": ("lat", [50.0, 49.9], {"units": "degrees_north"}),
            "lon": ("lon", [7.0, 7.1], {"units": "degrees_east"}),
        },
    )
    if valid:
        stamps = STARTS[:, None] + steps * np.timedelta64(1, "h")
        ds = ds.assign_coords(valid_time=(("time", "step"), stamps, {"standard_name": "time"}))
    if path.suffix == ".zarr":
        ds.to_zarr(path, zarr_format=2)
    else:
        ds.to_netcdf(path, engine="h5netcdf")


def _scans(path, **declared):
    source = Source(url=str(path), variable="tp", units="m", **declared)
    day = STARTS[0].astype("datetime64[D]").astype(object)
    (file,) = find_files("precipitation", source, "home", day, day, day)
    return scan_file(file, "precipitation", source)


@pytest.mark.parametrize("name", ["t.nc", "t.zarr"])
def test_every_step_of_a_forecast_has_its_time(tmp_path, name):
    _write(tmp_path / name)
    scans = _scans(tmp_path / name)
    hours = np.sort(np.concatenate([scan.times for scan in scans])).astype("datetime64[s]")
    assert (hours == np.arange("2020-01-01T01", "2020-01-04T01", dtype="datetime64[h]")).all()


@pytest.mark.parametrize(("steps", "select"), [(STEPS, {"step": 24}), (STEPS[23:], {})])
def test_one_step_of_forecasts_is_stamped_with_its_validity(tmp_path, steps, select):
    _write(tmp_path / "t.nc", steps=steps)
    (scan,) = _scans(tmp_path / "t.nc", select=select)
    assert (scan.times.astype("datetime64[s]") == STARTS + np.timedelta64(1, "D")).all()


def test_starts_of_forecasts_alone_are_no_times(tmp_path):
    _write(tmp_path / "t.nc", valid=False, steps=STEPS[23:])
    with pytest.raises(
        ForcingError, match=r"t\.nc: has in time the times at which forecasts began, and no valid_time"
    ) as error:
        _scans(tmp_path / "t.nc")
    assert isinstance(error.value.__cause__, UnreadableError)


@pytest.mark.parametrize("name", ["t.nc", "t.zarr"])
def test_the_steps_of_a_single_forecast_are_its_times(tmp_path, name):
    """cfgrib gives a file of one forecast no dimension of time."""
    _write(tmp_path / "three.nc")
    with xr.open_dataset(tmp_path / "three.nc", decode_timedelta=False) as three:
        one = three.isel(time=0).load()
    one.to_zarr(tmp_path / name, zarr_format=2) if name.endswith("zarr") else one.to_netcdf(tmp_path / name)
    (scan,) = _scans(tmp_path / name)
    assert (scan.times.astype("datetime64[s]") == STARTS[0] + STEPS * np.timedelta64(1, "h")).all()
