"""Units in producers' spellings -> ours: hand-computed factors."""

import numpy as np
import pytest

from somo.core.variables import FORCING
from somo.forcing.sources import ForcingError
from somo.forcing.units import conversion, require_declared_units, suggest_units, to_canonical, units_of_values
from somo.product.inputs import Source


def _source(units, **changes):
    return Source.model_validate({"url": "x", "variable": "v", "units": units, **changes})


@pytest.mark.parametrize(
    ("name", "units", "accumulated", "factor", "offset"),
    [
        ("air_temperature", "K", False, 1.0, 0.0),
        ("air_temperature", "degC", False, 1.0, 273.15),
        ("air_temperature", "Celsius", False, 1.0, 273.15),
        ("air_temperature", "degrees C", False, 1.0, 273.15),
        ("air_temperature", "degree_F", False, 5 / 9, 273.15 - 160 / 9),
        ("precipitation", "mm d-1", False, 1.0, 0.0),
        ("precipitation", "mm/day", False, 1.0, 0.0),
        ("precipitation", "kg m-2 day-1", False, 1.0, 0.0),
        ("precipitation", "mm h-1", False, 24.0, 0.0),
        ("precipitation", "mm/hr", False, 24.0, 0.0),
        ("precipitation", "kg m-2 s-1", False, 86_400.0, 0.0),
        ("precipitation", "kg m**-2 s**-1", False, 86_400.0, 0.0),
        ("precipitation", "m", True, 1000.0, 0.0),
        ("precipitation", "m of water equivalent", True, 1000.0, 0.0),
        ("precipitation", "kg m-2", True, 1.0, 0.0),
        ("net_radiation", "W m-2", False, 1.0, 0.0),
        ("net_radiation", "W/m2", False, 1.0, 0.0),
        ("net_radiation", "J m-2", True, 1 / 86_400, 0.0),
        ("net_radiation", "MJ m-2 d-1", False, 1e6 / 86_400, 0.0),
        ("net_radiation", "Wm-2", False, 1.0, 0.0),
        ("net_radiation", "J m-2 3h-1", False, 1 / 10_800, 0.0),
        ("precipitation", "mm/3hr", False, 8.0, 0.0),
        ("precipitation", "kgm-2s-1", False, 86_400.0, 0.0),
        ("precipitation", "mm water", True, 1.0, 0.0),
        ("precipitation", "0.1 mm", True, 0.1, 0.0),
        ("air_temperature", "0.1 degC", False, 0.1, 273.15),
        ("air_temperature", "deg. K", False, 1.0, 0.0),
        ("specific_humidity", "g kg-1", False, 1e-3, 0.0),
        ("soil_moisture", "%", False, 0.01, 0.0),
        # pint would multiply two words: a ten-thousandth
        ("soil_moisture", "percent (%)", False, 0.01, 0.0),
        ("soil_moisture", "Percentage", False, 0.01, 0.0),
        ("soil_moisture", "vol. %", False, 0.01, 0.0),
        ("precipitation", "kg/(m2 s)", False, 86_400.0, 0.0),
        ("precipitation", "kg/(m^2*s)", False, 86_400.0, 0.0),
        ("precipitation", "kg m-2 (3 h)-1", False, 8.0, 0.0),
        ("precipitation", "mm w.e.", True, 1.0, 0.0),
        ("precipitation", "m (water equivalent)", True, 1000.0, 0.0),
        ("precipitation", "1e-1 mm", True, 0.1, 0.0),
        ("net_radiation", "MJ/(m2 d)", False, 1e6 / 86_400, 0.0),
        ("net_radiation", "Watts/m2", False, 1.0, 0.0),
        ("net_radiation", "Wm**-2", False, 1.0, 0.0),
        ("net_radiation", "Ws m-2", True, 1 / 86_400, 0.0),
        ("air_temperature", "0.1 deg C", False, 0.1, 273.15),
        ("air_temperature", "[C]", False, 1.0, 273.15),
        ("air_temperature", "º C", False, 1.0, 273.15),
        ("air_temperature", "deg_K", False, 1.0, 0.0),
        # pint multiplies degrees of an angle with kelvins or coulombs
        ("air_temperature", "deg.K", False, 1.0, 0.0),
        ("air_temperature", "degs C", False, 1.0, 273.15),
        ("air_temperature", "degrees centigrade", False, 1.0, 273.15),
        ("air_temperature", "K @ 273.15", False, 1.0, 273.15),
        ("precipitation", "mm per 3 hours", False, 8.0, 0.0),
        ("precipitation", "MM/Day", False, 1.0, 0.0),
        ("precipitation", "Kg m−2 s−1", False, 86_400.0, 0.0),
        ("precipitation", "1/10 mm", True, 0.1, 0.0),
        ("net_radiation", "ly/day", False, 41_840 / 86_400, 0.0),
        ("soil_moisture", "cm3/100cm3", False, 0.01, 0.0),
    ],
)
def test_factors_by_hand(name, units, accumulated, factor, offset):
    np.testing.assert_allclose(to_canonical(name, FORCING[name], units, accumulated), (factor, offset), rtol=1e-11)


@pytest.mark.parametrize("units", ["mm/3h", "0.1 mm", "0.1 degC"])
def test_units_with_a_factor_are_those_of_a_file_that_has_them(units):
    assert conversion(units, units) == (1.0, 0.0)
    require_declared_units("f.nc", "x", _source(units, frequency="sub-daily"), units)


def test_units_become_those_with_a_factor():
    np.testing.assert_allclose(conversion("K", "0.1 degC"), (10.0, -2731.5))


def test_units_of_another_dimension_are_refused_with_a_hint():
    with pytest.raises(ForcingError, match=r"units 'mm/h' .* rates and no amounts: .*kind = \"mean\""):
        to_canonical("precipitation", FORCING["precipitation"], "mm/h", True)
    with pytest.raises(ForcingError, match=r"forcing\.precipitation: units 'm' .* needs kind = \"accumulated\""):
        to_canonical("precipitation", FORCING["precipitation"], "m", False)
    with pytest.raises(ForcingError, match=r"units 'W m-2' cannot become 'K'; declare forcing\.air_temperature"):
        to_canonical("air_temperature", FORCING["air_temperature"], "W m-2", False)


def test_unknown_units_convert_to_nothing():
    assert conversion("furlongs per fortnight per", "K") is None


def test_a_likely_unit_is_suggested():
    air = FORCING["air_temperature"]
    limits = air.valid_min, air.valid_max
    assert suggest_units(air, "degC", False, 540.0, 570.0, limits) == "K"
    assert suggest_units(air, "K", False, -20.0, 30.0, limits) == "degC"


def test_a_files_own_units_hold_where_they_are_understood():
    assert units_of_values(_source("mm"), "m", True, FORCING["precipitation"]) == ("m", True)
    assert units_of_values(_source("mm"), None, True, FORCING["precipitation"]) == ("mm", True)
    assert units_of_values(_source("mm"), "who knows", True, FORCING["precipitation"]) == ("mm", True)
    assert units_of_values(_source("mm"), "mm/day", True, FORCING["precipitation"]) == ("mm/day", False)
    # Daymet: a sum by its cell methods, in units of a rate
    assert units_of_values(_source("mm/day"), "mm/day", True, FORCING["precipitation"]) == ("mm/day", False)
    assert units_of_values(_source("m"), None, False, FORCING["precipitation"]) == ("m", False)


def test_units_of_another_quantity_contradict_the_declaration():
    require_declared_units("f.nc", "air_temperature", _source("K"), "degrees C")
    require_declared_units("f.nc", "precipitation", _source("mm"), "kg m-2 day-1")
    with pytest.raises(ForcingError, match=r"f\.nc: v has units 'mm', but forcing\.air_temperature declares 'K'"):
        require_declared_units("f.nc", "air_temperature", _source("K"), "mm")
    with pytest.raises(ForcingError, match=r"has units 'mm h-1', but forcing\.\w+ declares 'mm'"):
        require_declared_units("f.nc", "precipitation", _source("mm", frequency="sub-daily"), "mm h-1")
