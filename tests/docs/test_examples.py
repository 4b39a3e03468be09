"""The notebooks of examples run from their first cell to the last on a tiny product, and are kept without outputs."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
SHOWS = {
    "drought": lambda names: -10 < float(names["standard"].min()) < -1 and 0 <= float(names["share"].max()) <= 100,
    "new_station": lambda names: names["scores"]["days"] > 100 and abs(names["scores"]["bias (m3 m-3)"]) < 0.2,
    "comparison": lambda names: np.isfinite(names["correlation"]).sum() > 20,
}


def test_there_are_three():
    assert [path.stem for path in EXAMPLES] == sorted(SHOWS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tiny_released, tiny_sources, tmp_path, monkeypatch):
    """Cell after cell in one namespace, as a kernel does: starting one for each would take longer than they do."""
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOMO_EXAMPLE", tiny_released[1])
    monkeypatch.setenv("SOMO_EXAMPLE_REFERENCE", f"{tiny_sources}/era5land/home/swvl_*.nc")
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    names = {}
    try:
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{path.name}, cell {number}", "exec"), names)
    finally:
        plt.close("all")
    assert SHOWS[path.stem](names)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert code and all(not cell.outputs and cell.execution_count is None for cell in code)
