"""The page of keys and the JSON schema: both follow from the models."""

import importlib
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

import jsonschema
import pytest
from pydantic import BaseModel, TypeAdapter

from somo.product.declaration import Product
from somo.product.inputs import Forcing
from somo.product.keys.meanings import texts_below_fields
from somo.product.keys.page import example, page, toml
from somo.product.keys.schema import schema
from somo.product.keys.tables import TABLES, tables_of_kinds

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_keys_is_that_of_the_models() -> None:
    assert (DOCS / "keys.md").read_text() == page(), "run make keys"


def test_the_shipped_schema_is_that_of_the_models_and_the_shipped_declarations_name_it() -> None:
    products = Path(str(files("flows") / "products"))
    assert (products / "somo.schema.json").read_text() == schema() + "\n", "run make keys"
    for name in ("demo.toml", "europe.toml"):
        assert (products / name).read_text().startswith("#:schema somo.schema.json\n")


def test_the_schema_accepts_the_demo_and_refuses_an_unknown_key() -> None:
    declared = tomllib.loads((files("flows") / "products" / "demo.toml").read_text())
    # TOML has dates where JSON has text.
    declared = json.loads(json.dumps(declared, default=str))
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    unknown = {**declared, "lockback": 3}
    assert [error.validator for error in validator.iter_errors(unknown)] == ["additionalProperties"]


def test_the_schema_requires_layers_only_where_nothing_like_them_is_named() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    declared = tomllib.loads((files("flows") / "products" / "demo.toml").read_text())
    declared = json.loads(json.dumps(declared, default=str))
    del declared["compare"][0]["like"]
    assert [list(error.path) for error in validator.iter_errors(declared)] == [["compare", 0]]


def models():
    """Every table that the page lists."""
    return [Product, *TABLES.values(), *tables_of_kinds().values()]


def test_every_key_has_its_row_with_a_meaning_and_an_example() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \| `(.*)` \|$", page(), flags=re.MULTILINE)
    keys = [key for model in models() for key in model.model_fields if (model, key) != (Forcing, "source")]
    assert sorted(key for key, _, _ in rows) == sorted(keys)
    for key, meaning, written in rows:
        assert meaning.endswith(".") and len(meaning) > 5, f"{key}: {meaning!r} is no sentence"
        assert list(tomllib.loads(written)) == [key]


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_example_is_one_that_its_key_takes_and_not_its_default(model: type[BaseModel]) -> None:
    for key, field in model.model_fields.items():
        written = tomllib.loads(f"{key} = {toml(example(field))}")[key]
        taken = TypeAdapter(Annotated[field.annotation, field]).validate_python(written)
        only_choice = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        assert only_choice or taken != field.get_default(call_default_factory=True), f"{key} = {written}"


def test_editors_are_told_what_every_key_means() -> None:
    described = json.loads(schema())
    for name, table in {"the file": described, **described["$defs"]}.items():
        silent = [key for key, told in table["properties"].items() if not told.get("description")]
        assert not silent, f"{name}: {silent}"


def test_a_key_without_a_meaning_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = '''from somo.product.declared import Declared\n
class Soil(Declared):
    """A soil."""

    sand: float = 0.4
    """Share of sand."""
    clay: float = 0.2
'''
    (tmp_path / "soil_without_meaning.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    soil = importlib.import_module("soil_without_meaning").Soil
    with pytest.raises(LookupError, match=r"Soil\.clay has no text below it"):
        texts_below_fields(soil)
