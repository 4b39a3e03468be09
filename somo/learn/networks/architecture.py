"""What an architecture of network is to training and production."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from somo.product.network import NetworkKind

# `forward` imports the register, which imports this: at run time that would go round in a circle.
if TYPE_CHECKING:
    from somo.learn.networks.forward import Forward


class Module(Protocol):
    """What a network's module does; it is a `torch.nn.Module` as well."""

    def __call__(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Normalised prediction [n, B] of the last n days (all when None) from zero state.

        Parameters
        ----------
        x_d : [T, B, D] normalised daily inputs
        x_s : [B, S] normalised static inputs
        """


class Kernel(Protocol):
    """The same answer as a network's module, faster on a CPU, and able to go on from a day it has reached."""

    def __call__(self, x_d: Tensor, x_s: Tensor, last_n: int | None = None) -> Tensor:
        """Soil moisture [n, B], m3 m-3, from inputs in physical units, as `Forward` gives it."""

    def advance(
        self, x_d: Tensor, x_s: Tensor, memory: Tensor | None = None, keep_after: int | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Soil moisture [T, B] of days that follow a memory, and the memory after some of them.

        Parameters
        ----------
        memory : [2, B, hidden] of the day before the first; None for a sequence that begins here, from zero
        keep_after : number of days after which the memory is wanted; None for none
        """


@dataclass(frozen=True)
class Architecture:
    """One kind of network.

    Attributes
    ----------
    build : number of daily inputs, number of static inputs, settings -> module with fresh weights
    kernel : makes the road for production on a CPU; None where the module itself is that road, which then begins every
        sequence from zero state
    """

    build: Callable[[int, int, NetworkKind], nn.Module]
    kernel: "Callable[[Forward], Kernel] | None" = None
