"""Small inputs as providers deliver them: what comes out of each, beside what should.

`SOMO_CASES` names the folder. As a script (`python -m tests.real.forcing_cases`) it prints a table of all cases.
"""

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flows.console import console
from flows.environment import load_product
from flows.stages.place import daily_table, static_table
from somo.core.grid import Grid
from somo.product.declaration import Product
from somo.product.inputs import RegularGrid

CELLS = 3
"""Cells that are read of each case: the first, the last and one between."""


@dataclass(frozen=True)
class Outcome:
    """What a case gave: `refused` with its text, or how far the values are from the expected ones.

    Attributes
    ----------
    worst : largest difference from `expected.npz`, in our units; NaN where nothing is expected
    """

    case: str
    worst: float
    refused: str

    @property
    def text(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        return "read; nothing to compare with" if np.isnan(self.worst) else f"equal to {self.worst:.2g}"


def folder() -> Path:
    """The cases of forcing."""
    return Path(os.environ["SOMO_CASES"]) / "forcing"


def outcome(case: Path) -> Outcome:
    """Read a case as `somo inputs` does and compare it with what is expected."""
    expected = dict(np.load(case / "expected.npz")) if (case / "expected.npz").exists() else {}
    try:
        product = load_product(case / "product.toml")
        is_static = any(static.url for static in product.static.values())
        differences = [_difference(product, place, expected, is_static) for place in _places(product)]
    except ValueError as error:
        return Outcome(case.name, np.nan, str(error))
    return Outcome(case.name, max(differences) if expected else np.nan, "")


def _places(product: Product) -> list[tuple[int, int, float, float]]:
    """Row, column, degrees north and east of some cells of a declared regular grid."""
    declared = product.grid
    if not isinstance(declared, RegularGrid):
        return [(0, 0, *_any_place(product))]
    grid = Grid.regular(declared.west, declared.east, declared.south, declared.north, declared.step_deg)
    cells = np.unique(np.linspace(0, grid.size - 1, CELLS).round().astype(int))
    return [(*divmod(int(cell), len(grid.lon)), *(float(axis) for axis in grid.centres(cell))) for cell in cells]


def _any_place(product: Product) -> tuple[float, float]:
    """A place of those cases whose cells are the forcing's own."""
    return {"case-41": (50.85, 179.85), "case-26": (48.2, 9.93)}.get(product.name, (50.85, 11.05))


def _difference(
    product: Product, place: tuple[int, int, float, float], expected: dict[str, np.ndarray], is_static: bool
) -> float:
    """Largest difference of any value in one cell; infinite where one is missing and the other is not."""
    row, column, lat, lon = place
    with tempfile.TemporaryDirectory() as root:
        if is_static:
            table = static_table(product, product.home, root, (lat, lon)).set_index("feature")["value"]
            wanted = {name: values[row, column] for name, values in expected.items()}
        else:
            table = daily_table(product, product.home, root, (lat, lon), (None, None)).set_index("time")
            wanted = {name: values[:, row, column] for name, values in expected.items()}
    return max((_apart(np.asarray(table[name]), values) for name, values in wanted.items()), default=0.0)


def _apart(values: np.ndarray, wanted: np.ndarray) -> float:
    if np.shape(values) != np.shape(wanted) or (np.isnan(values) != np.isnan(wanted)).any():
        return np.inf
    return float(np.nanmax(np.abs(values - wanted), initial=0.0))


def main() -> None:
    chosen = sys.argv[1:]
    # Which cell a place lies in is no part of the table.
    console.quiet = True
    for case in sorted(folder().iterdir()):
        if (case / "product.toml").exists() and (not chosen or any(case.name.startswith(word) for word in chosen)):
            try:
                print(f"{case.name:35} {outcome(case).text}", flush=True)
            except Exception as error:
                print(f"{case.name:35} CRASHED {type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
