"""Product declarations: what is read, and what every mistake is told."""

import datetime as dt
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.environment import read_providers
from flows.stages.reference_model import _as_forcing
from somo.product.declaration import Product, ProductError, content_hash
from somo.product.method import Chunks, Sequence
from somo.product.toml_file import read_product
from somo.product.toml_lines import line_of

GOOD = """
name = "Test"
period = { start = 2003-01-01, end = 2004-12-31 }
grid = { kind = "regular", west = 0, east = 2, south = 50, north = 51, step_deg = 0.5 }
domains.us.grid = { kind = "forcing", step_deg = 0.1 }
targets = { scaling = "pooled" }

[forcing.precipitation]
url = "${SOMO_DATA}/{domain}/tp_{year}{month}.nc"
variable = "tp"
units = "m"
frequency = "sub-daily"
kind = "accumulated"

[forcing.net_shortwave]
url = "${SOMO_DATA}/ssr_{year}.nc"
variable = "ssr"
units = "J m-2"
input = false

[forcing.net_radiation]
sum_of = ["net_shortwave"]

[static.sand]
url = "${SOMO_DATA}/static.nc"
variable = "sand"

[static.aridity]
computed = "aridity"

[[insitu]]
name = "A"
url = "${SOMO_DATA}/a.zip"
"""


def read(tmp_path: Path, text: str) -> Product:
    path = tmp_path / "product.toml"
    path.write_text(text)
    return read_product(path, {"SOMO_DATA": "s3://bucket"})


def test_a_declaration_becomes_frozen_values(tmp_path: Path) -> None:
    product = read(tmp_path, GOOD)
    assert product.period.start == dt.date(2003, 1, 1)
    assert product.inputs == ("precipitation", "net_radiation")
    assert product.sources["precipitation"].url == "s3://bucket/{domain}/tp_{year}{month}.nc"
    assert list(product.grids()) == ["home", "us"]
    assert [layer.depth_m for layer in product.layers] == [0.05, 0.2, 0.4]
    with pytest.raises(ValueError, match="frozen"):
        product.name = "Other"


OTHER = '{ name = "Other", url = "o_{year}.nc", variable = "sm", top_m = 0, bottom_m = 0.1 }'
MISTAKES = [
    ('units = "m"', 'units = "m"\nunit = "m"',
     r"tation\.unit = 'm' is unknown; allowed here: .*input.*units, url, variable"),
    ("step_deg = 0.1 }", "step_deg = 0.1, west = 3 }",
     r"domains\.us\.grid\.west = 3 is .*allowed here: kind, step_deg$"),
    ("step_deg = 0.5 }", "step_deg = 0.5, top = 3 }",
     r"grid\.top = 3 .*allowed here: east, kind, north, south, step_deg, west$"),
    ('name = "A"', 'name = "A"\nmin_daily = 6',
     "min_daily = 6 .*allowed here: format, min_subdaily, name, role, url"),
    ('name = "Test"', "",
     r"product\.toml: name is missing; add it"),
    ('name = "Test"', 'name = "Test"\nsurprise = 1',
     "surprise = 1 is unknown; allowed here: checks, chunks, "),
    ('scaling = "pooled"', 'scaling = "best"',
     "scaling = 'best': Input should be 'reference', 'pooled' or 'none'"),
    ('scaling = "pooled"', 'scaling = "reference"',
     r'"reference", the default, .*no \[\[targets\.reference\]\] is declared.*scaling = "pooled"'),
    ("end = 2004-12-31", "end = 2001-12-31",
     "end 2001-12-31 lies before start 2003-01-01"),
    ("east = 2", "east = 2.2",
     r"longitude 0\.0\.\.2\.2 is not a whole number of cells of 0\.5 degrees"),
    ("east = 2", "east = -2",
     r"longitude 0\.0\.\.-2\.0 runs backward; swap the edges"),
    ("west = 0, east = 2", "west = 177, east = -178",
     r"runs backward; swap the edges, or write 182 for -178 where cells lie across the date line"),
    ("east = 2", "east = 361",
     r"longitude 0\.0\.\.361\.0 goes around the globe more than once; give 360 degrees at most"),
    ("{year}{month}", "{hour}",
     r"has \{hour\}; allowed are \{year\}, \{month\}, \{day\}"),
    ("{year}{month}", "{month}",
     r"has \{month\} without \{year\}"),
    ("[forcing.net_shortwave]", "[forcing.sunshine]",
     r"forcing\.sunshine is unknown; allowed are air_t"),
    ('sum_of = ["net_shortwave"]', 'sum_of = ["net_longwave"]',
     "sum_of names 'net_longwave', which has no"),
    ('computed = "aridity"', 'computed = "mean"',
     'computed = "mean" needs of = the name of a forcing'),
    ("${SOMO_DATA}/a.zip", "${SOMO_ELSEWHERE}/a.zip",
     "environment variable SOMO_ELSEWHERE is not set; export SOMO_ELSEWHERE="),
    ("${SOMO_DATA}/a.zip", "${AWS_SECRET_ACCESS_KEY}",
     "variables that begin with SOMO_ and hold no secret, not AWS_SECRET_ACCESS_KEY"),
    ("${SOMO_DATA}/a.zip", "${SOMO_API_TOKEN}",
     "hold no secret, not SOMO_API_TOKEN"),
    ('name = "Test"', 'name = "${SOMO_DATA}"',
     "variables stand in url, root alone; write the value into name"),
    ("targets", "layers = [{ name = 'a', top_m = 0.3, bottom_m = 0.1 }]\ntargets",
     r"bottom_m 0\.1 must lie below top_m 0\.3"),
    ("targets", "checks = { valid_max = 1.5 }\ntargets",
     r"checks\.valid_max = 1\.5: Input should be less than or equal to 1"),
    ("targets", "checks = { min_coverage = 0.9, max_coverage = 0.5 }\ntargets",
     r"min_coverage 0\.9 lies above max_coverage 0\.5; swap them"),
    ("targets", "checks = { valid_min = 0.5, valid_max = 0.1 }\ntargets",
     r"valid_min 0\.5 lies above valid_max 0\.1; swap them"),
    ("targets", "drought = { every_days = 366 }\ntargets",
     r"drought\.every_days = 366: Input should be less than or equal to 365"),
    ("targets", "drought = { window_days = 366, min_years = 3 }\ntargets",
     "window_days 366 leave fewer than two windows of a season in min_years 3; give at most 365 days"),
    ("targets", "chunks = { lat = 7, tile_lat = 20 }\ntargets",
     "tile_lat 20 is not a multiple of the chunk"),
    ("domains.us.grid", "domains.home.grid",
     r"domains\.home bears the name of the domain that is predicted"),
    ("targets", f"compare = [{OTHER}, {OTHER}]\ntargets",
     "compare names 'Other' twice"),
    ("targets", f"compare = [{OTHER.replace('top_m = 0,', 'top_m = 0.2,')}]\ntargets",
     r"bottom_m 0\.1 must lie below top_m 0\.2"),
    ("targets", f"compare = [{OTHER.replace('o_{year}', 'o_{year}{domain}')}]\ntargets",
     r"url 'o_\{year\}\{domain\}\.nc' has \{domain\}; "
     r"allowed are \{year\}, \{month\}, \{day\}, \{doy\}, \{variable\}, \* and \?"),
    ("targets", "layers = [{ name = 'a', top_m = 0, bottom_m = 10 }]\ntargets",
     r"bottom_m 10 lies deeper than 4 m; depths are metres, so that 10 cm are 0\.1"),
    ("[[insitu]]", "[insitu]",
     r"insitu may stand there several times; write its header with two brackets, as \[\[insitu\]\]"),
    ("[[insitu]]", '[[insitu]]\nname = "A"\nurl = "b.zip"\n[[insitu]]',
     "insitu names 'A' twice; give each archive a name of its own"),
    ("a.zip\"", 'a.zip"\nrole = "independent"',
     'every archive is independent; declare one to learn from, with role = "training"'),
    ("${SOMO_DATA}/a.zip", r"C:\Users\me\a.zip",
     r"not valid TOML: .*at line 33.*write paths with /, or in single quotes"),
    ("2003-01-01", "2003-1-1",
     r"not valid TOML: .*; write days as 2018-01-31"),
    ('name = "Test"', "name = Test",
     r"product\.toml: not valid TOML"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_every_mistake_is_told_with_file_key_value_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(ProductError, match=message) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert "product.toml" in str(caught.value)


LINES = [
    ('units = "m"', 'unit = "m"', 11, r"precipitation\.unit = 'm' is unknown; .*did you mean units\?"),
    ('units = "m"', "", 8, r"precipitation\.units is missing"),
    ("[forcing.net_shortwave]", "[forcing.net_shortwafe]", 15, r"shortwafe is unknown; .*did you mean net_shortwave\?"),
    ('name = "A"', 'name = "A"\n\nmin_daily = 6', 34, r"insitu\.0\.min_daily = 6 .*did you mean min_subdaily\?"),
    ('scaling = "pooled"', 'scaling = "pool"', 6, r"targets\.scaling = 'pool': .*did you mean pooled\?"),
    ("step_deg = 0.5 }", "stepdeg = 0.5 }", 4, r"grid\.stepdeg .*did you mean step_deg\?"),
    ("${SOMO_DATA}/a.zip", "${SOMO_ELSEWHERE}/a.zip", 33, r"insitu\.url = .*SOMO_ELSEWHERE is not set"),
    ("targets", 'layers = [\n  { name = "a", top_m = 0, bottom_m = 0.1 },\n  { name = "b", top = 1 },\n]\ntargets',
     8, r"layers\.1\.top = 1 is unknown"),
    ("east = 2,", "east = 2.2,", 4, r"grid: longitude"),
    ("targets", "chunks.days = 7\ntargets", 6, r"chunks\.days 7 is not a multiple"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), LINES)
def test_a_mistake_is_told_with_its_line_and_the_nearest_word(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    with pytest.raises(ProductError, match=rf"product\.toml: line {line}: .*{message}"):
        read(tmp_path, GOOD.replace(old, new, 1))


def test_the_line_of_a_key_in_a_list_of_tables_with_tables_of_their_own() -> None:
    text = 'a = 1\n[[b]]\nc = 1\n[[b]]\nd = """\n[e]\n"""\n[b.f]\n"g h" = 2\n'
    places = {("b", 0, "c"): 3, ("b", 1, "d"): 5, ("b", 1, "f", "g h"): 9, ("b", 1, "new"): 4, ("e",): None}
    assert {place: line_of(text, place) for place in places} == places


def test_all_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    with pytest.raises(ProductError) as caught:
        read(tmp_path, GOOD.replace('name = "Test"', 'wrong = 1\nalso = "x"'))
    assert len(str(caught.value).splitlines()) == 3


def test_a_declaration_is_utf_8_with_a_mark_or_without(tmp_path: Path) -> None:
    text = GOOD.replace('name = "Test"', 'name = "Test"\npublication.title = "Böden"')
    path = tmp_path / "product.toml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_product(path, {"SOMO_DATA": "/data"}).publication.title == "Böden"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ProductError, match=r"product\.toml: line 3: not UTF-8, as TOML has to be; save it"):
        read_product(path, {"SOMO_DATA": "/data"})


def test_a_missing_file_is_told() -> None:
    with pytest.raises(ProductError, match=r"nowhere\.toml: cannot be read .*give the path of a product TOML"):
        read_product("/nowhere.toml")


@pytest.mark.parametrize("name", ["demo.toml", "europe.toml"])
def test_the_declared_products_are_valid(name: str) -> None:
    path = Path(str(files("flows") / "products" / name))
    text = path.read_text()
    names = {part.split("}")[0] for part in text.split("${")[1:]}
    product = read_product(path, dict.fromkeys(names, "s3://bucket"), read_providers())
    assert product.name.startswith("SoMo.ml-")


@pytest.mark.parametrize("name", ["demo.toml", "europe.toml"])
def test_the_reference_model_of_a_declared_product_is_read_by_a_valid_declaration(name: str) -> None:
    """Whatever a product declares for its own forcing must not be asked of the reference model's."""
    path = Path(str(files("flows") / "products" / name))
    names = {part.split("}")[0] for part in path.read_text().split("${")[1:]}
    product = read_product(path, dict.fromkeys(names, "s3://bucket"), read_providers())
    for layer in product.targets.reference:
        assert _as_forcing(product, layer.source).inputs == ("soil_moisture",)


def test_equal_declarations_have_equal_names(tmp_path: Path) -> None:
    first, second = read(tmp_path, GOOD), read(tmp_path, GOOD.replace("tp_", "tq_"))
    assert content_hash(first) == content_hash(read(tmp_path, GOOD + "\n# a comment\n"))
    assert content_hash(first) != content_hash(second) and len(content_hash(first)) == 16
    assert content_hash("a", "b") != content_hash("ab")


def test_a_changed_copy_is_checked_like_the_first(tmp_path: Path) -> None:
    product = read(tmp_path, GOOD)
    with pytest.raises(ValidationError, match=r"not a multiple of sequence\.predict_last_n"):
        product.model_copy(update={"chunks": Chunks(days=30), "sequence": Sequence(predict_last_n=7)})
    with pytest.raises(ValidationError, match="extra"):
        product.sequence.model_copy(update={"lockback": 3})


def test_settings_of_another_kind_of_cluster_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"cluster\.queue = 'compute' is unknown; allowed here: gpu_workers, kind"):
        read(tmp_path, GOOD + '\n[cluster]\nqueue = "compute"\n')
    with pytest.raises(ProductError, match="allowed are local, address, kubernetes, slurm"):
        read(tmp_path, GOOD + '\n[cluster]\nkind = "cloud"\n')
