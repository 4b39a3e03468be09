"""The page of the documentation that lists every key."""

import datetime as dt
import json
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from somo.core.variables import FORCING
from somo.product import inputs
from somo.product.declaration import Product
from somo.product.keys.meanings import texts_below_fields
from somo.product.keys.tables import TABLES, tables_of_kinds

TITLE = """# Every key of a declaration

Tables of files (`forcing`, `static`, `compare`, `source`) also take `like = "provider.table"`: see
[providers' files](providers.md).

Made from the declaration's own models by `make keys`; change those instead. `somo schema` prints the same as a JSON
schema: with `#:schema somo.schema.json` as the first line of a TOML, editors complete and check its keys.
"""
PLAIN_TYPES = {str: "text", int: "whole number", float: "number", bool: "true or false", dt.date: "date"}


def page() -> str:
    """The page of the documentation that lists every table with its keys: meaning, type, default and an example."""
    sections = [
        _section("", Product),
        *(_section(name, model) for name, model in {**TABLES, **tables_of_kinds()}.items()),
    ]
    return "\n".join([TITLE, *sections])


def _section(name: str, model: type[BaseModel]) -> str:
    title = f"## `[{name}]`" if name else "## The file itself"
    meaning = (model.__doc__ or "").split("\n\n    Attributes")[0]
    lines = [line.strip() for line in meaning.strip().splitlines()]
    if model is inputs.Forcing:
        names = ", ".join(f"`{name}` ({quantity.units})" for name, quantity in FORCING.items())
        lines += ["", f"`NAME` is one of {names}, or a name of your own that a `sum_of` or `mean_of` takes."]
    head = ["| key | meaning | type | default | example |", "|---|---|---|---|---|"]
    return "\n".join([title, "", *lines, "", *head, *_rows(model), ""])


def _rows(model: type[BaseModel]) -> Iterator[str]:
    meanings = texts_below_fields(model)
    for key, field in model.model_fields.items():
        # The keys of a forcing variable's source stand in the variable's own table.
        if not (model is inputs.Forcing and key == "source"):
            written = f"{key} = {toml(example(field))}"
            yield f"| `{key}` | {meanings[key]} | {_type(field.annotation)} | {_default(field)} | `{written}` |"


def example(field: FieldInfo) -> Any:
    """What somebody might write for a key: a declared example, or what its type leaves to write beside the default."""
    if field.examples:
        return field.examples[0]
    allowed = _alternatives(field.annotation)
    other = [choice for choice in allowed if choice != field.default]
    return (other or allowed)[-1]


def _alternatives(annotation: Any) -> list[Any]:
    """The values that a type leaves to choose from; of a table, one with an example for each key that it needs."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return list(arguments)
    if annotation is bool:
        return [True, False]
    if origin in (Union, UnionType):
        return [choice for argument in arguments if argument is not NoneType for choice in _alternatives(argument)]
    if origin is tuple:
        return [_alternatives(arguments[0])[:1]]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        needed = {key: field for key, field in annotation.model_fields.items() if field.is_required()}
        return [{key: example(field) for key, field in (needed or annotation.model_fields).items()}]
    raise TypeError(f"{annotation} leaves too much to choose from; give the field examples")


def toml(value: Any) -> str:
    """A value as it stands behind `=` in TOML, on one line."""
    if isinstance(value, dict):
        # A key with a dot would be a table in a table.
        pairs = [f"{json.dumps(key) if '.' in key else key} = {toml(inner)}" for key, inner in value.items()]
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(inner) for inner in value)}]"
    return value.isoformat() if isinstance(value, dt.date) else json.dumps(value)


def _type(annotation: Any) -> str:
    """The type as people write it in TOML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(argument) for argument in arguments if argument is not NoneType))
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return PLAIN_TYPES.get(annotation, str(annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value: Any = (
        field.default if field.default is not PydanticUndefined else field.get_default(call_default_factory=True)
    )
    if isinstance(value, BaseModel) or (isinstance(value, tuple) and value and isinstance(value[0], BaseModel)):
        return "see its table"
    return "" if value in (None, (), {}, "") else f"`{json.dumps(value, default=str)}`"
