"""Which network learns: one table of settings a kind, each with the keys that exist for it alone."""

from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import Field, PlainValidator, SerializeAsAny

from somo.product.declared import Declared
from somo.product.kinds import name_of, settings_of_kind


class NetworkKind(Declared):
    """What every kind of network declares."""

    in_words: ClassVar[str] = ""
    """What readers of the data know it by; left out, the name of the kind."""
    kind: str
    """Name of the kind."""
    # Both as in the paper.
    hidden: int = Field(default=128, ge=1, examples=[64])
    """Number of hidden units, by which memory and the states of continued sequences are planned."""
    dropout: float = Field(default=0.4, ge=0, lt=1, examples=[0.2])
    """Share of hidden units zeroed before the head while training."""

    @property
    def name(self) -> str:
        """How published texts call it."""
        return self.in_words or self.kind


Kind = TypeVar("Kind", bound=NetworkKind)
NETWORK_KINDS: dict[str, type[NetworkKind]] = {}
DEFAULT_KIND = "ealstm"


def register_network_kind(settings: type[Kind]) -> type[Kind]:
    """Let declarations use a kind of network; its name is the default of the field `kind`."""
    NETWORK_KINDS[name_of(settings)] = settings
    return settings


@register_network_kind
class Ealstm(NetworkKind):
    """Entity-aware LSTM, the paper's: static features open or shut the input gate of each cell."""

    in_words = "EA-LSTM"
    kind: Literal["ealstm"] = "ealstm"
    """This kind of network, the default."""
    # As in SoMo.ml v1.
    forget_bias: float = Field(default=5.0, examples=[3.0])
    """Initial bias of the forget gate."""
    head_layers: int = Field(default=1, ge=1, examples=[2])
    """Dense layers after the recurrence."""


@register_network_kind
class Lstm(NetworkKind):
    """Ordinary LSTM that is given the static features anew with every day's forcing."""

    in_words = "LSTM"
    kind: Literal["lstm"] = "lstm"
    """This kind of network."""
    forget_bias: float = Field(default=5.0, examples=[3.0])
    """Initial bias of the forget gate."""


network_of = settings_of_kind(NetworkKind, NETWORK_KINDS, DEFAULT_KIND)
"""The settings of the kind that a table names."""
BuiltInKinds = Ealstm | Lstm
Network = Annotated[SerializeAsAny[NetworkKind], PlainValidator(network_of, json_schema_input_type=BuiltInKinds)]
"""The network of a declaration: whichever kind its table names."""
