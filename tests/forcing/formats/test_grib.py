"""GRIB 1 and 2 against cfgrib's and ecCodes' own reading, value for value."""

import eccodes
import numpy as np
import pytest
import xarray as xr

from somo.core.grid import Grid
from somo.forcing.sources import ForcingError
from somo.forcing.statics.field import read_static
from somo.product.static import Static
from tests.forcing.formats.reading import field, scan, values

STEPS = 6


def message(data, edition=2, date=20200131, hour=0, **keys):
    """One message of a field [lat, lon] from north to south."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_ll_sfc_grib{edition}")
    rows, columns = data.shape
    settings = {
        "Ni": columns, "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": 48.05, "longitudeOfFirstGridPointInDegrees": 7.05,
        "latitudeOfLastGridPointInDegrees": round(48.05 - 0.1 * (rows - 1), 2),
        "longitudeOfLastGridPointInDegrees": round(7.05 + 0.1 * (columns - 1), 2), "iDirectionIncrementInDegrees": 0.1,
        "jDirectionIncrementInDegrees": 0.1, "dataDate": date, "dataTime": hour * 100, "shortName": "2t",
        "bitsPerValue": 16,
        "missingValue": 9999, "bitmapPresent": 1, **keys,
    }  # fmt: skip
    for key, value in settings.items():
        if value is not None:
            eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, np.nan_to_num(data.astype("float64"), nan=9999).reshape(-1))
    encoded = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return encoded


def write(path, *messages):
    path.write_bytes(b"".join(messages))
    return path


def hourly(edition, **keys):
    return [message(data, edition, hour=hour, **keys) for hour, data in enumerate(field((STEPS, 4, 5)))]


def test_complex_packing_marks_missing_points_without_a_bitmap(tmp_path):
    data = field((4, 5))
    unmasked = message(data, packingType="grid_complex", bitmapPresent=0, missingValueManagementUsed=1)
    decoded = values(scan(write(tmp_path / "t.grib", unmasked), "2t"))[0]
    assert np.isnan(decoded[0, 0])
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(data))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("edition", "packing"),
    [(1, "grid_simple"), (1, "grid_second_order"), (2, "grid_simple"), (2, "grid_ccsds"), (2, "grid_ieee")],
)
def test_values_times_and_grid_equal_those_of_cfgrib(tmp_path, edition, packing):
    path = write(tmp_path / "t.grib", *hourly(edition, packingType=packing))
    with xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""}) as ds:
        plain, times = ds["t2m"].values, ds["valid_time"].values
        lat, lon = ds["latitude"].values, ds["longitude"].values
    found = scan(path, "2t")
    np.testing.assert_array_equal(values(found), plain)
    assert np.isnan(plain[:, 0, 0]).all()
    np.testing.assert_array_equal(found.times.astype("datetime64[s]"), times)
    np.testing.assert_allclose(found.grid["lat"], lat, atol=1e-6)
    np.testing.assert_allclose(found.grid["lon"], lon, atol=1e-6)
    assert (found.units, found.cell_methods, found.time_bounds) == ("K", "time: point", None)


def test_the_name_in_netcdf_serves_too(tmp_path):
    path = write(tmp_path / "t.grib", *hourly(1))
    np.testing.assert_array_equal(values(scan(path, "t2m")), values(scan(path, "2t")))


def test_accumulations_have_their_intervals(tmp_path):
    """Sums since 00 UTC, as in ERA5-Land, stamped with the end of their interval."""
    sums = [
        message(data, 1, shortName="tp", stepType="accum", stepRange=f"0-{hour}")
        for hour, data in enumerate(abs(field((3, 4, 5))), 22)
    ]
    found = scan(write(tmp_path / "t.grib", *sums), "tp")
    bounds = found.time_bounds.astype("datetime64[s]").astype(str).tolist()
    assert bounds[0] == ["2020-01-31T00:00:00", "2020-01-31T22:00:00"]
    assert bounds[2] == ["2020-01-31T00:00:00", "2020-02-01T00:00:00"]
    assert found.times.astype("datetime64[s]").astype(str).tolist()[2] == "2020-02-01T00:00:00"
    assert found.cell_methods == "time: sum"


def test_other_variables_levels_and_members_are_told_apart(tmp_path):
    layers = [
        message(field((4, 5), seed=level), 2, shortName="t", typeOfLevel="isobaricInhPa", level=level)
        for level in (850, 500)
    ]
    path = write(tmp_path / "t.grib", *hourly(2), *layers)
    with pytest.raises(ForcingError, match=r"for several level \(500, 850\); choose one: select = \{ level = 500 \}"):
        scan(path, "t")
    got = values(scan(path, "t", select={"level": 850}))
    np.testing.assert_allclose(got[0], field((4, 5), seed=850), atol=1e-2)
    with pytest.raises(ForcingError, match=r"no variable 'sst'; it has 2t, t: correct forcing\.air_temperature"):
        scan(path, "sst")
    with pytest.raises(ForcingError, match=r"no level 700 of t; it has 500, 850"):
        scan(path, "t", select={"level": 700})


@pytest.mark.parametrize("keys", [{"jScansPositively": 1}, {"iScansNegatively": 1}, {"jPointsAreConsecutive": 1}])
def test_every_direction_of_the_points(tmp_path, keys):
    """The points lie elsewhere, so that values and coordinates together must still be ecCodes' own."""
    data = field((4, 5))
    if "jScansPositively" in keys:
        keys = {**keys, "latitudeOfFirstGridPointInDegrees": 47.75, "latitudeOfLastGridPointInDegrees": 48.05}
    if "iScansNegatively" in keys:
        keys = {**keys, "longitudeOfFirstGridPointInDegrees": 7.45, "longitudeOfLastGridPointInDegrees": 7.05}
    encoded = message(data, 2, **keys)
    handle = eccodes.codes_new_from_message(encoded)
    points = {(round(p["lat"], 2), round(p["lon"], 2)): p["value"] for p in eccodes.codes_grib_get_data(handle)}
    eccodes.codes_release(handle)
    found = scan(write(tmp_path / "t.grib", encoded), "2t")
    got = values(found)[0]
    for row, lat in enumerate(found.grid["lat"]):
        for column, lon in enumerate(found.grid["lon"]):
            value = points[round(lat, 2), round(lon, 2)]
            assert got[row, column] == np.float32(value) or (np.isnan(got[row, column]) and value == 9999)


def test_a_rotated_grid_is_no_degrees(tmp_path):
    handle = eccodes.codes_grib_new_from_samples("rotated_ll_sfc_grib2")
    eccodes.codes_set(handle, "shortName", "2t")
    encoded = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    found = scan(write(tmp_path / "t.grib", encoded), "2t")
    assert found.grid["kind"] == "rotated"
    assert found.grid["grid_mapping"]["grid_mapping_name"] == "rotated_latitude_longitude"


@pytest.mark.parametrize("edition", [1, 2])
def test_rows_of_a_gaussian_grid_are_its_own(tmp_path, edition):
    """Headers do not say how far its rows are apart."""
    handle = eccodes.codes_grib_new_from_samples(f"regular_gg_sfc_grib{edition}")
    drawn = np.random.default_rng(1).uniform(250, 310, 64 * 128)
    eccodes.codes_set(handle, "bitsPerValue", 16)
    eccodes.codes_set_values(handle, drawn)
    encoded, rows = eccodes.codes_get_message(handle), eccodes.codes_get_array(handle, "distinctLatitudes")
    eccodes.codes_release(handle)
    found = scan(write(tmp_path / "t.grib", encoded), "t")
    np.testing.assert_allclose(found.grid["lat"], np.sort(rows)[::-1])
    np.testing.assert_allclose(values(found)[0].ravel(), drawn, atol=1e-3)


def test_a_reduced_grid_is_refused_with_a_remedy(tmp_path):
    handle = eccodes.codes_grib_new_from_samples("reduced_gg_sfc_grib2")
    encoded = eccodes.codes_get_message(handle)
    name = eccodes.codes_get(handle, "shortName")
    eccodes.codes_release(handle)
    with pytest.raises(ForcingError, match=r"grid of the kind 'reduced_gg'; get it on regular latitudes"):
        scan(write(tmp_path / "t.grib", encoded), name)


def test_a_truncated_file_is_named(tmp_path):
    path = write(tmp_path / "t.grib", *hourly(2))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ForcingError, match=r"t\.grib: is truncated: the message at byte \d+ has"):
        scan(path, "2t")


def test_padding_between_messages_is_skipped(tmp_path):
    path = write(tmp_path / "t.grib", b"\r\r\nTTAA00\r\r\n", *(part + b"\0" * 7 for part in hourly(1)))
    assert values(scan(path, "2t")).shape == (STEPS, 4, 5)


def test_steps_of_minutes_have_times_and_intervals_of_their_own(tmp_path):
    """Radar and regional models: ecCodes does not give half an hour in hours."""
    rates = [
        message(data, indicatorOfUnitOfTimeRange=0, forecastTime=30 * n) for n, data in enumerate(field((3, 4, 5)))
    ]
    times = scan(write(tmp_path / "t.grib", *rates), "2t").times.astype("datetime64[s]")
    assert (times == np.datetime64("2020-01-31", "s") + np.arange(3) * np.timedelta64(30, "m")).all()
    sums = [
        message(data, shortName="tp", stepType="accum", stepUnits="m", stepRange=f"{30 * n}m-{30 * n + 30}m")
        for n, data in enumerate(abs(field((2, 4, 5))))
    ]
    bounds = scan(write(tmp_path / "s.grib", *sums), "tp").time_bounds
    assert (bounds - bounds[0, 0]).tolist() == [[0, 1800], [1800, 3600]]


def test_one_name_in_two_units_is_refused(tmp_path):
    """Both are `tp`, in metres and in kg m-2."""
    rain = abs(field((4, 5)))
    both = message(rain, 1, shortName="tp"), message(rain, date=20200201, shortName=None, paramId=228228)
    with pytest.raises(ForcingError, match=r"has tp in several units \(kg m\*\*-2, m\)"):
        scan(write(tmp_path / "t.grib", *both), "tp")


def test_soil_layers_begin_at_parts_of_a_metre(tmp_path):
    """As NCEP's models write them; ecCodes gives the level of each as 0 where it is asked for an integer."""
    layers = [
        message(
            field((4, 5), seed=top), discipline=2, shortName=None, parameterCategory=0, parameterNumber=25,
            typeOfFirstFixedSurface=106, scaleFactorOfFirstFixedSurface=2, scaledValueOfFirstFixedSurface=top,
            typeOfSecondFixedSurface=106, scaleFactorOfSecondFixedSurface=2, scaledValueOfSecondFixedSurface=bottom,
        )
        for top, bottom in ((0, 10), (10, 40))
    ]  # fmt: skip
    path = write(tmp_path / "soil.grib", *layers)
    with pytest.raises(ForcingError, match=r"for several level \(0, 0\.1\); choose one: select = \{ level = 0 \}"):
        scan(path, "vsw")
    deeper = values(scan(path, "vsw", select={"level": 0.1}))[0]
    np.testing.assert_allclose(deeper, field((4, 5), seed=10), atol=1e-2)


def test_sums_since_two_times_that_end_together_are_named(tmp_path):
    """NCEP's files hold the rain of the last hours beside that of the whole run."""
    sums = [message(abs(field((4, 5))), shortName="tp", stepType="accum", stepRange=steps) for steps in ("0-9", "6-9")]
    with pytest.raises(ForcingError, match=r"has tp for 2020-01-31T09:00:00 from .* step 0-9 and from .* step 6-9; "):
        scan(write(tmp_path / "s.grib", *sums), "tp")


@pytest.mark.parametrize(("select", "wanted"), [({"level": 7}, 1), ({"level": 28, "time": "2020-02-01"}, 2)])
def test_a_static_feature_is_one_of_several_fields(tmp_path, select, wanted):
    data = field((4, 5))[1:, 1:]
    levels = (0, 7, 28)
    dates = (20200131, 20200201) if "time" in select else (20200131,)
    messages = [
        message(data + n, 1, date, shortName="swvl1", indicatorOfTypeOfLevel=111, level=level)
        for date in dates
        for n, level in enumerate(levels)
    ]
    url = str(write(tmp_path / "soil.grib", *messages))
    grid = Grid.regular(7.0, 7.4, 47.8, 48.1, 0.1)
    soil = read_static("soil", Static(url=url, variable="swvl1", select=select), "home", grid)
    np.testing.assert_allclose(soil, data + wanted, atol=0.01)
