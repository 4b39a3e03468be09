"""What is known of providers' files: every table is one that a declaration takes, and keys beside `like` win."""

import pytest

from flows.environment import load_product, read_providers
from somo.product.declaration import ProductError
from somo.product.inputs import Source
from somo.product.method import Compared
from somo.product.providers import FOR_PEOPLE, table_of
from somo.product.static import Static

DECLARATION = """
name = "likes"
period = { start = 2020-01-01, end = 2020-12-31 }
grid = { kind = "regular", west = 10, east = 11, south = 50, north = 51, step_deg = 0.1 }
[targets]
scaling = "reference"
[[targets.reference]]
top_m = 0.0
bottom_m = 0.07
source = { like = "era5-land.swvl1", url = "r_{year}.nc" }
[forcing.precipitation]
like = "era5-land.tp"
url = "tp_{year}.nc"
regrid = "nearest"
[static.forest]
like = "esa-cci-landcover.forest"
url = "lc.nc"
[[insitu]]
name = "X"
url = "x.zip"
"""


def tables():
    for provider, table in read_providers().items():
        names = [name for name, value in table.items() if isinstance(value, dict)]
        yield from (f"{provider}.{name}" for name in names)
        if not names:
            yield provider


@pytest.mark.parametrize("like", list(tables()))
def test_every_table_is_one_that_a_declaration_takes(like):
    keys = {**table_of(like, read_providers()), "url": "file.nc"}
    model = Compared if keys.keys() & {"layers", "top_m"} else Static if "within_cell" in keys else Source
    assert model.model_validate({**keys, **({"name": "other"} if model is Compared else {})})


def test_every_provider_says_where_its_files_are_and_on_what_terms():
    for provider, table in read_providers().items():
        assert {"title", "where", "licence"} <= table.keys(), provider
        assert set(FOR_PEOPLE) - table.keys() <= {"note", "files", "step_deg"}, provider


def test_keys_beside_like_win(tmp_path):
    path = tmp_path / "likes.toml"
    path.write_text(DECLARATION)
    product = load_product(path)
    rain = product.forcing["precipitation"].source
    assert (rain.variable, rain.units, rain.accumulation, rain.regrid) == ("tp", "m", "day", "nearest")
    assert product.targets.reference[0].source.variable == "swvl1"
    assert product.static["forest"].within_cell == "fraction"


@pytest.mark.parametrize(
    ("like", "told"),
    [
        ("era5-lamd.tp", r"forcing\.precipitation\.like = 'era5-lamd\.tp': no such provider; there are era5-land"),
        ("era5-land.rain", r"era5-land has era5-land\.skt, .*era5-land\.tp"),
    ],
)
def test_an_unknown_table_is_refused_with_those_there_are(tmp_path, like, told):
    path = tmp_path / "likes.toml"
    path.write_text(DECLARATION.replace('like = "era5-land.tp"', f'like = "{like}"'))
    with pytest.raises(ProductError, match=told):
        load_product(path)
