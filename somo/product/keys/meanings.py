"""The texts that stand below the fields of a declaration's tables.

pydantic reads them itself with `use_attribute_docstrings`, when a class is made: that parses every module anew for each
of its classes and costs a third of a second in every process that imports the declaration (measured), workers included.
Only the page of keys and the JSON schema need them.
"""

import ast
import inspect
import sys
from functools import lru_cache

from pydantic import BaseModel


def texts_below_fields(model: type[BaseModel]) -> dict[str, str]:
    """Meaning of each key of a table, those of its base classes included.

    Returns
    -------
    key -> text on one line

    Raises
    ------
    LookupError
        naming a key that has no text below it
    """
    texts: dict[str, str] = {}
    for described in reversed(model.__mro__):
        if issubclass(described, BaseModel) and described is not BaseModel:
            texts |= _texts_of_module(described.__module__).get(described.__name__, {})
    if missing := model.model_fields.keys() - texts.keys():
        raise LookupError(f"{model.__name__}.{sorted(missing)[0]} has no text below it that says what it means")
    return texts


@lru_cache
def _texts_of_module(module: str) -> dict[str, dict[str, str]]:
    """Name of a class -> name of a field -> the text below it."""
    classes = [
        node for node in ast.parse(inspect.getsource(sys.modules[module])).body if isinstance(node, ast.ClassDef)
    ]
    return {node.name: _texts_of_class(node) for node in classes}


def _texts_of_class(node: ast.ClassDef) -> dict[str, str]:
    texts = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = " ".join(text.split())
    return texts
