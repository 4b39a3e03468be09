"""What a worker is asked for when it produces a region, and what it answers."""

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from somo.core.status import FINAL
from somo.predict import regions as rg
from somo.predict.states import Listed

# It brings PyTorch, which the plan and the status can do without.
if TYPE_CHECKING:
    from flows.stages.production.continuing import Sequence


@dataclass(frozen=True)
class Job:
    """What all regions of one production have in common; small, and the key of what a worker keeps open.

    Attributes
    ----------
    product : the declaration as JSON
    references : (variable, URL of its reference set)
    static, models, store, manifest : URLs
    side : namespace that the shards are written in (`somo.product.layout`)
    states : folder of the networks' states; empty for none
    """

    product: str
    references: tuple[tuple[str, str], ...]
    static: str
    models: str
    store: str
    manifest: str
    side: int = 0
    states: str = ""


@dataclass(frozen=True)
class Work:
    """One region to produce.

    Attributes
    ----------
    inputs : hash of what it is made from
    status : [day] as it will be published
    kept : [day] whether readers see the day's values already and they must not change
    states : of the networks over this region, the latest last
    readable : whether the kept days can be read; False where the shard that readers see is known to be damaged
    """

    region: rg.Region
    inputs: str
    status: NDArray[np.int8]
    kept: NDArray[np.bool_]
    states: tuple[Listed, ...] = ()
    readable: bool = True

    @property
    def missing(self) -> NDArray[np.bool_]:
        """[day] whether a day is to be computed."""
        return ~self.kept | (not self.readable)

    @property
    def final_days(self) -> int:
        """Number of days before the first that is not final."""
        return int(np.append(self.status == FINAL, False).argmin())


@dataclass(frozen=True)
class Produced:
    """What a region cost.

    Attributes
    ----------
    cell_days : cells times days that its shards hold
    steps : cells times days times networks that were computed
    continued, begun : sequences that went on from a state, and that began from zero
    rejected : states that were missing, damaged, or had seen other forcing
    """

    cell_days: int
    steps: int = 0
    continued: int = 0
    begun: int = 0
    rejected: int = 0

    def plus(self, run: "Sequence") -> "Produced":
        """With one more sequence."""
        return Produced(
            self.cell_days,
            self.steps + run.stretch.steps,
            self.continued + run.continued,
            self.begun + (not run.continued),
            self.rejected + len(run.rejected),
        )

    def __add__(self, other: "Produced") -> "Produced":
        return Produced(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))
