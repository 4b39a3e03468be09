"""Days from steps, units, and what is refused on reading."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from somo.forcing.by_tile.cube import Slab, write_cube
from somo.forcing.by_tile.tiling import make_slab, plan_slabs
from somo.forcing.daily import DailyArray
from somo.forcing.dataset import daily_arrays, open_forcing
from somo.forcing.references.chunks import open_references
from somo.forcing.sources import ForcingError

HOURLY = {"dtype": "float32", "chunksizes": (24, 4, 5)}


def _hours(start: str, stop: str) -> np.ndarray:
    return np.arange(start, stop, dtype="datetime64[h]").astype("datetime64[ns]")


def test_instantaneous_steps_are_averaged_over_the_utc_day(sources, references, root):
    time = _hours("2003-01-01", "2003-01-04")
    hour = np.arange(72).reshape(-1, 1, 1)
    sources.write(
        2003, HOURLY, time=time, values=np.broadcast_to(280.0 + hour, (72, 4, 5)), clock="hours since 2003-01-01"
    )
    product = sources.product("2003-01-01", "2003-01-03", source={"frequency": "sub-daily"})
    got = open_forcing(product, "home", references(product, root))["air_temperature"]
    assert got.values[:, 0, 0].tolist() == [291.5, 315.5, 339.5]
    assert got["time"].values.astype("datetime64[D]").astype(str).tolist() == ["2003-01-01", "2003-01-02", "2003-01-03"]


@pytest.mark.parametrize("accumulation", ["day", "step"])
def test_the_accumulation_at_00_utc_completes_the_day_before(sources, references, root, accumulation):
    """Rain of 1 mm in every hour of 1 January, 2 mm of the 2nd, 3 mm of the 3rd, stamped at the end of each hour."""
    time = _hours("2003-01-01", "2003-01-04T01")
    ended = np.arange(73)
    day = (ended - 1) // 24 + 1
    per_step = np.where(ended == 0, 9.0, day) / 1000
    since_midnight = np.where(ended == 0, 9.0, day * ((ended - 1) % 24 + 1)) / 1000
    values = (since_midnight if accumulation == "day" else per_step).reshape(-1, 1, 1)
    sources.write(
        2003, HOURLY, time=time, values=np.broadcast_to(values, (73, 4, 5)), units="m", clock="hours since 2003-01-01"
    )
    source = {
        "url": f"{sources.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "m", "frequency": "sub-daily",
        "kind": "accumulated", "accumulation": accumulation,
    }  # fmt: skip
    product = sources.product("2003-01-01", "2003-01-03", forcing={"precipitation": source}, static=_RAIN)
    got = open_forcing(product, "home", references(product, root))["precipitation"]
    np.testing.assert_allclose(got.values[:, 1, 2], [24, 48, 72], rtol=1e-6)
    assert got.attrs["units"] == "mm d-1"


_RAIN = {"rain": {"computed": "mean", "of": "precipitation"}}


@pytest.mark.parametrize("begins_anew", [0, 145])
@pytest.mark.parametrize("accumulation", [{}, {"accumulation": "day"}, {"accumulation": "step"}])
def test_sums_that_never_begin_anew_are_refused(sources, references, root, accumulation, begins_anew):
    """Rain since the start of a run, as WRF's RAINNC: it rises through each day as a sum since 00 UTC does.

    Rain since the beginning of a year begins anew on one of the days that are looked at.
    """
    time = _hours("2003-01-01", "2003-01-12")
    rain = np.random.default_rng(5).gamma(0.1, 2, (len(time), 4, 5))
    total = np.concatenate([part.cumsum(axis=0) for part in np.split(rain, [begins_anew]) if len(part)])
    sources.write(2003, HOURLY, time=time, values=total, units="mm", clock="hours since 2003-01-01")
    source = {
        "url": f"{sources.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "mm", "frequency": "sub-daily",
        "kind": "accumulated", **accumulation,
    }  # fmt: skip
    product = sources.product("2003-01-01", "2003-01-09", forcing={"precipitation": source}, static=_RAIN)
    with pytest.raises(ForcingError, match=r"only rises and never begins anew.*difference of neighbouring steps"):
        references(product, root)


@pytest.mark.parametrize("begins", ["01-01", "10-01", "never"])
@pytest.mark.parametrize("cells", [(4, 5), (1, 1)])
def test_daily_sums_since_the_beginning_of_the_year_are_refused(sources, references, root, begins, cells):
    """A provider's running total, which was taken for the rain of each day; rain of single days passes."""
    days = np.arange("2003-01-01", "2006-01-01", dtype="datetime64[D]")
    rain = np.random.default_rng(5).gamma(0.2, 10, (len(days), *cells))
    year = np.cumsum([str(day).endswith(begins) for day in days])
    total = np.concatenate([rain[year == y].cumsum(axis=0) for y in np.unique(year)])
    source = {"url": f"{sources.folder}/t2m_2003.nc", "variable": "t2m", "units": "mm", "kind": "accumulated"}
    product = sources.product("2003-02-01", "2005-12-31", forcing={"precipitation": source}, static=_RAIN)
    place = {"lat": [48.05, 47.95, 47.85, 47.75][: cells[0]], "lon": [7.05, 7.15, 7.25, 7.35, 7.45][: cells[1]]}
    for values, is_refused in ((rain, False), (total, True)):
        sources.write(2003, {"dtype": "float32"}, time=days.astype("M8[ns]"), values=values, units="mm", **place)
        if is_refused:
            with pytest.raises(ForcingError, match=r"only rises from day to day.*difference of neighbouring days"):
                references(product, root)
        else:
            references(product, root)


def test_the_last_day_of_an_accumulation_needs_the_next_files_first_step(sources, references, root):
    declared = {
        "url": f"{sources.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "m", "frequency": "sub-daily",
        "kind": "accumulated", "accumulation": "day",
    }  # fmt: skip
    sources.write(
        2003,
        HOURLY,
        time=_hours("2003-12-28", "2004-01-01"),
        units="m",
        clock="hours since 2003-01-01",
        values=np.full((96, 4, 5), 0.001),
    )
    product = sources.product(
        "2003-12-29", "2003-12-31", forcing={"precipitation": declared}, static=_RAIN, sequence={"lookback": 1}
    )
    with pytest.raises(ForcingError, match=r"last whole day is 2003-12-30, .*complete with the value at 00 UTC"):
        open_forcing(product, "home", references(product, root))
    sources.write(
        2004,
        HOURLY,
        time=_hours("2004-01-01", "2004-01-03"),
        units="m",
        clock="hours since 2003-01-01",
        values=np.full((48, 4, 5), 0.002),
    )
    got = open_forcing(product, "home", references(product, root))["precipitation"]
    np.testing.assert_allclose(got.values[:, 0, 0], [1, 1, 2], rtol=1e-6)


def test_units_are_converted(sources, references, root):
    sources.write(2003, {"dtype": "float32"}, units="degC", values=np.full((365, 4, 5), 10.0))
    product = sources.product(end="2003-12-31", source={"units": "degC"})
    got = open_forcing(product, "home", references(product, root))["air_temperature"]
    np.testing.assert_array_equal(got.values, np.float32(283.15))


def test_a_wrong_unit_names_file_value_day_and_suggests_the_right_one(sources, references, root, monkeypatch):
    values = np.full((365, 4, 5), 283.0)
    # Of fewer days than these no mean is judged, which would refuse the units before a value is read.
    monkeypatch.setattr("somo.forcing.checked.LEAST_DAYS", 1000)
    sources.write(2003, {"dtype": "float32"}, units="warmth", values=values)
    product = sources.product(end="2003-12-31", source={"units": "degC"})
    ds = open_forcing(product, "home", references(product, root))
    with pytest.raises(ForcingError) as refusal:
        ds["air_temperature"].compute()
    for part in (str(sources.path(2003)), "556.15 K on 2003-01-01 at 48.05 N, 7.05 E", "'degC'", "units 'K'"):
        assert part in str(refusal.value)


def test_a_file_replaced_after_it_was_referenced_is_an_error_on_read(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    ds["air_temperature"][:5].compute()
    sources.path(2003).touch()
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: was replaced after it was referenced"):
        ds["air_temperature"][5:].compute()


def test_a_shortened_file_with_the_old_time_stamp_is_an_error_on_read(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    before = sources.path(2003).stat()
    with sources.path(2003).open("r+b") as file:
        file.truncate(before.st_size - 4000)
    os.utime(sources.path(2003), ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: was replaced"):
        ds["air_temperature"].compute()


def test_a_removed_file_is_an_error_on_read(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    ds = open_forcing(product, "home", references(product, root))
    sources.path(2003).unlink()
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: cannot be read"):
        ds["air_temperature"].compute()


def test_a_reference_that_points_elsewhere_is_an_error(sources, references, root, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 10_000)
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    urls = references(product, root)
    ((table,),) = [sorted(Path(urls["air_temperature"]).glob("0/t2m/*.parq"))]
    frame = pd.read_parquet(table)
    frame.loc[7, "path"] = str(secret)
    frame.to_parquet(table)
    ds = open_forcing(product, "home", urls)
    ds["air_temperature"][:7].compute()
    with pytest.raises(ForcingError, match=rf"points to {secret}, which is not one of its source files"):
        ds["air_temperature"][7:].compute()


def test_a_reference_set_of_other_files_than_declared_is_an_error(sources, references, root):
    sources.write(2003)
    product = sources.product(end="2003-12-31")
    urls = references(product, root)
    other = sources.product(end="2003-12-31", source={"url": f"{sources.folder}/x_{{year}}.nc"})
    with pytest.raises(ForcingError, match=r"points to .*t2m_2003\.nc, which forcing\.air_temperature\.url"):
        open_forcing(other, "home", urls)


@pytest.mark.parametrize("case", ["packed", "two encodings", "sub-daily"])
def test_the_cube_equals_the_references(sources, references, root, case):
    if case == "sub-daily":
        time = _hours("2003-01-01", "2003-03-01")
        sources.write(2003, HOURLY, time=time, clock="hours since 2003-01-01")
        product = sources.product("2003-01-05", "2003-02-28", source={"frequency": "sub-daily"})
    else:
        sources.write(2003)
        sources.write(2004, {"dtype": "float32"} if case == "two encodings" else None)
        product = sources.product()
    array = daily_arrays(product, "home", references(product, root))["air_temperature"]
    whole = array[:, :, :]
    slabs = plan_slabs(array)
    for slab in slabs:
        make_slab(array, slab, (2, 3))
    write_cube(array.cube_url, slabs)
    _forbid(array)
    np.testing.assert_array_equal(array[:, :, :], whole)
    np.testing.assert_array_equal(array[20:40, 1:3, 2:5], whole[20:40, 1:3, 2:5])
    assert sum(slab.n_days for slab in slabs) == array.n_days


def _forbid(array: DailyArray) -> None:
    """Make reading through the references fail, so that only the cube can answer."""
    store = open_references(array.url)
    store.fingerprints = dict.fromkeys(store.fingerprints, "0-0")


def test_slabs_that_are_full_stay_when_days_are_added(sources, references, root):
    sources.write(2003)
    first = plan_slabs(
        daily_arrays((p := sources.product(end="2003-12-31")), "home", references(p, root))["air_temperature"]
    )
    sources.write(2004)
    both = plan_slabs(daily_arrays((p := sources.product()), "home", references(p, root))["air_temperature"])
    assert [slab.url for slab in both[: len(first) - 1]] == [slab.url for slab in first[:-1]]
    assert all(isinstance(slab, Slab) and slab.n_days <= 128 for slab in both)


def test_a_gap_as_long_as_a_block_is_filled_from_the_blocks_around_it(sources, references, root, monkeypatch):
    days = np.arange("2003-01-01", "2004-01-01", dtype="datetime64[D]").astype("datetime64[ns]")
    sources.write(2003, time=np.delete(days, [100, 101, 102]))
    product = sources.product(end="2003-12-31", source={"gaps": "interpolate", "max_gap_days": 3})
    urls = references(product, root)
    at_once = open_forcing(product, "home", urls)["air_temperature"].values
    # One byte: every day is a block of its own.
    monkeypatch.setattr("somo.forcing.daily.READ_BYTES", 1)
    np.testing.assert_array_equal(open_forcing(product, "home", urls)["air_temperature"].values, at_once)
    assert np.isfinite(at_once[100:103, 1:]).all()


def test_units_are_judged_by_the_days_of_the_files_that_lack_them(sources, references, root, monkeypatch):
    for year in (2003, 2004, 2005):
        sources.write(year)
    with xr.open_dataset(sources.path(2004), engine="h5netcdf") as ds:
        celsius = ds.load().assign(t2m=ds["t2m"].variable - 273.15)
    celsius["t2m"].attrs.clear()
    celsius.to_netcdf(sources.path(2004), engine="h5netcdf")
    # Two days of all three years are the first and the last, both of files that have units.
    monkeypatch.setattr("somo.forcing.checked.SAMPLES", 1)
    monkeypatch.setattr("somo.forcing.checked.SAMPLE_DAYS", 2)
    with pytest.raises(ForcingError, match=r"t2m_2004\.nc: t2m has no units, and in the declared 'K' its mean is"):
        references(sources.product(end="2005-12-31"), root)


@pytest.mark.parametrize(
    ("in_file", "declared", "refusal"),
    [
        ("degrees of heat", "K", r"has units 'degrees of heat', which are not understood, and in the declared 'K' its"),
        ("0.1 K", "degC", r"t2m has units '0\.1 K', in which its mean is .* and in the declared 'degC' it is"),
        ("0.1 K", "0.1 K", None),
    ],
)
def test_units_that_nobody_understands_or_that_contradict_are_judged_by_the_mean(
    sources, references, root, in_file, declared, refusal
):
    sources.write(2003)
    with xr.open_dataset(sources.path(2003), engine="h5netcdf") as ds:
        other = ds.load().assign(t2m=(ds["t2m"] - 273.15).assign_attrs(units=in_file))
    other.to_netcdf(sources.path(2003), engine="h5netcdf")
    product = sources.product(end="2003-12-31", source={"units": declared})
    if refusal is None:
        references(product, root)
        return
    with pytest.raises(ForcingError, match=refusal):
        references(product, root)


def test_a_packed_fill_value_that_nobody_declared_is_named_as_it_is_stored(sources, references, root):
    raw = np.full((365, 4, 5), 14_000, "int16")
    raw[40, 1, 2] = -32_768
    packed = {"scale_factor": 0.02, "add_offset": 0.0}
    sources.write(2003, {"_FillValue": None}, values=raw, attrs=packed)
    remedy = r"stored as -32768, a usual number for no value .*missing = \[-655\.3\d+\]"
    with pytest.raises(ForcingError, match=remedy) as refusal:
        _open(sources.product(end="2003-12-31"), references, root)
    number = float(str(refusal.value).partition("missing = [")[2].partition("]")[0])
    values = _open(sources.product(end="2003-12-31", source={"missing": [number]}), references, root)
    assert np.argwhere(np.isnan(values)).tolist() == [[40, 1, 2]]


def _open(product, references, root):
    return open_forcing(product, "home", references(product, root))["air_temperature"].values


def test_a_gap_at_the_end_of_a_source_is_not_told_to_be_filled_by_longer_gaps(sources, references, root):
    values = np.full((365, 4, 5), 280.0)
    values[363:, 1, 2] = np.nan
    sources.write(2003, {"dtype": "float32"}, values=values)
    product = sources.product(end="2003-12-31", source={"gaps": "interpolate", "max_gap_days": 3})
    text = r"2003-12-30 to 2003-12-31 .* at an end of its source, .*; provide these days"
    with pytest.raises(ForcingError, match=text):
        _open(product, references, root)
