"""Tables of settings that come in kinds: a register by name, and the settings of the kind that a table names."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from somo.product.declared import Declared

Settings = TypeVar("Settings", bound=Declared)


def name_of(settings: type[Declared]) -> str:
    """Name of a kind: the default of its field `kind`."""
    return str(settings.model_fields["kind"].default)


def settings_of_kind(
    base: type[Settings], kinds: Mapping[str, type[Settings]], default: str
) -> Callable[[Any], Settings]:
    """What reads a table: its settings are those of the kind that it names.

    pydantic keeps the places of errors that are raised in here.

    Parameters
    ----------
    base : what all kinds have in common
    kinds : register of the kinds by name, which may grow later
    default : name of the kind of a table that names none
    """

    def read(table: Any) -> Settings:
        if isinstance(table, base):
            return table
        if not isinstance(table, dict):
            raise ValueError("is no table of settings")
        kind = table.get("kind", default)
        if kind not in kinds:
            raise ValueError(f"kind {kind!r} is unknown; allowed are {', '.join(kinds)}")
        return kinds[kind].model_validate(table)

    return read
