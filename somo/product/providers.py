"""What is known of providers' files, taken into a declaration by `like`."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

Tables = Mapping[str, Mapping[str, Any]]
# Keys of a provider that no declaration takes.
FOR_PEOPLE = ("title", "where", "licence", "files", "note", "step_deg")


def take_likes(declaration: dict[str, Any], providers: Tables) -> dict[str, Any]:
    """The declaration in which every `like = "provider.table"` is replaced by that table's keys; keys beside it win.

    Parameters
    ----------
    providers : tables of `providers.toml`

    Raises
    ------
    KeyError
        with a sentence that names the key, the value and what there is instead
    """
    return {key: _taken(value, providers, key) for key, value in declaration.items()}


def _taken(value: Any, providers: Tables, where: str) -> Any:
    if isinstance(value, list):
        return [_taken(item, providers, where) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {key: _taken(item, providers, f"{where}.{key}") for key, item in value.items() if key != "like"}
    return inner if "like" not in value else {**table_of(str(value["like"]), providers, where), **inner}


def table_of(like: str, providers: Tables, where: str = "like") -> dict[str, Any]:
    """Keys that a provider's table gives to a declaration.

    Raises
    ------
    KeyError
        where there is no such table, with those that there are
    """
    provider, _, name = like.partition(".")
    table = providers.get(provider)
    if table is None:
        near = get_close_matches(provider, providers, 3, 0.4) or sorted(providers)
        raise KeyError(f"{where}.like = {like!r}: no such provider; there are {', '.join(near)}")
    shared = {key: value for key, value in table.items() if key not in FOR_PEOPLE and not isinstance(value, dict)}
    tables = sorted(key for key, value in table.items() if isinstance(value, dict))
    if not name and not tables:
        return shared
    if not isinstance(table.get(name), dict):
        raise KeyError(f"{where}.like = {like!r}: {provider} has {', '.join(f'{provider}.{t}' for t in tables)}")
    return {**shared, **table[name]}
