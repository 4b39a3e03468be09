"""JSON schema of a declaration, by which editors complete and check its keys."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from somo.product.declaration import Product
from somo.product.keys.meanings import texts_below_fields
from somo.product.keys.tables import TABLES, tables_of_kinds

LIKE = "a table of `flows/products/providers.toml`, whose keys count where none stand beside this one"


def schema() -> str:
    """JSON schema of a declaration, as text."""
    described = Product.model_json_schema(mode="validation")
    described["properties"] = _with_meanings(described["properties"], Product)
    for model in (*TABLES.values(), *tables_of_kinds().values()):
        # Kinds that another package registers are not in the schema.
        if table := described["$defs"].get(model.__name__):
            table["properties"] = _with_meanings(table["properties"], model)
    # In TOML the keys of a source stand beside those of its variable; the models keep them in a table of their own.
    forcing, source = (described["$defs"][name] for name in ("Forcing", "Source"))
    forcing["properties"] = {**source["properties"], **forcing["properties"]}
    del forcing["properties"]["source"]
    # `like` gives what else is required; a product of one variable has the keys of its layer in its own table.
    compared = described["$defs"]["Compared"]["properties"]
    compared.update(described["$defs"]["ComparedLayer"]["properties"])
    for name in ("Forcing", "Source", "Static", "Compared"):
        described["$defs"][name]["properties"]["like"] = {"type": "string", "description": LIKE}
        # What `like` names may hold the required keys, and an editor does not know which of them it holds.
        if required := described["$defs"][name].pop("required", None):
            described["$defs"][name]["anyOf"] = [{"required": ["like"]}, {"required": required}]
    return json.dumps(described, indent=1)


def _with_meanings(properties: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """A table's keys in the JSON schema, each with its meaning as editors show it."""
    meanings = texts_below_fields(model)
    return {key: {**described, "description": meanings[key]} for key, described in properties.items()}
