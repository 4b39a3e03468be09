"""Many files of one variable: in any order, overlapping, turned, merged; refusals name both files."""

import datetime as dt

import numpy as np
import pytest
import xarray as xr

from somo.forcing.references.chunks import open_references
from somo.forcing.references.combining import combine
from somo.forcing.references.decoding import decode
from somo.forcing.references.reference_set import write_references
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import ForcingError, find_files
from somo.product.inputs import Source

LAT, LON = 48.05 - 0.1 * np.arange(4), 7.05 + 0.1 * np.arange(5)
WHOLE = slice(None), slice(None)
FIRST = np.datetime64("2020-01-01", "ns")


def truth(days=8):
    """[day, lat, lon] what all files together hold."""
    return (283 + np.random.default_rng(0).standard_normal((days, 4, 5))).astype("float32")


def part(first, stop, values=None):
    """A file's days, from the truth."""
    values = truth()[first:stop] if values is None else values
    return xr.Dataset(
        {"t2m": (("time", "lat", "lon"), values, {"units": "K"})},
        {
            "time": FIRST + np.arange(first, stop) * np.timedelta64(1, "D"),
            "lat": ("lat", LAT, {"units": "degrees_north"}),
            "lon": ("lon", LON, {"units": "degrees_east"}),
        },
    )


def together(folder, url=None, last=8, **declared):
    """The reference set of all files in a folder."""
    source = Source(url=url or f"{folder}/*.nc", variable="t2m", units="K", **declared)
    files = find_files("t2m", source, "home", dt.date(2020, 1, 1), dt.date(2020, 1, last), dt.date(2021, 1, 1))
    combined = combine("t2m", [scan for file in files for scan in scan_file(file, "t2m", source)], source)
    write_references(f"{folder}/set.parquet", combined)
    open_references.cache_clear()
    return open_references(f"{folder}/set.parquet")


def read_steps(store, steps, window):
    """Decoded values [step, row, column] of steps, one by one."""
    numbers = np.arange(len(store.times))[steps]
    groups, places = store.group_of_step[numbers], store.place_of_step[numbers]
    raw = [
        (group, store.read(group, (np.array([place]), *window)))
        for group, place in zip(groups.tolist(), places.tolist(), strict=True)
    ]
    return np.concatenate([decode(part, store.index["decoding"][group]) for group, part in raw])


def values(store):
    return read_steps(store, slice(None), WHOLE)


def days(store):
    return store.times.astype("datetime64[s]").astype("datetime64[D]").astype(str).tolist()


def test_files_in_any_order_that_overlap_are_cut_and_joined(tmp_path):
    part(5, 8).to_netcdf(tmp_path / "a.nc")
    part(0, 4).to_netcdf(tmp_path / "b.nc")
    part(2, 6).to_netcdf(tmp_path / "c.nc")
    store = together(tmp_path)
    np.testing.assert_array_equal(values(store), truth())
    np.testing.assert_array_equal(
        read_steps(store, np.array([7, 0, 5]), (slice(1, 3), slice(2, 5))), truth()[[7, 0, 5], 1:3, 2:5]
    )
    assert days(store) == [f"2020-01-0{n}" for n in range(1, 9)]


def test_one_value_in_two_packings_is_equal(tmp_path):
    """Files of neighbouring months share 00 UTC, and each has the scale that suits its own values."""
    for name, days, scale in (("a", (0, 5), 0.001), ("b", (4, 8), 0.0013)):
        packed = {"dtype": "int16", "scale_factor": scale, "add_offset": 283.0, "_FillValue": -32767}
        part(*days).to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf", encoding={"t2m": packed})
    np.testing.assert_allclose(values(together(tmp_path)), truth(), atol=0.0007)
    packed["scale_factor"] = 0.00131
    part(4, 8, truth()[4:8] + 0.01).to_netcdf(tmp_path / "b.nc", engine="h5netcdf", encoding={"t2m": packed})
    with pytest.raises(ForcingError, match=r"b\.nc: has other values at 2020-01-05T00:00:00 than .*a\.nc"):
        together(tmp_path)


def test_one_value_in_two_units_is_equal(tmp_path):
    part(0, 5).to_netcdf(tmp_path / "a.nc")
    celsius = part(4, 8, truth()[4:8].astype("float64") - 273.15)
    celsius["t2m"].attrs["units"] = "degC"
    celsius.to_netcdf(tmp_path / "b.nc")
    assert days(together(tmp_path)) == [f"2020-01-0{n}" for n in range(1, 9)]
    celsius["t2m"].attrs["units"] = "K"
    celsius.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(ForcingError, match=r"b\.nc: has other values at 2020-01-05T00:00:00 than .*a\.nc"):
        together(tmp_path)


def test_overlapping_files_that_disagree_are_both_named(tmp_path):
    part(0, 5).to_netcdf(tmp_path / "a.nc")
    part(4, 8, truth()[4:8] + 1).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(ForcingError, match=r"b\.nc: has other values at 2020-01-05T00:00:00 than .*a\.nc"):
        together(tmp_path)


@pytest.mark.parametrize("order", [[7, 6, 5, 4, 3, 2, 1, 0], [3, 1, 2, 0, 7, 5, 4, 6], [0, 1, 1, 2, 3, 4, 5, 6, 7]])
def test_days_backward_out_of_order_or_twice_in_a_file(tmp_path, order):
    part(0, 8).isel(time=order).to_netcdf(tmp_path / "a.nc", encoding={"t2m": {"chunksizes": (3, 4, 5)}})
    store = together(tmp_path)
    np.testing.assert_array_equal(values(store), truth())
    assert days(store) == [f"2020-01-0{n}" for n in range(1, 9)]


def test_a_day_twice_with_other_values_is_named(tmp_path):
    xr.concat([part(0, 3), part(2, 3, truth()[2:3] + 1)], "time").to_netcdf(tmp_path / "a.nc")
    with pytest.raises(ForcingError, match=r"a\.nc: has the time 2020-01-03T00:00:00 twice, with different values"):
        together(tmp_path)


TURNS = {
    "rows": lambda ds: ds.isel(lat=slice(None, None, -1)),
    "columns": lambda ds: ds.isel(lon=slice(None, None, -1)),
    "dimensions": lambda ds: ds.transpose("lon", "time", "lat"),
    "another meridian": lambda ds: ds.assign_coords(lon=("lon", LON + 360, {"units": "degrees_east"})),
}


@pytest.mark.parametrize("case", TURNS)
def test_files_that_turn_the_grid_are_turned_back(tmp_path, case):
    part(0, 4).to_netcdf(tmp_path / "a.nc")
    TURNS[case](part(3, 8)).to_netcdf(tmp_path / "b.nc")
    store = together(tmp_path)
    np.testing.assert_array_equal(values(store), truth())
    np.testing.assert_array_equal(read_steps(store, slice(2, 7), (slice(0, 3), slice(3, 5))), truth()[2:7, :3, 3:5])


AROUND = np.arange(-180.0, 180.0, 60.0)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("first_lon", [0.0, 60.0, -120.0])
def test_files_that_begin_at_another_meridian_are_turned_back(tmp_path, first_lon, backward):
    """One file begins at the antimeridian, the next at Greenwich, or runs to the west from there."""
    everywhere = np.random.default_rng(1).normal(283, 1, (8, 4, 6)).astype("float32")
    ours = xr.concat([part(0, 8)] * 2, "lon").isel(lon=slice(0, 6)).assign_coords(lon=AROUND)
    ours["lon"].attrs["units"] = "degrees_east"
    ours["t2m"].values[:] = everywhere
    ours.isel(time=slice(0, 4)).to_netcdf(tmp_path / "a.nc")
    other = ours.isel(time=slice(3, 8)).roll(lon=-int((first_lon + 180) / 60), roll_coords=True)
    other = other.assign_coords(lon=("lon", other["lon"].values % 360, {"units": "degrees_east"}))
    (other.isel(lon=slice(None, None, -1)) if backward else other).to_netcdf(tmp_path / "b.nc")
    store = together(tmp_path)
    np.testing.assert_array_equal(values(store), everywhere)
    for columns in (slice(0, 2), slice(1, 5), slice(2, 4), slice(5, 6)):
        window = slice(1, 3), columns
        np.testing.assert_array_equal(read_steps(store, slice(2, 7), window), everywhere[2:7, window[0], window[1]])


def test_other_longitudes_in_between_are_still_refused(tmp_path):
    part(0, 4).to_netcdf(tmp_path / "a.nc")
    part(4, 8).assign_coords(lon=("lon", LON + 0.2, {"units": "degrees_east"})).to_netcdf(tmp_path / "b.nc")
    with pytest.raises(ForcingError, match=r"b\.nc: lon has 5 values 7\.25\.\..* must share one grid"):
        together(tmp_path)


def test_a_legacy_dimension_of_versions_is_merged(tmp_path):
    """ERA5T's values follow those of ERA5 along the dimension `expver`, the others are missing."""
    both = xr.concat([part(0, 8), part(0, 8)], xr.DataArray([1, 5], dims="expver", name="expver"))
    final = np.arange(8) < 5
    both["t2m"] = both["t2m"].transpose("time", "expver", "lat", "lon")
    both["t2m"].values[~final, 0], both["t2m"].values[final, 1] = np.nan, np.nan
    both.to_netcdf(tmp_path / "a.nc")
    store = together(tmp_path)
    np.testing.assert_array_equal(values(store), truth())
    assert store.index["provisional"] == [[5, 3]]


def test_further_dimensions_are_dropped_or_chosen(tmp_path):
    members = xr.concat([part(0, 8), part(0, 8, truth() + 1)], xr.DataArray([0, 1], dims="number", name="number"))
    members.expand_dims(height=[2.0], axis=2).to_netcdf(tmp_path / "a.nc")
    with pytest.raises(ForcingError, match=r"a\.nc: has the further dimension number with 2 entries \(0, 1\); choose"):
        together(tmp_path)
    np.testing.assert_array_equal(values(together(tmp_path, select={"number": 1})), truth() + 1)
    with pytest.raises(ForcingError, match=r"has no dimension 'level' to select; it has number"):
        together(tmp_path, select={"number": 1, "level": 0})


def test_the_day_may_stand_in_the_name_alone(tmp_path):
    for day in range(8):
        one = part(day, day + 1).isel(time=0).drop_vars("time")
        one.to_netcdf(tmp_path / f"t_2020{day + 1:03d}.nc")
    store = together(tmp_path, f"{tmp_path}/t_{{year}}{{doy}}.nc")
    np.testing.assert_array_equal(values(store), truth())
    (tmp_path / "t_2020003.nc").unlink()
    with pytest.raises(ForcingError, match=r"t_2020003\.nc: no such file; forcing\.t2m of domain 'home'"):
        together(tmp_path, f"{tmp_path}/t_{{year}}{{doy}}.nc")


def test_a_list_of_patterns_covers_the_days_together(tmp_path):
    part(0, 3).to_netcdf(tmp_path / "old.nc")
    for day in range(3, 8):
        part(day, day + 1).to_netcdf(tmp_path / f"new_2020010{day + 1}.nc")
    store = together(tmp_path, (f"{tmp_path}/old.nc", f"{tmp_path}/new_{{year}}{{month}}{{day}}.nc"))
    np.testing.assert_array_equal(values(store), truth())


def test_one_scan_and_one_group_a_file_cost_what_they_must(tmp_path):
    """Files of one encoding form one array, whatever their order."""
    for number, (first, stop) in enumerate([(0, 3), (3, 5), (5, 8)]):
        part(first, stop).to_netcdf(tmp_path / f"{number}.nc", encoding={"t2m": {"chunksizes": (1, 4, 5)}})
    assert len(together(tmp_path).index["decoding"]) == 1


def test_means_and_extremes_in_one_variable_are_refused(tmp_path):
    for name, (first, stop), method in (("a", (0, 4), "time: mean"), ("b", (4, 8), "time: maximum")):
        days_of_file = part(first, stop)
        days_of_file["t2m"].attrs["cell_methods"] = method
        days_of_file.to_netcdf(tmp_path / f"{name}.nc")
    with pytest.raises(ForcingError, match=r"b\.nc: t2m is a maximum over time .*, but in .*a\.nc it is a mean"):
        together(tmp_path)


def test_files_without_bounds_beside_others_are_kept_apart(tmp_path):
    part(0, 4).to_netcdf(tmp_path / "a.nc")
    ended = part(4, 8)
    ended["time"].attrs["bounds"] = "time_bnds"
    ended["time_bnds"] = (("time", "nv"), ended["time"].values[:, None] + np.array([-1, 0]) * np.timedelta64(1, "D"))
    units = {"units": "days since 1970-01-01"}
    ended.to_netcdf(tmp_path / "b.nc", encoding={"time": units, "time_bnds": units})
    widths = np.diff(together(tmp_path).time_bounds, axis=1)[:, 0]
    assert widths.tolist() == [0] * 4 + [86_400] * 4
