"""References against plain h5netcdf reads of the same files; refusals name the file."""

import os
import subprocess
import sys
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from somo.forcing.dataset import open_forcing
from somo.forcing.references.scan import flag_runs
from somo.forcing.references.scanning import scan_file
from somo.forcing.sources import ForcingError, SourceFile
from somo.product.inputs import Files
from somo.storage.objects import fingerprint
from tests.forcing.formats.reading import scan

CHUNK_1, CHUNK_61 = (1, 4, 5), (61, 4, 5)
PACKED = {"dtype": "int16", "scale_factor": 0.002, "add_offset": 273.15, "_FillValue": -32767}
DEFLATED = {"dtype": "float32", "zlib": True, "shuffle": True, "complevel": 4, "_FillValue": -9999.0}

PAIRS = {
    "packed int16, one chunk a day": [{**PACKED, "chunksizes": CHUNK_1}] * 2,
    "packed int16, leap year after a partial chunk of 61 days": [{**PACKED, "chunksizes": CHUNK_61}] * 2,
    "float32": [{"dtype": "float32", "chunksizes": CHUNK_61}] * 2,
    "float64 without fill value": [{"dtype": "float64", "chunksizes": CHUNK_1, "_FillValue": None}] * 2,
    "shuffled deflate": [{**DEFLATED, "chunksizes": CHUNK_61}] * 2,
    "contiguous": [{"dtype": "float32"}] * 2,
    "other scale factors": [
        {**PACKED, "chunksizes": CHUNK_1},
        {**PACKED, "scale_factor": 0.003, "chunksizes": CHUNK_1},
    ],
    "other offsets": [{**PACKED, "chunksizes": CHUNK_1}, {**PACKED, "add_offset": 255.0, "chunksizes": CHUNK_1}],
    "other fill values": [{**PACKED, "chunksizes": CHUNK_1}, {**PACKED, "_FillValue": -32768, "chunksizes": CHUNK_1}],
    "other dtypes": [{**PACKED, "chunksizes": CHUNK_1}, {**DEFLATED, "chunksizes": CHUNK_1}],
    "other chunk shapes": [{**PACKED, "chunksizes": (1, 2, 3)}, {**PACKED, "chunksizes": (10, 4, 2)}],
    "other compression": [{**DEFLATED, "chunksizes": CHUNK_1}, {"dtype": "float32", "chunksizes": CHUNK_1}],
    "scale factor in float32": [{**PACKED, "scale_factor": np.float32(0.002), "chunksizes": CHUNK_1}] * 2,
}


@pytest.mark.parametrize("case", PAIRS)
def test_references_equal_plain_reads(sources, references, root, case):
    for year, encoding in zip((2003, 2004), PAIRS[case], strict=True):
        sources.write(year, encoding)
    product = sources.product()
    got = open_forcing(product, "home", references(product, root))["air_temperature"]
    np.testing.assert_array_equal(got.values, sources.plain(2003, 2004))
    assert got.dtype == "float32"
    assert got.sizes["time"] == 365 + 366


def test_other_time_units_share_one_array(sources, references, root):
    sources.write(2003, clock="days since 1900-01-01")
    sources.write(2004, clock="hours since 2000-01-01 12:00")
    product = sources.product()
    ds = open_forcing(product, "home", references(product, root))
    np.testing.assert_array_equal(ds["air_temperature"].values, sources.plain(2003, 2004))
    assert ds["time"].values[[0, -1]].astype("datetime64[D]").astype(str).tolist() == ["2003-01-01", "2004-12-31"]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_two_encodings_join_to_the_plain_values(tmp_path_factory, sources, references, data):
    chunk = st.tuples(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5))
    packed = st.builds(
        lambda s, o: {**PACKED, "scale_factor": s, "add_offset": o}, st.floats(0.002, 0.01), st.floats(270, 290)
    )
    kind = st.one_of(packed, st.just(DEFLATED), st.just({"dtype": "float64", "zlib": True, "_FillValue": 1e20}))
    days = {year: data.draw(st.integers(2, 70)) for year in (2003, 2004)}
    first = np.datetime64("2004-01-01") - np.timedelta64(days[2003], "D")
    for year, start in ((2003, first), (2004, np.datetime64("2004-01-01"))):
        time = (start + np.arange(days[year])).astype("datetime64[ns]")
        size = tuple(min(a, b) for a, b in zip(data.draw(chunk), (days[year], 4, 5), strict=True))
        sources.write(year, {**data.draw(kind), "chunksizes": size}, time=time)
    end = str(np.datetime64("2004-01-01") + np.timedelta64(days[2004] - 1, "D"))
    product = sources.product(str(first), end, sequence={"lookback": 1, "predict_last_n": 30})
    urls = references(product, str(tmp_path_factory.mktemp("root")))
    lazy = open_forcing(product, "home", urls)["air_temperature"]
    plain = sources.plain(2003, 2004)
    np.testing.assert_array_equal(lazy.values, plain)
    np.testing.assert_array_equal(lazy[1:, 1:3, 2:].values, plain[1:, 1:3, 2:])


def test_single_chunks_that_hdf5_left_unfiltered_are_read(sources, references, root):
    """HDF5 may leave shuffle and deflate out of single chunks."""
    sources.write(2003, {**DEFLATED, "chunksizes": CHUNK_1})
    with h5py.File(sources.path(2003), "r+") as h5:
        h5["t2m"].id.write_direct_chunk((5, 0, 0), np.full((1, 4, 5), 281.5, "f4").tobytes(), filter_mask=0b11)
    product = sources.product(end="2003-12-31")
    got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003))
    assert (got[5] == 281.5).all()


@pytest.mark.parametrize(("unwritten", "declared"), [(-1.0, -1.0), (280.5, -1.0), (281.0, None), (np.nan, -1.0)])
def test_chunks_never_written_are_what_the_library_reads(sources, references, root, unwritten, declared):
    """HDF5's own fill value need not be the attribute `_FillValue`: `ncatted` changes the one and not the other."""
    with h5py.File(sources.path(2003), "w") as h5:
        axes = {"time": np.arange(365), "lat": np.array([1.0, 2.0]), "lon": np.array([3.0])}
        units = ("days since 2003-01-01", "degrees_north", "degrees_east")
        for (name, values), unit in zip(axes.items(), units, strict=True):
            h5[name] = values
            h5[name].attrs["units"] = unit
            h5[name].make_scale(name)
        t2m = h5.create_dataset("t2m", (365, 2, 1), "f4", chunks=(1, 2, 1), fillvalue=unwritten)
        if declared is not None:
            t2m.attrs["_FillValue"] = np.float32(declared)
        for i, name in enumerate(axes):
            t2m.dims[i].attach_scale(h5[name])
        t2m[3] = 280.0
    product = sources.product(end="2003-12-31")
    got = open_forcing(product, "home", references(product, root))["air_temperature"].values
    np.testing.assert_array_equal(got, sources.plain(2003))
    assert np.isfinite(got).sum() == (2 if unwritten == declared or np.isnan(unwritten) else 730)


def _other_grid(sources):
    sources.write(2004, lat=np.array([48.05, 47.95, 47.85, 47.70]))


def _other_size(sources):
    sources.write(2004, {"chunksizes": (1, 4, 4), **PACKED}, lon=np.array([7.05, 7.15, 7.25, 7.35]))


def _other_dimension(sources):
    sources.write(2004, units="W m-2")


def _other_units(sources):
    sources.write(2004, units="mm")


def _missing_year(sources):
    """Nothing is written."""


def _late_start(sources):
    sources.write(2004, time=np.arange("2004-01-03", "2005-01-01", dtype="datetime64[D]").astype("datetime64[ns]"))


def _overlap(sources):
    sources.write(2004, time=np.arange("2003-12-31", "2005-01-01", dtype="datetime64[D]").astype("datetime64[ns]"))


def _inner_gap(sources):
    day = np.delete(np.arange("2004-01-01", "2005-01-01", dtype="datetime64[D]"), 100)
    sources.write(2004, time=day.astype("datetime64[ns]"))


def _truncated(sources):
    sources.write(2004)
    data = sources.path(2004).read_bytes()
    sources.path(2004).write_bytes(data[: len(data) // 2])


def _garbage(sources):
    sources.path(2004).write_bytes(b"<html>503 Service Unavailable</html>" * 100)


def _empty(sources):
    sources.path(2004).write_bytes(b"")


def _other_variable(sources):
    sources.write(2004, variable="d2m")


def _other_calendar(sources):
    ds = sources.write(2004)
    days = xr.date_range("2004-01-01", periods=366, calendar="noleap", use_cftime=True)
    ds.assign_coords(time=days).to_netcdf(sources.path(2004), engine="h5netcdf")


def _endless_axis(sources):
    """A file of a few kB whose days would fill the memory of any machine."""
    sources.write(2004)
    with h5py.File(sources.path(2004), "r+") as h5:
        for name in ("t2m", "time", "lat", "lon"):
            del h5[name]
        for name, size in (("time", 10**11), ("lat", 4), ("lon", 5)):
            h5.create_dataset(name, (size,), "f8", chunks=(min(size, 512),))
            h5[name].make_scale()
        h5["time"].attrs["units"], h5["lat"].attrs["units"], h5["lon"].attrs["units"] = (
            "days since 2004-01-01", "degrees_north", "degrees_east",
        )  # fmt: skip
        h5.create_dataset("t2m", (10**11, 4, 5), "f4", chunks=(1, 4, 5)).attrs["units"] = "K"
        for dimension, name in zip(h5["t2m"].dims, ("time", "lat", "lon"), strict=True):
            dimension.attach_scale(h5[name])


REFUSED: dict[str, tuple[Any, str]] = {
    "other grid": (_other_grid, "lat has 4 values 48.05..47.7"),
    "other size": (_other_size, "lon has 4 values"),
    "other physical dimension": (_other_dimension, "units 'W m-2'"),
    "other units": (_other_units, "units 'mm'"),
    "missing year": (_missing_year, "no such file"),
    "gap between files": (_late_start, "2004-01-01 to 2004-01-02 is missing"),
    "overlap": (_overlap, "has other values at 2003-12-31T00:00:00 than"),
    "gap inside": (_inner_gap, "2004-04-10 is missing or has not all its steps"),
    "truncated": (_truncated, "is truncated: it has"),
    "garbage": (_garbage, "is an HTML page"),
    "empty": (_empty, "is empty (0 bytes)"),
    "other variable": (_other_variable, "no variable 't2m'; it has d2m"),
    "other calendar": (_other_calendar, "has a noleap calendar"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_file_is_refused_by_name(sources, references, root, case):
    sources.write(2003)
    spoil, words = REFUSED[case]
    spoil(sources)
    with pytest.raises(ForcingError) as refusal:
        references(sources.product(), root)
    assert str(sources.path(2004)) in str(refusal.value)
    assert words in str(refusal.value)


def test_a_file_replaced_during_its_scan_is_refused(sources, references, root, monkeypatch):
    sources.write(2003)
    monkeypatch.setattr("somo.forcing.references.scanning.version_now", lambda file, variable: "1-2")
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: was replaced while it was read"):
        references(sources.product(end="2003-12-31"), root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_file_without_permission_is_refused_by_name(sources):
    """Root may read everything, so the scan runs in a process that has given its rights away."""
    sources.write(2003)
    sources.path(2003).chmod(0)
    script = (
        "import os, sys\n"
        "from somo.product.declaration import Source\n"
        "from somo.forcing.references.scanning import scan_file\n"
        "from somo.forcing.sources import SourceFile\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "try:\n"
        "    source = Source(url='t2m.nc', variable='t2m', units='K')\n"
        "    scan_file(SourceFile(sys.argv[1], '1-1'), 'air_temperature', source)\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    for folder in sources.folder.parents:
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith(("pytest", "test_")):
            folder.chmod(0o755)
    command = [sys.executable, "-c", script, str(sources.path(2003))]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert str(sources.path(2003)) in said
    assert "Permission denied" in said


def test_two_time_steps_are_refused(sources, references, root):
    sources.write(2003)
    hours = np.arange("2004-01-01", "2005-01-01", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    sources.write(2004, time=hours, clock="hours since 1900-01-01")
    with pytest.raises(
        ForcingError, match=r"t2m_2004\.nc: 4 values on 2004-01-01, .*but forcing.air_temperature is declared .daily."
    ):
        references(sources.product(), root)


def test_a_frequency_that_the_file_has_not_is_refused(sources, references, root):
    hours = np.arange("2003-01-01", "2004-01-01", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    sources.write(2003, time=hours, clock="hours since 1900-01-01")
    with pytest.raises(ForcingError, match='declared "daily"; write frequency'):
        references(sources.product(end="2003-12-31"), root)


@given(st.lists(st.booleans(), max_size=30))
def test_runs_cover_exactly_the_flags(flags):
    covered = {first + i for first, count in flag_runs(flags) for i in range(count)}
    assert covered == {i for i, flag in enumerate(flags) if flag}


@pytest.mark.parametrize(("shift", "hour"), [("0 days 01:00:00", "23"), ("0 days 00:00:00", "00")])
def test_a_clock_set_ahead_before_days_were_made_is_set_back(tmp_path, shift, hour):
    """As the Climate Data Store's daily statistics: the day stamped 2020-02-01 begins at 23 UTC for UTC+01:00.

    For UTC it begins with its stamp, sums of ERA5 (GRIB_stepType accum) too, which else were of the day before.
    """
    days = np.arange("2020-02-01", "2020-02-04", dtype="datetime64[D]").astype("datetime64[ns]")
    path = tmp_path / "t.nc"
    xr.Dataset(
        {"t2m": (("valid_time", "lat", "lon"), np.full((3, 2, 2), 280.0, "f4"), {"units": "K"})},
        {
            "valid_time": ("valid_time", days, {"time_shift": shift}),
            "lat": ("lat", [50.0, 49.9], {"units": "degrees_north"}),
            "lon": ("lon", [7.0, 7.1], {"units": "degrees_east"}),
        },
    ).to_netcdf(path)
    first_day = ["2020-01-31", "2020-02-01"] if hour == "23" else ["2020-02-01", "2020-02-02"]
    bounds = scan(path, "t2m").time_bounds[0].astype("datetime64[s]").astype(str).tolist()
    assert bounds == [f"{day}T{hour}:00:00" for day in first_day]


def test_intervals_whose_end_is_written_first_are_the_same_intervals(tmp_path):
    days = np.arange("2020-01-01", "2020-01-04", dtype="datetime64[D]").astype("datetime64[ns]")
    ds = xr.Dataset(
        {"t2m": (("time", "lat", "lon"), np.full((3, 1, 1), 280.0, "f4"), {"units": "K"})},
        {
            "time": ("time", days, {"bounds": "time_bnds"}),
            "lat": ("lat", [50.0], {"units": "degrees_north"}),
            "lon": ("lon", [7.0], {"units": "degrees_east"}),
        },
    )
    ds["time_bnds"] = ("time", "edge"), np.stack([days, days - np.timedelta64(1, "D")], axis=1)
    clock = {"units": "hours since 2000-01-01"}
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf", encoding={"time": clock, "time_bnds": clock})
    bounds = scan(tmp_path / "t.nc", "t2m").time_bounds
    assert (bounds.astype("datetime64[s]") == np.stack([days - np.timedelta64(1, "D"), days], axis=1)).all()


@pytest.mark.parametrize("ending", ["nc4", "nc3", "zarr"])
@pytest.mark.parametrize("is_turned", [False, True])
def test_time_bounds_that_no_attribute_names_or_that_lie_the_other_way(tmp_path, ending, is_turned):
    path, edges = tmp_path / f"t.{ending}", np.array([[1.0, 2.0], [2.0, 3.0], [3.0, 4.0]])
    bounds = (("nv", "time"), edges.T) if is_turned else (("time", "nv"), edges)
    ds = _days_stamped_at_their_end().assign(time_bnds=bounds)
    if is_turned:
        ds["time"].attrs["bounds"] = "time_bnds"
    if ending == "zarr":
        ds.to_zarr(path, zarr_format=2)
    else:
        ds.to_netcdf(path, **({"engine": "h5netcdf"} if ending == "nc4" else {"engine": "scipy"}))
    assert (scan(path, "t2m").time_bounds == edges * 86_400).all()


@pytest.mark.parametrize("edge", [0.0, np.nan])
def test_bounds_that_no_attribute_names_and_that_hold_no_stamps_are_none(tmp_path, edge):
    ds = _days_stamped_at_their_end().assign(time_bnds=(("time", "nv"), np.full((3, 2), edge)))
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    assert scan(tmp_path / "t.nc", "t2m").time_bounds is None


@pytest.mark.parametrize(("zone", "hour"), [("+01:00", 23), ("-06:00", 6), ("", None)])
def test_daily_stamps_at_midnight_of_a_zone_begin_its_days(tmp_path, zone, hour):
    ds = _days_stamped_at_their_end()
    ds["time"].attrs["units"] = f"days since 1970-01-01 00:00:00 {zone}".strip()
    ds.to_netcdf(tmp_path / "t.nc", engine="h5netcdf")
    bounds = scan(tmp_path / "t.nc", "t2m").time_bounds
    if hour is None:
        assert bounds is None
    else:
        assert (bounds % 86_400 == hour * 3600).all()
        assert (np.diff(bounds, axis=1) == 86_400).all()


def _days_stamped_at_their_end():
    return xr.Dataset(
        {"t2m": (("time", "lat", "lon"), np.full((3, 1, 2), 280.0, "f4"), {"units": "K"})},
        {
            "time": ("time", [2.0, 3.0, 4.0], {"units": "days since 1970-01-01"}),
            "lat": ("lat", [50.0], {"units": "degrees_north"}),
            "lon": ("lon", [7.0, 7.1], {"units": "degrees_east"}),
        },
    )


def _with_a_time_beside(folder, form, hours):
    """A file, named by its day, whose variable has no dimension of time and which has a time of its own."""
    ds = xr.Dataset(
        {"t2m": (("lat", "lon"), np.full((2, 2), 280.0), {"units": "K"})},
        {
            "time": ("time", [hours], {"units": "hours since 2020-01-01"}),
            "lat": ("lat", [48.0, 47.9], {"units": "degrees_north"}),
            "lon": ("lon", [7.0, 7.1], {"units": "degrees_east"}),
        },
    )
    path = folder / f"t_20200102.{form}"
    if form == "zarr":
        ds.to_zarr(path, consolidated=False)
    else:
        ds.to_netcdf(path, engine="scipy" if form == "nc3" else "h5netcdf")
    return path


@pytest.mark.parametrize("form", ["nc", "nc3", "zarr"])
def test_the_only_time_of_a_file_is_that_of_variables_without_one(tmp_path, form):
    """As in files of SMAP: the day in their names alone would give all hours of a day one time."""
    path = _with_a_time_beside(tmp_path, form, 36)
    assert scan(path, "t2m").times.astype("datetime64[s]").astype(str).tolist() == ["2020-01-02T12:00:00"]


def test_a_time_of_another_day_than_the_name_does_not_count(tmp_path):
    path = _with_a_time_beside(tmp_path, "nc", 0)
    source = Files(url=f"{tmp_path}/t_{{year}}{{month}}{{day}}.nc", variable="t2m")
    file = SourceFile(str(path), fingerprint(str(path)), "2020-01-02")
    (only,) = scan_file(file, "air_temperature", source)
    assert only.times.astype("datetime64[s]").astype(str).tolist() == ["2020-01-02T00:00:00"]
