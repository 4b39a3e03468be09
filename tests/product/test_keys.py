"""The page of keys and the JSON schema: both follow from the models."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema

from somo.product.keys import page, schema

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


def test_every_key_of_the_page_has_a_row() -> None:
    text = page()
    for key in ("lookback", "predict_last_n", "tile_lat", "scaling", "walltime", "url"):
        assert f"| `{key}` |" in text
