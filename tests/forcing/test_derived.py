"""Signed sums and means by hand, declared and read."""

import numpy as np
import pytest
from pydantic import ValidationError

from somo.forcing.dataset import open_forcing, provisional_days
from somo.forcing.derived import mean, signed_sum
from somo.forcing.sources import ForcingError


def test_signed_sums_and_means_by_hand():
    values = {"a": np.array([3.0]), "b": np.array([1.0]), "c": np.array([2.0])}
    assert signed_sum(["a", "-b", "c"], values)[0] == 4
    assert signed_sum(["-a", "+b"], values)[0] == -2
    assert mean(["a", "b", "c"], values)[0] == 2


def _flux(sources, name, value):
    sources.write(2003, {"dtype": "float32"}, units="W m-2", values=np.full((365, 4, 5), value), name=name)
    return {"url": f"{sources.folder}/{name}_{{year}}.nc", "variable": "t2m", "units": "W m-2", "input": False}


def test_upward_fluxes_are_subtracted(sources, references, root):
    forcing = {
        "downward_shortwave": _flux(sources, "sd", 200.0),
        "upward_shortwave": _flux(sources, "su", 40.0),
        "downward_longwave": _flux(sources, "ld", 300.0),
        "upward_longwave": _flux(sources, "lu", 370.0),
        "net_radiation": {
            "sum_of": ["downward_shortwave", "-upward_shortwave", "downward_longwave", "-upward_longwave"]
        },
    }
    product = sources.product(
        end="2003-12-31", forcing=forcing, static={"r": {"computed": "mean", "of": "net_radiation"}}
    )
    ds = open_forcing(product, "home", references(product, root))
    np.testing.assert_array_equal(ds["net_radiation"].values, 90.0)


def test_the_mean_of_extremes_may_have_names_of_their_own(sources, references, root):
    coldest = np.full((365, 4, 5), 275.0)
    lowest, highest = ({"cell_methods": f"time: {extreme}"} for extreme in ("minimum", "maximum"))
    sources.write(2003, {"dtype": "float32"}, values=coldest, name="tn", attrs=lowest)
    warmest = coldest + 10 - 273.15
    sources.write(2003, {"dtype": "float32"}, values=warmest, name="tx", units="Celsius", attrs=highest)
    forcing = {
        "tmin": {"url": f"{sources.folder}/tn_{{year}}.nc", "variable": "t2m", "units": "K"},
        "tmax": {"url": f"{sources.folder}/tx_{{year}}.nc", "variable": "t2m", "units": "degC"},
        "air_temperature": {"mean_of": ["tmin", "tmax"]},
    }
    product = sources.product(end="2003-12-31", forcing=forcing)
    assert product.inputs == ("air_temperature",)
    ds = open_forcing(product, "home", references(product, root))
    np.testing.assert_allclose(ds["air_temperature"].values, 280.0, rtol=1e-6)
    assert ds["tmin"].attrs["units"] == "K"


def test_the_warmest_of_a_day_is_no_air_temperature_unless_it_is_meant(sources, references, root):
    sources.write(2003, attrs={"cell_methods": "time: maximum"})
    with pytest.raises(ForcingError, match=r"t2m_2003\.nc: t2m is the maximum of each step .*mean_of"):
        references(sources.product(end="2003-12-31"), root)
    meant = sources.product(end="2003-12-31", source={"kind": "mean"})
    ds = open_forcing(meant, "home", references(meant, root))
    np.testing.assert_allclose(ds["air_temperature"].values, sources.plain(2003), rtol=1e-6)


def test_a_term_without_a_source_is_refused(sources):
    with pytest.raises(ValidationError, match="sum_of names 'upward_shortwave', which has no"):
        sources.product(forcing={"net_radiation": {"sum_of": ["-upward_shortwave"]}})


def test_terms_of_other_units_are_refused(sources):
    with pytest.raises(ValidationError, match="sum_of names 'precipitation', which is in mm d-1, but net_radiation is"):
        rain = {"url": f"{sources.folder}/tp_{{year}}.nc", "variable": "tp", "units": "mm"}
        sources.product(forcing={"precipitation": rain, "net_radiation": {"sum_of": ["precipitation"]}})


def _days(first, n):
    return (np.datetime64(first, "D") + np.arange(n)).astype("datetime64[ns]")


def test_a_source_continues_where_the_one_before_ends(sources, references, root):
    sources.write(2003, {"dtype": "float32"}, time=_days("2003-01-01", 100), values=np.full((100, 4, 5), 280.0))
    late = {"dtype": "float32"}
    sources.write(2003, late, time=_days("2003-03-01", 100), values=np.full((100, 4, 5), 290.0), name="era5t")
    declared = {"url": f"{sources.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "K"}
    then = [
        {**declared, "url": f"{sources.folder}/era5t_{{year}}.nc"},
        {**declared, "url": f"{sources.folder}/forecast_{{year}}.nc"},
    ]
    product = sources.product(end=None, forcing={"air_temperature": {**declared, "then": then}})
    urls = references(product, root)
    assert set(urls) == {"air_temperature", "air_temperature.then.1"}
    values = open_forcing(product, "home", urls)["air_temperature"]
    assert values.sizes["time"] == 31 + 28 + 100
    np.testing.assert_array_equal(values.values[:100], 280.0)
    np.testing.assert_array_equal(values.values[100:], 290.0)
    provisional = provisional_days(product, urls)
    assert str(provisional[0]) == "2003-04-11"
    assert len(provisional) == 59


def test_a_gap_between_two_sources_is_refused(sources, references, root):
    sources.write(2003, {"dtype": "float32"}, time=_days("2003-01-01", 100), values=np.full((100, 4, 5), 280.0))
    sources.write(2003, {"dtype": "float32"}, time=_days("2003-05-01", 9), values=np.full((9, 4, 5), 290.0), name="x")
    declared = {"url": f"{sources.folder}/t2m_{{year}}.nc", "variable": "t2m", "units": "K"}
    then = [{**declared, "url": f"{sources.folder}/x_{{year}}.nc"}]
    product = sources.product(end=None, forcing={"air_temperature": {**declared, "then": then}})
    text = r"air_temperature\.then\.1: begins on 2003-05-01, .*on 2003-04-10; provide 2003-04-11 to 2003-04-30 in"
    with pytest.raises(ForcingError, match=text):
        open_forcing(product, "home", references(product, root))
