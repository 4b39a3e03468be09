"""How figures and captions call a layer; a module of its own, since the drawing takes seconds to import."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import pandas as pd

_depths: ContextVar[Mapping[str, str]] = ContextVar("depths", default=MappingProxyType({}))


@contextmanager
def naming_depths(depths: Mapping[str, str]) -> Iterator[None]:
    """Within it figures and captions call a layer by its depth, as `0-10 cm`; tables keep the layer's name."""
    token = _depths.set(depths)
    try:
        yield
    finally:
        _depths.reset(token)


def depth_of(layer: object) -> str:
    """A layer for people: its depth where that is known, else its name."""
    return _depths.get().get(str(layer), str(layer))


def layer_names(table: pd.DataFrame) -> list[str]:
    """Names of the layers that the column `layer` has, in the order of their declaration, downward."""
    return in_declared_order({str(layer) for layer in table["layer"].unique()})


def in_declared_order(layers: Iterable[str], depths: Mapping[str, str] | None = None) -> list[str]:
    """Layers as they are declared; those that no declaration names follow by name.

    Parameters
    ----------
    depths : each layer's depth by its name, in the order of declaration; left out, those of `naming_depths`
    """
    # Names such as "top" and "deep" do not sort by depth.
    rank = {layer: number for number, layer in enumerate(_depths.get() if depths is None else depths)}
    return sorted(layers, key=lambda layer: (rank.get(layer, len(rank)), layer))
