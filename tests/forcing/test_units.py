"""Declared units -> ours: hand-computed factors."""

import numpy as np
import pytest

from somo.forcing.sources import ForcingError
from somo.forcing.units import conversion, suggest_units, to_canonical
from somo.product.inputs import Source


def _source(units, **changes):
    return Source.model_validate({"url": "x", "variable": "v", "units": units, **changes})


@pytest.mark.parametrize(
    ("name", "units", "kind", "factor", "offset"),
    [
        ("air_temperature", "K", "instantaneous", 1.0, 0.0),
        ("air_temperature", "degC", "instantaneous", 1.0, 273.15),
        ("precipitation", "mm d-1", "instantaneous", 1.0, 0.0),
        ("precipitation", "mm h-1", "instantaneous", 24.0, 0.0),
        ("precipitation", "kg m-2 s-1", "instantaneous", 86_400.0, 0.0),
        ("precipitation", "kg m**-2 s**-1", "instantaneous", 86_400.0, 0.0),
        ("precipitation", "m", "accumulated", 1000.0, 0.0),
        ("precipitation", "m of water equivalent", "accumulated", 1000.0, 0.0),
        ("precipitation", "kg m-2", "accumulated", 1.0, 0.0),
        ("net_radiation", "W m-2", "instantaneous", 1.0, 0.0),
        ("net_radiation", "J m-2", "accumulated", 1 / 86_400, 0.0),
        ("net_radiation", "MJ m-2 d-1", "instantaneous", 1e6 / 86_400, 0.0),
        ("specific_humidity", "g kg-1", "instantaneous", 1e-3, 0.0),
    ],
)
def test_factors_by_hand(name, units, kind, factor, offset):
    np.testing.assert_allclose(to_canonical(name, _source(units, kind=kind)), (factor, offset), rtol=1e-11)


def test_units_of_another_dimension_are_refused_with_a_hint():
    with pytest.raises(ForcingError, match=r"forcing\.precipitation: units 'm' .* needs kind = \"accumulated\""):
        to_canonical("precipitation", _source("m"))
    with pytest.raises(ForcingError, match=r"units 'W m-2' .* cannot become 'K'; declare forcing\.air_temperature"):
        to_canonical("air_temperature", _source("W m-2"))


def test_unknown_units_convert_to_nothing():
    assert conversion("furlongs per fortnight per", "K") is None


def test_a_likely_unit_is_suggested():
    assert suggest_units("air_temperature", _source("degC"), 540.0, 570.0) == "K"
    assert suggest_units("air_temperature", _source("K"), -20.0, 30.0) == "degC"
