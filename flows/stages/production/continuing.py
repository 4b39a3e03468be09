"""Where a sequence of a region begins on a worker: after the last final day of an earlier run, or from zero state."""

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from somo.forcing.dataset import source_files
from somo.predict.infer import Runner, Stretch, run_stretch
from somo.predict.states import SEGMENT_ROWS, Listed, State, day_digests, first_changed_row, read_state
from somo.product.declaration import Product, content_hash


class Forcing(Protocol):
    """Forcing of one sequence; rows count its days from the first day of spin-up."""

    def read(self, first_row: int, stop_row: int) -> NDArray[np.float32]:
        """[row, land cell, variable] of the rows from the first to the second (excluded)."""
        ...

    def files(self, rows: int) -> tuple[str, ...]:
        """Hash of the source files of every segment of the first rows."""
        ...


@dataclass(frozen=True)
class Days:
    """Days of one sequence that are wanted; rows count its days of forcing, the first `lookback - 1` are spin-up.

    Attributes
    ----------
    offset : day of the region on which the sequence's first predicted day falls
    first, stop : days of the region, from the first that is wanted to the last (excluded)
    final : days of the region before the first that is not final
    spinup_rows : days of forcing before the sequence's first predicted day
    """

    offset: int
    first: int
    stop: int
    final: int
    spinup_rows: int

    def rows(self, day: int) -> int:
        """Number of rows that the networks have seen when a day of the region begins."""
        return self.spinup_rows + day - self.offset

    @property
    def keep_at(self) -> int | None:
        """Day at which the networks' state is worth keeping; None where no later run goes on from this sequence."""
        within = self.offset <= self.final <= self.stop
        return self.final if within and self.rows(self.final) > 0 else None


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence as it was run.

    Attributes
    ----------
    stretch : its wanted days
    state : what a later run may go on from; None where that lies there already or is of no use
    continued : whether it went on from an earlier state
    rejected : states that were missing, damaged, or had seen other forcing
    """

    stretch: Stretch
    state: State | None
    continued: bool
    rejected: tuple[Listed, ...]


# All regions of a block of days ask for the same hashes.
@lru_cache(maxsize=64)
def segment_files(
    product_json: str, references: tuple[tuple[str, str], ...], first: dt.date, rows: int
) -> tuple[str, ...]:
    """Hash of the source files of every `SEGMENT_ROWS` days of forcing from a day on."""
    product = Product.model_validate_json(product_json)
    segments = []
    for row in range(0, rows, SEGMENT_ROWS):
        last = min(row + SEGMENT_ROWS, rows) - 1
        span = (first + dt.timedelta(days=row), first + dt.timedelta(days=last))
        segments.append(content_hash(source_files(product, dict(references), *span)))
    return tuple(segments)


def run_sequence(
    runner: Runner,
    days: Days,
    x_s: NDArray[np.float32],
    states: tuple[Listed, ...],
    forcing: Forcing,
) -> Sequence:
    """Predict the wanted days of a sequence, from the latest state that has seen the present forcing.

    Parameters
    ----------
    x_s : [land cell, static] physical units
    states : of this region, the latest last; those of other sequences and of later days are passed over
    """
    rejected: list[Listed] = []
    usable = [s for s in states if days.offset <= s.days <= days.first] if runner.continues else []
    for listed in reversed(usable):
        state = read_state(listed.url)
        sound = state is not None and state.memory.shape[2] == len(x_s) and len(state.digests) == days.rows(state.days)
        x_d = _unseen_rows(state, days, forcing) if state is not None and sound else None
        if state is None or x_d is None:
            rejected.append(listed)
            continue
        return Sequence(*_advance(runner, days, x_d, x_s, state, forcing), True, tuple(rejected))
    x_d = forcing.read(0, days.rows(days.stop))
    return Sequence(*_advance(runner, days, x_d, x_s, None, forcing), False, tuple(rejected))


def _unseen_rows(state: State, days: Days, forcing: Forcing) -> NDArray[np.float32] | None:
    """Forcing of the rows that a state has not seen; None if forcing that it has seen was changed since."""
    seen_rows = len(state.digests)
    changed = first_changed_row(state, forcing.files(seen_rows))
    x_d = forcing.read(changed, days.rows(days.stop))
    same = np.array_equal(day_digests(x_d[: seen_rows - changed]), state.digests[changed:])
    return x_d[seen_rows - changed :] if same else None


def _advance(
    runner: Runner,
    days: Days,
    x_d: NDArray[np.float32],
    x_s: NDArray[np.float32],
    former: State | None,
    forcing: Forcing,
) -> tuple[Stretch, State | None]:
    """Run the rows that follow a state, or the whole sequence, and the state after its last final day."""
    seen_rows = 0 if former is None else len(former.digests)
    keep_at = days.keep_at if runner.continues else None
    renewed = keep_at is not None and (former is None or keep_at > former.days)
    keep_after = days.rows(keep_at) - seen_rows if keep_at is not None and renewed else None
    memory = None if former is None else former.memory
    stretch = run_stretch(runner, x_d, x_s, days.stop - days.first, memory, keep_after)
    if keep_at is None or stretch.memory is None:
        return stretch, None
    digests = day_digests(x_d[:keep_after])
    digests = digests if former is None else np.concatenate([former.digests, digests])
    return stretch, State(keep_at, digests, forcing.files(len(digests)), stretch.memory)
