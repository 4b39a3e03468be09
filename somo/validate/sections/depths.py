"""How figures and captions call a layer; a module of its own, since the drawing takes seconds to import."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

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
